//! Reading Nova and Placement for one host. Never writes.

use crate::{beats::Beats, cache::Cached, links::Reads, warm::Followed};
use api_types::GuestRow;
use cloud::{Aggregate, CloudApi, CloudError, CloudResult, Hypervisor, Room, Server, ServerGroup, Service};
use engine::{Clock, Metrics};
use futures::future::join_all;
use planner::{
    Env, Fact, Step,
    facts::{Guest, HostFacts, Move, ProviderFacts, ServiceFacts},
};
use power::PowerDriver;
use schemas::{
    Time,
    v1::{ClusterPolicySpec, GuestDisks},
};
use std::{collections::HashMap, sync::Arc};
use store::Store;

/// The trait that Placement shows for a disabled compute node.
const DISABLED_TRAIT: &str = "COMPUTE_STATUS_DISABLED";
/// Power links are read once more if their readings got older than this while the rest was read, in milliseconds.
pub(crate) const OLD_READING_MS: i64 = 1_500;
/// Time for which one look at a host serves the requests for its several guests, in milliseconds.
const SHARED_LOOK_MS: i64 = 1_500;
/// Age up to which rarely changing lists are good, in milliseconds.
pub(crate) const SLOW_LISTS_MS: i64 = 60_000;

/// What there is to look at.
pub struct World {
    pub(crate) cloud: Arc<dyn CloudApi>,
    pub(crate) power: Arc<dyn PowerDriver>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) beats: Beats,
    pub(crate) reads: Reads,
    pub(crate) followed: Followed,
    services: Cached<Vec<Service>>,
    servers: Cached<HashMap<String, Vec<Guest>>>,
    hypervisors: Cached<Vec<Hypervisor>>,
    aggregates: Cached<Vec<Aggregate>>,
    pub(crate) server_groups: Cached<Vec<ServerGroup>>,
    pub(crate) rooms: Cached<Vec<Room>>,
    microversion: Cached<(u32, u32)>,
    /// Last look at each host that is being evacuated, when it was finished, and whether it was one at the sites as well.
    looks: tokio::sync::Mutex<HashMap<String, (HostFacts, Time, bool)>>,
}

/// How much is read about a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Shared lists at most so many milliseconds old, and the power links.
    Light(i64),
    /// Everything, now.
    Full {
        /// Provider and allocations, for S9.
        provider: bool,
        /// Hosts that guests could go to.
        destinations: bool,
        /// Who the machines behind the links say they are.
        identity: bool,
    },
}

mod api_types {
    /// A guest as `GET /v1/hosts/{h}/guests` shows it.
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct GuestRow {
        pub id: String,
        pub name: String,
        pub vm_state: String,
        pub task_state: Option<String>,
        pub power_state: i64,
        pub priority: i64,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub owner: String,
        pub boot_from_volume: bool,
    }
}

/// Whether a hypervisor is Ironic's: its power is not ours (S16).
pub(crate) fn is_ironic(hypervisor_type: &str) -> bool {
    hypervisor_type.eq_ignore_ascii_case("ironic")
}

pub(crate) fn unknown<T>(error: &CloudError) -> Fact<T> {
    Fact::Unknown(error.to_string())
}

pub(crate) fn guest_of(s: &Server) -> Guest {
    let disk = if s.boot_from_volume { 0 } else { s.disk_gb };
    let sizes = [("VCPU", s.vcpus), ("MEMORY_MB", s.ram_mb), ("DISK_GB", disk + s.ephemeral_gb + (s.swap_mb + 1023) / 1024)];
    Guest {
        id: s.id.clone(),
        name: s.name.clone(),
        host: s.host.clone(),
        // A stub of a cell that did not answer says nothing of the guest (2.69).
        vm_state: if s.status == "UNKNOWN" { "unknown".into() } else { s.vm_state.clone() },
        task_state: s.task_state.clone(),
        power_state: s.power_state,
        boot_from_volume: s.boot_from_volume,
        local_extra_disks: s.ephemeral_gb > 0 || s.swap_mb > 0,
        needs: planner::flavor::needs(sizes, &s.extra_specs),
        extra_specs: s.extra_specs.clone(),
        project: s.project.clone(),
        image_properties: s.image_properties.clone(),
        metadata: s.metadata.clone(),
        fault: s.fault.clone(),
    }
}

fn move_of(m: cloud::Migration) -> Move {
    Move { id: m.id, kind: m.migration_type, status: m.status, server: m.server, source: m.source, destination: m.destination }
}

impl World {
    /// A world over a cloud, power devices and the objects that describe them.
    pub fn new(cloud: Arc<dyn CloudApi>, power: Arc<dyn PowerDriver>, store: Arc<dyn Store>, clock: Arc<dyn Clock>, metrics: Metrics) -> Arc<World> {
        Arc::new(World {
            cloud,
            power,
            store,
            clock,
            metrics,
            beats: Beats::default(),
            reads: Reads::default(),
            followed: Followed::default(),
            services: Cached::default(),
            servers: Cached::default(),
            hypervisors: Cached::default(),
            aggregates: Cached::default(),
            server_groups: Cached::default(),
            rooms: Cached::default(),
            microversion: Cached::default(),
            looks: tokio::sync::Mutex::default(),
        })
    }

    /// All services; each fresh read is remembered for S2.
    pub(crate) async fn services(&self, max_age_ms: i64) -> CloudResult<(Arc<Vec<Service>>, Time)> {
        self.services
            .get(self.clock.as_ref(), max_age_ms, || async {
                let at = self.clock.now();
                let services = self.cloud.services().await?;
                self.beats.absorb(&services, at);
                Ok(services)
            })
            .await
    }

    /// To be called before and after a write of a service row: what was read before it is no longer true,
    /// and what moves in the row is of our making.
    pub(crate) async fn service_written(&self, service_id: &str) {
        self.services.invalidate().await;
        self.beats.own_write(service_id);
    }

    /// Forgets all that is remembered of service rows.
    pub(crate) async fn forget_services(&self) {
        self.services.invalidate().await;
        self.beats.clear();
    }

    pub(crate) async fn hypervisors(&self, max_age_ms: i64) -> CloudResult<Arc<Vec<Hypervisor>>> {
        let read = || async {
            let all = self.cloud.hypervisors().await?;
            self.beats.leave_out(all.iter().filter(|h| is_ironic(&h.hypervisor_type)).map(|h| h.service_host.clone()));
            Ok::<_, CloudError>(all)
        };
        Ok(self.hypervisors.get(self.clock.as_ref(), max_age_ms, read).await?.0)
    }

    /// All guests by host, from one unfiltered list: guests of a cell that is down show as unknown there, and in no filtered list.
    pub(crate) async fn all_guests(&self, max_age_ms: i64) -> CloudResult<(Arc<HashMap<String, Vec<Guest>>>, Time)> {
        self.servers
            .get(self.clock.as_ref(), max_age_ms, || async {
                let mut by_host: HashMap<String, Vec<Guest>> = HashMap::new();
                for server in self.cloud.servers(None).await? {
                    if let Some(host) = &server.host {
                        by_host.entry(host.clone()).or_default().push(guest_of(&server));
                    }
                }
                Ok(by_host)
            })
            .await
    }

    /// The row of a host's nova-compute in a list of services.
    pub(crate) fn service_fact(services: &[Service], host: &str, at: Time) -> Fact<ServiceFacts> {
        let rows: Vec<&Service> = services.iter().filter(|s| s.binary == "nova-compute" && s.host == host).collect();
        match rows.as_slice() {
            [] => Fact::Absent(at),
            [row] => match (row.enabled, row.up, &row.updated_at) {
                (Some(enabled), Some(up), updated_at) if !row.id.is_empty() => Fact::Seen(
                    ServiceFacts {
                        id: row.id.clone(),
                        zone: row.zone.clone(),
                        enabled,
                        up,
                        forced_down: row.forced_down,
                        disabled_reason: row.disabled_reason.clone(),
                        updated_at: updated_at.clone().unwrap_or_default(),
                    },
                    at,
                ),
                _ => Fact::Unknown(format!("the cell of host {host} did not answer Nova; look at its database and message queue")),
            },
            _ => Fact::Unknown(format!("Nova shows {} nova-compute services on host {host}; delete those that are gone", rows.len())),
        }
    }

    /// Reads a host that is being evacuated. Passes that follow each other closely, one per guest, share one look:
    /// what one request changes is not what the next one, for another guest, depends on. The age of the power
    /// readings is checked when something is sent (S5). `sites`: also where guests could go, and who else goes there; a fence
    /// waits for none of that.
    pub(crate) async fn evacuation_facts(&self, host: &str, env: &Env, named: &[String], sites: bool) -> HostFacts {
        let wanted = || env.open().filter_map(|i| i.action.server()).chain(named.iter().map(String::as_str));
        let covered =
            |f: &HostFacts| wanted().all(|id| f.elsewhere.contains_key(id) || f.guests.seen().is_some_and(|g| g.iter().any(|g| g.id == id)));
        {
            let looks = self.looks.lock().await;
            if let Some((facts, at, with_sites)) = looks.get(host)
                && self.clock.now().millis_since(*at) <= SHARED_LOOK_MS
                && (*with_sites || !sites)
                && covered(facts)
            {
                let facts = facts.clone();
                drop(looks);
                return HostFacts { attestation: self.attestation(host).await, channels: self.channels(host).await, ..facts };
            }
        }
        let facts = self.facts(host, Depth::Full { provider: false, destinations: sites, identity: false }, env, named).await;
        self.looks.lock().await.insert(host.into(), (facts.clone(), self.clock.now(), sites));
        facts
    }

    /// To be called around an act that changes what [`World::evacuation_facts`] shows of the host itself.
    pub(crate) async fn forget_look(&self, host: &str) {
        self.looks.lock().await.remove(host);
    }

    /// Reads a host. `named`: servers that have to be looked up wherever they are.
    pub(crate) async fn facts(&self, host: &str, depth: Depth, env: &Env, named: &[String]) -> HostFacts {
        let max_age = match depth {
            Depth::Light(ms) => ms,
            Depth::Full { .. } => 0,
        };
        let mut facts = HostFacts::blind(host, "not read in this pass");
        match self.services(max_age).await {
            Ok((services, at)) => {
                facts.service = Self::service_fact(&services, host, at);
                let up = services.iter().filter(|s| s.binary == "nova-compute" && s.up == Some(true) && s.host != host);
                facts.others_up = Fact::Seen(up.map(|s| s.host.clone()).collect(), at);
            }
            Err(error) => facts.service = unknown(&error),
        }
        let service = facts.service.seen().cloned();
        let being_written = |id: &str| env.open().any(|i| matches!(&i.action, Step::NovaService { service_id, .. } if service_id == id));
        if let Some(service) = service.as_ref().filter(|s| being_written(&s.id)) {
            // An inherited write may land at any time, also after what was remembered of the row before.
            self.beats.own_write(&service.id);
        }
        facts.beats = service.as_ref().map(|s| self.beats.of(&s.id)).unwrap_or_default();
        let service_id = service.as_ref().map(|s| s.id.as_str());
        let identity = matches!(depth, Depth::Full { identity: true, .. });
        match depth {
            Depth::Light(ms) => {
                let (links, guests) = tokio::join!(self.link_facts(host, service_id, identity), self.all_guests(ms));
                facts.links = links;
                facts.guests = match guests {
                    Ok((all, at)) => Fact::Seen(all.get(host).cloned().unwrap_or_default(), at),
                    Err(error) => unknown(&error),
                };
            }
            Depth::Full { provider, destinations, .. } => {
                let (links, (guests, moves), aggregates) =
                    tokio::join!(self.link_facts(host, service_id, identity), self.lists_of(host), self.disks(host, &env.policy));
                facts.links = links;
                facts.guests = if service.is_some() { guests } else { Fact::Unknown("its service could not be read in the same pass".into()) };
                facts.moves = moves;
                facts.disks = aggregates;
                self.elsewhere(&mut facts, env, named).await;
                if destinations {
                    facts.others_off = self.destinations_off(&facts, env).await;
                }
                if provider {
                    facts.provider = self.provider_facts(host, &facts.guests).await;
                }
                if destinations {
                    self.read_sites(&mut facts, &env.owner_uid).await;
                    facts.microversion = self.microversion().await;
                }
                // A proof must be young when something is sent on it (S5): a slow Nova must not make it too old for ever.
                self.read_again(host, &mut facts.links).await;
            }
        }
        self.what_people_say(&mut facts).await;
        facts
    }

    /// Nova's highest microversion.
    pub(crate) async fn microversion(&self) -> Fact<(u32, u32)> {
        match self.microversion.get(self.clock.as_ref(), SLOW_LISTS_MS, || self.cloud.max_microversion()).await {
            Ok((v, at)) => Fact::Seen(*v, at),
            Err(error) => unknown(&error),
        }
    }

    /// Guests and moves of a host. Lists by host lack what a cell has that does not answer, and do not say
    /// so (I8): it has to answer after them as well as before.
    pub(crate) async fn lists_of(&self, host: &str) -> (Fact<Vec<Guest>>, Fact<Vec<Move>>) {
        let (guests, moves) = tokio::join!(self.guests_of(host), self.moves_of_host(host));
        match self.cell_is_silent(host).await {
            None => (guests, moves),
            Some(why) => (Fact::Unknown(why.clone()), Fact::Unknown(why)),
        }
    }

    /// Why a list by host that was read before may lack something, if it may. A read of its own: looks at several hosts that
    /// wait for one read go on at the same instant, and then plan without each other.
    async fn cell_is_silent(&self, host: &str) -> Option<String> {
        match self.cloud.services().await {
            Ok(services) => match Self::service_fact(&services, host, self.clock.now()) {
                Fact::Unknown(why) => Some(why),
                Fact::Seen(..) | Fact::Absent(_) => None,
            },
            Err(error) => Some(error.to_string()),
        }
    }

    async fn moves_of_host(&self, host: &str) -> Fact<Vec<Move>> {
        match self.cloud.migrations_of_host(host).await {
            Ok(moves) => Fact::Seen(moves.into_iter().map(move_of).collect(), self.clock.now()),
            Err(error) => unknown(&error),
        }
    }

    pub(crate) async fn guests_of(&self, host: &str) -> Fact<Vec<Guest>> {
        match self.cloud.servers(Some(host)).await {
            Ok(servers) if servers.iter().any(|s| s.status == "UNKNOWN") => Fact::Unknown("a cell did not answer Nova".into()),
            Ok(servers) => Fact::Seen(servers.iter().map(guest_of).collect(), self.clock.now()),
            Err(error) => unknown(&error),
        }
    }

    pub(crate) async fn guest_by_id(&self, id: &str) -> Fact<Guest> {
        match self.cloud.server(id).await {
            Ok(Some(server)) if server.status == "UNKNOWN" => Fact::Unknown("its cell did not answer Nova".into()),
            Ok(Some(server)) => Fact::Seen(guest_of(&server), self.clock.now()),
            Ok(None) => Fact::Absent(self.clock.now()),
            Err(error) => unknown(&error),
        }
    }

    /// Guests that intents or records of ours name, and that are not on the host.
    async fn elsewhere(&self, facts: &mut HostFacts, env: &Env, named: &[String]) {
        let here: Vec<&str> = facts.guests.seen().map(|g| g.iter().map(|g| g.id.as_str()).collect()).unwrap_or_default();
        let mut ids: Vec<String> = env.open().filter_map(|i| i.action.server().map(String::from)).chain(named.iter().cloned()).collect();
        ids.sort();
        ids.dedup();
        ids.retain(|id| !here.contains(&id.as_str()));
        let found = join_all(ids.iter().map(|id| self.guest_by_id(id))).await;
        facts.elsewhere = ids.into_iter().zip(found).collect();
    }

    /// Where the disks of a host's guests are (S13): of several aggregates that say so, Local wins.
    pub(crate) async fn disks(&self, host: &str, policy: &ClusterPolicySpec) -> Fact<GuestDisks> {
        if policy.guest_disks_by_aggregate.is_empty() {
            return Fact::Seen(policy.guest_disks, self.clock.now());
        }
        let (aggregates, at) = match self.aggregates().await {
            Ok(found) => found,
            Err(error) => return unknown(&error),
        };
        let member = |name: &str| aggregates.iter().any(|a| a.name == name && a.hosts.iter().any(|h| h == host));
        let said: Vec<GuestDisks> = policy.guest_disks_by_aggregate.iter().filter(|e| member(&e.aggregate)).map(|e| e.guest_disks).collect();
        let disks = if said.contains(&GuestDisks::Local) { GuestDisks::Local } else { said.first().copied().unwrap_or(policy.guest_disks) };
        Fact::Seen(disks, at)
    }

    pub(crate) async fn aggregates(&self) -> CloudResult<(Arc<Vec<Aggregate>>, Time)> {
        self.aggregates.get(self.clock.as_ref(), SLOW_LISTS_MS, || self.cloud.aggregates()).await
    }

    /// The Placement provider of a service host.
    async fn provider_id(&self, host: &str) -> CloudResult<Option<String>> {
        for max_age in [SLOW_LISTS_MS, 0] {
            let all = self.hypervisors(max_age).await?;
            if let Some(found) = all.iter().find(|h| h.service_host == host) {
                return Ok(Some(found.id.clone()));
            }
        }
        Ok(None)
    }

    async fn provider_facts(&self, host: &str, guests: &Fact<Vec<Guest>>) -> Fact<ProviderFacts> {
        let provider = match self.provider_id(host).await {
            Ok(Some(id)) => self.cloud.provider(&id).await,
            Ok(None) => return Fact::Unknown(format!("Nova shows no hypervisor for host {host}")),
            Err(error) => return unknown(&error),
        };
        let provider = match provider {
            Ok(Some(provider)) => provider,
            Ok(None) => return Fact::Unknown(format!("Placement has no resource provider for host {host}")),
            Err(error) => return unknown(&error),
        };
        let here = |id: &String| guests.seen().is_some_and(|g| g.iter().any(|g| g.id == *id));
        let strangers: Vec<String> = provider.consumers.iter().filter(|c| !here(c)).cloned().collect();
        let lives = join_all(strangers.iter().map(|c| self.guest_by_id(c))).await;
        let host_of = |f: Fact<Guest>| match f {
            Fact::Seen(guest, at) => Fact::Seen(guest.host, at),
            Fact::Absent(at) => Fact::Absent(at),
            Fact::Unknown(why) => Fact::Unknown(why),
        };
        let foreign_consumers = strangers.into_iter().zip(lives.into_iter().map(host_of)).collect();
        let disabled_trait = provider.traits.iter().any(|t| t == DISABLED_TRAIT);
        Fact::Seen(ProviderFacts { disabled_trait, foreign_consumers }, self.clock.now())
    }

    /// Guests of a host as the API shows them, read now.
    pub async fn guest_view(&self, host: &str, policy: &ClusterPolicySpec) -> Result<serde_json::Value, String> {
        let guests = match self.guests_of(host).await {
            Fact::Seen(guests, _) => guests,
            other => return Err(format!("the guests of {host} cannot be listed: {}", other.why())),
        };
        if let Some(why) = self.cell_is_silent(host).await {
            return Err(format!("the guests of {host} cannot be listed: {why}"));
        }
        let groups = self.groups(&Fact::Seen(guests.clone(), self.clock.now())).await;
        let (Some(groups), Fact::Seen(rules, _)) = (groups.seen(), self.guest_rules().await) else {
            return Err(format!("what GuestPolicies say of the guests of {host} cannot be told: {}", groups.why()));
        };
        let ruling = |g: &Guest| {
            let of: Vec<&str> =
                groups.iter().filter(|f| f.members.iter().any(|(m, _)| *m == g.id)).flat_map(|f| [f.id.as_str(), f.name.as_str()]).collect();
            rules.ruling(g, &of, policy)
        };
        let rows: Vec<GuestRow> = guests
            .iter()
            .map(|g| GuestRow {
                id: g.id.clone(),
                name: g.name.clone(),
                vm_state: g.vm_state.clone(),
                task_state: g.task_state.clone(),
                power_state: g.power_state,
                priority: ruling(g).priority,
                owner: ruling(g).owner,
                boot_from_volume: g.boot_from_volume,
            })
            .collect();
        Ok(serde_json::json!({"guests": rows, "observedAt": self.clock.now()}))
    }
}
