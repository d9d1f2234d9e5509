//! What the RemediationPolicy says now of a restart that nobody asked for, before power goes off.

use super::decide::{Run, Turn};
use crate::{contract::wait, remediation::Begin};
use schemas::v1::reasons;

impl Run<'_> {
    /// `None`: the policy still allows it. What it asks of other channels is asked of them by itself.
    pub(super) fn held_by_policy(&self) -> Option<Turn> {
        let Some(holding) = self.facts.holding.seen() else {
            let message = format!("what its RemediationPolicy says now cannot be told: {}; nothing is switched off", self.facts.holding.why());
            return Some(Turn::Next(wait(reasons::POLICY_UNKNOWN, message, 5)));
        };
        let (_, why) = holding.forbids(Begin::Restart)?;
        let message = format!("it is not allowed any longer without a person: {why}; it was not switched off");
        Some(Turn::Failed(reasons::POLICY_CHANGED, message))
    }
}
