//! One command at a time per device: BMCs have few session slots and answer badly under two.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::OwnedMutexGuard;

/// Locks by endpoint (`host:port`), so that two devices declared with the same endpoint share one.
#[derive(Default)]
pub(crate) struct Locks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Locks {
    /// The lock of `endpoint`; `None` if it did not come free within `wait`.
    pub(crate) async fn acquire(&self, endpoint: &str, wait: Duration) -> Option<OwnedMutexGuard<()>> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // A lock nobody holds or waits for has nothing to remember.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry(endpoint.to_owned()).or_default().clone()
        };
        tokio::time::timeout(wait, lock.lock_owned()).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_endpoint_is_held_by_one_command_and_others_are_free() {
        let locks = Locks::default();
        let held = locks.acquire("bmc:623", Duration::ZERO).await;
        assert!(held.is_some());
        assert!(locks.acquire("bmc:623", Duration::from_millis(1)).await.is_none());
        assert!(locks.acquire("other:623", Duration::ZERO).await.is_some());
        drop(held);
        assert!(locks.acquire("bmc:623", Duration::ZERO).await.is_some());
    }

    #[tokio::test]
    async fn a_lock_that_is_not_held_is_forgotten() {
        let locks = Locks::default();
        for i in 0..100 {
            drop(locks.acquire(&format!("bmc{i}:623"), Duration::ZERO).await);
        }
        assert!(locks.0.lock().unwrap().len() <= 1);
    }
}
