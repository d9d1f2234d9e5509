//! The `Store` over SQL.

use crate::{
    AuditChain, AuditFinding, AuditLog, AuditQuery, AuditReport, AuditRow, Change, ClaimRow, Committed, Evidence, Fate, Guard, LeaseRow, Letter,
    ListPage, ListQuery, Op, Outbox, OutboxState, Revision, SqlStore, Store, StoreResult, TextPage,
    audit::Verifier,
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

/// Records looked at at once.
const VERIFIED_AT_ONCE: i64 = 1_000;

impl SqlStore {
    async fn verify_between(&self, chain: AuditChain) -> StoreResult<AuditReport> {
        let mut verifier = Verifier::new(&self.keys, chain.clone())?;
        // From the very beginning: what lies before the anchor should be gone.
        let mut after = chain.anchor_seq;
        while after < chain.last_seq {
            let query = AuditQuery { after, limit: VERIFIED_AT_ONCE, ..AuditQuery::default() };
            let rows = read!(self, audit::records(&query))?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            // What came since is for the next look.
            for row in rows.iter().filter(|row| row.seq <= chain.last_seq) {
                verifier.look(row)?;
            }
        }
        Ok(verifier.end())
    }
}

#[async_trait]
impl AuditLog for SqlStore {
    async fn audit_records(&self, query: AuditQuery) -> StoreResult<Vec<AuditRow>> {
        read!(self, audit::records(&query))
    }

    async fn audit_chain(&self) -> StoreResult<AuditChain> {
        read!(self, audit::chain())
    }

    async fn audit_verify(&self) -> StoreResult<AuditReport> {
        loop {
            let chain = self.audit_chain().await?;
            let mut report = self.verify_between(chain.clone()).await?;
            let newest = self.audit_records(AuditQuery { limit: 1, newest_first: true, ..AuditQuery::default() }).await?;
            let now = self.audit_chain().await?;
            // Records were removed for their age meanwhile: what was read is not one moment.
            if now.anchor_seq != chain.anchor_seq {
                continue;
            }
            if let Some(row) = newest.first().filter(|row| row.seq > now.last_seq) {
                let what = "it is behind the newest record: it was put there by somebody else";
                report.findings.push(AuditFinding { seq: row.seq, what: what.into() });
            }
            return Ok(report);
        }
    }
}
