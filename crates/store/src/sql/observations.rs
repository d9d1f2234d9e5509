//! What channels say of hosts; off the revision counter.

use super::Conn;
use crate::{StoreError, StoreResult, schema::observations};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use schemas::{
    Time,
    v1::{NO_HOST, Observation, Says},
};

type Row = (String, String, String, i64, i64, i64, String, String);

fn observation((host, channel, says, observed_at, received_at, ttl_seconds, by, detail): Row) -> StoreResult<Observation> {
    let says = Says::from_word(&says).ok_or_else(|| StoreError::Corrupt(format!("channel {channel} says {says:?} of host {host}")))?;
    Ok(Observation { host, channel, says, observed_at: Time(observed_at), received_at: Time(received_at), ttl_seconds, by, detail })
}

/// What channels said last, in the order of hosts and channels.
pub(crate) async fn list(c: &mut Conn, host: Option<&str>) -> StoreResult<Vec<Observation>> {
    let mut query = observations::table.order((observations::host, observations::channel)).into_boxed();
    query = match host {
        Some(host) => query.filter(observations::host.eq(host.to_string())),
        None => query.filter(observations::host.ne(NO_HOST)),
    };
    let rows: Vec<Row> = query.load(c).await?;
    rows.into_iter().map(observation).collect()
}

/// Keeps it unless what is known was seen at the same time or later. To be called in a transaction.
pub(crate) async fn put_observation(c: &mut Conn, o: Observation) -> StoreResult<()> {
    let place = || observations::table.find((&o.host, &o.channel));
    let known: Option<i64> = place().select(observations::observed_at).first(c).await.optional()?;
    if o.host != NO_HOST && known.is_some_and(|at| at >= o.observed_at.0) {
        return Ok(());
    }
    diesel::delete(place()).execute(c).await?;
    diesel::insert_into(observations::table)
        .values((
            observations::host.eq(&o.host),
            observations::channel.eq(&o.channel),
            observations::says.eq(o.says.word()),
            observations::observed_at.eq(o.observed_at.0),
            observations::received_at.eq(o.received_at.0),
            observations::ttl_seconds.eq(o.ttl_seconds),
            observations::sender.eq(&o.by),
            observations::detail.eq(&o.detail),
        ))
        .execute(c)
        .await?;
    Ok(())
}

/// Removes what came in before `before`.
pub(crate) async fn prune(c: &mut Conn, before: Time) -> StoreResult<i64> {
    Ok(diesel::delete(observations::table.filter(observations::received_at.lt(before.0))).execute(c).await? as i64)
}
