//! Repeating reads, and the only use of the crate `backoff`.
//!
//! `backoff` is no longer maintained (RUSTSEC-2025-0012); it is kept to this file, without its async
//! features, so that replacing it is one change here. Its own elapsed-time limit is not used: it gives
//! up by `std`'s clock, which tests cannot move.

use backoff::backoff::Backoff;
use backoff::{Error, ExponentialBackoffBuilder};
use std::time::Duration;
use tokio::time::Instant;

/// Tries of one read, the first included.
const TRIES: usize = 3;

/// Runs `read` until it succeeds, fails for good, was tried three times, or the next try would not start
/// before `total` is over. Between tries it waits as long as the remote asked, else about 0.2 s, then 0.4 s.
/// Only for calls that change nothing.
pub(super) async fn reads<T, E, F, Fut>(total: Duration, mut read: F) -> Result<T, E>
where
    F: FnMut(Instant) -> Fut,
    Fut: Future<Output = Result<T, Error<E>>>,
{
    let end = Instant::now() + total;
    let mut pauses = ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(200))
        .with_multiplier(2.0)
        .with_randomization_factor(0.3)
        .with_max_elapsed_time(None)
        .build();
    let mut tries = 1;
    loop {
        let (err, retry_after) = match read(end).await {
            Ok(value) => return Ok(value),
            Err(Error::Permanent(err)) => return Err(err),
            Err(Error::Transient { err, retry_after }) => (err, retry_after),
        };
        let Some(pause) = retry_after.or_else(|| pauses.next_backoff()) else { return Err(err) };
        if tries == TRIES || Instant::now() + pause >= end {
            return Err(err);
        }
        tries += 1;
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    async fn tried(total: Duration, make: impl Fn(u32) -> Result<(), Error<u32>>) -> (u32, Result<(), u32>) {
        let count = Cell::new(0);
        let result = reads(total, |_| {
            count.set(count.get() + 1);
            std::future::ready(make(count.get()))
        })
        .await;
        (count.get(), result)
    }

    #[tokio::test]
    async fn a_read_is_tried_three_times_and_no_more() {
        assert_eq!(tried(Duration::from_secs(60), |n| Err(Error::transient(n))).await, (3, Err(3)));
    }

    #[tokio::test]
    async fn a_second_try_that_succeeds_is_the_answer() {
        let flaky = |n| if n == 2 { Ok(()) } else { Err(Error::retry_after(n, Duration::ZERO)) };
        assert_eq!(tried(Duration::from_secs(60), flaky).await, (2, Ok(())));
    }

    #[tokio::test]
    async fn a_lasting_error_is_not_tried_again() {
        assert_eq!(tried(Duration::from_secs(60), |n| Err(Error::permanent(n))).await, (1, Err(1)));
    }

    #[tokio::test]
    async fn a_wait_longer_than_the_time_left_is_not_waited_for() {
        let asked = |n| Err(Error::retry_after(n, Duration::from_secs(120)));
        assert_eq!(tried(Duration::from_secs(60), asked).await, (1, Err(1)));
    }
}
