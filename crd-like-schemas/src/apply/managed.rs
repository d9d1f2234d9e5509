//! `metadata.managedFields`: who owns which fields of an object.

use super::Fields;
use crate::{FieldError, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a manager came to own its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ManagedBy {
    /// It declares them: what it declares no longer goes away.
    Apply,
    /// It wrote them, with POST, PUT or a merge patch.
    Update,
}

/// The fields of one manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManagedFields {
    /// Name of the manager: `fieldManager` of its requests, else the first word of its User-Agent.
    pub manager: String,
    /// How it came to own them.
    pub operation: ManagedBy,
    /// The part of the object that is written on its own, such as `status`; empty: the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// When it last changed any of them, or their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The fields, as Kubernetes writes them: `{"f:spec": {"f:power": {}}}`.
    #[serde(rename = "fieldsV1")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub fields: Fields,
}

/// Longest name of a manager, in characters.
pub const LONGEST_MANAGER: usize = 128;

/// What a manager's name looks like, for schemas.
pub const MANAGER_PATTERN: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

/// Who owns what writers have written that were there long before the newest ones.
const ANCIENT: &str = "ancient-changes";

/// Managers that only write of which each is named; the fields of older ones are put together.
const MOST_WRITERS: usize = 10;

/// What is wrong with the name of a manager.
pub fn check_manager(name: &str) -> Result<(), FieldError> {
    let length = name.chars().count();
    if length == 0 || length > LONGEST_MANAGER || name.chars().any(char::is_control) {
        return Err(FieldError::invalid("fieldManager", format!("must have 1 to {LONGEST_MANAGER} printable characters.")));
    }
    Ok(())
}

/// Whether both say the same, whenever it was written.
pub fn same(a: &[ManagedFields], b: &[ManagedFields]) -> bool {
    let key = |m: &ManagedFields| (m.operation, m.manager.clone(), m.subresource.clone());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| key(a) == key(b) && a.fields == b.fields)
}

/// Brings entries into order, without those that own nothing.
pub(super) fn tidy(entries: &mut Vec<ManagedFields>) {
    entries.retain(|e| !e.fields.is_empty());
    let mut writers: Vec<Option<Time>> =
        entries.iter().filter(|e| e.operation == ManagedBy::Update && e.manager != ANCIENT).map(|e| e.time).collect();
    if writers.len() > MOST_WRITERS {
        writers.sort();
        let oldest_kept = writers[writers.len() - MOST_WRITERS];
        let mut kept = MOST_WRITERS;
        let mut ancient = Fields::default();
        let mut newest = None;
        // Of several with the same time as many are kept as there is room for.
        entries.sort_by_key(|e| std::cmp::Reverse(e.time));
        entries.retain(|e| {
            if e.operation == ManagedBy::Apply {
                return true;
            }
            if e.manager != ANCIENT && e.time >= oldest_kept && kept > 0 {
                kept -= 1;
                return true;
            }
            ancient.extend(&e.fields);
            newest = newest.max(e.time);
            false
        });
        let subresource = String::new();
        entries.push(ManagedFields { manager: ANCIENT.into(), operation: ManagedBy::Update, subresource, time: newest, fields: ancient });
    }
    entries.sort_by(|a, b| (a.operation, &a.manager, &a.subresource).cmp(&(b.operation, &b.manager, &b.subresource)));
}
