//! The watch over all hosts: one read of Nova's services per look, one decision over all hosts, and few writes. It owns
//! `status.availability` and the condition RemediationAllowed of hosts, and the whole status of RemediationPolicies and
//! FailureDomains.

mod begin;
mod gauges;
mod record;
mod recount;
mod write;

pub use record::Recording;

use crate::World;
use begin::Begun;
use engine::Shared;
use futures::future::join_all;
use planner::{
    Fact,
    remediation::{self, HostRow, HostVerdict, Input, Looked, Observer, PolicyRow, Verdicts},
};
use schemas::{
    Conditions, DynObject, Object, Time,
    v1::{self, AvailabilityState, Operations, reasons},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, PoisonError},
    time::Duration,
};
use store::{ListQuery, Op};

/// Longest pause between looks at the policies.
const PAUSE: Duration = Duration::from_secs(5);
/// Tries of a status write that others were in the way of.
const TRIES: usize = 5;
/// Looks in a row that Nova did not answer, after which it is told that nothing is begun: a single one is soon made good.
const BLIND_LOOKS: usize = 2;
/// Shortest time between two times that a look is kept for others, in seconds.
const KEPT_SECONDS: i64 = 5;
/// Hosts written in one transaction.
const BATCH: usize = 100;
/// Hosts whose guests are listed at the same time.
const LISTS: usize = 8;

pub(crate) struct Tracker {
    world: Arc<World>,
    shared: Shared,
    /// When the hosts of each policy were last looked at.
    looked: HashMap<String, Time>,
    /// Looks in a row that Nova did not answer.
    blind: usize,
    /// When a look was last kept for others.
    kept: Option<Time>,
    recorder: Option<record::Recorder>,
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

/// Nova's services and when they were read, or why they could not be.
type Read = Result<(Arc<Vec<cloud::Service>>, Time), String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Who speaks for those who look. Computes that are no hosts of ours, such as Ironic's, speak for none of them (S16).
fn observer(read: &Read, hosts: &[DynObject]) -> Observer {
    let services = match read {
        Ok((services, _)) => services,
        Err(why) => return Observer { unread: Some(why.clone()), ..Observer::default() },
    };
    let ours: HashSet<&str> = hosts.iter().map(|h| h.metadata.name.as_str()).collect();
    let up = |binary: &'static str| services.iter().filter(move |s| s.binary == binary && s.up == Some(true));
    // Before the first host is known there is nobody to be in doubt about.
    let computes_up = up("nova-compute").filter(|s| ours.is_empty() || ours.contains(s.host.as_str())).count();
    Observer { conductor_up: up("nova-conductor").next().is_some(), computes_up, unread: None }
}

impl Tracker {
    pub(crate) fn new(world: Arc<World>, shared: Shared) -> Self {
        Tracker { world, shared, looked: HashMap::new(), blind: 0, kept: None, recorder: None }
    }

    /// What it goes by and decides is recorded.
    pub(crate) fn recorded(self, recording: Option<Recording>) -> Self {
        let recorder = recording.map(|r| record::Recorder::start(r, self.shared.metrics.clone()));
        Tracker { recorder, ..self }
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
            let read = self.world.services(0).await.map_err(text);
            self.blind = if read.is_ok() { 0 } else { self.blind + 1 };
            let unread = read.as_ref().err().cloned();
            if unread.is_none() || self.blind >= BLIND_LOOKS {
                let seen = self.look(rows, policies, read, now).await?;
                if unread.is_none() {
                    self.looked.retain(|name, _| seen.policies.contains_key(name));
                    self.looked.extend(due.into_iter().map(|name| (name, now)));
                }
                let looked = self.carry_out(seen).await?;
                self.keep(&looked).await;
            }
            // Nobody was looked at: the next look comes soon.
            unread.map_or(Ok(()), Err)?;
        }
        Ok(pause)
    }

    /// Reads what a decision needs. `read`: Nova's services, or why they could not be read; then nothing is known of any host.
    async fn look(&self, policies: Vec<PolicyRow>, raw: BTreeMap<String, DynObject>, read: Read, now: Time) -> Result<Seen, String> {
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
        let all = store.list("Host", ListQuery::default()).await.map_err(text)?.items;
        let observer = observer(&read, &all);
        for object in all {
            let host: Object<v1::Host> = object.typed().map_err(text)?;
            // Its own reconciler comes first: a thousand new hosts are not written by both at once.
            if host.status.observed_generation == 0 {
                continue;
            }
            let name = host.metadata.name.clone();
            let up = match read.as_ref().map(|(services, at)| World::service_fact(services, &name, *at)) {
                Ok(Fact::Seen(service, at)) => Fact::Seen(service.up, at),
                Ok(Fact::Absent(at)) => Fact::Absent(at),
                Ok(Fact::Unknown(why)) => Fact::Unknown(why),
                Err(why) => Fact::Unknown(why.clone()),
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

    /// The latest evacuation of a host that is, or was, evacuated without a person.
    async fn last_evacuation(&self, host: &Object<v1::Host>) -> Result<Option<String>, String> {
        use AvailabilityState::{Recovered, Recovering};
        if host.status.availability.as_ref().is_none_or(|a| !matches!(a.state, Recovering | Recovered)) {
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

    async fn carry_out(&self, mut seen: Seen) -> Result<Looked, String> {
        let mut verdicts = remediation::pass(&seen.input);
        if verdicts.hosts.iter().any(|v| v.count_guests) {
            self.count_guests(&mut seen, &verdicts).await;
            verdicts = remediation::pass(&seen.input);
        }
        if let Some(recorder) = &self.recorder {
            recorder.take(&seen.input, &verdicts);
        }
        let looked = Looked::of(&seen.input);
        gauges::of_hosts(&self.shared.metrics, &seen.input.hosts, &verdicts.hosts);
        // Hosts for which it is settled in this pass whether something is begun.
        let mut settled = BTreeSet::new();
        for _ in 0..TRIES {
            if self.carry_out_verdicts(&mut seen, verdicts, &mut settled).await? {
                return Ok(looked);
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

    /// Keeps a look for those who ask what would be decided now. Nothing depends on it.
    async fn keep(&mut self, looked: &Looked) {
        let now = self.shared.clock.now();
        if self.kept.is_some_and(|at| (0..KEPT_SECONDS).contains(&now.seconds_since(at))) {
            return;
        }
        let Some(observation) = looked.observation(now) else { return };
        match self.commit(vec![Op::PutObservation(observation)]).await {
            Ok(_) => self.kept = Some(now),
            Err(error) => tracing::warn!(%error, "what was seen could not be kept for dry runs; nothing else is held up by that"),
        }
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<store::Committed, store::StoreError> {
        self.shared.commit(ops).await
    }
}
