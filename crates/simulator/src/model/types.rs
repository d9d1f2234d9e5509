//! What the model is made of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Times, in milliseconds. The defaults are Nova's own and those of common hardware.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seed of every id and of everything random.
    pub seed: u64,
    /// Interval of nova-compute's heartbeats (`report_interval`).
    pub report_interval_ms: i64,
    /// Silence after which Nova shows a service down (`service_down_time`).
    pub service_down_ms: i64,
    /// From power on to a running kernel.
    pub boot_ms: i64,
    /// From a running kernel to a nova-compute that cleaned up and beats.
    pub nova_start_ms: i64,
    /// From an ACPI shutdown to power off.
    pub soft_off_ms: i64,
    /// From an API's answer to the conductor's work, and from there to the host's.
    pub conductor_ms: i64,
    /// How long a rebuild takes on the destination, from the claim to the start of the guest.
    pub rebuild_ms: i64,
    /// From the start of an evacuated guest to the change of its `host` (S6).
    pub switch_ms: i64,
    /// Pre-checks of a live migration on the source (`preparing`).
    pub prepare_ms: i64,
    /// Copying of a live migration (`running`).
    pub live_migration_ms: i64,
    /// Copying of a cold migration (`migrating`).
    pub cold_migration_ms: i64,
    /// Starting or stopping a guest.
    pub start_stop_ms: i64,
    /// Time after which an RPC to a dead nova-compute is given up (`rpc_response_timeout`).
    pub rpc_timeout_ms: i64,
    /// Interval of nova-compute's resource task, which also repairs a lingering trait.
    pub update_resources_ms: i64,
    /// Interval of nova-compute's power state sync, which marks dead guests stopped; 0 turns it off.
    pub power_sync_ms: i64,
    /// Guests' disks are on shared storage, so a rebuild keeps them.
    pub shared_disks: bool,
    /// nova-compute starts its guests after a boot (`resume_guests_state_on_host_boot`).
    pub resume_guests: bool,
    /// The hypervisor starts its guests at boot, *before* nova-compute can clean up (I13).
    pub autostart_guests: bool,
    /// Highest microversion of the compute API.
    pub max_microversion: (u32, u32),
    /// Password of Keystone's users `admin`, `reader` and `member`, and secret of the application credential.
    pub password: String,
    /// Password that BMCs ask of their user `admin`; without, they take any user and password.
    pub bmc_password: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            seed: 1,
            report_interval_ms: 10_000,
            service_down_ms: 60_000,
            boot_ms: 20_000,
            nova_start_ms: 2_000,
            soft_off_ms: 5_000,
            conductor_ms: 200,
            rebuild_ms: 4_000,
            switch_ms: 200,
            prepare_ms: 500,
            live_migration_ms: 5_000,
            cold_migration_ms: 4_000,
            start_stop_ms: 500,
            rpc_timeout_ms: 60_000,
            update_resources_ms: 60_000,
            power_sync_ms: 600_000,
            shared_disks: true,
            resume_guests: false,
            autostart_guests: false,
            max_microversion: (2, 93),
            password: "sandbox".into(),
            bmc_password: None,
        }
    }
}

/// Room of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Virtual CPUs.
    pub vcpus: i64,
    /// MiB.
    pub ram_mb: i64,
    /// GiB.
    pub disk_gb: i64,
}

/// A host to add.
#[derive(Clone, Debug)]
pub struct HostSpec {
    /// Service host, hypervisor name and BMC name in one.
    pub name: String,
    /// Nova cell.
    pub cell: String,
    /// Availability zone.
    pub zone: String,
    /// What it has.
    pub room: Room,
    /// Type of its hypervisor as Nova shows it; `ironic` for bare metal.
    pub hypervisor_type: String,
    /// Traits of its provider beyond the usual ones.
    pub traits: Vec<String>,
}

impl HostSpec {
    /// A host with 16 CPUs, 64 GiB and 2000 GB of disk.
    pub fn new(name: impl Into<String>) -> Self {
        HostSpec {
            name: name.into(),
            cell: "cell1".into(),
            zone: "nova".into(),
            room: Room { vcpus: 16, ram_mb: 65_536, disk_gb: 2_000 },
            hypervisor_type: "QEMU".into(),
            traits: Vec::new(),
        }
    }
}

/// A guest to add.
#[derive(Clone, Debug)]
pub struct GuestSpec {
    /// Name.
    pub name: String,
    /// Service host.
    pub host: String,
    /// What it needs.
    pub room: Room,
    /// Runs; else it is stopped.
    pub running: bool,
    /// Its root disk is a volume.
    pub boot_from_volume: bool,
    /// GiB of local ephemeral disk.
    pub ephemeral_gb: i64,
    /// Extra specs of its flavor.
    pub extra_specs: BTreeMap<String, String>,
    /// Project.
    pub project: String,
    /// Server metadata.
    pub metadata: BTreeMap<String, String>,
    /// Server group, made by `World::add_group`.
    pub group: Option<String>,
    /// Live migration's pre-checks refuse it.
    pub cannot_migrate: bool,
    /// The scheduler finds no host for it, for a reason that nobody outside can see.
    pub no_valid_host: bool,
}

impl GuestSpec {
    /// A running guest with 1 CPU, 1 GiB and a 10 GB disk.
    pub fn new(name: impl Into<String>, host: impl Into<String>) -> Self {
        GuestSpec {
            name: name.into(),
            host: host.into(),
            room: Room { vcpus: 1, ram_mb: 1_024, disk_gb: 10 },
            running: true,
            boot_from_volume: false,
            ephemeral_gb: 0,
            extra_specs: BTreeMap::new(),
            project: "admin".into(),
            metadata: BTreeMap::new(),
            group: None,
            cannot_migrate: false,
            no_valid_host: false,
        }
    }
    /// The same, stopped.
    pub fn stopped(mut self) -> Self {
        self.running = false;
        self
    }
    /// The same, with a metadata entry.
    pub fn with_metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
    /// The same, with an extra spec of its flavor.
    pub fn with_extra_spec(mut self, key: &str, value: &str) -> Self {
        self.extra_specs.insert(key.into(), value.into());
        self
    }
    /// The same, in a server group.
    pub fn in_group(mut self, group: &str) -> Self {
        self.group = Some(group.into());
        self
    }
    /// The same, with that much memory (MiB).
    pub fn with_ram(mut self, ram_mb: i64) -> Self {
        self.room.ram_mb = ram_mb;
        self
    }
}

/// Nova's `vm_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum VmState {
    Active,
    Stopped,
    Error,
    Building,
    Paused,
    Suspended,
    Rescued,
    Resized,
    ShelvedOffloaded,
}

impl VmState {
    /// Nova's word.
    pub fn as_str(self) -> &'static str {
        match self {
            VmState::Active => "active",
            VmState::Stopped => "stopped",
            VmState::Error => "error",
            VmState::Building => "building",
            VmState::Paused => "paused",
            VmState::Suspended => "suspended",
            VmState::Rescued => "rescued",
            VmState::Resized => "resized",
            VmState::ShelvedOffloaded => "shelved_offloaded",
        }
    }
}

/// Policy of a server group; the hard ones are enforced on moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupPolicy {
    /// All members on one host. Cannot be evacuated through Nova's API.
    Affinity,
    /// Each member on a host of its own.
    AntiAffinity,
    /// A wish, not a rule.
    Soft,
}

/// How a BMC misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lie {
    /// Not at all.
    #[default]
    None,
    /// Takes commands and does nothing.
    NoEffect,
    /// Says off, whatever is.
    SaysOff,
    /// Says on, whatever is.
    SaysOn,
}

/// What `World::fault` does to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum HostFault {
    /// The kernel dies: guests and nova-compute with it; the BMC still says on.
    Crash,
    /// nova-compute dies; its guests run on.
    NovaComputeDown,
    /// The BMC does not answer.
    BmcUnreachable,
    /// Heals: the BMC answers truthfully, nova-compute starts if the kernel runs. A crashed host stays
    /// crashed until it is power-cycled.
    None,
}

/// A guest that was started while another host ran it as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoubleRun {
    /// When, in the world's milliseconds.
    pub at: i64,
    /// Server uuid.
    pub guest: String,
    /// Where it was started.
    pub on: String,
    /// Where it was running.
    pub and: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When, in the world's milliseconds.
    pub at: i64,
    /// What.
    pub text: String,
}

/// A compute host with all that hangs on it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub name: String,
    pub cell: String,
    pub zone: String,
    pub room: Room,
    pub hypervisor_type: String,
    pub traits: Vec<String>,
    pub service_id: String,
    pub provider_id: String,
    pub system_uuid: String,
    pub serial: String,
    /// Chassis power.
    pub power: bool,
    /// The kernel runs.
    pub up: bool,
    /// The kernel died under power.
    pub crashed: bool,
    /// Grows with every change of power; events of an older boot are void.
    pub boot: u64,
    /// nova-compute runs.
    pub compute: bool,
    /// Grows with every end of nova-compute; work of an older process is void.
    pub process: u64,
    /// Beats since; `None` while silent.
    pub beats_from: Option<i64>,
    /// Last beat before it fell silent.
    pub last_beat: i64,
    pub enabled: bool,
    pub disabled_reason: Option<String>,
    pub forced_down: bool,
    /// Last write of the service row by an API call.
    pub last_write: i64,
    /// `COMPUTE_STATUS_DISABLED` is on the provider.
    pub trait_disabled: bool,
    /// Local copies of guests, and whether they run.
    pub guests: BTreeMap<String, bool>,
    /// Guests that ran when the host died; for `autostart_guests`.
    pub ran: BTreeSet<String>,
    /// The live migration under way from here; Nova does one at a time per source.
    pub migrating: Option<i64>,
    pub queue: VecDeque<i64>,
    /// RPCs that wait for nova-compute to come back.
    pub inbox: Vec<super::event::Event>,
    /// That many claims will fail.
    pub failing_claims: u32,
    pub bmc: Bmc,
    /// Further power devices.
    pub devices: super::devices::Devices,
}

#[derive(Clone, Debug)]
pub(crate) struct Bmc {
    pub reachable: bool,
    pub lie: Lie,
    /// Commands act that much later.
    pub late_ms: i64,
    /// The operating system heeds ACPI.
    pub soft_off_works: bool,
    /// Answers 409 to a command for the state it is in.
    pub strict: bool,
    pub username: String,
    /// `None`: any.
    pub password: Option<String>,
}

impl Host {
    /// Whether the kernel runs and is healthy.
    pub fn alive(&self) -> bool {
        self.power && self.up && !self.crashed
    }
}

/// A guest as Nova's database has it.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub id: String,
    pub seq: u64,
    pub name: String,
    pub host: Option<String>,
    pub vm_state: VmState,
    pub task_state: Option<String>,
    pub power_state: i64,
    pub room: Room,
    pub ephemeral_gb: i64,
    pub swap_mb: i64,
    pub boot_from_volume: bool,
    pub extra_specs: BTreeMap<String, String>,
    pub project: String,
    pub metadata: BTreeMap<String, String>,
    pub group: Option<String>,
    pub cell: String,
    pub fault: Option<String>,
    pub created: i64,
    pub updated: i64,
    pub cannot_migrate: bool,
    pub no_valid_host: bool,
    /// Times its local disk was lost.
    pub disks_lost: u32,
}

/// A migration record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub id: i64,
    pub uuid: String,
    pub kind: &'static str,
    pub status: &'static str,
    pub guest: String,
    pub source: String,
    pub dest: Option<String>,
    pub created: i64,
    pub updated: i64,
}

impl Record {
    /// Not yet in a state that Nova counts as over.
    pub fn in_progress(&self) -> bool {
        !matches!(self.status, "confirmed" | "reverted" | "error" | "failed" | "completed" | "cancelled" | "done")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub policy: GroupPolicy,
    pub members: BTreeSet<String>,
}
