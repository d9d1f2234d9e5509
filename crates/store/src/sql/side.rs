//! What stays off the revision counter: claims, evidence, secrets, events.

use super::{Conn, outbox::post};
use crate::{
    ClaimRow, Evidence, OutboxRule, StoreError, StoreResult, Telling,
    keys::Sealed,
    schema::{events, evidence, host_claims, outbox, revision, secrets},
    write::{json, parse},
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use schemas::{DynObject, Time};
use serde_json::Value;

type ClaimColumns = (host_claims::host, host_claims::owner, host_claims::owner_uid, host_claims::claim_rank, host_claims::purpose);
const CLAIM: ClaimColumns = (host_claims::host, host_claims::owner, host_claims::owner_uid, host_claims::claim_rank, host_claims::purpose);

type ClaimTuple = (String, String, String, i64, String);

fn claim_row((host, owner, owner_uid, rank, purpose): ClaimTuple) -> ClaimRow {
    ClaimRow { host, owner, owner_uid, rank, purpose }
}

/// Gives a new database its identity.
pub(crate) async fn name_cluster(c: &mut Conn, uuid: &str) -> StoreResult<()> {
    let unnamed = revision::table.find(1).filter(revision::cluster_uuid.eq(""));
    diesel::update(unnamed).set(revision::cluster_uuid.eq(uuid)).execute(c).await?;
    Ok(())
}

/// Who disrupts a host.
pub(crate) async fn claim(c: &mut Conn, host: &str) -> StoreResult<Option<ClaimRow>> {
    let row: Option<ClaimTuple> = host_claims::table.find(host).select(CLAIM).first(c).await.optional()?;
    Ok(row.map(claim_row))
}

/// All claims.
pub(crate) async fn claims(c: &mut Conn) -> StoreResult<Vec<ClaimRow>> {
    let rows: Vec<ClaimTuple> = host_claims::table.order(host_claims::host).select(CLAIM).load(c).await?;
    Ok(rows.into_iter().map(claim_row).collect())
}

/// Evidence about a host.
pub(crate) async fn read_evidence(c: &mut Conn, host: &str) -> StoreResult<Evidence> {
    let row: Option<(i64, String)> = evidence::table.find(host).select((evidence::version, evidence::body)).first(c).await.optional()?;
    row.map_or(Ok(Evidence::default()), |(version, body)| Ok(Evidence { version, body: parse(&body)? }))
}

/// The sealed data of a Credential.
pub(crate) async fn secret(c: &mut Conn, name: &str) -> StoreResult<Option<Sealed>> {
    let row: Option<(String, Vec<u8>, Vec<u8>)> =
        secrets::table.find(name).select((secrets::key_id, secrets::nonce, secrets::ciphertext)).first(c).await.optional()?;
    Ok(row.map(|(key_id, nonce, ciphertext)| Sealed { key_id, nonce, ciphertext }))
}

/// Begins an event series, or counts on it, and writes the letter that tells of it if the rule takes it. To be called in a transaction: writers come one after the other.
pub(crate) async fn tell(c: &mut Conn, telling: &Telling, rule: Option<&OutboxRule>, now: Time) -> StoreResult<()> {
    let name = telling.series();
    let known = event(c, &name).await?;
    let event = telling.event(known.as_ref(), now);
    let body = json(&event)?;
    if known.is_some() {
        diesel::update(events::table.find(&name)).set((events::body.eq(&body), events::last_at.eq(now.0))).execute(c).await?;
    } else {
        let row = (events::id.eq(&name), events::regarding_uid.eq(&telling.regarding_uid), events::body.eq(&body), events::last_at.eq(now.0));
        diesel::insert_into(events::table).values(row).execute(c).await?;
    }
    if rule.is_some_and(|rule| rule.takes(telling)) {
        post(c, &telling.letter(&event, now)?).await?;
    }
    Ok(())
}

/// Events, newest first.
pub(crate) async fn events(c: &mut Conn, regarding_uid: Option<&str>, limit: i64) -> StoreResult<Vec<DynObject>> {
    let mut query = events::table.order((events::last_at.desc(), events::id)).limit(limit).select(events::body).into_boxed();
    if let Some(uid) = regarding_uid {
        query = query.filter(events::regarding_uid.eq(uid.to_string()));
    }
    let rows: Vec<String> = query.load(c).await?;
    rows.iter().map(|r| parse(r)).collect()
}

/// One event series.
pub(crate) async fn event(c: &mut Conn, name: &str) -> StoreResult<Option<DynObject>> {
    let row: Option<String> = events::table.find(name).select(events::body).first(c).await.optional()?;
    row.as_deref().map(parse).transpose()
}

/// Removes events last seen before `before`, and letters of that time: nobody delivers here any longer.
pub(crate) async fn prune_events(c: &mut Conn, before: Time) -> StoreResult<i64> {
    diesel::delete(outbox::table.filter(outbox::created_at.lt(before.0))).execute(c).await?;
    Ok(diesel::delete(events::table.filter(events::last_at.lt(before.0))).execute(c).await? as i64)
}

/// Writes the evidence about a host if its version is still `expected`.
pub(crate) async fn put_evidence(c: &mut Conn, host: &str, expected: i64, body: &Value) -> StoreResult<()> {
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
            diesel::update(evidence::table.find(host)).set((evidence::version.eq(expected + 1), evidence::body.eq(body))).execute(c).await?;
        }
        other => return Err(conflict(other.unwrap_or(0))),
    }
    Ok(())
}

/// Replaces the sealed data of a Credential.
pub(crate) async fn put_secret(c: &mut Conn, name: &str, sealed: Sealed) -> StoreResult<()> {
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
