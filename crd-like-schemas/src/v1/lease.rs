//! Lease: who leads. Read-only.

use crate::{Kind, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease;

/// The lease row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    /// Who holds it; empty if nobody.
    pub holder: String,
    /// Grows by one with each takeover; every controller write checks it.
    pub token: i64,
    /// Grows with each renewal.
    pub renewals: i64,
    /// How long it lasts, in milliseconds.
    pub duration_millis: i64,
    /// When it was taken, by the holder's clock; for information only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acquired_at: Option<Time>,
}

/// Empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LeaseStatus {}

impl Kind for Lease {
    const KIND: &'static str = "Lease";
    const PLURAL: &'static str = "leases";
    type Spec = LeaseSpec;
    type Status = LeaseStatus;
}
