//! FenceAttestation: a person states that a host is dead whose power nobody can read (I4).

use super::{
    host::{Retry, Waiting},
    host_operation::{Cancel, one_shot_update},
};
use crate::{Condition, FieldError, Kind, Time, meta::Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind FenceAttestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceAttestation;

/// Longest time from its creation to its end, in seconds.
pub const LONGEST_ATTESTATION_SECONDS: i64 = 86_400;

/// Desired. Only `cancel` can change: it withdraws the statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FenceAttestationSpec {
    /// The host that is dead.
    pub host_ref: Ref,
    /// The power epoch that the statement is about: `status.epoch` of the Host. It ends at any sign of life (S5).
    #[schemars(range(min = 1))]
    pub power_epoch: i64,
    /// What was seen, by whom, where.
    #[schemars(regex(pattern = r"^\s*\S[\s\S]{8,998}\S\s*$"))]
    pub statement: String,
    /// The statement counts until then; at most a day from now.
    pub expires_at: Time,
    /// Whether the statement is upheld.
    #[serde(default)]
    pub cancel: Cancel,
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FenceAttestationStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: Accepted, Succeeded, Ready, Reconciling, Stalled, Paused.
    pub conditions: Vec<Condition>,
    /// The person who made it.
    pub by: String,
    /// `Kind/name` of what went by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
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
}

impl Kind for FenceAttestation {
    const KIND: &'static str = "FenceAttestation";
    const PLURAL: &'static str = "fenceattestations";
    type Spec = FenceAttestationSpec;
    type Status = FenceAttestationStatus;

    fn validate(_name: &str, spec: &FenceAttestationSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if spec.host_ref.name.is_empty() {
            errors.push(FieldError::new("spec.hostRef.name", "Required", "must be given."));
        }
        if spec.power_epoch < 1 {
            errors.push(FieldError::invalid("spec.powerEpoch", "must be the host's present epoch, 1 or more; status.epoch of the Host has it."));
        }
        if !(10..=1_000).contains(&spec.statement.trim().chars().count()) {
            errors.push(FieldError::invalid("spec.statement", "must say in 10 to 1000 characters what was seen, by whom and where."));
        }
        errors
    }

    fn validate_update(old: &FenceAttestationSpec, new: &FenceAttestationSpec) -> Vec<FieldError> {
        one_shot_update(old, &FenceAttestationSpec { cancel: old.cancel, ..new.clone() }, old.cancel, new.cancel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> FenceAttestationSpec {
        FenceAttestationSpec {
            host_ref: Ref::to("c1"),
            power_epoch: 3,
            statement: "Both power supplies burnt; I pulled the cables in rack A1.".into(),
            expires_at: Time(0),
            cancel: Cancel::No,
        }
    }

    #[test]
    fn a_statement_says_something_of_an_epoch_that_there_is() {
        let fields = |spec: FenceAttestationSpec| FenceAttestation::validate("x", &spec).into_iter().map(|e| e.field).collect::<Vec<_>>();
        assert!(fields(spec()).is_empty());
        assert_eq!(fields(FenceAttestationSpec { power_epoch: 0, ..spec() }), ["spec.powerEpoch"]);
        assert_eq!(fields(FenceAttestationSpec { statement: "it died".into(), ..spec() }), ["spec.statement"]);
        assert_eq!(fields(FenceAttestationSpec { statement: "   dead          ".into(), ..spec() }), ["spec.statement"]);
        assert_eq!(fields(FenceAttestationSpec { statement: "x".repeat(1_001), ..spec() }), ["spec.statement"]);
        assert_eq!(fields(FenceAttestationSpec { host_ref: Ref::to(""), ..spec() }), ["spec.hostRef.name"]);
    }

    #[test]
    fn nothing_of_it_changes_but_that_it_is_withdrawn() {
        let withdrawn = FenceAttestationSpec { cancel: Cancel::Requested, ..spec() };
        assert!(FenceAttestation::validate_update(&spec(), &withdrawn).is_empty());
        assert!(!FenceAttestation::validate_update(&withdrawn, &spec()).is_empty());
        assert!(!FenceAttestation::validate_update(&spec(), &FenceAttestationSpec { expires_at: Time(1), ..spec() }).is_empty());
        assert!(!FenceAttestation::validate_update(&spec(), &FenceAttestationSpec { power_epoch: 4, ..spec() }).is_empty());
    }
}
