//! Nova calls it down, in fewer looks in a row than the policy asks for.

use super::{Count, Exit, State};
use schemas::v1::AvailabilityState::*;

pub(super) const STATE: State = State {
    state: Suspect,
    exits: &[
        Exit { to: Off, when: |l| l.off, says: "it is off as declared or commanded" },
        Exit { to: Up, when: |l| l.says_up(), says: "Nova calls it up" },
        Exit { to: Down, when: |l| l.is_down(), says: "downConfirmations looks in a row found it down" },
    ],
    begins: &[],
    counts: |l| if l.says_down() { Count::One } else { Count::Keep },
};
