//! Hosts: power, kernel, nova-compute's process, and making hosts and guests.

use super::event::Event;
use super::{Bmc, Group, GroupPolicy, Guest, GuestSpec, Host, HostFault, HostSpec, Lie, VmState, World};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The world knows no such host, or no such guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulated cloud has no {kind} {name}")]
pub struct NoSuch {
    kind: &'static str,
    name: String,
}

impl NoSuch {
    fn host(name: &str) -> Self {
        NoSuch { kind: "host", name: name.into() }
    }
}

impl World {
    /// Adds a host that is on, with a nova-compute that beats. Its first beat falls at a random point of
    /// the report interval.
    pub fn add_host(&mut self, spec: HostSpec) {
        use rand::Rng;
        let phase = self.rng.random_range(0..self.settings.report_interval_ms.max(1));
        let (service_id, provider_id, system_uuid) = (self.uuid(), self.uuid(), self.uuid());
        let serial = format!("SIM{:05}", self.hosts.len() + 1);
        let bmc = Bmc::honest(self.settings.bmc_password.clone());
        let host = Host {
            name: spec.name.clone(),
            cell: spec.cell,
            zone: spec.zone,
            room: spec.room,
            hypervisor_type: spec.hypervisor_type,
            traits: spec.traits,
            service_id,
            provider_id,
            system_uuid,
            serial,
            power: true,
            up: true,
            crashed: false,
            boot: 0,
            compute: true,
            process: 0,
            beats_from: Some(self.now - phase),
            last_beat: self.now - phase,
            enabled: true,
            disabled_reason: None,
            forced_down: false,
            last_write: self.now - phase,
            trait_disabled: false,
            guests: BTreeMap::new(),
            ran: BTreeSet::new(),
            migrating: None,
            queue: VecDeque::new(),
            inbox: Vec::new(),
            failing_claims: 0,
            bmc,
            devices: BTreeMap::new(),
        };
        self.hosts.insert(spec.name, host);
    }

    /// Takes a host out of the cloud: its service was deleted, its machine is gone.
    pub fn remove_host(&mut self, host: &str) {
        self.say(format!("{host} is removed"));
        self.hosts.remove(host);
    }

    /// Adds a guest where its spec says, without asking the scheduler; gives back its id.
    pub fn add_guest(&mut self, spec: GuestSpec) -> Result<String, NoSuch> {
        let cell = self.hosts.get(&spec.host).ok_or_else(|| NoSuch::host(&spec.host))?.cell.clone();
        let id = self.uuid();
        self.sequence += 1;
        let guest = Guest {
            id: id.clone(),
            seq: self.sequence,
            name: spec.name,
            host: Some(spec.host.clone()),
            vm_state: if spec.running { VmState::Active } else { VmState::Stopped },
            task_state: None,
            power_state: if spec.running { 1 } else { 4 },
            room: spec.room,
            ephemeral_gb: spec.ephemeral_gb,
            swap_mb: 0,
            boot_from_volume: spec.boot_from_volume,
            extra_specs: spec.extra_specs,
            project: spec.project,
            metadata: spec.metadata,
            group: spec.group.clone(),
            cell,
            fault: None,
            created: self.now,
            updated: self.now,
            cannot_migrate: spec.cannot_migrate,
            no_valid_host: spec.no_valid_host,
            disks_lost: 0,
        };
        if let Some(group) = spec.group.and_then(|g| self.groups.get_mut(&g)) {
            group.members.insert(id.clone());
        }
        self.allocate(&id, &spec.host, guest.needs());
        self.guests.insert(id.clone(), guest);
        if spec.running {
            self.run_guest(&id, &spec.host);
        } else if let Some(host) = self.hosts.get_mut(&spec.host) {
            host.guests.insert(id.clone(), false);
        }
        Ok(id)
    }

    /// The scheduler finds hosts for a guest again.
    pub fn find_hosts_for(&mut self, guest: &str) {
        self.change(guest, |g| g.no_valid_host = false);
    }

    /// Adds a server group; gives back its id.
    pub fn add_group(&mut self, policy: GroupPolicy) -> String {
        let id = self.uuid();
        self.groups.insert(id.clone(), Group { policy, members: BTreeSet::new() });
        id
    }

    /// Adds an aggregate.
    pub fn add_aggregate(&mut self, name: &str, hosts: &[&str], metadata: &[(&str, &str)]) {
        let aggregate = cloud::Aggregate {
            name: name.into(),
            hosts: hosts.iter().map(|h| h.to_string()).collect(),
            metadata: metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        };
        self.aggregates.insert(name.into(), aggregate);
    }

    /// Hurts or heals a host; see [`HostFault`].
    pub fn fault(&mut self, host: &str, fault: HostFault) -> Result<(), NoSuch> {
        if !self.hosts.contains_key(host) {
            return Err(NoSuch::host(host));
        }
        self.say(format!("fault {fault:?} on {host}"));
        match fault {
            HostFault::Crash => self.crash(host),
            HostFault::NovaComputeDown => self.compute_dies(host),
            HostFault::BmcUnreachable => self.bmc(host, |b| b.reachable = false),
            HostFault::None => {
                if let Some(h) = self.hosts.get_mut(host) {
                    for bmc in std::iter::once(&mut h.bmc).chain(h.devices.values_mut().map(|d| &mut d.bmc)) {
                        (bmc.reachable, bmc.lie, bmc.late_ms) = (true, Lie::None, 0);
                    }
                }
                self.start_compute(host);
            }
        }
        Ok(())
    }

    /// Takes conductor and scheduler down, or up again. Without a conductor no nova-compute can beat.
    pub fn set_control_plane(&mut self, up: bool) {
        if self.control == up {
            return;
        }
        let beats: Vec<(String, i64)> = self.hosts.values().map(|h| (h.name.clone(), self.last_beat(h))).collect();
        self.control_last_beat = self.control_beat();
        self.control = up;
        let now = self.now;
        for (name, beat) in beats {
            if let Some(host) = self.hosts.get_mut(&name) {
                host.last_beat = beat;
                host.beats_from = (up && host.compute).then_some(now);
            }
        }
        if up {
            self.started = now;
        }
    }

    /// Takes a cell's database down, or up again (I8).
    pub fn set_cell(&mut self, cell: &str, up: bool) {
        if up {
            self.cells_down.remove(cell);
        } else {
            self.cells_down.insert(cell.into());
        }
    }

    pub(crate) fn all_cells_go(&mut self) {
        self.cells_down = self.hosts.values().map(|h| h.cell.clone()).collect();
    }

    /// Lets the next `times` resource claims on a host fail.
    pub fn fail_claims(&mut self, host: &str, times: u32) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.failing_claims = times;
        }
    }

    /// Starts nova-compute, if the kernel runs and it does not.
    pub fn start_compute(&mut self, host: &str) {
        let Some(h) = self.hosts.get_mut(host) else { return };
        if h.alive() && !h.compute {
            h.process += 1;
            let process = h.process;
            self.after(self.settings.nova_start_ms, Event::ComputeStarted { host: host.into(), process });
        }
    }

    /// Whether a host has power, and its kernel and its nova-compute run.
    pub fn is_well(&self, host: &str) -> bool {
        self.hosts.get(host).is_some_and(|h| h.alive() && h.compute)
    }

    /// Chassis power of a host, as it really is.
    pub fn power_is_on(&self, host: &str) -> bool {
        self.hosts.get(host).is_some_and(|h| h.power)
    }

    /// Changes a BMC, or another power device, by its address.
    pub(crate) fn bmc(&mut self, address: &str, change: impl FnOnce(&mut Bmc)) {
        let Some((host, device)) = self.host_and_device(address) else { return };
        let Some(host) = self.hosts.get_mut(&host) else { return };
        match device.and_then(|name| host.devices.get_mut(&name)) {
            None => change(&mut host.bmc),
            Some(device) => change(&mut device.bmc),
        }
    }

    fn crash(&mut self, host: &str) {
        if let Some(h) = self.hosts.get_mut(host)
            && h.power
        {
            h.crashed = true;
            h.up = false;
            h.boot += 1;
            self.kernel_dies(host);
        }
    }

    /// Guests and nova-compute die with the kernel.
    fn kernel_dies(&mut self, host: &str) {
        if let Some(h) = self.hosts.get_mut(host) {
            for (guest, running) in h.guests.iter_mut() {
                if std::mem::take(running) {
                    h.ran.insert(guest.clone());
                }
            }
        }
        self.compute_dies(host);
    }

    fn compute_dies(&mut self, host: &str) {
        let Some(h) = self.hosts.get(host) else { return };
        let beat = self.last_beat(h);
        if let Some(h) = self.hosts.get_mut(host) {
            h.last_beat = beat;
            h.beats_from = None;
            h.compute = false;
            h.process += 1;
            h.migrating = None;
            h.queue.clear();
        }
    }

    /// Sets chassis power at once. On a host that is on, `On` does nothing, crashed or not.
    pub(crate) fn apply_power(&mut self, host: &str, command: power::Command) {
        let Some(h) = self.hosts.get_mut(host) else { return };
        match command {
            power::Command::On if !h.power && h.is_fed() => {
                h.power = true;
                h.crashed = false;
                h.boot += 1;
                let boot = h.boot;
                self.say(format!("{host}: power on"));
                self.after(self.settings.boot_ms, Event::Booted { host: host.into(), boot });
            }
            power::Command::ForceOff if h.power => {
                h.power = false;
                h.up = false;
                h.crashed = false;
                h.boot += 1;
                self.say(format!("{host}: power off"));
                self.kernel_dies(host);
            }
            power::Command::SoftOff if h.alive() && h.bmc.soft_off_works => {
                let boot = h.boot;
                self.after(self.settings.soft_off_ms, Event::SoftOff { host: host.into(), boot });
            }
            _ => {}
        }
    }

    pub(crate) fn soft_off_done(&mut self, host: &str, boot: u64) {
        if self.hosts.get(host).is_some_and(|h| h.boot == boot) {
            self.apply_power(host, power::Command::ForceOff);
        }
    }

    pub(crate) fn booted(&mut self, host: &str, boot: u64) {
        let autostart = self.settings.autostart_guests;
        let Some(h) = self.hosts.get_mut(host).filter(|h| h.power && h.boot == boot) else { return };
        h.up = true;
        let ran = std::mem::take(&mut h.ran);
        let ran: Vec<String> = ran.into_iter().filter(|g| h.guests.contains_key(g)).collect();
        self.say(format!("{host}: booted"));
        if autostart {
            for guest in ran {
                self.run_guest(&guest, host);
            }
        }
        self.start_compute(host);
    }
}
