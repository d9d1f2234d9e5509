//! Builds: scheduled, then claimed. Between the two, `host=` does not show them (S9).

use super::event::Event;
use super::{Guest, GuestSpec, NoSuch, VmState, World};

impl World {
    /// A new guest that the scheduler has put on a host already (its allocation is there) and whose claim
    /// arrives `after_ms` later, enabled or not. Until then its `host` is not set.
    pub fn schedule_build(&mut self, host: &str, after_ms: i64) -> Result<String, NoSuch> {
        let name = format!("build-{}", self.guests.len() + 1);
        let id = self.add_guest(GuestSpec::new(name, host).stopped())?;
        if let Some(h) = self.hosts.get_mut(host) {
            h.guests.remove(&id);
        }
        self.change(&id, |g: &mut Guest| {
            g.host = None;
            g.vm_state = VmState::Building;
            g.task_state = Some("scheduling".into());
            g.power_state = 0;
        });
        self.after(after_ms, Event::BuildClaim { guest: id.clone(), host: host.into() });
        Ok(id)
    }

    pub(crate) fn build_claim(&mut self, guest: &str, host: &str) {
        if self.guests.get(guest).is_none_or(|g| g.vm_state != VmState::Building) {
            return;
        }
        let Some(h) = self.hosts.get(host).filter(|h| h.compute) else { return };
        let process = h.process;
        self.change(guest, |g| {
            g.host = Some(host.into());
            g.task_state = Some("spawning".into());
        });
        self.after(self.settings.start_stop_ms, Event::Built { guest: guest.into(), host: host.into(), process });
    }

    pub(crate) fn built(&mut self, guest: &str, host: &str, process: u64) {
        if !self.hosts.get(host).is_some_and(|h| h.compute && h.process == process) || !self.guests.contains_key(guest) {
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
