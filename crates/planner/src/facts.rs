//! What was read about a host in one pass.

use crate::{Fact, attestation::Attestation, guest_policy::Rules, remediation::Holding};
use schemas::{
    Time,
    v1::{Binding, DeviceType, Fencing, GuestDisks, Observation, PowerState},
};
use std::{collections::BTreeMap, sync::Arc};

/// The host's nova-compute service, and what surrounds it in the same read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceFacts {
    /// Service uuid.
    pub id: String,
    /// Availability zone.
    pub zone: String,
    /// Nova: enabled.
    pub enabled: bool,
    /// Nova: up.
    pub up: bool,
    /// Nova: forced down.
    pub forced_down: bool,
    /// Why it is disabled.
    pub disabled_reason: Option<String>,
    /// Nova's text of the last write of the row; compared for equality only.
    pub updated_at: String,
}

/// One read of the service row, for S2.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    /// When it was read.
    pub at: Time,
    /// `updated_at` of the row.
    pub updated_at: String,
    /// Nova said up.
    pub up: bool,
    /// It was forced down.
    pub forced_down: bool,
    /// Another nova-compute was up in the same read.
    pub others_up: bool,
    /// A conductor was up in the same read.
    pub conductor_up: bool,
}

/// A guest that Nova shows on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guest {
    /// Server id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Host Nova shows.
    pub host: Option<String>,
    /// `active`, `stopped`, …
    pub vm_state: String,
    /// What Nova is doing with it.
    pub task_state: Option<String>,
    /// 1 running, 4 shut down.
    pub power_state: i64,
    /// Booted from a volume.
    pub boot_from_volume: bool,
    /// Has ephemeral or swap disks on the host.
    pub local_extra_disks: bool,
    /// Needs: VCPU, MEMORY_MB, DISK_GB.
    pub needs: BTreeMap<String, i64>,
    /// Extra specs of its flavor.
    pub extra_specs: BTreeMap<String, String>,
    /// Project.
    pub project: String,
    /// Properties of its image; `None`: nobody can tell.
    pub image_properties: Option<BTreeMap<String, String>>,
    /// Server metadata.
    pub metadata: BTreeMap<String, String>,
    /// Nova's last fault.
    pub fault: Option<String>,
}

/// A migration record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Move {
    /// Nova's id.
    pub id: i64,
    /// `evacuation`, `live-migration`, `migration`, `resize`.
    pub kind: String,
    /// State.
    pub status: String,
    /// Server id.
    pub server: String,
    /// Source host.
    pub source: Option<String>,
    /// Destination host.
    pub destination: Option<String>,
}

/// The host's resource provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProviderFacts {
    /// `COMPUTE_STATUS_DISABLED` is set.
    pub disabled_trait: bool,
    /// Consumers that are not guests on this host, each with the host it lives on: `Absent` = Nova does not know it, `Seen(None)` = it has no host.
    pub foreign_consumers: Vec<(String, Fact<Option<String>>)>,
}

/// Chassis (a BMC) or Supply (an outlet or relay) (S3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkClass {
    /// A BMC.
    Chassis,
    /// An outlet or relay.
    Supply,
}

impl From<DeviceType> for LinkClass {
    fn from(device: DeviceType) -> Self {
        if device.is_supply() { LinkClass::Supply } else { LinkClass::Chassis }
    }
}

/// One power link of the host.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkFacts {
    /// Name of the PowerLink.
    pub name: String,
    /// Uid of the PowerLink.
    pub uid: String,
    /// Chassis or Supply.
    pub class: LinkClass,
    /// May be used to change power, and counts for a proof (S3).
    pub verified: bool,
    /// Asked first.
    pub default: bool,
    /// What it read; `On` or `Off`.
    pub state: Fact<PowerState>,
    /// When anybody in this process last had the answer that it is on, were it in a pass of another object.
    pub last_on: Option<Time>,
    /// What a verification made now would hold for.
    pub binding: Binding,
    /// Whether the machine is who `spec.identity` says; read only to initialise.
    pub identity: Fact<Result<(), String>>,
}

/// A host that guests could go to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Destination {
    /// Service host.
    pub host: String,
    /// Availability zone.
    pub zone: String,
    /// Free per resource class.
    pub free: BTreeMap<String, i64>,
    /// What can be given out in all, per resource class.
    pub capacity: BTreeMap<String, i64>,
    /// Traits of its provider.
    pub traits: Vec<String>,
    /// Metadata of the aggregates it is in, as (key, value).
    pub aggregates: Vec<(String, String)>,
}

/// What a server group asks of its members' hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupRule {
    /// All on one host.
    Affinity,
    /// At most so many on one host.
    AntiAffinity(i64),
    /// Rather apart than together.
    SoftAntiAffinity,
    /// Rather together, or a rule that Nova may have and we do not know: nothing is asked for.
    Other,
}

/// A server group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupFacts {
    /// Uuid.
    pub id: String,
    /// Name.
    pub name: String,
    /// What it asks for.
    pub rule: GroupRule,
    /// Server ids, each with the host that Nova shows it on.
    pub members: Vec<(String, Option<String>)>,
}

impl GroupFacts {
    /// Whether a member is on another host.
    pub fn has_members_off(&self, host: &str) -> bool {
        self.members.iter().any(|(_, on)| on.as_deref().is_some_and(|on| on != host))
    }
}

/// A guest that another evacuation plans to move, or moves.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherMove {
    /// Server id.
    pub guest: String,
    /// Where to.
    pub destination: String,
    /// What it takes there.
    pub needs: BTreeMap<String, i64>,
    /// The request was sent.
    pub sent: bool,
}

/// All that was read about one host in one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct HostFacts {
    /// Its name.
    pub host: String,
    /// Its service.
    pub service: Fact<ServiceFacts>,
    /// Reads of the service row, oldest first, since the last write of ours.
    pub beats: Vec<Beat>,
    /// Other nova-compute services that are up, by host.
    pub others_up: Fact<Vec<String>>,
    /// Hosts to which a move from here was under way and that are proven off, each by its own proof (S6).
    pub others_off: Vec<String>,
    /// Guests Nova shows on it; a whole list, with the cell's service row read in the same pass.
    pub guests: Fact<Vec<Guest>>,
    /// Guests named by open intents or records that are not on the host, by id.
    pub elsewhere: BTreeMap<String, Fact<Guest>>,
    /// Migration records with this host as source or destination, newest first.
    pub moves: Fact<Vec<Move>>,
    /// Its resource provider.
    pub provider: Fact<ProviderFacts>,
    /// Its power links.
    pub links: Vec<LinkFacts>,
    /// Hosts that guests could go to.
    pub destinations: Fact<Vec<Destination>>,
    /// Server groups of its guests.
    pub groups: Fact<Vec<GroupFacts>>,
    /// What other evacuations move, or plan to.
    pub others: Fact<Vec<OtherMove>>,
    /// All GuestPolicies.
    pub guest_policies: Fact<Arc<Rules>>,
    /// Where the disks of its guests are (S13).
    pub disks: Fact<GuestDisks>,
    /// Nova's highest microversion.
    pub microversion: Fact<(u32, u32)>,
    /// The FenceAttestation of the host that is open, read last of all.
    pub attestation: Fact<Attestation>,
    /// What other channels say of it.
    pub channels: Fact<Vec<Observation>>,
    /// How the RemediationPolicy that holds for it has it switched off; read only for an evacuation that does not say.
    pub fencing: Fact<Fencing>,
    /// The RemediationPolicy that holds for it now, and what the Host says; read only for what was begun without a person.
    pub holding: Fact<Arc<Holding>>,
    /// The standby host that was chosen for this evacuation, and where it stands; for people.
    pub standby: Option<String>,
}

impl HostFacts {
    /// Facts of which nothing is known.
    pub fn blind(host: &str, why: &str) -> Self {
        HostFacts {
            host: host.into(),
            service: Fact::Unknown(why.into()),
            beats: Vec::new(),
            others_up: Fact::Unknown(why.into()),
            others_off: Vec::new(),
            guests: Fact::Unknown(why.into()),
            elsewhere: BTreeMap::new(),
            moves: Fact::Unknown(why.into()),
            provider: Fact::Unknown(why.into()),
            links: Vec::new(),
            destinations: Fact::Unknown(why.into()),
            groups: Fact::Unknown(why.into()),
            others: Fact::Unknown(why.into()),
            guest_policies: Fact::Unknown(why.into()),
            disks: Fact::Unknown(why.into()),
            microversion: Fact::Unknown(why.into()),
            attestation: Fact::Unknown(why.into()),
            channels: Fact::Unknown(why.into()),
            fencing: Fact::Unknown(why.into()),
            holding: Fact::Unknown(why.into()),
            standby: None,
        }
    }

    /// Whether nothing can come of an open move any more because its destination is proven off (S6). Not so while the
    /// request may wait in a message queue and be taken up when the destination comes back (an evacuation that is
    /// `accepted`), nor of a cold migration, whose disk may be at either end.
    pub fn died_with_its_destination(&self, record: &Move) -> bool {
        let begun = match record.kind.as_str() {
            "live-migration" => true,
            "evacuation" => record.status == "pre-migrating",
            _ => false,
        };
        let to_one_that_is_off = record.destination.as_ref().is_some_and(|d| *d != self.host && self.others_off.contains(d));
        begun && !record.is_final() && record.source.as_deref() == Some(&self.host) && to_one_that_is_off
    }

    /// Groups of a guest.
    pub fn groups_of<'a>(&'a self, guest: &'a str) -> impl Iterator<Item = &'a GroupFacts> {
        self.groups.seen().into_iter().flatten().filter(move |g| g.members.iter().any(|(m, _)| m == guest))
    }

    /// A guest by id, on the host or elsewhere.
    pub fn guest(&self, id: &str) -> Fact<Guest> {
        if let Fact::Seen(guests, at) = &self.guests
            && let Some(guest) = guests.iter().find(|g| g.id == id)
        {
            return Fact::Seen(guest.clone(), *at);
        }
        self.elsewhere.get(id).cloned().unwrap_or_else(Fact::not_asked)
    }

    /// Name of a guest for messages; its id, where no more is known.
    pub fn label(&self, id: &str) -> String {
        self.guest(id).seen().map_or_else(|| id.to_string(), Guest::label)
    }
}

impl Guest {
    /// Whether it may be running. In doubt it is: only states that cannot hold a running process count as stopped (S9).
    pub fn may_run(&self) -> bool {
        let parked = matches!(self.vm_state.as_str(), "stopped" | "suspended" | "shelved" | "shelved_offloaded" | "soft-delete");
        // Parked, but the hypervisor says running: someone started it behind Nova's back.
        !((parked && self.power_state != 1) || (self.vm_state == "error" && self.power_state == 4))
    }

    /// Name for messages.
    pub fn label(&self) -> String {
        if self.name.is_empty() { self.id.clone() } else { format!("{} ({})", self.name, self.id) }
    }
}

impl Move {
    /// Whether Nova will do nothing more with it. `finished` waits for a confirmation, so it is open (S9).
    pub fn is_final(&self) -> bool {
        matches!(self.status.as_str(), "done" | "completed" | "error" | "failed" | "cancelled" | "confirmed" | "reverted")
    }

    /// Whether it failed.
    pub fn has_failed(&self) -> bool {
        matches!(self.status.as_str(), "error" | "failed" | "cancelled" | "reverted")
    }
}
