//! The lease row: take, renew, release (architecture 5).

use crate::{
    Change, ChangeOp, LeaseRow, SqlStore, StoreResult,
    conn::with_conn,
    dialect::{SqliteConn, write_transaction},
    schema::leases,
    write::{bump, record},
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use schemas::{DynObject, Object, ObjectMeta, Time, v1};

async fn row(c: &mut SqliteConn, name: &str) -> StoreResult<LeaseRow> {
    let (holder, token, renew_seq, duration_ms, acquired_at) = leases::table
        .find(name)
        .select((leases::holder, leases::token, leases::renew_seq, leases::duration_ms, leases::acquired_at))
        .first(c)
        .await?;
    Ok(LeaseRow { holder, token, renew_seq, duration_ms, acquired_at: Time(acquired_at) })
}

impl LeaseRow {
    /// The row as an object of kind Lease.
    pub fn to_object(&self, name: &str, revision: i64) -> DynObject {
        let metadata = ObjectMeta { resource_version: revision.to_string(), ..ObjectMeta::named(name) };
        let acquired_at = (self.acquired_at.0 > 0).then_some(self.acquired_at);
        let spec = v1::LeaseSpec { holder: self.holder.clone(), token: self.token, renewals: self.renew_seq, duration_millis: self.duration_ms, acquired_at };
        Object::<v1::Lease> { metadata, spec, status: v1::LeaseStatus {} }.to_dyn()
    }
}

impl SqlStore {
    pub(crate) async fn lease_row(&self, name: &str) -> StoreResult<LeaseRow> {
        self.reading(async { with_conn!(self.db, c => row(c, name).await) }).await
    }

    /// Takeover bumps the revision first: it is ordered against every guarded write, so after it no
    /// old token can commit.
    pub(crate) async fn take_lease(&self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<LeaseRow>> {
        let (db, writer, notify) = (self.db.clone(), self.writer.clone(), self.committed.clone());
        let (name, holder, seen) = (name.to_string(), holder.to_string(), seen.clone());
        self.writing(async move {
            let _turn = writer.lock().await;
            let taken: StoreResult<(LeaseRow, i64)> = with_conn!(db, conn => write_transaction!(conn, async move |c| {
                let revision = bump(c).await?;
                let target = leases::table
                    .find(&name)
                    .filter(leases::token.eq(seen.token))
                    .filter(leases::renew_seq.eq(seen.renew_seq));
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
                    return Err(crate::StoreError::LeaseLost { mine: seen.token, current });
                }
                let taken = row(c, &name).await?;
                let object = taken.to_object(&name, revision);
                record(c, &Change { revision, op: ChangeOp::Modified, object }, now).await?;
                Ok((taken, revision))
            }));
            match taken {
                Ok((row, revision)) => {
                    notify.send_replace(revision);
                    Ok(Some(row))
                }
                Err(crate::StoreError::LeaseLost { .. }) => Ok(None),
                Err(other) => Err(other),
            }
        })
        .await
    }

    pub(crate) async fn renew_lease(&self, name: &str, holder: &str, token: i64) -> StoreResult<bool> {
        let (db, writer) = (self.db.clone(), self.writer.clone());
        let (name, holder) = (name.to_string(), holder.to_string());
        self.writing(async move {
            let _turn = writer.lock().await;
            with_conn!(db, c => {
                let mine = leases::table.find(name).filter(leases::holder.eq(holder)).filter(leases::token.eq(token));
                Ok(diesel::update(mine).set(leases::renew_seq.eq(leases::renew_seq + 1)).execute(c).await? == 1)
            })
        })
        .await
    }

    /// An empty holder tells a standby that it need not wait; the token stays, and grows at the next takeover.
    pub(crate) async fn release_lease(&self, name: &str, holder: &str, token: i64) -> StoreResult<()> {
        let (db, writer) = (self.db.clone(), self.writer.clone());
        let (name, holder) = (name.to_string(), holder.to_string());
        self.writing(async move {
            let _turn = writer.lock().await;
            with_conn!(db, c => {
                let mine = leases::table.find(name).filter(leases::holder.eq(holder)).filter(leases::token.eq(token));
                diesel::update(mine).set((leases::holder.eq(""), leases::renew_seq.eq(leases::renew_seq + 1))).execute(c).await?;
                Ok(())
            })
        })
        .await
    }
}
