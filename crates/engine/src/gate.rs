//! Whether this process may act now (S8): the lease as two clocks see it, and what is known of earlier leaders.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Which earlier leaders are known to be gone, so that nothing they had begun can still arrive (S8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Elders {
    /// Of none is it known: the lease was waited out.
    #[default]
    Unknown,
    /// The last one, which had this token, gave the lease up after its last act.
    Released(i64),
    /// All of them: this process holds the OS lock on the data directory, which dies with its holder (S14).
    Gone,
}

impl Elders {
    /// Whether the leader that had this token is gone.
    pub fn is_gone(self, token: i64) -> bool {
        match self {
            Elders::Unknown => false,
            Elders::Released(released) => released == token,
            Elders::Gone => true,
        }
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
    elders: OnceLock<Elders>,
    holder: OnceLock<String>,
}

impl Gate {
    pub(crate) fn new(time: LeaseTime) -> Self {
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
            elders: OnceLock::new(),
            holder: OnceLock::new(),
        }))
    }

    /// The lease was taken: clocks as they were read before, the row's token, and what is known of earlier leaders.
    pub(crate) fn open(&self, sent: Clocks, token: i64, lease_ms: u64, elders: Elders) {
        self.0.token.store(token, Ordering::SeqCst);
        // Set once; a gate is opened once.
        let _ = self.0.elders.set(elders);
        self.renewed(sent, lease_ms);
    }

    /// The same gate, told which earlier leaders are gone: for tests.
    pub fn with_elders(self, elders: Elders) -> Self {
        let _ = self.0.elders.set(elders);
        self
    }

    /// The same gate, told who holds the lease.
    pub(crate) fn held_by(&self, holder: &str) {
        // Set once, as the gate is opened once.
        let _ = self.0.holder.set(holder.into());
    }

    /// Who holds the lease, as it stands in its row.
    pub fn holder(&self) -> &str {
        self.0.holder.get().map_or("controller", String::as_str)
    }

    /// Which earlier leaders are known to be gone.
    pub fn elders(&self) -> Elders {
        self.0.elders.get().copied().unwrap_or_default()
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
    pub(crate) fn clocks(&self) -> Clocks {
        Clocks { elapsed: self.elapsed(), wall_ahead: self.wall_ahead() }
    }

    pub(crate) fn renewed(&self, sent: Clocks, lease_ms: u64) {
        self.0.wall_ahead_ms.store(sent.wall_ahead, Ordering::SeqCst);
        self.0.until_ms.store(sent.elapsed.saturating_add(lease_ms), Ordering::SeqCst);
    }

    pub(crate) fn runtime_alive(&self) {
        self.0.runtime_ms.store(self.elapsed(), Ordering::SeqCst);
    }

    pub(crate) fn runtime_stalled(&self, limit_ms: u64) -> bool {
        self.elapsed().saturating_sub(self.0.runtime_ms.load(Ordering::SeqCst)) > limit_ms
    }
}

/// Both clocks, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Clocks {
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
    fn an_earlier_leader_is_gone_only_if_something_says_so() {
        assert_eq!(Gate::new(LeaseTime::Machine).elders(), Elders::Unknown);
        assert!(!Elders::Unknown.is_gone(3));
        assert!(Elders::Released(3).is_gone(3) && !Elders::Released(3).is_gone(2), "what was released says nothing of the leader before it");
        assert!(Elders::Gone.is_gone(1) && Elders::Gone.is_gone(3));
        let gate = Gate::new(LeaseTime::Machine);
        gate.open(gate.clocks(), 4, 6_000, Elders::Released(3));
        assert!(gate.may_act() && gate.token() == 4 && gate.clone().elders() == Elders::Released(3));
    }
}
