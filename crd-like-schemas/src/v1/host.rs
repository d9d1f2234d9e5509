//! Host: a compute node (a Nova service host).

use crate::{Condition, FieldError, Kind, Time, field::NAME_PATTERN, meta::Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most entries of `spec.failureDomains`.
const MAX_FAILURE_DOMAINS: usize = 16;

/// The kind Host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host;

/// Whether Nova may place new guests here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Schedulable {
    /// Nobody's business of ours: Nova's setting is left as it is.
    #[default]
    Unmanaged,
    /// The Nova service is kept enabled.
    Enabled,
    /// The Nova service is kept disabled.
    Disabled,
}

/// Desired power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PowerWish {
    /// Power is left as it is.
    #[default]
    Unmanaged,
    /// Kept on.
    On,
    /// Disabled, drained, proven empty (S9) and powered off (S12).
    Off,
}

/// Observed power. Unknown is never Off (I3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PowerState {
    /// Read as on.
    On,
    /// Read as off.
    Off,
    /// Could not be read, or makes no sense.
    #[default]
    Unknown,
}

/// Whether guests may be evacuated from this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EvacuationRule {
    /// They may.
    #[default]
    Allowed,
    /// They may not; an Evacuation is refused.
    Denied,
}

/// Whether its RemediationPolicy may begin anything for the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RemediationRule {
    /// Its policy says what is done.
    #[default]
    ByPolicy,
    /// It is watched and reported; it is neither restarted nor evacuated without a person.
    Excluded,
}

impl RemediationRule {
    fn is_by_policy(&self) -> bool {
        *self == RemediationRule::ByPolicy
    }
}

/// What happens to running guests when the host is declared off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GuestsOnPowerOff {
    /// They are live-migrated; one that cannot move holds the power-off.
    #[default]
    LiveMigrate,
    /// They are shut down and stay on the host.
    Stop,
    /// Nothing is done to them; the power-off waits until they are gone.
    Wait,
}

/// What happens to stopped guests of a host that is emptied (S9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StoppedGuests {
    /// They stay and are listed.
    #[default]
    Leave,
    /// They are cold-migrated and stay stopped; one that cannot be holds the host.
    ColdMigrate,
}

impl StoppedGuests {
    pub(crate) fn are_left(&self) -> bool {
        *self == StoppedGuests::Leave
    }
}

/// Desired state of a host. Node synchronisation owns no field of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HostSpec {
    /// Free text for people.
    #[schemars(length(max = 255))]
    pub title: String,
    /// Whether Nova may place new guests here.
    pub schedulable: Schedulable,
    /// Desired power.
    pub power: PowerWish,
    /// Whether guests may be evacuated from here. `Denied` forbids nothing else: where its policy restarts hosts, it is restarted.
    pub evacuation: EvacuationRule,
    /// Whether its RemediationPolicy may begin anything for it.
    #[serde(skip_serializing_if = "RemediationRule::is_by_policy")]
    pub remediation: RemediationRule,
    /// The Evacuation after which a person lets the host be brought back, where its RemediationPolicy asks for that. Any other one
    /// needs an approval of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub approved_return: Option<String>,
    /// What happens to running guests when `power` becomes `Off`.
    pub guests_on_power_off: GuestsOnPowerOff,
    /// What happens to stopped guests when the host is emptied.
    pub stopped_guests: StoppedGuests,
    /// How long a soft power-off may take before a hard one, in seconds (S12).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub soft_off_timeout_seconds: Option<i64>,
    /// The RemediationPolicy that holds for it; without, the one whose selector fits, else `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remediation_policy_ref: Option<Ref>,
    /// The innermost FailureDomain that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub failure_domain: Option<String>,
    /// Further FailureDomains that it is in beside that one and those around it: its feed, its switch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "set"))]
    #[schemars(length(max = MAX_FAILURE_DOMAINS), inner(regex(pattern = NAME_PATTERN)), extend("uniqueItems" = true))]
    pub failure_domains: Vec<String>,
}

impl HostSpec {
    /// Every FailureDomain that it names.
    pub fn named_domains(&self) -> impl Iterator<Item = &str> {
        self.failure_domain.iter().chain(&self.failure_domains).map(String::as_str)
    }
}

/// What Nova says of the host's nova-compute service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NovaStatus {
    /// Uuid of the service.
    pub service_id: String,
    /// `up`, `down`, or `unknown`.
    pub state: String,
    /// `enabled`, `disabled`, or `unknown`.
    pub status: String,
    /// Whether it is forced down.
    pub forced_down: bool,
    /// Reason Nova holds for being disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Availability zone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// `Alive`, `Dead` or `InDoubt` (S2).
    pub liveness: String,
}

/// Power as one link reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LinkState {
    /// Name of the PowerLink.
    pub name: String,
    /// What it reads.
    pub state: PowerState,
    /// Whether the link may be used to change power (S3).
    pub verified: bool,
    /// Why it could not be read, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Observed power of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostPower {
    /// All links together.
    pub state: PowerState,
    /// Each link.
    pub links: Vec<LinkState>,
}

/// Guests that Nova shows on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GuestSummary {
    /// All; absent if they could not be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// With `vm_state` active.
    pub running: i64,
    /// With `vm_state` stopped.
    pub stopped: i64,
    /// In `vm_state` error.
    pub error: i64,
    /// In any other state.
    pub other: i64,
    /// Guests that hold a power-off or drain, each with its reason; at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<String>,
}

/// The latch of S10: set when the host was fenced, released by a person or the return rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FenceStatus {
    /// Epoch in which the host was fenced (S5).
    pub epoch: i64,
    /// Evacuation that fenced it.
    pub by: String,
    /// Its Nova service was enabled until then: it is enabled again on return.
    pub disabled_by_us: bool,
}

/// Where the host stands by its RemediationPolicy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum AvailabilityState {
    /// Not judged yet.
    #[default]
    Unknown,
    /// Nova calls it up.
    Up,
    /// Off as declared or commanded: nobody misses it.
    Off,
    /// Nova calls it down, in fewer looks in a row than the policy asks for.
    Suspect,
    /// Down, confirmed. What is done about it, or why nothing is, says the condition RemediationAllowed.
    Down,
    /// It is being switched off and on without a person, before its guests are evacuated.
    Restarting,
    /// Its guests are being evacuated without a person.
    Recovering,
    /// That evacuation has ended; nothing more is begun until the host was back.
    Recovered,
    /// It is being brought back without a person.
    Returning,
    /// It is not brought back without a person: that failed, or it was too often.
    Quarantined,
}

/// What the watch over hosts remembers of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Availability {
    /// Where it stands.
    pub state: AvailabilityState,
    /// Looks in a row that spoke for leaving the state.
    pub confirmations: i64,
    /// Since when it stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Times it was down, confirmed.
    pub downs: i64,
    /// Evacuation that was begun since it was down the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evacuation: Option<String>,
    /// What speaks for its death in this power epoch, weakest first: `L0 ServiceSilent`, `L1 ChannelSilent …`, `L2 StorageSilent …`, `L3 PowerOff`, `L5 Attested …`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// HostOperation that was begun last since then: a restart, or a return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// When it was restarted or brought back without a person, within the policy's window.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub returns: Vec<Time>,
}

/// Who disrupts the host now (S11).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostClaim {
    /// `Kind/name` of the claim's object.
    pub owner: String,
    /// What for.
    pub purpose: String,
}

/// Why nothing is happening, in a stable word and a sentence (I27).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Waiting {
    /// Stable CamelCase word.
    pub reason: String,
    /// What is missing and what to do.
    pub message: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// Memory of failed tries, so that a restart neither hammers nor forgets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// Failures in a row.
    pub failures: i64,
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
    /// Last error.
    pub last_error: String,
}

/// The StandbyPool that has the host as a member. While it stands here no other pool takes the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostStandby {
    /// Name of the pool.
    pub pool: String,
    /// The evacuation that it is leased to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evacuation: Option<String>,
    /// It takes guests, or holds some; otherwise it is a spare, and its silence is no failure.
    pub in_service: bool,
}

/// Observed state of a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// What Nova says; absent if Nova does not know the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nova: Option<NovaStatus>,
    /// Power.
    pub power: HostPower,
    /// Guests.
    pub guests: GuestSummary,
    /// Set while the latch of S10 holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<FenceStatus>,
    /// Power epoch (S5).
    pub epoch: i64,
    /// Where it stands by its RemediationPolicy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// The StandbyPool that it is a member of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby: Option<HostStandby>,
    /// Who disrupts the host now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<HostClaim>,
    /// Why nothing is happening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Failed tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Since when the host was being emptied with no running guest seen (first pass of S9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_since: Option<Time>,
    /// When the soft power-off was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_off_at: Option<Time>,
}

impl Kind for Host {
    const KIND: &'static str = "Host";
    const PLURAL: &'static str = "hosts";
    type Spec = HostSpec;
    type Status = HostStatus;

    fn validate(_name: &str, spec: &HostSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if spec.power == PowerWish::Off && spec.schedulable == Schedulable::Enabled {
            errors.push(FieldError::invalid(
                "spec.schedulable",
                "cannot be Enabled while spec.power is Off (S12); set it to Disabled or Unmanaged, or spec.power to On.",
            ));
        }
        if spec.title.chars().count() > 255 {
            errors.push(FieldError::invalid("spec.title", "must have at most 255 characters."));
        }
        if let Some(policy) = &spec.remediation_policy_ref {
            policy.check("spec.remediationPolicyRef", &mut errors);
        }
        if let Some(evacuation) = &spec.approved_return {
            crate::field::check_name(&mut errors, "spec.approvedReturn", evacuation);
        }
        if let Some(domain) = &spec.failure_domain {
            crate::field::check_name(&mut errors, "spec.failureDomain", domain);
        }
        if spec.failure_domains.len() > MAX_FAILURE_DOMAINS {
            errors.push(FieldError::invalid("spec.failureDomains", format!("must have at most {MAX_FAILURE_DOMAINS} entries.")));
        }
        for (n, domain) in spec.failure_domains.iter().enumerate() {
            let field = format!("spec.failureDomains[{n}]");
            crate::field::check_name(&mut errors, &field, domain);
            if spec.failure_domain.as_ref() == Some(domain) || spec.failure_domains[..n].contains(domain) {
                errors.push(FieldError::invalid(&field, format!("names FailureDomain {domain} a second time; name it once.")));
            }
        }
        if let Some(seconds) = spec.soft_off_timeout_seconds {
            crate::field::check_range(&mut errors, "spec.softOffTimeoutSeconds", seconds, 0, 86_400);
        }
        errors
    }
}
