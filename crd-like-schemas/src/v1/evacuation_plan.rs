//! EvacuationPlan: what goes where first, and what does not fit and why. Made by the controller, never changed.

use crate::{Condition, FieldError, Kind, Time, meta::Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind EvacuationPlan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvacuationPlan;

/// One guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PlanItem {
    /// Server id.
    pub id: String,
    /// Server name.
    pub name: String,
    /// Recovery priority, 0 to 10.
    pub priority: i64,
    /// Where it goes; empty: it stays.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination: String,
    /// Why it stays, or goes nowhere else.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// The default names no host, which no reference may.
fn without_default(schema: &mut schemars::Schema) {
    schema.remove("default");
}

/// The plan. Nothing of it can change; another state of the world makes another plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EvacuationPlanSpec {
    /// The host whose guests are placed.
    #[schemars(transform = without_default)]
    pub host_ref: Ref,
    /// Which plan of its Evacuation, from 1.
    pub number: i64,
    /// When the room of the other hosts was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_read_at: Option<Time>,
    /// Hosts that could take guests.
    pub hosts: i64,
    /// Guests, in the order they are moved.
    pub items: Vec<PlanItem>,
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EvacuationPlanStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: none so far.
    pub conditions: Vec<Condition>,
    /// Guests that go somewhere.
    pub placed: i64,
    /// Guests that stay.
    pub staying: i64,
}

impl Kind for EvacuationPlan {
    const KIND: &'static str = "EvacuationPlan";
    const PLURAL: &'static str = "evacuationplans";
    type Spec = EvacuationPlanSpec;
    type Status = EvacuationPlanStatus;

    fn validate(_name: &str, _spec: &EvacuationPlanSpec) -> Vec<FieldError> {
        Vec::new()
    }
}
