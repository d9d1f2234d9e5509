//! What GuestPolicies select now. Nothing is decided by it: an evacuation reads the policies itself.

use crate::World;
use engine::Shared;
use planner::guest_policy::{Rules, selections};
use schemas::{
    Conditions, Object,
    v1::{GuestPolicy, GuestPolicyStatus},
};
use std::collections::HashMap;
use store::{ListQuery, Op};

/// Age up to which the list of guests is good, in milliseconds.
const GUESTS_MS: i64 = 60_000;

/// One pass: writes how many guests each policy selects, and with which others it does not agree.
pub(crate) async fn pass(world: &World, shared: &Shared) -> Result<(), String> {
    let objects = shared.store.list("GuestPolicy", ListQuery::default()).await.map_err(|e| e.to_string())?.items;
    if objects.is_empty() {
        return Ok(());
    }
    let policies: Vec<Object<GuestPolicy>> = objects.iter().map(|o| o.typed().map_err(|e| e.to_string())).collect::<Result<_, _>>()?;
    let rules = Rules::of(policies.clone());
    let (guests, _) = world.all_guests(GUESTS_MS).await.map_err(|e| e.to_string())?;
    let mut groups: HashMap<String, Vec<String>> = HashMap::new();
    if rules.ask_for_groups() {
        for group in world.all_groups().await.map_err(|e| e.to_string())?.iter() {
            for member in &group.members {
                groups.entry(member.clone()).or_default().extend([group.id.clone(), group.name.clone()]);
            }
        }
    }
    let found = selections(&rules, guests.values().flatten(), &groups);
    for (object, policy) in objects.iter().zip(policies) {
        let mine = found.get(&policy.metadata.name).cloned().unwrap_or_default();
        let generation = policy.metadata.generation;
        let mut status = GuestPolicyStatus { observed_generation: generation, matched: mine.guests, ..policy.status };
        let (ready, reason, message) = mine.condition();
        status.conditions.set("Ready", ready, reason, &message, generation, shared.clock.now());
        let mut new = object.clone();
        new.status = serde_json::to_value(&status).map_err(|e| e.to_string())?;
        if new != *object {
            let op = Op::Update { object: new, expected: object.metadata.revision() };
            // Who edits the policy meanwhile is not stood in the way of; the next pass says it.
            if let Err(error) = shared.commit(vec![op]).await {
                tracing::debug!(policy = object.metadata.name, %error, "its status was not written");
            }
        }
    }
    Ok(())
}
