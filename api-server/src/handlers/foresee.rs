//! `explain` of a diff: what the controllers would do about what would change.

use super::decisions;
use crate::{
    call::Call,
    context::Ctx,
    errors::{ApiResult, Code},
};
use futures::future::join_all;
use planner::remediation::policy_from;
use registry::{Batch, Outcome};
use schemas::DynObject;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Objects that are looked into; each may ask Nova and power hardware.
const MOST: usize = 100;
const AT_ONCE: usize = 8;

/// What would be done.
#[derive(Default)]
pub(super) struct Foreseen {
    /// By kind and name.
    objects: BTreeMap<(String, String), Value>,
    /// Hosts of which something else would be decided, as far as RemediationPolicies would change.
    decisions: Option<Value>,
}

impl Foreseen {
    /// Of what would be made or changed.
    pub async fn of(ctx: &Ctx, call: &Call, batch: &Batch) -> ApiResult<Foreseen> {
        call.allowed(ctx, "cloud-manager:decisions:get")?;
        let changed: Vec<&DynObject> = batch.results.iter().flatten().filter(|a| a.outcome != Outcome::Unchanged).map(|a| &a.object).collect();
        let mut objects = BTreeMap::new();
        for some in changed[..changed.len().min(MOST)].chunks(AT_ONCE) {
            let mut calls = Vec::new();
            for object in some {
                calls.push(ctx.guests.foresee(object));
            }
            for (object, would) in some.iter().zip(join_all(calls).await) {
                objects.insert(key(object), would.unwrap_or_else(|why| json!({"unknown": why})));
            }
        }
        for object in changed.iter().skip(MOST) {
            objects.insert(key(object), json!({"unknown": format!("more than {MOST} objects would change; send this one with fewer")}));
        }
        let policies = changed
            .iter()
            .filter(|o| o.kind == "RemediationPolicy")
            .map(|o| policy_from("spec", &json!({"metadata": {"name": o.metadata.name}, "spec": o.spec})));
        let policies = policies.collect::<Result<Vec<_>, _>>().map_err(registry::RegistryError::Invalid)?;
        if policies.is_empty() {
            return Ok(Foreseen { objects, decisions: None });
        }
        let decisions = match decisions::changes(ctx, &policies).await {
            Ok(changes) => Some(changes.into()),
            Err(error) if error.code() == Code::Unavailable => Some(json!({"unknown": error.of_item()["message"]})),
            Err(error) => return Err(error),
        };
        Ok(Foreseen { objects, decisions })
    }

    /// What would be done about an object.
    pub fn about(&self, object: &DynObject) -> Option<&Value> {
        self.objects.get(&key(object))
    }

    /// What would be decided of hosts.
    pub fn decisions(self) -> Option<Value> {
        self.decisions
    }
}

fn key(object: &DynObject) -> (String, String) {
    (object.kind.clone(), object.metadata.name.clone())
}
