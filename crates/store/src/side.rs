//! What stays off the revision counter: claims (read), evidence, secrets, events; and the `Store` itself.

use crate::{
    Change, ClaimRow, Committed, Evidence, Guard, LeaseRow, ListPage, ListQuery, Op, Revision, SqlStore, Store, StoreResult, TextPage,
    conn::with_conn,
    keys::Sealed,
    schema::{events, evidence, host_claims, revision, secrets},
    write::{json, parse},
};
use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use schemas::{DynObject, Time};
use secrecy::SecretString;
use std::collections::BTreeMap;
use tokio::sync::watch;

type ClaimColumns = (host_claims::host, host_claims::owner, host_claims::owner_uid, host_claims::claim_rank, host_claims::purpose);
const CLAIM: ClaimColumns = (host_claims::host, host_claims::owner, host_claims::owner_uid, host_claims::claim_rank, host_claims::purpose);

fn claim((host, owner, owner_uid, rank, purpose): (String, String, String, i64, String)) -> ClaimRow {
    ClaimRow { host, owner, owner_uid, rank, purpose }
}

impl SqlStore {
    /// Gives a new database its identity.
    pub(crate) async fn name_cluster(&self) -> StoreResult<()> {
        let unnamed = revision::table.find(1).filter(revision::cluster_uuid.eq(""));
        let uuid = uuid::Uuid::new_v4().to_string();
        with_conn!(self.db, c => diesel::update(unnamed).set(revision::cluster_uuid.eq(uuid)).execute(c).await?);
        self.committed.send_replace(self.read_revision_row().await?.current);
        Ok(())
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn commit(&self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        self.commit_ops(guard, now, ops).await
    }

    async fn get(&self, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
        self.read_one(kind, name).await
    }

    async fn get_by_uid(&self, uid: &str) -> StoreResult<Option<DynObject>> {
        self.read_by_uid(uid).await
    }

    async fn list(&self, kind: &str, query: ListQuery) -> StoreResult<ListPage> {
        self.read_list(kind, query).await
    }

    async fn list_text(&self, kind: &str, query: ListQuery) -> StoreResult<TextPage> {
        self.read_list_text(kind, query).await
    }

    async fn changes(&self, after: i64, limit: i64) -> StoreResult<Vec<Change>> {
        self.read_changes(after, limit).await
    }

    async fn revision(&self) -> StoreResult<Revision> {
        self.reading(self.read_revision_row()).await
    }

    async fn compact(&self, upto: i64) -> StoreResult<i64> {
        self.compact_history(upto).await
    }

    fn commits(&self) -> watch::Receiver<i64> {
        self.committed.subscribe()
    }

    async fn claim(&self, host: &str) -> StoreResult<Option<ClaimRow>> {
        self.reading(async { Ok(with_conn!(self.db, c => host_claims::table.find(host).select(CLAIM).first(c).await.optional()?).map(claim)) }).await
    }

    async fn claims(&self) -> StoreResult<Vec<ClaimRow>> {
        self.reading(async {
            let rows: Vec<(String, String, String, i64, String)> =
                with_conn!(self.db, c => host_claims::table.order(host_claims::host).select(CLAIM).load(c).await?);
            Ok(rows.into_iter().map(claim).collect())
        })
        .await
    }

    async fn evidence(&self, host: &str) -> StoreResult<Evidence> {
        self.reading(async {
            let row: Option<(i64, String)> =
                with_conn!(self.db, c => evidence::table.find(host).select((evidence::version, evidence::body)).first(c).await.optional()?);
            row.map_or(Ok(Evidence::default()), |(version, body)| Ok(Evidence { version, body: parse(&body)? }))
        })
        .await
    }

    async fn secret(&self, name: &str) -> StoreResult<Option<BTreeMap<String, SecretString>>> {
        let row: Option<(String, Vec<u8>, Vec<u8>)> = self
            .reading(async {
                Ok(with_conn!(self.db, c => secrets::table
                    .find(name)
                    .select((secrets::key_id, secrets::nonce, secrets::ciphertext))
                    .first(c)
                    .await
                    .optional()?))
            })
            .await?;
        row.map(|(key_id, nonce, ciphertext)| self.keys.open(name, &Sealed { key_id, nonce, ciphertext })).transpose()
    }

    async fn lease(&self, name: &str) -> StoreResult<LeaseRow> {
        self.lease_row(name).await
    }

    async fn lease_take(&self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<LeaseRow>> {
        self.take_lease(name, holder, seen, duration_ms, now).await
    }

    async fn lease_renew(&self, name: &str, holder: &str, token: i64) -> StoreResult<bool> {
        self.renew_lease(name, holder, token).await
    }

    async fn lease_release(&self, name: &str, holder: &str, token: i64) -> StoreResult<()> {
        self.release_lease(name, holder, token).await
    }

    async fn put_event(&self, event: DynObject, last_at: Time) -> StoreResult<()> {
        let (db, writer) = (self.db.clone(), self.writer.clone());
        self.writing(async move {
            let _turn = writer.lock().await;
            let (name, body) = (event.metadata.name.clone(), json(&event)?);
            let regarding = event.spec["regardingUid"].as_str().unwrap_or_default().to_string();
            with_conn!(db, c => {
                let changed = diesel::update(events::table.find(&name))
                    .set((events::body.eq(&body), events::last_at.eq(last_at.0)))
                    .execute(c)
                    .await?;
                if changed == 0 {
                    diesel::insert_into(events::table)
                        .values((events::id.eq(&name), events::regarding_uid.eq(&regarding), events::body.eq(&body), events::last_at.eq(last_at.0)))
                        .execute(c)
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn events(&self, regarding_uid: Option<&str>, limit: i64) -> StoreResult<Vec<DynObject>> {
        self.reading(async {
            let mut query = events::table.order(events::last_at.desc()).limit(limit).select(events::body).into_boxed();
            if let Some(uid) = regarding_uid {
                query = query.filter(events::regarding_uid.eq(uid.to_string()));
            }
            let rows: Vec<String> = with_conn!(self.db, c => query.load(c).await?);
            rows.iter().map(|r| parse(r)).collect()
        })
        .await
    }

    async fn event(&self, name: &str) -> StoreResult<Option<DynObject>> {
        self.reading(async {
            let row: Option<String> = with_conn!(self.db, c => events::table.find(name).select(events::body).first(c).await.optional()?);
            row.as_deref().map(parse).transpose()
        })
        .await
    }

    async fn prune_events(&self, before: Time) -> StoreResult<i64> {
        let (db, writer) = (self.db.clone(), self.writer.clone());
        self.writing(async move {
            let _turn = writer.lock().await;
            with_conn!(db, c => Ok(diesel::delete(events::table.filter(events::last_at.lt(before.0))).execute(c).await? as i64))
        })
        .await
    }
}
