//! Guests as Nova's API shows them, and starting and stopping them.

use super::event::Event;
use super::{Failure, Guest, Record, VmState, World};
use cloud::{Migration, Server};

impl Guest {
    /// The API's status, from `vm_state` and `task_state`.
    pub(crate) fn status(&self) -> &'static str {
        let task = self.task_state.as_deref().unwrap_or_default();
        match self.vm_state {
            VmState::Active if task == "migrating" => "MIGRATING",
            VmState::Active | VmState::Stopped | VmState::Error if task.starts_with("rebuild") => "REBUILD",
            VmState::Active | VmState::Stopped if task.starts_with("resize") => "RESIZE",
            VmState::Active => "ACTIVE",
            VmState::Stopped => "SHUTOFF",
            VmState::Error => "ERROR",
            VmState::Building => "BUILD",
            VmState::Paused if task == "migrating" => "MIGRATING",
            VmState::Paused => "PAUSED",
            VmState::Suspended => "SUSPENDED",
            VmState::Rescued => "RESCUE",
            VmState::Resized => "VERIFY_RESIZE",
            VmState::ShelvedOffloaded => "SHELVED_OFFLOADED",
        }
    }

    pub(crate) fn conflict(&self, action: &str) -> Failure {
        let state = self.vm_state.as_str();
        Failure::refused(409, format!("Cannot '{action}' instance {} while it is in vm_state {state}", self.id))
    }

    pub(crate) fn busy(&self, action: &str) -> Failure {
        let state = self.task_state.as_deref().unwrap_or("None");
        Failure::refused(409, format!("Cannot '{action}' instance {} while it is in task_state {state}", self.id))
    }
}

impl World {
    pub(crate) fn view(&self, guest: &Guest) -> Server {
        if self.cells_down.contains(&guest.cell) {
            return Server { id: guest.id.clone(), status: "UNKNOWN".into(), ..Server::default() };
        }
        Server {
            id: guest.id.clone(),
            name: guest.name.clone(),
            status: guest.status().into(),
            host: guest.host.clone(),
            vm_state: guest.vm_state.as_str().into(),
            task_state: guest.task_state.clone(),
            power_state: guest.power_state,
            zone: guest.host.as_ref().and_then(|h| self.hosts.get(h)).map(|h| h.zone.clone()),
            locked: false,
            boot_from_volume: guest.boot_from_volume,
            vcpus: guest.room.vcpus,
            ram_mb: guest.room.ram_mb,
            disk_gb: guest.room.disk_gb,
            ephemeral_gb: guest.ephemeral_gb,
            swap_mb: guest.swap_mb,
            extra_specs: guest.extra_specs.clone(),
            project: guest.project.clone(),
            image_properties: None,
            metadata: guest.metadata.clone(),
            fault: guest.fault.clone().filter(|_| guest.vm_state == VmState::Error),
        }
    }

    /// Newest first. With `host`, guests of a cell that is down are silently missing; without, they are
    /// there with status UNKNOWN (2.69).
    pub(crate) fn servers(&self, host: Option<&str>) -> Vec<Server> {
        let mut guests: Vec<&Guest> = self.guests.values().collect();
        guests.sort_by_key(|g| std::cmp::Reverse(g.seq));
        let wanted = |g: &&Guest| host.is_none_or(|h| g.host.as_deref() == Some(h) && !self.cells_down.contains(&g.cell));
        guests.into_iter().filter(wanted).map(|g| self.view(g)).collect()
    }

    pub(crate) fn server(&self, id: &str) -> Option<Server> {
        self.guests.get(id).map(|g| self.view(g))
    }

    /// A guest's row as Nova's API shows it.
    pub fn show(&self, guest: &str) -> Option<Server> {
        self.server(guest)
    }

    /// The host that a guest's row names, also while its cell is down and Nova cannot show it.
    pub fn home_of(&self, guest: &str) -> Option<String> {
        self.guests.get(guest).and_then(|g| g.host.clone())
    }

    /// Records that `wanted` accepts, newest first; those of cells that are down are missing.
    pub(crate) fn migrations(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Migration> {
        self.records_seen().filter(|r| wanted(r)).map(migration).collect()
    }

    pub(crate) fn records_seen(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().rev().filter(|r| self.guests.get(&r.guest).is_none_or(|g| !self.cells_down.contains(&g.cell)))
    }

    /// All migration records of a guest, oldest first, as (kind, status, source, destination).
    pub fn records_of(&self, guest: &str) -> Vec<(&'static str, &'static str, String, Option<String>)> {
        self.records.iter().filter(|r| r.guest == guest).map(|r| (r.kind, r.status, r.source.clone(), r.dest.clone())).collect()
    }

    /// When each of these records was made, in milliseconds.
    pub fn records_made_at(&self, guest: &str) -> Vec<i64> {
        self.records.iter().filter(|r| r.guest == guest).map(|r| r.created).collect()
    }

    pub(crate) fn new_record(&mut self, kind: &'static str, status: &'static str, guest: &str, source: &str, dest: Option<&str>) -> i64 {
        let id = self.records.len() as i64 + 1;
        let uuid = self.uuid();
        let dest = dest.map(str::to_string);
        self.records.push(Record { id, uuid, kind, status, guest: guest.into(), source: source.into(), dest, created: self.now, updated: self.now });
        self.say(format!("record {id}: {kind} of {guest} {status}"));
        id
    }

    /// Sets the status of the record at a position.
    pub(crate) fn set_record(&mut self, index: usize, status: &'static str) {
        let now = self.now;
        let Some(record) = self.records.get_mut(index) else { return };
        record.status = status;
        record.updated = now;
        let text = format!("record {}: {} of {} {status}", record.id, record.kind, record.guest);
        self.say(text);
    }

    /// Sets the status of the record with this id.
    pub(crate) fn set_status(&mut self, record: i64, status: &'static str) {
        if let Ok(index) = usize::try_from(record - 1) {
            self.set_record(index, status);
        }
    }

    pub(crate) fn record(&self, id: i64) -> Option<&Record> {
        usize::try_from(id - 1).ok().and_then(|i| self.records.get(i))
    }

    /// The guest of a call, or Nova's 404 or 500.
    pub(crate) fn found(&self, server: &str) -> Result<&Guest, Failure> {
        let guest = self.guests.get(server).ok_or_else(|| Failure::refused(404, format!("Instance {server} could not be found.")))?;
        if self.cells_down.contains(&guest.cell) {
            return Err(Failure::refused(
                500,
                "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if possible.",
            ));
        }
        Ok(guest)
    }

    pub(crate) fn change(&mut self, guest: &str, change: impl FnOnce(&mut Guest)) {
        let now = self.now;
        if let Some(guest) = self.guests.get_mut(guest) {
            change(guest);
            guest.updated = now;
        }
    }

    /// Puts a guest into any state, to set a scene.
    pub fn set_vm_state(&mut self, guest: &str, state: VmState) {
        self.change(guest, |g| g.vm_state = state);
    }

    /// Deletes a guest, as its owner would: copies on hosts that are up, allocations, the row.
    pub fn delete_guest(&mut self, guest: &str) {
        for host in self.hosts.values_mut().filter(|h| h.compute) {
            host.guests.remove(guest);
        }
        self.allocations.remove(guest);
        for group in self.groups.values_mut() {
            group.members.remove(guest);
        }
        self.guests.remove(guest);
    }

    /// `os-start`: 202; 409 unless stopped. The work is the host's, and waits for its nova-compute.
    pub(crate) fn start_guest(&mut self, server: &str) -> Result<(), Failure> {
        let guest = self.found(server)?;
        if guest.vm_state != VmState::Stopped {
            return Err(guest.conflict("start"));
        }
        self.power_task(server, "start", "powering-on", |guest, host| Event::Started { guest, host })
    }

    /// `os-stop`: 202; 409 unless active or in error. Taken for a dead host as well.
    pub(crate) fn stop_guest(&mut self, server: &str) -> Result<(), Failure> {
        let guest = self.found(server)?;
        if !matches!(guest.vm_state, VmState::Active | VmState::Error) {
            return Err(guest.conflict("stop"));
        }
        self.power_task(server, "stop", "powering-off", |guest, host| Event::Stopped { guest, host })
    }

    fn power_task(&mut self, server: &str, action: &str, task: &str, done: impl FnOnce(String, String) -> Event) -> Result<(), Failure> {
        let guest = self.found(server)?;
        if guest.task_state.is_some() {
            return Err(guest.busy(action));
        }
        let host = guest.host.clone().ok_or_else(|| Failure::refused(409, format!("Instance {server} is not ready")))?;
        self.change(server, |g| g.task_state = Some(task.into()));
        self.after(self.settings.start_stop_ms, done(server.into(), host));
        Ok(())
    }

    pub(crate) fn guest_stopped(&mut self, guest: &str, host: &str) {
        if !self.hosts.get(host).is_some_and(|h| h.compute) || self.guests.get(guest).is_none_or(|g| g.task_state.as_deref() != Some("powering-off"))
        {
            return; // nova-compute takes it up again when it starts
        }
        if let Some(copy) = self.hosts.get_mut(host).and_then(|h| h.guests.get_mut(guest)) {
            *copy = false;
        }
        self.change(guest, |g| {
            g.vm_state = VmState::Stopped;
            g.task_state = None;
            g.power_state = 4;
        });
    }

    pub(crate) fn guest_started(&mut self, guest: &str, host: &str) {
        if !self.hosts.get(host).is_some_and(|h| h.compute) || self.guests.get(guest).is_none_or(|g| g.task_state.as_deref() != Some("powering-on")) {
            return;
        }
        self.run_guest(guest, host);
        self.change(guest, |g| {
            g.vm_state = VmState::Active;
            g.task_state = None;
            g.power_state = 1;
        });
    }
}

pub(crate) fn migration(record: &Record) -> Migration {
    Migration {
        id: record.id,
        migration_type: record.kind.into(),
        status: record.status.into(),
        server: record.guest.clone(),
        source: Some(record.source.clone()),
        destination: record.dest.clone(),
    }
}
