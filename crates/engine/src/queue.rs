//! The work queue: one entry per key, never two runs of one key, delays, priorities.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// What is reconciled: a kind and a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Key { kind: kind.into(), name: name.into() }
    }
}

/// Priorities (architecture-wide): a higher one goes first.
pub mod priority {
    /// Evacuations.
    pub const EVACUATION: i64 = 100;
    /// What a person asked for.
    pub const USER: i64 = 80;
    /// A changed object.
    pub const CHANGED: i64 = 60;
    /// A look from time to time.
    pub const RESYNC: i64 = 20;
}

/// A second of waiting is worth so much priority, so that nothing starves.
const AGING_PER_SECOND: i64 = 2;

#[derive(Debug)]
struct Entry {
    not_before: Instant,
    priority: i64,
    running: bool,
    /// Asked for again while running.
    again: Option<(Instant, i64)>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Notify,
}

impl Queue {
    /// Asks for a run of `key` after `delay`. Of several requests the earliest time and the highest priority win.
    pub fn add(&self, key: Key, delay: Duration, priority: i64) {
        let at = Instant::now() + delay;
        {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            match inner.entries.get_mut(&key) {
                None => {
                    inner.entries.insert(key, Entry { not_before: at, priority, running: false, again: None });
                }
                Some(entry) if entry.running => {
                    let (t, p) = entry.again.unwrap_or((at, priority));
                    entry.again = Some((t.min(at), p.max(priority)));
                }
                Some(entry) => {
                    entry.not_before = entry.not_before.min(at);
                    entry.priority = entry.priority.max(priority);
                }
            }
        }
        self.changed.notify_waiters();
    }

    /// Waits for the next key that is due and not running; it counts as running until [`Queue::done`].
    pub async fn next(&self) -> Key {
        loop {
            let notified = self.changed.notified();
            tokio::pin!(notified);
            // Registers before looking, so that no wake-up is lost in between.
            notified.as_mut().enable();
            let earliest = match self.take() {
                Ok(key) => return key,
                Err(earliest) => earliest,
            };
            match earliest {
                Some(at) => tokio::select! { () = notified => {}, () = tokio::time::sleep_until(at) => {} },
                None => notified.await,
            }
        }
    }

    fn take(&self) -> Result<Key, Option<Instant>> {
        let now = Instant::now();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = |e: &Entry| e.priority + AGING_PER_SECOND * i64::try_from(now.duration_since(e.not_before).as_secs()).unwrap_or(0);
        let waiting = inner.entries.iter().filter(|(_, e)| !e.running);
        let due = waiting.clone().filter(|(_, e)| e.not_before <= now).max_by_key(|(k, e)| (weight(e), std::cmp::Reverse((*k).clone())));
        match due.map(|(k, _)| k.clone()) {
            Some(key) => {
                if let Some(entry) = inner.entries.get_mut(&key) {
                    entry.running = true;
                }
                Ok(key)
            }
            None => Err(waiting.map(|(_, e)| e.not_before).min()),
        }
    }

    /// Ends a run; the key comes back if it was asked for meanwhile, or after `again`.
    pub fn done(&self, key: &Key, again: Option<(Duration, i64)>) {
        {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(entry) = inner.entries.remove(key) else { return };
            let wanted = again.map(|(delay, priority)| (Instant::now() + delay, priority));
            let next = match (entry.again, wanted) {
                (Some((a, p)), Some((b, q))) => Some((a.min(b), p.max(q))),
                (one, other) => one.or(other),
            };
            if let Some((not_before, priority)) = next {
                inner.entries.insert(key.clone(), Entry { not_before, priority, running: false, again: None });
            }
        }
        self.changed.notify_waiters();
    }

    /// Keys that wait or run.
    pub fn len(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).entries.len()
    }

    /// Whether nothing waits or runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys that are due and wait for a worker.
    pub fn due(&self) -> usize {
        let now = Instant::now();
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.entries.values().filter(|e| !e.running && e.not_before <= now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;

    fn key(name: &str) -> Key {
        Key::new("Host", name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_asked_for_many_times_runs_once() {
        let queue = Queue::default();
        for _ in 0..5 {
            queue.add(key("a"), ZERO, 1);
        }
        let taken = queue.next().await;
        queue.done(&taken, None);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_never_runs_twice_at_once_and_comes_back_if_asked_for_meanwhile() {
        let queue = Queue::default();
        queue.add(key("a"), ZERO, 1);
        let taken = queue.next().await;
        queue.add(key("a"), ZERO, 1);
        assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
        queue.done(&taken, None);
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_higher_priority_goes_first_and_waiting_raises_it() {
        let queue = Queue::default();
        queue.add(key("low"), ZERO, 20);
        queue.add(key("high"), ZERO, 100);
        assert_eq!(queue.next().await, key("high"));
        queue.done(&key("high"), None);
        tokio::time::advance(Duration::from_secs(60)).await;
        queue.add(key("high"), ZERO, 100);
        assert_eq!(queue.next().await, key("low"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_of_several_delays_wins() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.add(key("a"), Duration::from_secs(60), 1);
        queue.add(key("a"), Duration::from_secs(5), 1);
        queue.next().await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }
}
