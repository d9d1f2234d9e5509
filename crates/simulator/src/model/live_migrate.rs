//! Live migration, as Nova 26.2 does it; every point seen on it or read in its source.
//!
//! * 202 says nothing: record, scheduling and pre-checks come later. The record appears `accepted`,
//!   without a destination.
//! * While it moves, the source's allocation belongs to the record's uuid, the destination's to the guest.
//! * A source does one at a time; the others are `queued`.
//! * Expected refusals end in `error` and leave `vm_state` alone. A source that looks up and is dead
//!   holds the record at `accepted` for the RPC's time-out; then the guest goes to `vm_state: error`.
//! * The guest arrives, then `host` changes, then the record is `completed`.
//! * nova-compute's death leaves record and `task_state` as they are, while the hypervisors carry on; its
//!   next start sets a `running` record to `error` and leaves the allocations of the move behind.

use super::event::Event;
use super::{Failure, Record, VmState, World};

/// Between the arrival of the guest and the change of `host`, and from there to `completed`.
const POST_MS: i64 = 200;

impl World {
    /// `os-migrateLive`: 202; 404; 409 unless active or paused and idle; 400 for an unknown destination.
    pub(crate) fn live_migrate(&mut self, server: &str, destination: Option<&str>) -> Result<(), Failure> {
        let guest = self.found(server)?;
        if !matches!(guest.vm_state, VmState::Active | VmState::Paused) {
            return Err(guest.conflict("os-migrateLive"));
        }
        if guest.task_state.is_some() {
            return Err(guest.busy("os-migrateLive"));
        }
        if let Some(name) = destination.filter(|d| !self.hosts.contains_key(*d)) {
            return Err(Failure::refused(400, format!("Compute host {name} could not be found.")));
        }
        self.change(server, |g| g.task_state = Some("migrating".into()));
        self.after(self.settings.conductor_ms, Event::LiveAccepted { guest: server.into(), dest: destination.map(str::to_string) });
        Ok(())
    }

    pub(crate) fn live_accepted(&mut self, guest: &str, dest: Option<String>) {
        let Some(source) = self.guests.get(guest).and_then(|g| g.host.clone()) else { return };
        if !self.control {
            return;
        }
        let record = self.new_record("live-migration", "accepted", guest, &source, None);
        self.after(self.settings.conductor_ms, Event::LiveSchedule { record, dest });
    }

    pub(crate) fn live_schedule(&mut self, record: i64, dest: Option<String>) {
        let Some(Record { guest, source, uuid, .. }) = self.record(record).cloned() else { return };
        let Some(g) = self.guests.get(&guest) else { return };
        let (needs, refuses) = (g.needs(), g.cannot_migrate || !matches!(g.power_state, 1 | 3));
        if self.is_up(&source) != Some(true) {
            return self.live_refused(record, "Compute service is unavailable at this time.");
        }
        let Some(chosen) = self.schedule(g, dest.as_deref(), &source) else {
            return self.live_refused(record, "No valid host was found. There are not enough hosts available.");
        };
        if refuses {
            return self.live_refused(record, "Migration pre-check error: the guest cannot be moved live.");
        }
        self.release(&guest, &source);
        self.allocate(&uuid, &source, needs);
        self.allocate(&guest, &chosen, needs);
        let runs = |host: &str| self.hosts.get(host).is_some_and(|h| h.compute);
        let (source_runs, dest_runs) = (runs(&source), runs(&chosen));
        if !source_runs || !dest_runs {
            // The pre-check is an RPC to the destination, which asks the source.
            if let Some(r) = self.records.get_mut((record - 1) as usize) {
                r.dest = None;
            }
            self.after(self.settings.rpc_timeout_ms, Event::LiveTimedOut { record, unexpected: !source_runs });
            return;
        }
        if let Some(r) = self.records.get_mut((record - 1) as usize) {
            r.dest = Some(chosen);
        }
        self.set_status(record, "queued");
        if let Some(h) = self.hosts.get_mut(&source) {
            h.queue.push_back(record);
        }
        self.next_live(&source);
    }

    /// Starts the next one, if the source is free.
    fn next_live(&mut self, source: &str) {
        let Some(h) = self.hosts.get_mut(source).filter(|h| h.compute && h.migrating.is_none()) else { return };
        let Some(record) = h.queue.pop_front() else { return };
        h.migrating = Some(record);
        let process = h.process;
        self.set_status(record, "preparing");
        self.after(self.settings.prepare_ms, Event::LiveRunning { record, process });
    }

    fn live_refused(&mut self, record: i64, why: &str) {
        let Some(Record { guest, .. }) = self.record(record).cloned() else { return };
        self.set_status(record, "error");
        self.change(&guest, |g| {
            g.task_state = None;
            g.fault = Some(why.into());
        });
    }

    /// Puts the allocations back as they were before the move.
    fn revert(&mut self, record: &Record) {
        let consumers = [(&record.uuid, &record.source)];
        for (uuid, source) in consumers {
            self.release(uuid, source);
        }
        let Some(needs) = self.guests.get(&record.guest).map(|g| g.needs()) else { return };
        self.allocations.remove(&record.guest);
        self.allocate(&record.guest, &record.source, needs);
    }

    pub(crate) fn live_timed_out(&mut self, record: i64, unexpected: bool) {
        let Some(r) = self.record(record).cloned() else { return };
        let task_is_ours = self.guests.get(&r.guest).is_some_and(|g| g.task_state.as_deref() == Some("migrating"));
        self.set_status(record, "error");
        if !task_is_ours {
            return; // evacuated meanwhile: its allocations are not ours to touch
        }
        self.revert(&r);
        self.change(&r.guest, |g| {
            g.task_state = None;
            g.fault = Some("Timed out waiting for a reply".into());
            if unexpected {
                g.vm_state = VmState::Error;
            }
        });
    }

    /// The record, if its source's nova-compute is still the same process.
    fn live(&self, record: i64, process: u64) -> Option<Record> {
        let r = self.record(record)?.clone();
        let same = self.hosts.get(&r.source).is_some_and(|h| h.compute && h.process == process);
        (same && self.guests.contains_key(&r.guest)).then_some(r)
    }

    pub(crate) fn live_running(&mut self, record: i64, process: u64) {
        let Some(r) = self.live(record, process) else { return };
        let dest_runs = r.dest.as_ref().and_then(|d| self.hosts.get(d)).is_some_and(|h| h.compute);
        if !dest_runs {
            return self.live_failed(record);
        }
        self.set_status(record, "running");
        self.after(self.settings.live_migration_ms, Event::LiveArrived { record, process });
    }

    fn live_failed(&mut self, record: i64) {
        let Some(r) = self.record(record).cloned() else { return };
        self.set_status(record, "failed");
        self.revert(&r);
        self.change(&r.guest, |g| g.task_state = None);
        self.live_over(&r.source);
    }

    fn live_over(&mut self, source: &str) {
        if let Some(h) = self.hosts.get_mut(source) {
            h.migrating = None;
        }
        self.next_live(source);
    }

    /// The hypervisors have copied the guest. That happens with nova-compute or without.
    pub(crate) fn live_arrived(&mut self, record: i64, process: u64) {
        let Some(r) = self.record(record).cloned() else { return };
        let Some(dest) = r.dest.clone() else { return };
        if r.status != "running" {
            return; // aborted by a new start of the source's nova-compute
        }
        let source_runs = self.hosts.get(&r.source).is_some_and(|h| h.alive() && h.guests.get(&r.guest) == Some(&true));
        let dest_alive = self.hosts.get(&dest).is_some_and(|h| h.alive());
        if source_runs && dest_alive {
            if let Some(h) = self.hosts.get_mut(&r.source) {
                h.guests.remove(&r.guest);
            }
            self.run_guest(&r.guest, &dest);
        }
        if self.live(record, process).is_none() {
            return; // nobody is left to write it down: `running` and `migrating` stay
        }
        if source_runs && dest_alive {
            self.after(POST_MS, Event::LivePost { record, process });
        } else {
            self.live_failed(record);
        }
    }

    /// The destination takes the guest over in the database. If its nova-compute is gone, `host` and
    /// `task_state` stay as they are, and the record is completed all the same.
    pub(crate) fn live_post(&mut self, record: i64, process: u64) {
        let Some(r) = self.live(record, process) else { return };
        let Some(dest) = r.dest.clone() else { return };
        let mut wait = POST_MS;
        if self.hosts.get(&dest).is_some_and(|h| h.compute) {
            self.change(&r.guest, |g| {
                g.host = Some(dest);
                g.task_state = None;
            });
        } else {
            wait = self.settings.rpc_timeout_ms;
        }
        self.after(wait, Event::LiveDone { record, process });
    }

    pub(crate) fn live_done(&mut self, record: i64, process: u64) {
        let Some(r) = self.live(record, process) else { return };
        self.set_status(record, "completed");
        self.release(&r.uuid, &r.source);
        self.live_over(&r.source);
    }
}
