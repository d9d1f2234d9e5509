//! Fields that belong to somebody else.

use super::{Fields, ManagedBy, ManagedFields, Shape, get, paths};
use serde_json::Value;

/// A field that an apply would change, and that somebody else owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Path of the field.
    pub field: String,
    /// Who owns it.
    pub manager: String,
    /// How it came to own it.
    pub operation: ManagedBy,
    /// What stands there now: `text`, `number`, `flag`, `list`, `object`, or `nothing`.
    pub value: &'static str,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is owned by {:?} ({:?})", self.field, self.manager, self.operation)
    }
}

/// The fields of `declared` that hold another value in `after` than in `live`, and that others than `manager` own.
pub fn conflicts(shape: &Shape, live: &Value, after: &Value, owners: &[ManagedFields], declared: &Fields, manager: &str) -> Vec<Conflict> {
    let mut found = Vec::new();
    for path in declared.iter() {
        let now = get(shape, live, path);
        if now == get(shape, after, path) {
            continue;
        }
        for owner in owners.iter().filter(|o| o.manager != manager && o.fields.touches(path)) {
            let (manager, operation) = (owner.manager.clone(), owner.operation);
            found.push(Conflict { field: paths::text(path), manager, operation, value: word(now) });
        }
    }
    found
}

fn word(value: Option<&Value>) -> &'static str {
    match value {
        None | Some(Value::Null) => "nothing",
        Some(Value::Bool(_)) => "flag",
        Some(Value::Number(_)) => "number",
        Some(Value::String(_)) => "text",
        Some(Value::Array(_)) => "list",
        Some(Value::Object(_)) => "object",
    }
}
