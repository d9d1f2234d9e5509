//! The write rule, in one place.

use crate::{
    Change, ChangeOp, ClaimRequest, Committed, Guard, Op, SqlStore, StoreError, StoreResult,
    api::id,
    conn::with_conn,
    dialect::{SqliteConn, write_transaction},
    keys::{KeyRing, Sealed},
    schema::{changes, evidence, host_claims, leases, resources, revision, secrets},
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use schemas::{
    DynObject, Time,
    v1::{OperationState, Operations},
};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

impl SqlStore {
    /// Runs a transaction by the write rule.
    pub(crate) async fn commit_ops(&self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        let (db, keys, writer, notify) = (self.db.clone(), self.keys.clone(), self.writer.clone(), self.committed.clone());
        self.writing(async move {
            let _turn = writer.lock().await;
            // What a transaction itself came to; a rollback that fails as well must not hide it.
            let verdict: Arc<Mutex<Option<StoreResult<()>>>> = Arc::default();
            let inner = verdict.clone();
            let done: StoreResult<Committed> = with_conn!(db, conn => write_transaction!(conn, async move |c| {
                let done = transaction(c, guard, now, ops, keys).await;
                *inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(done.as_ref().map(drop).map_err(Clone::clone));
                done
            }));
            let verdict = verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
            let done = done.map_err(|error| match verdict {
                Some(Err(cause)) => cause,
                // All was written, and the commit failed: it may be on disk.
                Some(Ok(())) => StoreError::OutcomeUnknown(error.to_string()),
                None => error,
            });
            if let Ok(done) = &done {
                notify.send_if_modified(|newest| std::mem::replace(newest, done.revision.max(*newest)) < done.revision);
            }
            done
        })
        .await
    }
}

/// The body of every write: counter first, then the token, then the operations.
async fn transaction(c: &mut SqliteConn, guard: Guard, now: Time, ops: Vec<Op>, keys: Arc<KeyRing>) -> StoreResult<Committed> {
    let mut tx = Tx { spare: Some(bump(c).await?), revision: 0, now, keys };
    if let Guard::Lease(mine) = guard {
        let current: i64 = leases::table.find(crate::CONTROLLER_LEASE).select(leases::token).first(c).await?;
        if current != mine {
            return Err(StoreError::LeaseLost { mine, current });
        }
    }
    let mut done = Committed::default();
    for op in ops {
        tx.apply(c, op, &mut done).await?;
    }
    // A transaction that wrote no change row gives its number back, so that history has no hole.
    if let Some(unused) = tx.spare.take() {
        diesel::update(revision::table.find(1)).set(revision::current.eq(unused - 1)).execute(c).await?;
        tx.revision = unused - 1;
    }
    done.revision = tx.revision;
    Ok(done)
}

/// Takes the next revision. The row is the lock that orders all writers.
pub(crate) async fn bump(c: &mut SqliteConn) -> StoreResult<i64> {
    diesel::update(revision::table.find(1)).set(revision::current.eq(revision::current + 1)).execute(c).await?;
    Ok(revision::table.find(1).select(revision::current).first(c).await?)
}

/// Writes a change row.
pub(crate) async fn record(c: &mut SqliteConn, change: &Change, now: Time) -> StoreResult<()> {
    let op = match change.op {
        ChangeOp::Added => "added",
        ChangeOp::Modified => "modified",
        ChangeOp::Deleted => "deleted",
    };
    diesel::insert_into(changes::table)
        .values((
            changes::rv.eq(change.revision),
            changes::kind.eq(&change.object.kind),
            changes::name.eq(&change.object.metadata.name),
            changes::op.eq(op),
            changes::object.eq(json(&change.object)?),
            changes::at_micros.eq(now.0),
        ))
        .execute(c)
        .await?;
    Ok(())
}

struct Tx {
    /// A revision that was taken and not used yet.
    spare: Option<i64>,
    revision: i64,
    now: Time,
    keys: Arc<KeyRing>,
}

impl Tx {
    async fn next_revision(&mut self, c: &mut SqliteConn) -> StoreResult<i64> {
        self.revision = match self.spare.take() {
            Some(spare) => spare,
            None => bump(c).await?,
        };
        Ok(self.revision)
    }

    async fn apply(&mut self, c: &mut SqliteConn, op: Op, done: &mut Committed) -> StoreResult<()> {
        match op {
            Op::Create(object) => done.objects.push(self.create(c, object).await?),
            Op::Update { object, expected } => done.objects.push(self.update(c, object, expected).await?),
            Op::Delete { kind, name, expected } => self.delete(c, &kind, &name, expected).await?,
            Op::RequireNotFrozen => require_not_frozen(c).await?,
            Op::TakeClaim(request) => take_claim(c, request, self.now).await?,
            Op::ReleaseClaim { host, owner_uid } => {
                let mine = host_claims::table.filter(host_claims::host.eq(host)).filter(host_claims::owner_uid.eq(owner_uid));
                diesel::delete(mine).execute(c).await?;
            }
            Op::RequireClaim { host, owner_uid } => require_claim(c, &host, &owner_uid).await?,
            Op::RequireNoneOpen { kind, host } => require_none_open(c, &kind, &host).await?,
            Op::LimitOpen { step_prefix, host, max } => limit_open(c, &step_prefix, host.as_deref(), max).await?,
            Op::PutEvidence { host, expected, body } => put_evidence(c, &host, expected, &body).await?,
            Op::PutSecret { name, data } => put_secret(c, &name, self.keys.seal(&name, &data)?).await?,
            Op::DeleteSecret { name } => {
                diesel::delete(secrets::table.find(name)).execute(c).await?;
            }
        }
        Ok(())
    }

    async fn create(&mut self, c: &mut SqliteConn, mut object: DynObject) -> StoreResult<DynObject> {
        if version_of(c, &object.kind, &object.metadata.name).await?.is_some() {
            return Err(StoreError::AlreadyExists(object.id()));
        }
        let rv = self.next_revision(c).await?;
        object.metadata.resource_version = rv.to_string();
        let index = Index::of(&object);
        diesel::insert_into(resources::table)
            .values((
                resources::kind.eq(&object.kind),
                resources::name.eq(&object.metadata.name),
                resources::uid.eq(&object.metadata.uid),
                resources::resource_version.eq(rv),
                resources::owner_uid.eq(index.owner_uid),
                resources::host.eq(index.host),
                resources::is_open.eq(index.open),
                resources::metadata.eq(json(&object.metadata)?),
                resources::spec.eq(json(&object.spec)?),
                resources::status.eq(json(&object.status)?),
            ))
            .execute(c)
            .await?;
        record(c, &Change { revision: rv, op: ChangeOp::Added, object: object.clone() }, self.now).await?;
        Ok(object)
    }

    async fn update(&mut self, c: &mut SqliteConn, mut object: DynObject, expected: i64) -> StoreResult<DynObject> {
        let rv = self.next_revision(c).await?;
        object.metadata.resource_version = rv.to_string();
        let index = Index::of(&object);
        let target = resources::table
            .filter(resources::kind.eq(&object.kind))
            .filter(resources::name.eq(&object.metadata.name))
            .filter(resources::resource_version.eq(expected));
        let changed = diesel::update(target)
            .set((
                resources::resource_version.eq(rv),
                resources::owner_uid.eq(index.owner_uid),
                resources::host.eq(index.host),
                resources::is_open.eq(index.open),
                resources::metadata.eq(json(&object.metadata)?),
                resources::spec.eq(json(&object.spec)?),
                resources::status.eq(json(&object.status)?),
            ))
            .execute(c)
            .await?;
        if changed == 0 {
            return Err(lost(c, &object.kind, &object.metadata.name).await?);
        }
        record(c, &Change { revision: rv, op: ChangeOp::Modified, object: object.clone() }, self.now).await?;
        Ok(object)
    }

    async fn delete(&mut self, c: &mut SqliteConn, kind: &str, name: &str, expected: i64) -> StoreResult<()> {
        let Some(mut object) = crate::read::one(c, kind, name).await? else {
            return Err(StoreError::NotFound(id(kind, name)));
        };
        if object.metadata.revision() != expected {
            return Err(StoreError::Conflict { what: id(kind, name), current: object.metadata.revision() });
        }
        let rv = self.next_revision(c).await?;
        diesel::delete(resources::table.find((kind, name))).execute(c).await?;
        object.metadata.resource_version = rv.to_string();
        record(c, &Change { revision: rv, op: ChangeOp::Deleted, object }, self.now).await
    }
}

/// Why a compare-and-set changed nothing.
async fn lost(c: &mut SqliteConn, kind: &str, name: &str) -> StoreResult<StoreError> {
    Ok(match version_of(c, kind, name).await? {
        Some(current) => StoreError::Conflict { what: id(kind, name), current },
        None => StoreError::NotFound(id(kind, name)),
    })
}

async fn version_of(c: &mut SqliteConn, kind: &str, name: &str) -> StoreResult<Option<i64>> {
    Ok(resources::table.find((kind, name)).select(resources::resource_version).first(c).await.optional()?)
}

/// What is indexed of an object beside its name.
struct Index {
    owner_uid: Option<String>,
    host: Option<String>,
    open: bool,
}

impl Index {
    fn of(object: &DynObject) -> Index {
        let text = |v: &Value| v.as_str().filter(|s| !s.is_empty()).map(String::from);
        let one_shot = schemas::kinds::find(&object.kind).is_some_and(|k| k.one_shot);
        let open = if object.kind == "Operation" {
            serde_json::from_value(object.status["state"].clone()).unwrap_or(OperationState::Issued).is_open()
        } else {
            one_shot && !object.status["finishedAt"].is_string()
        };
        let host = text(&object.spec["host"]).or_else(|| text(&object.spec["hostRef"]["name"]));
        Index { owner_uid: text(&object.spec["ownerUid"]), host, open }
    }
}

async fn require_not_frozen(c: &mut SqliteConn) -> StoreResult<()> {
    let spec: Option<String> = resources::table.find(("ClusterPolicy", "default")).select(resources::spec).first(c).await.optional()?;
    let spec: Value = spec.as_deref().map(parse).transpose()?.unwrap_or_default();
    let frozen = serde_json::to_value(Operations::Frozen).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    if spec["operations"] == frozen { Err(StoreError::Frozen) } else { Ok(()) }
}

async fn require_claim(c: &mut SqliteConn, host: &str, owner_uid: &str) -> StoreResult<()> {
    let holder: Option<(String, String)> =
        host_claims::table.find(host).select((host_claims::owner, host_claims::owner_uid)).first(c).await.optional()?;
    match holder {
        Some((owner, uid)) if uid != owner_uid => Err(StoreError::Claimed { host: host.into(), owner }),
        Some(_) => Ok(()),
        None => Err(StoreError::Conflict { what: format!("the claim on host {host}"), current: 0 }),
    }
}

async fn take_claim(c: &mut SqliteConn, request: ClaimRequest, now: Time) -> StoreResult<()> {
    let held: Option<(String, String, i64, String)> = host_claims::table
        .find(&request.host)
        .select((host_claims::owner, host_claims::owner_uid, host_claims::claim_rank, host_claims::purpose))
        .first(c)
        .await
        .optional()?;
    if let Some((owner, uid, rank, purpose)) = held {
        if uid == request.owner_uid && purpose == request.purpose {
            return Ok(());
        }
        if uid != request.owner_uid && rank >= request.rank {
            return Err(StoreError::Claimed { host: request.host, owner });
        }
        diesel::delete(host_claims::table.find(&request.host)).execute(c).await?;
    }
    if let Some(max) = request.max {
        let others: i64 = host_claims::table.filter(host_claims::purpose.eq(&request.purpose)).count().get_result(c).await?;
        if others >= max {
            return Err(StoreError::LimitReached { what: format!("hosts claimed for {}", request.purpose), max });
        }
    }
    diesel::insert_into(host_claims::table)
        .values((
            host_claims::host.eq(request.host),
            host_claims::owner.eq(request.owner),
            host_claims::owner_uid.eq(request.owner_uid),
            host_claims::claim_rank.eq(request.rank),
            host_claims::purpose.eq(request.purpose),
            host_claims::taken_at.eq(now.0),
        ))
        .execute(c)
        .await?;
    Ok(())
}

async fn require_none_open(c: &mut SqliteConn, kind: &str, host: &str) -> StoreResult<()> {
    let open: Option<(String, i64)> = resources::table
        .filter(resources::kind.eq(kind))
        .filter(resources::host.eq(host))
        .filter(resources::is_open.eq(true))
        .select((resources::name, resources::resource_version))
        .first(c)
        .await
        .optional()?;
    match open {
        Some((name, current)) => Err(StoreError::Conflict { what: id(kind, &name), current }),
        None => Ok(()),
    }
}

async fn limit_open(c: &mut SqliteConn, prefix: &str, host: Option<&str>, max: i64) -> StoreResult<()> {
    let mut query = resources::table
        .filter(resources::kind.eq("Operation"))
        .filter(resources::is_open.eq(true))
        .select(resources::spec)
        .into_boxed();
    if let Some(host) = host {
        query = query.filter(resources::host.eq(host.to_string()));
    }
    let specs: Vec<String> = query.load(c).await?;
    let mut open = 0;
    for spec in &specs {
        if parse::<Value>(spec)?["step"].as_str().is_some_and(|s| s.starts_with(prefix)) {
            open += 1;
        }
    }
    if open >= max { Err(StoreError::LimitReached { what: format!("{prefix} under way"), max }) } else { Ok(()) }
}

async fn put_evidence(c: &mut SqliteConn, host: &str, expected: i64, body: &Value) -> StoreResult<()> {
    let conflict = |current| StoreError::Conflict { what: format!("the evidence about host {host}"), current };
    let body = json(body)?;
    let current: Option<i64> = evidence::table.find(host).select(evidence::version).first(c).await.optional()?;
    match current {
        None if expected == 0 => {
            diesel::insert_into(evidence::table)
                .values((evidence::host.eq(host), evidence::version.eq(1), evidence::body.eq(body)))
                .execute(c)
                .await?;
        }
        Some(current) if current == expected => {
            diesel::update(evidence::table.find(host))
                .set((evidence::version.eq(expected + 1), evidence::body.eq(body)))
                .execute(c)
                .await?;
        }
        other => return Err(conflict(other.unwrap_or(0))),
    }
    Ok(())
}

async fn put_secret(c: &mut SqliteConn, name: &str, sealed: Sealed) -> StoreResult<()> {
    diesel::delete(secrets::table.find(name)).execute(c).await?;
    diesel::insert_into(secrets::table)
        .values((
            secrets::name.eq(name),
            secrets::key_id.eq(sealed.key_id),
            secrets::nonce.eq(sealed.nonce),
            secrets::ciphertext.eq(sealed.ciphertext),
        ))
        .execute(c)
        .await?;
    Ok(())
}

pub(crate) fn json(value: &impl serde::Serialize) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(e.to_string()))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> StoreResult<T> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(e.to_string()))
}
