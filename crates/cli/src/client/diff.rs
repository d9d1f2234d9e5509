//! `diff`.

use super::batch::{Batch, MANAGER, id, options};
use crate::{
    args::DiffArgs,
    output::{self, Failure},
};
use ::client::{Client, Exit};
use serde_json::{Value, json};
use similar::TextDiff;

/// Shows what an apply would change. `False` (1): something; as of `kubectl diff`.
pub async fn diff(client: &Client, args: DiffArgs) -> Result<Exit, Failure> {
    let batch = Batch::read(&args.files)?;
    let options = options(&args.declare, MANAGER, true, args.prune.then_some("All"));
    let done = client.diff_all(&batch.objects(), &options).await.map_err(|e| batch.failure(e))?;
    let mut differs = false;
    for item in done.items.iter().filter(|i| !i.merged.is_null()) {
        differs = true;
        show(&id(item), &item.live, &item.merged);
    }
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
