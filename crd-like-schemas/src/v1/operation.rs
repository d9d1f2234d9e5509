//! Operation: the record of one outside call that may have happened (an intent). Read-only.

use crate::{Kind, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kind Operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation;

/// What is called, and for whom. Written before the call, never changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OperationSpec {
    /// `Kind/name` of the object that wants it.
    pub owner: String,
    /// Uid of that object.
    pub owner_uid: String,
    /// Generation of that object.
    pub generation: i64,
    /// Host it concerns.
    pub host: String,
    /// Stable name of the step, such as `Evacuate/<server>`.
    pub step: String,
    /// Which try of the step, from 1.
    pub attempt: i64,
    /// The step itself, as `planner` writes it.
    pub action: Value,
    /// Lease token under which it was written.
    pub token: i64,
    /// When it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,
    /// After this many seconds from sending, the call can have no further effect of its own (S8).
    pub end_of_life_seconds: i64,
}

/// Where the call stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OperationState {
    /// Written; the call may have been sent.
    #[default]
    Issued,
    /// The remote took it; its effect goes on.
    Accepted,
    /// No answer, or one that does not tell: it may have happened.
    Unknown,
    /// Its effect was seen. Closed.
    Observed,
    /// The remote refused; nothing happened. Closed.
    Refused,
    /// The remote took it and reported failure. Closed.
    Failed,
}

impl OperationState {
    /// Whether it still has to be settled.
    pub fn is_open(self) -> bool {
        matches!(self, OperationState::Issued | OperationState::Accepted | OperationState::Unknown)
    }
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OperationStatus {
    /// Where it stands.
    pub state: OperationState,
    /// Request id of the remote, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What was seen, or what the remote said.
    pub evidence: String,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
}

impl Kind for Operation {
    const KIND: &'static str = "Operation";
    const PLURAL: &'static str = "operations";
    type Spec = OperationSpec;
    type Status = OperationStatus;
}
