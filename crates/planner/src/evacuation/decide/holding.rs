//! What the RemediationPolicy says now of an evacuation that nobody asked for. A policy that is edited in the middle applies from
//! the next safe point: before the host was fenced it ends untouched, afterwards no new request is sent while it is forbidden.

use super::{Run, Turn, path};
use crate::{
    attestation::{self, Missing},
    contract::wait,
    facts::HostFacts,
    remediation::Begin,
};
use schemas::{
    Object,
    v1::{Action, Cause, ClusterPolicySpec, EvacuationKind, FencePolicy, Level, reasons},
};

/// The evacuation as its policy has it now. What cannot be read stays as it was when it was begun, and nothing is sent by it.
pub(super) fn as_it_holds(ev: &Object<EvacuationKind>, facts: &HostFacts) -> Object<EvacuationKind> {
    let mut ev = ev.clone();
    if let Some(holding) = facts.holding.seen().filter(|_| ev.spec.cause == Cause::Automatic) {
        ev.spec.local_disks = holding.spec.evacuation.local_disks;
        ev.spec.evidence = Some(holding.spec.evidence.clone());
        // Forbidden by its own spec it stays so: that is what people read of it.
        if holding.never_fences() {
            ev.spec.fence = FencePolicy::Forbidden;
        }
        ev.spec.pace = Some(holding.pace());
    }
    ev
}

/// The limits and pauses that it goes by: its own, else those of the ClusterPolicy.
pub(super) fn set_pace(policy: &mut ClusterPolicySpec, ev: &Object<EvacuationKind>) {
    let Some(pace) = &ev.spec.pace else { return };
    policy.evacuation_retries = pace.retries.unwrap_or(policy.evacuation_retries);
    policy.group_pause_seconds = pace.group_pause_seconds.unwrap_or(policy.group_pause_seconds);
    policy.max_per_host = pace.max_per_host.unwrap_or(policy.max_per_host);
}

impl Run<'_> {
    /// Why it does not go on, by the policy. Its host may not have been fenced yet.
    pub(super) fn held_by_policy(&self) -> Option<Turn> {
        if self.ev.spec.cause != Cause::Automatic {
            return None;
        }
        let (host, fenced) = (&self.facts.host, path::is_fenced_by_us(&self.status, self.env));
        let Some(holding) = self.facts.holding.seen() else {
            let message = format!(
                "what its RemediationPolicy says now cannot be told: {}; nothing new is begun, what is under way is settled",
                self.facts.holding.why()
            );
            return Some(Turn::Next(wait(reasons::POLICY_UNKNOWN, message, 5)));
        };
        match holding.forbids(Begin::Evacuate) {
            Some((_, why)) if fenced => {
                let message = format!(
                    "it is not allowed any longer without a person: {why}. No new request is sent, what is under way is settled; it goes on when that is allowed again, or `cancel {host}`, then `evacuate {host}` by hand"
                );
                Some(Turn::Next(wait(reasons::POLICY_CHANGED, message, 5)))
            }
            Some((_, why)) => {
                let message = format!("it is not allowed any longer without a person: {why}; it was not fenced, and nothing was moved");
                Some(Turn::Ended(false, reasons::POLICY_CHANGED, message))
            }
            None => None,
        }
    }

    /// `None`: no person's word is asked for, or there is one.
    pub(super) fn wait_for_attestation(&mut self) -> Option<Turn> {
        let rule = self.ev.spec.evidence.as_ref().filter(|_| self.ev.spec.cause == Cause::Automatic)?;
        if rule.demanded(Action::Evacuate) != Level::Attested || self.attested.is_some() {
            return None;
        }
        let (host, epoch) = (&self.facts.host, self.evidence.epoch);
        match attestation::stands(&self.env.evidence, self.facts, self.env.now, self.env.policy.proof_max_age_seconds) {
            Ok(attested) => {
                self.go_by(attested.clone());
                None
            }
            Err(Missing::SecondLook(left)) => {
                self.gap = Some("attested; a second look is due".into());
                let message = "a person states that the host is dead; a second look in which nothing speaks against it is due";
                Some(Turn::Next(wait(reasons::PROVING_OFF, message, left.min(3))))
            }
            Err(Missing::None) => {
                let asks = rule.asks(Action::Evacuate);
                self.gap = Some(format!("{asks}: no FenceAttestation for power epoch {epoch}"));
                let message = format!(
                    "{asks} of its RemediationPolicy: a person has to state that the host is dead: `cloud-manager attest {host}` (its power epoch is {epoch})"
                );
                Some(Turn::Next(wait(reasons::EVIDENCE_MISSING, message, 5)))
            }
        }
    }
}
