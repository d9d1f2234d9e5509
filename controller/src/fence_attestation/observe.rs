//! What the decision about an attestation needs: a look at its host, as its own reconciler takes it.

use crate::{World, world::Depth};
use async_trait::async_trait;
use engine::Reconciler;
use planner::{Decision, Env, facts::HostFacts};
use schemas::{
    Object,
    v1::{self, FenceAttestationStatus},
};
use std::sync::Arc;

pub(crate) struct FenceAttestationReconciler {
    pub world: Arc<World>,
    /// How old shared lists may be, in milliseconds.
    pub light_ms: i64,
}

#[async_trait]
impl Reconciler for FenceAttestationReconciler {
    type Kind = v1::FenceAttestation;
    type Seen = HostFacts;

    fn host(&self, object: &Object<v1::FenceAttestation>) -> Option<String> {
        Some(object.spec.host_ref.name.clone())
    }

    async fn observe(&self, object: &Object<v1::FenceAttestation>, env: &Env) -> HostFacts {
        let host = &object.spec.host_ref.name;
        if object.status.finished_at.is_some() {
            return HostFacts::blind(host, "the attestation has ended");
        }
        self.world.facts(host, Depth::Light(self.light_ms), env, &[]).await
    }

    fn blind(&self, object: &Object<v1::FenceAttestation>, why: &str) -> HostFacts {
        HostFacts::blind(&object.spec.host_ref.name, why)
    }

    fn decide(&self, object: &Object<v1::FenceAttestation>, seen: &HostFacts, env: &Env) -> Decision<FenceAttestationStatus> {
        planner::fence_attestation::decide(object, seen, env)
    }
}
