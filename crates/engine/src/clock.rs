//! Time, so that tests can hold it.

use schemas::Time;
use std::time::{SystemTime, UNIX_EPOCH};

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
