//! Who leads (architecture 5). Renewal runs on a thread of its own; a stalled runtime loses the lease.

use crate::{Clock, Metrics};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use store::{CONTROLLER_LEASE, LeaseRow, Store, StoreResult};
use tokio_util::sync::CancellationToken;

/// Timing of the lease, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTiming {
    /// How long the lease lasts.
    pub lease_ms: u64,
    /// A holder that could not renew for so long stops acting.
    pub renew_deadline_ms: u64,
    /// Pause between tries.
    pub retry_ms: u64,
}

impl Default for LeaseTiming {
    fn default() -> Self {
        LeaseTiming { lease_ms: 6_000, renew_deadline_ms: 4_000, retry_ms: 1_000 }
    }
}

impl LeaseTiming {
    /// Refuses timings that cannot work.
    pub fn check(&self) -> Result<(), String> {
        if self.lease_ms > self.renew_deadline_ms && self.renew_deadline_ms * 10 > self.retry_ms * 12 && self.retry_ms > 0 {
            return Ok(());
        }
        Err(format!(
            "lease timing cannot work: leaseMillis ({}) must be larger than renewDeadlineMillis ({}), and that larger than 1.2 × retryMillis ({})",
            self.lease_ms, self.renew_deadline_ms, self.retry_ms
        ))
    }
}

/// Whether this process may act now. Cheap to clone; asked before every outside call (S8).
#[derive(Clone, Debug)]
pub struct Gate(Arc<GateInner>);

/// Which clock measures a lease, and where it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseTime {
    /// The machine's clocks; renewed on a thread of its own.
    Machine,
    /// Tokio's clock; renewed by a task: for tests whose time is simulated.
    Simulated,
}

#[derive(Debug)]
enum Origin {
    Machine(Instant),
    Simulated(tokio::time::Instant),
}

#[derive(Debug)]
struct GateInner {
    origin: Origin,
    token: AtomicI64,
    /// Milliseconds after `origin` until which the lease surely lasts; 0: not leading.
    until_ms: AtomicU64,
    /// By how much the wall clock was ahead of the monotonic one at the last renewal, in milliseconds.
    wall_ahead_ms: AtomicI64,
    /// Milliseconds after `origin` of the runtime's last sign of life.
    runtime_ms: AtomicU64,
    halted: AtomicBool,
}

impl Gate {
    fn new(time: LeaseTime) -> Self {
        let origin = match time {
            LeaseTime::Machine => Origin::Machine(Instant::now()),
            LeaseTime::Simulated => Origin::Simulated(tokio::time::Instant::now()),
        };
        Gate(Arc::new(GateInner {
            origin,
            token: AtomicI64::new(0),
            until_ms: AtomicU64::new(0),
            wall_ahead_ms: AtomicI64::new(0),
            runtime_ms: AtomicU64::new(0),
            halted: AtomicBool::new(false),
        }))
    }

    /// A gate that is open for ever under `token`: for tests whose clock is simulated.
    pub fn always(token: i64) -> Self {
        let gate = Gate::new(LeaseTime::Machine);
        gate.0.token.store(token, Ordering::SeqCst);
        gate.0.until_ms.store(u64::MAX, Ordering::SeqCst);
        gate
    }

    /// A gate under `token` whose lease lasts `left` from now and is not renewed: for tests.
    pub fn lasting(token: i64, left: Duration) -> Self {
        let gate = Gate::new(LeaseTime::Machine);
        gate.0.token.store(token, Ordering::SeqCst);
        gate.renewed(gate.clocks(), u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        gate
    }

    fn elapsed(&self) -> u64 {
        let elapsed = match &self.0.origin {
            Origin::Machine(origin) => origin.elapsed(),
            Origin::Simulated(origin) => origin.elapsed(),
        };
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// The token writes carry.
    pub fn token(&self) -> i64 {
        self.0.token.load(Ordering::SeqCst)
    }

    /// How long the lease surely lasts.
    pub fn remaining(&self) -> Duration {
        if self.0.halted.load(Ordering::SeqCst) {
            return Duration::ZERO;
        }
        let until = self.0.until_ms.load(Ordering::SeqCst);
        if until == u64::MAX {
            return Duration::MAX;
        }
        let slept = asleep(self.wall_ahead(), self.0.wall_ahead_ms.load(Ordering::SeqCst));
        Duration::from_millis(until.saturating_sub(self.elapsed()).saturating_sub(slept))
    }

    /// How far the wall clock is ahead of the monotonic one.
    fn wall_ahead(&self) -> i64 {
        if matches!(self.0.origin, Origin::Simulated(_)) {
            return 0;
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = |d: u128| i64::try_from(d).unwrap_or(i64::MAX);
        millis(wall.as_millis()).saturating_sub(millis(u128::from(self.elapsed())))
    }

    /// Whether more than 1 s of lease remains (S8).
    pub fn may_act(&self) -> bool {
        self.remaining() > Duration::from_secs(1)
    }

    /// Closes the gate for good: the lease is lost.
    pub fn close(&self) {
        self.0.halted.store(true, Ordering::SeqCst);
    }

    /// Both clocks, to be read before a renewal is sent.
    fn clocks(&self) -> Clocks {
        Clocks { elapsed: self.elapsed(), wall_ahead: self.wall_ahead() }
    }

    fn renewed(&self, sent: Clocks, lease_ms: u64) {
        self.0.wall_ahead_ms.store(sent.wall_ahead, Ordering::SeqCst);
        self.0.until_ms.store(sent.elapsed.saturating_add(lease_ms), Ordering::SeqCst);
    }

    fn runtime_alive(&self) {
        self.0.runtime_ms.store(self.elapsed(), Ordering::SeqCst);
    }

    fn runtime_stalled(&self, limit_ms: u64) -> bool {
        self.elapsed().saturating_sub(self.0.runtime_ms.load(Ordering::SeqCst)) > limit_ms
    }
}

#[derive(Clone, Copy)]
struct Clocks {
    elapsed: u64,
    wall_ahead: i64,
}

/// Milliseconds for which the machine slept since the renewal: the monotonic clock stands still then, the lease runs on.
/// A wall clock that was set forward looks the same, and closes the gate until the next renewal.
fn asleep(ahead_now: i64, ahead_then: i64) -> u64 {
    /// The two clocks drift and are read one after the other.
    const TOLERANCE_MS: i64 = 500;
    let jump = ahead_now.saturating_sub(ahead_then);
    if jump > TOLERANCE_MS { u64::try_from(jump).unwrap_or(0) } else { 0 }
}

/// A lease that is held.
pub struct Leadership {
    /// Whether this process may act.
    pub gate: Gate,
    /// Cancelled when the lease is lost.
    pub lost: CancellationToken,
    holder: String,
    store: Arc<dyn Store>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Waits until the lease is ours. With `at_once` (SQLite under an OS lock, S14) a stale row is taken without waiting.
pub async fn acquire(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    holder: &str,
    timing: LeaseTiming,
    at_once: bool,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> StoreResult<Option<Leadership>> {
    acquire_in(LeaseTime::Machine, store, clock, holder, timing, at_once, metrics, stop).await
}

/// As [`acquire`], on a chosen clock.
#[allow(clippy::too_many_arguments)]
pub async fn acquire_in(
    time: LeaseTime,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    holder: &str,
    timing: LeaseTiming,
    at_once: bool,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> StoreResult<Option<Leadership>> {
    let mut seen: Option<(LeaseRow, tokio::time::Instant)> = None;
    loop {
        match store.lease(CONTROLLER_LEASE).await {
            Ok(row) => {
                let unchanged = seen.as_ref().filter(|(old, _)| old.token == row.token && old.renew_seq == row.renew_seq).map(|(_, at)| *at);
                let since = unchanged.unwrap_or_else(tokio::time::Instant::now);
                seen = Some((row.clone(), since));
                // The holder may have been configured with a longer lease than we are.
                let theirs = u64::try_from(row.duration_ms).unwrap_or(0);
                let patience = Duration::from_millis(timing.lease_ms.max(theirs).saturating_mul(5) / 4);
                if at_once || row.holder.is_empty() || since.elapsed() >= patience {
                    let gate = Gate::new(time);
                    let sent = gate.clocks();
                    let lease_ms = i64::try_from(timing.lease_ms).unwrap_or(i64::MAX);
                    match store.lease_take(CONTROLLER_LEASE, holder, &row, lease_ms, clock.now()).await {
                        Ok(Some(row)) => {
                            gate.0.token.store(row.token, Ordering::SeqCst);
                            gate.renewed(sent, timing.lease_ms);
                            metrics.leading.set(1);
                            metrics.lease_token.set(row.token);
                            return Ok(Some(lead(time, store, holder, gate, timing)));
                        }
                        Ok(None) => {}
                        // If it was taken after all, the row has moved, and is waited out like anyone else's.
                        Err(error) => tracing::warn!(%error, "the lease could not be taken; trying again"),
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the lease cannot be read; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(Duration::from_millis(timing.retry_ms)) => {}
        }
    }
}

fn lead(time: LeaseTime, store: Arc<dyn Store>, holder: &str, gate: Gate, timing: LeaseTiming) -> Leadership {
    let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
    gate.runtime_alive();
    tokio::spawn({
        let (gate, stop) = (gate.clone(), stop.clone());
        async move {
            while !stop.is_cancelled() {
                gate.runtime_alive();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    });
    let keeper = Keeper { store: store.clone(), holder: holder.into(), gate: gate.clone(), lost: lost.clone(), stop: stop.clone(), timing };
    if time == LeaseTime::Simulated {
        tokio::spawn(keeper.keep());
        return Leadership { gate, lost, holder: holder.into(), store, stop, thread: None };
    }
    let thread = std::thread::Builder::new().name("lease".into()).spawn(move || keeper.run());
    if thread.is_err() {
        gate.close();
        lost.cancel();
    }
    Leadership { gate, lost, holder: holder.into(), store, stop, thread: thread.ok() }
}

struct Keeper {
    store: Arc<dyn Store>,
    holder: String,
    gate: Gate,
    lost: CancellationToken,
    stop: CancellationToken,
    timing: LeaseTiming,
}

impl Keeper {
    fn run(self) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            self.give_up("no thread runtime");
            return;
        };
        runtime.block_on(self.keep());
    }

    async fn keep(self) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(self.timing.retry_ms)) => {}
            }
            if self.gate.runtime_stalled(self.timing.renew_deadline_ms) {
                // Not renewed: what does not run must not lead. The gate closes by itself when the lease runs out.
                tracing::warn!("the process stalls; the lease is not renewed");
                continue;
            }
            let sent = self.gate.clocks();
            match self.store.lease_renew(CONTROLLER_LEASE, &self.holder, self.gate.token()).await {
                Ok(true) => self.gate.renewed(sent, self.timing.lease_ms),
                Ok(false) => return self.give_up("another controller took it"),
                Err(error) => tracing::warn!(%error, "the lease could not be renewed; trying again"),
            }
        }
    }

    fn give_up(&self, why: &str) {
        tracing::error!(why, "the lease is lost: this process stops acting");
        self.gate.close();
        self.lost.cancel();
    }
}

impl Drop for Leadership {
    /// Without a release the lease is waited out: nobody renews it for a leader that is gone.
    fn drop(&mut self) {
        self.gate.close();
        self.stop.cancel();
    }
}

impl Leadership {
    /// Gives the lease up after the last act, so that a successor need not wait.
    pub async fn release(mut self) {
        self.gate.close();
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // The keeper looks at `stop` between calls, each of which has a deadline.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        if let Err(error) = self.store.lease_release(CONTROLLER_LEASE, &self.holder, self.gate.token()).await {
            tracing::warn!(%error, "the lease could not be given up; a successor waits it out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_slept_counts_its_sleep_against_the_lease() {
        assert_eq!(asleep(1_000, 1_000), 0);
        assert_eq!(asleep(1_400, 1_000), 0, "clocks drift");
        assert_eq!(asleep(9_000, 1_000), 8_000);
        assert_eq!(asleep(-9_000, 1_000), 0, "a wall clock that was set back hides no lease");
        assert_eq!(asleep(i64::MAX, i64::MIN), u64::try_from(i64::MAX).unwrap());
        let gate = Gate::lasting(1, Duration::from_secs(6));
        assert!(gate.may_act());
        // As if the wall clock had run on for five seconds while the monotonic one stood still.
        gate.0.wall_ahead_ms.fetch_sub(5_200, Ordering::SeqCst);
        assert!(!gate.may_act(), "{:?} remain", gate.remaining());
    }

    #[test]
    fn more_than_a_second_must_remain_and_a_closed_gate_stays_closed() {
        assert!(!Gate::lasting(1, Duration::from_millis(900)).may_act());
        assert!(!Gate::new(LeaseTime::Machine).may_act());
        let gate = Gate::always(7);
        assert!(gate.may_act() && gate.token() == 7);
        gate.clone().close();
        assert!(!gate.may_act() && gate.remaining() == Duration::ZERO);
    }

    #[test]
    fn timings_that_cannot_work_are_refused_and_named() {
        let check = |lease_ms, renew_deadline_ms, retry_ms| LeaseTiming { lease_ms, renew_deadline_ms, retry_ms }.check();
        assert!(LeaseTiming::default().check().is_ok());
        for (lease, renew, retry) in [(4_000, 4_000, 1_000), (6_000, 1_200, 1_000), (6_000, 4_000, 0), (1_000, 4_000, 1_000)] {
            let why = check(lease, renew, retry).unwrap_err();
            assert!(why.contains(&lease.to_string()) && why.contains("retryMillis"), "{why}");
        }
        assert!(check(6_000, 1_201, 1_000).is_ok());
    }
}
