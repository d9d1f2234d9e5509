//! RemediationPolicy: when a silent host is taken for dead, and how many may be recovered without a person.

use super::{evacuation::LocalDisks, evidence::EvidenceRule};
use crate::{Condition, FieldError, Kind, field::check_range, selector::Selector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind RemediationPolicy. The one named `default` holds for every host that no other claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemediationPolicy;

/// Whether hosts are watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Watching {
    /// They are.
    #[default]
    On,
    /// Nobody counts their silence, and nothing is begun.
    Off,
}

/// Whether guests of a dead host are rebuilt elsewhere without a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AutomaticEvacuation {
    /// They are, within the limits.
    #[default]
    Allowed,
    /// They are not; the host is only reported.
    Forbidden,
}

/// When a host counts as down, and as back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Detection {
    /// Whether hosts are watched.
    pub mode: Watching,
    /// Pause between looks at Nova's services, in seconds.
    pub interval_seconds: i64,
    /// Looks in a row that must find the host down.
    pub down_confirmations: i64,
    /// Looks in a row that must find it up before it counts as back.
    pub up_confirmations: i64,
    /// Nothing is begun for so long after a controller began to lead, in seconds.
    pub quiet_seconds: i64,
}

impl Default for Detection {
    fn default() -> Self {
        Detection { mode: Watching::On, interval_seconds: 30, down_confirmations: 3, up_confirmations: 1, quiet_seconds: 30 }
    }
}

/// Beyond these nothing new is begun for any host of the policy: what fails in such numbers is likely not the hosts (I6).
/// Every host counts that is silent, being recovered, or fenced; hosts that are off as declared do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StormLimits {
    /// Hosts of this policy that may be down at the same time. 0: nothing is ever begun without a person.
    pub max_down_hosts: i64,
    /// The same as a share of its hosts, in thousandths; the stricter of both holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_down_permille: Option<i64>,
}

/// What is done for the guests of a dead host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Recovery {
    /// Whether they are rebuilt elsewhere without a person.
    pub mode: AutomaticEvacuation,
    /// What happens to guests with local disks (S13).
    pub local_disks: LocalDisks,
    /// Hosts that are never evacuated without a person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_hosts: Vec<String>,
}

/// Desired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RemediationPolicySpec {
    /// Hosts it is for, by label (`rack=a1,!canary`). Empty: those that name it in `spec.remediationPolicyRef`.
    pub selector: String,
    /// When a host counts as down, and as back.
    pub detection: Detection,
    /// Beyond these nothing new is begun.
    pub limits: StormLimits,
    /// What is done for the guests of a dead host.
    pub evacuation: Recovery,
    /// What evidence counts, and how much of it is asked for.
    pub evidence: EvidenceRule,
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RemediationPolicyStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: RemediationAllowed.
    pub conditions: Vec<Condition>,
    /// Hosts it holds for.
    pub covered: i64,
    /// Of these, hosts that are silent, being recovered, or fenced.
    pub unhealthy: i64,
    /// Hosts that may fail before nothing more is begun.
    pub budget_left: i64,
    /// Evacuations that were begun under it, ever.
    pub begun: i64,
}

impl Kind for RemediationPolicy {
    const KIND: &'static str = "RemediationPolicy";
    const PLURAL: &'static str = "remediationpolicies";
    type Spec = RemediationPolicySpec;
    type Status = RemediationPolicyStatus;

    fn validate(name: &str, spec: &RemediationPolicySpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Err(why) = Selector::parse(&spec.selector) {
            errors.push(FieldError::invalid("spec.selector", format!("{why}; write it as `rack=a1,tier!=test`.")));
        }
        if name == "default" && !spec.selector.is_empty() {
            errors.push(FieldError::invalid("spec.selector", "must be empty: the policy 'default' holds for every host that no other claims."));
        }
        let (detection, limits) = (&spec.detection, &spec.limits);
        for (field, value, min, max) in [
            ("detection.intervalSeconds", detection.interval_seconds, 1, 3_600),
            ("detection.downConfirmations", detection.down_confirmations, 1, 1_000),
            ("detection.upConfirmations", detection.up_confirmations, 1, 1_000),
            ("detection.quietSeconds", detection.quiet_seconds, 0, 86_400),
            ("limits.maxDownHosts", limits.max_down_hosts, 0, 1_000_000),
            ("limits.maxDownPermille", limits.max_down_permille.unwrap_or(0), 0, 1_000),
        ] {
            check_range(&mut errors, &format!("spec.{field}"), value, min, max);
        }
        spec.evidence.check("spec.evidence", &mut errors);
        errors
    }
}
