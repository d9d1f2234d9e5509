//! Off as declared or commanded: nobody misses it.

use super::{Count, Exit, State};
use schemas::v1::AvailabilityState::*;

pub(super) const STATE: State = State {
    state: Off,
    exits: &[
        Exit { to: Down, when: |l| l.is_down(), says: "it should not be off any longer, Nova calls it down, and one look is enough" },
        Exit { to: Suspect, when: |l| l.says_down(), says: "it should not be off any longer, and Nova calls it down" },
        Exit { to: Up, when: |l| l.says_up(), says: "Nova calls it up" },
    ],
    begins: &[],
    counts: |_| Count::Keep,
};
