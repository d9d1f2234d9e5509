//! Task: a one-shot object as the product's earlier clients know it. Read-only.

use crate::{DynObject, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The kind Task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task;

/// Which object it shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskSpec {
    /// `Kind/name` of the object.
    pub object: String,
}

/// Where it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStatus {
    /// `PENDING`, `STARTED`, `RETRY`, `SUCCESS`, `FAILURE` or `REVOKED` (Celery's words).
    pub state: String,
    /// What came of it.
    pub result: Value,
}

impl Kind for Task {
    const KIND: &'static str = "Task";
    const PLURAL: &'static str = "tasks";
    type Spec = TaskSpec;
    type Status = TaskStatus;
}

/// The Task view of a HostOperation or Evacuation.
pub fn task_status(object: &DynObject) -> TaskStatus {
    let condition =
        |kind: &str| object.status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind).cloned().unwrap_or(Value::Null);
    let (succeeded, cancelled) = (condition("Succeeded"), condition("Cancelled"));
    let retrying = object.status["retry"]["failures"].as_i64().unwrap_or(0) > 0;
    let state = match succeeded["status"].as_str() {
        Some("True") => "SUCCESS",
        Some("False") if cancelled["status"] == "True" => "REVOKED",
        Some("False") => "FAILURE",
        _ if retrying => "RETRY",
        _ if object.status["startedAt"].is_string() => "STARTED",
        _ => "PENDING",
    };
    let waiting = &object.status["waiting"];
    let result = match state {
        "SUCCESS" | "FAILURE" | "REVOKED" => json!({"reason": succeeded["reason"], "message": succeeded["message"]}),
        _ if waiting.is_object() => json!({"reason": waiting["reason"], "message": waiting["message"]}),
        _ => Value::Null,
    };
    TaskStatus { state: state.into(), result }
}
