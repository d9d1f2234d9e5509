//! PowerLink: which port of which device powers which host.

use super::host::{PowerState, Waiting};
use crate::{Condition, FieldError, Kind, Time, field::check_range, meta::Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind PowerLink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerLink;

/// Which link is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LinkRole {
    /// The one that soft-off and on go through.
    #[default]
    Default,
    /// A further one.
    Redundant,
}

/// Who the machine behind the link says it is, as the operator's inventory knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LinkIdentity {
    /// Redfish `System.UUID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_uuid: Option<String>,
    /// Redfish `System.SerialNumber`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
}

/// Desired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PowerLinkSpec {
    /// The host that is powered.
    pub host_ref: Ref,
    /// The device that powers it.
    pub device_ref: Ref,
    /// Port of the device, 1 to 65535.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i64,
    /// Which link is asked first.
    #[serde(default)]
    pub role: LinkRole,
    /// If given, the link verifies itself by what the BMC says of its system (S3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<LinkIdentity>,
}

fn one() -> i64 {
    1
}

/// How a link was verified (S3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VerifiedBy {
    /// The BMC named the system that `spec.identity` names.
    Identity,
    /// The empty host was cycled, and exactly this service fell silent and came back.
    Cycle,
    /// A person stated it.
    Attestation,
}

/// What a verification holds for. A change of any of it clears the verification (S3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Binding {
    /// Uid of the device.
    pub device_uid: String,
    /// Generation-independent text of the device's endpoint.
    pub endpoint: String,
    /// Port of the device.
    pub port: i64,
    /// Nova service uuid of the host.
    pub service_id: String,
}

/// The verification of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// How.
    pub by: VerifiedBy,
    /// Who: a HostOperation's name, or the person that stated it.
    pub who: String,
    /// When.
    pub at: Time,
    /// What it holds for.
    pub binding: Binding,
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PowerLinkStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: Verified, ReferencesResolved, Ready.
    pub conditions: Vec<Condition>,
    /// What the link reads.
    pub state: PowerState,
    /// The verification, if there is one that holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// Why nothing is happening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

impl Kind for PowerLink {
    const KIND: &'static str = "PowerLink";
    const PLURAL: &'static str = "powerlinks";
    type Spec = PowerLinkSpec;
    type Status = PowerLinkStatus;

    fn validate(_name: &str, spec: &PowerLinkSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_range(&mut errors, "spec.port", spec.port, 1, 65_535);
        for (field, value) in [("spec.hostRef.name", &spec.host_ref.name), ("spec.deviceRef.name", &spec.device_ref.name)] {
            if value.is_empty() {
                errors.push(FieldError::new(field, "Required", "must be given."));
            }
        }
        if spec.identity.as_ref().is_some_and(|i| i.system_uuid.is_none() && i.serial_number.is_none()) {
            errors.push(FieldError::new("spec.identity", "Required", "give systemUuid or serialNumber, or leave identity out."));
        }
        errors
    }

    fn validate_update(old: &PowerLinkSpec, new: &PowerLinkSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if old.host_ref != new.host_ref {
            errors.push(FieldError::new("spec.hostRef", "Immutable", "cannot change; delete the link and create it anew."));
        }
        errors
    }
}
