//! The lease row as the store's callers see it.

use crate::{LeaseRow, SqlStore, StoreError, StoreResult, conn::with_conn, write::Sent};
use schemas::{DynObject, Object, ObjectMeta, Time, v1};

impl LeaseRow {
    /// The row as an object of kind Lease.
    pub fn to_object(&self, name: &str, revision: i64) -> DynObject {
        let metadata = ObjectMeta { resource_version: revision.to_string(), ..ObjectMeta::named(name) };
        let acquired_at = (self.acquired_at.0 > 0).then_some(self.acquired_at);
        let spec = v1::LeaseSpec {
            holder: self.holder.clone(),
            token: self.token,
            renewals: self.renew_seq,
            duration_millis: self.duration_ms,
            acquired_at,
        };
        Object::<v1::Lease> { metadata, spec, status: v1::LeaseStatus {} }.to_dyn()
    }
}

/// A takeover.
#[derive(Clone)]
pub(crate) struct Takeover {
    pub name: String,
    pub holder: String,
    pub seen: LeaseRow,
    pub duration_ms: i64,
    pub now: Time,
}

impl SqlStore {
    pub(crate) async fn lease_row(&self, name: &str) -> StoreResult<LeaseRow> {
        self.reading(async { with_conn!(self.db, c, sql => sql::lease::row(c, name).await) }).await
    }

    pub(crate) async fn take_lease(&self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<LeaseRow>> {
        let (store, sent) = (self.clone(), Sent::default());
        let wanted = Takeover { name: name.to_string(), holder: holder.to_string(), seen: seen.clone(), duration_ms, now };
        self.writing(&sent.clone(), async move {
            let _turn = store.turn().await;
            let taken: StoreResult<(LeaseRow, i64)> = with_conn!(store.db, c, sql => sql::lease::take(c, wanted, &sent).await);
            match taken {
                Ok((row, revision)) => {
                    store.tell(revision);
                    Ok(Some(row))
                }
                Err(StoreError::LeaseLost { .. }) => Ok(None),
                Err(other) => Err(other),
            }
        })
        .await
    }

    pub(crate) async fn renew_lease(&self, name: &str, holder: &str, token: i64) -> StoreResult<bool> {
        let (name, holder) = (name.to_string(), holder.to_string());
        self.writing_once(move |store, sent| async move {
            with_conn!(store.db, c, sql => {
                sent.mark();
                sql::lease::renew(c, &name, &holder, token).await
            })
        })
        .await
    }

    pub(crate) async fn release_lease(&self, name: &str, holder: &str, token: i64) -> StoreResult<()> {
        let (name, holder) = (name.to_string(), holder.to_string());
        self.writing_once(move |store, sent| async move {
            with_conn!(store.db, c, sql => {
                sent.mark();
                sql::lease::release(c, &name, &holder, token).await
            })
        })
        .await
    }
}
