//! It is being brought back into service (S10).

use super::{Count, End, Exit, State};
use schemas::v1::AvailabilityState::*;

pub(super) const STATE: State = State {
    state: Returning,
    exits: &[
        Exit { to: Recovered, when: |l| l.operation.is_some() && l.fenced_by_other, says: "something else has fenced it meanwhile" },
        Exit {
            to: Up,
            when: |l| l.operation == Some(End::Well) && l.is_back(),
            says: "the operation has ended well, and upConfirmations looks in a row found it up",
        },
        Exit {
            to: Suspect,
            when: |l| l.operation == Some(End::Well) && !l.fenced && l.says_down(),
            says: "the operation has ended well, and Nova calls it down",
        },
        Exit { to: Quarantined, when: |l| l.operation.is_some_and(|end| end != End::Well), says: "the operation did not end well" },
    ],
    begins: &[],
    counts: |l| if l.operation.is_some() { l.counts_up() } else { Count::Keep },
};
