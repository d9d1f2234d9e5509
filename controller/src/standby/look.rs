//! Reading one standby host.

use crate::{World, world::Depth};
use planner::{Env, Fact, facts::HostFacts, proof::EvidenceBody, standby::Look};
use schemas::{
    Object,
    v1::{self, DrillDepth, DrillOutcome, LeaseState},
};
use std::collections::HashMap;
use store::ListQuery;

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// What is open on hosts, by their names.
#[derive(Default)]
pub(crate) struct Open {
    pub operations: HashMap<String, Vec<Object<v1::HostOperation>>>,
    /// Evacuations, oldest first.
    pub evacuations: Vec<Object<v1::EvacuationKind>>,
}

impl Open {
    pub fn evacuation_of(&self, host: &str) -> Option<String> {
        self.evacuations.iter().find(|e| e.spec.host_ref.name == host).map(|e| e.metadata.name.clone())
    }
}

impl World {
    pub(crate) async fn open(&self) -> Result<Open, String> {
        let query = || ListQuery { open_only: true, ..Default::default() };
        let mut open = Open::default();
        for object in self.store.list("HostOperation", query()).await.map_err(text)?.items {
            let operation: Object<v1::HostOperation> = object.typed().map_err(text)?;
            open.operations.entry(operation.spec.host_ref.name.clone()).or_default().push(operation);
        }
        for object in self.store.list("Evacuation", query()).await.map_err(text)?.items {
            open.evacuations.push(object.typed().map_err(text)?);
        }
        open.evacuations.sort_by_key(|e| (e.metadata.creation_timestamp, e.metadata.name.clone()));
        Ok(open)
    }

    pub(crate) async fn host_object(&self, name: &str) -> Result<Option<Object<v1::Host>>, String> {
        self.store.get("Host", name).await.map_err(text)?.map(|o| o.typed().map_err(text)).transpose()
    }

    pub(crate) async fn drills(&self) -> Result<Vec<Object<v1::FenceDrill>>, String> {
        let all = self.store.list("FenceDrill", ListQuery::default()).await.map_err(text)?.items;
        all.iter().map(|o| o.typed().map_err(text)).collect()
    }

    pub(crate) async fn pools(&self) -> Result<Vec<Object<v1::StandbyPool>>, String> {
        let all = self.store.list("StandbyPool", ListQuery::default()).await.map_err(text)?.items;
        all.iter().map(|o| o.typed().map_err(text)).collect()
    }

    /// What standby hosts mean for an evacuation: the one that was chosen for it is told, and those of others are no destinations
    /// of its guests. If that cannot be read, nobody knows where they may go.
    pub(crate) async fn with_standby_hosts(&self, mut facts: HostFacts, evacuation_uid: &str) -> HostFacts {
        let pools = match self.pools().await {
            Ok(pools) => pools,
            Err(why) => return HostFacts { destinations: Fact::Unknown(format!("StandbyPools: {why}")), ..facts },
        };
        let leases = || pools.iter().flat_map(|p| p.status.leased.iter().map(move |l| (p, l)));
        if let Fact::Seen(rooms, _) = &mut facts.destinations {
            rooms.retain(|d| leases().all(|(_, l)| l.host != d.host || l.evacuation_uid == evacuation_uid));
        }
        let told = |(pool, lease): (&Object<v1::StandbyPool>, &v1::StandbyLease)| {
            let what = if lease.state == LeaseState::Waking { "is being woken" } else { "was woken" };
            format!("standby host {} {what} for it (StandbyPool {})", lease.host, pool.metadata.name)
        };
        facts.standby = leases().rfind(|(_, l)| l.evacuation_uid == evacuation_uid).map(told);
        facts
    }

    /// All operations of a host, oldest first.
    pub(crate) async fn operations_of(&self, host: &str) -> Result<Vec<Object<v1::HostOperation>>, String> {
        let query = ListQuery { host: Some(host.into()), ..Default::default() };
        let all = self.store.list("HostOperation", query).await.map_err(text)?.items;
        let mut all = all.iter().map(|o| o.typed::<v1::HostOperation>().map_err(text)).collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|o| (o.metadata.creation_timestamp, o.metadata.revision()));
        Ok(all)
    }

    /// The host itself, everything read now.
    pub(crate) async fn standby_look(&self, host: &str, env: &Env) -> Result<Look, String> {
        let row = self.store.evidence(host).await.map_err(text)?;
        let evidence: EvidenceBody = if row.body.is_null() { EvidenceBody::default() } else { serde_json::from_value(row.body).map_err(text)? };
        let depth = Depth::Full { provider: true, destinations: false, identity: false };
        let mut facts = self.facts(host, depth, env, &[]).await;
        // What is remembered of before the last power command is of the life that was ended.
        let command = evidence.last_command_at.map(|at| env.ours(at));
        facts.beats.retain(|b| command.is_none_or(|command| b.at > command));
        Ok(Look { facts, fenced: evidence.latch.is_some() })
    }

    /// Its power links alone.
    pub(crate) async fn look_at_links(&self, host: &str) -> Look {
        let links = self.link_facts(host, None, false).await;
        Look { facts: HostFacts { links, ..HostFacts::blind(host, "only its power links are read") }, fenced: false }
    }
}

/// The drill that is powering a host off and on.
pub(crate) fn drill_on(drills: &[Object<v1::FenceDrill>], host: &str) -> Option<(String, i64)> {
    let tests = |d: &&Object<v1::FenceDrill>| d.status.hosts.iter().any(|h| h.host == host && h.outcome == DrillOutcome::Testing);
    let open = drills.iter().filter(|d| d.status.finished_at.is_none() && d.spec.depth == DrillDepth::Cycle);
    open.filter(tests).map(|d| (d.metadata.name.clone(), d.metadata.revision())).next()
}
