//! Its guests are being evacuated. What was begun goes on, whatever it looks like meanwhile.

use super::{Count, End, Exit, State};
use schemas::v1::AvailabilityState::*;

pub(super) const STATE: State = State {
    state: Recovering,
    exits: &[
        Exit { to: Unknown, when: |l| l.evacuation == Some(End::HostReturned), says: "it reported before it was fenced" },
        Exit { to: Unknown, when: |l| l.evacuation == Some(End::Withdrawn), says: "before it was fenced its policy did not allow it any longer" },
        Exit { to: Recovered, when: |l| l.evacuation.is_some(), says: "the evacuation has ended" },
    ],
    begins: &[],
    counts: |_| Count::Keep,
};
