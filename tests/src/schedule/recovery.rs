//! Schedules of recovery without a person: what is set up, what dies and comes back, and what people do meanwhile.

use super::{
    draw::{self, pick},
    plan::{Blow, Class, Fault, HOSTS, Job, Plan, Weather, What},
};
use rand::{Rng, rngs::StdRng};
use serde_json::{Value, json};
use simulator::{CallFault, HostFault, Lie};
use std::fmt;

/// Seconds between looks at the hosts, and looks that make one down.
pub const INTERVAL: i64 = 10;
/// Nothing is begun for so many seconds after a controller began to lead.
pub const QUIET: i64 = 15;
/// Racks, each with its hosts; the standby hosts are in the last one.
pub const RACKS: [(&str, &[&str]); 2] = [("rack-1", &["a", "b"]), ("rack-2", &["c", "d", "e"])];

/// What the RemediationPolicy `default` says at the beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    pub max_down: i64,
    pub permille: Option<i64>,
    pub cooldown: i64,
    /// Begins per hour.
    pub rate: Option<i64>,
    /// Hosts of one rack that may be down.
    pub per_rack: Option<i64>,
    pub excluded: Option<&'static str>,
    /// Restart first, and how long that may take.
    pub restart: Option<i64>,
    /// Hosts come back by themselves; true: powered on for that. And how often.
    pub back: Option<bool>,
    pub max_returns: i64,
    pub up_confirmations: i64,
    /// Another channel has to call the host silent.
    pub second_channel: bool,
}

/// A StandbyPool of the last hosts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pool {
    pub members: usize,
    /// Members are kept on, and disabled.
    pub kept_on: bool,
    /// Woken at once when an evacuation begins.
    pub always: bool,
    pub wake_timeout: i64,
}

/// Guests on each host that is no standby.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guests {
    pub per_host: usize,
    /// MiB of each; a host has 64,000.
    pub ram_mb: i64,
    /// The first of each host are members of one anti-affinity group.
    pub group: bool,
    /// The second of host `a` is paused, that of `b` resized.
    pub odd: bool,
    /// A GuestPolicy puts the first ones last.
    pub policy: bool,
}

/// What is set up for a schedule of recovery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch {
    pub rules: Rules,
    pub pool: Option<Pool>,
    pub guests: Guests,
}

/// How a host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Its kernel; the BMC says on.
    Crash,
    /// Its nova-compute alone; guests run on.
    Compute,
    /// It loses power.
    Power,
    /// It loses power, and its BMC with it.
    Burnt,
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Drain,
    Disable,
    Enable,
    PowerOn,
    /// An Evacuation, Auto.
    Evacuate,
}

/// What a machine or a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Dies {
        host: &'static str,
        how: Death,
    },
    /// It dies as soon as it is in service again, so many times.
    Flaps {
        host: &'static str,
        times: u64,
    },
    /// Someone presses the power button, or starts nova-compute: it comes back.
    ComesBack(&'static str),
    /// `limits.maxDownHosts` is set to that.
    Limit(i64),
    /// `evacuation.mode` becomes Forbidden, or Allowed.
    Forbid(bool),
    /// This host, and no other, is excluded; or none.
    Exclude(Option<&'static str>),
    Restart(bool),
    /// `detection.mode` becomes Off for so many seconds.
    Unwatched(u64),
    /// The cluster is frozen for so many seconds.
    Frozen(u64),
    /// `spec.evacuation` of the host becomes Denied.
    Deny(&'static str),
    /// Another channel speaks, every ten seconds, of what it saw so many seconds before.
    Says {
        host: &'static str,
        alive: bool,
        ago: i64,
        times: u64,
    },
    /// A person states that it is dead.
    Attest(&'static str),
    /// The pool is drilled; true: by powering its members off and on.
    Drill(bool),
    Order(&'static str, Order),
    /// Whatever evacuation of the host is open is cancelled.
    Cancel(&'static str),
    /// Someone disables the host in Nova, and means it.
    Disabled(&'static str),
    /// All guests of the host are deleted by their owners.
    Emptied(&'static str),
}

impl Deed {
    /// How long it lasts.
    pub fn seconds(self) -> u64 {
        match self {
            Deed::Unwatched(seconds) | Deed::Frozen(seconds) => seconds,
            Deed::Says { times, .. } => times * 10,
            _ => 0,
        }
    }
}

/// What of a schedule of recovery can be left out, to find the shortest that still breaks a law.
pub const PIECES: [&str; 12] =
    ["pool", "racks", "rate", "permille", "cooldown", "excluded", "restart", "return", "second-channel", "group", "odd", "policy"];

impl Watch {
    /// Without one of [`PIECES`].
    pub fn without(mut self, piece: &str) -> Watch {
        let (rules, guests) = (&mut self.rules, &mut self.guests);
        match piece {
            "pool" => self.pool = None,
            "racks" => rules.per_rack = None,
            "rate" => rules.rate = None,
            "permille" => rules.permille = None,
            "cooldown" => rules.cooldown = 0,
            "excluded" => rules.excluded = None,
            "restart" => rules.restart = None,
            "return" => rules.back = None,
            "second-channel" => rules.second_channel = false,
            "group" => guests.group = false,
            "odd" => guests.odd = false,
            "policy" => guests.policy = false,
            _ => {}
        }
        self
    }

    /// Hosts that are members of the pool.
    pub fn standbys(&self) -> &'static [&'static str] {
        let first = HOSTS.len() - self.pool.map_or(0, |p| p.members);
        &HOSTS[first..]
    }

    /// The spec of the RemediationPolicy.
    pub fn policy(&self) -> Value {
        let r = &self.rules;
        let mut limits = json!({"maxDownHosts": r.max_down, "cooldownSeconds": r.cooldown});
        if let Some(permille) = r.permille {
            limits["maxDownPermille"] = json!(permille);
        }
        if let Some(rate) = r.rate {
            limits["maxBeginsPerHour"] = json!(rate);
        }
        if let Some(hosts) = r.per_rack {
            limits["perFailureDomain"] = json!([{"type": "Rack", "maxDownHosts": hosts}]);
        }
        let power_on = if r.back == Some(true) { "AfterRecovery" } else { "Never" };
        json!({
            "detection": detection("On", r.up_confirmations),
            "limits": limits,
            "evacuation": {"excludedHosts": r.excluded.into_iter().collect::<Vec<_>>()},
            "evidence": {"demand": if r.second_channel { "SecondChannelSilent" } else { "ServiceSilent" }},
            "restart": if r.restart.is_some() { "Allow" } else { "Forbid" },
            "restartTimeoutSeconds": r.restart.unwrap_or(300),
            "returnToService": {"mode": if r.back.is_some() { "Automatic" } else { "Manual" }, "powerOn": power_on, "maxReturns": r.max_returns},
        })
    }
}

/// `spec.detection`.
pub fn detection(mode: &str, up_confirmations: i64) -> Value {
    json!({"mode": mode, "intervalSeconds": INTERVAL, "downConfirmations": 2, "upConfirmations": up_confirmations, "quietSeconds": QUIET})
}

/// The schedule of a seed.
pub fn plan(rng: &mut StdRng, seed: u64) -> Plan {
    let some = |rng: &mut StdRng, one_in: u32| rng.random_range(0..one_in) == 0;
    let rules = Rules {
        max_down: pick(rng, &[1, 1, 2, 2, 3]),
        permille: some(rng, 8).then_some(400),
        cooldown: pick(rng, &[0, 0, 60]),
        rate: some(rng, 5).then(|| pick(rng, &[1, 2])),
        per_rack: some(rng, 4).then_some(1),
        excluded: some(rng, 8).then(|| pick(rng, &["a", "b"])),
        restart: some(rng, 4).then(|| pick(rng, &[60, 120])),
        back: some(rng, 2).then(|| pick(rng, &[true, true, false])),
        max_returns: pick(rng, &[1, 2, 3]),
        up_confirmations: pick(rng, &[1, 1, 3]),
        second_channel: some(rng, 10),
    };
    let pool = some(rng, 2).then(|| Pool {
        members: pick(rng, &[1, 2]),
        kept_on: some(rng, 3),
        always: some(rng, 3),
        wake_timeout: pick(rng, &[300, 300, 60]),
    });
    // Large ones find no room but on a standby.
    let (per_host, ram_mb) = match pool {
        Some(_) => pick(rng, &[(1, 40_000), (1, 40_000), (2, 26_000), (2, 1_024)]),
        None => pick(rng, &[(1, 1_024), (2, 1_024), (3, 1_024), (2, 14_000)]),
    };
    let guests = Guests { per_host, ram_mb, group: some(rng, 4), odd: some(rng, 6), policy: some(rng, 5) };
    let watch = Watch { rules, pool, guests };
    let mut plan = Plan {
        parts: Vec::new(),
        sqlite: seed % 50 == 49,
        rebuild_ms: pick(rng, &[4_000, 4_000, 20_000, 45_000]),
        live_migration_ms: pick(rng, &[5_000, 5_000, 30_000]),
        max_per_host: pick(rng, &[8, 8, 2, 1]),
        max_evacuations: pick(rng, &[16, 16, 2]),
        watch: Some(watch),
        ..Plan::simple(seed, Job::Disable)
    };
    let mut faults = deaths(rng, &watch);
    for _ in 0..pick(rng, &[0, 1, 2, 3, 4]) {
        faults.push(Fault::Deed { at: rng.random_range(1..260), deed: deed(rng, &watch) });
    }
    // Of whom it is said that it is dead, it is so, and stays so.
    let burnt = |h: &str, faults: &[Fault]| {
        faults.iter().any(|f| matches!(f, Fault::Deed { deed: Deed::Dies { host, how: Death::Burnt }, .. } if *host == h))
    };
    let attested: Vec<&str> = HOSTS.into_iter().filter(|h| burnt(h, &faults)).collect();
    for host in &attested {
        faults.push(Fault::Deed { at: rng.random_range(80..300), deed: Deed::Attest(host) });
    }
    for _ in 0..pick(rng, &[0, 1, 1, 2, 3, 4]) {
        faults.push(draw::fault(rng, &plan));
    }
    sort_out(&mut faults, &attested);
    plan.faults = faults;
    plan
}

/// What cannot be told from death by anybody is left out (S4).
fn sort_out(faults: &mut Vec<Fault>, burnt: &[&str]) {
    let lied: Vec<_> = faults
        .iter()
        .filter_map(|f| if let Fault::Weather { weather: Weather::Lie { host, lie: Lie::SaysOff, .. }, .. } = f { Some(*host) } else { None })
        .collect();
    faults.retain(|f| match f {
        Fault::Weather { weather: Weather::Host(host, HostFault::NovaComputeDown), .. } => !lied.contains(host),
        Fault::Deed { deed: Deed::Dies { host, how: Death::Compute }, .. } => !lied.contains(host) && !burnt.contains(host),
        Fault::Deed { deed: Deed::ComesBack(host) | Deed::Order(host, Order::PowerOn), .. } => !burnt.contains(host),
        Fault::Weather { weather: Weather::PowerOn(host), .. } => !burnt.contains(host),
        _ => true,
    });
}

/// One host dies, or several together; and some come back when nobody asked for it.
fn deaths(rng: &mut StdRng, watch: &Watch) -> Vec<Fault> {
    let mut faults = Vec::new();
    let first = rng.random_range(5..40);
    let how = |rng: &mut StdRng| pick(rng, &[Death::Crash, Death::Crash, Death::Crash, Death::Compute, Death::Power, Death::Burnt]);
    let count = pick(rng, &[1, 1, 2, 2, 3]);
    let apart = pick(rng, &[1, 1, 20, 90]);
    for host in HOSTS.into_iter().take(count) {
        let how = how(rng);
        let at = first + rng.random_range(0..=apart);
        faults.push(Fault::Deed { at, deed: Deed::Dies { host, how } });
        if rng.random_range(0..3) == 0 {
            faults.push(Fault::Deed { at: at + rng.random_range(30..200), deed: Deed::ComesBack(host) });
        }
    }
    match rng.random_range(0..8) {
        // It dies again after it may have come back.
        0..2 => faults.push(Fault::Deed { at: first + rng.random_range(200..420), deed: Deed::Dies { host: HOSTS[0], how: Death::Crash } }),
        // It flaps, where it would be brought back.
        2..4 if watch.rules.back == Some(true) || watch.rules.restart.is_some() => {
            faults.push(Fault::Deed { at: first + 100, deed: Deed::Flaps { host: HOSTS[0], times: pick(rng, &[1, 2, 3]) } });
        }
        // Its BMC is silent until it reports again: nothing was done to it yet.
        4 => {
            faults.push(Fault::Weather { at: first, weather: Weather::Bmc { host: HOSTS[0], seconds: rng.random_range(110..180) } });
            faults.push(Fault::Deed { at: first + rng.random_range(95..170), deed: Deed::ComesBack(HOSTS[0]) });
        }
        // A standby dies, before or while it is needed.
        5..7 if watch.pool.is_some() => {
            let host = pick(rng, watch.standbys());
            faults.push(Fault::Deed { at: first + rng.random_range(0..200), deed: Deed::Dies { host, how: Death::Crash } });
        }
        _ => {}
    }
    faults
}

fn deed(rng: &mut StdRng, watch: &Watch) -> Deed {
    let host = pick(rng, &["a", "a", "a", "b", "b", "c"]);
    match rng.random_range(0..22) {
        0..2 => Deed::Limit(pick(rng, &[0, 1, 2, 4])),
        2 => Deed::Forbid(rng.random_range(0..3) > 0),
        3 => Deed::Exclude(pick(rng, &[Some("a"), Some("b"), None])),
        4 => Deed::Restart(rng.random_range(0..2) == 0),
        5 => Deed::Unwatched(rng.random_range(20..150)),
        6..8 => Deed::Frozen(rng.random_range(20..150)),
        8 => Deed::Deny(host),
        9..11 => Deed::Says { host, alive: true, ago: pick(rng, &[1, 1, 50, 400]), times: rng.random_range(1..12) },
        11 => Deed::Says { host, alive: false, ago: pick(rng, &[1, 1, 50, 400]), times: rng.random_range(1..20) },
        12..15 if watch.pool.is_some() => Deed::Drill(rng.random_range(0..4) > 0),
        15 => Deed::Order(host, pick(rng, &[Order::Drain, Order::Disable, Order::Enable])),
        16 => Deed::Order(host, Order::Evacuate),
        17 => Deed::Order(host, Order::PowerOn),
        18 => Deed::Cancel(host),
        19 => Deed::Disabled(host),
        20 => Deed::Emptied(pick(rng, &HOSTS)),
        _ => Deed::ComesBack(host),
    }
}

/// Troubles of machines and of Nova, where any host may be the one that matters.
pub fn weather(rng: &mut StdRng) -> Weather {
    let host = pick(rng, &["a", "a", "b", "c", "d", "e"]);
    let seconds = rng.random_range(5..150);
    match rng.random_range(0..14) {
        0..3 => Weather::Bmc { host, seconds },
        3..5 => Weather::LateBmc { host, ms: rng.random_range(500..12_000), seconds },
        5 => Weather::Control { seconds },
        6 => Weather::Cell { seconds },
        7..9 => Weather::Nova500 { seconds },
        9 => Weather::Lie { host, lie: Lie::SaysOff, seconds },
        10 => Weather::Lie { host, lie: Lie::SaysOn, seconds },
        11..13 => Weather::Lie { host, lie: Lie::NoEffect, seconds },
        _ => Weather::PowerOn(host),
    }
}

impl Plan {
    /// For how many seconds something may be known to nobody who decides: calls that take long, or a controller that sleeps.
    pub fn slack(&self) -> i64 {
        let slow = |f: &Fault| match f {
            Fault::At { what: What::Crash(_), .. } | Fault::At { class: Class::Clock, .. } | Fault::Deed { .. } => false,
            Fault::At { what: What::Cloud(CallFault::Status { .. } | CallFault::NotSent), .. } => false,
            Fault::Blow { blow, .. } => !matches!(blow, Blow::Kill { .. } | Blow::Term { .. }),
            _ => true,
        };
        if self.faults.iter().any(slow) { 100 } else { 12 }
    }

    /// Whether the wall clock of a controller is set.
    pub fn has_jumps(&self) -> bool {
        self.faults.iter().any(|f| matches!(f, Fault::Blow { blow: Blow::Jump { .. }, .. }))
    }

    /// The host whose guests have to be safe in the end, come what may: the only one that dies, once, while nobody meddles.
    pub fn has_to_recover(&self) -> Option<&'static str> {
        let watch = self.watch.as_ref()?;
        let meddles = |f: &Fault| match f {
            Fault::Deed { deed, .. } => !matches!(deed, Deed::Dies { how: Death::Crash | Death::Power, .. } | Deed::Limit(_) | Deed::Frozen(_)),
            _ => false,
        };
        let dies = |f: &Fault| if let Fault::Deed { deed: Deed::Dies { host, .. }, .. } = f { Some(*host) } else { None };
        let dead: Vec<&str> = self.faults.iter().filter_map(dies).collect();
        let room = watch.guests.ram_mb <= 14_000;
        let alone = dead.len() == 1 && !watch.standbys().contains(&dead[0]);
        (alone && room && self.is_gentle() && !self.faults.iter().any(meddles)).then(|| dead[0])
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = &self.rules;
        write!(f, "watched: maxDownHosts {}", r.max_down)?;
        let words = [
            r.permille.map(|n| format!("maxDownPermille {n}")),
            (r.cooldown > 0).then(|| format!("cooldown {} s", r.cooldown)),
            r.rate.map(|n| format!("{n} begins an hour")),
            r.per_rack.map(|n| format!("{n} per rack")),
            r.excluded.map(|h| format!("{h} excluded")),
            r.restart.map(|s| format!("restart first, within {s} s")),
            r.back.map(|on| format!("return {}, at most {} times", if on { "with power" } else { "once powered" }, r.max_returns)),
            (r.up_confirmations > 1).then(|| format!("upConfirmations {}", r.up_confirmations)),
            r.second_channel.then(|| "a second channel is asked for".to_string()),
            self.pool.map(|p| {
                let (idle, wake) = (if p.kept_on { "disabled" } else { "powered off" }, if p.always { "always" } else { "when needed" });
                format!("pool of {} {idle}, woken {wake} within {} s", self.standbys().join(" and "), p.wake_timeout)
            }),
            Some(format!("{} guests of {} MiB per host", self.guests.per_host, self.guests.ram_mb)),
            self.guests.group.then(|| "an anti-affinity group".to_string()),
            self.guests.odd.then(|| "a paused and a resized guest".to_string()),
            self.guests.policy.then(|| "a GuestPolicy".to_string()),
        ];
        for word in words.into_iter().flatten() {
            write!(f, ", {word}")?;
        }
        Ok(())
    }
}
