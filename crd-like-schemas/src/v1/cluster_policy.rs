//! ClusterPolicy: limits and defaults for the whole cloud. There is one, named `default`.

use crate::{Condition, FieldError, Kind, field::check_range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind ClusterPolicy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterPolicy;

/// Whether anything disruptive may be begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operations {
    /// Yes.
    #[default]
    Normal,
    /// No new disruptive step anywhere; what is under way is settled.
    Frozen,
}

/// Whether a guest's disk survives its host (S13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GuestDisks {
    /// On storage that other hosts reach.
    Shared,
    /// On the host itself: an evacuation would start from an empty disk.
    #[default]
    Local,
}

/// An exception to `guestDisks` for the hosts of one Nova aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AggregateDisks {
    /// Name of the Nova aggregate.
    pub aggregate: String,
    /// Where the disks of its hosts' guests are.
    pub guest_disks: GuestDisks,
}

/// Desired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterPolicySpec {
    /// Whether anything disruptive may be begun.
    pub operations: Operations,
    /// Where guests' disks are, unless an aggregate says otherwise.
    pub guest_disks: GuestDisks,
    /// Exceptions; of several that fit a host, `Local` wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "map", "x-list-map-keys" = ["aggregate"]))]
    pub guest_disks_by_aggregate: Vec<AggregateDisks>,
    /// Hosts drained at the same time, at most.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_hosts_draining: i64,
    /// Guests being rebuilt at the same time in the whole cloud, at most.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_evacuations: i64,
    /// Guests being moved off one host at the same time, at most.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_per_host: i64,
    /// Server metadata key that holds a guest's recovery priority, 0 (never) to 10 (first).
    #[schemars(length(min = 1, max = 255))]
    pub recovery_priority_key: String,
    /// Recovery priority of a guest without that key.
    #[schemars(range(min = 0, max = 10))]
    pub default_recovery_priority: i64,
    /// Server metadata key that holds the pause after a guest's priority group, in seconds, in place of `groupPauseSeconds`.
    #[schemars(length(min = 1, max = 255))]
    pub evacuation_time_key: String,
    /// Seconds between the end of one priority group of a host and the beginning of the next.
    #[schemars(range(min = 0, max = 86_400))]
    pub group_pause_seconds: i64,
    /// Further tries after Nova reported a failed evacuation of a guest.
    #[schemars(range(min = 0, max = 20))]
    pub evacuation_retries: i64,
    /// A proof of off may cover requests sent this long after its last reading, in seconds (S5).
    #[schemars(range(min = 1, max = 60))]
    pub proof_max_age_seconds: i64,
    /// Soft power-off turns into a hard one after this many seconds (S12).
    #[schemars(range(min = 0, max = 86_400))]
    pub soft_off_timeout_seconds: i64,
    /// Nova's `report_interval`, in seconds (S2).
    #[schemars(range(min = 1, max = 600))]
    pub nova_report_interval_seconds: i64,
    /// A standby host that is not ready so many seconds after it was chosen has failed; StandbyPools may say otherwise.
    #[schemars(range(min = 1, max = 604_800))]
    pub standby_wake_timeout_seconds: i64,
    /// A standby host that nobody needs is put back after it was empty for so many seconds; StandbyPools may say otherwise.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub standby_idle_after_seconds: i64,
}

impl Default for ClusterPolicySpec {
    fn default() -> Self {
        ClusterPolicySpec {
            operations: Operations::Normal,
            guest_disks: GuestDisks::Local,
            guest_disks_by_aggregate: Vec::new(),
            max_hosts_draining: 2,
            max_evacuations: 16,
            max_per_host: 8,
            recovery_priority_key: "recovery_priority".into(),
            default_recovery_priority: 5,
            evacuation_time_key: "evacuation_time".into(),
            group_pause_seconds: 60,
            evacuation_retries: 2,
            proof_max_age_seconds: 5,
            soft_off_timeout_seconds: 300,
            nova_report_interval_seconds: 10,
            standby_wake_timeout_seconds: 900,
            standby_idle_after_seconds: 60,
        }
    }
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterPolicyStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: Paused.
    pub conditions: Vec<Condition>,
    /// Calls that may have happened and are not settled yet, while frozen.
    pub open_operations: i64,
}

impl Kind for ClusterPolicy {
    const KIND: &'static str = "ClusterPolicy";
    const PLURAL: &'static str = "clusterpolicies";
    type Spec = ClusterPolicySpec;
    type Status = ClusterPolicyStatus;

    fn validate(name: &str, spec: &ClusterPolicySpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if name != "default" {
            errors.push(FieldError::invalid("metadata.name", "there is one ClusterPolicy, and its name is 'default'."));
        }
        for (field, value, min, max) in [
            ("maxHostsDraining", spec.max_hosts_draining, 1, 1_000),
            ("maxEvacuations", spec.max_evacuations, 1, 1_000),
            ("maxPerHost", spec.max_per_host, 1, 1_000),
            ("defaultRecoveryPriority", spec.default_recovery_priority, 0, 10),
            ("groupPauseSeconds", spec.group_pause_seconds, 0, 86_400),
            ("evacuationRetries", spec.evacuation_retries, 0, 20),
            ("proofMaxAgeSeconds", spec.proof_max_age_seconds, 1, 60),
            ("softOffTimeoutSeconds", spec.soft_off_timeout_seconds, 0, 86_400),
            ("novaReportIntervalSeconds", spec.nova_report_interval_seconds, 1, 600),
            ("standbyWakeTimeoutSeconds", spec.standby_wake_timeout_seconds, 1, 604_800),
            ("standbyIdleAfterSeconds", spec.standby_idle_after_seconds, 0, 1_000_000),
        ] {
            check_range(&mut errors, &format!("spec.{field}"), value, min, max);
        }
        for (field, key) in [("recoveryPriorityKey", &spec.recovery_priority_key), ("evacuationTimeKey", &spec.evacuation_time_key)] {
            if key.is_empty() || key.chars().count() > 255 {
                errors.push(FieldError::invalid(format!("spec.{field}"), "give a metadata key of 1 to 255 characters."));
            }
        }
        errors
    }
}
