//! Placement's allocations, and the scheduler that uses them.

use super::{GroupPolicy, Guest, Host, Room, World};
use cloud::{Inventory, Provider, ServerGroup, Share};
use std::collections::BTreeMap;

/// Virtual CPUs are given out this many times.
const CPU_RATIO: i64 = 16;
/// MiB kept back on each host (`reserved_host_memory_mb`).
pub const RESERVED_RAM_MB: i64 = 512;

impl Room {
    pub(super) fn plus(self, other: Room) -> Room {
        Room { vcpus: self.vcpus + other.vcpus, ram_mb: self.ram_mb + other.ram_mb, disk_gb: self.disk_gb + other.disk_gb }
    }

    pub(super) fn minus(self, other: Room) -> Room {
        Room { vcpus: self.vcpus - other.vcpus, ram_mb: self.ram_mb - other.ram_mb, disk_gb: self.disk_gb - other.disk_gb }
    }

    fn fits(self, need: Room) -> bool {
        self.vcpus >= need.vcpus && self.ram_mb >= need.ram_mb && self.disk_gb >= need.disk_gb
    }
}

impl Guest {
    /// What Placement charges: no root disk for a guest that boots from a volume.
    pub(crate) fn needs(&self) -> Room {
        let root = if self.boot_from_volume { 0 } else { self.room.disk_gb };
        Room { disk_gb: root + self.ephemeral_gb, ..self.room }
    }

    /// `trait:X=required` of its flavor.
    fn required_traits(&self) -> impl Iterator<Item = &str> {
        self.extra_specs.iter().filter(|(_, v)| *v == "required").filter_map(|(k, _)| k.strip_prefix("trait:"))
    }

    /// Without shared storage its data goes with its host.
    pub(crate) fn loses_local_disk(&self) -> bool {
        !self.boot_from_volume || self.ephemeral_gb > 0 || self.swap_mb > 0
    }
}

impl World {
    pub(crate) fn allocate(&mut self, consumer: &str, host: &str, room: Room) {
        self.allocations.put(consumer, host, room);
    }

    pub(crate) fn release(&mut self, consumer: &str, host: &str) {
        self.allocations.release(consumer, host);
    }

    /// What Placement would still give out on a host.
    pub fn free(&self, host: &str) -> Room {
        let Some(h) = self.hosts.get(host) else { return Room::default() };
        let used = self.allocations.used(host);
        Room {
            vcpus: h.room.vcpus * CPU_RATIO - used.vcpus,
            ram_mb: h.room.ram_mb - RESERVED_RAM_MB - used.ram_mb,
            disk_gb: h.room.disk_gb - used.disk_gb,
        }
    }

    /// Chooses a host as Nova's scheduler does: in the guest's cell, enabled, up, without the trait, with
    /// room, allowed by a hard server group; of those the one with the most free memory. `only` is a
    /// requested destination, which is checked like any other; `source` is never chosen.
    pub(crate) fn schedule(&self, guest: &Guest, only: Option<&str>, source: &str) -> Option<String> {
        let fit = self.hosts.values().filter(|h| !guest.no_valid_host && h.name != source && only.is_none_or(|o| o == h.name));
        let fit = fit.filter(|h| h.cell == guest.cell && !self.cells_down.contains(&h.cell));
        let fit = fit.filter(|h| h.enabled && !h.trait_disabled && self.service_is_up(h));
        let fit = fit.filter(|h| guest.required_traits().all(|t| h.traits.iter().any(|has| has == t)));
        let fit = fit.filter(|h| self.free(&h.name).fits(guest.needs()) && self.group_allows(guest, &h.name));
        fit.max_by_key(|h| (self.free(&h.name).ram_mb, std::cmp::Reverse(h.name.clone()))).map(|h| h.name.clone())
    }

    /// The filters of hard server groups. Affinity wants one of the hosts of the group's members, the
    /// guest's own included: as that one is ignored on evacuation, nothing is left.
    fn group_allows(&self, guest: &Guest, host: &str) -> bool {
        let Some(group) = guest.group.as_ref().and_then(|g| self.groups.get(g)) else { return true };
        let hosts = |m: &String| self.guests.get(m).and_then(|g| g.host.clone());
        match group.policy {
            GroupPolicy::Soft => true,
            GroupPolicy::AntiAffinity => !group.members.iter().filter(|m| **m != guest.id).filter_map(hosts).any(|h| h == host),
            GroupPolicy::Affinity => group.members.iter().filter_map(hosts).any(|h| h == host),
        }
    }

    /// A host's provider, by its id.
    pub(crate) fn provider(&self, id: &str) -> Option<Provider> {
        let host = self.hosts.values().find(|h| h.provider_id == id)?;
        let consumers = self.allocations.iter().filter(|(_, on)| on.contains_key(&host.name)).map(|(c, _)| c.clone()).collect();
        Some(Provider { consumers, ..self.provider_of(host) })
    }

    /// A host's provider but for its consumers.
    fn provider_of(&self, host: &Host) -> Provider {
        let used = self.allocations.used(&host.name);
        let class = |total, reserved, ratio: i64| Inventory { total, reserved, allocation_permille: ratio * 1000 };
        let mut traits = vec!["COMPUTE_NODE".to_string(), "COMPUTE_IMAGE_TYPE_RAW".to_string()];
        traits.extend(host.traits.iter().cloned());
        if host.trait_disabled {
            traits.push("COMPUTE_STATUS_DISABLED".into());
        }
        let named = |v: i64, r: i64, d: i64| BTreeMap::from([("VCPU".to_string(), v), ("MEMORY_MB".to_string(), r), ("DISK_GB".to_string(), d)]);
        Provider {
            id: host.provider_id.clone(),
            inventories: BTreeMap::from([
                ("VCPU".to_string(), class(host.room.vcpus, 0, CPU_RATIO)),
                ("MEMORY_MB".to_string(), class(host.room.ram_mb, RESERVED_RAM_MB, 1)),
                ("DISK_GB".to_string(), class(host.room.disk_gb, 0, 1)),
            ]),
            usages: named(used.vcpus, used.ram_mb, used.disk_gb),
            traits,
            consumers: Vec::new(),
        }
    }

    /// What `allocation_candidates` for one MiB tells: hosts without the trait that have any left.
    pub(crate) fn rooms(&self) -> Vec<cloud::Room> {
        let providers = self.hosts.values().filter(|h| !h.trait_disabled).map(|h| self.provider_of(h));
        let room = |p: Provider| {
            let share = |(class, i): (&String, &Inventory)| {
                let capacity = (i.total - i.reserved) * i.allocation_permille / 1000;
                (class.clone(), Share { capacity, used: p.usages.get(class).copied().unwrap_or(0) })
            };
            cloud::Room { resources: p.inventories.iter().map(share).collect(), provider: p.id, traits: p.traits }
        };
        providers.filter(|p| p.free("MEMORY_MB") >= Some(1)).map(room).collect()
    }

    /// Server groups, as Nova lists them.
    pub(crate) fn server_groups(&self) -> Vec<ServerGroup> {
        let word = |policy| match policy {
            GroupPolicy::Affinity => "affinity",
            GroupPolicy::AntiAffinity => "anti-affinity",
            GroupPolicy::Soft => "soft-anti-affinity",
        };
        let group = |(id, g): (&String, &super::Group)| ServerGroup {
            id: id.clone(),
            name: format!("group-{id}"),
            policy: word(g.policy).into(),
            max_per_host: 1,
            members: g.members.iter().cloned().collect(),
        };
        self.groups.iter().map(group).collect()
    }

    /// Ids of the providers on which a consumer has allocations.
    pub(crate) fn providers_of(&self, consumer: &str) -> Vec<String> {
        let on = self.allocations.get(consumer);
        on.into_iter().flatten().filter_map(|(host, _)| self.hosts.get(host)).map(|h| h.provider_id.clone()).collect()
    }

    /// A host's provider as Placement shows it at this instant, without any injected fault.
    pub fn provider_shown(&self, host: &str) -> Option<Provider> {
        self.provider(&self.hosts.get(host)?.provider_id)
    }

    /// Hosts on which a consumer (a server's or a migration's uuid) has allocations.
    pub fn allocated_on(&self, consumer: &str) -> Vec<String> {
        self.allocations.get(consumer).map(|on| on.keys().cloned().collect()).unwrap_or_default()
    }
}
