//! Statuses, written only when they changed, and what people should hear of.

use super::{BATCH, Seen, TRIES, Tracker, text};
use planner::remediation::{Answer, DomainVerdict, HostVerdict, PolicyVerdict};
use schemas::{
    Conditions, DynObject, Object,
    v1::{self, AvailabilityState, FailureDomainStatus, RemediationPolicyStatus, reasons},
};
use store::{Op, StoreError};

impl Tracker {
    pub(super) async fn write_policies(&self, seen: &mut Seen, verdicts: &[PolicyVerdict]) -> Result<(), String> {
        for verdict in verdicts {
            let Some(old) = seen.policies.get(&verdict.policy).cloned() else { continue };
            let new = self.policy_with(&old, verdict)?;
            if new == old {
                continue;
            }
            let mut ops = vec![Op::Update { object: new, expected: old.metadata.revision() }];
            ops.extend(verdict.told.iter().map(|(reason, note)| self.shared.recorder.op(&old, true, reason, note)));
            ops.extend(self.told_of_policy(&old, verdict));
            let done = self.commit(ops).await.map_err(text)?;
            if let Some(object) = done.objects.into_iter().next() {
                seen.policies.insert(verdict.policy.clone(), object);
            }
        }
        Ok(())
    }

    fn policy_with(&self, old: &DynObject, verdict: &PolicyVerdict) -> Result<DynObject, String> {
        let typed: Object<v1::RemediationPolicy> = old.typed().map_err(text)?;
        let mut status = RemediationPolicyStatus {
            observed_generation: old.metadata.generation,
            covered: verdict.covered,
            unhealthy: verdict.unhealthy,
            budget_left: verdict.budget_left,
            recovering: verdict.recovering,
            begins: verdict.begins.clone(),
            storms: verdict.storms.clone(),
            mass_silence: verdict.mass_silence.clone(),
            ..typed.status
        };
        self.set(&mut status.conditions, &verdict.allowed, old.metadata.generation);
        Ok(DynObject { status: serde_json::to_value(status).map_err(text)?, ..old.clone() })
    }

    fn set(&self, conditions: &mut Vec<schemas::Condition>, allowed: &Answer, generation: i64) {
        conditions.set("RemediationAllowed", allowed.status, allowed.reason, &allowed.message, generation, self.shared.clock.now());
    }

    pub(super) fn host_with(&self, old: &DynObject, verdict: &HostVerdict) -> Result<DynObject, String> {
        let mut host: Object<v1::Host> = old.typed().map_err(text)?;
        host.status.availability = Some(verdict.availability.clone());
        self.set(&mut host.status.conditions, &verdict.allowed, old.metadata.generation);
        Ok(DynObject { status: serde_json::to_value(host.status).map_err(text)?, ..old.clone() })
    }

    pub(super) async fn write_hosts(&self, seen: &Seen, verdicts: &[HostVerdict]) -> Result<(), String> {
        let mut changed = Vec::new();
        for verdict in verdicts {
            let Some(old) = seen.hosts.get(&verdict.host) else { continue };
            let new = self.host_with(old, verdict)?;
            if new != *old {
                changed.push((verdict, old, new));
            }
        }
        for batch in changed.chunks(BATCH) {
            let ops = batch.iter().flat_map(|(verdict, old, new)| {
                let update = Op::Update { object: new.clone(), expected: old.metadata.revision() };
                std::iter::once(update).chain(self.told(old, verdict))
            });
            let ops = ops.collect();
            match self.commit(ops).await {
                Ok(_) => {}
                // Its own reconciler wrote one of them meanwhile: one by one, as they are now.
                Err(StoreError::Conflict { .. } | StoreError::NotFound(_)) => {
                    for (verdict, ..) in batch {
                        self.write_host(verdict).await?;
                    }
                }
                Err(other) => return Err(text(other)),
            }
        }
        Ok(())
    }

    async fn write_host(&self, verdict: &HostVerdict) -> Result<(), String> {
        for _ in 0..TRIES {
            let Some(old) = self.shared.store.get("Host", &verdict.host).await.map_err(text)? else { return Ok(()) };
            let update = Op::Update { object: self.host_with(&old, verdict)?, expected: old.metadata.revision() };
            match self.commit(std::iter::once(update).chain(self.told(&old, verdict)).collect()).await {
                Err(StoreError::Conflict { .. }) => {}
                other => return other.map(drop).map_err(text),
            }
        }
        Err(format!("Host/{} changes all the time; the next look goes on", verdict.host))
    }

    /// Counts that did not change are not written.
    pub(super) async fn write_domains(&self, seen: &Seen, verdicts: &[DomainVerdict]) -> Result<(), String> {
        for verdict in verdicts {
            let Some(old) = seen.domains.get(&verdict.domain) else { continue };
            let mut status: FailureDomainStatus = serde_json::from_value(old.status.clone()).map_err(text)?;
            let generation = old.metadata.generation;
            (status.observed_generation, status.hosts, status.down) = (generation, verdict.hosts, verdict.down);
            let (resolved, reason) = if verdict.broken.is_none() { (true, reasons::AS_DESIRED) } else { (false, reasons::NOT_FOUND) };
            let message = verdict.broken.as_deref().unwrap_or_default();
            status.conditions.set("ReferencesResolved", resolved.into(), reason, message, generation, self.shared.clock.now());
            let new = DynObject { status: serde_json::to_value(status).map_err(text)?, ..old.clone() };
            if new == *old {
                continue;
            }
            match self.commit(vec![Op::Update { object: new, expected: old.metadata.revision() }]).await {
                // A person changed or deleted it meanwhile; the next look goes on.
                Ok(_) | Err(StoreError::Conflict { .. } | StoreError::NotFound(_)) => {}
                Err(other) => return Err(text(other)),
            }
        }
        Ok(())
    }

    /// That a policy holds, or does not hold any longer, for another reason than before: once, not at each look.
    fn told_of_policy(&self, old: &DynObject, verdict: &PolicyVerdict) -> Option<Op> {
        let Answer { reason, message, .. } = &verdict.allowed;
        let before = reason_of(old);
        // A storm tells of itself, with more words.
        if before == *reason || verdict.told.iter().any(|(told, _)| told == reason) {
            return None;
        }
        // What it was told to do, and the moment after a takeover, are nothing to warn of.
        let as_it_should = verdict.allowed.is_yes() || matches!(*reason, reasons::QUIET_PERIOD | reasons::NEVER_EVACUATE | reasons::NOT_WATCHED);
        // That all is well from the beginning is no news.
        if before.is_empty() && verdict.allowed.is_yes() {
            return None;
        }
        Some(self.shared.recorder.op(old, !as_it_should, reason, message))
    }

    /// What people should hear of: hosts that went down or came back, and why nothing is done.
    fn told(&self, old: &DynObject, verdict: &HostVerdict) -> Option<Op> {
        use AvailabilityState::{Down, Quarantined, Recovered, Restarting, Returning, Up};
        let before = old.typed::<v1::Host>().ok().and_then(|h| h.status.availability).unwrap_or_default().state;
        let now = verdict.availability.state;
        let Answer { reason, message, .. } = &verdict.allowed;
        let op = |warning, word: &str, note: &str| Some(self.shared.recorder.op(old, warning, word, note));
        match (before, now) {
            (Down, Down) if reason_of(old) == *reason => None,
            (_, Down) => op(true, "HostDown", &format!("Nova calls it down; {reason}: {message}")),
            (Down | Restarting | Recovered | Returning | Quarantined, Up) => op(false, "HostUp", "Nova calls it up again"),
            (_, Quarantined) if before != now => op(true, reasons::QUARANTINED, message),
            (_, Recovered) if *reason == reasons::APPROVAL_REQUIRED && reason_of(old) != *reason => op(true, reasons::APPROVAL_REQUIRED, message),
            (_, Recovered) if before != now => op(false, reasons::RECOVERY_ENDED, message),
            _ => None,
        }
    }
}

/// The reason of an object's condition RemediationAllowed.
fn reason_of(object: &DynObject) -> &str {
    let conditions = object.status["conditions"].as_array().into_iter().flatten();
    conditions.filter(|c| c["type"] == "RemediationAllowed").filter_map(|c| c["reason"].as_str()).next().unwrap_or_default()
}
