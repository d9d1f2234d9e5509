//! The kinds of Cloud Manager: one file per kind under [`v1`], and what they share.
//!
//! Pure data: no clock, no I/O. A kind is a `spec` (what an operator declares) and a `status` (what
//! was observed). [`kinds`] is the one table of all kinds.
#![warn(missing_docs)]

pub mod apply;
pub mod condition;
pub mod field;
pub mod kinds;
pub mod manifest;
pub mod meta;
pub mod object;
pub mod selector;
mod strictly;
pub mod time;
pub mod v1;
pub mod walk;

pub use condition::{Condition, ConditionStatus, Conditions};
pub use field::FieldError;
pub use kinds::{Column, KindInfo};
pub use meta::{METADATA_KEYS, ObjectMeta, OwnerReference};
pub use object::{DynObject, Kind, Object};
pub use time::Time;

/// `apiVersion` of every object.
pub const API_VERSION: &str = "cloud-manager/v1";
