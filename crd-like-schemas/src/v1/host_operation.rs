//! HostOperation: one thing done once to one host.

use super::{
    evacuation::Cause,
    evidence::EvidenceRule,
    fencing::{FenceProgress, Fencing},
    host::{Retry, StoppedGuests, Waiting},
};
use crate::{Condition, FieldError, Kind, Time, field::check_range, meta::Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind HostOperation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostOperation;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HostOperationType {
    /// Power on; releases the latch of S10.
    PowerOn,
    /// Hard power-off.
    PowerOff,
    /// Ask the operating system to shut down.
    SoftOff,
    /// Off, proven off, on.
    PowerCycle,
    /// Verify the host's power link (S3).
    Initialise,
    /// Enable the Nova service; releases the latch of S10.
    Enable,
    /// Disable the Nova service.
    Disable,
    /// Disable, and live-migrate every running guest away; stays disabled until Enable.
    Drain,
    /// Drain, then power off.
    Shutdown,
}

/// What PowerOff, SoftOff and PowerCycle do about running guests (S12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RunningGuests {
    /// Refuse while one runs.
    #[default]
    Refuse,
    /// Go on: they die with the host.
    Kill,
}

/// What Shutdown does about guests that cannot be moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OffVm {
    /// They hold the shutdown.
    #[default]
    Forbid,
    /// They are shut down and stay on the host.
    Allow,
}

/// How Initialise verifies a link (S3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InitialiseMethod {
    /// By what the BMC says of its system, against `spec.identity` of the link.
    #[default]
    Identity,
    /// By cycling the empty host and watching its service fall silent and come back.
    Cycle,
    /// The person who creates this operation states that the link is right.
    Attestation,
}

/// PowerOn, Enable: what is known of an earlier controller whose power command may still arrive (S8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FormerLeader {
    /// Nothing: the host is held for ten minutes.
    #[default]
    Unknown,
    /// The person who creates this operation states that its process, and what it had started, has ended.
    Gone,
}

/// Whether the operation is wanted any longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Cancel {
    /// It is.
    #[default]
    No,
    /// It is not: nothing new is begun, what is under way is settled.
    Requested,
}

/// Desired. Only `cancel` can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostOperationSpec {
    /// The host.
    pub host_ref: Ref,
    /// What is done.
    pub r#type: HostOperationType,
    /// PowerOff, SoftOff, PowerCycle: what about running guests.
    #[serde(default)]
    pub running_guests: RunningGuests,
    /// Shutdown: what about guests that cannot be moved.
    #[serde(default)]
    pub allow_off_vm: OffVm,
    /// Drain, Shutdown: what about stopped guests.
    #[serde(default, skip_serializing_if = "StoppedGuests::are_left")]
    pub stopped_guests: StoppedGuests,
    /// PowerCycle: how it is switched off; by default by a hard power-off through one link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing: Option<Fencing>,
    /// Initialise: how.
    #[serde(default)]
    pub method: InitialiseMethod,
    /// Initialise: which link; may be left out if the host has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_ref: Option<Ref>,
    /// PowerOn, Enable: what is known of an earlier controller whose power command may still arrive (S8).
    #[serde(default, skip_serializing_if = "FormerLeader::is_unknown")]
    pub former_leader: FormerLeader,
    /// PowerOn, Enable: how long Nova must call its service up before it is enabled, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 86_400))]
    pub steady_seconds: i64,
    /// Who asked for it; clients leave it out.
    #[serde(default, skip_serializing_if = "Cause::is_manual")]
    pub cause: Cause,
    /// Automatic PowerOn, Enable: the only object whose fence it releases, as `Kind/name`; clients leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns_from: Option<String>,
    /// Automatic PowerCycle: what evidence its RemediationPolicy asks for; clients leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceRule>,
    /// Whether it is wanted any longer.
    #[serde(default)]
    pub cancel: Cancel,
}

fn is_zero(seconds: &i64) -> bool {
    *seconds == 0
}

impl FormerLeader {
    fn is_unknown(&self) -> bool {
        *self == FormerLeader::Unknown
    }
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostOperationStatus {
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
    /// Why nothing is happening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Failed tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// First pass of S9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_since: Option<Time>,
    /// When the soft power-off was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_off_at: Option<Time>,
    /// How far switching it off has come, where `spec.fencing` says how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fencing: Option<FenceProgress>,
    /// PowerOn, Enable: since when Nova has called its service up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_since: Option<Time>,
    /// Names of steps done, in order; the memory of a many-step operation.
    pub steps: Vec<String>,
    /// Guests left on the host, each with its reason; at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

impl Kind for HostOperation {
    const KIND: &'static str = "HostOperation";
    const PLURAL: &'static str = "hostoperations";
    type Spec = HostOperationSpec;
    type Status = HostOperationStatus;

    fn validate(_name: &str, spec: &HostOperationSpec) -> Vec<FieldError> {
        use HostOperationType::*;
        let mut errors = Vec::new();
        if spec.host_ref.name.is_empty() {
            errors.push(FieldError::new("spec.hostRef.name", "Required", "must be given."));
        }
        if spec.running_guests == RunningGuests::Kill && !matches!(spec.r#type, PowerOff | SoftOff | PowerCycle) {
            errors.push(FieldError::invalid("spec.runningGuests", "applies to PowerOff, SoftOff and PowerCycle only."));
        }
        if spec.allow_off_vm == OffVm::Allow && spec.r#type != Shutdown {
            errors.push(FieldError::invalid("spec.allowOffVm", "applies to Shutdown only."));
        }
        if spec.former_leader == FormerLeader::Gone && !matches!(spec.r#type, PowerOn | Enable) {
            errors.push(FieldError::invalid("spec.formerLeader", "applies to PowerOn and Enable only."));
        }
        if spec.stopped_guests != StoppedGuests::Leave && !matches!(spec.r#type, Drain | Shutdown) {
            errors.push(FieldError::invalid("spec.stoppedGuests", "applies to Drain and Shutdown only."));
        }
        check_range(&mut errors, "spec.steadySeconds", spec.steady_seconds, 0, 86_400);
        if spec.steady_seconds != 0 && !matches!(spec.r#type, PowerOn | Enable) {
            errors.push(FieldError::invalid("spec.steadySeconds", "applies to PowerOn and Enable only."));
        }
        if spec.returns_from.is_some() && (spec.cause == Cause::Manual || !matches!(spec.r#type, PowerOn | Enable)) {
            errors.push(FieldError::invalid("spec.returnsFrom", "is the controller's own word; leave it out."));
        }
        if let Some(rule) = &spec.evidence {
            if spec.cause == Cause::Manual || spec.r#type != PowerCycle {
                errors.push(FieldError::invalid("spec.evidence", "is the controller's own word; leave it out."));
            }
            rule.check("spec.evidence", &mut errors);
        }
        if let Some(fencing) = &spec.fencing {
            if spec.r#type != PowerCycle {
                errors.push(FieldError::invalid("spec.fencing", "applies to PowerCycle only; an Evacuation has such a field as well."));
            }
            fencing.check("spec.fencing", &mut errors);
        }
        if let Some(link) = &spec.link_ref {
            link.check("spec.linkRef", &mut errors);
        }
        if spec.link_ref.is_some() && spec.r#type != Initialise {
            errors.push(FieldError::invalid("spec.linkRef", "applies to Initialise only."));
        }
        if spec.method != InitialiseMethod::Identity && spec.r#type != Initialise {
            errors.push(FieldError::invalid("spec.method", "applies to Initialise only."));
        }
        errors
    }

    fn validate_update(old: &HostOperationSpec, new: &HostOperationSpec) -> Vec<FieldError> {
        one_shot_update(old, &HostOperationSpec { cancel: old.cancel, ..new.clone() }, old.cancel, new.cancel)
    }
}

/// The rule of every one-shot spec: only `cancel` may change, and only to `Requested`.
pub(crate) fn one_shot_update<S: PartialEq>(old: &S, new_but_cancel: &S, old_cancel: Cancel, new_cancel: Cancel) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if old != new_but_cancel {
        errors.push(FieldError::new("spec", "Immutable", "cannot change; create another object. Only spec.cancel may be set to Requested."));
    }
    if old_cancel == Cancel::Requested && new_cancel == Cancel::No {
        errors.push(FieldError::new("spec.cancel", "Immutable", "a cancellation cannot be taken back; create another object."));
    }
    errors
}
