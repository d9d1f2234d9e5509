//! A value that is read from outside at most so often, by one reader at a time. Who waits while another reads takes that
//! answer, if it was asked for after they came.

use cloud::CloudError;
use engine::Clock;
use schemas::Time;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Mutex;

/// See the module's text.
pub(crate) struct Cached<T, E = CloudError> {
    slot: Mutex<Slot<T, E>>,
    /// Grows with each write of ours that makes older reads wrong.
    epoch: AtomicU64,
    /// Reads that were begun.
    begun: AtomicU64,
}

struct Slot<T, E> {
    /// The last value, and the epoch it is of.
    kept: Option<(Arc<T>, Time, u64)>,
    /// The last read that came to an end: its number, its epoch, and what it failed with; the value is the one that is kept.
    last: Option<(u64, u64, Option<E>)>,
}

impl<T, E> Default for Cached<T, E> {
    fn default() -> Self {
        Cached { slot: Mutex::new(Slot { kept: None, last: None }), epoch: AtomicU64::new(0), begun: AtomicU64::new(0) }
    }
}

impl<T, E: Clone> Cached<T, E> {
    /// The value and when it was read, at most `max_age_ms` old or by a read that began after this was called: with 0 it is as
    /// good as a read of one's own, and many who ask at the same time cost two. A failure is shared alike. A read that was
    /// overtaken by [`Cached::invalidate`] is not used: it may show the world before our write.
    pub(crate) async fn get<F, Fut>(&self, clock: &dyn Clock, max_age_ms: i64, read: F) -> Result<(Arc<T>, Time), E>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        // By number, not by the clock: two instants may be the same millisecond.
        let came = self.begun.load(Ordering::SeqCst);
        let mut slot = self.slot.lock().await;
        let epoch = self.epoch.load(Ordering::SeqCst);
        let kept = slot.kept.as_ref().filter(|(_, _, of)| *of == epoch);
        if let Some((value, at, _)) = kept.filter(|(_, at, _)| clock.now().millis_since(*at) <= max_age_ms) {
            return Ok((value.clone(), *at));
        }
        if let Some((_, _, failed)) = slot.last.as_ref().filter(|(number, of, _)| *number > came && *of == epoch) {
            if let Some(error) = failed {
                return Err(error.clone());
            }
            if let Some((value, at, _)) = kept {
                return Ok((value.clone(), *at));
            }
        }
        loop {
            let epoch = self.epoch.load(Ordering::SeqCst);
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            // The time before the request: the value is at least that young.
            let at = clock.now();
            match read().await {
                Err(error) => {
                    slot.last = Some((number, epoch, Some(error.clone())));
                    return Err(error);
                }
                Ok(value) if self.epoch.load(Ordering::SeqCst) == epoch => {
                    let value = Arc::new(value);
                    slot.kept = Some((value.clone(), at, epoch));
                    slot.last = Some((number, epoch, None));
                    return Ok((value, at));
                }
                Ok(_) => {}
            }
        }
    }

    /// Makes every read that has begun, or is kept, too old.
    pub(crate) async fn invalidate(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        let mut slot = self.slot.lock().await;
        (slot.kept, slot.last) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::TokioClock;
    use futures::future::join_all;
    use std::time::Duration;

    type Numbers = Cached<u64, String>;

    fn clock() -> TokioClock {
        TokioClock::starting_at(Time::parse("2026-01-01T00:00:00Z").expect("a time"))
    }

    /// Reads that take a second each, and give their number.
    struct Slow(AtomicU64);

    impl Slow {
        async fn read(&self) -> Result<u64, String> {
            let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(number)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_who_ask_while_another_reads_one_reads_for_all() {
        let (cached, clock, slow) = (Numbers::default(), clock(), Slow(AtomicU64::new(0)));
        let ask = || cached.get(&clock, 0, || slow.read());
        let first = ask();
        let others = async {
            // The first has begun: what it brings may be older than they are.
            tokio::time::sleep(Duration::from_millis(500)).await;
            join_all((0..40).map(|_| ask())).await
        };
        let (first, others) = tokio::join!(first, others);
        assert_eq!(*first.expect("a value").0, 1);
        assert!(others.iter().all(|o| o.as_ref().is_ok_and(|(value, _)| **value == 2)), "{others:?}");
        assert_eq!(slow.0.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_in_the_instant_in_which_a_read_began_does_not_take_it() {
        let (cached, clock, slow) = (Numbers::default(), clock(), Slow(AtomicU64::new(0)));
        let ask = || cached.get(&clock, 0, || slow.read());
        // The second comes at the same millisecond, after the first has begun.
        let (first, second) = tokio::join!(ask(), ask());
        assert_eq!((*first.expect("a value").0, *second.expect("a value").0), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_our_own_write_overtook_is_nobodys() {
        let (cached, clock, slow) = (Numbers::default(), clock(), Slow(AtomicU64::new(0)));
        let ask = || cached.get(&clock, 60_000, || slow.read());
        let write = async {
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            cached.invalidate().await;
        };
        let late = async {
            tokio::time::sleep(Duration::from_millis(2_200)).await;
            cached.get(&clock, 0, || slow.read()).await
        };
        let (first, late, ()) = tokio::join!(ask(), late, write);
        // 2 was under way when the write began.
        assert_eq!((*first.expect("a value").0, *late.expect("a value").0), (1, 3));
        assert_eq!(*ask().await.expect("a value").0, 4, "what was kept is gone as well");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_everybodys_who_waited_for_that_read_and_the_next_one_asks_again() {
        let (cached, clock, reads) = (Numbers::default(), clock(), AtomicU64::new(0));
        let read = || async {
            reads.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(20)).await;
            Err::<u64, String>("no answer".into())
        };
        let begun = tokio::time::Instant::now();
        let all = join_all((0..40).map(|_| cached.get(&clock, 0, read))).await;
        assert!(all.iter().all(|a| a.as_ref().is_err_and(|why| why == "no answer")));
        assert_eq!((reads.load(Ordering::SeqCst), begun.elapsed().as_secs()), (2, 40), "not one after the other");
        cached.get(&clock, 0, read).await.expect_err("it is asked again");
        assert_eq!(reads.load(Ordering::SeqCst), 3);
    }
}
