//! What a host operation's decision needs.

use crate::{World, world::Depth};
use async_trait::async_trait;
use engine::Reconciler;
use planner::{Decision, Env, facts::HostFacts};
use schemas::{
    Object,
    v1::{self, Cause, HostOperationStatus, HostOperationType, InitialiseMethod},
};
use std::sync::Arc;

pub(crate) struct HostOperationReconciler(pub Arc<World>);

#[async_trait]
impl Reconciler for HostOperationReconciler {
    type Kind = v1::HostOperation;
    type Seen = HostFacts;

    fn host(&self, object: &Object<v1::HostOperation>) -> Option<String> {
        Some(object.spec.host_ref.name.clone())
    }

    async fn observe(&self, object: &Object<v1::HostOperation>, env: &Env) -> HostFacts {
        let host = &object.spec.host_ref.name;
        if object.status.finished_at.is_some() {
            return HostFacts::blind(host, "the operation has ended");
        }
        let identity = object.spec.r#type == HostOperationType::Initialise && object.spec.method == InitialiseMethod::Identity;
        let mut facts = self.0.facts(host, Depth::Full { provider: true, destinations: false, identity }, env, &[]).await;
        // Read last: a policy that is edited meanwhile counts from here on.
        if object.spec.cause == Cause::Automatic {
            facts.holding = self.0.holding(host).await;
        }
        facts
    }

    fn blind(&self, object: &Object<v1::HostOperation>, why: &str) -> HostFacts {
        HostFacts::blind(&object.spec.host_ref.name, why)
    }

    fn decide(&self, object: &Object<v1::HostOperation>, seen: &HostFacts, env: &Env) -> Decision<HostOperationStatus> {
        planner::host_operation::decide(object, seen, env)
    }
}
