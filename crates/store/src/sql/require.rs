//! Conditions of a transaction: claims, budgets, the freeze.

use super::Conn;
use crate::{
    ClaimRequest, StoreError, StoreResult,
    api::id,
    schema::{host_claims, resources},
    write::parse,
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use schemas::{Time, v1::Operations};
use serde_json::Value;
use std::collections::BTreeSet;

pub(crate) async fn require_not_frozen(c: &mut Conn) -> StoreResult<()> {
    let spec: Option<String> = resources::table.find(("ClusterPolicy", "default")).select(resources::spec).first(c).await.optional()?;
    let spec: Value = spec.as_deref().map(parse).transpose()?.unwrap_or_default();
    let frozen = serde_json::to_value(Operations::Frozen).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    if spec["operations"] == frozen { Err(StoreError::Frozen) } else { Ok(()) }
}

pub(crate) async fn require_claim(c: &mut Conn, host: &str, owner_uid: &str) -> StoreResult<()> {
    let holder: Option<(String, String)> =
        host_claims::table.find(host).select((host_claims::owner, host_claims::owner_uid)).first(c).await.optional()?;
    match holder {
        Some((owner, uid)) if uid != owner_uid => Err(StoreError::Claimed { host: host.into(), owner }),
        Some(_) => Ok(()),
        None => Err(StoreError::Conflict { what: format!("the claim on host {host}"), current: 0 }),
    }
}

pub(crate) async fn take_claim(c: &mut Conn, request: ClaimRequest, now: Time) -> StoreResult<()> {
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

pub(crate) async fn require_none_open(c: &mut Conn, kind: &str, host: &str) -> StoreResult<()> {
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

pub(crate) async fn require_unwritten(c: &mut Conn, kind: &str, after: i64, hosts: &BTreeSet<String>) -> StoreResult<()> {
    let written: Vec<(String, i64, Option<String>)> = resources::table
        .filter(resources::kind.eq(kind))
        .filter(resources::resource_version.gt(after))
        .order(resources::name)
        .select((resources::name, resources::resource_version, resources::host))
        .load(c)
        .await?;
    match written.into_iter().find(|(_, _, host)| host.as_ref().is_none_or(|host| !hosts.contains(host))) {
        Some((name, current, _)) => Err(StoreError::Conflict { what: id(kind, &name), current }),
        None => Ok(()),
    }
}

pub(crate) async fn limit_open(c: &mut Conn, prefix: &str, host: Option<&str>, max: i64) -> StoreResult<()> {
    let mut query = resources::table.filter(resources::kind.eq("Operation")).filter(resources::is_open.eq(true)).select(resources::spec).into_boxed();
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
