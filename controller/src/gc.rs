//! Leader-only housekeeping: history, events, settled calls and ended one-shot objects.

use engine::Shared;
use schemas::{Time, v1::LONGEST_TTL_SECONDS};
use store::{ListQuery, Op, StoreError};

/// Revisions of history that are kept.
const KEEP_REVISIONS: i64 = 10_000;
const DAY: i64 = 86_400;
/// Days that events, settled calls and ended objects are kept.
const EVENT_DAYS: i64 = 7;
const OPERATION_DAYS: i64 = 30;
const ONE_SHOT_DAYS: i64 = 30;

/// One pass.
/// `audit_days`: audit records are kept for so long; 0: for ever.
pub(crate) async fn pass(shared: &Shared, audit_days: i64) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let current = shared.store.revision().await?.current;
    if current > KEEP_REVISIONS {
        while shared.store.compact(current - KEEP_REVISIONS).await? == 500 {}
    }
    shared.store.prune_events(now.plus_seconds(-EVENT_DAYS * DAY)).await?;
    shared.store.prune_observations(now.plus_seconds(-2 * LONGEST_TTL_SECONDS)).await?;
    remove(shared, "Operation", "/closedAt", now.plus_seconds(-OPERATION_DAYS * DAY)).await?;
    for kind in ["HostOperation", "Evacuation", "FenceAttestation", "FenceDrill"] {
        remove(shared, kind, "/finishedAt", now.plus_seconds(-ONE_SHOT_DAYS * DAY)).await?;
    }
    remove_orphans(shared, "EvacuationPlan").await?;
    // Last: an audit that was tampered with is kept, and holds up nothing else.
    if audit_days > 0 {
        let op = Op::PruneAudit { before: now.plus_seconds(-audit_days * DAY), by: shared.gate.holder().into() };
        shared.commit(vec![op]).await?;
    }
    Ok(())
}

/// Removes objects of a kind that belong to one that is gone.
async fn remove_orphans(shared: &Shared, kind: &str) -> Result<(), StoreError> {
    for object in shared.store.list(kind, ListQuery::default()).await?.items {
        let Some(owner) = object.metadata.owner_references.first() else { continue };
        if shared.store.get_by_uid(&owner.uid).await?.is_none() {
            let op = Op::Delete { kind: kind.into(), name: object.metadata.name.clone(), expected: object.metadata.revision() };
            shared.commit(vec![op]).await?;
        }
    }
    Ok(())
}

/// Removes objects whose status has a time at `pointer` before `before`.
async fn remove(shared: &Shared, kind: &str, pointer: &str, before: Time) -> Result<(), StoreError> {
    for object in shared.store.list(kind, ListQuery::default()).await?.items {
        let at = object.status.pointer(pointer).and_then(|v| v.as_str()).and_then(|t| Time::parse(t).ok());
        if at.is_some_and(|at| at < before) {
            let op = Op::Delete { kind: kind.into(), name: object.metadata.name.clone(), expected: object.metadata.revision() };
            shared.commit(vec![op]).await?;
        }
    }
    Ok(())
}
