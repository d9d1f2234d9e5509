//! Nova's service rows, and the PUT that changes them.

use super::event::Event;
use super::{Failure, Host, World};
use cloud::{Hypervisor, Service, ServiceChange};
use schemas::Time;

/// A row's time as Nova writes it: the database keeps whole seconds, the answer to a PUT has more.
pub(crate) fn nova_time(ms: i64, fraction: bool) -> String {
    let ms = if fraction { ms } else { ms.div_euclid(1000) * 1000 };
    let text = jiff::Timestamp::from_millisecond(ms).map(|t| t.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string());
    text.unwrap_or_else(|_| Time(ms.saturating_mul(1000)).to_string())
}

impl World {
    fn row(&self, host: &Host) -> Service {
        if self.cells_down.contains(&host.cell) {
            return Service { binary: "nova-compute".into(), host: host.name.clone(), ..Service::default() };
        }
        Service {
            id: host.service_id.clone(),
            binary: "nova-compute".into(),
            host: host.name.clone(),
            zone: host.zone.clone(),
            enabled: Some(host.enabled),
            up: Some(self.service_is_up(host)),
            forced_down: host.forced_down,
            disabled_reason: host.disabled_reason.clone(),
            updated_at: Some(nova_time(self.last_beat(host).max(host.last_write), false)),
        }
    }

    /// All rows, as `GET /os-services` gives them at 2.69 or later.
    pub(crate) fn services(&self) -> Vec<Service> {
        let beat = self.control_beat();
        let up = (self.now - beat).abs() <= self.settings.service_down_ms;
        let control = |n: u64, binary: &str| Service {
            id: format!("00000000-0000-4000-8000-{n:012}"),
            binary: binary.into(),
            host: "control-01".into(),
            zone: "internal".into(),
            enabled: Some(true),
            up: Some(up),
            forced_down: false,
            disabled_reason: None,
            updated_at: Some(nova_time(beat, false)),
        };
        let mut rows = vec![control(1, "nova-scheduler"), control(2, "nova-conductor")];
        rows.extend(self.hosts.values().map(|h| self.row(h)));
        rows
    }

    /// The host of a service, whether its cell answers or not.
    pub fn host_of_service(&self, id: &str) -> Option<String> {
        self.hosts.values().find(|h| h.service_id == id).map(|h| h.name.clone())
    }

    /// The rows as `GET /os-services` shows them at this instant, without any injected fault.
    pub fn services_shown(&self) -> Vec<Service> {
        self.services()
    }

    /// All hypervisors of cells that answer.
    pub(crate) fn hypervisors(&self) -> Vec<Hypervisor> {
        let seen = self.hosts.values().filter(|h| !self.cells_down.contains(&h.cell));
        seen.map(|h| Hypervisor {
            id: h.provider_id.clone(),
            hostname: h.name.clone(),
            hypervisor_type: h.hypervisor_type.clone(),
            service_host: h.name.clone(),
        })
        .collect()
    }

    /// `PUT /os-services/{id}` (2.53): `forced_down` is saved first, so together with it a disable makes no
    /// RPC (I21). The second value is the time the call takes: a disable or enable of a service that looks
    /// up and is dead waits for the RPC's time-out, then succeeds.
    pub(crate) fn update_service(&mut self, id: &str, change: &ServiceChange) -> Result<(Service, i64), Failure> {
        if id.starts_with("00000000-0000-4000-8000-") {
            let binary = if id.ends_with('1') { "nova-scheduler" } else { "nova-conductor" };
            return Err(Failure::refused(400, format!("Updating a {binary} service is not supported. Only nova-compute services can be updated.")));
        }
        let missing = || Failure::refused(404, format!("Service {id} could not be found."));
        let name = self.hosts.values().find(|h| h.service_id == id).map(|h| h.name.clone()).ok_or_else(missing)?;
        let host = self.hosts.get(&name).ok_or_else(missing)?;
        if self.cells_down.contains(&host.cell) {
            return Err(Failure::refused(
                500,
                "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if possible.",
            ));
        }
        if change.enabled.is_none() && change.forced_down.is_none() {
            return Err(Failure::refused(400, "No updates were requested. Fields 'status' or 'forced_down' should be specified."));
        }
        if let Some(reason) = &change.disabled_reason {
            match change.enabled {
                Some(true) => return Err(Failure::refused(400, "Specifying 'disabled_reason' with status 'enabled' is invalid.")),
                None => return Err(Failure::refused(400, "Specifying 'disabled_reason' without status 'disabled' is invalid.")),
                Some(false) => {}
            }
            if reason.is_empty() || reason.chars().count() > 255 {
                return Err(Failure::refused(400, "Invalid input for field/attribute disabled_reason: 1 to 255 characters are allowed."));
            }
        }
        if change.forced_down == Some(false) && self.records.iter().any(|r| r.kind == "evacuation" && r.source == name && r.status == "done") {
            return Err(Failure::refused(
                400,
                format!(
                    "Unable to force up host {name} as `done` evacuation migration records remain associated with the host. Ensure the compute \
                     service has been restarted, allowing these records to move to `completed` before retrying this request."
                ),
            ));
        }
        let delay = self.write_service(&name, change);
        let host = self.hosts.get(&name).ok_or_else(missing)?;
        let mut row = self.row(host);
        if host.last_write == self.now {
            row.updated_at = Some(nova_time(self.now, true));
        }
        // The answer shows the state at its own time, a minute later for a dead service.
        row.up = row.up.map(|up| up && (delay == 0 || self.now + delay - self.last_beat(host) <= self.settings.service_down_ms));
        Ok((row, delay))
    }

    /// Saves a change; gives back how long the call takes. What changes nothing is not written, but the RPC
    /// about the trait is made for every `status`.
    fn write_service(&mut self, name: &str, change: &ServiceChange) -> i64 {
        let now = self.now;
        let Some(h) = self.hosts.get_mut(name) else { return 0 };
        if let Some(forced) = change.forced_down.filter(|f| *f != h.forced_down) {
            h.forced_down = forced;
            h.last_write = now;
        }
        let Some(enabled) = change.enabled else { return 0 };
        // Without a reason the old one goes.
        let reason = change.disabled_reason.clone().filter(|_| !enabled);
        if h.enabled != enabled || h.disabled_reason != reason {
            h.enabled = enabled;
            h.disabled_reason = reason;
            h.last_write = now;
        }
        let (alive, process) = (h.compute, h.process);
        if self.hosts.get(name).is_some_and(|h| self.service_is_up(h)) {
            // The RPC that changes the trait: answered by a live nova-compute, waited for in vain otherwise.
            if alive {
                self.sync_trait(name, process);
                return 0;
            }
            return self.settings.rpc_timeout_ms;
        }
        // No RPC to a service that is down: the trait lingers until the resource task, or a restart.
        if alive {
            self.after(self.settings.update_resources_ms, Event::SyncTrait { host: name.into(), process });
        }
        0
    }
}
