//! It is being switched off and on. What happens next waits until that operation has ended: nothing else is done to it meanwhile.

use super::{Count, End, Exit, State};
use schemas::v1::AvailabilityState::*;

pub(super) const STATE: State = State {
    state: Restarting,
    exits: &[
        Exit { to: Unknown, when: |l| l.operation == Some(End::HostReturned), says: "it reported before it was switched off" },
        Exit {
            to: Unknown,
            when: |l| l.operation == Some(End::Withdrawn),
            says: "before it was switched off its policy did not allow it any longer",
        },
        Exit {
            to: Up,
            when: |l| l.operation.is_some() && l.is_back(),
            says: "the operation has ended, and upConfirmations looks in a row found it up",
        },
        Exit { to: Down, when: |l| l.operation == Some(End::Otherwise), says: "the operation did not end well" },
        Exit {
            to: Down,
            when: |l| l.operation.is_some() && l.late && l.up == Some(false),
            says: "the operation has ended, restartTimeoutSeconds have passed, and Nova calls it down",
        },
    ],
    begins: &[],
    counts: |l| if l.operation.is_some() { l.counts_up() } else { Count::Keep },
};
