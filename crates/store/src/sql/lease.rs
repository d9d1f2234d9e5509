//! The lease row: take, renew, release (architecture 5).

use super::{
    Conn,
    write::{bump, record},
};
use crate::{
    Change, ChangeOp, LeaseRow, StoreError, StoreResult,
    lease::Takeover,
    schema::leases,
    write::{Sent, Verdict},
};
use diesel::prelude::*;
#[allow(unused_imports, reason = "SQLite has a transaction of its own")]
use diesel_async::{AsyncConnection, RunQueryDsl};
use schemas::Time;

/// Reads the row.
pub(crate) async fn row(c: &mut Conn, name: &str) -> StoreResult<LeaseRow> {
    let (holder, token, renew_seq, duration_ms, acquired_at) = leases::table
        .find(name)
        .select((leases::holder, leases::token, leases::renew_seq, leases::duration_ms, leases::acquired_at))
        .first(c)
        .await?;
    Ok(LeaseRow { holder, token, renew_seq, duration_ms, acquired_at: Time(acquired_at) })
}

/// Takeover bumps the revision first: it is ordered against every guarded write, so after it no
/// old token can commit.
pub(crate) async fn take(c: &mut Conn, wanted: Takeover, sent: &Sent) -> StoreResult<(LeaseRow, i64)> {
    let verdict = Verdict::new(sent);
    let inner = verdict.clone();
    let done: StoreResult<(LeaseRow, i64)> = in_transaction!(c, async move |c| inner.note(take_over(c, wanted).await));
    verdict.settle(done)
}

async fn take_over(c: &mut Conn, wanted: Takeover) -> StoreResult<(LeaseRow, i64)> {
    let Takeover { name, holder, seen, duration_ms, now } = wanted;
    let revision = bump(c).await?;
    let target = leases::table.find(&name).filter(leases::token.eq(seen.token)).filter(leases::renew_seq.eq(seen.renew_seq));
    let changed = diesel::update(target)
        .set((
            leases::holder.eq(&holder),
            leases::token.eq(seen.token + 1),
            leases::renew_seq.eq(0),
            leases::duration_ms.eq(duration_ms),
            leases::acquired_at.eq(now.0),
        ))
        .execute(c)
        .await?;
    if changed == 0 {
        let current = row(c, &name).await?.token;
        return Err(StoreError::LeaseLost { mine: seen.token, current });
    }
    let taken = row(c, &name).await?;
    let object = taken.to_object(&name, revision);
    record(c, &Change { revision, op: ChangeOp::Modified, object }, now).await?;
    Ok((taken, revision))
}

/// Renews; false if the row is no longer ours.
pub(crate) async fn renew(c: &mut Conn, name: &str, holder: &str, token: i64) -> StoreResult<bool> {
    let mine = leases::table.find(name).filter(leases::holder.eq(holder)).filter(leases::token.eq(token));
    Ok(diesel::update(mine).set(leases::renew_seq.eq(leases::renew_seq + 1)).execute(c).await? == 1)
}

/// An empty holder tells a standby that it need not wait; the token stays, and grows at the next takeover.
pub(crate) async fn release(c: &mut Conn, name: &str, holder: &str, token: i64) -> StoreResult<()> {
    let mine = leases::table.find(name).filter(leases::holder.eq(holder)).filter(leases::token.eq(token));
    diesel::update(mine).set((leases::holder.eq(""), leases::renew_seq.eq(leases::renew_seq + 1))).execute(c).await?;
    Ok(())
}
