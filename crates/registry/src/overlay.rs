//! A store that takes writes and keeps them to itself: what is tried on it is checked like any write, and lands nowhere.

use async_trait::async_trait;
use schemas::{DynObject, Time, kinds, v1::Observation};
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use store::{Change, ClaimRow, Committed, Evidence, Guard, LeaseRow, ListPage, ListQuery, Op, Revision, Store, StoreError, StoreResult};

type Key = (String, String);
type Secret = BTreeMap<String, SecretString>;

/// What was written. An object that was changed keeps the version it has below; a new one has none.
#[derive(Default)]
struct Written {
    /// `None`: removed.
    objects: BTreeMap<Key, Option<DynObject>>,
    /// `None`: removed.
    secrets: BTreeMap<String, Option<Secret>>,
    ops: Vec<Op>,
}

/// What a transaction has written so far, as it was before.
#[derive(Default)]
struct Undo {
    objects: Vec<(Key, Option<Option<DynObject>>)>,
    secrets: Vec<(String, Option<Option<Secret>>)>,
}

impl Written {
    fn put(&mut self, kind: &str, name: &str, object: Option<DynObject>, undo: &mut Undo) {
        let key = (kind.to_string(), name.to_string());
        undo.objects.push((key.clone(), self.objects.insert(key, object)));
    }

    fn put_secret(&mut self, name: &str, secret: Option<Secret>, undo: &mut Undo) {
        undo.secrets.push((name.into(), self.secrets.insert(name.into(), secret)));
    }

    fn undo(&mut self, undo: Undo) {
        for (key, before) in undo.objects.into_iter().rev() {
            match before {
                Some(before) => self.objects.insert(key, before),
                None => self.objects.remove(&key),
            };
        }
        for (name, before) in undo.secrets.into_iter().rev() {
            match before {
                Some(before) => self.secrets.insert(name, before),
                None => self.secrets.remove(&name),
            };
        }
    }
}

/// A store over another one, which is only read.
pub(crate) struct Overlay {
    below: Arc<dyn Store>,
    written: Mutex<Written>,
}

impl Overlay {
    pub fn over(below: Arc<dyn Store>) -> Arc<Overlay> {
        Arc::new(Overlay { below, written: Mutex::default() })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written since this was asked last, as a transaction for the store below.
    pub fn take_ops(&self) -> Vec<Op> {
        std::mem::take(&mut self.written().ops)
    }

    async fn apply(&self, op: &Op, done: &mut Committed, undo: &mut Undo) -> StoreResult<()> {
        match op {
            Op::Create(object) => {
                if self.get(&object.kind, &object.metadata.name).await?.is_some() {
                    return Err(StoreError::AlreadyExists(object.id()));
                }
                done.objects.push(object.clone());
                self.written().put(&object.kind, &object.metadata.name, Some(object.clone()), undo);
            }
            Op::Update { object, expected } => {
                let version = self.expect(&object.kind, &object.metadata.name, *expected).await?;
                let mut object = object.clone();
                object.metadata.resource_version = version;
                done.objects.push(object.clone());
                let (kind, name) = (object.kind.clone(), object.metadata.name.clone());
                self.written().put(&kind, &name, Some(object), undo);
            }
            Op::Delete { kind, name, expected } => {
                self.expect(kind, name, *expected).await?;
                self.written().put(kind, name, None, undo);
            }
            Op::RequireVersion { kind, name, expected } => {
                self.expect(kind, name, *expected).await?;
            }
            Op::RequireNoneOpen { kind, host } => {
                let open = ListQuery { host: Some(host.clone()), open_only: true, ..Default::default() };
                if let Some(other) = self.list(kind, open).await?.items.first() {
                    return Err(StoreError::Conflict { what: other.id(), current: other.metadata.revision() });
                }
            }
            Op::PutSecret { name, data } => {
                self.written().put_secret(name, Some(data.clone()), undo);
            }
            Op::DeleteSecret { name } => {
                self.written().put_secret(name, None, undo);
            }
            _ => return Err(refused()),
        }
        Ok(())
    }

    async fn expect(&self, kind: &str, name: &str, expected: i64) -> StoreResult<String> {
        let what = || format!("{kind}/{name}");
        let now = self.get(kind, name).await?.ok_or_else(|| StoreError::NotFound(what()))?;
        if now.metadata.revision() == expected {
            return Ok(now.metadata.resource_version);
        }
        Err(StoreError::Conflict { what: what(), current: now.metadata.revision() })
    }

    /// Whether an operation is still to be checked below: of what was written here before, it was checked here.
    fn is_new(&self, op: &Op) -> bool {
        match op {
            Op::RequireVersion { kind, name, .. } => !self.written().objects.contains_key(&(kind.clone(), name.clone())),
            _ => true,
        }
    }
}

fn refused() -> StoreError {
    StoreError::ReadOnly("this is only tried out".into())
}

fn matches(object: &DynObject, query: &ListQuery) -> bool {
    let text = |pointer: &str| object.spec.pointer(pointer).and_then(|v| v.as_str());
    let host = || text("/host").or_else(|| text("/hostRef/name"));
    let is_open = || kinds::find(&object.kind).is_some_and(|k| k.one_shot) && !object.status["finishedAt"].is_string();
    query.after.as_ref().is_none_or(|after| object.metadata.name > *after)
        && query.host.as_ref().is_none_or(|wanted| host() == Some(wanted))
        && query.owner_uid.as_ref().is_none_or(|wanted| text("/ownerUid") == Some(wanted))
        && (!query.open_only || is_open())
}

#[async_trait]
impl Store for Overlay {
    async fn commit(&self, _guard: Guard, _now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        let (mut done, mut undo, mut kept) = (Committed::default(), Undo::default(), Vec::new());
        for op in ops {
            let is_new = self.is_new(&op);
            if let Err(error) = self.apply(&op, &mut done, &mut undo).await {
                self.written().undo(undo);
                return Err(error);
            }
            kept.extend(is_new.then_some(op));
        }
        self.written().ops.extend(kept);
        Ok(done)
    }

    async fn get(&self, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
        let written = self.written().objects.get(&(kind.to_string(), name.to_string())).cloned();
        match written {
            Some(object) => Ok(object),
            None => self.below.get(kind, name).await,
        }
    }

    async fn get_by_uid(&self, uid: &str) -> StoreResult<Option<DynObject>> {
        let here = self.written().objects.values().flatten().find(|o| o.metadata.uid == uid).cloned();
        if here.is_some() {
            return Ok(here);
        }
        let below = self.below.get_by_uid(uid).await?;
        Ok(below.filter(|o| !self.written().objects.contains_key(&(o.kind.clone(), o.metadata.name.clone()))))
    }

    async fn list(&self, kind: &str, query: ListQuery) -> StoreResult<ListPage> {
        let mut page = self.below.list(kind, query.clone()).await?;
        let written = self.written();
        let here = |name: &str| written.objects.get(&(kind.to_string(), name.to_string()));
        page.items.retain(|o| here(&o.metadata.name).is_none());
        let mine = written.objects.iter().filter(|((k, _), _)| k == kind).filter_map(|(_, object)| object.as_ref());
        page.items.extend(mine.filter(|o| matches(o, &query)).cloned());
        page.items.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        if query.limit > 0 {
            page.items.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        }
        Ok(page)
    }

    async fn changes(&self, after: i64, limit: i64) -> StoreResult<Vec<Change>> {
        self.below.changes(after, limit).await
    }

    async fn revision(&self) -> StoreResult<Revision> {
        self.below.revision().await
    }

    async fn compact(&self, _upto: i64) -> StoreResult<i64> {
        Err(refused())
    }

    fn commits(&self) -> tokio::sync::watch::Receiver<i64> {
        self.below.commits()
    }

    async fn claim(&self, host: &str) -> StoreResult<Option<ClaimRow>> {
        self.below.claim(host).await
    }

    async fn claims(&self) -> StoreResult<Vec<ClaimRow>> {
        self.below.claims().await
    }

    async fn evidence(&self, host: &str) -> StoreResult<Evidence> {
        self.below.evidence(host).await
    }

    async fn secret(&self, name: &str) -> StoreResult<Option<Secret>> {
        let written = self.written().secrets.get(name).cloned();
        match written {
            Some(secret) => Ok(secret),
            None => self.below.secret(name).await,
        }
    }

    async fn lease(&self, name: &str) -> StoreResult<LeaseRow> {
        self.below.lease(name).await
    }

    async fn lease_take(&self, _: &str, _: &str, _: &LeaseRow, _: i64, _: Time) -> StoreResult<Option<LeaseRow>> {
        Err(refused())
    }

    async fn lease_renew(&self, _: &str, _: &str, _: i64) -> StoreResult<bool> {
        Err(refused())
    }

    async fn lease_release(&self, _: &str, _: &str, _: i64) -> StoreResult<()> {
        Err(refused())
    }

    async fn events(&self, regarding_uid: Option<&str>, limit: i64) -> StoreResult<Vec<DynObject>> {
        self.below.events(regarding_uid, limit).await
    }

    async fn event(&self, name: &str) -> StoreResult<Option<DynObject>> {
        self.below.event(name).await
    }

    async fn prune_events(&self, _: Time) -> StoreResult<i64> {
        Err(refused())
    }

    async fn observations(&self, host: Option<&str>) -> StoreResult<Vec<Observation>> {
        self.below.observations(host).await
    }

    async fn prune_observations(&self, _: Time) -> StoreResult<i64> {
        Err(refused())
    }
}
