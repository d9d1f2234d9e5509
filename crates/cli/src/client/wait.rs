//! `wait`: until a condition holds, by watching.

use super::{condition, find_kind};
use crate::{
    args::WaitArgs,
    output::{self, Failure},
};
use ::client::{Client, Event, Exit, Query};
use schemas::{DynObject, KindInfo};
use tokio::time::{Instant, timeout_at};

/// What is waited for.
#[derive(Debug, PartialEq, Eq)]
enum Goal {
    Condition { kind: String, status: String },
    Gone,
}

impl Goal {
    fn parse(text: &str) -> Result<Goal, Failure> {
        let wrong = || Failure::usage(format!("--for={text} is not understood; write condition=TYPE, condition=TYPE=False, or delete"));
        if text.eq_ignore_ascii_case("delete") {
            return Ok(Goal::Gone);
        }
        let rest = text.strip_prefix("condition=").ok_or_else(wrong)?;
        let (kind, status) = rest.split_once('=').unwrap_or((rest, "True"));
        let status = ["True", "False", "Unknown"].into_iter().find(|s| s.eq_ignore_ascii_case(status)).ok_or_else(wrong)?;
        if kind.is_empty() { Err(wrong()) } else { Ok(Goal::Condition { kind: kind.into(), status: status.into() }) }
    }
}

/// How an object stands to the goal.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// It is as wanted.
    Reached,
    /// It will never be: a one-shot object has ended otherwise.
    Missed,
    /// Not yet.
    Open,
}

fn standing(object: &DynObject, one_shot: bool, kind: &str, status: &str) -> Standing {
    let Some(found) = condition(object, kind) else { return Standing::Open };
    // What was said of an earlier spec says nothing of this one.
    let current = found.observed_generation >= object.metadata.generation;
    if found.status == status && current {
        Standing::Reached
    } else if one_shot && super::ended(object) && current {
        Standing::Missed
    } else {
        Standing::Open
    }
}

/// Where the object stands, in one sentence.
fn said(object: &DynObject, kind: &str) -> String {
    let waiting = &object.status["waiting"];
    let mut text = match condition(object, kind) {
        Some(c) if c.observed_generation < object.metadata.generation => {
            format!("{kind} is {} ({}), but for an earlier spec: {}", c.status, c.reason, c.message)
        }
        Some(c) => format!("{kind} is {} ({}): {}", c.status, c.reason, c.message),
        None => format!("it has no condition {kind}"),
    };
    if waiting["reason"].is_string() && !text.contains(super::text(&waiting["message"])) {
        text.push_str(&format!(" It waits ({}): {}", super::text(&waiting["reason"]), super::text(&waiting["message"])));
    }
    text
}

pub async fn wait(client: &Client, args: WaitArgs) -> Result<Exit, Failure> {
    let kind = find_kind(&args.kind)?;
    let goal = Goal::parse(&args.condition)?;
    let id = output::short(kind.kind, &args.name);
    let deadline = Instant::now() + args.timeout;
    let mut watch = client.watch(kind.plural, Query::named(&args.name));
    let mut last: Option<DynObject> = None;
    loop {
        let event = match timeout_at(deadline, watch.next()).await {
            Ok(event) => event?,
            Err(_) => {
                let state = match (&goal, &last) {
                    (Goal::Condition { kind, .. }, Some(object)) => said(object, kind),
                    (Goal::Gone, Some(object)) if !object.metadata.finalizers.is_empty() => {
                        format!("it is still there; to be cleaned up by {}", object.metadata.finalizers.join(", "))
                    }
                    (Goal::Gone, _) => "it is still there".into(),
                    (_, None) => "it was not seen".into(),
                };
                let seconds = args.timeout.as_secs();
                return Err(Failure::new(Exit::Timeout, format!("{id} did not get there within {seconds} s: {state}")));
            }
        };
        match event {
            Event::Added(object) | Event::Modified(object) => {
                if let Some(exit) = arrived(&object, kind, &goal, &id) {
                    return exit;
                }
                last = Some(*object);
            }
            Event::Deleted(_) if goal == Goal::Gone => return Ok(gone(&id)),
            Event::Deleted(_) => return Err(Failure::new(Exit::NotFound, format!("{id} was deleted while it was waited for"))),
            Event::Synced if last.is_none() && goal == Goal::Gone => return Ok(gone(&id)),
            Event::Synced if last.is_none() => return Err(Failure::new(Exit::NotFound, format!("there is no {} '{}'", kind.kind, args.name))),
            Event::Synced => {}
            Event::Trouble(why) => output::note(&format!("The watch was interrupted and is tried again: {why}")),
        }
    }
}

fn gone(id: &str) -> Exit {
    output::data(&format!("{id} is gone"));
    Exit::Ok
}

fn arrived(object: &DynObject, kind: &KindInfo, goal: &Goal, id: &str) -> Option<Result<Exit, Failure>> {
    let Goal::Condition { kind: wanted, status } = goal else { return None };
    match standing(object, kind.one_shot, wanted, status) {
        Standing::Open => None,
        Standing::Reached => {
            output::data(&format!("{id}: {}", said(object, wanted)));
            Some(Ok(Exit::Ok))
        }
        Standing::Missed => {
            let how = said(object, "Succeeded");
            Some(Err(Failure::new(Exit::False, format!("{id} has ended, and {wanted} will not become {status}: {how}"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(generation: i64, conditions: serde_json::Value) -> DynObject {
        let mut object = DynObject::new("Host", "c1", json!({}));
        object.metadata.generation = generation;
        object.status = json!({"conditions": conditions});
        object
    }

    #[test]
    fn what_is_waited_for_is_read_as_kubectl_writes_it() {
        let condition = |kind: &str, status: &str| Goal::Condition { kind: kind.into(), status: status.into() };
        assert_eq!(Goal::parse("condition=Ready").unwrap(), condition("Ready", "True"));
        assert_eq!(Goal::parse("condition=Fenced=false").unwrap(), condition("Fenced", "False"));
        assert_eq!(Goal::parse("delete").unwrap(), Goal::Gone);
        for wrong in ["Ready", "condition=", "condition=Ready=maybe"] {
            assert_eq!(Goal::parse(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_condition_of_an_earlier_spec_is_not_believed() {
        let ready = json!([{"type": "Ready", "status": "True", "reason": "AsDesired", "message": "", "observedGeneration": 1}]);
        assert_eq!(standing(&object(1, ready.clone()), false, "Ready", "True"), Standing::Reached);
        assert_eq!(standing(&object(2, ready), false, "Ready", "True"), Standing::Open);
    }

    #[test]
    fn an_unknown_condition_is_neither_true_nor_false() {
        let unknown = json!([{"type": "Fenced", "status": "Unknown", "reason": "PowerUnreadable", "observedGeneration": 1}]);
        assert_eq!(standing(&object(1, unknown.clone()), false, "Fenced", "False"), Standing::Open);
        assert_eq!(standing(&object(1, unknown), false, "Fenced", "Unknown"), Standing::Reached);
        assert_eq!(standing(&object(1, json!([])), false, "Fenced", "False"), Standing::Open);
    }

    #[test]
    fn a_one_shot_that_ended_badly_is_not_waited_for_any_longer() {
        let failed = json!([{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "no", "observedGeneration": 1}]);
        assert_eq!(standing(&object(1, failed.clone()), true, "Succeeded", "True"), Standing::Missed);
        assert_eq!(standing(&object(1, failed), true, "Succeeded", "False"), Standing::Reached);
    }
}
