//! The write rule, in one place.

use super::{
    Conn, audit,
    observations::put_observation,
    read::one,
    require::{limit_open, require_claim, require_none_open, require_not_frozen, require_unwritten, take_claim},
    side::{put_evidence, put_secret, tell},
};
use crate::{
    AuditEntry, Change, ChangeOp, Committed, Guard, Op, OutboxRule, StoreError, StoreResult,
    api::id,
    audit::Remembered,
    keys::KeyRing,
    schema::{changes, host_claims, leases, resources, revision, secrets},
    write::{Index, Order, Sent, Verdict, json},
};
use diesel::prelude::*;
#[allow(unused_imports, reason = "SQLite has a transaction of its own")]
use diesel_async::{AsyncConnection, RunQueryDsl};
use schemas::{DynObject, Time};
use std::sync::Arc;

/// Runs a transaction by the write rule.
pub(crate) async fn commit(c: &mut Conn, order: Order, sent: &Sent) -> StoreResult<Committed> {
    let verdict = Verdict::new(sent);
    let inner = verdict.clone();
    let done: StoreResult<Committed> = in_transaction!(c, async move |c| inner.note(transaction(c, order).await));
    verdict.settle(done)
}

/// The body of every write: counter first, then the token, then the operations.
async fn transaction(c: &mut Conn, order: Order) -> StoreResult<Committed> {
    let Order { guard, now, ops, keys, audit_end, outbox } = order;
    let mut tx = Tx { spare: Some(bump(c).await?), revision: 0, now, keys, audit_end, outbox, records: Vec::new() };
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
    // As late as can be, and once: the row that orders all writers has been ours since the beginning.
    if !tx.records.is_empty() {
        audit::append(c, &tx.keys, &tx.audit_end, std::mem::take(&mut tx.records), now).await?;
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
pub(crate) async fn bump(c: &mut Conn) -> StoreResult<i64> {
    Ok(super::super::bump(c).await?)
}

/// Writes a change row.
pub(crate) async fn record(c: &mut Conn, change: &Change, now: Time) -> StoreResult<()> {
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
    audit_end: Arc<Remembered>,
    outbox: Option<Arc<OutboxRule>>,
    /// Audit records of this transaction, written at its end.
    records: Vec<AuditEntry>,
}

impl Tx {
    async fn next_revision(&mut self, c: &mut Conn) -> StoreResult<i64> {
        self.revision = match self.spare.take() {
            Some(spare) => spare,
            None => bump(c).await?,
        };
        Ok(self.revision)
    }

    async fn apply(&mut self, c: &mut Conn, op: Op, done: &mut Committed) -> StoreResult<()> {
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
            Op::RequireVersion { kind, name, expected } => match version_of(c, &kind, &name).await? {
                Some(current) if current == expected => {}
                Some(current) => return Err(StoreError::Conflict { what: id(&kind, &name), current }),
                None => return Err(StoreError::NotFound(id(&kind, &name))),
            },
            Op::RequireUnwritten { kind, after, hosts } => require_unwritten(c, &kind, after, &hosts).await?,
            Op::LimitOpen { step_prefix, host, max } => limit_open(c, &step_prefix, host.as_deref(), max).await?,
            Op::PutEvidence { host, expected, body } => put_evidence(c, &host, expected, &body).await?,
            Op::PutObservation(observation) => put_observation(c, observation).await?,
            Op::Tell(telling) => tell(c, &telling, self.outbox.as_deref(), self.now).await?,
            Op::Audit(entry) => self.records.push(entry),
            Op::PruneAudit { before, by } => audit::prune(c, &self.keys, &self.audit_end, before, &by, self.now).await?,
            Op::PutSecret { name, data } => put_secret(c, &name, self.keys.seal(&name, &data)?).await?,
            Op::DeleteSecret { name } => {
                diesel::delete(secrets::table.find(name)).execute(c).await?;
            }
        }
        Ok(())
    }

    async fn create(&mut self, c: &mut Conn, mut object: DynObject) -> StoreResult<DynObject> {
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

    async fn update(&mut self, c: &mut Conn, mut object: DynObject, expected: i64) -> StoreResult<DynObject> {
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

    async fn delete(&mut self, c: &mut Conn, kind: &str, name: &str, expected: i64) -> StoreResult<()> {
        let Some(mut object) = one(c, kind, name).await? else {
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
async fn lost(c: &mut Conn, kind: &str, name: &str) -> StoreResult<StoreError> {
    Ok(match version_of(c, kind, name).await? {
        Some(current) => StoreError::Conflict { what: id(kind, name), current },
        None => StoreError::NotFound(id(kind, name)),
    })
}

async fn version_of(c: &mut Conn, kind: &str, name: &str) -> StoreResult<Option<i64>> {
    Ok(resources::table.find((kind, name)).select(resources::resource_version).first(c).await.optional()?)
}
