//! What the RemediationPolicy says now of a restart that nobody asked for, before power goes off.

use super::decide::{Run, Turn};
use crate::{Step, contract::wait, remediation::Begin};
use schemas::v1::{Action, reasons};

impl Run<'_> {
    /// Whether power went off for it, or may have: from then on it is ended.
    pub(super) fn may_have_cut_power(&self) -> bool {
        let sent = |i: &crate::Intent| i.owner_uid == self.env.owner_uid && matches!(i.action, Step::Power { .. }) && !i.never_left();
        self.status.steps.iter().any(|s| s == "off") || self.env.intents.iter().any(sent)
    }

    /// `None`: the policy still allows it, on the evidence that there is.
    pub(super) fn held_by_policy(&self) -> Option<Turn> {
        let (facts, host) = (self.facts, &self.facts.host);
        let Some(holding) = facts.holding.seen() else {
            let message = format!("what its RemediationPolicy says now cannot be told: {}; nothing is switched off", facts.holding.why());
            return Some(Turn::Next(wait(reasons::POLICY_UNKNOWN, message, 5)));
        };
        if let Some((_, why)) = holding.forbids(Begin::Restart) {
            let message = format!("it is not allowed any longer without a person: {why}; it was not switched off");
            return Some(Turn::Failed(reasons::POLICY_CHANGED, message));
        }
        let Some(heard) = facts.channels.seen() else {
            let message = format!("what other channels say of it cannot be read: {}", facts.channels.why());
            return Some(Turn::Next(wait(reasons::EVIDENCE_MISSING, message, 3)));
        };
        let missing = holding.unheard(Action::Restart, heard, self.env.now)?;
        Some(Turn::Next(wait(reasons::EVIDENCE_MISSING, format!("{missing}, or `evacuate {host}` by hand"), 5)))
    }
}
