//! StandbyPool: hosts kept disabled or powered off, woken for one recovery each.

use super::host::Waiting;
use crate::{
    Condition, FieldError, Kind, Time,
    field::{NAME_PATTERN, check_name, check_range},
    selector::Selector,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind StandbyPool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandbyPool;

/// How members are kept while nobody needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IdleState {
    /// Disabled in Nova and powered off.
    #[default]
    PoweredOff,
    /// Disabled in Nova, and on.
    Disabled,
}

/// When a member is woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Wake {
    /// When guests of an evacuation find no destination.
    #[default]
    WhenNeeded,
    /// At once when an evacuation by rebuilding begins; further ones when guests find no destination.
    Always,
}

/// Hosts whose evacuations the pool serves. Empty: every host that is no member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Protects {
    /// Names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "set"))]
    #[schemars(inner(regex(pattern = NAME_PATTERN)))]
    pub hosts: Vec<String>,
    /// Labels (`rack=a1,!canary`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
}

/// Desired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StandbyPoolSpec {
    /// Names of its hosts. Each has `spec.power` and `spec.schedulable` Unmanaged: the pool decides about both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "set"))]
    #[schemars(inner(regex(pattern = NAME_PATTERN)), extend("uniqueItems" = true))]
    pub members: Vec<String>,
    /// Further hosts of it, by label.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// Hosts whose evacuations it serves.
    pub protects: Protects,
    /// How members are kept while nobody needs them.
    pub idle_state: IdleState,
    /// When a member is woken.
    pub wake: Wake,
    /// A member that is not ready so many seconds after it was chosen has failed; without, as ClusterPolicy says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub wake_timeout_seconds: Option<i64>,
    /// A member that nobody needs is put back after it was empty for so many seconds; without, as ClusterPolicy says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub idle_after_seconds: Option<i64>,
    /// Members that should be free; with fewer, the condition Sufficient is False.
    #[schemars(range(min = 0, max = 100_000))]
    pub size: i64,
    /// Idle members are tested by a FenceDrill that often, in seconds; 0: never.
    #[schemars(extend("anyOf" = [{"const": 0}, {"minimum": 600, "maximum": 31536000}]))]
    pub test_every: i64,
}

impl Default for StandbyPoolSpec {
    fn default() -> Self {
        StandbyPoolSpec {
            members: Vec::new(),
            selector: String::new(),
            protects: Protects::default(),
            idle_state: IdleState::PoweredOff,
            wake: Wake::WhenNeeded,
            wake_timeout_seconds: None,
            idle_after_seconds: None,
            size: 1,
            test_every: 0,
        }
    }
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MemberState {
    /// It cannot be used now, for a reason.
    #[default]
    Unusable,
    /// Free, and as it is kept while idle.
    Idle,
    /// Empty, and on its way to be kept as the pool keeps idle members.
    Settling,
    /// It holds guests; nothing is done to it.
    InUse,
    /// Something else works on it.
    Busy,
    /// It is leased to an evacuation.
    Leased,
    /// It failed, and is not tried again before it was tested or taken out of the pool.
    Failed,
}

/// A member, and why it is not free.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolMember {
    /// The host.
    pub host: String,
    /// Where it stands.
    pub state: MemberState,
    /// Stable word for why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when it was seen empty in every look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_since: Option<Time>,
}

/// Where a lease stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LeaseState {
    /// It is being powered on and enabled.
    #[default]
    Waking,
    /// Nova, Placement and the trait agree that guests may be placed on it.
    Ready,
    /// It was not needed, or is empty again, and is put back.
    Returning,
}

/// A member that serves one evacuation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StandbyLease {
    /// The host.
    pub host: String,
    /// Name of the evacuation.
    pub evacuation: String,
    /// Its uid.
    pub evacuation_uid: String,
    /// Where the lease stands.
    pub state: LeaseState,
    /// Since when it stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The evacuation has ended; the lease lasts until the host is empty and back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
    /// Name of the HostOperation that was made last for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operation: String,
}

/// A member that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StandbyFailure {
    /// The host.
    pub host: String,
    /// Stable word for why.
    pub reason: String,
    /// For people.
    pub message: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// Memory of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolTests {
    /// Tests begun so far.
    pub begun: i64,
    /// When the last one was begun, or the pool was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Time>,
    /// Results of FenceDrills up to this resource version are known.
    pub taken_in: i64,
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StandbyPoolStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: Sufficient, MembersResolved, Ready, Reconciling, Stalled, Paused.
    pub conditions: Vec<Condition>,
    /// Members that can be woken now.
    pub free: i64,
    /// Members that serve an evacuation: one each, in the order in which they were taken.
    pub leased: Vec<StandbyLease>,
    /// Members that failed.
    pub failed: Vec<StandbyFailure>,
    /// Every member, and why it is not free.
    pub members: Vec<PoolMember>,
    /// Memory of tests.
    pub tests: PoolTests,
    /// Why nothing is happening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

impl Kind for StandbyPool {
    const KIND: &'static str = "StandbyPool";
    const PLURAL: &'static str = "standbypools";
    type Spec = StandbyPoolSpec;
    type Status = StandbyPoolStatus;

    fn validate(_name: &str, spec: &StandbyPoolSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if spec.members.is_empty() && spec.selector.is_empty() {
            errors.push(FieldError::new("spec.members", "Required", "name at least one host, or give spec.selector."));
        }
        for (i, host) in spec.members.iter().enumerate() {
            check_name(&mut errors, &format!("spec.members[{i}]"), host);
            if spec.members[..i].contains(host) {
                errors.push(FieldError::invalid(format!("spec.members[{i}]"), format!("{host} is named twice; name it once.")));
            }
            if spec.protects.hosts.contains(host) {
                let message = format!("{host} cannot protect itself: take it out of spec.members or out of spec.protects.hosts.");
                errors.push(FieldError::invalid(format!("spec.members[{i}]"), message));
            }
        }
        for (i, host) in spec.protects.hosts.iter().enumerate() {
            check_name(&mut errors, &format!("spec.protects.hosts[{i}]"), host);
        }
        for (field, selector) in [("spec.selector", &spec.selector), ("spec.protects.selector", &spec.protects.selector)] {
            if let Err(why) = Selector::parse(selector) {
                errors.push(FieldError::invalid(field, format!("{why}; write it as `rack=a1,tier!=test`.")));
            }
        }
        for (field, value, min, max) in [
            ("wakeTimeoutSeconds", spec.wake_timeout_seconds.unwrap_or(1), 1, 604_800),
            ("idleAfterSeconds", spec.idle_after_seconds.unwrap_or(0), 0, 1_000_000),
            ("size", spec.size, 0, 100_000),
        ] {
            check_range(&mut errors, &format!("spec.{field}"), value, min, max);
        }
        if spec.test_every != 0 {
            check_range(&mut errors, "spec.testEvery", spec.test_every, 600, 31_536_000);
        }
        errors
    }
}

impl StandbyPoolSpec {
    /// Whether a host of this name and these labels is named or selected as a member.
    pub fn has(&self, host: &str, labels: &std::collections::BTreeMap<String, String>) -> bool {
        let selected = || Selector::parse(&self.selector).is_ok_and(|s| !s.is_empty() && s.matches(labels));
        self.members.iter().any(|m| m == host) || selected()
    }

    /// Whether `protects` names or selects a host; an empty one selects none here.
    pub fn protects_by_name(&self, host: &str, labels: &std::collections::BTreeMap<String, String>) -> bool {
        let selected = || Selector::parse(&self.protects.selector).is_ok_and(|s| !s.is_empty() && s.matches(labels));
        self.protects.hosts.iter().any(|h| h == host) || selected()
    }

    /// Whether the pool serves evacuations of this host.
    pub fn serves(&self, host: &str, labels: &std::collections::BTreeMap<String, String>) -> bool {
        let all = self.protects.hosts.is_empty() && self.protects.selector.is_empty();
        !self.has(host, labels) && (all || self.protects_by_name(host, labels))
    }
}
