//! Reads of resources and history, and the end of history.

use super::Conn;
use crate::{
    Change, ChangeOp, ListPage, ListQuery, ObjectText, Revision, StoreError, StoreResult, TextPage,
    api::id,
    schema::{changes, resources, revision},
    write::parse,
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use schemas::{API_VERSION, DynObject};
use serde_json::value::RawValue;

type Row = (String, String, i64, String, String, String);
type Columns = (resources::kind, resources::name, resources::resource_version, resources::metadata, resources::spec, resources::status);

const COLUMNS: Columns = (resources::kind, resources::name, resources::resource_version, resources::metadata, resources::spec, resources::status);

fn object((kind, _, _, metadata, spec, status): Row) -> StoreResult<DynObject> {
    Ok(DynObject { api_version: API_VERSION.into(), kind, metadata: parse(&metadata)?, spec: parse(&spec)?, status: parse(&status)? })
}

fn text((kind, name, resource_version, metadata, spec, status): Row) -> StoreResult<ObjectText> {
    let raw = |part| RawValue::from_string(part).map_err(|e| StoreError::Corrupt(format!("{}: {e}", id(&kind, &name))));
    let (metadata, spec, status) = (raw(metadata)?, raw(spec)?, raw(status)?);
    Ok(ObjectText { api_version: API_VERSION, kind, metadata, spec, status, name, resource_version })
}

/// One object.
pub(crate) async fn one(c: &mut Conn, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
    let row: Option<Row> = resources::table.find((kind, name)).select(COLUMNS).first(c).await.optional()?;
    row.map(object).transpose()
}

/// One object by uid.
pub(crate) async fn by_uid(c: &mut Conn, uid: &str) -> StoreResult<Option<DynObject>> {
    let row: Option<Row> = resources::table.filter(resources::uid.eq(uid)).select(COLUMNS).first(c).await.optional()?;
    row.map(object).transpose()
}

/// A page of objects.
pub(crate) async fn list(c: &mut Conn, kind: &str, q: &ListQuery) -> StoreResult<ListPage> {
    let (rows, remaining, revision) = rows(c, kind, q).await?;
    Ok(ListPage { items: rows.into_iter().map(object).collect::<StoreResult<_>>()?, remaining, revision })
}

/// A page of objects as text.
pub(crate) async fn list_text(c: &mut Conn, kind: &str, q: &ListQuery) -> StoreResult<TextPage> {
    let (rows, remaining, revision) = rows(c, kind, q).await?;
    Ok(TextPage { items: rows.into_iter().map(text).collect::<StoreResult<_>>()?, remaining, revision })
}

/// Rows of a page, how many follow, and the revision. That is read first: watching from it misses nothing.
async fn rows(c: &mut Conn, kind: &str, q: &ListQuery) -> StoreResult<(Vec<Row>, i64, i64)> {
    let revision = revision_row(c).await?.current;
    let filtered = || {
        let mut query = resources::table.filter(resources::kind.eq(kind.to_string())).into_boxed();
        if let Some(after) = &q.after {
            query = query.filter(resources::name.gt(after.clone()));
        }
        if let Some(owner) = &q.owner_uid {
            query = query.filter(resources::owner_uid.eq(owner.clone()));
        }
        if let Some(host) = &q.host {
            query = query.filter(resources::host.eq(host.clone()));
        }
        if q.open_only {
            query = query.filter(resources::is_open.eq(true));
        }
        query
    };
    let mut page = filtered().order(resources::name).select(COLUMNS);
    if q.limit > 0 {
        page = page.limit(q.limit);
    }
    let rows: Vec<Row> = page.load(c).await?;
    let found = rows.len() as i64;
    // The total is needed only if the page may not be the last.
    let total: i64 = if q.limit > 0 && found == q.limit { filtered().count().get_result(c).await? } else { found };
    Ok((rows, total - found, revision))
}

/// The revision row.
pub(crate) async fn revision_row(c: &mut Conn) -> StoreResult<Revision> {
    let (current, compacted, cluster_uuid) =
        revision::table.find(1).select((revision::current, revision::compacted, revision::cluster_uuid)).first(c).await?;
    Ok(Revision { current, compacted, cluster_uuid })
}

/// Changes after a revision, oldest first.
pub(crate) async fn changes_after(c: &mut Conn, after: i64, limit: i64) -> StoreResult<Vec<Change>> {
    let rows: Vec<(i64, String, String)> = changes::table
        .filter(changes::rv.gt(after))
        .order(changes::rv)
        .limit(limit)
        .select((changes::rv, changes::op, changes::object))
        .load(c)
        .await?;
    // Compaction raises `compacted` before it deletes, so this order never hides a hole.
    let row = revision_row(c).await?;
    if after < row.compacted {
        return Err(StoreError::Compacted { asked: after, compacted: row.compacted });
    }
    rows.into_iter()
        .map(|(revision, op, object)| {
            let op = match op.as_str() {
                "added" => ChangeOp::Added,
                "modified" => ChangeOp::Modified,
                "deleted" => ChangeOp::Deleted,
                other => return Err(StoreError::Corrupt(format!("change {revision} has op {other:?}"))),
            };
            Ok(Change { revision, op, object: parse(&object)? })
        })
        .collect()
}

/// Removes history up to `upto`, at most 500 rows. Each statement is a transaction of its own: what is
/// deleted was said to be gone before.
pub(crate) async fn compact(c: &mut Conn, upto: i64) -> StoreResult<i64> {
    let raise = revision::table.find(1).filter(revision::compacted.lt(upto)).filter(revision::current.ge(upto));
    diesel::update(raise).set(revision::compacted.eq(upto)).execute(c).await?;
    // Nothing is removed that readers are not told of, whatever was asked for.
    let told: i64 = revision::table.find(1).select(revision::compacted).first(c).await?;
    let upto = upto.min(told);
    let bound: Option<i64> =
        changes::table.filter(changes::rv.le(upto)).order(changes::rv).select(changes::rv).offset(499).limit(1).first(c).await.optional()?;
    let gone = diesel::delete(changes::table.filter(changes::rv.le(bound.unwrap_or(upto)))).execute(c).await?;
    Ok(gone as i64)
}
