//! The store in memory, with the semantics of the SQL one: for schedules of whole controllers, where a real
//! database would take most of the time. That the two agree is checked by `tests/model_store.rs`.

mod state;

use async_trait::async_trait;
use schemas::{
    DynObject, Time,
    v1::{NO_HOST, Observation},
};
use secrecy::SecretString;
use state::State;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use store::{
    AuditEntry, Change, ClaimRow, Committed, Evidence, Fate, Guard, LeaseRow, Letter, ListPage, ListQuery, Op, Outbox, OutboxRule, OutboxState,
    Revision, Store, StoreError, StoreResult,
};
use tokio::sync::watch;

/// A database in memory. Calls take no time and never fail by themselves.
#[derive(Debug)]
pub struct ModelStore {
    state: Mutex<State>,
    committed: watch::Sender<i64>,
}

impl ModelStore {
    /// An empty database of this identity, with the lease row that migrations make.
    pub fn new(cluster_uuid: &str) -> Self {
        ModelStore { state: Mutex::new(State::new(cluster_uuid, true)), committed: watch::channel(0).0 }
    }

    /// A database that takes writes under any lease token. Wrong on purpose: whoever checks that the token matters
    /// has to notice.
    pub fn without_token_check(cluster_uuid: &str) -> Self {
        ModelStore { state: Mutex::new(State::new(cluster_uuid, false)), committed: watch::channel(0).0 }
    }

    /// The same, and what the rule takes is written to the outbox.
    #[must_use]
    pub fn with_outbox(self, rule: OutboxRule) -> Self {
        self.lock().outbox_rule = Some(rule);
        self
    }

    /// What was recorded, in order; there is no chain, and nothing is put in its entries.
    pub fn audit(&self) -> Vec<AuditEntry> {
        self.lock().audit()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for ModelStore {
    async fn commit(&self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        let done = self.lock().commit(guard, now, ops)?;
        self.committed.send_if_modified(|newest| std::mem::replace(newest, done.revision.max(*newest)) < done.revision);
        Ok(done)
    }

    async fn get(&self, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
        Ok(self.lock().get(kind, name).cloned())
    }

    async fn get_by_uid(&self, uid: &str) -> StoreResult<Option<DynObject>> {
        Ok(self.lock().get_by_uid(uid).cloned())
    }

    async fn list(&self, kind: &str, query: ListQuery) -> StoreResult<ListPage> {
        Ok(self.lock().list(kind, &query))
    }

    async fn changes(&self, after: i64, limit: i64) -> StoreResult<Vec<Change>> {
        self.lock().changes_after(after, limit)
    }

    async fn revision(&self) -> StoreResult<Revision> {
        Ok(self.lock().revision.clone())
    }

    async fn compact(&self, upto: i64) -> StoreResult<i64> {
        Ok(self.lock().compact(upto))
    }

    fn commits(&self) -> watch::Receiver<i64> {
        self.committed.subscribe()
    }

    async fn claim(&self, host: &str) -> StoreResult<Option<ClaimRow>> {
        Ok(self.lock().claims.get(host).cloned())
    }

    async fn claims(&self) -> StoreResult<Vec<ClaimRow>> {
        Ok(self.lock().claims.values().cloned().collect())
    }

    async fn evidence(&self, host: &str) -> StoreResult<Evidence> {
        Ok(self.lock().evidence.get(host).cloned().unwrap_or_default())
    }

    async fn secret(&self, name: &str) -> StoreResult<Option<BTreeMap<String, SecretString>>> {
        Ok(self.lock().secrets.get(name).cloned())
    }

    async fn lease(&self, name: &str) -> StoreResult<LeaseRow> {
        self.lock().leases.get(name).cloned().ok_or_else(|| StoreError::Corrupt(format!("there is no lease {name}")))
    }

    async fn lease_take(&self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<LeaseRow>> {
        let taken = self.lock().lease_take(name, holder, seen, duration_ms, now)?;
        if let Some((row, revision)) = taken {
            self.committed.send_replace(revision);
            return Ok(Some(row));
        }
        Ok(None)
    }

    async fn lease_renew(&self, name: &str, holder: &str, token: i64) -> StoreResult<bool> {
        Ok(self.lock().my_lease(name, holder, token).map(|row| row.renew_seq += 1).is_some())
    }

    async fn lease_release(&self, name: &str, holder: &str, token: i64) -> StoreResult<()> {
        if let Some(row) = self.lock().my_lease(name, holder, token) {
            row.holder.clear();
            row.renew_seq += 1;
        }
        Ok(())
    }

    async fn events(&self, regarding_uid: Option<&str>, limit: i64) -> StoreResult<Vec<DynObject>> {
        Ok(self.lock().events(regarding_uid, limit))
    }

    async fn event(&self, name: &str) -> StoreResult<Option<DynObject>> {
        Ok(self.lock().event(name).cloned())
    }

    async fn prune_events(&self, before: Time) -> StoreResult<i64> {
        Ok(self.lock().prune_events(before))
    }

    async fn observations(&self, host: Option<&str>) -> StoreResult<Vec<Observation>> {
        Ok(self.lock().observations.values().filter(|o| host.map_or(o.host != NO_HOST, |h| h == o.host)).cloned().collect())
    }

    async fn prune_observations(&self, before: Time) -> StoreResult<i64> {
        Ok(self.lock().prune_observations(before))
    }
}

#[async_trait]
impl Outbox for ModelStore {
    async fn letters(&self, limit: i64) -> StoreResult<Vec<Letter>> {
        Ok(self.lock().letters(limit))
    }

    async fn settle_letter(&self, id: &str, fate: &Fate, now: Time) -> StoreResult<()> {
        self.lock().settle_letter(id, fate, now);
        Ok(())
    }

    async fn outbox(&self) -> StoreResult<OutboxState> {
        Ok(self.lock().outbox())
    }

    async fn trim_outbox(&self, keep: i64, before: Time, now: Time) -> StoreResult<i64> {
        Ok(self.lock().trim_outbox(keep, before, now))
    }
}
