//! What would become of the guests of a host if it were dead now. Nothing is written and nothing is sent.

use super::{guests, planning, sending};
use crate::{Env, facts::HostFacts, proof::EvidenceBody, settle::settle_all};
use schemas::{
    Object, ObjectMeta, Time,
    v1::{ClusterPolicySpec, EvacuationKind, EvacuationPlanSpec, EvacuationSpec, EvacuationStatus},
};

/// The plan that an evacuation with this spec would begin with. `Err`: what cannot be told, and why.
pub fn preview(spec: EvacuationSpec, facts: &HostFacts, policy: &ClusterPolicySpec, now: Time) -> Result<EvacuationPlanSpec, String> {
    let here = facts.guests.seen().ok_or_else(|| format!("guests cannot be listed: {}", facts.guests.why()))?;
    for (what, why) in [
        ("other hosts", facts.destinations.seen().is_none().then(|| facts.destinations.why())),
        ("server groups", facts.groups.seen().is_none().then(|| facts.groups.why())),
        ("migration records", facts.moves.seen().is_none().then(|| facts.moves.why())),
    ] {
        if let Some(why) = why {
            return Err(format!("{what} cannot be read: {why}"));
        }
    }
    let env = Env {
        now,
        led_since: now,
        cluster_uuid: String::new(),
        policy: policy.clone(),
        halted: None,
        owner_uid: String::new(),
        owner: String::new(),
        intents: Vec::new(),
        claim: None,
        evidence: EvidenceBody::default(),
        open_on_host: Vec::new(),
    };
    let mut ev: Object<EvacuationKind> = Object { metadata: ObjectMeta::named("preview"), spec, status: EvacuationStatus::default() };
    guests::enlist(&mut ev.status.guests, here, facts, &env)?;
    let mut status = ev.status.clone();
    let mut ready = sending::ready(&mut status.guests, &ev.spec, facts, &env, &settle_all(&env, facts));
    planning::plan(&ev, &mut status, &mut ready, facts, &env);
    Ok(planning::spec_of(&ev, &status, facts, 1))
}
