//! Credential: user and password of devices. The data is write-only and encrypted at rest.

use crate::{Condition, FieldError, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kind Credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential;

/// Where the secret is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Source {
    /// In our database, encrypted.
    #[default]
    Inline,
}

/// Desired. `data` is taken in, encrypted, and never given out again.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CredentialSpec {
    /// Where the secret is.
    pub source: Source,
    /// Keys `username` and `password`. Write-only: always absent in answers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-map-type" = "atomic"))]
    #[schemars(extend("propertyNames" = {"enum": ["username", "password"]}, "additionalProperties" = {"type": "string", "maxLength": 1024, "pattern": "^[^\\x00\\n\\r]*$"}))]
    pub data: BTreeMap<String, String>,
}

impl std::fmt::Debug for CredentialSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CredentialSpec {{ source: {:?}, data: [{} hidden] }}", self.source, self.data.len())
    }
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CredentialStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: Available.
    pub conditions: Vec<Condition>,
    /// Changes when the secret changes; tells nothing else about it.
    pub fingerprint: String,
    /// Names of the keys that are set.
    pub keys: Vec<String>,
}

impl Kind for Credential {
    const KIND: &'static str = "Credential";
    const PLURAL: &'static str = "credentials";
    type Spec = CredentialSpec;
    type Status = CredentialStatus;

    fn validate(_name: &str, spec: &CredentialSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (key, value) in &spec.data {
            let field = format!("spec.data.{key}");
            if !matches!(key.as_str(), "username" | "password") {
                errors.push(FieldError::new(field, "UnknownField", "is not known; use username and password."));
            } else if value.contains(['\0', '\n', '\r']) || value.chars().count() > 1024 {
                errors.push(FieldError::invalid(field, "must be one line of at most 1024 characters."));
            }
        }
        errors
    }
}

impl CredentialSpec {
    /// Whether this JSON is data that [`Kind::validate`] would accept.
    pub fn data_is_valid(data: &serde_json::Value) -> bool {
        let spec: Result<CredentialSpec, _> = serde_json::from_value(serde_json::json!({ "data": data }));
        spec.is_ok_and(|s| Credential::validate("", &s).is_empty())
    }
}
