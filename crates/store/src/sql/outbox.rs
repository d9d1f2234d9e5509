//! Letters that wait to be delivered, and what became of those that did; off the revision counter.

use super::Conn;
use crate::{
    Fate, Letter, OutboxState, StoreResult,
    schema::{deliveries, outbox},
};
use diesel::{dsl::max, prelude::*};
#[allow(unused_imports, reason = "SQLite has a transaction of its own")]
use diesel_async::{AsyncConnection, RunQueryDsl};
use schemas::Time;

/// Writes a letter behind all others. To be called in a transaction that holds the revision row: writers come one after
/// the other, so the numbers are in the order of commits.
pub(crate) async fn post(c: &mut Conn, letter: &Letter) -> StoreResult<()> {
    let last: Option<i64> = outbox::table.select(max(outbox::seq)).first(c).await?;
    diesel::insert_into(outbox::table)
        .values((
            outbox::seq.eq(last.unwrap_or(0) + 1),
            outbox::id.eq(&letter.id),
            outbox::created_at.eq(letter.created_at.0),
            outbox::body.eq(&letter.body),
        ))
        .execute(c)
        .await?;
    Ok(())
}

/// The oldest letters.
pub(crate) async fn letters(c: &mut Conn, limit: i64) -> StoreResult<Vec<Letter>> {
    let rows: Vec<(String, i64, String)> =
        outbox::table.order(outbox::seq).limit(limit).select((outbox::id, outbox::created_at, outbox::body)).load(c).await?;
    Ok(rows.into_iter().map(|(id, at, body)| Letter { id, created_at: Time(at), body }).collect())
}

/// Writes down what became of a letter, and removes it unless it only failed.
pub(crate) async fn settle(c: &mut Conn, id: String, fate: Fate, now: Time) -> StoreResult<()> {
    in_transaction!(c, async move |c| {
        let row = deliveries::table.find(1);
        match &fate {
            Fate::Delivered => {
                let set = (deliveries::delivered.eq(deliveries::delivered + 1), deliveries::delivered_at.eq(now.0));
                diesel::update(row).set(set).execute(c).await?;
            }
            Fate::GivenUp(_) => {
                let why = (deliveries::failed_at.eq(now.0), deliveries::failure.eq(fate.failure()));
                let set = (deliveries::given_up.eq(deliveries::given_up + 1), deliveries::lost_at.eq(now.0));
                diesel::update(row).set((set, why)).execute(c).await?;
            }
            Fate::Failed(_) => {
                let set = (deliveries::failed_at.eq(now.0), deliveries::failure.eq(fate.failure()));
                diesel::update(row).set(set).execute(c).await?;
                return Ok(());
            }
        }
        diesel::delete(outbox::table.filter(outbox::id.eq(id))).execute(c).await?;
        Ok(())
    })
}

/// How the outbox stands.
pub(crate) async fn state(c: &mut Conn) -> StoreResult<OutboxState> {
    let length: i64 = outbox::table.count().get_result(c).await?;
    let oldest: Option<i64> = outbox::table.order(outbox::seq).select(outbox::created_at).first(c).await.optional()?;
    let columns = (
        deliveries::delivered,
        deliveries::delivered_at,
        deliveries::failed_at,
        deliveries::failure,
        deliveries::given_up,
        deliveries::dropped,
        deliveries::lost_at,
    );
    let row: (i64, i64, i64, String, i64, i64, i64) = deliveries::table.find(1).select(columns).first(c).await?;
    let (delivered, delivered_at, failed_at, failure, given_up, dropped, lost_at) = row;
    let time = |at: i64| (at != 0).then_some(Time(at));
    Ok(OutboxState {
        length,
        oldest: oldest.map(Time),
        delivered,
        delivered_at: time(delivered_at),
        failed_at: time(failed_at),
        failure,
        given_up,
        dropped,
        lost_at: time(lost_at),
    })
}

/// Throws the oldest away but for the newest `keep`, and all from before `before`.
pub(crate) async fn trim(c: &mut Conn, keep: i64, before: Time, now: Time) -> StoreResult<i64> {
    in_transaction!(c, async move |c| {
        let newest: Option<i64> = outbox::table.order(outbox::seq.desc()).select(outbox::seq).offset(keep).limit(1).first(c).await.optional()?;
        let old = outbox::seq.le(newest.unwrap_or(0)).or(outbox::created_at.lt(before.0));
        let gone = diesel::delete(outbox::table.filter(old)).execute(c).await? as i64;
        if gone > 0 {
            let set = (deliveries::dropped.eq(deliveries::dropped + gone), deliveries::lost_at.eq(now.0));
            diesel::update(deliveries::table.find(1)).set(set).execute(c).await?;
        }
        Ok(gone)
    })
}
