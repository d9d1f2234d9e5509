//! What a host's decision needs.

use crate::{World, world::Depth};
use async_trait::async_trait;
use engine::Reconciler;
use planner::{Decision, Env, facts::HostFacts};
use schemas::{
    Object,
    v1::{self, HostStatus, PowerState, PowerWish},
};
use std::sync::Arc;

pub(crate) struct HostReconciler {
    pub world: Arc<World>,
    /// How old shared lists may be for a host where nothing goes on, in milliseconds.
    pub light_ms: i64,
}

/// A host that is being switched off, or has open calls, is looked at closely; the others share lists.
fn depth(host: &Object<v1::Host>, env: &Env, light_ms: i64) -> Depth {
    let going_off = host.spec.power == PowerWish::Off && (host.status.power.state != PowerState::Off || env.claim.is_some());
    if env.claimed_by_other().is_none() && (going_off || env.open().next().is_some()) {
        Depth::Full { provider: true, destinations: false, identity: false }
    } else {
        Depth::Light(light_ms)
    }
}

#[async_trait]
impl Reconciler for HostReconciler {
    type Kind = v1::Host;
    type Seen = HostFacts;

    fn host(&self, object: &Object<v1::Host>) -> Option<String> {
        Some(object.metadata.name.clone())
    }

    async fn observe(&self, object: &Object<v1::Host>, env: &Env) -> HostFacts {
        self.world.facts(&object.metadata.name, depth(object, env, self.light_ms), env, &[]).await
    }

    fn blind(&self, object: &Object<v1::Host>, why: &str) -> HostFacts {
        HostFacts::blind(&object.metadata.name, why)
    }

    fn decide(&self, object: &Object<v1::Host>, seen: &HostFacts, env: &Env) -> Decision<HostStatus> {
        planner::host::decide(object, seen, env)
    }
}
