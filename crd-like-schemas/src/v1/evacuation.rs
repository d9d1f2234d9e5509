//! Evacuation: get every guest off one host, whether it lives or is dead.

use super::{
    evidence::EvidenceRule,
    fencing::{FenceProgress, Fencing},
    host::{Retry, Waiting},
    host_operation::{Cancel, one_shot_update},
};
use crate::{Condition, FieldError, Kind, Time, field::check_range, meta::Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind Evacuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvacuationKind;

/// How guests leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EvacuationMode {
    /// A host that is alive is drained, a dead one is rebuilt, one in doubt waits (S2). Decided anew on every pass.
    #[default]
    Auto,
    /// By live migration only.
    LiveMigrate,
    /// By fencing the host and rebuilding its guests elsewhere, alive or not.
    Rebuild,
}

/// Whether the host may be powered off to prove it dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FencePolicy {
    /// If it does not read off already.
    #[default]
    IfNeeded,
    /// Never: only a host that reads off is rebuilt.
    Forbidden,
}

/// What happens to guests whose disk dies with the host (S13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LocalDisks {
    /// They stay, each named.
    #[default]
    Refuse,
    /// They are rebuilt from their image; what was on the disk is lost.
    Rebuild,
}

/// Who asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Cause {
    /// A person, or a client of the API.
    #[default]
    Manual,
    /// The controller, by a RemediationPolicy. It ends without doing anything if the host reports before it was fenced.
    Automatic,
}

impl Cause {
    pub(crate) fn is_manual(&self) -> bool {
        *self == Cause::Manual
    }
}

/// How an evacuation goes, where ClusterPolicy `default` is not to say so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pace {
    /// Further tries after Nova reported a failed evacuation of a guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub retries: Option<i64>,
    /// Seconds between the end of one priority group and the beginning of the next, where no guest of it asks for another pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub group_pause_seconds: Option<i64>,
    /// Guests being moved at the same time, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max_per_host: Option<i64>,
}

impl Pace {
    /// What is wrong with it; `field` is where it stands.
    pub fn check(&self, field: &str, errors: &mut Vec<FieldError>) {
        for (name, value, min, max) in [
            ("retries", self.retries, 0, 20),
            ("groupPauseSeconds", self.group_pause_seconds, 0, 86_400),
            ("maxPerHost", self.max_per_host, 1, 1_000),
        ] {
            check_range(errors, &format!("{field}.{name}"), value.unwrap_or(min), min, max);
        }
    }
}

/// Desired. Only `cancel` can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvacuationSpec {
    /// The host to empty.
    pub host_ref: Ref,
    /// How guests leave.
    #[serde(default)]
    pub mode: EvacuationMode,
    /// Whether the host may be powered off.
    #[serde(default)]
    pub fence: FencePolicy,
    /// What happens to guests with local disks.
    #[serde(default)]
    pub local_disks: LocalDisks,
    /// How the host is switched off; by default as the RemediationPolicy says that holds for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing: Option<Fencing>,
    /// Who asked for it; clients leave it out.
    #[serde(default)]
    pub cause: Cause,
    /// What evidence its RemediationPolicy asks for; clients leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceRule>,
    /// How it goes, where ClusterPolicy `default` is not to say so. Of one without a person: as its RemediationPolicy had it when
    /// it was begun; what that says now counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// Whether it is wanted any longer.
    #[serde(default)]
    pub cancel: Cancel,
}

/// How one guest fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GuestOutcome {
    /// Not begun.
    #[default]
    Pending,
    /// A request was sent and is not settled.
    Moving,
    /// On another host, and Nova has settled it.
    Moved,
    /// Every try failed.
    Failed,
    /// Left where it is, with a reason.
    Skipped,
    /// Someone has to look at it.
    NeedsHuman,
}

/// The record of one guest's move. The memory that S6 and S7 ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GuestMove {
    /// Server id.
    pub id: String,
    /// Server name.
    pub name: String,
    /// Recovery priority, 0 to 10.
    pub priority: i64,
    /// Seconds between the end of its priority group and the next one, if not the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_seconds: Option<i64>,
    /// It is left stopped on its new host, whatever it was (GuestPolicy `targetState`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leave_stopped: bool,
    /// Who brings it back instead of us (GuestPolicy `owner`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// `vm_state` before the first try (S6).
    pub vm_state: String,
    /// How it fared.
    pub outcome: GuestOutcome,
    /// Stable word for why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Tries so far.
    pub attempts: i64,
    /// Where the plan sends it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub planned: String,
    /// Destination of the last try.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination: String,
    /// Destinations that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_destinations: Vec<String>,
    /// Nova's migration record that was adopted as ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<i64>,
    /// When the last request was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Time>,
    /// When it was settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// The plan in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanInForce {
    /// Name of the EvacuationPlan.
    pub name: String,
    /// Which plan of this evacuation, from 1.
    pub number: i64,
    /// When it was made.
    pub at: Time,
}

/// Which way the evacuation goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EvacuationPath {
    /// Not decided.
    #[default]
    Undecided,
    /// Live migration off a host that is alive.
    Drain,
    /// Fence and rebuild.
    Rebuild,
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EvacuationStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: Succeeded, EvidenceSufficient, Ready, Reconciling, Stalled, Paused, Cancelled.
    pub conditions: Vec<Condition>,
    /// Which way it goes.
    pub path: EvacuationPath,
    /// When work began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Where it stands, for people.
    pub progress: String,
    /// Times the host was fenced for this evacuation; at most 2 (S5).
    pub fences: i64,
    /// Power epoch in which it was last fenced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence_epoch: Option<i64>,
    /// How far the fence has come in the present epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fencing: Option<FenceProgress>,
    /// The plan in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanInForce>,
    /// Guests, in the order they are moved; at most 500 are shown with details.
    pub guests: Vec<GuestMove>,
    /// Why nothing is happening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Since when no proof that the host is off could be had, without a break.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_impossible_since: Option<Time>,
    /// Failed tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl Kind for EvacuationKind {
    const KIND: &'static str = "Evacuation";
    const PLURAL: &'static str = "evacuations";
    type Spec = EvacuationSpec;
    type Status = EvacuationStatus;

    fn validate(_name: &str, spec: &EvacuationSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if spec.host_ref.name.is_empty() {
            errors.push(FieldError::new("spec.hostRef.name", "Required", "must be given."));
        }
        if let Some(fencing) = &spec.fencing {
            fencing.check("spec.fencing", &mut errors);
        }
        if let Some(pace) = &spec.pace {
            pace.check("spec.pace", &mut errors);
        }
        errors
    }

    fn validate_update(old: &EvacuationSpec, new: &EvacuationSpec) -> Vec<FieldError> {
        one_shot_update(old, &EvacuationSpec { cancel: old.cancel, ..new.clone() }, old.cancel, new.cancel)
    }
}
