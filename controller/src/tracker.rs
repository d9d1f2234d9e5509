//! The watch over all hosts: one read of Nova's services per look, one decision over all hosts, and few writes. It owns
//! `status.availability` and the condition RemediationAllowed of hosts, and the whole status of RemediationPolicies and
//! FailureDomains.

mod begin;
mod recount;
mod write;

use crate::World;
use begin::Begun;
use engine::Shared;
use futures::future::join_all;
use planner::{
    Fact,
    remediation::{self, HostRow, HostVerdict, Input, Observer, PolicyRow, Verdicts},
};
use schemas::{
    Conditions, DynObject, Object, Time,
    v1::{self, AvailabilityState, Operations, reasons},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError},
    time::Duration,
};
use store::{ListQuery, Op};

/// Longest pause between looks at the policies.
const PAUSE: Duration = Duration::from_secs(5);
/// Tries of a status write that others were in the way of.
const TRIES: usize = 5;
/// Hosts written in one transaction.
const BATCH: usize = 100;
/// Hosts whose guests are listed at the same time.
const LISTS: usize = 8;

pub(crate) struct Tracker {
    world: Arc<World>,
    shared: Shared,
    /// When the hosts of each policy were last looked at.
    looked: HashMap<String, Time>,
}

/// Everything of one pass.
struct Seen {
    input: Input,
    /// Revision from before evacuations were listed: what is written later was not counted.
    counted_at: i64,
    /// The objects as they were read, by name.
    hosts: BTreeMap<String, DynObject>,
    policies: BTreeMap<String, DynObject>,
    domains: BTreeMap<String, DynObject>,
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
        let (mut evacuations, counted_at) = self.evacuations().await?;
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
            let (open_evacuation, is_drained) = evacuations.remove(&name).map_or((None, false), |e| (Some(e.id), e.is_drain));
            rows.push(HostRow {
                up,
                open_operations: operations.remove(&name).unwrap_or_default(),
                open_evacuation,
                is_drained,
                last_operation: self.last_operation(&host).await?,
                ended: self.ended(&host).await?,
                last_evacuation: self.last_evacuation(&host).await?,
                operation_ended: self.operation_ended(&host).await?,
                guests: Fact::not_asked(),
                heard: heard.remove(&name).unwrap_or_default(),
                host,
            });
            hosts.insert(name, object);
        }
        let mut domains = BTreeMap::new();
        for object in store.list("FailureDomain", ListQuery::default()).await.map_err(text)?.items {
            domains.insert(object.metadata.name.clone(), object);
        }
        let cluster = store.get("ClusterPolicy", "default").await.map_err(text)?;
        let input = Input {
            hosts: rows,
            policies,
            domains: domains.values().map(|o| o.typed().map_err(text)).collect::<Result<_, String>>()?,
            observer,
            now,
            led_since: self.shared.led_since,
            frozen: cluster.is_some_and(|p| p.spec["operations"] == json!(Operations::Frozen)),
            halted: self.shared.halted.read().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        Ok(Seen { input, counted_at, hosts, policies: raw, domains })
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
        use AvailabilityState::{Recovered, Recovering};
        let Some(availability) = host.status.availability.as_ref().filter(|a| matches!(a.state, Recovering | Recovered)) else { return Ok(None) };
        self.end_of("Evacuation", availability.evacuation.as_deref()).await
    }

    /// The latest evacuation of a host that was evacuated without a person.
    async fn last_evacuation(&self, host: &Object<v1::Host>) -> Result<Option<String>, String> {
        if host.status.availability.as_ref().is_none_or(|a| a.state != AvailabilityState::Recovered) {
            return Ok(None);
        }
        let query = ListQuery { host: Some(host.metadata.name.clone()), ..Default::default() };
        let all = self.shared.store.list("Evacuation", query).await.map_err(text)?.items;
        // They follow each other, so the last one written is the newest, whatever clocks say.
        Ok(all.into_iter().max_by_key(|o| o.metadata.revision()).map(|newest| newest.metadata.name))
    }

    /// The reason that the automatic restart or return of a host ended with, if it is over.
    async fn operation_ended(&self, host: &Object<v1::Host>) -> Result<Option<String>, String> {
        use AvailabilityState::{Restarting, Returning};
        let Some(availability) = host.status.availability.as_ref().filter(|a| matches!(a.state, Restarting | Returning)) else { return Ok(None) };
        self.end_of("HostOperation", availability.operation.as_deref()).await
    }

    /// The reason that a one-shot object ended with; `NotFound` if it is gone.
    async fn end_of(&self, kind: &str, name: Option<&str>) -> Result<Option<String>, String> {
        let Some(object) = self.shared.store.get(kind, name.unwrap_or_default()).await.map_err(text)? else {
            return Ok(Some(reasons::NOT_FOUND.into()));
        };
        if object.status["finishedAt"].is_null() {
            return Ok(None);
        }
        let conditions: Vec<schemas::Condition> = serde_json::from_value(object.status["conditions"].clone()).map_err(text)?;
        Ok(Some(conditions.find("Succeeded").map(|c| c.reason.clone()).unwrap_or_default()))
    }

    async fn carry_out(&self, mut seen: Seen) -> Result<(), String> {
        let mut verdicts = remediation::pass(&seen.input);
        if verdicts.hosts.iter().any(|v| v.count_guests) {
            self.count_guests(&mut seen, &verdicts).await;
            verdicts = remediation::pass(&seen.input);
        }
        // Hosts for which it is settled in this pass whether something is begun.
        let mut settled = BTreeSet::new();
        for _ in 0..TRIES {
            if self.carry_out_verdicts(&mut seen, verdicts, &mut settled).await? {
                return Ok(());
            }
            verdicts = remediation::pass(&seen.input);
        }
        Err("evacuations are begun all the time; the next look goes on".into())
    }

    /// Lists the guests of hosts that would be evacuated.
    async fn count_guests(&self, seen: &mut Seen, verdicts: &Verdicts) {
        let wanted: BTreeSet<&str> = verdicts.hosts.iter().filter(|v| v.count_guests).map(|v| v.host.as_str()).collect();
        let mut rows: Vec<&mut HostRow> = seen.input.hosts.iter_mut().filter(|r| wanted.contains(r.host.metadata.name.as_str())).collect();
        for some in rows.chunks_mut(LISTS) {
            let lists = join_all(some.iter().map(|row| self.world.guests_of(&row.host.metadata.name))).await;
            for (row, list) in some.iter_mut().zip(lists) {
                row.guests = match list {
                    Fact::Seen(guests, at) => Fact::Seen(guests.len(), at),
                    Fact::Absent(at) => Fact::Absent(at),
                    Fact::Unknown(why) => Fact::Unknown(why),
                };
            }
        }
    }

    /// Writes what was decided, and begins what is to be begun. False: others begin as well, and what was counted does not hold
    /// any longer; it is counted anew in `seen`, for those that are not in `settled`.
    async fn carry_out_verdicts(&self, seen: &mut Seen, verdicts: Verdicts, settled: &mut BTreeSet<String>) -> Result<bool, String> {
        let Verdicts { mut hosts, policies, domains } = verdicts;
        hosts.retain(|v| !settled.contains(&v.host));
        self.write_policies(seen, &policies).await?;
        self.write_domains(seen, &domains).await?;
        let (begin, others): (Vec<HostVerdict>, Vec<HostVerdict>) = hosts.into_iter().partition(|v| v.begin.is_some());
        self.write_hosts(seen, &others).await?;
        for verdict in &others {
            self.cancel_late(verdict).await?;
        }
        for verdict in begin {
            let host = verdict.host.clone();
            if self.begin(seen, verdict).await? == Begun::CountAnew {
                return Ok(false);
            }
            settled.insert(host);
        }
        Ok(true)
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<store::Committed, store::StoreError> {
        self.shared.commit(ops).await
    }
}
