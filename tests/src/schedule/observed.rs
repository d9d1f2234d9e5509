//! The database as it is: without faults, watched by the laws, and with uids that follow from the seed.

use super::{chance, laws::Laws};
use async_trait::async_trait;
use schemas::{DynObject, Time, v1::Observation};
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use store::{Change, ClaimRow, Committed, Evidence, Guard, LeaseRow, ListPage, ListQuery, Op, Revision, Store, StoreResult};
use tokio::sync::watch;

/// See the module's text.
pub struct Observed {
    inner: Arc<dyn Store>,
    laws: Arc<Mutex<Laws>>,
    seed: u64,
    made: AtomicU64,
    /// One for each who waits, told in this order: a channel with several receivers wakes them in any.
    waiting: Mutex<Vec<watch::Sender<i64>>>,
}

impl Observed {
    /// A database and who watches it.
    pub fn new(inner: Arc<dyn Store>, laws: Arc<Mutex<Laws>>, seed: u64) -> Observed {
        Observed { inner, laws, seed, made: AtomicU64::new(1), waiting: Mutex::default() }
    }

    fn tell(&self, newest: i64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|one| one.receiver_count() > 0);
        for one in waiting.iter() {
            one.send_if_modified(|known| std::mem::replace(known, newest.max(*known)) < newest);
        }
    }

    fn laws(&self) -> std::sync::MutexGuard<'_, Laws> {
        self.laws.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Observed {
    async fn commit(&self, guard: Guard, now: Time, mut ops: Vec<Op>) -> StoreResult<Committed> {
        for op in &mut ops {
            if let Op::Create(object) = op {
                object.metadata.uid = chance::uuid(self.seed, self.made.fetch_add(1, Ordering::SeqCst));
            }
        }
        let done = self.inner.commit(guard, now, ops.clone()).await?;
        self.laws().wrote(guard, &ops, &done);
        self.tell(done.revision);
        Ok(done)
    }

    async fn lease_take(&self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<LeaseRow>> {
        let taken = self.inner.lease_take(name, holder, seen, duration_ms, now).await?;
        if let Some(row) = &taken {
            self.laws().took_lease(row);
            self.tell(self.inner.revision().await.map_or(0, |r| r.current));
        }
        Ok(taken)
    }

    async fn get(&self, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
        self.inner.get(kind, name).await
    }

    async fn get_by_uid(&self, uid: &str) -> StoreResult<Option<DynObject>> {
        self.inner.get_by_uid(uid).await
    }

    async fn list(&self, kind: &str, query: ListQuery) -> StoreResult<ListPage> {
        self.inner.list(kind, query).await
    }

    async fn changes(&self, after: i64, limit: i64) -> StoreResult<Vec<Change>> {
        self.inner.changes(after, limit).await
    }

    async fn revision(&self) -> StoreResult<Revision> {
        self.inner.revision().await
    }

    async fn compact(&self, upto: i64) -> StoreResult<i64> {
        self.inner.compact(upto).await
    }

    fn commits(&self) -> watch::Receiver<i64> {
        let (one, told) = watch::channel(*self.inner.commits().borrow());
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        told
    }

    async fn claim(&self, host: &str) -> StoreResult<Option<ClaimRow>> {
        self.inner.claim(host).await
    }

    async fn claims(&self) -> StoreResult<Vec<ClaimRow>> {
        self.inner.claims().await
    }

    async fn evidence(&self, host: &str) -> StoreResult<Evidence> {
        self.inner.evidence(host).await
    }

    async fn secret(&self, name: &str) -> StoreResult<Option<BTreeMap<String, SecretString>>> {
        self.inner.secret(name).await
    }

    async fn lease(&self, name: &str) -> StoreResult<LeaseRow> {
        self.inner.lease(name).await
    }

    async fn lease_renew(&self, name: &str, holder: &str, token: i64) -> StoreResult<bool> {
        self.inner.lease_renew(name, holder, token).await
    }

    async fn lease_release(&self, name: &str, holder: &str, token: i64) -> StoreResult<()> {
        self.inner.lease_release(name, holder, token).await
    }

    async fn events(&self, regarding_uid: Option<&str>, limit: i64) -> StoreResult<Vec<DynObject>> {
        self.inner.events(regarding_uid, limit).await
    }

    async fn event(&self, name: &str) -> StoreResult<Option<DynObject>> {
        self.inner.event(name).await
    }

    async fn prune_events(&self, before: Time) -> StoreResult<i64> {
        self.inner.prune_events(before).await
    }

    async fn observations(&self, host: Option<&str>) -> StoreResult<Vec<Observation>> {
        self.inner.observations(host).await
    }

    async fn prune_observations(&self, before: Time) -> StoreResult<i64> {
        self.inner.prune_observations(before).await
    }
}
