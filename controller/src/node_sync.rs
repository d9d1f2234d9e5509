//! Node synchronisation: hosts appear from Nova. It owns no spec field, and deletes nothing.

use crate::{World, world::is_ironic};
use engine::{Key, Queue, Shared, queue::priority};
use schemas::{kinds, v1::ClusterPolicy};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use store::{Op, StoreError};

/// Age up to which the list of hypervisors is good, in milliseconds: the type of one does not change, and for a host that is
/// not in it it is read anew.
const SLOW_LIST_MS: i64 = 600_000;
/// Age up to which the list of services is good, in milliseconds: the watch over hosts reads it as often.
const SERVICES_MS: i64 = 30_000;
/// Hosts created in one transaction.
const BATCH: usize = 100;

/// What of a service row makes its host worth a look.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    up: Option<bool>,
    enabled: Option<bool>,
    forced_down: bool,
    disabled_reason: Option<String>,
    beats: Option<bool>,
}

pub(crate) struct NodeSync {
    pub world: Arc<World>,
    pub shared: Shared,
    pub queue: Arc<Queue>,
    known: BTreeMap<String, Row>,
}

impl NodeSync {
    pub(crate) fn new(world: Arc<World>, shared: Shared, queue: Arc<Queue>) -> Self {
        NodeSync { world, shared, queue, known: BTreeMap::new() }
    }

    /// One pass of those that come every `interval`. A list that could not be read changes nothing.
    pub(crate) async fn pass(&mut self, interval: Duration) -> Result<(), String> {
        let half = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX) / 2;
        let (services, _) = self.world.services(half.min(SERVICES_MS)).await.map_err(|e| e.to_string())?;
        let computes: Vec<_> = services.iter().filter(|s| s.binary == "nova-compute").collect();
        let mut types = self.hypervisor_types(SLOW_LIST_MS).await?;
        // What a new host is has to be known before it is taken for one of ours.
        if computes.iter().any(|s| !self.known.contains_key(&s.host) && !types.contains_key(&s.host)) {
            types = self.hypervisor_types(0).await?;
        }
        let ironic = |host: &String| types.get(host).is_some_and(|t| is_ironic(t));
        let interval = self.report_interval().await?;
        let mut seen: BTreeMap<String, Row> = BTreeMap::new();
        for s in computes.into_iter().filter(|s| !ironic(&s.host)) {
            let beats = planner::liveness::beats(&self.world.beats.of(&s.id), interval);
            let row = Row { up: s.up, enabled: s.enabled, forced_down: s.forced_down, disabled_reason: s.disabled_reason.clone(), beats };
            seen.insert(s.host.clone(), row);
        }
        let mut missing = Vec::new();
        for host in seen.keys() {
            if !self.known.contains_key(host) && self.shared.store.get("Host", host).await.map_err(|e| e.to_string())?.is_none() {
                missing.push(host.clone());
            }
        }
        // Without a hypervisor nobody can tell whether it is Ironic's; it is looked at again in the next pass.
        let (mut missing, unclear): (Vec<String>, Vec<String>) = missing.into_iter().partition(|host| types.contains_key(host));
        seen.retain(|host, _| !unclear.contains(host));
        missing.sort();
        self.create(missing).await?;
        let changed = seen.iter().filter(|(host, row)| self.known.get(*host) != Some(row)).map(|(host, _)| host);
        let vanished = self.known.keys().filter(|host| !seen.contains_key(*host));
        for host in changed.chain(vanished) {
            self.queue.add(Key::new("Host", host.clone()), Duration::ZERO, priority::CHANGED);
        }
        self.known = seen;
        Ok(())
    }

    /// Nova's report interval, in seconds.
    async fn report_interval(&self) -> Result<i64, String> {
        let policy = self.shared.store.get("ClusterPolicy", "default").await.map_err(|e| e.to_string())?;
        let spec = policy.and_then(|p| p.typed::<ClusterPolicy>().ok()).map(|p| p.spec).unwrap_or_default();
        Ok(spec.nova_report_interval_seconds)
    }

    /// Types of hypervisors by service host; the power of `ironic` ones is Ironic's (S16).
    async fn hypervisor_types(&self, max_age_ms: i64) -> Result<HashMap<String, String>, String> {
        let all = self.world.hypervisors(max_age_ms).await.map_err(|e| e.to_string())?;
        Ok(all.iter().map(|h| (h.service_host.clone(), h.hypervisor_type.clone())).collect())
    }

    async fn create(&self, hosts: Vec<String>) -> Result<(), String> {
        let Some(kind) = kinds::find("Host") else { return Ok(()) };
        let now = self.shared.clock.now();
        for batch in hosts.chunks(BATCH) {
            let mut ops = Vec::new();
            for host in batch {
                match registry::new_object(kind, host, serde_json::json!({}), now) {
                    Ok(object) => ops.push(Op::Create(object)),
                    Err(error) => tracing::warn!(host, %error, "this Nova host cannot be a Host object"),
                }
            }
            match self.shared.commit(ops).await {
                Ok(_) => tracing::info!(hosts = batch.len(), "hosts appeared in Nova"),
                Err(StoreError::AlreadyExists(what)) => return Err(format!("{what} appeared meanwhile; the next pass goes on")),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}
