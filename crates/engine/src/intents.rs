//! Intents between the planner's shape and the store's (kind Operation).

use planner::{Intent, Step};
use schemas::{
    DynObject, FieldError, Object, ObjectMeta, Time,
    v1::{self, OperationSpec, OperationState, OperationStatus},
};
use sha2::{Digest, Sha256};

/// Name of an intent: deciding the same again gives the same name, so that a second row collides.
pub fn name(owner_uid: &str, generation: i64, step: &str, attempt: i64) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{owner_uid}\0{generation}\0{step}\0{attempt}"));
    let hex: String = hash.finalize().iter().take(10).map(|b| format!("{b:02x}")).collect();
    format!("op-{hex}")
}

/// A new Operation in state Issued.
pub fn new(owner: &DynObject, host: &str, step: &Step, attempt: i64, token: i64, now: Time) -> DynObject {
    let step_name = step.name();
    let metadata = ObjectMeta {
        uid: uuid::Uuid::new_v4().to_string(),
        generation: 1,
        creation_timestamp: Some(now),
        ..ObjectMeta::named(name(&owner.metadata.uid, owner.metadata.generation, &step_name, attempt))
    };
    let spec = OperationSpec {
        owner: owner.id(),
        owner_uid: owner.metadata.uid.clone(),
        generation: owner.metadata.generation,
        host: host.into(),
        step: step_name,
        attempt,
        action: serde_json::to_value(step).unwrap_or_default(),
        token,
        issued_at: Some(now),
        end_of_life_seconds: step.end_of_life_seconds(),
    };
    Object::<v1::Operation> { metadata, spec, status: OperationStatus::default() }.to_dyn()
}

/// An Operation as decisions see it. `led_since`: an inherited call is judged only after its end of life
/// has passed on our own clock, counted from when we began to lead (S8).
pub fn parse(object: &DynObject, my_token: i64, led_since: Time, now: Time) -> Result<Intent, FieldError> {
    let operation: Object<v1::Operation> = object.typed()?;
    let action: Step = schemas::object::decode("spec.action", &operation.spec.action)?;
    let issued_at = operation.spec.issued_at.unwrap_or(now);
    let counted_from = if operation.spec.token == my_token { issued_at } else { issued_at.max(led_since) };
    Ok(Intent {
        name: operation.metadata.name,
        owner_uid: operation.spec.owner_uid,
        step: operation.spec.step,
        attempt: operation.spec.attempt,
        action,
        state: operation.status.state,
        issued_at,
        closed_at: operation.status.closed_at,
        past_end_of_life: now.seconds_since(counted_from) - operation.spec.end_of_life_seconds,
        evidence: operation.status.evidence,
    })
}

/// An Operation with a new state.
pub fn with_state(object: &DynObject, state: OperationState, evidence: &str, request_id: Option<String>, now: Time) -> DynObject {
    let mut object = object.clone();
    let old = object.status["requestId"].as_str().map(String::from);
    let status = OperationStatus {
        state,
        request_id: request_id.or(old),
        evidence: evidence.chars().take(1024).collect(),
        closed_at: (!state.is_open()).then_some(now),
    };
    object.status = serde_json::to_value(status).unwrap_or_default();
    object
}
