//! The `Store` over SQL.

use crate::{
    Change, ClaimRow, Committed, Evidence, Fate, Guard, LeaseRow, Letter, ListPage, ListQuery, Op, Outbox, OutboxState, Revision, SqlStore, Store,
    StoreResult, TextPage,
    conn::{Db, with_conn},
};
use async_trait::async_trait;
use schemas::{DynObject, Time, v1::Observation};
use secrecy::SecretString;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Runs a read of `sql/` under the deadline.
macro_rules! read {
    ($store:expr, $module:ident :: $function:ident ( $($argument:expr),* )) => {
        $store.reading(async { with_conn!($store.db, c, sql => sql::$module::$function(c, $($argument),*).await) }).await
    };
}

impl SqlStore {
    /// Gives a new database its identity.
    pub(crate) async fn name_cluster(&self) -> StoreResult<()> {
        let uuid = uuid::Uuid::new_v4().to_string();
        if read!(self, read::revision_row())?.cluster_uuid.is_empty() {
            self.reading(async { with_conn!(self.db, c, sql => sql::side::name_cluster(c, &uuid).await) }).await?;
        }
        self.committed.send_replace(read!(self, read::revision_row())?.current);
        Ok(())
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn commit(&self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        self.commit_ops(guard, now, ops).await
    }

    async fn get(&self, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
        read!(self, read::one(kind, name))
    }

    async fn get_by_uid(&self, uid: &str) -> StoreResult<Option<DynObject>> {
        read!(self, read::by_uid(uid))
    }

    async fn list(&self, kind: &str, query: ListQuery) -> StoreResult<ListPage> {
        read!(self, read::list(kind, &query))
    }

    async fn list_text(&self, kind: &str, query: ListQuery) -> StoreResult<TextPage> {
        read!(self, read::list_text(kind, &query))
    }

    async fn changes(&self, after: i64, limit: i64) -> StoreResult<Vec<Change>> {
        read!(self, read::changes_after(after, limit))
    }

    async fn revision(&self) -> StoreResult<Revision> {
        read!(self, read::revision_row())
    }

    async fn compact(&self, upto: i64) -> StoreResult<i64> {
        self.writing_once(move |store, sent| async move {
            with_conn!(store.db, c, sql => {
                sent.mark();
                sql::read::compact(c, upto).await
            })
        })
        .await
    }

    fn is_shared(&self) -> bool {
        !matches!(self.db, Db::Sqlite(_))
    }

    fn commits(&self) -> watch::Receiver<i64> {
        self.committed.subscribe()
    }

    async fn claim(&self, host: &str) -> StoreResult<Option<ClaimRow>> {
        read!(self, side::claim(host))
    }

    async fn claims(&self) -> StoreResult<Vec<ClaimRow>> {
        read!(self, side::claims())
    }

    async fn evidence(&self, host: &str) -> StoreResult<Evidence> {
        read!(self, side::read_evidence(host))
    }

    async fn secret(&self, name: &str) -> StoreResult<Option<BTreeMap<String, SecretString>>> {
        let sealed = read!(self, side::secret(name))?;
        sealed.map(|sealed| self.keys.open(name, &sealed)).transpose()
    }

    async fn lease(&self, name: &str) -> StoreResult<LeaseRow> {
        self.lease_row(name).await
    }

    async fn lease_take(&self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<LeaseRow>> {
        self.take_lease(name, holder, seen, duration_ms, now).await
    }

    async fn lease_renew(&self, name: &str, holder: &str, token: i64) -> StoreResult<bool> {
        self.renew_lease(name, holder, token).await
    }

    async fn lease_release(&self, name: &str, holder: &str, token: i64) -> StoreResult<()> {
        self.release_lease(name, holder, token).await
    }

    async fn events(&self, regarding_uid: Option<&str>, limit: i64) -> StoreResult<Vec<DynObject>> {
        read!(self, side::events(regarding_uid, limit))
    }

    async fn event(&self, name: &str) -> StoreResult<Option<DynObject>> {
        read!(self, side::event(name))
    }

    async fn prune_events(&self, before: Time) -> StoreResult<i64> {
        self.writing_once(move |store, sent| async move {
            with_conn!(store.db, c, sql => {
                sent.mark();
                sql::side::prune_events(c, before).await
            })
        })
        .await
    }

    async fn observations(&self, host: Option<&str>) -> StoreResult<Vec<Observation>> {
        read!(self, observations::list(host))
    }

    async fn prune_observations(&self, before: Time) -> StoreResult<i64> {
        self.writing_once(move |store, sent| async move {
            with_conn!(store.db, c, sql => {
                sent.mark();
                sql::observations::prune(c, before).await
            })
        })
        .await
    }
}

#[async_trait]
impl Outbox for SqlStore {
    async fn letters(&self, limit: i64) -> StoreResult<Vec<Letter>> {
        read!(self, outbox::letters(limit))
    }

    async fn settle_letter(&self, id: &str, fate: &Fate, now: Time) -> StoreResult<()> {
        let (id, fate) = (id.to_string(), fate.clone());
        self.writing_once(move |store, sent| async move {
            with_conn!(store.db, c, sql => {
                sent.mark();
                sql::outbox::settle(c, id, fate, now).await
            })
        })
        .await
    }

    async fn outbox(&self) -> StoreResult<OutboxState> {
        read!(self, outbox::state())
    }

    async fn trim_outbox(&self, keep: i64, before: Time, now: Time) -> StoreResult<i64> {
        self.writing_once(move |store, sent| async move {
            with_conn!(store.db, c, sql => {
                sent.mark();
                sql::outbox::trim(c, keep, before, now).await
            })
        })
        .await
    }
}
