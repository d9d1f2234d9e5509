//! What a controller does, recorded with the intent and with what became of it: who did it, and for which user.

use planner::{Step, contract::PowerCommand};
use schemas::{
    DynObject, Object,
    v1::{self, OperationState},
};
use serde_json::{Value, json};
use store::{AuditEntry, Op};

/// Most characters of what was seen that a record keeps.
const MOST_EVIDENCE: usize = 300;

/// Who acts.
pub(crate) struct Controller<'a> {
    /// Name in the lease row.
    pub holder: &'a str,
    /// Fencing token.
    pub token: i64,
}

/// Records of the calls that a transaction begins or tells the outcome of.
pub(crate) fn records(ops: &[Op], by: &Controller<'_>) -> Vec<Op> {
    let written = ops.iter().filter_map(|op| match op {
        Op::Create(object) | Op::Update { object, .. } if object.kind == "Operation" => Some(object),
        _ => None,
    });
    written.filter_map(|operation| record(operation, by)).map(Op::Audit).collect()
}

/// CADF's action, the kind and name of what it is done to, CADF's type of that, and the PowerLink it goes through.
fn words(step: &Step, host: &str) -> (String, String, &'static str, Option<String>) {
    let server = |id: &str| format!("Server/{id}");
    let of_guest = |action: &str, id: &str| (action.to_string(), server(id), "compute/machine", None);
    match step {
        Step::NovaService { enabled, forced_down, .. } => {
            let action = match (enabled, forced_down) {
                (_, Some(true)) => "update/force-down",
                (Some(true), _) => "enable",
                (Some(false), _) => "disable",
                (None, Some(false)) => "update/clear-forced-down",
                (None, None) => "update",
            };
            (action.into(), format!("Host/{host}"), "compute/node", None)
        }
        Step::Power { link, command } => {
            let action = match command {
                PowerCommand::On => "start",
                PowerCommand::ForceOff => "stop",
                PowerCommand::SoftOff => "stop/soft",
            };
            (action.into(), format!("PowerLink/{link}"), "service/compute/power", Some(link.clone()))
        }
        Step::LiveMigrate { server, .. } => of_guest("update/live-migrate", server),
        Step::Evacuate { server, .. } => of_guest("update/evacuate", server),
        Step::ColdMigrate { server, .. } => of_guest("update/migrate", server),
        Step::ConfirmResize { server, .. } => of_guest("update/confirm-resize", server),
        Step::StopGuest { server } => of_guest("stop", server),
    }
}

fn outcome(state: OperationState) -> &'static str {
    match state {
        OperationState::Issued | OperationState::Accepted => "pending",
        OperationState::Unknown => "unknown",
        OperationState::Observed => "success",
        OperationState::Refused | OperationState::Failed => "failure",
    }
}

/// The record of an intent as it is written. One that makes no sense is recorded as such: a call is never without a record.
fn record(object: &DynObject, by: &Controller<'_>) -> Option<AuditEntry> {
    let operation: Object<v1::Operation> = object.typed().ok()?;
    let spec = &operation.spec;
    let (action, target, type_uri, link) = match serde_json::from_value::<Step>(spec.action.clone()) {
        Ok(step) => words(&step, &spec.host),
        Err(_) => ("update/unknown".into(), format!("Host/{}", spec.host), "compute/node", None),
    };
    let outcome = outcome(operation.status.state);
    let evidence: String = operation.status.evidence.chars().filter(|c| !c.is_control()).take(MOST_EVIDENCE).collect();
    let mut act = json!({"operation": object.metadata.name, "step": spec.step, "attempt": spec.attempt, "host": spec.host, "for": spec.owner,
        "state": operation.status.state});
    if !evidence.is_empty() {
        act["evidence"] = evidence.into();
    }
    if let Some(id) = &operation.status.request_id {
        act["remoteRequestId"] = id.as_str().into();
    }
    let body = json!({
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "eventType": "activity",
        "action": action,
        "outcome": outcome,
        "initiator": {"typeURI": "service/compute", "id": by.holder, "name": "controller", "token": by.token},
        "target": {"typeURI": type_uri, "id": target, "name": target},
        "observer": {"typeURI": "service/compute", "id": "cloud-manager", "name": "cloud-manager"},
        "attachments": [{"name": "act", "content": act}],
        "onBehalfOf": Value::Null,
    });
    Some(AuditEntry {
        action,
        outcome: outcome.into(),
        target,
        target_uid: String::new(),
        host: spec.host.clone(),
        initiator: by.holder.into(),
        by_user: false,
        cause: Some((spec.owner.clone(), spec.owner_uid.clone())),
        link,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intents;
    use schemas::Time;

    fn entries(ops: &[Op]) -> Vec<AuditEntry> {
        let by = Controller { holder: "node-1", token: 7 };
        records(ops, &by).into_iter().filter_map(|op| if let Op::Audit(entry) = op { Some(entry) } else { None }).collect()
    }

    #[test]
    fn an_intent_and_what_became_of_it_are_two_records_of_one_act_for_one_object() {
        let mut owner = DynObject::new("Evacuation", "e1", json!({}));
        owner.metadata.uid = "uid-1".into();
        let step = Step::Power { link: "l1".into(), command: PowerCommand::ForceOff };
        let intent = intents::new(&owner, "a", &step, 1, 7, Time(0));
        let told = intents::with_state(&intent, OperationState::Unknown, "no answer\nfrom it", Some("req-9".into()), Time(1));
        let closed = intents::with_state(&told, OperationState::Observed, "it is off", None, Time(2));
        let ops = [
            Op::RequireNotFrozen,
            Op::Create(owner),
            Op::Create(intent),
            Op::Update { object: told, expected: 1 },
            Op::Update { object: closed, expected: 2 },
        ];
        let entries = entries(&ops);
        let words: Vec<(&str, &str)> = entries.iter().map(|e| (e.action.as_str(), e.outcome.as_str())).collect();
        assert_eq!(words, [("stop", "pending"), ("stop", "unknown"), ("stop", "success")]);
        for entry in &entries {
            assert_eq!((entry.initiator.as_str(), entry.host.as_str(), entry.link.as_deref()), ("node-1", "a", Some("l1")));
            assert_eq!(entry.cause, Some(("Evacuation/e1".into(), "uid-1".into())));
            assert_eq!(entry.body["initiator"]["token"], 7);
        }
        let act = &entries[1].body["attachments"][0]["content"];
        assert_eq!((act["remoteRequestId"].as_str(), act["evidence"].as_str()), (Some("req-9"), Some("no answerfrom it")));
    }

    #[test]
    fn every_step_has_its_word_and_one_that_nobody_knows_is_recorded_as_well() {
        let nova = |enabled, forced_down| Step::NovaService { service_id: "s".into(), enabled, reason: None, forced_down };
        for (step, action, target) in [
            (nova(Some(true), None), "enable", "Host/a"),
            (nova(Some(false), None), "disable", "Host/a"),
            (nova(Some(false), Some(true)), "update/force-down", "Host/a"),
            (Step::Power { link: "l".into(), command: PowerCommand::On }, "start", "PowerLink/l"),
            (
                Step::Evacuate { server: "g".into(), destination: "b".into(), leave_stopped: false, records_before: vec![] },
                "update/evacuate",
                "Server/g",
            ),
            (Step::StopGuest { server: "g".into() }, "stop", "Server/g"),
        ] {
            let intent = intents::new(&DynObject::new("Host", "a", json!({})), "a", &step, 1, 7, Time(0));
            let entry = entries(&[Op::Create(intent)]).remove(0);
            assert_eq!((entry.action.as_str(), entry.target.as_str(), entry.outcome.as_str()), (action, target, "pending"));
        }
        let mut odd = intents::new(&DynObject::new("Host", "a", json!({})), "a", &nova(None, None), 1, 7, Time(0));
        odd.spec["action"]["type"] = json!("selfDestruct");
        assert_eq!(entries(&[Op::Create(odd)])[0].action, "update/unknown");
    }
}
