//! The chain of the audit; off the revision counter.

use super::{Conn, read::one};
use crate::{
    AuditChain, AuditEntry, AuditQuery, AuditRow, StoreError, StoreResult,
    audit::Remembered,
    keys::KeyRing,
    schema::{audit, audit_chain},
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use schemas::Time;
use serde_json::{Value, json};

/// Records removed for their age in one transaction.
const PRUNED_AT_ONCE: i64 = 2_000;

type Columns = (
    audit::seq,
    audit::id,
    audit::at_micros,
    audit::action,
    audit::outcome,
    audit::target,
    audit::target_uid,
    audit::host,
    audit::initiator,
    audit::by_user,
    audit::body,
    audit::key_id,
    audit::previous,
    audit::mac,
);
const COLUMNS: Columns = (
    audit::seq,
    audit::id,
    audit::at_micros,
    audit::action,
    audit::outcome,
    audit::target,
    audit::target_uid,
    audit::host,
    audit::initiator,
    audit::by_user,
    audit::body,
    audit::key_id,
    audit::previous,
    audit::mac,
);
type Row = (i64, String, i64, String, String, String, String, String, String, bool, String, String, String, String);

fn row((seq, id, at, action, outcome, target, target_uid, host, initiator, by_user, body, key_id, previous, mac): Row) -> AuditRow {
    AuditRow { seq, id, at: Time(at), action, outcome, target, target_uid, host, initiator, by_user, body, key_id, previous, mac }
}

/// Ends of the chain.
pub(crate) async fn chain(c: &mut Conn) -> StoreResult<AuditChain> {
    let columns =
        (audit_chain::last_seq, audit_chain::last_mac, audit_chain::anchor_seq, audit_chain::anchor_mac, audit_chain::key_id, audit_chain::seal);
    let (last_seq, last_mac, anchor_seq, anchor_mac, key_id, seal) = audit_chain::table.find(1).select(columns).first(c).await?;
    Ok(AuditChain { last_seq, last_mac, anchor_seq, anchor_mac, key_id, seal })
}

/// Writes records and the ends of the chain with them, if the ends have that seal; else nothing, and false.
pub(crate) async fn extend(c: &mut Conn, seal: &str, chain: &AuditChain, rows: &[AuditRow]) -> QueryResult<bool> {
    let ends = (
        audit_chain::last_seq.eq(chain.last_seq),
        audit_chain::last_mac.eq(&chain.last_mac),
        audit_chain::anchor_seq.eq(chain.anchor_seq),
        audit_chain::anchor_mac.eq(&chain.anchor_mac),
        audit_chain::key_id.eq(&chain.key_id),
        audit_chain::seal.eq(&chain.seal),
    );
    if diesel::update(audit_chain::table.find(1).filter(audit_chain::seal.eq(seal))).set(ends).execute(c).await? == 0 {
        return Ok(false);
    }
    for row in rows {
        diesel::insert_into(audit::table)
            .values((
                audit::seq.eq(row.seq),
                audit::id.eq(&row.id),
                audit::at_micros.eq(row.at.0),
                audit::action.eq(&row.action),
                audit::outcome.eq(&row.outcome),
                audit::target.eq(&row.target),
                audit::target_uid.eq(&row.target_uid),
                audit::host.eq(&row.host),
                audit::initiator.eq(&row.initiator),
                audit::by_user.eq(row.by_user),
                audit::body.eq(&row.body),
                audit::key_id.eq(&row.key_id),
                audit::previous.eq(&row.previous),
                audit::mac.eq(&row.mac),
            ))
            .execute(c)
            .await?;
    }
    Ok(true)
}

/// Writes records behind all others. To be called in a transaction that holds the revision row, after everything else in it.
pub(crate) async fn append(c: &mut Conn, keys: &KeyRing, end: &Remembered, mut entries: Vec<AuditEntry>, now: Time) -> StoreResult<()> {
    for entry in &mut entries {
        if let Some((target, uid)) = &entry.cause
            && let Some(user) = on_behalf_of(c, target, uid).await?
        {
            entry.body["onBehalfOf"] = user;
        }
        if let Some(link) = &entry.link
            && let Some(device) = device_of(c, link).await?
        {
            entry.target = format!("PowerDevice/{device}");
            entry.body["target"]["name"] = entry.target.as_str().into();
            entry.body["target"]["id"] = entry.target.as_str().into();
        }
    }
    if let Some(old) = end.get()
        && write_onto(c, keys, end, &old, &entries, now).await?
    {
        return Ok(());
    }
    let old = chain(c).await?;
    if write_onto(c, keys, end, &old, &entries, now).await? { Ok(()) } else { Err(StoreError::Corrupt(MOVED.into())) }
}

/// The row that orders all writers is held, so nobody but a stranger can have done that.
const MOVED: &str = "the ends of the audit chain changed while they were held; see: cloud-manager audit verify";

/// Writes records behind these ends, if the database has them still.
async fn write_onto(c: &mut Conn, keys: &KeyRing, end: &Remembered, old: &AuditChain, entries: &[AuditEntry], now: Time) -> StoreResult<bool> {
    let (key_id, key) = keys.audit_key()?;
    let (new, rows) = old.extended(entries, now, &key_id, &key)?;
    let written = super::super::extend(c, &old.seal, &new, &rows).await?;
    if written {
        end.set(new);
    }
    Ok(written)
}

/// The PowerDevice of a PowerLink: a device's log of actions is its records.
async fn device_of(c: &mut Conn, link: &str) -> StoreResult<Option<String>> {
    let link = one(c, "PowerLink", link).await?;
    Ok(link.and_then(|l| l.spec["deviceRef"]["name"].as_str().map(String::from)))
}

/// The user who wrote an object last, and their request; none if no user did, or the record was removed for its age.
async fn on_behalf_of(c: &mut Conn, target: &str, uid: &str) -> StoreResult<Option<Value>> {
    let found: Option<(i64, String)> = audit::table
        .filter(audit::target.eq(target))
        .filter(audit::target_uid.eq(uid))
        .filter(audit::by_user.eq(true))
        .filter(audit::outcome.eq("success"))
        .filter(audit::action.ne("read"))
        .order(audit::seq.desc())
        .select((audit::seq, audit::body))
        .first(c)
        .await
        .optional()?;
    Ok(found.map(|(seq, body)| {
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let initiator = &body["initiator"];
        json!({"id": initiator["id"], "name": initiator["name"], "project_id": initiator["project_id"],
            "request_id": initiator["request_id"], "global_request_id": initiator["global_request_id"], "object": target, "record": seq})
    }))
}

/// Removes records from before `before`, oldest first, and says so in the chain; the last that was removed is what the rest hangs on.
pub(crate) async fn prune(c: &mut Conn, keys: &KeyRing, end: &Remembered, before: Time, by: &str, now: Time) -> StoreResult<()> {
    let ends = chain(c).await?;
    let next: Vec<(i64, i64)> = audit::table
        .filter(audit::seq.gt(ends.anchor_seq))
        .order(audit::seq)
        .limit(PRUNED_AT_ONCE)
        .select((audit::seq, audit::at_micros))
        .load(c)
        .await?;
    let old: Vec<i64> = next.into_iter().take_while(|(_, at)| *at < before.0).map(|(seq, _)| seq).collect();
    let (Some(first), Some(last)) = (old.iter().min().copied(), old.iter().max().copied()) else { return Ok(()) };
    // What was tampered with is kept, so that it can be looked at.
    if first != ends.anchor_seq + 1 || last - first + 1 != old.len() as i64 {
        return Err(StoreError::Corrupt(format!(
            "audit records between {} and {last} are missing, so none is removed for its age; see: cloud-manager audit verify",
            ends.anchor_seq + 1
        )));
    }
    let mac: String = audit::table.find(last).select(audit::mac).first(c).await?;
    diesel::delete(audit::table.filter(audit::seq.le(last))).execute(c).await?;
    let target = format!("AuditRecord/{first}-{last}");
    let body = json!({
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "eventType": "activity",
        "action": "delete",
        "outcome": "success",
        "initiator": {"typeURI": "service/compute", "id": by, "name": by},
        "target": {"typeURI": "service/security/audit", "id": target, "name": target},
        "observer": {"typeURI": "service/compute", "id": "cloud-manager", "name": "cloud-manager"},
        "reason": {"reasonType": "retention", "reasonCode": "expired"},
        "attachments": [{"name": "removed", "content": {"first": first, "last": last, "before": before, "mac": mac}}],
    });
    let entry = AuditEntry { action: "delete".into(), outcome: "success".into(), target, initiator: by.into(), body, ..AuditEntry::default() };
    let shorter = AuditChain { anchor_seq: last, anchor_mac: mac, ..ends };
    if write_onto(c, keys, end, &shorter, &[entry], now).await? { Ok(()) } else { Err(StoreError::Corrupt(MOVED.into())) }
}

/// Records in the order of their places.
pub(crate) async fn records(c: &mut Conn, q: &AuditQuery) -> StoreResult<Vec<AuditRow>> {
    let mut query = audit::table.limit(q.limit).select(COLUMNS).into_boxed();
    query = match (q.newest_first, q.after) {
        (false, after) => query.filter(audit::seq.gt(after)).order(audit::seq),
        (true, 0) => query.order(audit::seq.desc()),
        (true, before) => query.filter(audit::seq.lt(before)).order(audit::seq.desc()),
    };
    if let Some(target) = &q.target {
        query = match target.strip_prefix("Host/") {
            Some(host) => query.filter(audit::target.eq(target.clone()).or(audit::host.eq(host.to_string()))),
            None => query.filter(audit::target.eq(target.clone())),
        };
    }
    if let Some(initiator) = &q.initiator {
        query = query.filter(audit::initiator.eq(initiator.clone()));
    }
    if let Some(action) = &q.action {
        query = query.filter(audit::action.eq(action.clone()));
    }
    if let Some(outcome) = &q.outcome {
        query = query.filter(audit::outcome.eq(outcome.clone()));
    }
    let rows: Vec<Row> = query.load(c).await?;
    Ok(rows.into_iter().map(row).collect())
}
