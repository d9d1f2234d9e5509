//! Where the guests of a dead host could go, and who else goes there.

use crate::{
    World,
    world::{SLOW_LISTS_MS, unknown},
};
use cloud::{CloudResult, Room, ServerGroup};
use planner::{
    Fact,
    facts::{Destination, GroupFacts, GroupRule, Guest, HostFacts, OtherMove},
    guest_policy::Rules,
};
use schemas::{
    Object, Time,
    v1::{self, ClusterPolicySpec, EvacuationSpec, GuestOutcome},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use store::{ListQuery, StoreError};

/// Age up to which free room of hosts, and where guests of other hosts are, is good, in milliseconds; what is sent meanwhile is
/// counted beside it.
const ROOM_MS: i64 = 10_000;
/// A guest that moved is counted beside the room so many seconds: longer than the room is remembered.
pub(crate) const RECENT_SECONDS: i64 = 15;

impl World {
    /// Reads all that a plan for a host's guests goes by, other than the guests. The rest must have been read.
    pub(crate) async fn read_sites(&self, facts: &mut HostFacts, owner_uid: &str) {
        let (destinations, groups, others, policies) =
            tokio::join!(self.destinations(&facts.host), self.groups(&facts.guests), self.others(&facts.host, owner_uid), self.guest_rules());
        facts.destinations = destinations;
        facts.groups = groups;
        facts.others = others;
        facts.guest_policies = policies;
        if let Fact::Seen(rooms, _) = &mut facts.destinations {
            // Nova shows a host up for a while after it went off.
            rooms.retain(|d| !facts.others_off.contains(&d.host));
        }
    }

    /// What would become of a host's guests if it were dead now, as the API shows it.
    pub async fn plan_view(&self, host: &str, policy: &ClusterPolicySpec) -> Result<serde_json::Value, String> {
        let mut facts = HostFacts::blind(host, "not read");
        let (services, at) = self.services(2_000).await.map_err(|e| e.to_string())?;
        facts.service = World::service_fact(&services, host, at);
        let ((guests, moves), disks) = tokio::join!(self.lists_of(host), self.disks(host, policy));
        (facts.guests, facts.moves, facts.disks) = (guests, moves, disks);
        facts.microversion = self.microversion().await;
        self.read_sites(&mut facts, "").await;
        let facts = self.with_standby_hosts(facts, "").await;
        let spec: EvacuationSpec = schemas::object::decode("spec", &serde_json::json!({"hostRef": {"name": host}})).map_err(|e| e.to_string())?;
        let plan = planner::evacuation::preview(spec, &facts, policy, self.clock.now())?;
        serde_json::to_value(plan).map_err(|e| e.to_string())
    }

    /// Enabled hosts that are up, with what they had free at the time the fact carries.
    async fn destinations(&self, source: &str) -> Fact<Vec<Destination>> {
        match self.try_destinations(source).await {
            Ok((destinations, at)) => Fact::Seen(destinations, at),
            Err(error) => unknown(&error),
        }
    }

    async fn try_destinations(&self, source: &str) -> CloudResult<(Vec<Destination>, Time)> {
        let (services, _) = self.services(2_000).await?;
        let aggregates = self.aggregates().await?.0;
        let (rooms, at) = self.rooms.get(self.clock.as_ref(), ROOM_MS, || self.cloud.rooms()).await?;
        let of_provider: HashMap<&str, &Room> = rooms.iter().map(|r| (r.provider.as_str(), r)).collect();
        // A host may have come up, or have been enabled, after its hypervisor was last listed.
        let mut hypervisors = self.hypervisors(SLOW_LISTS_MS).await?;
        let known: HashSet<&str> = hypervisors.iter().map(|h| h.id.as_str()).collect();
        if rooms.iter().any(|r| !known.contains(r.provider.as_str())) {
            hypervisors = self.hypervisors(ROOM_MS).await?;
        }
        let room_of: HashMap<&str, &Room> =
            hypervisors.iter().filter_map(|h| Some((h.service_host.as_str(), *of_provider.get(h.id.as_str())?))).collect();
        let mut aggregates_of: HashMap<&str, Vec<(String, String)>> = HashMap::new();
        for aggregate in aggregates.iter() {
            for host in &aggregate.hosts {
                let pairs = aggregate.metadata.iter().map(|(k, v)| (k.clone(), v.clone()));
                aggregates_of.entry(host.as_str()).or_default().extend(pairs);
            }
        }
        let destination = |s: &cloud::Service| {
            let room = room_of.get(s.host.as_str())?;
            let of = |f: fn(&cloud::Share) -> i64| room.resources.iter().map(|(class, share)| (class.clone(), f(share))).collect();
            Some(Destination {
                host: s.host.clone(),
                zone: s.zone.clone(),
                free: of(|s| s.capacity - s.used),
                capacity: of(|s| s.capacity),
                traits: room.traits.clone(),
                aggregates: aggregates_of.get(s.host.as_str()).cloned().unwrap_or_default(),
            })
        };
        let fit = |s: &&cloud::Service| s.binary == "nova-compute" && s.enabled == Some(true) && s.up == Some(true) && s.host != source;
        Ok((services.iter().filter(fit).filter_map(destination).collect(), at))
    }

    pub(crate) async fn all_groups(&self) -> CloudResult<Arc<Vec<ServerGroup>>> {
        Ok(self.server_groups.get(self.clock.as_ref(), ROOM_MS, || self.cloud.server_groups()).await?.0)
    }

    /// Server groups of these guests.
    pub(crate) async fn groups(&self, guests: &Fact<Vec<Guest>>) -> Fact<Vec<GroupFacts>> {
        let Some(here) = guests.seen() else { return Fact::Unknown(guests.why().into()) };
        let all = match self.all_groups().await {
            Ok(all) => all,
            Err(error) => return unknown(&error),
        };
        let here: HashSet<&str> = here.iter().map(|guest| guest.id.as_str()).collect();
        let of_ours: Vec<&ServerGroup> = all.iter().filter(|g| g.members.iter().any(|m| here.contains(m.as_str()))).collect();
        if of_ours.is_empty() {
            return Fact::Seen(Vec::new(), self.clock.now());
        }
        let (lives, at) = match self.all_guests(ROOM_MS).await {
            Ok(found) => found,
            Err(error) => return unknown(&error),
        };
        let mut host_of: HashMap<&str, &str> = HashMap::new();
        for guest in lives.values().flatten() {
            host_of.extend(guest.host.as_deref().map(|host| (guest.id.as_str(), host)));
        }
        let facts = |g: &&ServerGroup| GroupFacts {
            id: g.id.clone(),
            name: g.name.clone(),
            rule: match g.policy.as_str() {
                "affinity" => GroupRule::Affinity,
                "anti-affinity" => GroupRule::AntiAffinity(g.max_per_host),
                "soft-anti-affinity" => GroupRule::SoftAntiAffinity,
                _ => GroupRule::Other,
            },
            members: g.members.iter().map(|m| (m.clone(), host_of.get(m.as_str()).map(|h| h.to_string()))).collect(),
        };
        Fact::Seen(of_ours.iter().map(facts).collect(), at)
    }

    /// What the evacuations of other hosts move, or plan to.
    async fn others(&self, host: &str, owner_uid: &str) -> Fact<Vec<OtherMove>> {
        let (Ok(open), now) = (self.store.list("Evacuation", ListQuery { open_only: true, ..Default::default() }).await, self.clock.now()) else {
            return Fact::Unknown("evacuations of other hosts cannot be read from the database".into());
        };
        let mut others = Vec::new();
        let mut sources = Vec::new();
        for object in open.items {
            let Ok(evacuation) = object.typed::<v1::EvacuationKind>() else {
                return Fact::Unknown(format!("{} cannot be read", object.id()));
            };
            if evacuation.spec.host_ref.name != host && evacuation.metadata.uid != owner_uid {
                sources.push(evacuation);
            }
        }
        if sources.is_empty() {
            return Fact::Seen(others, now);
        }
        let lives = match self.all_guests(ROOM_MS).await {
            Ok((lives, _)) => lives,
            Err(error) => return unknown(&error),
        };
        for evacuation in &sources {
            others.extend(moves_of(evacuation, lives.get(&evacuation.spec.host_ref.name).map_or(&[], Vec::as_slice), now));
        }
        Fact::Seen(others, now)
    }

    /// All GuestPolicies.
    pub(crate) async fn guest_rules(&self) -> Fact<Arc<Rules>> {
        let read = async {
            let items = self.store.list("GuestPolicy", ListQuery::default()).await?.items;
            let typed: Result<Vec<Object<v1::GuestPolicy>>, _> = items.iter().map(schemas::DynObject::typed).collect();
            typed.map(Rules::of).map_err(|e| StoreError::Corrupt(e.to_string()))
        };
        match read.await {
            Ok(rules) => Fact::Seen(Arc::new(rules), self.clock.now()),
            Err(error) => Fact::Unknown(error.to_string()),
        }
    }
}

/// What one evacuation moves, or plans to. `lives`: guests that Nova shows on its host. One that it shows elsewhere by now takes
/// room there already, or will before it is sent.
fn moves_of(evacuation: &Object<v1::EvacuationKind>, lives: &[Guest], now: Time) -> Vec<OtherMove> {
    let recent = now.plus_seconds(-RECENT_SECONDS);
    let mut moves = Vec::new();
    for m in &evacuation.status.guests {
        let (destination, sent) = match m.outcome {
            GuestOutcome::Pending => (&m.planned, false),
            GuestOutcome::Moving | GuestOutcome::NeedsHuman => (&m.destination, true),
            GuestOutcome::Moved if m.finished_at.is_some_and(|at| at >= recent) => (&m.destination, false),
            _ => continue,
        };
        if !destination.is_empty() {
            let needs = lives.iter().find(|g| g.id == m.id).map(|g| g.needs.clone()).unwrap_or_default();
            moves.push(OtherMove { guest: m.id.clone(), destination: destination.clone(), needs, sent });
        }
    }
    moves
}
