//! RemediationPolicy: when a silent host is taken for dead, and how many may be recovered without a person.

use super::{
    evacuation::{LocalDisks, Pace},
    evidence::{EvidenceRule, Level},
    failure_domain::FailureDomainType,
    fencing::Fencing,
};
use crate::{Condition, FieldError, Kind, Time, field::check_range, selector::Selector};
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
    #[schemars(range(min = 1, max = 3_600))]
    pub interval_seconds: i64,
    /// Looks in a row that must find the host down.
    #[schemars(range(min = 1, max = 1_000))]
    pub down_confirmations: i64,
    /// Looks in a row that must find it up before it counts as back.
    #[schemars(range(min = 1, max = 1_000))]
    pub up_confirmations: i64,
    /// Nothing is begun for so long after a controller began to lead, in seconds.
    #[schemars(range(min = 0, max = 86_400))]
    pub quiet_seconds: i64,
}

impl Default for Detection {
    fn default() -> Self {
        Detection { mode: Watching::On, interval_seconds: 30, down_confirmations: 3, up_confirmations: 1, quiet_seconds: 30 }
    }
}

/// Beyond these nothing new is begun for any host of the policy: what fails in such numbers is likely not the hosts (I6).
/// Every host counts that is silent, being recovered, or fenced; hosts that are off as declared do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StormLimits {
    /// Hosts of this policy that may be down at the same time. 0: nothing is ever begun without a person.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_down_hosts: i64,
    /// The same as a share of its hosts, in thousandths; the stricter of both holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000))]
    pub max_down_permille: Option<i64>,
    /// Hosts that may be down at the same time in one failure domain, whatever policy holds for them; at most one entry per type.
    /// Beyond, nothing new is begun for hosts of that domain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "map", "x-list-map-keys" = ["type"]))]
    pub per_failure_domain: Vec<DomainLimit>,
    /// Nothing is begun for so long after no limit was exceeded any longer, in seconds; another storm begins it anew.
    #[schemars(range(min = 0, max = 86_400))]
    pub cooldown_seconds: i64,
    /// Restarts and evacuations that may be begun within an hour. The evacuation that follows a restart is part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_BEGINS))]
    pub max_begins_per_hour: Option<i64>,
    /// A limit on hosts that was exceeded for so long without a break holds nothing up any more, in seconds: from then on only
    /// `maxBeginsPerHour` protects, which must be set. 0: it holds for as long as it is exceeded.
    #[schemars(range(min = 0, max = 604_800))]
    pub hold_expiry_seconds: i64,
    /// Share of all watched hosts, in thousandths. If more fall silent within the time that confirms it, and at least 4, nothing is
    /// begun: that is more likely a network's doing than theirs (I5, I7). 1000: never.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_silent_at_once_permille: i64,
    /// How long that holds, in seconds; then only the other limits protect. 0: for as long as so many are silent.
    #[schemars(range(min = 0, max = 604_800))]
    pub mass_silence_hold_seconds: i64,
}

impl Default for StormLimits {
    fn default() -> Self {
        StormLimits {
            max_down_hosts: 0,
            max_down_permille: None,
            per_failure_domain: Vec::new(),
            cooldown_seconds: 0,
            max_begins_per_hour: None,
            hold_expiry_seconds: 0,
            max_silent_at_once_permille: 500,
            mass_silence_hold_seconds: 600,
        }
    }
}

/// A limit for every failure domain of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DomainLimit {
    /// Type of the domains.
    pub r#type: FailureDomainType,
    /// Hosts that may be down at the same time in one of them, and in the domains that are in it.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_down_hosts: i64,
}

/// Whether a host that is down is switched off and on before its guests are evacuated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Restart {
    /// It is not.
    #[default]
    Forbid,
    /// It is, once each time that it is down. Guests that still run on it die.
    Allow,
}

/// Who brings a host back that was evacuated without a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReturnMode {
    /// A person, by PowerOn or Enable.
    #[default]
    Manual,
    /// The controller.
    Automatic,
}

/// Whether a host is powered on to bring it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PowerOnReturn {
    /// Never: it is brought back once it has power.
    #[default]
    Never,
    /// As soon as its evacuation has ended well.
    AfterRecovery,
}

/// Whether a person has to approve that a host is brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Approval {
    /// Nobody has to.
    #[default]
    NotRequired,
    /// A person has to, once everything else is ready, by `spec.approvedReturn` of the Host (`cloud-manager approve HOST`).
    Required,
}

impl Approval {
    fn is_not_asked_for(&self) -> bool {
        *self == Approval::NotRequired
    }
}

/// How a host that was evacuated without a person comes back into service (S10). One that a person fenced or disabled, or that
/// guests were left on, is never brought back without a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReturnToService {
    /// Who brings it back.
    pub mode: ReturnMode,
    /// Whether it is powered on for that.
    pub power_on: PowerOnReturn,
    /// Whether a person has to approve each return.
    #[serde(skip_serializing_if = "Approval::is_not_asked_for")]
    pub approval: Approval,
    /// Times that one host is restarted or brought back within the window; then it is quarantined.
    #[schemars(range(min = 1, max = 100))]
    pub max_returns: i64,
    /// That window, in seconds.
    #[schemars(range(min = 60, max = 604_800))]
    pub window_seconds: i64,
}

impl Default for ReturnToService {
    fn default() -> Self {
        ReturnToService {
            mode: ReturnMode::Manual,
            power_on: PowerOnReturn::Never,
            approval: Approval::NotRequired,
            max_returns: 3,
            window_seconds: 3_600,
        }
    }
}

/// What is done for the guests of a dead host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Recovery {
    /// Whether they are rebuilt elsewhere without a person.
    pub mode: AutomaticEvacuation,
    /// What happens to guests with local disks (S13).
    pub local_disks: LocalDisks,
    /// Hosts that are neither restarted nor evacuated without a person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "set"))]
    pub excluded_hosts: Vec<String>,
    /// Further tries after Nova reported a failed evacuation of a guest; absent: what ClusterPolicy `default` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub retries: Option<i64>,
    /// Seconds between the end of one priority group of a host and the beginning of the next, where no guest of the group asks for
    /// another pause; absent: what ClusterPolicy `default` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub group_pause_seconds: Option<i64>,
    /// Guests being moved off one host at the same time, at most; absent: what ClusterPolicy `default` says. Its `maxEvacuations`
    /// holds as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max_per_host: Option<i64>,
    /// Hosts of this policy that may be restarted or evacuated without a person at the same time; the others wait. Absent: as many
    /// as `limits` allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max_parallel_hosts: Option<i64>,
}

impl Recovery {
    /// How its evacuations go, where it says so.
    pub fn pace(&self) -> Pace {
        Pace { retries: self.retries, group_pause_seconds: self.group_pause_seconds, max_per_host: self.max_per_host }
    }
}

/// Desired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// How a host is switched off that has to be.
    pub fencing: Fencing,
    /// Whether the host is switched off and on before that.
    pub restart: Restart,
    /// How long it may take from then on until it reports, in seconds; then its guests are evacuated.
    #[schemars(range(min = 1, max = 86_400))]
    pub restart_timeout_seconds: i64,
    /// How it comes back into service afterwards.
    pub return_to_service: ReturnToService,
}

impl Default for RemediationPolicySpec {
    fn default() -> Self {
        RemediationPolicySpec {
            selector: String::new(),
            detection: Detection::default(),
            limits: StormLimits::default(),
            evacuation: Recovery::default(),
            evidence: EvidenceRule::default(),
            fencing: Fencing::default(),
            restart: Restart::Forbid,
            restart_timeout_seconds: 600,
            return_to_service: ReturnToService::default(),
        }
    }
}

/// What is remembered of a limit on hosts that was exceeded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Storm {
    /// FailureDomain whose limit it was; empty: that of the whole policy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Since when it holds things up; absent: it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Since when hosts that are known to be down alone exceed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_since: Option<Time>,
    /// When the hold expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<Time>,
    /// When it was not exceeded any longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}

fn none(count: &i64) -> bool {
    *count == 0
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
    /// Hosts that are being restarted or evacuated without a person: what `evacuation.maxParallelHosts` counts.
    #[serde(skip_serializing_if = "none")]
    pub recovering: i64,
    /// Restarts and evacuations that were begun under it, ever.
    pub begun: i64,
    /// When those were begun that `limits.maxBeginsPerHour` counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub begins: Vec<Time>,
    /// What is remembered of limits that were exceeded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub storms: Vec<Storm>,
    /// What is remembered of hosts that fell silent at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mass_silence: Option<Storm>,
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
            ("limits.cooldownSeconds", limits.cooldown_seconds, 0, 86_400),
            ("limits.maxBeginsPerHour", limits.max_begins_per_hour.unwrap_or(1), 1, MAX_BEGINS),
            ("limits.holdExpirySeconds", limits.hold_expiry_seconds, 0, 604_800),
            ("limits.maxSilentAtOncePermille", limits.max_silent_at_once_permille, 1, 1_000),
            ("limits.massSilenceHoldSeconds", limits.mass_silence_hold_seconds, 0, 604_800),
            ("restartTimeoutSeconds", spec.restart_timeout_seconds, 1, 86_400),
            ("returnToService.maxReturns", spec.return_to_service.max_returns, 1, 100),
            ("returnToService.windowSeconds", spec.return_to_service.window_seconds, 60, 604_800),
        ] {
            check_range(&mut errors, &format!("spec.{field}"), value, min, max);
        }
        spec.evidence.check("spec.evidence", &mut errors);
        spec.fencing.check("spec.fencing", &mut errors);
        spec.evacuation.pace().check("spec.evacuation", &mut errors);
        check_range(&mut errors, "spec.evacuation.maxParallelHosts", spec.evacuation.max_parallel_hosts.unwrap_or(1), 1, 1_000);
        errors.extend(contradictions(spec));
        errors
    }
}

/// Largest number of begins per hour, and of those that are remembered.
pub const MAX_BEGINS: i64 = 1_000;

/// What can never do what it seems to say.
fn contradictions(spec: &RemediationPolicySpec) -> Vec<FieldError> {
    let (limits, back) = (&spec.limits, &spec.return_to_service);
    let mut errors = Vec::new();
    if limits.max_down_permille == Some(0) && limits.max_down_hosts > 0 {
        let message = "is 0, so spec.limits.maxDownHosts would never be reached; leave it out, or set maxDownHosts to 0 if nothing is to be begun.";
        errors.push(FieldError::invalid("spec.limits.maxDownPermille", message));
    }
    if limits.hold_expiry_seconds > 0 && limits.max_begins_per_hour.is_none() {
        let message = "needs spec.limits.maxBeginsPerHour: once a hold has expired nothing else protects.";
        errors.push(FieldError::invalid("spec.limits.holdExpirySeconds", message));
    }
    for (n, limit) in limits.per_failure_domain.iter().enumerate() {
        let field = |name: &str| format!("spec.limits.perFailureDomain[{n}].{name}");
        check_range(&mut errors, &field("maxDownHosts"), limit.max_down_hosts, 1, 1_000_000);
        if limits.per_failure_domain[..n].iter().any(|other| other.r#type == limit.r#type) {
            let message = format!("{:?} has a limit already; keep one of the two.", limit.r#type);
            errors.push(FieldError::invalid(field("type"), message));
        }
    }
    if back.mode == ReturnMode::Manual && back.power_on != PowerOnReturn::Never {
        let message = "needs spec.returnToService.mode: Automatic; with Manual a person powers the host on.";
        errors.push(FieldError::invalid("spec.returnToService.powerOn", message));
    }
    if back.mode == ReturnMode::Manual && back.approval == Approval::Required {
        let message = "needs spec.returnToService.mode: Automatic; with Manual a person brings the host back anyway.";
        errors.push(FieldError::invalid("spec.returnToService.approval", message));
    }
    if spec.evidence.levels.fence == Some(Level::PowerOff) && spec.restart == Restart::Allow {
        let message = "is PowerOff, so no host is to be switched off, but spec.restart: Allow does just that; set that to Forbid, or demand less.";
        errors.push(FieldError::invalid("spec.evidence.levels.fence", message));
    }
    if spec.evidence.levels.evacuate_local_disks.is_some() && spec.evacuation.local_disks == LocalDisks::Refuse {
        let message = "is about guests that spec.evacuation.localDisks: Refuse always leaves; set that to Rebuild, or leave this out.";
        errors.push(FieldError::invalid("spec.evidence.levels.evacuateLocalDisks", message));
    }
    errors
}
