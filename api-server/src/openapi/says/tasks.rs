//! Host actions and tasks.

use super::TASKS;
use crate::openapi::{
    Components, Operation, Place, answers,
    operation::{Answer, JSON},
};
use serde_json::json;

pub(crate) fn list(_: &Place, c: &mut Components) -> Operation {
    let metadata = c.of::<answers::ListMeta>();
    let (link, task) = (c.of::<answers::Link>(), c.of::<answers::TaskView>());
    let object = schemas::kinds::find("Task").map_or_else(|| json!({}), |kind| c.object(kind));
    let schema = c.keep(
        "TaskList",
        json!({
            "type": "object",
            "description": "A page of tasks.",
            "additionalProperties": false,
            "required": ["apiVersion", "kind", "metadata", "links", "tasks", "items"],
            "properties": {
                "apiVersion": {"const": schemas::API_VERSION, "description": "Version of the objects."},
                "kind": {"const": "TaskList", "description": "What this is."},
                "metadata": described(metadata, "About the list."),
                "links": {"type": "array", "items": link, "description": "This page, and the next if there is one."},
                "tasks": {"type": "array", "items": task, "description": "The tasks, as OpenStack's clients look for them."},
                "items": {"type": "array", "items": object, "description": "The same as objects."},
            },
        }),
    );
    let words = "Every one-shot object as a task, in the order of the ids.";
    Operation::new("listTasks", TASKS, "List tasks", words).answers(200, Answer::json("A page of tasks.", schema).with("Link", "link")).fails(&[410])
}

/// A schema with words of its own.
pub(super) fn described(mut schema: serde_json::Value, words: &str) -> serde_json::Value {
    schema["description"] = words.into();
    schema
}

pub(crate) fn get(_: &Place, c: &mut Components) -> Operation {
    let answer = Answer::json("The task.", c.of::<answers::TaskView>());
    Operation::new("getTask", TASKS, "Read a task", "A one-shot object as a task, by its uid: where it stands, and what came of it.")
        .answers(200, answer)
        .fails(&[404])
}

pub(crate) fn action(place: &Place, c: &mut Components) -> Operation {
    let verb = place.verb.unwrap_or_default();
    let name: String = verb.split('-').map(|word| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..])).collect();
    let body = if verb == "shutdown" { c.of::<answers::ShutdownBody>() } else { c.of::<answers::EmptyBody>() };
    let body = json!({"anyOf": [body, {"type": "null"}]});
    let words = format!(
        "Makes a one-shot object that does `{verb}` to the host, and answers its id. The same request as one under way gives that one's id; another is 409. \
         202, or 200 if `api.legacy_action_status` says so. The body may be left out, and its Content-Type is not looked at."
    );
    let answer = |c: &mut Components| {
        let answer = Answer::json("The task that was begun.", c.of::<answers::TaskBegun>()).with("Location", "location");
        answer.then("task", "getTask", json!({"ref": "$response.body#/task_id"}))
    };
    let operation = Operation::new(format!("hostAction{name}"), TASKS, format!("Do {verb} to a host"), words).takes(
        false,
        "Nothing, or what the action knows.",
        &[JSON],
        &body,
    );
    operation.answers(202, answer(c)).answers(200, answer(c)).fails(&[404, 409])
}
