//! A store that fails when told to.

use ::store::{Change, ClaimRow, Committed, Evidence, Guard, LeaseRow, ListPage, ListQuery, Op, Revision, SqlStore, Store, StoreError, StoreResult};
use async_trait::async_trait;
use schemas::{DynObject, Time, v1::Observation};
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;

/// Given the name of a call and its revision (or 0), the error it ends with.
pub type Fault = Box<dyn FnMut(&str, i64) -> Option<StoreError> + Send>;

pub struct Faulty {
    inner: SqlStore,
    fault: Mutex<Option<Fault>>,
}

impl Faulty {
    pub fn new(inner: SqlStore) -> Arc<Faulty> {
        Arc::new(Faulty { inner, fault: Mutex::new(None) })
    }

    /// The store beneath, which does not fail.
    pub fn sql(&self) -> Arc<SqlStore> {
        Arc::new(self.inner.clone())
    }

    pub fn fail(&self, fault: impl FnMut(&str, i64) -> Option<StoreError> + Send + 'static) {
        *self.fault.lock().unwrap() = Some(Box::new(fault));
    }

    fn check(&self, call: &str, revision: i64) -> StoreResult<()> {
        match self.fault.lock().unwrap().as_mut().and_then(|f| f(call, revision)) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Faulty {
    async fn commit(&self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        self.check("commit", 0)?;
        self.inner.commit(guard, now, ops).await
    }

    async fn get(&self, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
        self.check("get", 0)?;
        self.inner.get(kind, name).await
    }

    async fn get_by_uid(&self, uid: &str) -> StoreResult<Option<DynObject>> {
        self.check("get", 0)?;
        self.inner.get_by_uid(uid).await
    }

    async fn list(&self, kind: &str, query: ListQuery) -> StoreResult<ListPage> {
        self.check("list", 0)?;
        self.inner.list(kind, query).await
    }

    async fn changes(&self, after: i64, limit: i64) -> StoreResult<Vec<Change>> {
        self.check("changes", after)?;
        self.inner.changes(after, limit).await
    }

    async fn revision(&self) -> StoreResult<Revision> {
        self.check("revision", 0)?;
        self.inner.revision().await
    }

    async fn compact(&self, upto: i64) -> StoreResult<i64> {
        self.inner.compact(upto).await
    }

    fn commits(&self) -> watch::Receiver<i64> {
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
        self.inner.lease_take(name, holder, seen, duration_ms, now).await
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
