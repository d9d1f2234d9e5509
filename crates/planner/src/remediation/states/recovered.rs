//! Its evacuation has ended; nothing more is begun until the host was back.

use super::{Exit, State};
use crate::remediation::Begin;
use schemas::v1::AvailabilityState::*;

pub(super) const STATE: State = State {
    state: Recovered,
    exits: &[
        Exit { to: Off, when: |l| l.off, says: "it is off as declared or commanded" },
        Exit { to: Up, when: |l| l.is_back(), says: "it is not fenced, and upConfirmations looks in a row found it up" },
        Exit { to: Quarantined, when: |l| l.too_often, says: "it would be brought back, but was maxReturns times within windowSeconds" },
    ],
    begins: &[(Begin::PowerOn, Returning), (Begin::Enable, Returning)],
    counts: |l| l.counts_up(),
};
