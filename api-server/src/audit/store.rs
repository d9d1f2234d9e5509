//! The store as handlers see it: whatever they write, the record of it goes into the same transaction.

use super::{
    acting::{ACTING, Acting},
    record::{Outcome, Target, changed, entry, is_disruptive},
};
use ::store::{AuditEntry, Change, ClaimRow, Committed, Evidence, Guard, LeaseRow, ListPage, ListQuery, Op, Revision, Store, StoreResult, TextPage};
use async_trait::async_trait;
use schemas::{DynObject, Time, v1::Observation};
use secrecy::SecretString;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::watch;

/// A store that records what is written.
pub(crate) struct Audited {
    inner: Arc<dyn Store>,
    /// All writes; else only those that may disrupt.
    all: bool,
}

impl Audited {
    pub fn new(inner: Arc<dyn Store>, all: bool) -> Self {
        Audited { inner, all }
    }

    /// The object as it was before: as the handler read it, or as it is.
    async fn before(&self, acting: Option<&Acting>, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
        match acting.and_then(|a| a.seen(kind, name)) {
            Some(seen) => Ok(Some(seen)),
            None => self.inner.get(kind, name).await,
        }
    }

    /// Records of the operations that change something.
    async fn records(&self, ops: &[Op]) -> StoreResult<Vec<AuditEntry>> {
        let acting = ACTING.try_with(Arc::clone).ok();
        let acting = acting.as_deref();
        let sealed: BTreeSet<&str> =
            ops.iter().filter_map(|op| if let Op::PutSecret { name, .. } = op { Some(name.as_str()) } else { None }).collect();
        let done = |changed: Vec<String>| Outcome { word: "success", changed, ..Outcome::default() };
        let with_secret = |object: &DynObject, mut fields: Vec<String>| {
            if object.kind == "Credential" && sealed.contains(object.metadata.name.as_str()) {
                fields.push("spec.data".into());
            }
            fields
        };
        let mut entries = Vec::new();
        let mut observed = BTreeSet::new();
        for op in ops {
            match op {
                Op::Create(object) if self.all || is_disruptive(&object.kind) => {
                    entries.push(entry(acting, "create", &Target::of(object), done(with_secret(object, changed(None, object)))));
                }
                Op::Update { object, .. } if self.all || is_disruptive(&object.kind) => {
                    let old = self.before(acting, &object.kind, &object.metadata.name).await?;
                    let deleting =
                        object.metadata.deletion_timestamp.is_some() && old.as_ref().is_some_and(|o| o.metadata.deletion_timestamp.is_none());
                    let fields = with_secret(object, changed(old.as_ref(), object));
                    entries.push(entry(acting, if deleting { "delete" } else { "update" }, &Target::of(object), done(fields)));
                }
                Op::Delete { kind, name, .. } if self.all || is_disruptive(kind) => {
                    let old = self.before(acting, kind, name).await?;
                    let bare = || Target { kind: kind.clone(), name: name.clone(), ..Target::default() };
                    entries.push(entry(acting, "delete", &old.as_ref().map_or_else(bare, Target::of), done(Vec::new())));
                }
                Op::PutObservation(o) => {
                    observed.insert(&o.host);
                }
                _ => {}
            }
        }
        // One request may bring a thousand: it is one record, which names some of the hosts.
        if let Some(first) = observed.first().filter(|_| self.all) {
            let target =
                Target { kind: "Observation".into(), name: if observed.len() == 1 { first.to_string() } else { "*".into() }, ..Target::default() };
            let some: Vec<&&String> = observed.iter().take(50).collect();
            let outcome = Outcome { word: "success", more: vec![("hosts", json!({"count": observed.len(), "some": some}))], ..Outcome::default() };
            entries.push(entry(acting, "create", &target, outcome));
        }
        Ok(entries)
    }
}

fn saw(object: Option<&DynObject>) {
    if let Some(object) = object {
        // Nobody acts in a task of our own.
        let _ = ACTING.try_with(|acting| acting.saw(object));
    }
}

#[async_trait]
impl Store for Audited {
    async fn commit(&self, guard: Guard, now: Time, mut ops: Vec<Op>) -> StoreResult<Committed> {
        let records = self.records(&ops).await?;
        ops.extend(records.into_iter().map(Op::Audit));
        self.inner.commit(guard, now, ops).await
    }

    async fn get(&self, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
        let found = self.inner.get(kind, name).await?;
        saw(found.as_ref());
        Ok(found)
    }

    async fn get_by_uid(&self, uid: &str) -> StoreResult<Option<DynObject>> {
        let found = self.inner.get_by_uid(uid).await?;
        saw(found.as_ref());
        Ok(found)
    }

    async fn list(&self, kind: &str, query: ListQuery) -> StoreResult<ListPage> {
        self.inner.list(kind, query).await
    }

    async fn list_text(&self, kind: &str, query: ListQuery) -> StoreResult<TextPage> {
        self.inner.list_text(kind, query).await
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

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
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
