//! Not judged yet.

use super::{Count, Exit, State};
use schemas::v1::AvailabilityState::*;

pub(super) const STATE: State = State {
    state: Unknown,
    exits: &[
        Exit { to: Off, when: |l| l.off, says: "it is off as declared or commanded" },
        Exit { to: Down, when: |l| l.is_down(), says: "Nova calls it down, and one look is enough" },
        Exit { to: Suspect, when: |l| l.says_down(), says: "Nova calls it down" },
        Exit { to: Up, when: |l| l.says_up(), says: "Nova calls it up" },
    ],
    begins: &[],
    counts: |_| Count::Keep,
};
