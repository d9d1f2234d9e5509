//! The world in brief, for people and for the sandbox.

use super::{DoubleRun, World};
use serde::Serialize;

/// A host, as it really is beside what Nova says.
#[derive(Clone, Debug, Serialize)]
pub struct HostState {
    /// Name.
    pub name: String,
    /// Chassis power.
    pub power: bool,
    /// The kernel died.
    pub crashed: bool,
    /// nova-compute runs.
    pub nova_compute: bool,
    /// The BMC answers.
    pub bmc_reachable: bool,
    /// Nova's `status`.
    pub enabled: bool,
    /// Nova's `state`.
    pub up: bool,
    /// Nova's `forced_down`.
    pub forced_down: bool,
    /// Guests whose processes run here.
    pub running: Vec<String>,
}

/// A guest, as Nova has it beside where it really runs.
#[derive(Clone, Debug, Serialize)]
pub struct GuestState {
    /// Uuid.
    pub id: String,
    /// Name.
    pub name: String,
    /// The API's status.
    pub status: String,
    /// Nova's `host`.
    pub host: Option<String>,
    /// Where it runs.
    pub runs_on: Vec<String>,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct WorldState {
    /// Hosts by name.
    pub hosts: Vec<HostState>,
    /// Guests, oldest first.
    pub guests: Vec<GuestState>,
    /// Double runs as (time, guest, started on, ran on).
    pub double_runs: Vec<(i64, String, String, String)>,
}

impl World {
    /// Hosts, guests and double runs at this instant.
    pub fn state(&self) -> WorldState {
        let hosts = self.hosts.values().map(|h| HostState {
            name: h.name.clone(),
            power: h.power,
            crashed: h.crashed,
            nova_compute: h.compute,
            bmc_reachable: h.bmc.reachable,
            enabled: h.enabled,
            up: self.service_is_up(h),
            forced_down: h.forced_down,
            running: h.guests.iter().filter(|(_, runs)| **runs).map(|(id, _)| id.clone()).collect(),
        });
        let guests = self.guest_ids().into_iter().filter_map(|id| self.guests.get(&id)).map(|g| GuestState {
            id: g.id.clone(),
            name: g.name.clone(),
            status: g.status().into(),
            host: g.host.clone(),
            runs_on: self.running_on(&g.id),
        });
        let double = |d: &DoubleRun| (d.at, d.guest.clone(), d.on.clone(), d.and.clone());
        WorldState { hosts: hosts.collect(), guests: guests.collect(), double_runs: self.double_runs().iter().map(double).collect() }
    }

    /// The same in lines: what a guest's state is and where it runs; for messages of tests.
    pub fn describe(&self) -> String {
        let state = self.state();
        let hosts = state.hosts.iter().map(|h| {
            let words = [
                (h.power, "on", "off"),
                (h.crashed, "crashed", ""),
                (h.nova_compute, "", "no-nova-compute"),
                (h.enabled, "enabled", "disabled"),
                (h.up, "up", "down"),
                (h.forced_down, "forced-down", ""),
            ];
            let words: Vec<&str> = words.iter().map(|(is, yes, no)| if *is { *yes } else { *no }).filter(|w| !w.is_empty()).collect();
            format!("{}: {}", h.name, words.join(" "))
        });
        let guests = state.guests.iter().map(|g| format!("  {} {} on {:?}, runs on {:?}", g.name, g.status, g.host, g.runs_on));
        hosts.chain(guests).collect::<Vec<_>>().join("\n")
    }
}
