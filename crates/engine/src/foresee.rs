//! What a reconciler would do next for an object as it might be declared. Nothing is written, and nothing is sent.

use crate::{
    Reconciler,
    loaded::{self, Led},
};
use planner::{Next, Step};
use schemas::{DynObject, Time};
use std::time::Duration;
use store::{CONTROLLER_LEASE, Store, StoreError};

/// Longest time one look at the world may take: somebody waits for the answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// What would come next.
#[derive(Clone, Debug, PartialEq)]
pub enum Foreseen {
    /// Nothing: it is as declared.
    Nothing,
    /// This step.
    Step(Step),
    /// Nothing yet.
    Wait {
        /// Stable word.
        reason: &'static str,
        /// A sentence.
        message: String,
    },
}

/// Looks at the world as the leader would, and decides with it. Other objects count as they stand; that the leader
/// has halted itself over a restored database (S14) only the leader knows.
///
/// # Errors
/// Those of the store. A world that cannot be read is none: then the decision is to wait.
pub async fn foresee<R: Reconciler>(store: &dyn Store, reconciler: &R, object: DynObject, now: Time) -> Result<Foreseen, StoreError> {
    // What the leader has in hand counts as in hand.
    let token = store.lease(CONTROLLER_LEASE).await?.token;
    let led = Led { token, since: Time(0), cluster_uuid: store.revision().await?.cluster_uuid, halted: None };
    let loaded = loaded::load(store, reconciler, object, led, now).await?;
    let look = tokio::time::timeout(DEADLINE, reconciler.observe(&loaded.object, &loaded.env)).await;
    let seen = look.unwrap_or_else(|_| reconciler.blind(&loaded.object, "the look at the world took too long"));
    Ok(match reconciler.decide(&loaded.object, &seen, &loaded.env).next {
        Next::Step(step) => Foreseen::Step(step),
        Next::Wait { reason, message, .. } => Foreseen::Wait { reason, message },
        Next::Settled { .. } | Next::Finished => Foreseen::Nothing,
    })
}
