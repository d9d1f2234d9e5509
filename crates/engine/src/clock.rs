//! Time, so that tests can hold it.

use schemas::Time;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Wall-clock time for records. Delays and time-outs use tokio's timers, which a test can pause.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Time;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// How far a wall clock may go from a steady one before it counts as set, in microseconds: leap seconds are none.
const SET_MICROS: u64 = 2_000_000;

/// The clock of one term of leading: it starts at the wall clock's time and runs on evenly, also when that one is set.
/// A machine's sleep stands still for it. Either way the wall clock leaves it behind, and the term is to end: see
/// [`SteadyClock::until_off`].
pub struct SteadyClock {
    wall: Arc<dyn Clock>,
    steady: TokioClock,
}

impl SteadyClock {
    /// Starts at the time of `wall`. Must be made inside a runtime.
    pub fn following(wall: Arc<dyn Clock>) -> Self {
        SteadyClock { steady: TokioClock::starting_at(wall.now()), wall }
    }

    /// Whether the wall clock was set, or the machine slept, since this one began.
    pub fn is_off(&self) -> bool {
        self.wall.now().0.abs_diff(self.now().0) > SET_MICROS
    }

    /// Ends when [`SteadyClock::is_off`].
    pub async fn until_off(&self) {
        while !self.is_off() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Time {
        self.steady.now()
    }
}

/// A clock that follows tokio's timers from a fixed start: with paused time it is wholly in the test's hands.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: Time,
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// Reads `start` now, and moves with tokio's time. Must be made inside a runtime.
    pub fn starting_at(start: Time) -> Self {
        TokioClock { start, origin: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Time {
        Time(self.start.0.saturating_add(i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[derive(Default)]
    struct Wall(AtomicI64);

    impl Clock for Wall {
        fn now(&self) -> Time {
            Time(self.0.load(Ordering::SeqCst))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_clock_does_not_follow_one_that_is_set_and_says_so() {
        for (set_to, off) in [(12_900_000, false), (9_100_000, false), (13_100_000, true), (-3_600_000_000, true)] {
            let wall = Arc::new(Wall(AtomicI64::new(1_000_000)));
            let steady = SteadyClock::following(wall.clone());
            assert_eq!(steady.now(), Time(1_000_000));
            tokio::time::sleep(Duration::from_secs(10)).await;
            wall.0.store(set_to, Ordering::SeqCst);
            assert_eq!(steady.now(), Time(11_000_000));
            assert_eq!(steady.is_off(), off, "{set_to}");
            assert_eq!(tokio::time::timeout(Duration::ZERO, steady.until_off()).await.is_ok(), off, "{set_to}");
        }
    }
}
