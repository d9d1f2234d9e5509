//! What the RemediationPolicy says now of what nobody asked for: a restart, before power goes off, and a return, before each step.

use super::decide::{Run, Turn};
use crate::{
    contract::wait,
    remediation::{Begin, Holding},
};
use schemas::v1::reasons;

impl Run<'_> {
    /// `None`: the policy still allows the restart. What it asks of other channels is asked of them by itself.
    pub(super) fn restart_held_by_policy(&self) -> Option<Turn> {
        self.held_by_policy("nothing is switched off", "it was not switched off", |holding| holding.forbids(Begin::Restart).map(|(_, why)| why))
    }

    /// `None`: the policy still allows the return. One that no longer does leaves the host fenced, as far as it still is.
    pub(super) fn return_held_by_policy(&self, what: Begin) -> Option<Turn> {
        let from = self.op.spec.returns_from.as_deref().unwrap_or_default();
        let evacuation = from.strip_prefix("Evacuation/").unwrap_or(from);
        let forbids = |holding: &Holding| holding.forbids_return(what, evacuation).map(|(_, why)| why);
        self.held_by_policy("it is brought back no further", "it is left as it is", forbids)
    }

    fn held_by_policy(&self, unknown: &str, left: &str, forbids: impl FnOnce(&Holding) -> Option<String>) -> Option<Turn> {
        let Some(holding) = self.facts.holding.seen() else {
            let message = format!("what its RemediationPolicy says now cannot be told: {}; {unknown}", self.facts.holding.why());
            return Some(Turn::Next(wait(reasons::POLICY_UNKNOWN, message, 5)));
        };
        let why = forbids(holding)?;
        Some(Turn::Failed(reasons::POLICY_CHANGED, format!("it is not allowed any longer without a person: {why}; {left}")))
    }
}
