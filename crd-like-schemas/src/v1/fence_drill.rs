//! FenceDrill: whether hosts could be fenced, and standby hosts woken, tried before it is needed.

use super::{
    host::Waiting,
    host_operation::{Cancel, one_shot_update},
};
use crate::{
    Condition, FieldError, Kind, Time,
    field::{NAME_PATTERN, check_name},
    meta::Ref,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind FenceDrill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceDrill;

/// How far the drill goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DrillDepth {
    /// Every verified power link is read twice. Nothing is changed.
    #[default]
    Read,
    /// After that: off, on, until its nova-compute reports, and back. Only members of a StandbyPool that are empty and not leased.
    Cycle,
}

/// Desired. Only `cancel` can change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FenceDrillSpec {
    /// Hosts, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = NAME_PATTERN)), extend("uniqueItems" = true))]
    pub hosts: Vec<String>,
    /// Or the members of this StandbyPool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_ref: Option<Ref>,
    /// How far it goes.
    pub depth: DrillDepth,
    /// Whether it is wanted any longer.
    pub cancel: Cancel,
}

/// How a host fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DrillOutcome {
    /// Not begun.
    #[default]
    Pending,
    /// Under way.
    Testing,
    /// Everything answered and did what it should.
    Passed,
    /// Something did not.
    Failed,
    /// It was not tried, for a reason.
    Refused,
}

/// How far a host has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum DrillStep {
    /// Its power links are read.
    #[default]
    Read,
    /// It is powered off.
    Off,
    /// It is powered on.
    On,
    /// Its nova-compute has to report.
    Report,
    /// It is put back as it was.
    Back,
}

/// A host of the drill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DrillHost {
    /// The host.
    pub host: String,
    /// How it fared.
    pub outcome: DrillOutcome,
    /// How far it has come.
    pub step: DrillStep,
    /// Stable word for why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the step was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When all its links answered for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Time>,
    /// All its links read off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub was_off: bool,
    /// Name of the HostOperation that was made last for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operation: String,
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FenceDrillStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: Succeeded, Ready, Reconciling, Stalled, Paused, Cancelled.
    pub conditions: Vec<Condition>,
    /// When work began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Where it stands, for people.
    pub progress: String,
    /// Its hosts, in the order in which they are tested.
    pub hosts: Vec<DrillHost>,
    /// Why nothing is happening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

impl Kind for FenceDrill {
    const KIND: &'static str = "FenceDrill";
    const PLURAL: &'static str = "fencedrills";
    type Spec = FenceDrillSpec;
    type Status = FenceDrillStatus;

    fn validate(_name: &str, spec: &FenceDrillSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match (&spec.pool_ref, spec.hosts.is_empty()) {
            (None, true) => errors.push(FieldError::new("spec.hosts", "Required", "name at least one host, or a StandbyPool in spec.poolRef.")),
            (Some(_), false) => errors.push(FieldError::invalid("spec.poolRef", "give either spec.hosts or spec.poolRef, not both.")),
            (Some(pool), true) if pool.name.is_empty() => errors.push(FieldError::new("spec.poolRef.name", "Required", "must be given.")),
            _ => {}
        }
        for (i, host) in spec.hosts.iter().enumerate() {
            check_name(&mut errors, &format!("spec.hosts[{i}]"), host);
            if spec.hosts[..i].contains(host) {
                errors.push(FieldError::invalid(format!("spec.hosts[{i}]"), format!("{host} is named twice; name it once.")));
            }
        }
        errors
    }

    fn validate_update(old: &FenceDrillSpec, new: &FenceDrillSpec) -> Vec<FieldError> {
        one_shot_update(old, &FenceDrillSpec { cancel: old.cancel, ..new.clone() }, old.cancel, new.cancel)
    }
}
