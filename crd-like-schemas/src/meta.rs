//! Metadata that every object carries.

use crate::{FieldError, Time, apply::ManagedFields, field::check_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Object metadata, with the meaning Kubernetes gives it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectMeta {
    /// Unique within its kind; cannot change.
    #[serde(default)]
    pub name: String,
    /// Set by the server, unique for ever.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Grows by one with each change of the spec.
    #[serde(default)]
    pub generation: i64,
    /// Decimal string of the revision that last wrote this object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// When the object was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// Set once when deletion was asked for while finalizers remain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    /// Identifying marks for selectors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"pattern": "^([A-Za-z0-9._-]{0,253}/)?[A-Za-z0-9._-]{1,63}$"}, "additionalProperties" = {"type": "string", "pattern": "^[A-Za-z0-9._-]{0,63}$"}))]
    pub labels: BTreeMap<String, String>,
    /// Free notes; never input for a controller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Who still has to clean up before the object goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "set"))]
    pub finalizers: Vec<String>,
    /// Objects this one belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "map", "x-list-map-keys" = ["uid"]))]
    pub owner_references: Vec<OwnerReference>,
    /// Whether it may be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
    /// Set by the server: who owns which fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed_fields: Vec<ManagedFields>,
}

/// The fields of [`ObjectMeta`], as they are written.
pub const METADATA_KEYS: [&str; 12] = [
    "name",
    "uid",
    "generation",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "protection",
    "managedFields",
];

/// What keeps an object from being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protection {
    /// Nobody deletes it, by hand or because it is declared no longer, until this is taken away.
    PreventDelete,
}

/// Points at an owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnerReference {
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// Uid of the owner.
    pub uid: String,
}

impl ObjectMeta {
    /// Metadata with just a name.
    pub fn named(name: impl Into<String>) -> Self {
        ObjectMeta { name: name.into(), ..Default::default() }
    }

    /// The resource version as a number; 0 if unset or not a number.
    pub fn revision(&self) -> i64 {
        self.resource_version.parse().unwrap_or(0)
    }

    /// Everything wrong with what a client may set.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_name(&mut errors, "metadata.name", &self.name);
        for (key, value) in &self.labels {
            let (prefix, name) = key.rsplit_once('/').unwrap_or(("", key));
            let word = |s: &str| s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
            if name.is_empty() || name.len() > 63 || prefix.len() > 253 || !word(name) || !word(prefix) {
                errors.push(FieldError::invalid(
                    format!("metadata.labels[{key}]"),
                    "a label key is [prefix/]name, the name 1 to 63 letters, digits, '.', '_' or '-'.",
                ));
            }
            if value.len() > 63 || !word(value) {
                errors.push(FieldError::invalid(format!("metadata.labels[{key}]"), "a label value has at most 63 letters, digits, '.', '_' or '-'."));
            }
        }
        if self.annotations.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() > 256 * 1024 {
            errors.push(FieldError::invalid("metadata.annotations", "together they must stay under 256 KiB."));
        }
        errors
    }
}

/// A reference to another object by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ref {
    /// Name of the object.
    #[schemars(length(min = 1))]
    pub name: String,
}

impl Ref {
    /// A reference to `name`.
    pub fn to(name: impl Into<String>) -> Self {
        Ref { name: name.into() }
    }

    /// Pushes an error if it names nothing; `field` is where it stands.
    pub fn check(&self, field: &str, errors: &mut Vec<FieldError>) {
        if self.name.is_empty() {
            errors.push(FieldError::new(format!("{field}.name"), "Required", "must be given."));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_metadata_are_its_fields() {
        let schema = serde_json::to_value(schemars::schema_for!(ObjectMeta)).unwrap();
        let fields: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut keys = METADATA_KEYS.to_vec();
        keys.sort_unstable();
        let mut sorted = fields.clone();
        sorted.sort_unstable();
        assert_eq!(keys, sorted);
    }
}
