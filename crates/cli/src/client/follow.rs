//! Staying with a one-shot object until it ends.

use super::{condition, text};
use crate::output::{self, Failure};
use ::client::{Client, Event, Exit, Query};
use schemas::{DynObject, KindInfo, v1::reasons};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Reasons for ending that are refusals for safety's sake.
const SAFETY: [&str; 4] = [reasons::EVACUATION_DENIED, reasons::FENCE_FORBIDDEN, reasons::FOREIGN, reasons::LOCAL_DISK];

/// How a one-shot object ended; `None` while it runs.
fn outcome(object: &DynObject) -> Option<Exit> {
    let succeeded = condition(object, "Succeeded")?;
    match succeeded.status {
        "True" => Some(Exit::Ok),
        "False" if SAFETY.contains(&succeeded.reason) => Some(Exit::Safety),
        "False" => Some(Exit::False),
        _ => None,
    }
}

/// Where it stands now, in a line.
fn progress(object: &DynObject) -> String {
    let waiting = &object.status["waiting"];
    let progress = text(&object.status["progress"]);
    match (progress.is_empty(), waiting["reason"].as_str()) {
        (_, Some(reason)) if !reason.is_empty() => format!("waits ({reason}): {}", text(&waiting["message"])),
        (false, _) => progress.into(),
        _ => "not begun".into(),
    }
}

/// Follows a one-shot object to its end; what happens goes to standard error.
///
/// # Errors
/// Exit code 6 after `limit`; the object goes on by itself.
pub async fn follow(client: &Client, kind: &KindInfo, name: &str, limit: Duration) -> Result<Exit, Failure> {
    let id = output::short(kind.kind, name);
    let deadline = Instant::now() + limit;
    let mut watch = client.watch(kind.plural, Query::named(name));
    let mut last = String::new();
    loop {
        let event = match timeout_at(deadline, watch.next()).await {
            Ok(event) => event?,
            Err(_) => {
                let hint = format!("cloud-manager describe {} {name}", kind.kind.to_ascii_lowercase());
                let message = format!("{id} is not over after {} s and goes on by itself; last seen: {last}. See: {hint}", limit.as_secs());
                return Err(Failure::new(Exit::Timeout, message));
            }
        };
        match event {
            Event::Added(object) | Event::Modified(object) => {
                if let Some(exit) = outcome(&object) {
                    let how = condition(&object, "Succeeded").map(|c| format!("{}: {}", c.reason, c.message)).unwrap_or_default();
                    output::note(&format!("{id} has ended: {how}"));
                    return Ok(exit);
                }
                let now = progress(&object);
                if now != last {
                    output::note(&format!("{id} {now}"));
                    last = now;
                }
            }
            Event::Deleted(_) => return Err(Failure::new(Exit::NotFound, format!("{id} was deleted before it ended"))),
            Event::Synced => {}
            Event::Trouble(why) => output::note(&format!("The watch was interrupted and is tried again: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_end_has_its_exit_code_and_a_running_one_has_none() {
        let ended = |status: &str, reason: &str| {
            let object = DynObject {
                status: json!({"conditions": [{"type": "Succeeded", "status": status, "reason": reason}]}),
                ..DynObject::new("Evacuation", "e", json!({}))
            };
            outcome(&object)
        };
        assert_eq!(ended("True", "Succeeded"), Some(Exit::Ok));
        assert_eq!(ended("False", "Failed"), Some(Exit::False));
        assert_eq!(ended("False", "FenceForbidden"), Some(Exit::Safety));
        assert_eq!(ended("Unknown", "Progressing"), None);
    }
}
