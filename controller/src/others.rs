//! Whether another host, to which a move was under way, is proven off (S6).

use crate::World;
use planner::{
    Env,
    facts::HostFacts,
    proof::{self, EvidenceBody},
};
use store::ListQuery;

impl World {
    /// Those destinations of open moves that are proven off, each by its own links, in its own epoch. What cannot be read, or
    /// is being worked on, is not.
    pub(crate) async fn destinations_off(&self, facts: &HostFacts, env: &Env) -> Vec<String> {
        let open = facts.moves.seen().into_iter().flatten().filter(|m| !m.is_final());
        let mut hosts: Vec<String> = open.filter_map(|m| m.destination.clone()).filter(|d| *d != facts.host).collect();
        hosts.sort();
        hosts.dedup();
        // Hosts that are up are none of these.
        let up = facts.others_up.seen();
        hosts.retain(|h| up.is_some_and(|up| !up.contains(h)));
        let mut off = Vec::new();
        for host in hosts {
            if self.is_off(&host, env).await {
                off.push(host);
            }
        }
        off
    }

    async fn is_off(&self, host: &str, env: &Env) -> bool {
        let Ok(row) = self.store.evidence(host).await else { return false };
        let Ok(evidence) = serde_json::from_value::<EvidenceBody>(row.body) else { return false };
        // While a call may still change its power, or its service row, readings prove nothing (S4, S5).
        let open = ListQuery { host: Some(host.into()), open_only: true, ..Default::default() };
        let Ok(open) = self.store.list("Operation", open).await else { return false };
        if open.items.iter().any(|o| matches!(o.spec["action"]["type"].as_str(), Some("power" | "novaService") | None)) {
            return false;
        }
        let Ok((services, at)) = self.services(0).await else { return false };
        let mut facts = HostFacts::blind(host, "not read in this pass");
        facts.service = Self::service_fact(&services, host, at);
        let Some(service_id) = facts.service.seen().map(|s| s.id.clone()) else { return false };
        facts.links = self.link_facts(host, Some(&service_id), false).await;
        self.read_again(host, &mut facts.links).await;
        proof::proven_off_elsewhere(&evidence, &facts, &Env { now: self.clock.now(), ..env.clone() })
    }
}
