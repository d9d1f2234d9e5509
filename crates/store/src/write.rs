//! Writing: what a caller is told of it, whatever happens on the way.

use crate::{Committed, Guard, Op, OutboxRule, SqlStore, StoreError, StoreResult, audit::Remembered, conn::with_conn, keys::KeyRing, trouble};
use schemas::{DynObject, Time, v1::OperationState};
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Tries of a transaction that others were in the way of.
const TRIES: u32 = 10;

/// A transaction to run.
#[derive(Clone)]
pub(crate) struct Order {
    pub guard: Guard,
    pub now: Time,
    pub ops: Vec<Op>,
    pub keys: Arc<KeyRing>,
    pub audit_end: Arc<Remembered>,
    pub outbox: Option<Arc<OutboxRule>>,
}

/// Whether something was sent that may have taken effect, and was not denied since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent(Arc<AtomicBool>);

impl Sent {
    /// Marks that the next thing sent may take effect.
    pub fn mark(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// The database said that it did not.
    pub fn clear(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// Whether it may have.
    pub fn maybe(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What a transaction itself came to, before its `COMMIT`; a rollback that fails as well must not hide it.
#[derive(Clone)]
pub(crate) struct Verdict {
    body: Arc<Mutex<Option<StoreResult<()>>>>,
    sent: Sent,
}

impl Verdict {
    pub fn new(sent: &Sent) -> Self {
        Verdict { body: Arc::default(), sent: sent.clone() }
    }

    /// The body has ended; if it went well, `COMMIT` is next.
    pub fn note<T>(&self, done: StoreResult<T>) -> StoreResult<T> {
        if done.is_ok() {
            self.sent.mark();
        }
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(done.as_ref().map(drop).map_err(Clone::clone));
        done
    }

    /// What the caller is told.
    pub fn settle<T>(&self, done: StoreResult<T>) -> StoreResult<T> {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        done.map_err(|error| match body {
            Some(Err(cause)) => cause,
            Some(Ok(())) if trouble::is_definite(&error) => {
                self.sent.clear();
                error
            }
            // All was written, and the commit failed: it may be on disk.
            Some(Ok(())) => StoreError::OutcomeUnknown(error.to_string()),
            None => error,
        })
    }
}

impl SqlStore {
    /// Runs a transaction by the write rule.
    pub(crate) async fn commit_ops(&self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        let (store, sent) = (self.clone(), Sent::default());
        let order = Order { guard, now, ops, keys: self.keys.clone(), audit_end: self.audit_end.clone(), outbox: self.outbox.clone() };
        self.writing(&sent.clone(), async move {
            let _turn = store.turn().await;
            let mut tries = 1;
            let done = loop {
                let order = order.clone();
                let done: StoreResult<Committed> = with_conn!(store.db, c, sql => sql::write::commit(c, order, &sent).await);
                match done {
                    // Nothing was written, and the transaction is as good as it was.
                    Err(StoreError::Contended(_)) if tries < TRIES => {
                        let pause = rand::random_range(0..10 * u64::from(tries));
                        tries += 1;
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                    done => break done?,
                }
            };
            store.tell(done.revision);
            Ok(done)
        })
        .await
    }
}

/// What is indexed of an object beside its name.
pub(crate) struct Index {
    pub owner_uid: Option<String>,
    pub host: Option<String>,
    pub open: bool,
}

impl Index {
    pub fn of(object: &DynObject) -> Index {
        let text = |v: &Value| v.as_str().filter(|s| !s.is_empty()).map(String::from);
        let one_shot = schemas::kinds::find(&object.kind).is_some_and(|k| k.one_shot);
        let open = if object.kind == "Operation" {
            serde_json::from_value(object.status["state"].clone()).unwrap_or(OperationState::Issued).is_open()
        } else {
            one_shot && !object.status["finishedAt"].is_string()
        };
        let host = text(&object.spec["host"]).or_else(|| text(&object.spec["hostRef"]["name"]));
        Index { owner_uid: text(&object.spec["ownerUid"]), host, open }
    }
}

pub(crate) fn json(value: &impl serde::Serialize) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(e.to_string()))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> StoreResult<T> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(e.to_string()))
}
