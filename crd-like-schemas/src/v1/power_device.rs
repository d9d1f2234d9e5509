//! PowerDevice: something that switches power, such as a BMC.

use super::host::Waiting;
use crate::{Condition, FieldError, Kind, field::check_range, meta::Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind PowerDevice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerDevice;

/// What sort of device it is; decides whether its links are Chassis or Supply (S3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeviceType {
    /// A baseboard management controller: its links are Chassis links.
    #[default]
    BMC,
    /// An outlet of a power distribution unit: its links are Supply links.
    PDU,
    /// A relay that a machine's feed runs through: its links are Supply links.
    RelayBoard,
}

impl DeviceType {
    /// Whether it switches the current that a machine gets, and knows nothing of the machine.
    pub fn is_supply(self) -> bool {
        self != DeviceType::BMC
    }
}

/// How to talk to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// IPMI 2.0 over LAN (RMCP+).
    IPMI,
    /// Redfish over HTTP or HTTPS.
    Redfish,
}

/// Where the device answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// Host name or address.
    #[schemars(regex(pattern = r"^[^\s/-][^\s/]*$"))]
    pub host: String,
    /// Port; by default 623 for IPMI, 443 for Redfish (80 without TLS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i64>,
    /// Redfish only: `HTTPS` (default) or `HTTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Redfish only: SHA-256 of the BMC's certificate (hex, colons allowed). Given, it replaces the check by certificate authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^:*([0-9A-Fa-f]:*){64}$"))]
    pub certificate_sha256: Option<String>,
    /// Redfish only: id or path of the System; may be left out if the BMC has exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

/// Redfish transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scheme {
    /// With TLS.
    #[default]
    HTTPS,
    /// In the clear; for management networks only.
    HTTP,
}

/// Desired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PowerDeviceSpec {
    /// Free text for people.
    #[serde(default)]
    pub title: String,
    /// Sort of device; cannot change.
    #[serde(default)]
    pub r#type: DeviceType,
    /// Protocol; cannot change.
    pub protocol: Protocol,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// User and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_ref: Option<Ref>,
    /// Number of ports. A BMC has one, and so has each outlet that IPMI or Redfish switches: it is a PowerDevice of its own.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1))]
    pub ports: i64,
}

fn one() -> i64 {
    1
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PowerDeviceStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: Reachable, CredentialsValid, ReferencesResolved, Ready.
    pub conditions: Vec<Condition>,
    /// Ports with a link.
    pub used_ports: i64,
    /// Why nothing is happening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

impl PowerDeviceSpec {
    /// The port to connect to.
    pub fn port(&self) -> u16 {
        let default = match (self.protocol, self.endpoint.scheme.unwrap_or_default()) {
            (Protocol::IPMI, _) => 623,
            (Protocol::Redfish, Scheme::HTTPS) => 443,
            (Protocol::Redfish, Scheme::HTTP) => 80,
        };
        self.endpoint.port.and_then(|p| u16::try_from(p).ok()).unwrap_or(default)
    }
}

impl Kind for PowerDevice {
    const KIND: &'static str = "PowerDevice";
    const PLURAL: &'static str = "powerdevices";
    type Spec = PowerDeviceSpec;
    type Status = PowerDeviceStatus;

    fn validate(_name: &str, spec: &PowerDeviceSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if spec.endpoint.host.is_empty()
            || spec.endpoint.host.starts_with('-')
            || spec.endpoint.host.contains(|c: char| c.is_whitespace() || c == '/')
        {
            errors.push(FieldError::invalid("spec.endpoint.host", "give a host name or an address, without scheme or path."));
        }
        if let Some(port) = spec.endpoint.port {
            check_range(&mut errors, "spec.endpoint.port", port, 1, 65_535);
        }
        if let Some(credential) = &spec.credential_ref {
            credential.check("spec.credentialRef", &mut errors);
        }
        if spec.ports != 1 {
            errors.push(FieldError::invalid(
                "spec.ports",
                "a BMC has exactly 1 port, and so has an outlet behind IPMI or Redfish: make a PowerDevice of each.",
            ));
        }
        if let Some(pin) = &spec.endpoint.certificate_sha256 {
            let digits: String = pin.chars().filter(|c| *c != ':').collect();
            if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                errors.push(FieldError::invalid("spec.endpoint.certificateSha256", "give the 64 hex digits of the certificate's SHA-256."));
            }
        }
        let redfish_only = [
            ("scheme", spec.endpoint.scheme.is_some()),
            ("certificateSha256", spec.endpoint.certificate_sha256.is_some()),
            ("system", spec.endpoint.system.is_some()),
        ];
        for (field, set) in redfish_only {
            if set && spec.protocol != Protocol::Redfish {
                errors.push(FieldError::invalid(format!("spec.endpoint.{field}"), "applies to Redfish only; leave it out for IPMI."));
            }
        }
        errors
    }

    fn validate_update(old: &PowerDeviceSpec, new: &PowerDeviceSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let immutable = |field: &str| FieldError::new(field, "Immutable", "cannot change; delete the device and create it anew.");
        if old.r#type != new.r#type {
            errors.push(immutable("spec.type"));
        }
        if old.protocol != new.protocol {
            errors.push(immutable("spec.protocol"));
        }
        errors
    }
}

#[test]
fn a_device_that_does_not_say_its_type_is_a_bmc_and_every_other_type_switches_a_supply() {
    let spec = |more: serde_json::Value| -> PowerDeviceSpec {
        let mut spec = serde_json::json!({"protocol": "IPMI", "endpoint": {"host": "10.0.0.1"}});
        spec.as_object_mut().into_iter().zip(more.as_object().cloned()).for_each(|(spec, more)| spec.extend(more));
        serde_json::from_value(spec).expect("a spec")
    };
    let old = spec(serde_json::json!({}));
    assert_eq!((old.r#type, old.r#type.is_supply()), (DeviceType::BMC, false));
    for name in ["PDU", "RelayBoard"] {
        let outlet = spec(serde_json::json!({"type": name}));
        assert!(outlet.r#type.is_supply() && PowerDevice::validate("d", &outlet).is_empty());
        let many = PowerDevice::validate("d", &PowerDeviceSpec { ports: 8, ..outlet });
        assert!(many.iter().any(|e| e.field == "spec.ports" && e.message.contains("a PowerDevice of each")), "{many:?}");
    }
}
