//! Events: told in the transaction of what they are about; each is a log line as well, and counted.

use crate::{Clock, Metrics};
use schemas::DynObject;
use std::sync::Arc;
use store::{Guard, Op, Store, Telling};

/// Words events, and says them aloud once they are written.
#[derive(Clone)]
pub struct Recorder {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    reporter: String,
    metrics: Metrics,
}

impl Recorder {
    /// A recorder that signs as `reporter`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, reporter: &str, metrics: Metrics) -> Self {
        Recorder { store, clock, reporter: reporter.into(), metrics }
    }

    /// What happened to an object, to be told in the transaction that writes it.
    pub fn op(&self, regarding: &DynObject, warning: bool, reason: &str, note: &str) -> Op {
        Op::Tell(Telling {
            regarding: regarding.id(),
            regarding_uid: regarding.metadata.uid.clone(),
            warning,
            reason: reason.into(),
            note: note.into(),
            reporter: self.reporter.clone(),
        })
    }

    /// Of a transaction that was committed: what was told in it is said aloud, and counted.
    pub fn committed(&self, tellings: &[Telling]) {
        for telling in tellings {
            let Telling { regarding, warning, reason, note, .. } = telling;
            self.metrics.told(regarding.split('/').next().unwrap_or_default(), telling.r#type(), reason);
            if *warning {
                tracing::warn!(regarding, reason, note, "event");
            } else {
                tracing::info!(regarding, reason, note, "event");
            }
        }
    }

    /// Tells what happened to an object where nothing else is written. An event that cannot be written is only logged.
    pub async fn record(&self, regarding: &DynObject, warning: bool, reason: &str, note: &str) {
        let op = self.op(regarding, warning, reason, note);
        let tellings = tellings(std::slice::from_ref(&op));
        match self.store.commit(Guard::Open, self.clock.now(), vec![op]).await {
            Ok(_) => self.committed(&tellings),
            Err(error) => tracing::warn!(regarding = regarding.id(), reason, note, %error, "an event was lost"),
        }
    }
}

/// What a transaction tells.
pub(crate) fn tellings(ops: &[Op]) -> Vec<Telling> {
    let telling = |op: &Op| if let Op::Tell(telling) = op { Some(telling.clone()) } else { None };
    ops.iter().filter_map(telling).collect()
}
