//! The model: a deterministic state machine of a cloud.
//!
//! Nothing here reads a clock or waits. [`World::advance`] lets due events happen; every other method
//! acts at the world's present instant. Behaviour that is not obvious was seen on Nova 26.2 with its
//! own services (MariaDB, RabbitMQ, fake hypervisor) and is named where it is modelled.

mod allocations;
mod bmc;
mod build;
mod call;
mod cold_migrate;
mod compute;
mod devices;
mod evacuate;
pub(crate) mod event;
mod fault;
mod host;
mod live_migrate;
mod placement;
mod server;
mod service;
mod state;
mod types;

pub use bmc::BmcFailure;
pub use call::{Answer, Call, CallKind, CallRecord, Failure, Reply};
pub use fault::CallFault;
pub use host::NoSuch;
pub use placement::RESERVED_RAM_MB;
pub(crate) use service::nova_time;
pub use state::{GuestState, HostState, WorldState};
pub(crate) use types::{Bmc, Group, Guest, Host, Record};
pub use types::{DoubleRun, GroupPolicy, GuestSpec, HostFault, HostSpec, Lie, LogEntry, Room, Settings, VmState};

use allocations::Allocations;
use event::Event;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Entries kept in the call log and in the log; the oldest go first.
const LOG_LIMIT: usize = 100_000;

/// A cloud: hosts, guests, Nova, Placement, BMCs, time and faults.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) settings: Settings,
    pub(crate) now: i64,
    pub(crate) hosts: BTreeMap<String, Host>,
    pub(crate) guests: BTreeMap<String, Guest>,
    pub(crate) records: Vec<Record>,
    pub(crate) allocations: Allocations,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) aggregates: BTreeMap<String, cloud::Aggregate>,
    /// Cells whose database does not answer.
    pub(crate) cells_down: BTreeSet<String>,
    /// Conductor and scheduler run; heartbeats go through the conductor.
    pub(crate) control: bool,
    pub(crate) control_last_beat: i64,
    pub(crate) started: i64,
    pub(crate) queue: BTreeMap<(i64, u64), Event>,
    pub(crate) sequence: u64,
    pub(crate) rng: StdRng,
    pub(crate) rules: Vec<fault::Rule>,
    pub(crate) reads: BTreeMap<CallKind, u64>,
    calls: VecDeque<CallRecord>,
    double_runs: Vec<DoubleRun>,
    log: VecDeque<LogEntry>,
}

impl World {
    /// An empty cloud at `now_ms`. The scale is the caller's; with the HTTP front it is the Unix epoch.
    pub fn new(settings: Settings, now_ms: i64) -> Self {
        World {
            rng: StdRng::seed_from_u64(settings.seed),
            settings,
            now: now_ms,
            hosts: BTreeMap::new(),
            guests: BTreeMap::new(),
            records: Vec::new(),
            allocations: Allocations::default(),
            groups: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            cells_down: BTreeSet::new(),
            control: true,
            control_last_beat: now_ms,
            started: now_ms,
            queue: BTreeMap::new(),
            sequence: 0,
            rules: Vec::new(),
            reads: BTreeMap::new(),
            calls: VecDeque::new(),
            double_runs: Vec::new(),
            log: VecDeque::new(),
        }
    }

    /// The present instant, in milliseconds.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// The settings, to read or to change in the middle.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// A new id from the seed.
    pub(crate) fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.rng.random()).into_uuid().to_string()
    }

    /// Every guest that was started while it ran on another host. The first law: this stays empty.
    pub fn double_runs(&self) -> &[DoubleRun] {
        &self.double_runs
    }

    /// What happened, oldest first.
    pub fn log(&self) -> impl Iterator<Item = &LogEntry> {
        self.log.iter()
    }

    /// Every call that changes something, oldest first, with its result.
    pub fn calls(&self) -> impl Iterator<Item = &CallRecord> {
        self.calls.iter()
    }

    /// How often something was read.
    pub fn reads(&self, kind: CallKind) -> u64 {
        self.reads.get(&kind).copied().unwrap_or(0)
    }

    pub(crate) fn say(&mut self, text: impl Into<String>) {
        if self.log.len() == LOG_LIMIT {
            self.log.pop_front();
        }
        self.log.push_back(LogEntry { at: self.now, text: text.into() });
    }

    pub(crate) fn record_call(&mut self, record: CallRecord) {
        if self.calls.len() == LOG_LIMIT {
            self.calls.pop_front();
        }
        self.calls.push_back(record);
    }

    /// Starts a guest's process on a host; the detector of double runs.
    pub(crate) fn run_guest(&mut self, guest: &str, host: &str) {
        let others: Vec<String> = self.running_on(guest).into_iter().filter(|h| h != host).collect();
        for and in others {
            self.say(format!("DOUBLE RUN of {guest}: started on {host} while it runs on {and}"));
            self.double_runs.push(DoubleRun { at: self.now, guest: guest.into(), on: host.into(), and });
        }
        if let Some(host) = self.hosts.get_mut(host) {
            host.guests.insert(guest.into(), true);
        }
    }

    /// Hosts on which a guest's process runs now: none, one, or too many.
    pub fn running_on(&self, guest: &str) -> Vec<String> {
        self.hosts.values().filter(|h| h.guests.get(guest) == Some(&true)).map(|h| h.name.clone()).collect()
    }

    /// Names of all hosts.
    pub fn host_names(&self) -> Vec<String> {
        self.hosts.keys().cloned().collect()
    }

    /// Ids of all guests, oldest first.
    pub fn guest_ids(&self) -> Vec<String> {
        let mut guests: Vec<&Guest> = self.guests.values().collect();
        guests.sort_by_key(|g| g.seq);
        guests.into_iter().map(|g| g.id.clone()).collect()
    }

    /// Id of the guest with this name.
    pub fn guest_id(&self, name: &str) -> Option<String> {
        self.guests.values().find(|g| g.name == name).map(|g| g.id.clone())
    }

    /// Ids of the guests that Nova shows on a host, oldest first.
    pub fn guests_of(&self, host: &str) -> Vec<String> {
        self.guest_ids().into_iter().filter(|id| self.guests.get(id).is_some_and(|g| g.host.as_deref() == Some(host))).collect()
    }

    /// Guests whose local disk was lost by a rebuild or a clean-up (S13).
    pub fn lost_disks(&self) -> Vec<String> {
        self.guests.values().filter(|g| g.disks_lost > 0).map(|g| g.id.clone()).collect()
    }
}
