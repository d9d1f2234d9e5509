//! What the objects named `default` begin with. Once they are there, they alone count.

use super::{number, optional, optional_number};
use schemas::{
    Kind,
    v1::{
        AutomaticEvacuation, ClusterPolicy, ClusterPolicySpec, Detection, Recovery, RemediationPolicy, RemediationPolicySpec, Restart, StormLimits,
        Watching,
    },
};
use serde::{Deserialize, Serialize};

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The first of a spec's errors as one of our keys, and why.
fn first_wrong(errors: &[schemas::FieldError], keys: &[(&str, &'static str)]) -> Option<(&'static str, String)> {
    errors.iter().find_map(|e| Some((keys.iter().find(|(field, _)| *field == e.field)?.1, e.message.clone())))
}

/// `[policy]`: what ClusterPolicy `default` begins with. Once that object is there, it alone counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Recovery priority of a guest that has none of its own, 0 (never) to 10 (first).
    #[serde(deserialize_with = "number")]
    pub default_recovery_priority: u64,
    /// Further tries after Nova reported a failed evacuation of a guest.
    #[serde(deserialize_with = "number")]
    pub evacuation_retries: u64,
    /// Pause between groups of guests of one priority, in seconds.
    #[serde(deserialize_with = "number")]
    pub group_pause_seconds: u64,
    /// Time after which a soft power-off turns into a hard one, in seconds.
    #[serde(deserialize_with = "number")]
    pub soft_off_timeout_seconds: u64,
    /// Time after which a standby host that is not ready has failed, in seconds.
    #[serde(deserialize_with = "number")]
    pub standby_wake_timeout_seconds: u64,
    /// Time for which a standby host that nobody needs has to be empty before it is put back, in seconds.
    #[serde(deserialize_with = "number")]
    pub standby_idle_after_seconds: u64,
}

impl Default for Policy {
    fn default() -> Self {
        let spec = ClusterPolicySpec::default();
        Policy {
            default_recovery_priority: unsigned(spec.default_recovery_priority),
            evacuation_retries: unsigned(spec.evacuation_retries),
            group_pause_seconds: unsigned(spec.group_pause_seconds),
            soft_off_timeout_seconds: unsigned(spec.soft_off_timeout_seconds),
            standby_wake_timeout_seconds: unsigned(spec.standby_wake_timeout_seconds),
            standby_idle_after_seconds: unsigned(spec.standby_idle_after_seconds),
        }
    }
}

impl Policy {
    /// The spec that a new ClusterPolicy `default` gets.
    pub fn spec(&self) -> ClusterPolicySpec {
        ClusterPolicySpec {
            default_recovery_priority: signed(self.default_recovery_priority),
            evacuation_retries: signed(self.evacuation_retries),
            group_pause_seconds: signed(self.group_pause_seconds),
            soft_off_timeout_seconds: signed(self.soft_off_timeout_seconds),
            standby_wake_timeout_seconds: signed(self.standby_wake_timeout_seconds),
            standby_idle_after_seconds: signed(self.standby_idle_after_seconds),
            ..ClusterPolicySpec::default()
        }
    }

    /// What the object would not take: our key, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        let errors = ClusterPolicy::validate("default", &self.spec());
        let keys = [
            ("spec.defaultRecoveryPriority", "policy.default_recovery_priority"),
            ("spec.evacuationRetries", "policy.evacuation_retries"),
            ("spec.groupPauseSeconds", "policy.group_pause_seconds"),
            ("spec.softOffTimeoutSeconds", "policy.soft_off_timeout_seconds"),
            ("spec.standbyWakeTimeoutSeconds", "policy.standby_wake_timeout_seconds"),
            ("spec.standbyIdleAfterSeconds", "policy.standby_idle_after_seconds"),
        ];
        first_wrong(&errors, &keys)
    }
}

/// `[remediation]`: what RemediationPolicy `default` begins with. Once that object is there, it alone counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remediation {
    /// Whether hosts are watched: `On` or `Off`.
    pub watching: Watching,
    /// Pause between looks at Nova's services, in seconds.
    #[serde(deserialize_with = "number")]
    pub interval_seconds: u64,
    /// Looks in a row that must find a host down.
    #[serde(deserialize_with = "number")]
    pub down_confirmations: u64,
    /// Looks in a row that must find it up before it counts as back.
    #[serde(deserialize_with = "number")]
    pub up_confirmations: u64,
    /// Hosts that may be down at the same time; 0: nothing is begun without a person.
    #[serde(deserialize_with = "number")]
    pub max_down_hosts: u64,
    /// Whether guests of a dead host are rebuilt elsewhere without a person: `Allowed` or `Forbidden`.
    pub evacuation: AutomaticEvacuation,
    /// Hosts that are neither restarted nor evacuated without a person, parted by commas.
    #[serde(deserialize_with = "optional")]
    pub excluded_hosts: Option<String>,
    /// Further tries after Nova reported a failed evacuation of a guest; without, `policy.evacuation_retries` holds.
    #[serde(deserialize_with = "optional_number")]
    pub evacuation_retries: Option<u64>,
    /// Pause between groups of guests of one priority, in seconds; without, `policy.group_pause_seconds` holds.
    #[serde(deserialize_with = "optional_number")]
    pub group_pause_seconds: Option<u64>,
    /// Whether a host that is down is switched off and on before its guests are evacuated: `Allow` or `Forbid`.
    pub restart: Restart,
    /// How long that may take until it reports, in seconds.
    #[serde(deserialize_with = "number")]
    pub restart_timeout_seconds: u64,
}

impl Default for Remediation {
    fn default() -> Self {
        let spec = RemediationPolicySpec::default();
        Remediation {
            watching: spec.detection.mode,
            interval_seconds: unsigned(spec.detection.interval_seconds),
            down_confirmations: unsigned(spec.detection.down_confirmations),
            up_confirmations: unsigned(spec.detection.up_confirmations),
            max_down_hosts: unsigned(spec.limits.max_down_hosts),
            evacuation: spec.evacuation.mode,
            excluded_hosts: None,
            evacuation_retries: None,
            group_pause_seconds: None,
            restart: spec.restart,
            restart_timeout_seconds: unsigned(spec.restart_timeout_seconds),
        }
    }
}

impl Remediation {
    /// The spec that a new RemediationPolicy `default` gets.
    pub fn spec(&self) -> RemediationPolicySpec {
        let excluded = self.excluded_hosts.iter().flat_map(|hosts| hosts.split(',')).map(str::trim).filter(|host| !host.is_empty());
        RemediationPolicySpec {
            detection: Detection {
                mode: self.watching,
                interval_seconds: signed(self.interval_seconds),
                down_confirmations: signed(self.down_confirmations),
                up_confirmations: signed(self.up_confirmations),
                ..Detection::default()
            },
            limits: StormLimits { max_down_hosts: signed(self.max_down_hosts), ..StormLimits::default() },
            evacuation: Recovery {
                mode: self.evacuation,
                excluded_hosts: excluded.map(String::from).collect(),
                retries: self.evacuation_retries.map(signed),
                group_pause_seconds: self.group_pause_seconds.map(signed),
                ..Recovery::default()
            },
            restart: self.restart,
            restart_timeout_seconds: signed(self.restart_timeout_seconds),
            ..RemediationPolicySpec::default()
        }
    }

    /// What the object would not take: our key, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        let keys = [
            ("spec.restartTimeoutSeconds", "remediation.restart_timeout_seconds"),
            ("spec.detection.intervalSeconds", "remediation.interval_seconds"),
            ("spec.detection.downConfirmations", "remediation.down_confirmations"),
            ("spec.detection.upConfirmations", "remediation.up_confirmations"),
            ("spec.limits.maxDownHosts", "remediation.max_down_hosts"),
            ("spec.evacuation.retries", "remediation.evacuation_retries"),
            ("spec.evacuation.groupPauseSeconds", "remediation.group_pause_seconds"),
        ];
        first_wrong(&RemediationPolicy::validate("default", &self.spec()), &keys)
    }
}
