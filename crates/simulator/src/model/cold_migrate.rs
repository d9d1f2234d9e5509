//! Cold migration and its confirmation, as Nova does it (read in its source).
//!
//! * 202 says nothing: record (`pre-migrating`, without a destination), scheduling and claim come later. A refusal by the
//!   scheduler ends the record in `error` and leaves `vm_state` alone.
//! * `migrating`: the guest is shut down on the source and its disk is copied. `post-migrating`: `host` changes.
//!   `finished`: `vm_state` is `resized` (`VERIFY_RESIZE`), a guest that was stopped stays stopped. Until somebody confirms
//!   or reverts it the record is open, and the source keeps its copy and an allocation of the record's uuid.
//! * `confirmResize` goes to the *source*, and waits in its message queue while its nova-compute is dead (`confirming`).
//! * The death of a nova-compute in between leaves record and `task_state` as they are.

use super::event::Event;
use super::{Failure, Record, VmState, World};

/// Between the change of `host` and `finished`.
const FINISH_MS: i64 = 200;

impl World {
    /// `migrate`: 202; 404; 409 unless active or stopped and idle, or if the source is down; 400 for a destination that is
    /// unknown or the source.
    pub(crate) fn cold_migrate(&mut self, server: &str, destination: Option<&str>) -> Result<(), Failure> {
        let guest = self.found(server)?;
        if !matches!(guest.vm_state, VmState::Active | VmState::Stopped) {
            return Err(guest.conflict("migrate"));
        }
        if guest.task_state.is_some() {
            return Err(guest.busy("migrate"));
        }
        let source = guest.host.clone().ok_or_else(|| Failure::refused(409, format!("Instance {server} is not ready")))?;
        if let Some(name) = destination {
            if !self.hosts.contains_key(name) {
                return Err(Failure::refused(400, format!("Compute host {name} could not be found.")));
            }
            if name == source {
                return Err(Failure::refused(400, format!("Cannot migrate to host {name}: it is the instance's current host.")));
            }
        }
        if self.is_up(&source) != Some(true) {
            return Err(Failure::refused(409, "Service is unavailable at this time."));
        }
        self.change(server, |g| g.task_state = Some("resize_prep".into()));
        self.after(self.settings.conductor_ms, Event::ColdSchedule { guest: server.into(), dest: destination.map(str::to_string) });
        Ok(())
    }

    pub(crate) fn cold_schedule(&mut self, guest: &str, dest: Option<String>) {
        if !self.control {
            return;
        }
        let Some(source) = self.guests.get(guest).and_then(|g| g.host.clone()) else { return };
        let record = self.new_record("migration", "pre-migrating", guest, &source, None);
        let Some(g) = self.guests.get(guest) else { return };
        let needs = g.needs();
        let Some(chosen) = self.schedule(g, dest.as_deref(), &source) else {
            self.set_status(record, "error");
            self.change(guest, |g| {
                g.task_state = None;
                g.fault = Some("No valid host was found. There are not enough hosts available.".into());
            });
            return;
        };
        let Some(uuid) = self.record(record).map(|r| r.uuid.clone()) else { return };
        self.release(guest, &source);
        self.allocate(&uuid, &source, needs);
        self.allocate(guest, &chosen, needs);
        if let Some(r) = self.records.get_mut((record - 1) as usize) {
            r.dest = Some(chosen);
        }
        self.after(self.settings.conductor_ms, Event::ColdMigrating { record });
    }

    /// The record with its ends, if both nova-computes are alive to work on it.
    fn cold(&self, record: i64, status: &str) -> Option<(Record, String)> {
        let r = self.record(record).filter(|r| r.status == status)?.clone();
        let dest = r.dest.clone()?;
        let runs = |host: &str| self.hosts.get(host).is_some_and(|h| h.compute);
        (runs(&r.source) && runs(&dest) && self.guests.contains_key(&r.guest)).then_some((r, dest))
    }

    pub(crate) fn cold_migrating(&mut self, record: i64) {
        let Some((r, _)) = self.cold(record, "pre-migrating") else { return };
        self.set_status(record, "migrating");
        self.change(&r.guest, |g| g.task_state = Some("resize_migrating".into()));
        if let Some(copy) = self.hosts.get_mut(&r.source).and_then(|h| h.guests.get_mut(&r.guest)) {
            *copy = false;
        }
        self.after(self.settings.cold_migration_ms, Event::ColdMigrated { record });
    }

    pub(crate) fn cold_migrated(&mut self, record: i64) {
        let Some((r, dest)) = self.cold(record, "migrating") else { return };
        self.set_status(record, "post-migrating");
        self.change(&r.guest, |g| {
            g.host = Some(dest);
            g.task_state = Some("resize_finish".into());
        });
        self.after(FINISH_MS, Event::ColdFinished { record });
    }

    pub(crate) fn cold_finished(&mut self, record: i64) {
        let Some((r, dest)) = self.cold(record, "post-migrating") else { return };
        let ran = self.guests.get(&r.guest).is_some_and(|g| g.vm_state == VmState::Active);
        if ran {
            self.run_guest(&r.guest, &dest);
        } else if let Some(h) = self.hosts.get_mut(&dest) {
            h.guests.insert(r.guest.clone(), false);
        }
        self.set_status(record, "finished");
        self.change(&r.guest, |g| {
            g.vm_state = VmState::Resized;
            g.task_state = None;
            g.power_state = if ran { 1 } else { 4 };
        });
    }

    /// `confirmResize`: 204; 404; 409 unless `VERIFY_RESIZE`; 400 without a record that is `finished`.
    pub(crate) fn confirm_resize(&mut self, server: &str) -> Result<(), Failure> {
        let guest = self.found(server)?;
        if guest.vm_state != VmState::Resized {
            return Err(guest.conflict("confirmResize"));
        }
        let finished = self.records.iter().find(|r| r.guest == server && r.status == "finished").map(|r| r.id);
        let record = finished.ok_or_else(|| Failure::refused(400, "Instance has not been resized."))?;
        self.set_status(record, "confirming");
        self.after(self.settings.conductor_ms, Event::ColdConfirm { record });
        Ok(())
    }

    pub(crate) fn cold_confirm(&mut self, record: i64) {
        let Some(r) = self.record(record).filter(|r| r.status == "confirming").cloned() else { return };
        let Some(source) = self.hosts.get_mut(&r.source) else { return };
        if !source.compute {
            source.inbox.push(Event::ColdConfirm { record });
            return;
        }
        source.guests.remove(&r.guest);
        self.release(&r.uuid, &r.source);
        self.set_status(record, "confirmed");
        self.change(&r.guest, |g| {
            g.vm_state = if g.power_state == 1 { VmState::Active } else { VmState::Stopped };
            g.task_state = None;
        });
    }
}
