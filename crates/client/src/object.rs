//! Reading of objects that are not typed.

use schemas::DynObject;
use serde_json::Value;

/// A condition: status, reason and message; empty texts if it is not there.
pub fn condition<'a>(object: &'a DynObject, kind: &str) -> Option<Condition<'a>> {
    let list = object.status["conditions"].as_array()?;
    let found = list.iter().find(|c| c["type"] == kind)?;
    Some(Condition {
        status: text(&found["status"]),
        reason: text(&found["reason"]),
        message: text(&found["message"]),
        observed_generation: found["observedGeneration"].as_i64().unwrap_or(0),
    })
}

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<'a> {
    /// `True`, `False`, `Unknown`.
    pub status: &'a str,
    /// Stable word.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
    /// Generation it speaks of.
    pub observed_generation: i64,
}

/// A text; empty if it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether a one-shot object has ended, well or badly.
pub fn ended(object: &DynObject) -> bool {
    condition(object, "Succeeded").is_some_and(|c| matches!(c.status, "True" | "False"))
}
