//! The database as one process reaches it: calls take a moment, answers get lost, and sometimes nobody is there.

use super::{
    plan::{Class, DbFault, What},
    process::{Process, Ticket, lock},
};
use async_trait::async_trait;
use schemas::{DynObject, Time, v1::Observation};
use secrecy::SecretString;
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};
use store::{Change, ClaimRow, Committed, Evidence, Guard, LeaseRow, ListPage, ListQuery, Op, Revision, Store, StoreError, StoreResult};
use tokio::{sync::watch, time::Instant};

/// On the way to the database, at most, and back.
const WAY: Duration = Duration::from_millis(4);
/// After so long a call is given up.
const DEADLINE: Duration = Duration::from_secs(5);

/// See the module's text.
pub struct Reached {
    pub process: Arc<Process>,
    pub store: Arc<dyn Store>,
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the schedule says so".into())
}

fn unknown() -> StoreError {
    StoreError::OutcomeUnknown("the schedule says so".into())
}

impl Reached {
    /// Why the database cannot be reached now, after the time it takes to find out.
    async fn unreachable(&self, class: Class, writes: bool) -> Option<StoreError> {
        let (down, cut) = {
            let slot = lock(&self.process.stage.slots[self.process.slot]);
            (slot.db_down_until, slot.lease_cut_until)
        };
        let now = Instant::now();
        if down <= now && (class != Class::Lease || cut <= now) {
            return None;
        }
        // Refused at once, or not answered at all; which of them is the network's choice for the whole time.
        let hangs = down.max(cut).duration_since(self.process.stage.began).as_millis().is_multiple_of(2);
        tokio::time::sleep(if hangs { DEADLINE } else { Duration::from_millis(20) }).await;
        Some(if hangs && writes { unknown() } else { unavailable() })
    }

    async fn call<T>(&self, class: Class, call: &str, writes: bool, effect: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        let ticket = self.process.begin(class, call, WAY).await;
        if let Some(error) = self.unreachable(class, writes).await {
            self.process.end(&ticket).await;
            return Err(error);
        }
        let result = match ticket.what {
            Some(What::Db(DbFault::Unavailable)) => Err(unavailable()),
            Some(What::Db(DbFault::LostAnswer | DbFault::Late(_))) => {
                let done = effect.await;
                tokio::time::sleep(DEADLINE).await;
                done.and(Err(if writes { unknown() } else { unavailable() }))
            }
            _ => effect.await,
        };
        self.judged(&ticket).await;
        result
    }

    async fn judged(&self, ticket: &Ticket) {
        self.process.stage.judge(|laws, world| laws.look(world));
        self.process.end(ticket).await;
    }

    /// A write whose answer is not waited for may be written later, and lives on when its process dies.
    async fn write<T, F>(&self, class: Class, what: String, effect: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: Future<Output = StoreResult<T>> + Send + 'static,
    {
        let ticket = self.process.begin(class, &what, WAY).await;
        if let Some(error) = self.unreachable(class, true).await {
            self.process.end(&ticket).await;
            return Err(error);
        }
        let result = match ticket.what {
            Some(What::Db(DbFault::Unavailable)) => Err(unavailable()),
            Some(What::Db(DbFault::LostAnswer)) => {
                let done = effect.await;
                tokio::time::sleep(DEADLINE).await;
                done.and(Err(unknown()))
            }
            Some(What::Db(DbFault::Late(ms))) => {
                let stage = self.process.stage.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    let done = effect.await.is_ok();
                    stage.say("db", &format!("a late write lands: {done}"));
                    stage.judge(|laws, world| laws.look(world));
                });
                tokio::time::sleep(DEADLINE).await;
                Err(unknown())
            }
            _ => effect.await,
        };
        let word = match &result {
            Ok(_) => "ok".to_string(),
            Err(error) => error.to_string(),
        };
        if !what.is_empty() {
            self.process.say(&format!("{what}: {word}"));
        }
        self.judged(&ticket).await;
        result
    }
}

/// A transaction in a few words.
fn words(ops: &[Op]) -> String {
    let one = |op: &Op| match op {
        Op::Create(o) if o.kind == "Operation" => format!("+{}", o.spec["step"].as_str().unwrap_or_default()),
        Op::Create(o) => format!("+{}", o.id()),
        Op::Update { object, .. } if object.kind == "Operation" => {
            format!("{} {}", object.spec["step"].as_str().unwrap_or_default(), object.status["state"].as_str().unwrap_or_default())
        }
        Op::Update { object, .. } => {
            let why = object.status["waiting"]["reason"].as_str().map(|r| format!(" ({r})")).unwrap_or_default();
            format!("{}{why}", object.id())
        }
        Op::Delete { kind, name, .. } => format!("-{kind}/{name}"),
        Op::TakeClaim(r) => format!("claim {}", r.host),
        Op::ReleaseClaim { host, .. } => format!("unclaim {host}"),
        Op::PutEvidence { host, .. } => format!("evidence {host}"),
        _ => String::new(),
    };
    ops.iter().map(one).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", ")
}

#[async_trait]
impl Store for Reached {
    async fn commit(&self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        let (store, what) = (self.store.clone(), format!("commit {}", words(&ops)));
        self.write(Class::Commit, what, async move { store.commit(guard, now, ops).await }).await
    }

    async fn lease_take(&self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<LeaseRow>> {
        let (store, name, holder, seen) = (self.store.clone(), name.to_string(), holder.to_string(), seen.clone());
        let taken =
            self.write(Class::Lease, "takes the lease".into(), async move { store.lease_take(&name, &holder, &seen, duration_ms, now).await });
        taken.await
    }

    async fn lease_renew(&self, name: &str, holder: &str, token: i64) -> StoreResult<bool> {
        let (store, name, holder) = (self.store.clone(), name.to_string(), holder.to_string());
        self.write(Class::Lease, String::new(), async move { store.lease_renew(&name, &holder, token).await }).await
    }

    async fn lease_release(&self, name: &str, holder: &str, token: i64) -> StoreResult<()> {
        let (store, name, holder) = (self.store.clone(), name.to_string(), holder.to_string());
        self.write(Class::Lease, "gives the lease up".into(), async move { store.lease_release(&name, &holder, token).await }).await
    }

    async fn compact(&self, upto: i64) -> StoreResult<i64> {
        self.call(Class::Load, "compact", true, self.store.compact(upto)).await
    }

    async fn prune_events(&self, before: Time) -> StoreResult<i64> {
        self.call(Class::Load, "prune_events", true, self.store.prune_events(before)).await
    }

    async fn observations(&self, host: Option<&str>) -> StoreResult<Vec<Observation>> {
        self.call(Class::Load, "observations", false, self.store.observations(host)).await
    }

    async fn prune_observations(&self, before: Time) -> StoreResult<i64> {
        self.call(Class::Load, "prune_observations", true, self.store.prune_observations(before)).await
    }

    async fn get(&self, kind: &str, name: &str) -> StoreResult<Option<DynObject>> {
        self.call(Class::Load, "get", false, self.store.get(kind, name)).await
    }

    async fn get_by_uid(&self, uid: &str) -> StoreResult<Option<DynObject>> {
        self.call(Class::Load, "get_by_uid", false, self.store.get_by_uid(uid)).await
    }

    async fn list(&self, kind: &str, query: ListQuery) -> StoreResult<ListPage> {
        self.call(Class::Load, "list", false, self.store.list(kind, query)).await
    }

    async fn changes(&self, after: i64, limit: i64) -> StoreResult<Vec<Change>> {
        self.call(Class::Load, "changes", false, self.store.changes(after, limit)).await
    }

    async fn revision(&self) -> StoreResult<Revision> {
        self.call(Class::Load, "revision", false, self.store.revision()).await
    }

    /// Only the process that commits is woken at once, but being told early shows no other order of things than a poll at
    /// a lucky moment would.
    fn commits(&self) -> watch::Receiver<i64> {
        self.store.commits()
    }

    async fn claim(&self, host: &str) -> StoreResult<Option<ClaimRow>> {
        self.call(Class::Load, "claim", false, self.store.claim(host)).await
    }

    async fn claims(&self) -> StoreResult<Vec<ClaimRow>> {
        self.call(Class::Load, "claims", false, self.store.claims()).await
    }

    async fn evidence(&self, host: &str) -> StoreResult<Evidence> {
        self.call(Class::Load, "evidence", false, self.store.evidence(host)).await
    }

    async fn secret(&self, name: &str) -> StoreResult<Option<BTreeMap<String, SecretString>>> {
        self.call(Class::Load, "secret", false, self.store.secret(name)).await
    }

    async fn lease(&self, name: &str) -> StoreResult<LeaseRow> {
        self.call(Class::Lease, "lease", false, self.store.lease(name)).await
    }

    async fn events(&self, regarding_uid: Option<&str>, limit: i64) -> StoreResult<Vec<DynObject>> {
        self.call(Class::Load, "events", false, self.store.events(regarding_uid, limit)).await
    }

    async fn event(&self, name: &str) -> StoreResult<Option<DynObject>> {
        self.call(Class::Load, "event", false, self.store.event(name)).await
    }
}
