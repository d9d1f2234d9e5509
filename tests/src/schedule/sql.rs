//! A real database under simulated time: each call is made on another runtime, and this thread waits for it. So it takes
//! no simulated time, and nothing of ours runs meanwhile.

use async_trait::async_trait;
use schemas::{DynObject, Time, v1::Observation};
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, mpsc},
};
use store::{
    Change, ClaimRow, Committed, Evidence, Guard, KeyRing, LeaseRow, ListPage, ListQuery, Op, Revision, SqlStore, Store, StoreConfig, StoreError,
    StoreResult,
};
use tokio::{runtime::Runtime, sync::watch};

/// See the module's text.
pub struct Sql {
    store: Arc<SqlStore>,
    runtime: Option<Runtime>,
    _dir: tempfile::TempDir,
}

impl Sql {
    /// A new SQLite database, in memory if the machine has a place for that.
    pub fn sqlite() -> Sql {
        let dir = crate::scratch();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let config = StoreConfig { deadline: std::time::Duration::from_secs(60), ..StoreConfig::sqlite(dir.path().join("db")) };
        let (tell, told) = mpsc::channel();
        runtime.spawn(async move {
            store::migrate(&config, None).await.expect("migrations");
            let keys = KeyRing::parse(&format!("k:{}", "07".repeat(32))).expect("a key");
            // Whoever waits for it is told, or has gone.
            let _ = tell.send(SqlStore::open(&config, keys).await.expect("a store"));
        });
        let store = told.recv().expect("a store");
        Sql { store: Arc::new(store), runtime: Some(runtime), _dir: dir }
    }

    fn wait<T, F>(&self, work: impl FnOnce(Arc<SqlStore>) -> F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: Future<Output = StoreResult<T>> + Send + 'static,
    {
        let gone = || StoreError::Unavailable("the runtime of the database is gone".into());
        let (tell, told) = mpsc::channel();
        let work = work(self.store.clone());
        self.runtime.as_ref().ok_or_else(gone)?.spawn(async move {
            let _ = tell.send(work.await);
        });
        told.recv().map_err(|_| gone())?
    }
}

impl Drop for Sql {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime may not be waited for inside another.
            runtime.shutdown_background();
        }
    }
}

#[async_trait]
impl Store for Sql {
    async fn commit(&self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        self.wait(|s| async move { s.commit(guard, now, ops).await })
    }

    async fn get(&self, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
        let (kind, name) = (kind.to_string(), name.to_string());
        self.wait(|s| async move { s.get(&kind, &name).await })
    }

    async fn get_by_uid(&self, uid: &str) -> StoreResult<Option<DynObject>> {
        let uid = uid.to_string();
        self.wait(|s| async move { s.get_by_uid(&uid).await })
    }

    async fn list(&self, kind: &str, query: ListQuery) -> StoreResult<ListPage> {
        let kind = kind.to_string();
        self.wait(|s| async move { s.list(&kind, query).await })
    }

    async fn changes(&self, after: i64, limit: i64) -> StoreResult<Vec<Change>> {
        self.wait(|s| async move { s.changes(after, limit).await })
    }

    async fn revision(&self) -> StoreResult<Revision> {
        self.wait(|s| async move { s.revision().await })
    }

    async fn compact(&self, upto: i64) -> StoreResult<i64> {
        self.wait(|s| async move { s.compact(upto).await })
    }

    fn commits(&self) -> watch::Receiver<i64> {
        self.store.commits()
    }

    async fn claim(&self, host: &str) -> StoreResult<Option<ClaimRow>> {
        let host = host.to_string();
        self.wait(|s| async move { s.claim(&host).await })
    }

    async fn claims(&self) -> StoreResult<Vec<ClaimRow>> {
        self.wait(|s| async move { s.claims().await })
    }

    async fn evidence(&self, host: &str) -> StoreResult<Evidence> {
        let host = host.to_string();
        self.wait(|s| async move { s.evidence(&host).await })
    }

    async fn secret(&self, name: &str) -> StoreResult<Option<BTreeMap<String, SecretString>>> {
        let name = name.to_string();
        self.wait(|s| async move { s.secret(&name).await })
    }

    async fn lease(&self, name: &str) -> StoreResult<LeaseRow> {
        let name = name.to_string();
        self.wait(|s| async move { s.lease(&name).await })
    }

    async fn lease_take(&self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<LeaseRow>> {
        let (name, holder, seen) = (name.to_string(), holder.to_string(), seen.clone());
        self.wait(|s| async move { s.lease_take(&name, &holder, &seen, duration_ms, now).await })
    }

    async fn lease_renew(&self, name: &str, holder: &str, token: i64) -> StoreResult<bool> {
        let (name, holder) = (name.to_string(), holder.to_string());
        self.wait(|s| async move { s.lease_renew(&name, &holder, token).await })
    }

    async fn lease_release(&self, name: &str, holder: &str, token: i64) -> StoreResult<()> {
        let (name, holder) = (name.to_string(), holder.to_string());
        self.wait(|s| async move { s.lease_release(&name, &holder, token).await })
    }

    async fn events(&self, regarding_uid: Option<&str>, limit: i64) -> StoreResult<Vec<DynObject>> {
        let uid = regarding_uid.map(String::from);
        self.wait(|s| async move { s.events(uid.as_deref(), limit).await })
    }

    async fn event(&self, name: &str) -> StoreResult<Option<DynObject>> {
        let name = name.to_string();
        self.wait(|s| async move { s.event(&name).await })
    }

    async fn prune_events(&self, before: Time) -> StoreResult<i64> {
        self.wait(|s| async move { s.prune_events(before).await })
    }

    async fn observations(&self, host: Option<&str>) -> StoreResult<Vec<Observation>> {
        let host = host.map(String::from);
        self.wait(|s| async move { s.observations(host.as_deref()).await })
    }

    async fn prune_observations(&self, before: Time) -> StoreResult<i64> {
        self.wait(|s| async move { s.prune_observations(before).await })
    }
}
