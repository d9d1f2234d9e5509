//! A setting that may change while it is used.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A duration, in whole milliseconds, that all clones share.
#[derive(Clone, Debug)]
pub struct Live(Arc<AtomicU64>);

impl Live {
    /// As it is now.
    pub fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// Changes it for all clones; whoever waits already waits out the old one.
    pub fn set(&self, value: Duration) {
        self.0.store(u64::try_from(value.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl From<Duration> for Live {
    fn from(value: Duration) -> Self {
        let live = Live(Arc::default());
        live.set(value);
        live
    }
}
