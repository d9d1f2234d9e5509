//! The watch over all hosts: one read of Nova's services per look, one decision over all hosts, and few writes. It owns
//! `status.availability` and the condition RemediationAllowed of hosts, and the whole status of RemediationPolicies.

use crate::World;
use engine::Shared;
use planner::{
    Fact,
    remediation::{self, Answer, HostRow, HostVerdict, Input, Observer, PolicyRow, PolicyVerdict},
};
use schemas::{
    Conditions, DynObject, Object, Time, kinds,
    v1::{self, AvailabilityState, Cause, Operations, RemediationPolicyStatus, reasons},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError},
    time::Duration,
};
use store::{Guard, ListQuery, Op, StoreError};

/// Longest pause between looks at the policies.
const PAUSE: Duration = Duration::from_secs(5);
/// Tries of a status write that others were in the way of.
const TRIES: usize = 5;
/// Hosts written in one transaction.
const BATCH: usize = 100;

pub(crate) struct Tracker {
    world: Arc<World>,
    shared: Shared,
    /// When the hosts of each policy were last looked at.
    looked: HashMap<String, Time>,
}

/// Everything of one pass.
struct Seen {
    input: Input,
    /// The objects as they were read, by name.
    hosts: BTreeMap<String, DynObject>,
    policies: BTreeMap<String, DynObject>,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Tracker {
    pub(crate) fn new(world: Arc<World>, shared: Shared) -> Self {
        Tracker { world, shared, looked: HashMap::new() }
    }

    /// Looks at the hosts of the policies that are due, and gives the pause until the next look.
    pub(crate) async fn pass(&mut self) -> Result<Duration, String> {
        let now = self.shared.clock.now();
        let (mut policies, mut rows, mut pause) = (BTreeMap::new(), Vec::new(), PAUSE);
        for object in self.shared.store.list("RemediationPolicy", ListQuery::default()).await.map_err(text)?.items {
            let policy: Object<v1::RemediationPolicy> = object.typed().map_err(text)?;
            let name = object.metadata.name.clone();
            let interval = policy.spec.detection.interval_seconds;
            let passed = self.looked.get(&name).map(|at| now.seconds_since(*at));
            let due = passed.is_none_or(|s| !(0..interval).contains(&s));
            let left = if due { interval } else { interval - passed.unwrap_or(0) };
            pause = pause.min(Duration::from_secs(u64::try_from(left).unwrap_or(1).max(1)));
            rows.push(PolicyRow { policy, due });
            policies.insert(name, object);
        }
        if rows.iter().any(|r| r.due) {
            let due: Vec<String> = rows.iter().filter(|r| r.due).map(|r| r.policy.metadata.name.clone()).collect();
            let seen = self.look(rows, policies, now).await?;
            self.looked.retain(|name, _| seen.policies.contains_key(name));
            self.looked.extend(due.into_iter().map(|name| (name, now)));
            self.carry_out(seen).await?;
        }
        Ok(pause)
    }

    /// Reads what a decision needs.
    async fn look(&self, policies: Vec<PolicyRow>, raw: BTreeMap<String, DynObject>, now: Time) -> Result<Seen, String> {
        let (services, at) = self.world.services(0).await.map_err(text)?;
        let up = |binary: &str| services.iter().filter(|s| s.binary == binary && s.up == Some(true)).count();
        let observer = Observer { conductor_up: up("nova-conductor") > 0, computes_up: up("nova-compute") };
        let store = &self.shared.store;
        let open = || ListQuery { open_only: true, ..Default::default() };
        let mut operations: BTreeMap<String, Vec<Object<v1::HostOperation>>> = BTreeMap::new();
        for object in store.list("HostOperation", open()).await.map_err(text)?.items {
            let operation: Object<v1::HostOperation> = object.typed().map_err(text)?;
            operations.entry(operation.spec.host_ref.name.clone()).or_default().push(operation);
        }
        let mut evacuations: BTreeMap<String, String> = BTreeMap::new();
        for object in store.list("Evacuation", open()).await.map_err(text)?.items {
            if let Some(host) = object.spec["hostRef"]["name"].as_str() {
                evacuations.insert(host.into(), object.id());
            }
        }
        let mut heard = self.world.heard().await?;
        let (mut hosts, mut rows) = (BTreeMap::new(), Vec::new());
        for object in store.list("Host", ListQuery::default()).await.map_err(text)?.items {
            let host: Object<v1::Host> = object.typed().map_err(text)?;
            // Its own reconciler comes first: a thousand new hosts are not written by both at once.
            if host.status.observed_generation == 0 {
                continue;
            }
            let name = host.metadata.name.clone();
            let up = match World::service_fact(&services, &name, at) {
                Fact::Seen(service, at) => Fact::Seen(service.up, at),
                Fact::Absent(at) => Fact::Absent(at),
                Fact::Unknown(why) => Fact::Unknown(why),
            };
            rows.push(HostRow {
                up,
                open_operations: operations.remove(&name).unwrap_or_default(),
                open_evacuation: evacuations.remove(&name),
                last_operation: self.last_operation(&host).await?,
                ended: self.ended(&host).await?,
                guests: Fact::not_asked(),
                heard: heard.remove(&name).unwrap_or_default(),
                host,
            });
            hosts.insert(name, object);
        }
        let cluster = store.get("ClusterPolicy", "default").await.map_err(text)?;
        let input = Input {
            hosts: rows,
            policies,
            observer,
            now,
            led_since: self.shared.led_since,
            frozen: cluster.is_some_and(|p| p.spec["operations"] == json!(Operations::Frozen)),
            halted: self.shared.halted.read().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        Ok(Seen { input, hosts, policies: raw })
    }

    /// The newest operation of a host that is not up.
    async fn last_operation(&self, host: &Object<v1::Host>) -> Result<Option<Object<v1::HostOperation>>, String> {
        if host.status.availability.as_ref().is_none_or(|a| a.state < AvailabilityState::Off) {
            return Ok(None);
        }
        let query = ListQuery { host: Some(host.metadata.name.clone()), ..Default::default() };
        let all = self.shared.store.list("HostOperation", query).await.map_err(text)?.items;
        all.into_iter().max_by_key(|o| o.metadata.creation_timestamp).map(|newest| newest.typed().map_err(text)).transpose()
    }

    /// The reason that the automatic evacuation of a host ended with, if it is over.
    async fn ended(&self, host: &Object<v1::Host>) -> Result<Option<String>, String> {
        let Some(availability) = host.status.availability.as_ref().filter(|a| a.state == AvailabilityState::Recovering) else { return Ok(None) };
        let name = availability.evacuation.as_deref().unwrap_or_default();
        let Some(object) = self.shared.store.get("Evacuation", name).await.map_err(text)? else { return Ok(Some(reasons::NOT_FOUND.into())) };
        let evacuation: Object<v1::EvacuationKind> = object.typed().map_err(text)?;
        let reason = evacuation.status.conditions.find("Succeeded").map(|c| c.reason.clone()).unwrap_or_default();
        Ok(evacuation.status.finished_at.map(|_| reason))
    }

    async fn carry_out(&self, mut seen: Seen) -> Result<(), String> {
        let (mut hosts, mut policies) = remediation::pass(&seen.input);
        if hosts.iter().any(|v| v.count_guests) {
            for verdict in hosts.iter().filter(|v| v.count_guests) {
                if let Some(row) = seen.input.hosts.iter_mut().find(|r| r.host.metadata.name == verdict.host) {
                    row.guests = match self.world.guests_of(&verdict.host).await {
                        Fact::Seen(guests, at) => Fact::Seen(guests.len(), at),
                        Fact::Absent(at) => Fact::Absent(at),
                        Fact::Unknown(why) => Fact::Unknown(why),
                    };
                }
            }
            (hosts, policies) = remediation::pass(&seen.input);
        }
        self.write_policies(&mut seen, &policies).await?;
        let (begin, others): (Vec<HostVerdict>, Vec<HostVerdict>) = hosts.into_iter().partition(|v| v.begin);
        self.write_hosts(&seen, &others).await?;
        for verdict in begin {
            self.begin(&mut seen, verdict).await?;
        }
        Ok(())
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<store::Committed, StoreError> {
        self.shared.store.commit(Guard::Lease(self.shared.gate.token()), self.shared.clock.now(), ops).await
    }

    async fn write_policies(&self, seen: &mut Seen, verdicts: &[PolicyVerdict]) -> Result<(), String> {
        for verdict in verdicts {
            let Some(old) = seen.policies.get(&verdict.policy).cloned() else { continue };
            let new = self.policy_with(&old, verdict)?;
            if new == old {
                continue;
            }
            let done = self.commit(vec![Op::Update { object: new, expected: old.metadata.revision() }]).await.map_err(text)?;
            if let Some(object) = done.objects.into_iter().next() {
                seen.policies.insert(verdict.policy.clone(), object);
            }
            if reason_of(&old) != verdict.allowed.reason && verdict.allowed.reason == reasons::STORM_LIMIT {
                self.shared.recorder.record(&old, true, verdict.allowed.reason, &verdict.allowed.message).await;
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
            ..typed.status
        };
        self.set(&mut status.conditions, &verdict.allowed, old.metadata.generation);
        Ok(DynObject { status: serde_json::to_value(status).map_err(text)?, ..old.clone() })
    }

    fn set(&self, conditions: &mut Vec<schemas::Condition>, allowed: &Answer, generation: i64) {
        conditions.set("RemediationAllowed", allowed.status, allowed.reason, &allowed.message, generation, self.shared.clock.now());
    }

    fn host_with(&self, old: &DynObject, verdict: &HostVerdict) -> Result<DynObject, String> {
        let mut host: Object<v1::Host> = old.typed().map_err(text)?;
        host.status.availability = Some(verdict.availability.clone());
        self.set(&mut host.status.conditions, &verdict.allowed, old.metadata.generation);
        Ok(DynObject { status: serde_json::to_value(host.status).map_err(text)?, ..old.clone() })
    }

    async fn write_hosts(&self, seen: &Seen, verdicts: &[HostVerdict]) -> Result<(), String> {
        let mut changed = Vec::new();
        for verdict in verdicts {
            let Some(old) = seen.hosts.get(&verdict.host) else { continue };
            let new = self.host_with(old, verdict)?;
            if new != *old {
                changed.push((verdict, old, new));
            }
        }
        for batch in changed.chunks(BATCH) {
            let ops = batch.iter().map(|(_, old, new)| Op::Update { object: new.clone(), expected: old.metadata.revision() }).collect();
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
            for (verdict, old, _) in batch {
                self.tell(old, verdict).await;
            }
        }
        Ok(())
    }

    async fn write_host(&self, verdict: &HostVerdict) -> Result<(), String> {
        for _ in 0..TRIES {
            let Some(old) = self.shared.store.get("Host", &verdict.host).await.map_err(text)? else { return Ok(()) };
            let op = Op::Update { object: self.host_with(&old, verdict)?, expected: old.metadata.revision() };
            match self.commit(vec![op]).await {
                Err(StoreError::Conflict { .. }) => {}
                other => return other.map(drop).map_err(text),
            }
        }
        Err(format!("Host/{} changes all the time; the next look goes on", verdict.host))
    }

    /// Begins the evacuation, in one transaction with what it counts for. A change of status meanwhile is no matter; a change of
    /// what was decided on, or a fence, turns it down, and the next look decides anew.
    async fn begin(&self, seen: &mut Seen, mut verdict: HostVerdict) -> Result<(), String> {
        let Some(kind) = kinds::find("Evacuation") else { return Ok(()) };
        let store = &self.shared.store;
        // A Host of that name may have been there before.
        while store.get("Evacuation", &verdict.evacuation_name()).await.map_err(text)?.is_some() {
            verdict.availability.downs += 1;
        }
        let name = verdict.evacuation_name();
        let now = self.shared.clock.now();
        let verdict = verdict.begun(now);
        let of_policy = verdict.policy.clone().unwrap_or_default();
        for _ in 0..TRIES {
            let (Some(host), Some(policy)) = (seen.hosts.get(&verdict.host), seen.policies.get(&of_policy)) else { return Ok(()) };
            let typed: Object<v1::RemediationPolicy> = policy.typed().map_err(text)?;
            let spec = json!({"hostRef": {"name": verdict.host}, "cause": Cause::Automatic, "localDisks": typed.spec.evacuation.local_disks,
                "evidence": typed.spec.evidence});
            let mut counted = policy.clone();
            counted.status["begun"] = json!(typed.status.begun + 1);
            let ops = vec![
                Op::RequireNotFrozen,
                Op::RequireNoneOpen { kind: "Evacuation".into(), host: verdict.host.clone() },
                Op::Update { expected: policy.metadata.revision(), object: counted },
                Op::Update { expected: host.metadata.revision(), object: self.host_with(host, &verdict)? },
                Op::Create(registry::new_object(kind, &name, spec, now).map_err(text)?),
            ];
            match self.commit(ops).await {
                Ok(done) => {
                    let note = format!("it is down, and RemediationPolicy {of_policy} holds: Evacuation/{name} fences it and rebuilds its guests");
                    self.shared.recorder.record(host, true, "RecoveryBegun", &note).await;
                    seen.policies.extend(done.objects.into_iter().filter(|o| o.kind == "RemediationPolicy").map(|o| (o.metadata.name.clone(), o)));
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(other) => return Err(text(other)),
            }
            let fresh = (store.get("Host", &verdict.host).await.map_err(text)?, store.get("RemediationPolicy", &of_policy).await.map_err(text)?);
            let (Some(new_host), Some(new_policy)) = fresh else { return Ok(()) };
            let same = new_host.metadata.uid == host.metadata.uid
                && new_host.metadata.generation == host.metadata.generation
                && new_host.metadata.labels == host.metadata.labels
                && new_host.status["fence"] == host.status["fence"]
                && new_policy.metadata.uid == policy.metadata.uid
                && new_policy.metadata.generation == policy.metadata.generation;
            if !same {
                return Ok(());
            }
            seen.hosts.insert(verdict.host.clone(), new_host);
            seen.policies.insert(of_policy.clone(), new_policy);
        }
        Ok(())
    }

    /// What people should hear of: hosts that went down or came back, and why nothing is done.
    async fn tell(&self, old: &DynObject, verdict: &HostVerdict) {
        use AvailabilityState::{Down, Recovered, Up};
        let before = old.typed::<v1::Host>().ok().and_then(|h| h.status.availability).unwrap_or_default().state;
        let now = verdict.availability.state;
        let recorder = &self.shared.recorder;
        match (before, now) {
            (Down, Down) if reason_of(old) == verdict.allowed.reason => {}
            (_, Down) => {
                let Answer { reason, message, .. } = &verdict.allowed;
                recorder.record(old, true, "HostDown", &format!("Nova calls it down; {reason}: {message}")).await;
            }
            (Down | Recovered, Up) => recorder.record(old, false, "HostUp", "Nova calls it up again").await,
            (_, Recovered) if before != now => {
                recorder.record(old, false, reasons::RECOVERY_ENDED, &verdict.allowed.message).await;
            }
            _ => {}
        }
    }
}

/// The reason of an object's condition RemediationAllowed.
fn reason_of(object: &DynObject) -> &str {
    let conditions = object.status["conditions"].as_array().into_iter().flatten();
    conditions.filter(|c| c["type"] == "RemediationAllowed").filter_map(|c| c["reason"].as_str()).next().unwrap_or_default()
}
