//! What happens later, in order.

use super::{Call, World};

/// Something due at a time. What belongs to a process or a boot carries its number and is void after it.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The kernel runs.
    Booted {
        host: String,
        boot: u64,
    },
    /// nova-compute has started.
    ComputeStarted {
        host: String,
        process: u64,
    },
    /// The operating system has shut down.
    SoftOff {
        host: String,
        boot: u64,
    },
    /// A late BMC acts.
    LatePower {
        host: String,
        command: power::Command,
    },
    /// nova-compute's resource task.
    SyncTrait {
        host: String,
        process: u64,
    },
    /// nova-compute's power state sync.
    SyncPower {
        host: String,
        process: u64,
    },
    /// A call that arrives late, or again.
    Deliver {
        call: Call,
    },
    EvacuateSchedule {
        guest: String,
        dest: Option<String>,
        leave_stopped: bool,
    },
    EvacuateClaim {
        job: Evacuation,
    },
    EvacuateStage {
        job: Evacuation,
        process: u64,
    },
    EvacuateStart {
        job: Evacuation,
        process: u64,
    },
    EvacuateSwitch {
        job: Evacuation,
        process: u64,
    },
    EvacuateDone {
        record: i64,
        process: u64,
        host: String,
    },
    LiveAccepted {
        guest: String,
        dest: Option<String>,
    },
    LiveSchedule {
        record: i64,
        dest: Option<String>,
    },
    LiveTimedOut {
        record: i64,
        unexpected: bool,
    },
    LiveRunning {
        record: i64,
        process: u64,
    },
    LiveArrived {
        record: i64,
        process: u64,
    },
    LivePost {
        record: i64,
        process: u64,
    },
    LiveDone {
        record: i64,
        process: u64,
    },
    ColdSchedule {
        guest: String,
        dest: Option<String>,
    },
    ColdMigrating {
        record: i64,
    },
    ColdMigrated {
        record: i64,
    },
    ColdFinished {
        record: i64,
    },
    ColdConfirm {
        record: i64,
    },
    Stopped {
        guest: String,
        host: String,
    },
    Started {
        guest: String,
        host: String,
    },
    BuildClaim {
        guest: String,
        host: String,
    },
    Built {
        guest: String,
        host: String,
        process: u64,
    },
}

/// An evacuation on its way to, or at, its destination.
#[derive(Clone, Debug)]
pub(crate) struct Evacuation {
    pub guest: String,
    pub source: String,
    pub dest: String,
    /// The record the conductor found; none if it found none.
    pub record: Option<i64>,
    pub leave_stopped: bool,
    /// What it was before; decides whether it is stopped again.
    pub was: super::VmState,
}

impl World {
    /// Puts an event `delay_ms` from now.
    pub(crate) fn after(&mut self, delay_ms: i64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay_ms.max(0), self.sequence), event);
    }

    /// Lets everything happen that is due until `to_ms` (milliseconds; the same scale as at the start).
    /// Time never goes back: an earlier instant does nothing.
    pub fn advance(&mut self, to_ms: i64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > to_ms {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = self.now.max(to_ms);
    }

    /// When the next thing happens by itself, in milliseconds; `None` if nothing is pending.
    pub fn next_event(&self) -> Option<i64> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Booted { host, boot } => self.booted(&host, boot),
            Event::ComputeStarted { host, process } => self.compute_started(&host, process),
            Event::SoftOff { host, boot } => self.soft_off_done(&host, boot),
            Event::LatePower { host, command } => self.act_at(&host, command),
            Event::SyncTrait { host, process } => self.sync_trait(&host, process),
            Event::SyncPower { host, process } => self.sync_power(&host, process),
            Event::Deliver { call } => {
                self.apply_and_record(&call, "delivered late");
            }
            Event::EvacuateSchedule { guest, dest, leave_stopped } => self.evacuate_schedule(&guest, dest, leave_stopped),
            Event::EvacuateClaim { job } => self.evacuate_claim(job),
            Event::EvacuateStage { job, process } => self.evacuate_stage(job, process),
            Event::EvacuateStart { job, process } => self.evacuate_start(job, process),
            Event::EvacuateSwitch { job, process } => self.evacuate_switch(job, process),
            Event::EvacuateDone { record, process, host } => self.evacuate_done(record, process, &host),
            Event::LiveAccepted { guest, dest } => self.live_accepted(&guest, dest),
            Event::LiveSchedule { record, dest } => self.live_schedule(record, dest),
            Event::LiveTimedOut { record, unexpected } => self.live_timed_out(record, unexpected),
            Event::LiveRunning { record, process } => self.live_running(record, process),
            Event::LiveArrived { record, process } => self.live_arrived(record, process),
            Event::LivePost { record, process } => self.live_post(record, process),
            Event::LiveDone { record, process } => self.live_done(record, process),
            Event::ColdSchedule { guest, dest } => self.cold_schedule(&guest, dest),
            Event::ColdMigrating { record } => self.cold_migrating(record),
            Event::ColdMigrated { record } => self.cold_migrated(record),
            Event::ColdFinished { record } => self.cold_finished(record),
            Event::ColdConfirm { record } => self.cold_confirm(record),
            Event::Stopped { guest, host } => self.guest_stopped(&guest, &host),
            Event::Started { guest, host } => self.guest_started(&guest, &host),
            Event::BuildClaim { guest, host } => self.build_claim(&guest, &host),
            Event::Built { guest, host, process } => self.built(&guest, &host, process),
        }
    }
}
