//! A value that is read from outside at most so often, by one reader at a time.

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
pub(crate) struct Cached<T> {
    slot: Mutex<Option<(Arc<T>, Time)>>,
    /// Grows with each write of ours that makes older reads wrong.
    epoch: AtomicU64,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Cached { slot: Mutex::new(None), epoch: AtomicU64::new(0) }
    }
}

impl<T> Cached<T> {
    /// The value and when it was read, at most `max_age_ms` old. A read that was overtaken by
    /// [`Cached::invalidate`] is not used: it may show the world before our write.
    pub(crate) async fn get<E, F, Fut>(&self, clock: &dyn Clock, max_age_ms: i64, read: F) -> Result<(Arc<T>, Time), E>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut slot = self.slot.lock().await;
        if let Some((value, at)) = slot.as_ref()
            && clock.now().millis_since(*at) <= max_age_ms
        {
            return Ok((value.clone(), *at));
        }
        loop {
            let epoch = self.epoch.load(Ordering::SeqCst);
            // The time before the request: the value is at least that young.
            let at = clock.now();
            let value = Arc::new(read().await?);
            if self.epoch.load(Ordering::SeqCst) == epoch {
                *slot = Some((value.clone(), at));
                return Ok((value, at));
            }
        }
    }

    /// Makes every read that has begun, or is kept, too old.
    pub(crate) async fn invalidate(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        *self.slot.lock().await = None;
    }
}
