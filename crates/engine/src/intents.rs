//! Intents between the planner's shape and the store's (kind Operation).

use planner::{Intent, Step, contract::by_our_clock};
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

/// An Operation as decisions see it, its times by our own clock: an inherited call is judged only after its end of life
/// has passed on it, counted from when we began to lead (S8).
pub fn parse(object: &DynObject, my_token: i64, led_since: Time, now: Time) -> Result<Intent, FieldError> {
    let operation: Object<v1::Operation> = object.typed()?;
    let action: Step = schemas::object::decode("spec.action", &operation.spec.action)?;
    let ours = |at| by_our_clock(at, led_since, now);
    let issued_at = operation.spec.issued_at.map_or(now, ours);
    Ok(Intent {
        name: operation.metadata.name,
        owner_uid: operation.spec.owner_uid,
        step: operation.spec.step,
        attempt: operation.spec.attempt,
        action,
        ex_leader: (operation.spec.token != my_token).then_some(operation.spec.token),
        state: operation.status.state,
        issued_at,
        closed_at: operation.status.closed_at.map(ours),
        past_end_of_life: now.seconds_since(issued_at) - operation.spec.end_of_life_seconds,
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

#[cfg(test)]
mod tests {
    use super::*;
    use planner::contract::PowerCommand;

    fn at(seconds: i64) -> Time {
        Time(1_800_000_000_000_000).plus_seconds(seconds)
    }

    fn owner() -> DynObject {
        let mut owner = DynObject::new("Evacuation", "e1", serde_json::json!({}));
        (owner.metadata.uid, owner.metadata.generation) = ("uid-1".into(), 3);
        owner
    }

    fn step() -> Step {
        Step::Power { link: "l1".into(), command: PowerCommand::ForceOff }
    }

    #[test]
    fn deciding_the_same_again_gives_the_same_name_and_any_difference_another() {
        let base = name("uid-1", 3, "Power/ForceOff/l1", 1);
        assert_eq!(base, name("uid-1", 3, "Power/ForceOff/l1", 1));
        let others = [
            name("uid-2", 3, "Power/ForceOff/l1", 1),
            name("uid-1", 4, "Power/ForceOff/l1", 1),
            name("uid-1", 3, "Power/On/l1", 1),
            name("uid-1", 3, "Power/ForceOff/l1", 2),
        ];
        assert!(others.iter().all(|o| *o != base));
        // The parts cannot run into each other.
        assert_ne!(name("uid-1", 31, "x", 1), name("uid-13", 1, "x", 1));
        assert!(ObjectMeta::named(base).validate().is_empty());
    }

    #[test]
    fn an_intent_comes_back_from_the_store_as_it_was_written() {
        let steps = [
            step(),
            Step::NovaService { service_id: "s".into(), enabled: Some(false), reason: Some("why".into()), forced_down: None },
            Step::Evacuate { server: "g".into(), destination: "b".into(), leave_stopped: true, records_before: vec![1, 2] },
            Step::LiveMigrate { server: "g".into(), records_before: Vec::new() },
            Step::StopGuest { server: "g".into() },
            Step::ColdMigrate { server: "g".into(), records_before: vec![3] },
            Step::ConfirmResize { server: "g".into(), record: 4 },
        ];
        for step in steps {
            let written = new(&owner(), "a", &step, 2, 7, at(0));
            let read = parse(&written, 7, at(-100), at(5)).unwrap();
            assert_eq!((read.action, read.step, read.attempt, read.owner_uid.as_str()), (step.clone(), step.name(), 2, "uid-1"));
            assert_eq!((read.state, read.issued_at, read.past_end_of_life), (OperationState::Issued, at(0), 5 - step.end_of_life_seconds()));
        }
    }

    #[test]
    fn an_inherited_call_lives_from_when_we_began_to_lead_and_ours_from_when_it_was_written() {
        let written = new(&owner(), "a", &step(), 1, 7, at(0));
        let past = |token, led_since: i64, now: i64| parse(&written, token, at(led_since), at(now)).unwrap().past_end_of_life;
        assert_eq!(past(7, -50, 30), 10, "ours");
        assert_eq!(past(8, 50, 60), -10, "inherited: ten of twenty seconds on our own clock");
        assert_eq!(past(8, 50, 70), 0);
        assert_eq!(past(8, -50, 30), 10, "written after we began to lead, by a controller whose clock is ahead");
        assert_eq!(past(8, -70, -60), -10, "written later than now: by a clock that is far ahead");
        assert_eq!(parse(&written, 7, at(0), at(1)).unwrap().ex_leader, None);
        assert_eq!(parse(&written, 8, at(0), at(1)).unwrap().ex_leader, Some(7));
    }

    #[test]
    fn a_closed_intent_keeps_when_and_the_request_id_that_it_had() {
        let written = new(&owner(), "a", &step(), 1, 7, at(0));
        let open = with_state(&written, OperationState::Unknown, "timed out", Some("req-1".into()), at(3));
        assert_eq!(parse(&open, 7, at(0), at(4)).unwrap().closed_at, None);
        let closed = with_state(&open, OperationState::Observed, &"x".repeat(5_000), None, at(9));
        assert_eq!(closed.status["requestId"], "req-1");
        let read = parse(&closed, 7, at(0), at(10)).unwrap();
        assert_eq!((read.state, read.closed_at, read.evidence.len()), (OperationState::Observed, Some(at(9)), 1_024));
    }

    #[test]
    fn a_row_that_makes_no_sense_is_an_error_and_never_a_missing_intent() {
        let mut broken = new(&owner(), "a", &step(), 1, 7, at(0));
        broken.spec["action"]["type"] = serde_json::json!("selfDestruct");
        let error = parse(&broken, 7, at(0), at(1)).unwrap_err().to_string();
        assert!(error.contains("selfDestruct"), "{error}");
    }
}
