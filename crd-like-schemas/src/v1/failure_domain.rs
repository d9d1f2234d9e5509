//! FailureDomain: hosts that fail together, because they share a rack, a feed, a switch, a room or a cell.

use crate::{Condition, FieldError, Kind, field::check_name, meta::Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind FailureDomain. A Host names the innermost one it is in, in `spec.failureDomain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureDomain;

/// What hosts share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum FailureDomainType {
    /// A rack.
    Rack,
    /// A power feed.
    Pdu,
    /// A switch.
    Switch,
    /// A room.
    Room,
    /// A Nova cell.
    Cell,
}

/// Desired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailureDomainSpec {
    /// What its hosts share.
    pub r#type: FailureDomainType,
    /// The FailureDomain that this one is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<Ref>,
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailureDomainStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: ReferencesResolved.
    pub conditions: Vec<Condition>,
    /// Hosts in it, and in the domains that are in it.
    pub hosts: i64,
    /// Of these, hosts that are silent, being recovered, held down, or not heard.
    pub down: i64,
}

impl Kind for FailureDomain {
    const KIND: &'static str = "FailureDomain";
    const PLURAL: &'static str = "failuredomains";
    type Spec = FailureDomainSpec;
    type Status = FailureDomainStatus;

    fn validate(name: &str, spec: &FailureDomainSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(parent) = &spec.parent_ref {
            check_name(&mut errors, "spec.parentRef.name", &parent.name);
            if parent.name == name {
                errors.push(FieldError::invalid("spec.parentRef.name", "is the domain itself; name the domain that it is in, or leave it out."));
            }
        }
        errors
    }
}
