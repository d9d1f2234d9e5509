//! It is not brought back without a person. A person's PowerOn or Enable releases its fence, and it speaks for itself again.

use super::{Exit, State};
use schemas::v1::AvailabilityState::*;

pub(super) const STATE: State = State {
    state: Quarantined,
    exits: &[
        Exit { to: Off, when: |l| l.off, says: "it is off as declared or commanded" },
        Exit { to: Up, when: |l| l.is_back(), says: "a person released its fence, and upConfirmations looks in a row found it up" },
    ],
    begins: &[],
    counts: |l| l.counts_up(),
};
