//! Down, confirmed. What is done about it, or why nothing is, says the condition RemediationAllowed.

use super::{Exit, State};
use crate::remediation::Begin;
use schemas::v1::AvailabilityState::*;

pub(super) const STATE: State = State {
    state: Down,
    exits: &[
        Exit { to: Off, when: |l| l.off, says: "it is off as declared or commanded" },
        Exit { to: Up, when: |l| l.is_back(), says: "it is not fenced, and upConfirmations looks in a row found it up" },
    ],
    begins: &[(Begin::Restart, Restarting), (Begin::Evacuate, Recovering)],
    counts: |l| l.counts_up(),
};
