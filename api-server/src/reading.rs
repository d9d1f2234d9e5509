//! Where objects come from: most from the resource table, events and the lease from tables of their own.

use crate::{
    context::Context,
    errors::{ApiError, ApiResult, Code},
    select::Selection,
};
use schemas::{
    DynObject, KindInfo,
    v1::{AuditRecord, AuditRecordSpec},
};
use serde::Serialize;
use std::sync::Arc;
use store::{AuditQuery, AuditRow, CONTROLLER_LEASE, ListQuery, ObjectText, Store};

/// Objects read at once when a selector has to be looked at here.
const CHUNK: i64 = 500;
/// Events looked through for one list.
const EVENTS: i64 = 10_000;

/// A page of objects.
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    /// Key of the last item, if more may follow.
    pub next: Option<String>,
    /// How many follow, if that is known.
    pub remaining: Option<i64>,
    /// Watching from here misses nothing.
    pub revision: i64,
}

/// An object of a list. Where nothing in it is looked at, its text goes from the table to the reader as it is.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Item {
    Text(ObjectText),
    Object(DynObject),
}

impl Item {
    /// The object to look into; `None`: what is stored cannot be read.
    pub fn parsed(self) -> Option<DynObject> {
        match self {
            Item::Object(object) => Some(object),
            Item::Text(text) => serde_json::to_value(&text)
                .and_then(serde_json::from_value)
                .inspect_err(|error| tracing::error!(%error, kind = text.kind, name = text.name, "an object cannot be read"))
                .ok(),
        }
    }
}

/// What a client may see of an object.
pub(crate) fn shown(mut object: DynObject) -> DynObject {
    // The registry takes the data out before anything is written; this stands behind it.
    if object.kind == "Credential"
        && let Some(spec) = object.spec.as_object_mut()
    {
        spec.shift_remove("data");
    }
    object
}

/// One object by name or uid.
pub(crate) async fn one(ctx: &Context, kind: &KindInfo, name_or_uid: &str) -> ApiResult<DynObject> {
    let store = ctx.registry.store();
    let found = match kind.kind {
        "Event" => store.event(name_or_uid).await?,
        "AuditRecord" => record(ctx, name_or_uid).await?,
        "Lease" => Some(lease(store).await?).filter(|l| l.metadata.name == name_or_uid),
        _ => return Ok(shown(ctx.registry.find(kind, name_or_uid).await?)),
    };
    found.ok_or_else(|| ApiError::new(Code::NotFound, format!("{}/{name_or_uid} does not exist.", kind.kind)))
}

/// Objects after `after`, by name (events: newest first), at most `limit`.
pub(crate) async fn page(ctx: &Context, kind: &KindInfo, selection: &Selection, after: Option<String>, limit: usize) -> ApiResult<Page<Item>> {
    let store = ctx.registry.store();
    let parsed = match kind.kind {
        "Event" => events(store, selection, limit).await,
        "AuditRecord" => records(ctx, selection, after, limit).await,
        _ if kind.kind == "Lease" || selection.name().is_some() => few(ctx, kind, selection).await,
        // `shown` has to look into a Credential.
        _ if kind.kind != "Credential" && (selection.is_all() || selection.is_host_only()) => {
            return indexed(store, kind, selection, after, limit).await;
        }
        _ => filtered(store, kind, selection, after, limit).await,
    }?;
    let Page { items, next, remaining, revision } = parsed;
    Ok(Page { items: items.into_iter().map(Item::Object).collect(), next, remaining, revision })
}

/// Every selected object, at one moment: watching from `revision` tells each later change once.
pub(crate) async fn snapshot(ctx: &Context, kind: &KindInfo, selection: &Selection) -> ApiResult<Page<DynObject>> {
    if kind.kind == "Lease" || selection.name().is_some() {
        return few(ctx, kind, selection).await;
    }
    let query = ListQuery { host: selection.host().map(str::to_string), ..Default::default() };
    let page = ctx.registry.store().list(kind.kind, query).await?;
    let revision = newest(page.revision, page.items.iter().map(|o| o.metadata.revision()));
    let items = page.items.into_iter().filter(|o| selection.matches(o)).map(shown).collect();
    Ok(Page { items, next: None, remaining: None, revision })
}

/// What one row answers: the lease, or an object that is asked for by its name.
async fn few(ctx: &Context, kind: &KindInfo, selection: &Selection) -> ApiResult<Page<DynObject>> {
    let store = ctx.registry.store();
    let (found, revision) = match selection.name() {
        Some(name) if kind.kind != "Lease" => {
            let revision = store.revision().await?.current;
            (store.get(kind.kind, name).await?, revision)
        }
        _ => {
            let lease = lease(store).await?;
            let revision = lease.metadata.revision();
            (Some(lease), revision)
        }
    };
    let items: Vec<_> = found.into_iter().filter(|o| selection.matches(o)).map(shown).collect();
    let revision = newest(revision, items.iter().map(|o| o.metadata.revision()));
    Ok(Page { items, next: None, remaining: None, revision })
}

/// The rows are read in one statement after `revision`, and revisions are in commit order: whatever
/// happened up to the newest of them is in the rows.
fn newest(revision: i64, rows: impl Iterator<Item = i64>) -> i64 {
    rows.fold(revision, i64::max)
}

async fn indexed(store: &Arc<dyn Store>, kind: &KindInfo, selection: &Selection, after: Option<String>, limit: usize) -> ApiResult<Page<Item>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let query = ListQuery { after, limit, host: selection.host().map(str::to_string), ..Default::default() };
    let page = store.list_text(kind.kind, query).await?;
    let next = (page.remaining > 0).then(|| page.items.last().map(|o| o.name.clone())).flatten();
    let revision = newest(page.revision, page.items.iter().map(|o| o.resource_version));
    let remaining = next.as_ref().map(|_| page.remaining);
    Ok(Page { items: page.items.into_iter().map(Item::Text).collect(), remaining, next, revision })
}

async fn filtered(store: &Arc<dyn Store>, kind: &KindInfo, selection: &Selection, after: Option<String>, limit: usize) -> ApiResult<Page<DynObject>> {
    let (mut items, mut after, mut first) = (Vec::new(), after, None);
    loop {
        let query = ListQuery { after, limit: CHUNK, host: selection.host().map(str::to_string), ..Default::default() };
        let chunk = store.list(kind.kind, query).await?;
        let revision = *first.get_or_insert_with(|| newest(chunk.revision, chunk.items.iter().map(|o| o.metadata.revision())));
        after = chunk.items.last().map(|o| o.metadata.name.clone());
        items.extend(chunk.items.into_iter().filter(|o| selection.matches(o)).map(shown));
        if items.len() > limit || chunk.remaining == 0 || after.is_none() {
            let more = items.len() > limit;
            items.truncate(limit);
            let next = if more { items.last().map(|o| o.metadata.name.clone()) } else { None };
            return Ok(Page { items, next, remaining: None, revision });
        }
    }
}

/// Newest first, and no further pages: events are notes that may be lost.
async fn events(store: &Arc<dyn Store>, selection: &Selection, limit: usize) -> ApiResult<Page<DynObject>> {
    let revision = store.revision().await?.current;
    let uid = match selection.wanted("spec.regarding").and_then(|r| r.split_once('/')) {
        Some((kind, name)) => store.get(kind, name).await?.map(|o| o.metadata.uid),
        None => None,
    };
    let count = if selection.is_all() { i64::try_from(limit).unwrap_or(EVENTS) } else { EVENTS };
    let found = store.events(uid.as_deref(), count).await?;
    // An object that is gone is found by its name, which is in the selection.
    let items = found.into_iter().filter(|e| selection.matches(e)).take(limit).collect();
    Ok(Page { items, next: None, remaining: None, revision })
}

/// The audit record of this name.
async fn record(ctx: &Context, name: &str) -> ApiResult<Option<DynObject>> {
    let Some(sequence) = AuditRecord::sequence(name).filter(|n| *n > 0) else { return Ok(None) };
    let revision = ctx.registry.store().revision().await?.current;
    let rows = ctx.audit.audit_records(AuditQuery { after: sequence - 1, limit: 1, ..AuditQuery::default() }).await?;
    Ok(rows.into_iter().find(|row| row.seq == sequence).map(|row| audited(row, revision)))
}

/// Audit records, newest first.
async fn records(ctx: &Context, selection: &Selection, after: Option<String>, limit: usize) -> ApiResult<Page<DynObject>> {
    let revision = ctx.registry.store().revision().await?.current;
    if let Some(name) = selection.name() {
        let items: Vec<_> = record(ctx, name).await?.into_iter().filter(|o| selection.matches(o)).collect();
        return Ok(Page { items, next: None, remaining: None, revision });
    }
    // What is given as a marker need not be there.
    let after = after.as_deref().and_then(AuditRecord::sequence).unwrap_or(0);
    let wanted = |field: &str| selection.wanted(field).map(str::to_string);
    let query = AuditQuery {
        after,
        limit: i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1,
        target: wanted("spec.target"),
        initiator: wanted("spec.initiator"),
        action: wanted("spec.action"),
        outcome: wanted("spec.outcome"),
        newest_first: true,
    };
    let mut rows = ctx.audit.audit_records(query).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| AuditRecord::name(row.seq));
    // What the query of the store does not say is looked at here; a page may then be short.
    let items = rows.into_iter().map(|row| audited(row, revision)).filter(|o| selection.matches_the_rest(o)).collect();
    Ok(Page { items, next, remaining: None, revision })
}

fn audited(row: AuditRow, revision: i64) -> DynObject {
    let record = serde_json::from_str(&row.body).unwrap_or_else(|_| row.body.clone().into());
    let AuditRow { seq, id, at, action, outcome, target, target_uid, host, initiator, key_id, previous, mac, .. } = row;
    let spec = AuditRecordSpec { sequence: seq, at: Some(at), action, outcome, target, target_uid, host, initiator, record, key_id, previous, mac };
    AuditRecord::object(spec, id, revision)
}

/// The row has no version of its own: it is read after the revision it is shown with.
async fn lease(store: &Arc<dyn Store>) -> ApiResult<DynObject> {
    let revision = store.revision().await?.current;
    let row = store.lease(CONTROLLER_LEASE).await?;
    Ok(row.to_object(CONTROLLER_LEASE, revision))
}
