//! Verbs that do something to the cloud: machines, BMCs, Nova, guests, and people beside us.

use crate::{
    run::Story,
    scene,
    script::{Line, millis, number, pair},
};
use cloud::ServiceChange;
use power::Command;
use simulator::{Call, CallFault, CallKind, GroupPolicy, GuestSpec, HostFault, Lie, VmState};

const KINDS: [CallKind; 22] = [
    CallKind::Any,
    CallKind::Services,
    CallKind::Hypervisors,
    CallKind::Servers,
    CallKind::Server,
    CallKind::Migrations,
    CallKind::Aggregates,
    CallKind::ServerGroups,
    CallKind::Provider,
    CallKind::Rooms,
    CallKind::ProvidersOf,
    CallKind::Validate,
    CallKind::UpdateService,
    CallKind::Evacuate,
    CallKind::LiveMigrate,
    CallKind::ColdMigrate,
    CallKind::ConfirmResize,
    CallKind::Start,
    CallKind::Stop,
    CallKind::PowerRead,
    CallKind::PowerSet,
    CallKind::PowerIdentify,
];

/// A kind of call, by its name.
pub fn call_kind(word: &str) -> Result<CallKind, String> {
    let all = || KINDS.map(|k| format!("{k:?}")).join(", ");
    KINDS.into_iter().find(|k| format!("{k:?}") == word).ok_or_else(|| format!("`{word}` is no call; there are {}", all()))
}

impl Story {
    /// Does what the line says; false if that is none of these verbs.
    pub fn in_the_world(&mut self, line: &Line) -> Result<bool, String> {
        match line.verb() {
            "guest" => self.guest(line, None)?,
            "guests" => self.guest(line, Some(number(line.word(3, "a name, a host and a number")?)?))?,
            "group" => self.group(line)?,
            "aggregate" => self.aggregate(line)?,
            "crash" => self.fault(line, HostFault::Crash)?,
            "compute-dies" => self.fault(line, HostFault::NovaComputeDown)?,
            "compute-starts" => {
                let host = self.host(line, 1)?;
                self.stage.with(|w| w.start_compute(&host));
            }
            "heal" => self.fault(line, HostFault::None)?,
            "feed-lost" => {
                let host = self.host(line, 1)?;
                self.press(&host, Command::ForceOff)?;
                self.stage.with(|w| w.set_bmc_reachable(&host, false));
            }
            "feed-back" => {
                let host = self.host(line, 1)?;
                self.stage.with(|w| w.set_bmc_reachable(&host, true));
                self.press(&host, Command::On)?;
            }
            "bmc" => self.bmc(line)?,
            "control-plane" => {
                let up = up(line.word(1, "up or down")?)?;
                self.stage.with(|w| w.set_control_plane(up));
            }
            "cell" => {
                let (cell, up) = (line.word(1, "a cell")?, up(line.word(2, "up or down")?)?);
                self.stage.with(|w| w.set_cell(cell, up));
            }
            "nova" => self.nova_fails(line)?,
            "behaves" => {
                for word in line.after(0) {
                    let (key, value) = pair(word).ok_or_else(|| format!("`{word}` is no setting such as rebuild=15s"))?;
                    self.stage.with(|w| scene::set(w.settings_mut(), key, value))?;
                }
            }
            "build" => {
                let (host, after) = (self.host(line, 1)?, millis(line.word(2, "a time")?)?);
                self.stage.with(|w| w.schedule_build(&host, after)).map_err(|e| e.to_string())?;
            }
            "vm-state" => self.vm_state(line)?,
            "claims-fail" => {
                let (host, times) = (self.host(line, 1)?, number(line.word(2, "a number")?)?);
                self.stage.with(|w| w.fail_claims(&host, times));
            }
            "hosts-found-for" => {
                let id = self.guest_id(line.word(1, "a guest")?)?;
                self.stage.with(|w| w.find_hosts_for(&id));
            }
            "someone" => self.someone(line)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `guest NAME HOST …`, `guests NAME HOST COUNT …`.
    fn guest(&mut self, line: &Line, count: Option<usize>) -> Result<(), String> {
        let (name, host) = (line.word(1, "a name")?, self.host(line, 2)?);
        let mut spec = GuestSpec::new(name, host);
        for word in line.after(if count.is_some() { 3 } else { 2 }) {
            spec = match (word.as_str(), pair(word)) {
                ("stopped", _) => spec.stopped(),
                ("volume", _) => GuestSpec { boot_from_volume: true, ..spec },
                ("cannot-migrate", _) => GuestSpec { cannot_migrate: true, ..spec },
                ("no-valid-host", _) => GuestSpec { no_valid_host: true, ..spec },
                (_, Some(("ram", mib))) => spec.with_ram(number(mib)?),
                (_, Some(("ephemeral", gib))) => GuestSpec { ephemeral_gb: number(gib)?, ..spec },
                (_, Some(("project", project))) => GuestSpec { project: project.into(), ..spec },
                (_, Some(("group", group))) => spec.in_group(self.groups.get(group).ok_or_else(|| format!("there is no group `{group}`"))?),
                (_, Some((key, value))) if key.starts_with("meta.") => spec.with_metadata(&key[5..], value),
                (_, Some((key, value))) if key.starts_with("spec.") => spec.with_extra_spec(&key[5..], value),
                _ => {
                    return Err(format!(
                        "`{word}` is none of stopped, volume, cannot-migrate, no-valid-host, ram=, ephemeral=, project=, group=, meta.KEY=, spec.KEY="
                    ));
                }
            };
        }
        for n in 0..count.unwrap_or(1) {
            let name = if count.is_some() { format!("{name}-{n}") } else { name.to_string() };
            let id = self.stage.with(|w| w.add_guest(GuestSpec { name: name.clone(), ..spec.clone() })).map_err(|e| e.to_string())?;
            self.names.push((id, name));
        }
        Ok(())
    }

    fn group(&mut self, line: &Line) -> Result<(), String> {
        let policy = match line.word(2, "a name and a policy")? {
            "affinity" => GroupPolicy::Affinity,
            "anti-affinity" => GroupPolicy::AntiAffinity,
            "soft" => GroupPolicy::Soft,
            other => return Err(format!("`{other}` is none of affinity, anti-affinity, soft")),
        };
        let (name, id) = (line.word(1, "a name")?, self.stage.with(|w| w.add_group(policy)));
        self.names.push((id.clone(), name.into()));
        self.groups.insert(name.into(), id);
        Ok(())
    }

    fn aggregate(&mut self, line: &Line) -> Result<(), String> {
        let (mut hosts, mut metadata) = (Vec::new(), Vec::new());
        for word in line.after(1) {
            match pair(word) {
                Some(entry) => metadata.push(entry),
                None => hosts.push(word.as_str()),
            }
        }
        let name = line.word(1, "a name")?;
        self.stage.with(|w| w.add_aggregate(name, &hosts, &metadata));
        Ok(())
    }

    fn fault(&mut self, line: &Line, fault: HostFault) -> Result<(), String> {
        line.word(1, "a host")?;
        for n in 1..line.words.len() {
            let host = self.host(line, n)?;
            self.stage.with(|w| w.fault(&host, fault)).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// `bmc HOST …`, and `bmc HOST.bmc2 …`, `bmc HOST.outlet1 …` for its further devices.
    fn bmc(&mut self, line: &Line) -> Result<(), String> {
        let host = line.word(1, "a host, or a device such as a.bmc2")?.to_string();
        if !self.stage.with(|w| w.has_power_device(&host)) {
            return Err(format!("there is no power device `{host}`"));
        }
        let what = line.word(2, "a host and what its BMC does")?;
        let late = if what == "late" { millis(line.word(3, "a time")?)? } else { 0 };
        self.stage.with(|w| {
            match what {
                "silent" => w.set_bmc_reachable(&host, false),
                "answers" => w.set_bmc_reachable(&host, true),
                "says-off" => w.set_bmc_lie(&host, Lie::SaysOff),
                "says-on" => w.set_bmc_lie(&host, Lie::SaysOn),
                "does-nothing" => w.set_bmc_lie(&host, Lie::NoEffect),
                "honest" => w.set_bmc_lie(&host, Lie::None),
                "late" => w.set_bmc_late(&host, late),
                "strict" => w.set_bmc_strict(&host, true),
                "soft-off-ignored" => w.set_soft_off_works(&host, false),
                other => {
                    let known = "silent, answers, says-off, says-on, does-nothing, honest, late, strict, soft-off-ignored";
                    return Err(format!("`{other}` is none of {known}"));
                }
            }
            Ok(())
        })
    }

    fn nova_fails(&mut self, line: &Line) -> Result<(), String> {
        if line.word(1, "a call and how it fails, or `well`")? == "well" {
            self.stage.with(|w| w.clear_injected());
            return line.ends(1);
        }
        let kind = call_kind(line.word(1, "a call")?)?;
        let how = line.word(2, "how it fails")?;
        let fault = match (how, pair(how)) {
            ("lost-answer", _) => CallFault::LostAnswer,
            ("lost-request", _) => CallFault::LostRequest,
            ("nonsense", _) => CallFault::Nonsense,
            ("partial", _) => CallFault::Partial,
            ("not-sent", _) => CallFault::NotSent,
            (_, Some(("duplicate", after))) => CallFault::Duplicate { after_ms: millis(after)? },
            (_, Some(("late", after))) => CallFault::Late { after_ms: millis(after)? },
            (_, Some(("slow", by))) => CallFault::Slow { ms: millis(by)? },
            (_, Some(("status", status))) => CallFault::Status { status: number(status)?, retry_after_s: None },
            _ => return Err(format!("`{how}` is none of lost-answer, lost-request, nonsense, partial, not-sent, duplicate=, late=, slow=, status=")),
        };
        let (mut times, mut target) = (u32::MAX, None);
        for word in line.after(2) {
            match pair(word) {
                Some(("times", n)) => times = number(n)?,
                Some(("of", name)) => target = Some(self.guest_id(name).unwrap_or_else(|_| name.into())),
                _ => return Err(format!("`{word}` is neither times= nor of=")),
            }
        }
        self.stage.with(|w| match target {
            Some(target) => w.inject_for(kind, &target, fault, times),
            None => w.inject(kind, fault, times),
        });
        Ok(())
    }

    fn vm_state(&mut self, line: &Line) -> Result<(), String> {
        let id = self.guest_id(line.word(1, "a guest")?)?;
        let word = line.word(2, "a guest and its state")?;
        let all = [
            VmState::Active,
            VmState::Stopped,
            VmState::Error,
            VmState::Paused,
            VmState::Suspended,
            VmState::Rescued,
            VmState::Resized,
            VmState::ShelvedOffloaded,
        ];
        let state = all.into_iter().find(|s| s.as_str() == word).ok_or_else(|| format!("`{word}` is no state of a guest"))?;
        self.stage.with(|w| w.set_vm_state(&id, state));
        Ok(())
    }

    /// A person, or another program, beside us.
    fn someone(&mut self, line: &Line) -> Result<(), String> {
        let does = line.word(1, "what someone does")?;
        let object = line.word(2, "what someone does it to")?;
        let change = ServiceChange::default();
        match does {
            "presses" => {
                let host = self.host(line, 2)?;
                let command = match line.word(3, "on, off or soft")? {
                    "on" => Command::On,
                    "off" => Command::ForceOff,
                    "soft" => Command::SoftOff,
                    other => return Err(format!("`{other}` is none of on, off, soft")),
                };
                self.press(&host, command)
            }
            "disables" => {
                let reason = line.word(3, "a reason")?.to_string();
                self.service(line, ServiceChange { enabled: Some(false), disabled_reason: Some(reason), ..change })
            }
            "enables" => self.service(line, ServiceChange { enabled: Some(true), ..change }),
            "forces-down" => self.service(line, ServiceChange { forced_down: Some(true), ..change }),
            "frees" => self.service(line, ServiceChange { forced_down: Some(false), ..change }),
            "deletes" => {
                let id = self.guest_id(object)?;
                self.stage.with(|w| w.delete_guest(&id));
                Ok(())
            }
            "removes" => {
                let host = self.host(line, 2)?;
                self.stage.with(|w| w.remove_host(&host));
                Ok(())
            }
            "swaps" => {
                let (one, other) = (self.host(line, 2)?, self.host(line, 3)?);
                self.stage.with(|w| w.swap_identities(&one, &other));
                Ok(())
            }
            "live-migrates" | "evacuates" => {
                let (server, destination) = (self.guest_id(object)?, Some(self.host(line, 3)?));
                self.make(match does {
                    "evacuates" => Call::Evacuate { server, destination, leave_stopped: false },
                    _ => Call::LiveMigrate { server, destination },
                })
            }
            "stops" => self.guest_id(object).and_then(|server| self.make(Call::Stop { server })),
            "starts" => self.guest_id(object).and_then(|server| self.make(Call::Start { server })),
            other => Err(format!(
                "nobody `{other}`; someone presses, disables, enables, forces-down, frees, deletes, removes, swaps, live-migrates, evacuates, stops or starts"
            )),
        }
    }

    fn press(&mut self, host: &str, command: Command) -> Result<(), String> {
        self.make(Call::Power { host: host.into(), command })
    }

    fn service(&mut self, line: &Line, change: ServiceChange) -> Result<(), String> {
        let id = self.stage.service(&self.host(line, 2)?).id;
        self.make(Call::UpdateService { id, change })
    }

    /// A call that is not ours: the trace does not count it as one.
    fn make(&mut self, call: Call) -> Result<(), String> {
        let (result, number) = self.stage.with(|w| (w.call(call).result, w.calls().count()));
        self.others.insert(number - 1);
        result.map(drop).map_err(|e| format!("it is not taken: {e:?}"))
    }
}

fn up(word: &str) -> Result<bool, String> {
    match word {
        "up" => Ok(true),
        "down" => Ok(false),
        other => Err(format!("`{other}` is neither up nor down")),
    }
}
