//! Pauses after failures. The only module that uses the crate `backoff` (unmaintained; see deny.toml).

use crate::chance;
use backoff::{ExponentialBackoffBuilder, backoff::Backoff};
use std::time::Duration;

/// Longest pause.
pub const LONGEST: Duration = Duration::from_secs(300);

/// Pause after the `failures`-th failure in a row: exponential from 1 s to 5 min, half of it random.
pub fn pause(failures: i64) -> Duration {
    let mut backoff = ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_secs(1))
        .with_multiplier(2.0)
        .with_randomization_factor(0.0)
        .with_max_interval(LONGEST)
        .with_max_elapsed_time(None)
        .build();
    let mut pause = Duration::from_secs(1);
    for _ in 0..failures.clamp(1, 12) {
        pause = backoff.next_backoff().unwrap_or(LONGEST);
    }
    pause.mul_f64(chance::between(0.5, 1.5)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_five_minutes() {
        for _ in 0..100 {
            assert!(pause(1) <= Duration::from_millis(1_500));
            assert!(pause(6) >= Duration::from_secs(16));
            assert!(pause(1_000) <= LONGEST);
        }
    }
}
