//! What is begun for a host, in one transaction with what it counts for.

use super::{Seen, TRIES, Tracker, text};
use planner::remediation::{Begin, HostVerdict};
use schemas::{
    DynObject, Object, Time, kinds,
    v1::{self, Action, Cancel, Cause, FencePolicy, HostOperationType, Level, Pace, RunningGuests, remediation_policy::MAX_BEGINS},
};
use serde_json::{Value, json};
use store::{Op, StoreError};

/// How an object is made that nobody asked for.
fn spec_of(begin: Begin, verdict: &HostVerdict, policy: &Object<v1::RemediationPolicy>) -> Value {
    let host = json!({"name": verdict.host});
    let detection = &policy.spec.detection;
    // The first look that finds it up is one of those that count.
    let steady = (detection.up_confirmations - 1).max(0) * detection.interval_seconds;
    let returns_from = verdict.availability.evacuation.as_ref().map(|name| format!("Evacuation/{name}"));
    let returned = |r#type: HostOperationType| json!({"hostRef": host, "type": r#type, "cause": Cause::Automatic, "returnsFrom": returns_from, "steadySeconds": steady.min(86_400)});
    match begin {
        Begin::Evacuate => {
            let rules = &policy.spec.evacuation;
            let mut spec = json!({"hostRef": host, "cause": Cause::Automatic, "localDisks": rules.local_disks, "evidence": policy.spec.evidence,
                "fencing": policy.spec.fencing});
            if policy.spec.evidence.demanded(Action::Fence) == Level::PowerOff {
                spec["fence"] = json!(FencePolicy::Forbidden);
            }
            if rules.pace() != Pace::default() {
                spec["pace"] = json!(rules.pace());
            }
            spec
        }
        Begin::Restart => {
            json!({"hostRef": host, "type": HostOperationType::PowerCycle, "runningGuests": RunningGuests::Kill, "cause": Cause::Automatic,
                "evidence": policy.spec.evidence, "fencing": policy.spec.fencing})
        }
        Begin::PowerOn => returned(HostOperationType::PowerOn),
        Begin::Enable => returned(HostOperationType::Enable),
    }
}

/// The policy with one more that was begun under it. `None`: its rate, or the number of hosts that may be recovered at the same
/// time, does not allow it any longer.
fn counted(old: &DynObject, policy: &Object<v1::RemediationPolicy>, is_counted: bool, now: Time) -> Result<Option<DynObject>, String> {
    let mut status = policy.status.clone();
    status.begun += 1;
    if policy.spec.evacuation.max_parallel_hosts.is_some_and(|max| status.recovering >= max) {
        return Ok(None);
    }
    status.recovering += 1;
    if is_counted {
        let max = policy.spec.limits.max_begins_per_hour.unwrap_or(MAX_BEGINS);
        let begun = i64::try_from(status.begins.len()).unwrap_or(i64::MAX);
        if begun >= max && policy.spec.limits.max_begins_per_hour.is_some() {
            return Ok(None);
        }
        if begun >= max {
            status.begins.remove(0);
        }
        status.begins.push(now);
    }
    Ok(Some(DynObject { status: serde_json::to_value(status).map_err(text)?, ..old.clone() }))
}

fn note(begin: Begin, name: &str, policy: &str) -> String {
    match begin {
        Begin::Evacuate => format!("it is down, and RemediationPolicy {policy} holds: Evacuation/{name} fences it and rebuilds its guests"),
        Begin::Restart => format!("it is down, and RemediationPolicy {policy} holds: HostOperation/{name} switches it off and on"),
        Begin::PowerOn | Begin::Enable => {
            format!("its guests are elsewhere, and RemediationPolicy {policy} holds: HostOperation/{name} brings it back into service")
        }
    }
}

/// What became of a begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It was begun, or turned down until the next look.
    Settled,
    /// An evacuation of another host was begun meanwhile, which was not counted.
    CountAnew,
}

impl Tracker {
    /// Begins what a verdict says. A change of status meanwhile is no matter; a change of what was decided on, or a fence,
    /// turns it down, and the next look decides anew. The transaction counts the rate again, and the hosts that are recovered at the
    /// same time, and goes through only if what was counted over all hosts still holds (I6).
    pub(super) async fn begin(&self, seen: &mut Seen, mut verdict: HostVerdict) -> Result<Begun, String> {
        let Some(begin) = verdict.begin else { return Ok(Begun::Settled) };
        let Some(kind) = kinds::find(begin.kind()) else { return Ok(Begun::Settled) };
        let store = &self.shared.store;
        // A Host of that name may have been there before.
        while store.get(begin.kind(), &verdict.name_of(begin)).await.map_err(text)?.is_some() {
            verdict.availability.downs += 1;
        }
        let name = verdict.name_of(begin);
        let now = self.shared.clock.now();
        let is_counted = verdict.is_counted(begin);
        let decided = verdict.clone();
        let verdict = verdict.begun(begin, now);
        let of_policy = verdict.policy.clone().unwrap_or_default();
        for _ in 0..TRIES {
            let (Some(host), Some(policy)) = (seen.hosts.get(&verdict.host), seen.policies.get(&of_policy)) else { return Ok(Begun::Settled) };
            let typed: Object<v1::RemediationPolicy> = policy.typed().map_err(text)?;
            let mut ops = vec![Op::RequireNotFrozen, Op::RequireNoneOpen { kind: "Evacuation".into(), host: verdict.host.clone() }];
            // A drain gives way to an evacuation, and to nothing else.
            if begin != Begin::Evacuate {
                ops.push(Op::RequireNoneOpen { kind: "HostOperation".into(), host: verdict.host.clone() });
            }
            if !begin.is_return() {
                let Some(object) = counted(policy, &typed, is_counted, now)? else { return Ok(Begun::Settled) };
                ops.push(seen.still_counted());
                ops.push(Op::Update { expected: policy.metadata.revision(), object });
            } else {
                ops.push(Op::RequireVersion { kind: "RemediationPolicy".into(), name: of_policy.clone(), expected: policy.metadata.revision() });
            }
            ops.push(Op::Update { expected: host.metadata.revision(), object: self.host_with(host, &verdict)? });
            ops.push(Op::Create(registry::new_object(kind, &name, spec_of(begin, &decided, &typed), now).map_err(text)?));
            let reason = if begin.is_return() { "ReturnBegun" } else { "RecoveryBegun" };
            ops.push(self.shared.recorder.op(host, !begin.is_return(), reason, &note(begin, &name, &of_policy)));
            match self.commit(ops).await {
                Ok(done) => {
                    if let Some(down) = decided.availability.since.filter(|_| !begin.is_return()) {
                        self.shared.metrics.recovery("decide", (now.millis_since(down) as f64 / 1_000.0).max(0.0));
                    }
                    seen.begun(done.objects)?;
                    return Ok(Begun::Settled);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(other) => return Err(text(other)),
            }
            if !begin.is_return() && self.recount(seen).await? {
                return Ok(Begun::CountAnew);
            }
            let Some(host) = seen.hosts.get(&verdict.host) else { return Ok(Begun::Settled) };
            let Some(policy) = seen.policies.get(&of_policy) else { return Ok(Begun::Settled) };
            let fresh = (store.get("Host", &verdict.host).await.map_err(text)?, store.get("RemediationPolicy", &of_policy).await.map_err(text)?);
            let (Some(new_host), Some(new_policy)) = fresh else { return Ok(Begun::Settled) };
            let same = new_host.metadata.uid == host.metadata.uid
                && new_host.metadata.generation == host.metadata.generation
                && new_host.metadata.labels == host.metadata.labels
                && new_host.status["fence"] == host.status["fence"]
                && new_policy.metadata.uid == policy.metadata.uid
                && new_policy.metadata.generation == policy.metadata.generation;
            if !same {
                return Ok(Begun::Settled);
            }
            seen.hosts.insert(verdict.host.clone(), new_host);
            seen.policies.insert(of_policy.clone(), new_policy);
        }
        Ok(Begun::Settled)
    }

    /// Cancels an operation that took too long; what it has begun it settles first.
    pub(super) async fn cancel_late(&self, verdict: &HostVerdict) -> Result<(), String> {
        let Some(name) = &verdict.cancel else { return Ok(()) };
        for _ in 0..TRIES {
            let Some(mut object) = self.shared.store.get("HostOperation", name).await.map_err(text)? else { return Ok(()) };
            if object.spec["cancel"] == json!(Cancel::Requested) || object.status["finishedAt"].is_string() {
                return Ok(());
            }
            let expected = object.metadata.revision();
            object.spec["cancel"] = json!(Cancel::Requested);
            object.metadata.generation += 1;
            let told = self.shared.recorder.op(&object, true, "TookTooLong", "it is cancelled, because it took too long");
            match self.commit(vec![Op::Update { object, expected }, told]).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(other) => return Err(text(other)),
            }
        }
        Err(format!("HostOperation/{name} changes all the time; the next look goes on"))
    }
}
