//! A store that can be hurt.

use ::store::{
    Change, ClaimRow, Committed, Evidence, Guard, KeyRing, LeaseRow, ListPage, ListQuery, Op, Revision, SqlStore, Store, StoreConfig, StoreError,
    StoreResult, migrate,
};
use async_trait::async_trait;
use schemas::{DynObject, Time, v1::Observation};
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

pub async fn open(dir: &Path) -> Arc<SqlStore> {
    // A busy machine may take its time.
    let config = StoreConfig { deadline: std::time::Duration::from_secs(60), ..StoreConfig::sqlite(dir.join("db")) };
    migrate(&config, None).await.unwrap();
    Arc::new(SqlStore::open(&config, KeyRing::parse(&format!("k:{}", "07".repeat(32))).unwrap()).await.unwrap())
}

/// A real store with faults in front of it.
pub struct Hurt {
    pub inner: Arc<SqlStore>,
    /// Renewals and takeovers fail.
    pub lease_down: AtomicBool,
    /// How many of them failed.
    pub refused: AtomicI64,
    /// Revision that the history lacks; 0: none.
    pub hole: AtomicI64,
    /// By how much the revision counter seems to have gone back.
    pub back: AtomicI64,
}

impl Hurt {
    pub fn new(inner: Arc<SqlStore>) -> Arc<Hurt> {
        Arc::new(Hurt { inner, lease_down: AtomicBool::new(false), refused: AtomicI64::new(0), hole: AtomicI64::new(0), back: AtomicI64::new(0) })
    }

    fn lease_up(&self) -> StoreResult<()> {
        if !self.lease_down.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(StoreError::Unavailable("hurt".into()))
    }
}

#[async_trait]
impl Store for Hurt {
    async fn commit(&self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        self.inner.commit(guard, now, ops).await
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
        let hole = self.hole.load(Ordering::SeqCst);
        Ok(self.inner.changes(after, limit).await?.into_iter().filter(|c| c.revision != hole).collect())
    }
    async fn revision(&self) -> StoreResult<Revision> {
        let row = self.inner.revision().await?;
        Ok(Revision { current: row.current - self.back.load(Ordering::SeqCst), ..row })
    }
    async fn compact(&self, upto: i64) -> StoreResult<i64> {
        self.inner.compact(upto).await
    }
    fn commits(&self) -> tokio::sync::watch::Receiver<i64> {
        self.inner.commits()
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
    async fn lease_take(&self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<LeaseRow>> {
        self.lease_up()?;
        self.inner.lease_take(name, holder, seen, duration_ms, now).await
    }
    async fn lease_renew(&self, name: &str, holder: &str, token: i64) -> StoreResult<bool> {
        self.lease_up()?;
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
