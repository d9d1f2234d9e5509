//! What a kind brings to the driver loop, and what the loop brings to it.

use crate::{Clock, Gate, Live, Metrics, Recorder, audit, recorder::tellings};
use async_trait::async_trait;
use planner::{Decision, Env, Step};
use schemas::{Kind, Object, Time, v1::OperationState};
use std::{
    sync::{Arc, RwLock},
    time::Duration,
};
use store::{Committed, Guard, Op, Store, StoreResult};
use tokio_util::sync::CancellationToken;

/// One kind's reconciler. Everything here must survive being run twice, being run late, and being killed at any await.
#[async_trait]
pub trait Reconciler: Send + Sync + 'static {
    /// The kind.
    type Kind: Kind;
    /// What is read from outside.
    type Seen: Send + Sync;

    /// The host an object concerns, if there is one: its claim, evidence and intents are loaded.
    fn host(&self, object: &Object<Self::Kind>) -> Option<String>;

    /// Reads the world. Never writes, never fails: what could not be read is unknown.
    async fn observe(&self, object: &Object<Self::Kind>, env: &Env) -> Self::Seen;

    /// What `observe` gives when its deadline passed.
    fn blind(&self, object: &Object<Self::Kind>, why: &str) -> Self::Seen;

    /// Decides; pure.
    fn decide(&self, object: &Object<Self::Kind>, seen: &Self::Seen, env: &Env) -> Decision<<Self::Kind as Kind>::Status>;
}

/// What became of an act. There is no "failed, so it did not happen".
#[derive(Clone, Debug, PartialEq)]
pub enum ActOutcome {
    /// The remote took it.
    Done {
        /// `Observed` if the answer itself shows the effect, `Accepted` if the effect goes on.
        state: OperationState,
        /// Request id of the remote.
        request_id: Option<String>,
        /// What it said.
        evidence: String,
    },
    /// The remote said no, definitively.
    Refused {
        /// Request id of the remote.
        request_id: Option<String>,
        /// What it said.
        evidence: String,
    },
    /// It never left.
    NotSent {
        /// Why.
        evidence: String,
    },
    /// It may have happened.
    Unknown {
        /// Request id of the remote.
        request_id: Option<String>,
        /// Why nobody can tell.
        evidence: String,
    },
}

/// Does steps. Never decides.
#[async_trait]
pub trait Actor: Send + Sync + 'static {
    /// Does one step on a host. `gate` is asked just before anything is sent (S8).
    async fn act(&self, host: &str, step: &Step, gate: &Gate) -> ActOutcome;
}

/// What all drivers of a controller share.
#[derive(Clone)]
pub struct Shared {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Whether this process may act.
    pub gate: Gate,
    /// When it began to lead.
    pub led_since: Time,
    /// Identity of this deployment.
    pub cluster_uuid: String,
    /// Why all acts are frozen (S14), if they are.
    pub halted: Arc<RwLock<Option<String>>>,
    /// Does steps.
    pub actor: Arc<dyn Actor>,
    /// Longest time until a settled object is looked at again.
    pub resync: Live,
    /// Cancelled when this controller is to hand over: looks at the world are broken off, nothing new is written down,
    /// and only calls that were written down already are made and noted.
    pub stop: CancellationToken,
    /// Words events.
    pub recorder: Recorder,
    /// Metrics.
    pub metrics: Metrics,
}

impl Shared {
    /// Runs a transaction under the lease; what it tells is said aloud when it is written, and only then.
    ///
    /// A call that it begins, or tells the outcome of, is recorded in the same transaction.
    pub async fn commit(&self, mut ops: Vec<Op>) -> StoreResult<Committed> {
        let tellings = tellings(&ops);
        let by = audit::Controller { holder: self.gate.holder(), token: self.gate.token() };
        ops.extend(audit::records(&ops, &by));
        let done = self.store.commit(Guard::Lease(self.gate.token()), self.clock.now(), ops).await?;
        self.recorder.committed(&tellings);
        Ok(done)
    }
}

/// What the queue has to know after a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunResult {
    /// Run again after so long.
    Again(Duration),
    /// Nothing more to do.
    Done,
    /// Another controller leads: stop.
    LeaseLost,
}

/// A driver without its type.
#[async_trait]
pub trait Run: Send + Sync + 'static {
    /// One reconcile of the object of this name.
    async fn run(&self, name: &str) -> RunResult;
    /// Kind it drives.
    fn kind(&self) -> &'static str;
}
