//! What a story starts from: hosts, policies of the cloud, and how the cloud behaves.

use crate::script::{Line, millis, number, pair, truth};
use serde_json::{Value, json};
use simulator::{HostSpec, Settings};
use workspace_tests::stage::{Given, given};

/// Verbs that set the scene. They stand before all others.
pub const VERBS: [&str; 6] = ["hosts", "host", "cloud", "cluster", "links", "devices"];

/// Reads the lines that set the scene.
#[derive(Default)]
pub struct Scene {
    names: Vec<String>,
    special: Vec<HostSpec>,
    settings: Vec<(String, String)>,
    policy: Value,
    unverified: bool,
    miswired: Vec<(String, String)>,
    /// Hosts with a second BMC, and hosts with that many outlets.
    second_bmcs: Vec<String>,
    outlets: Vec<(String, usize)>,
}

impl Scene {
    /// Takes a line.
    pub fn take(&mut self, line: &Line) -> Result<(), String> {
        match line.verb() {
            "hosts" => self.names.extend(line.after(0).iter().cloned()),
            "host" => {
                let mut host = HostSpec::new(line.word(1, "a name")?);
                for word in line.after(1) {
                    match pair(word) {
                        Some(("zone", zone)) => host.zone = zone.into(),
                        Some(("cell", cell)) => host.cell = cell.into(),
                        Some(("trait", name)) => host.traits.push(name.into()),
                        Some(("ram", mib)) => host.room.ram_mb = number(mib)?,
                        Some(("cpus", count)) => host.room.vcpus = number(count)?,
                        _ => return Err(format!("`{word}` is none of zone=, cell=, trait=, ram=, cpus=")),
                    }
                }
                self.special.push(host);
            }
            "cloud" => {
                for word in line.after(0) {
                    let (key, value) = pair(word).ok_or_else(|| format!("`{word}` is no setting such as rebuild=15s"))?;
                    set(&mut Settings::default(), key, value)?;
                    self.settings.push((key.into(), value.into()));
                }
            }
            "cluster" if line.yaml.is_object() => self.policy = line.yaml.clone(),
            "cluster" => return Err("`cluster` needs fields of the ClusterPolicy: cluster {guestDisks: Local}".into()),
            "links" => match line.words.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
                ["unverified"] => self.unverified = true,
                ["miswired", host, machine] => self.miswired.push((host.into(), machine.into())),
                _ => return Err("it is `links unverified` or `links miswired HOST MACHINE`".into()),
            },
            "devices" => {
                let host = line.word(1, "a host")?;
                for word in line.after(1) {
                    match (word.as_str(), pair(word)) {
                        ("second-bmc", _) => self.second_bmcs.push(host.into()),
                        (_, Some(("outlets", count))) => self.outlets.push((host.into(), number(count)?)),
                        _ => return Err(format!("`{word}` is none of second-bmc, outlets=")),
                    }
                }
            }
            other => return Err(format!("`{other}` sets no scene")),
        }
        Ok(())
    }

    /// The scene, not yet begun.
    pub fn given(self) -> Given {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let mut given = given(&names).repeatable().with(|settings| {
            for (key, value) in &self.settings {
                // Each was tried when it was read.
                let _ = set(settings, key, value);
            }
        });
        given = self.special.into_iter().fold(given, Given::host);
        given = given.policy(if self.policy.is_object() { self.policy } else { json!({}) });
        given = self.miswired.iter().fold(given, |g, (host, machine)| g.miswired(host, machine));
        given = self.second_bmcs.iter().fold(given, |g, host| g.second_bmc(host));
        given = self.outlets.iter().fold(given, |g, (host, count)| g.outlets(host, *count));
        if self.unverified { given.unverified() } else { given }
    }
}

/// Changes how the cloud behaves.
pub fn set(settings: &mut Settings, key: &str, value: &str) -> Result<(), String> {
    match key {
        "boot" => settings.boot_ms = millis(value)?,
        "rebuild" => settings.rebuild_ms = millis(value)?,
        "live-migration" => settings.live_migration_ms = millis(value)?,
        "cold-migration" => settings.cold_migration_ms = millis(value)?,
        "service-down" => settings.service_down_ms = millis(value)?,
        "soft-off" => settings.soft_off_ms = millis(value)?,
        "power-sync" => settings.power_sync_ms = millis(value)?,
        "shared-disks" => settings.shared_disks = truth(value)?,
        "resume-guests" => settings.resume_guests = truth(value)?,
        "autostart-guests" => settings.autostart_guests = truth(value)?,
        "microversion" => {
            let (major, minor) = value.split_once('.').ok_or("a microversion is like 2.95")?;
            settings.max_microversion = (number(major)?, number(minor)?);
        }
        other => {
            return Err(format!(
                "`{other}` is no setting; there are boot, rebuild, live-migration, cold-migration, service-down, soft-off, power-sync, \
                 shared-disks, resume-guests, autostart-guests and microversion"
            ));
        }
    }
    Ok(())
}
