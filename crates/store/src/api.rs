//! The boundary: what the rest of the program sees of a database.

use crate::{AuditEntry, StoreError, StoreResult, Telling};
use async_trait::async_trait;
use schemas::{API_VERSION, DynObject, Time, v1::Observation};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use std::collections::{BTreeMap, BTreeSet};

/// Under which right a transaction writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The API server and tools: no lease.
    Open,
    /// A controller: the lease row must hold this token, checked in the same transaction.
    Lease(i64),
}

/// One operation of a transaction. They run in order; the first that fails rolls all back.
#[derive(Clone, Debug)]
pub enum Op {
    /// Inserts an object; its uid must be set.
    Create(DynObject),
    /// Replaces an object if its resource version is still `expected`.
    Update {
        /// New state.
        object: DynObject,
        /// Version it was read at.
        expected: i64,
    },
    /// Removes an object if its resource version is still `expected`.
    Delete {
        /// Kind.
        kind: String,
        /// Name.
        name: String,
        /// Version it was read at.
        expected: i64,
    },
    /// Fails with [`StoreError::Frozen`] if the cluster is frozen.
    RequireNotFrozen,
    /// Takes or keeps the claim on a host (S11).
    TakeClaim(ClaimRequest),
    /// Gives a claim up; no error if it is not held.
    ReleaseClaim {
        /// The host.
        host: String,
        /// Uid of the claim's object.
        owner_uid: String,
    },
    /// Fails if another object than `owner_uid` holds the claim on `host`.
    RequireClaim {
        /// The host.
        host: String,
        /// Uid of the claim's object.
        owner_uid: String,
    },
    /// Fails with [`StoreError::Conflict`] if an object of this kind about this host has not ended:
    /// of two requests that were admitted at the same time, the second is looked at again.
    RequireNoneOpen {
        /// Kind.
        kind: String,
        /// The host.
        host: String,
    },
    /// Fails with [`StoreError::Conflict`] or [`StoreError::NotFound`] if the object is not as it was read: what was decided
    /// on it, and lands late, lands no more.
    RequireVersion {
        /// Kind.
        kind: String,
        /// Name.
        name: String,
        /// Version it was read at.
        expected: i64,
    },
    /// Fails with [`StoreError::Conflict`] if an object of this kind was written after revision `after`, unless it is about one of
    /// `hosts`: what was counted over all of them at that revision still holds. One that was removed is not noticed.
    RequireUnwritten {
        /// Kind.
        kind: String,
        /// Revision of the look.
        after: i64,
        /// Hosts about which anything may have been written.
        hosts: BTreeSet<String>,
    },
    /// Fails if `max` intents whose step begins with `step_prefix` are open.
    LimitOpen {
        /// Beginning of the step's name.
        step_prefix: String,
        /// Only intents of this host, if given.
        host: Option<String>,
        /// So many are open at most when this one has been begun; what is settled earlier in the same transaction is not.
        max: i64,
    },
    /// Writes the evidence about a host if its version is still `expected` (0: no row yet).
    PutEvidence {
        /// The host.
        host: String,
        /// Version it was read at.
        expected: i64,
        /// New body.
        body: Value,
    },
    /// Keeps what a channel says of a host, unless what is known of that channel was seen at the same time or later. What is
    /// said of [`NO_HOST`](schemas::v1::NO_HOST) comes from the leader alone, under its lease: the last written is the newest.
    PutObservation(Observation),
    /// Tells people: an event series is begun or counted on, and a letter is written if the store's [`crate::OutboxRule`]
    /// takes it. Off the revision counter.
    Tell(Telling),
    /// Records who did this transaction, at the end of the chain of records. Off the revision counter.
    Audit(AuditEntry),
    /// Removes audit records from before a time, oldest first and some thousand at once, and records that.
    PruneAudit {
        /// Records from before are removed.
        before: Time,
        /// Who removes them.
        by: String,
    },
    /// Seals and writes the data of a Credential.
    PutSecret {
        /// Name of the Credential.
        name: String,
        /// Data; never logged.
        data: BTreeMap<String, SecretString>,
    },
    /// Removes the data of a Credential.
    DeleteSecret {
        /// Name of the Credential.
        name: String,
    },
}

/// Asks for the exclusive right to disrupt one host (S11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The host.
    pub host: String,
    /// `Kind/name` of the object.
    pub owner: String,
    /// Uid of the object.
    pub owner_uid: String,
    /// A higher rank takes the claim of a lower one over and inherits its open intents.
    pub rank: i64,
    /// What for; limits are counted per purpose.
    pub purpose: String,
    /// Claims of that purpose there may be in all, this one included.
    pub max: Option<i64>,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRow {
    /// The host.
    pub host: String,
    /// `Kind/name` of the object.
    pub owner: String,
    /// Uid of the object.
    pub owner_uid: String,
    /// Rank.
    pub rank: i64,
    /// What for.
    pub purpose: String,
}

/// What a transaction wrote.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// Objects created or updated, with their new resource versions, in order.
    pub objects: Vec<DynObject>,
    /// Revision after the transaction; unchanged if it changed no resource.
    pub revision: i64,
}

/// The revision row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// Newest.
    pub current: i64,
    /// History up to here is gone.
    pub compacted: i64,
    /// Identity of this deployment.
    pub cluster_uuid: String,
}

/// Which objects to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Names after this one.
    pub after: Option<String>,
    /// At most so many; 0 = all.
    pub limit: i64,
    /// Intents of this object's uid.
    pub owner_uid: Option<String>,
    /// Objects about this host.
    pub host: Option<String>,
    /// Only intents that are open, and one-shot objects that have not ended.
    pub open_only: bool,
}

/// A page of objects, ordered by name.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// The objects.
    pub items: Vec<DynObject>,
    /// Objects after this page.
    pub remaining: i64,
    /// Revision before the page was read: watching from it misses nothing.
    pub revision: i64,
}

/// A page of objects as JSON text, ordered by name: for readers that only pass them on.
#[derive(Clone, Debug, Default)]
pub struct TextPage {
    /// The objects.
    pub items: Vec<ObjectText>,
    /// Objects after this page.
    pub remaining: i64,
    /// Revision before the page was read: watching from it misses nothing.
    pub revision: i64,
}

/// An object whose parts are JSON as it is stored; it serialises as the object itself.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectText {
    /// `cloud-manager/v1`.
    pub api_version: &'static str,
    /// CamelCase kind.
    pub kind: String,
    /// Metadata.
    pub metadata: Box<RawValue>,
    /// Desired.
    pub spec: Box<RawValue>,
    /// Observed.
    pub status: Box<RawValue>,
    /// Name.
    #[serde(skip)]
    pub name: String,
    /// Version it was read at.
    #[serde(skip)]
    pub resource_version: i64,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOp {
    /// It was made.
    Added,
    /// It was changed.
    Modified,
    /// It was removed.
    Deleted,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its revision.
    pub revision: i64,
    /// What happened.
    pub op: ChangeOp,
    /// The object after it (before it, for a deletion), at that revision.
    pub object: DynObject,
}

/// The lease row (architecture 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRow {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// Fencing token.
    pub token: i64,
    /// Grows with each renewal.
    pub renew_seq: i64,
    /// How long it lasts, in milliseconds.
    pub duration_ms: i64,
    /// When it was taken, by the holder's clock.
    pub acquired_at: Time,
}

/// What we keep about a host's power: epoch, proof, latch. Off the revision counter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// 0: no row yet.
    pub version: i64,
    /// JSON as `planner` writes it; null: no row yet.
    pub body: Value,
}

/// A database. Every call has a deadline; when it passes the answer is an error, never a guess.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Runs a transaction. `now` stamps the change rows.
    async fn commit(&self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed>;

    /// One object.
    async fn get(&self, kind: &str, name: &str) -> StoreResult<Option<DynObject>>;

    /// One object by uid.
    async fn get_by_uid(&self, uid: &str) -> StoreResult<Option<DynObject>>;

    /// Objects of a kind.
    async fn list(&self, kind: &str, query: ListQuery) -> StoreResult<ListPage>;

    /// As [`Store::list`], without building the objects.
    async fn list_text(&self, kind: &str, query: ListQuery) -> StoreResult<TextPage> {
        let page = self.list(kind, query).await?;
        Ok(TextPage { items: page.items.iter().map(ObjectText::of).collect::<StoreResult<_>>()?, remaining: page.remaining, revision: page.revision })
    }

    /// Changes after a revision, oldest first. [`StoreError::Compacted`] if some are gone.
    async fn changes(&self, after: i64, limit: i64) -> StoreResult<Vec<Change>>;

    /// The revision row.
    async fn revision(&self) -> StoreResult<Revision>;

    /// Removes history up to `upto`, at most 500 rows; gives the number of rows removed.
    async fn compact(&self, upto: i64) -> StoreResult<i64>;

    /// Whether other processes write to it as well.
    fn is_shared(&self) -> bool {
        false
    }

    /// Wakes up after each local commit with the newest revision.
    fn commits(&self) -> tokio::sync::watch::Receiver<i64>;

    /// Who disrupts a host.
    async fn claim(&self, host: &str) -> StoreResult<Option<ClaimRow>>;

    /// All claims.
    async fn claims(&self) -> StoreResult<Vec<ClaimRow>>;

    /// Evidence about a host.
    async fn evidence(&self, host: &str) -> StoreResult<Evidence>;

    /// Opens the data of a Credential; `None` if it has none.
    async fn secret(&self, name: &str) -> StoreResult<Option<BTreeMap<String, SecretString>>>;

    /// The lease row.
    async fn lease(&self, name: &str) -> StoreResult<LeaseRow>;

    /// Takes the lease if the row is still as `seen`; the token grows by one. `None`: someone was faster or lives.
    async fn lease_take(&self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<LeaseRow>>;

    /// Renews; false if the row is no longer ours.
    async fn lease_renew(&self, name: &str, holder: &str, token: i64) -> StoreResult<bool>;

    /// Gives the lease up, so that a successor need not wait.
    async fn lease_release(&self, name: &str, holder: &str, token: i64) -> StoreResult<()>;

    /// Events, newest first; of one object if a uid is given.
    async fn events(&self, regarding_uid: Option<&str>, limit: i64) -> StoreResult<Vec<DynObject>>;

    /// One event series.
    async fn event(&self, name: &str) -> StoreResult<Option<DynObject>>;

    /// Removes events last seen before `before`, and letters of that time that nobody delivered; gives the number of events.
    async fn prune_events(&self, before: Time) -> StoreResult<i64>;

    /// What channels said last, of one host (or of [`NO_HOST`](schemas::v1::NO_HOST)) or of all hosts, in the order of hosts
    /// and channels.
    async fn observations(&self, host: Option<&str>) -> StoreResult<Vec<Observation>>;

    /// Removes what came in before `before`.
    async fn prune_observations(&self, before: Time) -> StoreResult<i64>;
}

/// `Kind/name`, for messages.
pub(crate) fn id(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

impl Committed {
    /// The last object written.
    pub fn last(&self) -> StoreResult<&DynObject> {
        self.objects.last().ok_or_else(|| StoreError::Corrupt("a transaction that had to write an object wrote none".into()))
    }
}

impl ObjectText {
    /// An object as text.
    pub fn of(object: &DynObject) -> StoreResult<ObjectText> {
        fn text<T: Serialize>(part: &T) -> StoreResult<Box<RawValue>> {
            serde_json::value::to_raw_value(part).map_err(|e| StoreError::Corrupt(e.to_string()))
        }
        Ok(ObjectText {
            api_version: API_VERSION,
            kind: object.kind.clone(),
            metadata: text(&object.metadata)?,
            spec: text(&object.spec)?,
            status: text(&object.status)?,
            name: object.metadata.name.clone(),
            resource_version: object.metadata.revision(),
        })
    }
}
