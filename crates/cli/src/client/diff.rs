//! `diff`.

use super::batch::{Batch, MANAGER, id, options};
use crate::{
    args::DiffArgs,
    output::{self, Failure},
};
use ::client::{BatchOptions, Client, Exit};
use serde_json::{Value, json};
use similar::TextDiff;

/// Shows what an apply would change. `False` (1): something; as of `kubectl diff`.
pub async fn diff(client: &Client, args: DiffArgs) -> Result<Exit, Failure> {
    let batch = Batch::read(&args.files)?;
    let options = BatchOptions { explain: args.explain, ..options(&args.declare, MANAGER, true, args.prune.then_some("All")) };
    let done = client.diff_all(&batch.objects(), &options).await.map_err(|e| batch.failure(e))?;
    let mut differs = false;
    // Where only whose the fields are would change, there is nothing to see.
    for item in done.items.iter().filter(|i| text(&i.live) != text(&i.merged)) {
        differs = true;
        show(&id(item), &item.live, &item.merged);
        if let Some(would) = foreseen(&item.explain) {
            output::data(&format!("# {}: {would}", id(item)));
        }
    }
    decided(&done.decisions).iter().for_each(|line| output::data(&format!("# {line}")));
    for item in &done.pruned {
        match item.result.as_str() {
            "kept" | "released" => output::note(&format!("{} {}: {}", id(item), item.result, item.message)),
            _ => {
                differs = true;
                show(&id(item), &item.live, &Value::Null);
            }
        }
    }
    let complaints = batch.complaints(&done);
    complaints.iter().for_each(|complaint| output::note(&format!("error: {complaint}")));
    match &done.refused {
        Some(refused) => Ok(refused.exit()),
        None if differs => Ok(Exit::False),
        None => Ok(Exit::Ok),
    }
}

/// What would be done next about an object, in words.
fn foreseen(explain: &Value) -> Option<String> {
    let text = |key: &str| explain[key].as_str().unwrap_or_default().trim_end_matches('.').to_string();
    if explain["unknown"].is_string() {
        return Some(format!("what would be done is not known: {}", text("unknown")));
    }
    match explain["next"].as_str()? {
        "Step" if explain["disruptive"] == true => Some(format!("would do {} next, which takes away something that may run", text("step"))),
        "Step" => Some(format!("would do {} next", text("step"))),
        "Wait" => Some(format!("would wait, {}: {}", text("reason"), text("message"))),
        _ => Some("nothing would be done".into()),
    }
}

/// Hosts of which something else would be decided.
fn decided(decisions: &Value) -> Vec<String> {
    if let Some(why) = decisions["unknown"].as_str() {
        return vec![format!("what would be decided of hosts is not known: {why}")];
    }
    let side = |host: &Value| {
        let (state, policy) = (host["availability"]["state"].as_str().unwrap_or("nothing known"), host["policy"].as_str().unwrap_or("none"));
        let begin = host["begin"].as_str().map_or("begins nothing".into(), |begin| format!("begins {begin}"));
        let why = host["allowed"]["message"].as_str().map(|m| format!(" ({})", m.trim_end_matches('.'))).unwrap_or_default();
        format!("{state} under policy {policy}, {begin}{why}")
    };
    let line = |change: &Value| {
        format!("host/{}: now {}; then {}", change["host"].as_str().unwrap_or_default(), side(&change["now"]), side(&change["then"]))
    };
    decisions.as_array().into_iter().flatten().map(line).collect()
}

fn show(id: &str, live: &Value, merged: &Value) {
    output::data(unified(id, &text(live), &text(merged)).trim_end());
}

fn unified(id: &str, before: &str, after: &str) -> String {
    let name = |text: &str, side: &str| if text.is_empty() { "/dev/null".to_string() } else { format!("{side}/{id}") };
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().context_radius(3).header(&name(before, "live"), &name(after, "declared")).to_string()
}

/// What people declare of an object, as YAML: nothing that the server writes. No object is no text.
fn text(object: &Value) -> String {
    if object.is_null() {
        return String::new();
    }
    let mut shown = json!({"kind": object["kind"], "metadata": object["metadata"], "spec": object["spec"]});
    if let Some(metadata) = shown["metadata"].as_object_mut() {
        for key in ["managedFields", "uid", "generation", "resourceVersion", "creationTimestamp", "deletionTimestamp"] {
            metadata.shift_remove(key);
        }
    }
    format!("{}\n", output::yaml(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_done_is_said_in_words() {
        let said = |explain: Value| foreseen(&explain).unwrap_or_default();
        assert_eq!(
            said(json!({"next": "Step", "step": "Power/ForceOff/l1", "disruptive": true})),
            "would do Power/ForceOff/l1 next, which takes away something that may run"
        );
        assert_eq!(said(json!({"next": "Wait", "reason": "Frozen", "message": "thaw it first."})), "would wait, Frozen: thaw it first");
        assert_eq!(said(json!({"unknown": "Nova does not answer"})), "what would be done is not known: Nova does not answer");
        assert_eq!((said(json!({"next": "Nothing"})), foreseen(&Value::Null)), ("nothing would be done".into(), None));
        let side = |begin: Value| json!({"policy": "p", "availability": {"state": "Down"}, "begin": begin, "allowed": {"message": "two are down."}});
        let lines = decided(&json!([{"host": "c1", "now": side(Value::Null), "then": side(json!("Evacuation/e1"))}]));
        assert_eq!(
            lines,
            ["host/c1: now Down under policy p, begins nothing (two are down); then Down under policy p, begins Evacuation/e1 (two are down)"]
        );
    }

    #[test]
    fn a_difference_shows_what_is_declared_and_nothing_that_the_server_writes() {
        let live = json!({"kind": "Host", "metadata": {"name": "c1", "uid": "u", "resourceVersion": "7", "managedFields": []},
                          "spec": {"power": "On"}, "status": {"epoch": 1}});
        let mut merged = live.clone();
        (merged["spec"]["power"], merged["metadata"]["resourceVersion"], merged["status"]["epoch"]) = (json!("Off"), json!("8"), json!(2));
        let said = unified("host/c1", &text(&live), &text(&merged));
        assert!(said.starts_with("--- live/host/c1\n+++ declared/host/c1\n"), "{said}");
        let changed: Vec<&str> = said.lines().skip(2).filter(|l| l.starts_with(['+', '-'])).collect();
        assert_eq!(changed, ["-  power: On", "+  power: Off"]);
        assert!(unified("host/c1", "", &text(&merged)).starts_with("--- /dev/null\n"));
    }
}
