//! GuestPolicy: how guests that need no metadata of their own are recovered, and which are none of ours.

use crate::{Condition, FieldError, Kind, field::check_range, selector::Selector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind GuestPolicy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestPolicy;

/// Which guests. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GuestSelector {
    /// Ids of projects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "set"))]
    #[schemars(inner(regex(pattern = r"\S")))]
    pub projects: Vec<String>,
    /// Server metadata (`tier=gold,!scratch`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// Properties of the image (`os_type=windows`). Nova tells them from 2.98 on, and of no guest that boots from a volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_properties: String,
    /// Ids or names of server groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "set"))]
    #[schemars(inner(regex(pattern = r"\S")))]
    pub server_groups: Vec<String>,
}

/// How a guest is left on its new host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetState {
    /// Running if it ran.
    #[default]
    Keep,
    /// Stopped, whatever it was; needs Nova 2.95.
    Stopped,
}

/// Desired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GuestPolicySpec {
    /// Which guests.
    pub selector: GuestSelector,
    /// Recovery priority, 0 (never) to 10 (first). The guest's own metadata goes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub priority: Option<i64>,
    /// Seconds between the end of the guest's priority group and the next one, in place of ClusterPolicy `groupPauseSeconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub evacuation_time_seconds: Option<i64>,
    /// Who brings the guest back (`Octavia`, `Magnum`, …): it is left to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"\S"))]
    pub owner: Option<String>,
    /// How it is left on its new host.
    pub target_state: TargetState,
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GuestPolicyStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: Ready.
    pub conditions: Vec<Condition>,
    /// Guests it selects.
    pub matched: i64,
}

impl Kind for GuestPolicy {
    const KIND: &'static str = "GuestPolicy";
    const PLURAL: &'static str = "guestpolicies";
    type Spec = GuestPolicySpec;
    type Status = GuestPolicyStatus;

    fn validate(_name: &str, spec: &GuestPolicySpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let selector = &spec.selector;
        if *selector == GuestSelector::default() {
            errors.push(FieldError::new(
                "spec.selector",
                "Required",
                "must select something: give projects, metadata, imageProperties or serverGroups. What holds for all guests is in ClusterPolicy default.",
            ));
        }
        for (field, text) in [("metadata", &selector.metadata), ("imageProperties", &selector.image_properties)] {
            if let Err(why) = Selector::parse(text) {
                errors.push(FieldError::invalid(format!("spec.selector.{field}"), format!("{why}; write it as `tier=gold,!scratch`.")));
            }
        }
        for (field, names) in [("projects", &selector.projects), ("serverGroups", &selector.server_groups)] {
            if names.iter().any(|n| n.trim().is_empty()) {
                errors.push(FieldError::invalid(format!("spec.selector.{field}"), "has an empty entry; leave it out."));
            }
        }
        check_range(&mut errors, "spec.priority", spec.priority.unwrap_or(0), 0, 10);
        check_range(&mut errors, "spec.evacuationTimeSeconds", spec.evacuation_time_seconds.unwrap_or(0), 0, 86_400);
        if spec.owner.as_ref().is_some_and(|o| o.trim().is_empty() || o.chars().count() > 253) {
            errors.push(FieldError::invalid("spec.owner", "give the owner's name, at most 253 characters, or leave it out."));
        }
        errors
    }
}
