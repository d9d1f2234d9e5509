//! Evacuation, as Nova 26.2 does it; every point seen on it or read in its source.
//!
//! * The API checks little: `vm_state`, the source's service, the destination's name. `task_state` is
//!   ignored (bug 1978983), so a second request is accepted while the first is at work (I9).
//! * The conductor works on the *oldest* record of the guest that is `accepted`, whoever made it, and on
//!   none if there is none. A requested destination passes the scheduler like any other.
//! * The destination claims (`pre-migrating`), rebuilds, *starts the guest*, and only then sets `host`,
//!   then `done` (S6). A stopped guest is started and stopped again before that.
//! * Between the steps the destination compares `task_state`. Work whose guest was touched meanwhile ends
//!   in `failed` (even on a record that was `done`) and `vm_state: error`; the allocation on the
//!   destination goes, and a guest that it started keeps running there, whatever `host` says. So a twin
//!   spoils the first request: seen, a guest that runs well on the destination and stays in
//!   `vm_state: error`, `task_state: rebuilding`.
//! * No time-out anywhere: what dies leaves record and `task_state` as they are, and an RPC to a dead
//!   destination waits in the message queue until its nova-compute comes back.

use super::event::{Evacuation, Event};
use super::{Failure, GroupPolicy, VmState, World};

/// What remains of `conductor_ms` after the API: the destination's claim.
const CLAIM_MS: i64 = 250;
/// From a claim to the first look at `task_state`, and from there to the work of the hypervisor.
const STAGE_MS: i64 = 150;
/// Between the change of `host` and `done`.
const DONE_MS: i64 = 20;

/// What a failed evacuation leaves behind.
enum Aftermath {
    AsItWas,
    Error { task: Option<&'static str> },
}

impl World {
    /// `evacuate`: 200 and nothing done yet; 404 for an unknown server or destination; 400 if the source is
    /// the destination or still up; 409 unless active, stopped or in error; 406 for 2.95 on an older Nova.
    pub(crate) fn evacuate(&mut self, server: &str, destination: Option<&str>, leave_stopped: bool) -> Result<(), Failure> {
        let (major, minor) = self.settings.max_microversion;
        if leave_stopped && (major, minor) < (2, 95) {
            return Err(Failure::refused(406, format!("Version 2.95 is not supported by the API. Minimum is 2.1 and maximum is {major}.{minor}.")));
        }
        let guest = self.found(server)?;
        if let Some(name) = destination.filter(|d| !self.hosts.contains_key(*d)) {
            return Err(Failure::refused(404, format!("Compute host {name} not found.")));
        }
        if destination.is_some() && guest.host.as_deref() == destination {
            return Err(Failure::refused(400, "The target host can't be the same one."));
        }
        if !matches!(guest.vm_state, VmState::Active | VmState::Stopped | VmState::Error) {
            return Err(guest.conflict("evacuate"));
        }
        let not_ready = || Failure::refused(409, format!("Instance {server} is not ready"));
        let source = guest.host.clone().ok_or_else(not_ready)?;
        if self.is_up(&source) == Some(true) {
            return Err(Failure::refused(400, format!("Compute service of {source} is still in use.")));
        }
        self.change(server, |g| g.task_state = Some("rebuilding".into()));
        self.new_record("evacuation", "accepted", server, &source, destination);
        self.after(
            self.settings.conductor_ms,
            Event::EvacuateSchedule { guest: server.into(), dest: destination.map(str::to_string), leave_stopped },
        );
        Ok(())
    }

    pub(crate) fn evacuate_schedule(&mut self, guest: &str, dest: Option<String>, leave_stopped: bool) {
        if !self.control {
            return; // the conductor died with it: `accepted` for ever (I14)
        }
        let Some(g) = self.guests.get(guest) else { return };
        let Some(source) = g.host.clone() else { return };
        let record = self.records.iter().find(|r| r.guest == guest && r.status == "accepted").map(|r| r.id);
        let Some(chosen) = self.schedule(g, dest.as_deref(), &source) else {
            if let Some(record) = record {
                self.set_status(record, "error");
            }
            self.change(guest, |g| {
                g.vm_state = VmState::Error;
                g.task_state = None;
                g.fault = Some("No valid host was found. There are not enough hosts available.".into());
            });
            return;
        };
        let (needs, was) = (g.needs(), g.vm_state);
        self.allocate(guest, &chosen, needs);
        let job = Evacuation { guest: guest.into(), source, dest: chosen, record, leave_stopped, was };
        self.after(CLAIM_MS, Event::EvacuateClaim { job });
    }

    /// On the destination: claim, late check of the server group, and whether the guest is there already.
    pub(crate) fn evacuate_claim(&mut self, mut job: Evacuation) {
        let Some(dest) = self.hosts.get_mut(&job.dest) else { return };
        if !dest.compute {
            dest.inbox.push(Event::EvacuateClaim { job });
            return;
        }
        if dest.failing_claims > 0 {
            dest.failing_claims -= 1;
            // Not enough room after all: the guest stays as it was.
            self.abort(&job, Aftermath::AsItWas);
            return;
        }
        let (process, exists) = (dest.process, dest.guests.contains_key(&job.guest));
        if self.is_deleted(&job) {
            return;
        }
        match job.record {
            Some(record) => {
                let name = job.dest.clone();
                if let Ok(i) = usize::try_from(record - 1)
                    && let Some(r) = self.records.get_mut(i)
                {
                    r.dest = Some(name);
                }
                self.set_status(record, "pre-migrating");
            }
            None => job.record = Some(self.new_record("evacuation", "pre-migrating", &job.guest, &job.source, Some(&job.dest))),
        }
        if exists || self.group_is_violated(&job) {
            self.abort(&job, Aftermath::Error { task: None });
            return;
        }
        self.after(STAGE_MS, Event::EvacuateStage { job, process });
    }

    /// The compare-and-set of `task_state`: `rebuilding`, or the work ends here.
    pub(crate) fn evacuate_stage(&mut self, job: Evacuation, process: u64) {
        if !self.on_dest(&job, process) {
            return;
        }
        if self.task_of(&job.guest) != "rebuilding" {
            self.abort(&job, Aftermath::Error { task: Some("rebuilding") });
            self.change(&job.guest, |g| g.power_state = 0);
            return;
        }
        self.change(&job.guest, |g| {
            g.task_state = Some("rebuild_spawning".into());
            g.power_state = 0;
        });
        self.after(STAGE_MS + self.settings.rebuild_ms, Event::EvacuateStart { job, process });
    }

    /// Another member of a hard anti-affinity group is there, or on its way (bug 1735407).
    fn group_is_violated(&self, job: &Evacuation) -> bool {
        let group = self.guests.get(&job.guest).and_then(|g| g.group.as_ref()).and_then(|g| self.groups.get(g));
        let Some(group) = group.filter(|g| g.policy == GroupPolicy::AntiAffinity) else { return false };
        let there = |m: &String| {
            let lives = self.guests.get(m).is_some_and(|g| g.host.as_deref() == Some(job.dest.as_str()));
            lives || self.records.iter().any(|r| r.guest == *m && r.in_progress() && r.dest.as_deref() == Some(job.dest.as_str()))
        };
        group.members.iter().filter(|m| **m != job.guest).any(there)
    }

    fn task_of(&self, guest: &str) -> &str {
        self.guests.get(guest).and_then(|g| g.task_state.as_deref()).unwrap_or_default()
    }

    /// Whether the destination is still the one that took up the work, and the guest is still there.
    fn on_dest(&mut self, job: &Evacuation, process: u64) -> bool {
        self.hosts.get(&job.dest).is_some_and(|h| h.compute && h.process == process) && !self.is_deleted(job)
    }

    /// A guest that was deleted while it was rebuilt: the record ends in `failed` (`rebuild_instance`, `InstanceNotFound`).
    fn is_deleted(&mut self, job: &Evacuation) -> bool {
        let deleted = !self.guests.contains_key(&job.guest);
        if let Some(record) = job.record.filter(|_| deleted) {
            self.set_status(record, "failed");
        }
        deleted
    }

    /// The guest starts on the destination, also one that is to be stopped there (2025.2, `_do_rebuild_instance`: spawned, then stopped);
    /// `host` still names the source (S6).
    pub(crate) fn evacuate_start(&mut self, job: Evacuation, process: u64) {
        if !self.on_dest(&job, process) {
            return;
        }
        if !self.settings.shared_disks && self.guests.get(&job.guest).is_some_and(|g| g.loses_local_disk()) {
            self.change(&job.guest, |g| g.disks_lost += 1);
        }
        self.run_guest(&job.guest, &job.dest);
        self.after(self.settings.switch_ms, Event::EvacuateSwitch { job, process });
    }

    /// A stopped guest is stopped again; then `host` changes.
    pub(crate) fn evacuate_switch(&mut self, job: Evacuation, process: u64) {
        if !self.on_dest(&job, process) {
            return;
        }
        if self.task_of(&job.guest) != "rebuild_spawning" {
            self.abort(&job, Aftermath::Error { task: None });
            return;
        }
        let stay_off = job.leave_stopped || job.was == VmState::Stopped;
        if stay_off && let Some(copy) = self.hosts.get_mut(&job.dest).and_then(|h| h.guests.get_mut(&job.guest)) {
            *copy = false;
        }
        let dest = job.dest.clone();
        self.change(&job.guest, |g| {
            g.host = Some(dest);
            g.vm_state = if stay_off { VmState::Stopped } else { VmState::Active };
            g.power_state = if stay_off { 4 } else { 1 };
            g.task_state = None;
            g.fault = None;
        });
        if let Some(record) = job.record {
            self.after(DONE_MS, Event::EvacuateDone { record, process, host: job.dest });
        }
    }

    pub(crate) fn evacuate_done(&mut self, record: i64, process: u64, host: &str) {
        if self.hosts.get(host).is_some_and(|h| h.process == process) {
            self.set_status(record, "done");
        }
    }

    /// Ends an evacuation on its destination: `failed`, and the allocation there goes.
    fn abort(&mut self, job: &Evacuation, aftermath: Aftermath) {
        if let Some(record) = job.record {
            self.set_status(record, "failed");
        }
        self.release(&job.guest, &job.dest);
        let was = job.was;
        self.change(&job.guest, |g| {
            (g.vm_state, g.task_state) = match aftermath {
                Aftermath::AsItWas => (was, None),
                Aftermath::Error { task } => (VmState::Error, task.map(str::to_string)),
            };
        });
    }
}
