//! A schedule: what is asked for, and what goes wrong when. All of it follows from the seed.

use super::{
    draw::{fault, part, pick},
    recovery::{self, Deed, Watch},
    second::{self, Second},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use simulator::{CallFault, HostFault, Lie};
use std::fmt;

/// Hosts of every schedule; the first ones are worked on, the others take guests.
pub const HOSTS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Seconds after which faults stop, everything heals, and time runs on.
pub const HORIZON: i64 = 900;

/// Calls that a controller makes, as far as faults tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Outside calls that change something.
    Act,
    /// Transactions.
    Commit,
    /// The lease row.
    Lease,
    /// Reads of Nova and Placement.
    Read,
    /// Reads of power.
    Power,
    /// Reads of the store.
    Load,
    /// Reads of the clock.
    Clock,
}

/// Where a process dies, in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before,
    AfterEffect,
    AfterAnswer,
}

/// How the database fails one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DbFault {
    /// It cannot be used; nothing was written.
    Unavailable,
    /// It was written, and the answer was lost.
    LostAnswer,
    /// The answer is not waited for; it is written that many milliseconds later.
    Late(u64),
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Crash(Moment),
    /// The process gets no time for so many milliseconds, from just before the effect, or from just after it.
    Pause {
        ms: u64,
        after: bool,
    },
    Cloud(CallFault),
    Db(DbFault),
}

/// What happens at a time, to one of the controllers or to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// No time for so many seconds.
    Pause {
        slot: usize,
        seconds: u64,
    },
    Kill {
        slot: usize,
    },
    /// Asked to end: the lease is given up.
    Term {
        slot: usize,
    },
    /// The database cannot be reached by this one, or by both.
    DbDown {
        slot: Option<usize>,
        seconds: u64,
    },
    /// Only the lease row cannot be reached.
    LeaseCut {
        slot: usize,
        seconds: u64,
    },
    /// The wall clock jumps.
    Jump {
        slot: usize,
        seconds: i64,
    },
}

/// What happens at a time to the cloud.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    Host(&'static str, HostFault),
    Bmc {
        host: &'static str,
        seconds: u64,
    },
    Lie {
        host: &'static str,
        lie: Lie,
        seconds: u64,
    },
    LateBmc {
        host: &'static str,
        ms: i64,
        seconds: u64,
    },
    /// Conductor and scheduler are down.
    Control {
        seconds: u64,
    },
    /// A cell's database is down.
    Cell {
        seconds: u64,
    },
    /// Nova answers 500 to everything.
    Nova500 {
        seconds: u64,
    },
    /// Someone presses the power button.
    PowerOn(&'static str),
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// At the n-th call of a class, from 1, of both controllers together.
    At { class: Class, nth: u64, what: What },
    /// So many seconds after the beginning.
    Blow { at: u64, blow: Blow },
    /// So many seconds after the beginning.
    Weather { at: u64, weather: Weather },
    /// What someone does, or a machine, in a schedule of recovery; so many seconds after the beginning.
    Deed { at: u64, deed: Deed },
}

/// What is asked for about one host. Each brings the host back at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// It crashes and is evacuated (Auto), and is powered on afterwards.
    Crashed,
    /// Only its nova-compute dies; it is evacuated by order (Rebuild).
    ComputeDead,
    /// It is alive, and rebuilt by order.
    RebuiltAlive,
    /// It is alive and evacuated (Auto): drained.
    EvacuatedAlive,
    Drain,
    /// Declared off, then on.
    DeclaredOff,
    Shutdown,
    /// Empty, and cycled.
    PowerCycle,
    /// Disabled, then enabled.
    Disable,
    /// It loses power and its BMC with it; someone says so, and it is evacuated (Auto).
    Burnt,
}

/// A job on a host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    pub host: &'static str,
    pub job: Job,
    /// Seconds after the beginning.
    pub start: u64,
    /// Guests on it, and how many of them are stopped.
    pub guests: usize,
    pub stopped: usize,
    /// Cancelled so many seconds after it was asked for.
    pub cancel: Option<u64>,
}

/// What is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// The database takes writes under any lease token.
    TokenCheck,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub seed: u64,
    pub parts: Vec<Part>,
    pub faults: Vec<Fault>,
    /// What the first host has beside its BMC.
    pub second: Second,
    /// On SQLite instead of the store in memory.
    pub sqlite: bool,
    pub sabotage: Sabotage,
    pub rebuild_ms: i64,
    pub live_migration_ms: i64,
    pub max_per_host: i64,
    pub max_evacuations: i64,
    pub max_draining: i64,
    /// The cluster is frozen from, for so many seconds.
    pub freeze: Option<(u64, u64)>,
    /// Hosts are watched and recovered without a person. There are no parts then, but deeds among the faults.
    pub watch: Option<Watch>,
}

impl Plan {
    /// One host at work, and nothing that goes wrong yet.
    pub fn simple(seed: u64, job: Job) -> Plan {
        Plan {
            seed,
            parts: vec![Part { host: HOSTS[0], job, start: 0, guests: 2, stopped: 0, cancel: None }],
            faults: Vec::new(),
            second: Second::None,
            sqlite: false,
            sabotage: Sabotage::None,
            rebuild_ms: 4_000,
            live_migration_ms: 5_000,
            max_per_host: 8,
            max_evacuations: 16,
            max_draining: 2,
            freeze: None,
            watch: None,
        }
    }

    /// The schedule of a seed: of every four, two are of recovery without a person.
    pub fn of(seed: u64) -> Plan {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed_c0de);
        if matches!(seed % 4, 1 | 2) {
            return recovery::plan(&mut rng, seed);
        }
        let count = pick(&mut rng, &[1, 1, 2]);
        let mut parts: Vec<Part> = (0..count).map(|n| part(&mut rng, HOSTS[n])).collect();
        // A host to which another one's guests may move is not empty.
        for part in parts.iter_mut().filter(|p| count > 1 && p.job == Job::PowerCycle) {
            part.job = Job::Shutdown;
        }
        // One host is enough to be under way; a second one begins within the first one's time.
        parts[0].start = 0;
        let mut plan = Plan {
            parts,
            sqlite: seed % 50 == 49,
            rebuild_ms: pick(&mut rng, &[4_000, 4_000, 20_000, 45_000, 120_000]),
            live_migration_ms: pick(&mut rng, &[5_000, 5_000, 30_000, 90_000]),
            max_per_host: pick(&mut rng, &[8, 8, 2, 1]),
            max_evacuations: pick(&mut rng, &[16, 16, 2]),
            max_draining: pick(&mut rng, &[2, 1]),
            freeze: (rng.random_range(0..12) == 0).then(|| (rng.random_range(1..150), rng.random_range(20..150))),
            ..Plan::simple(seed, Job::Disable)
        };
        let mut faults = Vec::new();
        for _ in 0..pick(&mut rng, &[1, 1, 2, 2, 3, 4, 6]) {
            faults.push(fault(&mut rng, &plan));
        }
        // A machine of which power reads off and whose nova-compute is silent is dead as far as anyone can tell.
        let lied: Vec<_> = faults
            .iter()
            .filter_map(|f| if let Fault::Weather { weather: Weather::Lie { host, lie: Lie::SaysOff, .. }, .. } = f { Some(*host) } else { None })
            .collect();
        faults.retain(|f| !matches!(f, Fault::Weather { weather: Weather::Host(host, HostFault::NovaComputeDown), .. } if lied.contains(host)));
        // Of whom it is said that it is dead, it stays so.
        let burnt: Vec<&str> = plan.parts.iter().filter(|p| p.job == Job::Burnt).map(|p| p.host).collect();
        faults.retain(|f| !matches!(f, Fault::Weather { weather: Weather::PowerOn(host), .. } if burnt.contains(host)));
        plan.faults = faults;
        second::draw(&mut plan);
        plan
    }

    /// The same without anything that goes wrong.
    pub fn calm(mut self) -> Plan {
        self.faults.retain(|f| matches!(f, Fault::Deed { deed: Deed::Dies { .. } | Deed::Flaps { .. }, .. }));
        self.freeze = None;
        self
    }

    /// Whether the end must be what was asked for. Where Nova itself was hurt, or someone was told to stop in the middle,
    /// it is enough that nothing is stuck without a reason.
    pub fn is_strict(&self) -> bool {
        // A host that dies may be where another one's guests are just going: nobody but a person can settle that (S6).
        let kills = |p: &Part| matches!(p.job, Job::Crashed | Job::ComputeDead | Job::RebuiltAlive | Job::Burnt);
        let apart = self.parts.len() == 1 || !self.parts.iter().any(kills);
        self.watch.is_none() && apart && self.is_gentle() && self.parts.iter().all(|p| p.cancel.is_none())
    }

    /// Whether nothing goes wrong but what passes by, and leaves no doubt behind that a person has to settle.
    pub fn is_gentle(&self) -> bool {
        let gentle = |f: &Fault| match f {
            Fault::At { what: What::Cloud(CallFault::Duplicate { .. } | CallFault::Late { .. }), .. } => false,
            // Between the last look at the lease and the sending nothing can be done about it: what it sends is late.
            Fault::At { class: Class::Act, what: What::Pause { .. }, .. } => false,
            Fault::At { .. } | Fault::Blow { .. } | Fault::Deed { .. } => true,
            Fault::Weather { weather, .. } => {
                matches!(weather, Weather::Bmc { .. } | Weather::LateBmc { .. } | Weather::Nova500 { .. } | Weather::Cell { .. })
            }
        };
        self.faults.iter().all(gentle)
    }

    /// Seconds after the beginning when the last fault that comes by itself is over.
    pub fn last_blow(&self) -> u64 {
        let end = |f: &Fault| match f {
            Fault::At { .. } => 0,
            Fault::Blow { at, blow } => {
                at + match blow {
                    Blow::Pause { seconds, .. } | Blow::DbDown { seconds, .. } | Blow::LeaseCut { seconds, .. } => *seconds,
                    Blow::Kill { .. } | Blow::Term { .. } | Blow::Jump { .. } => 0,
                }
            }
            Fault::Weather { at, weather } => {
                at + match weather {
                    Weather::Bmc { seconds, .. } | Weather::Lie { seconds, .. } | Weather::LateBmc { seconds, .. } => *seconds,
                    Weather::Control { seconds } | Weather::Cell { seconds } | Weather::Nova500 { seconds } => *seconds,
                    Weather::Host(..) | Weather::PowerOn(_) => 0,
                }
            }
            Fault::Deed { at, deed } => at + deed.seconds(),
        };
        self.faults.iter().map(end).max().unwrap_or(0)
    }

    /// Whether a request may reach the cloud twice or long after it was made.
    pub fn has_twins(&self) -> bool {
        let twin = |f: &Fault| {
            matches!(
                f,
                Fault::At { what: What::Cloud(CallFault::Duplicate { .. } | CallFault::Late { .. }), .. }
                    | Fault::At { class: Class::Act, what: What::Pause { .. }, .. }
            )
        };
        self.faults.iter().any(twin)
    }

    /// Whether a BMC says what is not so.
    pub fn has_lies(&self) -> bool {
        self.faults.iter().any(|f| matches!(f, Fault::Weather { weather: Weather::Lie { lie: Lie::SaysOff, .. }, .. }))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}{}: rebuild {} ms, live migration {} ms, maxPerHost {}, maxEvacuations {}, maxHostsDraining {}{}",
            self.seed,
            if self.sqlite { " on SQLite" } else { "" },
            self.rebuild_ms,
            self.live_migration_ms,
            self.max_per_host,
            self.max_evacuations,
            self.max_draining,
            self.freeze.map(|(at, s)| format!(", frozen at {at} s for {s} s")).unwrap_or_default()
        )?;
        if let Some(watch) = &self.watch {
            writeln!(f, "  {watch}")?;
        }
        if self.second != Second::None {
            writeln!(f, "  {} has {}", HOSTS[0], self.second.addresses().join(" and "))?;
        }
        for p in &self.parts {
            let cancel = p.cancel.map(|s| format!(", cancelled after {s} s")).unwrap_or_default();
            writeln!(f, "  {:?} on {} at {} s with {} guests, {} stopped{cancel}", p.job, p.host, p.start, p.guests, p.stopped)?;
        }
        for fault in &self.faults {
            writeln!(f, "  {fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::At { class, nth, what } => write!(f, "at {class:?} call {nth}: {what:?}"),
            Fault::Blow { at, blow } => write!(f, "at {at} s: {blow:?}"),
            Fault::Weather { at, weather } => write!(f, "at {at} s: {weather:?}"),
            Fault::Deed { at, deed } => write!(f, "at {at} s: {deed:?}"),
        }
    }
}
