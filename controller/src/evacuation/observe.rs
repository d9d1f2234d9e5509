//! What an evacuation's decision needs.

use crate::{World, sites::RECENT_SECONDS};
use async_trait::async_trait;
use engine::Reconciler;
use planner::{Decision, Env, facts::HostFacts};
use schemas::{
    Object,
    v1::{self, Cause, EvacuationPath, EvacuationStatus, GuestMove, GuestOutcome},
};
use std::sync::Arc;

pub(crate) struct EvacuationReconciler(pub Arc<World>);

/// Whether its next step may concern a guest. Before the host is fenced none does, unless it is drained: then nothing is asked
/// of Placement, and no list of all guests.
fn moves_guests(status: &EvacuationStatus, env: &Env) -> bool {
    status.path == EvacuationPath::Drain || status.fences > 0 || !status.guests.is_empty() || env.evidence.latch.is_some()
}

#[async_trait]
impl Reconciler for EvacuationReconciler {
    type Kind = v1::EvacuationKind;
    type Seen = HostFacts;

    fn host(&self, object: &Object<v1::EvacuationKind>) -> Option<String> {
        Some(object.spec.host_ref.name.clone())
    }

    async fn observe(&self, object: &Object<v1::EvacuationKind>, env: &Env) -> HostFacts {
        let host = &object.spec.host_ref.name;
        if object.status.finished_at.is_some() {
            return HostFacts::blind(host, "the evacuation has ended");
        }
        // Guests that are not settled, and those that moved a moment ago: what they need may not show as taken yet.
        let recent = env.now.plus_seconds(-RECENT_SECONDS);
        let wanted = |g: &&GuestMove| match g.outcome {
            GuestOutcome::Pending | GuestOutcome::Moving | GuestOutcome::NeedsHuman => true,
            GuestOutcome::Moved => g.finished_at.is_some_and(|at| at >= recent),
            _ => false,
        };
        let named: Vec<String> = object.status.guests.iter().filter(wanted).map(|g| g.id.clone()).collect();
        let mut facts = self.0.evacuation_facts(host, env, &named, moves_guests(&object.status, env)).await;
        if object.spec.fencing.is_none() {
            facts.fencing = self.0.fencing_of(host).await;
        }
        let mut facts = self.0.with_standby_hosts(facts, &object.metadata.uid).await;
        // Read last: a policy that is edited meanwhile counts from here on.
        if object.spec.cause == Cause::Automatic {
            facts.holding = self.0.holding(host).await;
        }
        facts
    }

    fn blind(&self, object: &Object<v1::EvacuationKind>, why: &str) -> HostFacts {
        HostFacts::blind(&object.spec.host_ref.name, why)
    }

    fn decide(&self, object: &Object<v1::EvacuationKind>, seen: &HostFacts, env: &Env) -> Decision<EvacuationStatus> {
        planner::evacuation::decide(object, seen, env)
    }
}
