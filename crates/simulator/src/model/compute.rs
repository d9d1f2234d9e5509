//! nova-compute: heartbeats, and what it does when it starts.

use super::event::Event;
use super::{Host, VmState, World};
use std::collections::BTreeMap;

impl World {
    /// The last heartbeat of a host, in milliseconds. Beats are computed, not scheduled: one falls on every
    /// whole report interval since the process started.
    pub(crate) fn last_beat(&self, host: &Host) -> i64 {
        match host.beats_from {
            Some(from) => {
                let interval = self.settings.report_interval_ms.max(1);
                from + (self.now - from).div_euclid(interval) * interval
            }
            None => host.last_beat,
        }
    }

    /// Last heartbeat of conductor and scheduler.
    pub(crate) fn control_beat(&self) -> i64 {
        if !self.control {
            return self.control_last_beat;
        }
        let interval = self.settings.report_interval_ms.max(1);
        self.started + (self.now - self.started).div_euclid(interval) * interval
    }

    /// Nova's opinion: not forced down, and heard of within `service_down_time`.
    pub(crate) fn service_is_up(&self, host: &Host) -> bool {
        !host.forced_down && (self.now - self.last_beat(host)).abs() <= self.settings.service_down_ms
    }

    /// Whether Nova shows a host's service up; `None` for an unknown host.
    pub fn is_up(&self, host: &str) -> Option<bool> {
        self.hosts.get(host).map(|h| self.service_is_up(h))
    }

    /// nova-compute has come up. Before it beats it cleans up after evacuations and failed work (I13).
    pub(crate) fn compute_started(&mut self, host: &str, process: u64) {
        let control = self.control;
        let now = self.now;
        let Some(h) = self.hosts.get_mut(host).filter(|h| h.alive() && !h.compute && h.process == process) else { return };
        h.compute = true;
        h.last_beat = if control { now } else { h.last_beat };
        h.beats_from = control.then_some(now);
        h.trait_disabled = !h.enabled;
        let inbox = std::mem::take(&mut h.inbox);
        self.say(format!("{host}: nova-compute started"));
        let evacuated = self.destroy_evacuated(host);
        self.init_guests(host, &evacuated);
        for event in inbox {
            self.after(0, event);
        }
        if self.settings.power_sync_ms > 0 {
            self.after(self.settings.power_sync_ms, Event::SyncPower { host: host.into(), process });
        }
    }

    /// Local copies of guests with an evacuation record that is `accepted`, `pre-migrating` or `done` are
    /// destroyed, whatever became of the evacuation (I14); their allocations here go; the record becomes
    /// `completed`. Nova keeps one record per guest, the last, so a twin's record stays as it is.
    fn destroy_evacuated(&mut self, host: &str) -> Vec<String> {
        let open = |r: &&mut super::Record| r.source == host && r.kind == "evacuation" && matches!(r.status, "accepted" | "pre-migrating" | "done");
        let mut last: BTreeMap<String, usize> = BTreeMap::new();
        for (i, r) in self.records.iter_mut().enumerate() {
            if open(&r) {
                last.insert(r.guest.clone(), i);
            }
        }
        for (guest, record) in &last {
            let copy = self.hosts.get_mut(host).and_then(|h| h.guests.remove(guest));
            if copy.is_some() && !self.settings.shared_disks {
                // The copy's disk goes with it. If the guest never left, that was the only one.
                if let Some(g) = self.guests.get_mut(guest).filter(|g| g.host.as_deref() == Some(host) && g.loses_local_disk()) {
                    g.disks_lost += 1;
                }
            }
            self.release(guest, host);
            self.set_record(*record, "completed");
            self.say(format!("{host}: cleaned up {guest}, which was evacuated"));
        }
        last.into_keys().collect()
    }

    /// Nova's `_init_instance`, as far as it matters here.
    fn init_guests(&mut self, host: &str, evacuated: &[String]) {
        let resume = self.settings.resume_guests;
        for id in self.guests_of(host) {
            if evacuated.contains(&id) {
                continue;
            }
            let Some(guest) = self.guests.get_mut(&id) else { continue };
            match guest.task_state.as_deref() {
                Some(t) if t.starts_with("rebuild") || t == "spawning" => {
                    guest.vm_state = VmState::Error;
                    guest.task_state = None;
                }
                Some("migrating") => {
                    guest.task_state = None;
                    if let Some(i) = self.records.iter().position(|r| r.guest == id && r.status == "running") {
                        self.set_record(i, "error");
                    }
                }
                Some("powering-off") => self.after(self.settings.start_stop_ms, Event::Stopped { guest: id.clone(), host: host.into() }),
                Some("powering-on") => self.after(self.settings.start_stop_ms, Event::Started { guest: id.clone(), host: host.into() }),
                _ => {}
            }
            let should_run = self.guests.get(&id).is_some_and(|g| g.power_state == 1 && g.vm_state == VmState::Active);
            let runs = self.hosts.get(host).is_some_and(|h| h.guests.get(&id) == Some(&true));
            if resume && should_run && !runs {
                self.run_guest(&id, host);
            }
        }
        // Builds that were scheduled here and never claimed end in error.
        let waiting: Vec<String> =
            self.guests.values().filter(|g| g.host.is_none() && g.vm_state == VmState::Building).map(|g| g.id.clone()).collect();
        for id in waiting {
            if self.allocations.get(&id).is_some_and(|a| a.contains_key(host))
                && let Some(g) = self.guests.get_mut(&id)
            {
                g.vm_state = VmState::Error;
                g.task_state = None;
            }
        }
    }

    pub(crate) fn sync_trait(&mut self, host: &str, process: u64) {
        if let Some(h) = self.hosts.get_mut(host).filter(|h| h.compute && h.process == process) {
            h.trait_disabled = !h.enabled;
        }
    }

    /// Nova believes the hypervisor about guests it is not working on: a dead one becomes `stopped`, a
    /// stopped one that runs is stopped again.
    pub(crate) fn sync_power(&mut self, host: &str, process: u64) {
        let Some(h) = self.hosts.get(host).filter(|h| h.compute && h.process == process) else { return };
        let copies = h.guests.clone();
        for id in self.guests_of(host) {
            let runs = copies.get(&id).copied();
            let Some(g) = self.guests.get_mut(&id).filter(|g| g.task_state.is_none()) else { continue };
            match (g.vm_state, runs) {
                (VmState::Active, Some(false)) => {
                    g.vm_state = VmState::Stopped;
                    g.power_state = 4;
                }
                (VmState::Stopped, Some(true)) => {
                    if let Some(h) = self.hosts.get_mut(host) {
                        h.guests.insert(id, false);
                    }
                }
                _ => {}
            }
        }
        self.after(self.settings.power_sync_ms, Event::SyncPower { host: host.into(), process });
    }
}
