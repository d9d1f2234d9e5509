//! Server-side apply, as pure functions: who owns which fields, and what becomes of an object when a manager applies its part of it.
//!
//! A manager sends exactly the fields that it has an opinion on. Each field it sends it owns, alone or together with others that
//! send the same value. To change the value of a field that somebody else owns is a conflict. What it owned alone and sends no
//! longer goes away; what nobody owns anybody may change, and nobody loses.
//!
//! [`paths`] are sets of fields, [`shape`] tells what a field is made of, [`managed`] is what stands in `metadata.managedFields`,
//! [`merge`] lays the fields that were sent over the object, [`conflict`] finds whose they were, [`takeover`] writes down whose they
//! are from then on. [`merge_patch`] is RFC 7396.

pub mod conflict;
mod leaves;
pub mod managed;
pub mod merge;
pub mod merge_patch;
pub mod paths;
mod remove;
pub mod shape;
pub mod takeover;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use conflict::{Conflict, conflicts};
pub use leaves::{declared, get};
pub use managed::{ManagedBy, ManagedFields, check_manager};
pub use merge::{Merged, merge};
pub use merge_patch::merge_patch;
pub use paths::{Fields, Path, Step};
pub use shape::Shape;

use crate::DynObject;
use serde_json::{Map, Value, json};

/// The part of an object that managers own fields of: labels, annotations, finalizers, owner references and protection, and the spec.
pub fn owned_part(object: &DynObject) -> Value {
    let meta = &object.metadata;
    let mut metadata = Map::new();
    for (key, value, empty) in [
        ("labels", json!(meta.labels), meta.labels.is_empty()),
        ("annotations", json!(meta.annotations), meta.annotations.is_empty()),
        ("finalizers", json!(meta.finalizers), meta.finalizers.is_empty()),
        ("ownerReferences", json!(meta.owner_references), meta.owner_references.is_empty()),
        ("protection", json!(meta.protection), meta.protection.is_none()),
    ] {
        if !empty {
            metadata.insert(key.into(), value);
        }
    }
    json!({"metadata": metadata, "spec": object.spec})
}

/// Takes every `null` member out of the objects of a value: in an apply, `null` is no opinion. Those in lists stay.
pub fn without_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, v| !v.is_null());
        members.values_mut().for_each(without_nulls);
    }
}
