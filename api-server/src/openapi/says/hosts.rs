//! What is seen of hosts now, what would be decided, and what other channels say.

use super::{HOSTS, RECOVERY};
use crate::{
    handlers::evidence::Sent,
    openapi::{
        Components, Operation, Place, answers,
        operation::{Answer, JSON},
    },
};
use schemas::{kinds, v1::EvacuationPlanSpec};
use serde_json::json;

pub(crate) fn guests(_: &Place, c: &mut Components) -> Operation {
    let answer = Answer::json("The guests.", c.of::<answers::GuestList>());
    let words = "The guests of a host, as Nova shows them now. If Nova does not answer this is 503, and never an empty list.";
    Operation::new("listHostGuests", HOSTS, "List the guests of a host", words).answers(200, answer).fails(&[404])
}

pub(crate) fn evacuation_plan(_: &Place, c: &mut Components) -> Operation {
    let answer = Answer::json("The plan.", c.of::<EvacuationPlanSpec>());
    let words = "What would become of the host's guests if it were dead now. Nothing is written and nothing is sent.";
    Operation::new("previewEvacuation", HOSTS, "Preview the evacuation of a host", words).answers(200, answer).fails(&[404])
}

pub(crate) fn evidence(_: &Place, c: &mut Components) -> Operation {
    let answer = Answer::json("The last observation of each channel.", c.of::<answers::HostEvidence>());
    let words = "What channels beside Nova and the power links said last of a host.";
    Operation::new("listHostEvidence", HOSTS, "List what channels say of a host", words).answers(200, answer).fails(&[404])
}

pub(crate) fn take_evidence(_: &Place, c: &mut Components) -> Operation {
    let one = c.of::<Sent>();
    let many = json!({"type": "array", "maxItems": 1000, "items": one, "description": "All are taken, or none."});
    let body = c.keep("Evidence", json!({"anyOf": [one, many], "description": "An observation, or a list of them."}));
    let words = "What a channel saw of hosts: evidence, never an order. All observations are taken, or none; those that are older than what is \
                 known are named.";
    Operation::new("sendEvidence", RECOVERY, "Send what a channel saw", words)
        .takes(true, "What was seen.", &[JSON], &body)
        .answers(202, Answer::json("They were taken.", c.of::<answers::EvidenceTaken>()))
}

pub(crate) fn decisions(_: &Place, c: &mut Components) -> Operation {
    let answer = Answer::json("What would be decided.", c.of::<answers::Decisions>());
    let words = "What the watch over hosts would begin now, and why not more. Nothing is written and nothing is sent.";
    Operation::new("getDecisions", RECOVERY, "Read what would be decided now", words).answers(200, answer).fails(&[404])
}

pub(crate) fn decisions_under(_: &Place, c: &mut Components) -> Operation {
    let spec = kinds::find("RemediationPolicy").map_or_else(|| json!({}), |kind| c.object(kind)["$ref"].take());
    let spec = json!({"$ref": format!("{}/properties/spec", spec.as_str().unwrap_or_default())});
    let spec = json!({"anyOf": [spec, {"type": "null"}], "description": "What the policy would say; absent or null: what a new one says."});
    let name = json!({"type": "string", "minLength": 1, "description": "The policy that it replaces, or a new one."});
    let policy = json!({
        "type": "object",
        "description": "A RemediationPolicy to lay over those that there are.",
        "required": ["metadata"],
        "properties": {
            "kind": {"const": "RemediationPolicy", "description": "Its kind."},
            "metadata": {"type": "object", "description": "Its name.", "required": ["name"], "properties": {"name": name}},
            "spec": spec,
        },
    });
    let policy = c.keep("PolicyToTry", policy);
    let list = json!({"type": "array", "maxItems": 100, "items": policy, "description": "The policies to try out."});
    let body = json!({
        "type": "object",
        "description": "Policies to try out.",
        "additionalProperties": false,
        "required": ["policies"],
        "properties": {"policies": list},
    });
    let body = c.keep("PoliciesToTry", body);
    let answer = Answer::json("What would be decided.", c.of::<answers::Decisions>());
    let words = "The same with policies laid over those that there are. Nothing is written and nothing is sent.";
    Operation::new("tryDecisions", RECOVERY, "Try out policies", words)
        .takes(true, "The policies.", &[JSON], &body)
        .answers(200, answer)
        .fails(&[404])
}
