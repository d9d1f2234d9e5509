//! Event: something that happened to an object, for people. Read-only; may be lost.

use crate::{Kind, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event;

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EventSpec {
    /// `Kind/name` of the object.
    pub regarding: String,
    /// Uid of the object.
    pub regarding_uid: String,
    /// `Normal` or `Warning`.
    pub r#type: String,
    /// Stable CamelCase word.
    pub reason: String,
    /// A sentence; at most 1 kB.
    pub note: String,
    /// Who reports it.
    pub reporter: String,
    /// How often.
    pub count: i64,
    /// First time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Time>,
    /// Last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Time>,
}

/// Empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EventStatus {}

impl Kind for Event {
    const KIND: &'static str = "Event";
    const PLURAL: &'static str = "events";
    type Spec = EventSpec;
    type Status = EventStatus;
}
