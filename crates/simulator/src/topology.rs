//! Clouds of any size, from a seed.

use crate::model::{GuestSpec, HostSpec, RESERVED_RAM_MB, Room, Settings, World};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};

/// How many hosts and guests, and how the cloud behaves. The same seed gives the same cloud.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Number of hosts, named `compute-01`, `compute-02`, …
    pub hosts: usize,
    /// Names to use instead; their number then counts.
    pub names: Vec<String>,
    /// Number of guests. Hosts get unevenly many; what fits nowhere is left out.
    pub guests: usize,
    /// Room of each host.
    pub room: Room,
    /// Availability zone of all hosts.
    pub zone: String,
    /// Cell of all hosts.
    pub cell: String,
    /// Everything else.
    pub settings: Settings,
}

/// The password of a seed's cloud, so that a restarted sandbox keeps it. It guards nothing real.
fn password_from(seed: u64) -> String {
    let digest = Sha256::digest(format!("simulated cloud {seed}"));
    digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

impl Topology {
    /// For tests: Nova's own intervals (a heartbeat each 10 s, down after 60 s), a boot of 20 s, shared
    /// disks, no guests.
    pub fn scenario(hosts: usize) -> Self {
        Topology {
            hosts,
            names: Vec::new(),
            guests: 0,
            room: Room { vcpus: 16, ram_mb: 65_536, disk_gb: 2_000 },
            zone: "nova".into(),
            cell: "cell1".into(),
            settings: Settings::default(),
        }
    }

    /// For people: a heartbeat each 2 s, down after 8 s, live migration 3 s, rebuild 4 s, boot 10 s, disks
    /// on shared storage, a password from the seed for Keystone's users and for the BMCs' `admin`.
    pub fn sandbox(hosts: usize, guests: usize, seed: u64) -> Self {
        let password = password_from(seed);
        let settings = Settings {
            seed,
            report_interval_ms: 2_000,
            service_down_ms: 8_000,
            live_migration_ms: 3_000,
            rebuild_ms: 4_000,
            boot_ms: 10_000,
            nova_start_ms: 2_000,
            update_resources_ms: 10_000,
            power_sync_ms: 30_000,
            shared_disks: true,
            bmc_password: Some(password.clone()),
            password,
            ..Settings::default()
        };
        Topology { guests, settings, ..Topology::scenario(hosts) }
    }

    /// With that many guests.
    pub fn with_guests(mut self, guests: usize) -> Self {
        self.guests = guests;
        self
    }

    /// With that seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// With settings changed.
    pub fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// With these host names.
    pub fn named(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(|n| n.to_string()).collect();
        self
    }

    /// The world at `now_ms` (milliseconds, any scale).
    pub fn build(&self, now_ms: i64) -> World {
        let mut rng = StdRng::seed_from_u64(self.settings.seed ^ 0x7090_1097);
        let mut world = World::new(self.settings.clone(), now_ms);
        let width = self.hosts.to_string().len().max(2);
        let names: Vec<String> = match self.names.is_empty() {
            true => (1..=self.hosts).map(|n| format!("compute-{n:0width$}")).collect(),
            false => self.names.clone(),
        };
        for name in &names {
            world.add_host(HostSpec { room: self.room, zone: self.zone.clone(), cell: self.cell.clone(), ..HostSpec::new(name) });
        }
        if names.is_empty() {
            return world;
        }
        let weights: Vec<u32> = names.iter().map(|_| rng.random_range(1..=4)).collect();
        let total: u32 = weights.iter().sum();
        // Leave a quarter of the memory free, so that a host's guests have somewhere to go.
        let keep = self.room.ram_mb / 4;
        let mut free: Vec<i64> = names.iter().map(|_| self.room.ram_mb - RESERVED_RAM_MB - keep).collect();
        for n in 1..=self.guests {
            let (vcpus, ram_mb) = [(1, 512), (1, 1_024), (1, 2_048), (2, 4_096), (4, 8_192)][rng.random_range(0..5)];
            let mut pick = rng.random_range(0..total);
            let mut host = weights.iter().position(|w| {
                let here = pick < *w;
                pick = pick.saturating_sub(*w);
                here
            });
            let mut ram_mb: i64 = ram_mb;
            if host.is_none_or(|h| free[h] < ram_mb) {
                host = (0..names.len()).max_by_key(|h| free[*h]);
                ram_mb = 512;
            }
            let Some(host) = host.filter(|h| free[*h] >= ram_mb) else { break };
            free[host] -= ram_mb;
            let mut spec = GuestSpec::new(format!("guest-{n:03}"), names[host].clone());
            spec.room = Room { vcpus, ram_mb, disk_gb: 10 };
            spec.running = rng.random_range(0..10) > 0;
            spec.boot_from_volume = rng.random_range(0..5) == 0;
            match rng.random_range(0..10) {
                0 => spec = spec.with_metadata("recovery_priority", "10"),
                1 => spec = spec.with_metadata("recovery_priority", "1"),
                2 => spec = spec.with_metadata("recovery_priority", "0"),
                _ => {}
            }
            // Placement has the last word (disks, CPUs); a guest that fits nowhere is left out.
            let room = world.free(&names[host]);
            if room.ram_mb >= ram_mb && room.disk_gb >= 10 && room.vcpus >= vcpus {
                let _ = world.add_guest(spec);
            }
        }
        world
    }
}
