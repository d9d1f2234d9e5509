//! An object, typed by its kind or as plain JSON.

use crate::{API_VERSION, FieldError, ObjectMeta, strictly::Strictly};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What makes a Rust type a kind.
pub trait Kind: Send + Sync + 'static {
    /// CamelCase name, as in `kind:`.
    const KIND: &'static str;
    /// Lower-case plural, as in URLs.
    const PLURAL: &'static str;
    /// What an operator declares.
    type Spec: Clone + std::fmt::Debug + PartialEq + Serialize + DeserializeOwned + JsonSchema + Send + Sync;
    /// What was observed.
    type Status: Clone + std::fmt::Debug + Default + PartialEq + Serialize + DeserializeOwned + JsonSchema + Send + Sync;

    /// Everything wrong with the spec that can be told from this object alone.
    fn validate(_name: &str, _spec: &Self::Spec) -> Vec<FieldError> {
        Vec::new()
    }

    /// Everything wrong with this change of the spec.
    fn validate_update(_old: &Self::Spec, _new: &Self::Spec) -> Vec<FieldError> {
        Vec::new()
    }
}

/// An object of kind `K`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Object<K: Kind> {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Desired.
    pub spec: K::Spec,
    /// Observed.
    pub status: K::Status,
}

/// An object of any kind, spec and status as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DynObject {
    /// `cloud-manager/v1`.
    #[serde(default = "api_version")]
    pub api_version: String,
    /// CamelCase kind.
    #[serde(default)]
    pub kind: String,
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Desired.
    #[serde(default = "empty")]
    pub spec: Value,
    /// Observed.
    #[serde(default = "empty")]
    pub status: Value,
}

fn api_version() -> String {
    API_VERSION.into()
}

fn empty() -> Value {
    Value::Object(Default::default())
}

impl DynObject {
    /// A new object with an empty status.
    pub fn new(kind: &str, name: impl Into<String>, spec: Value) -> Self {
        DynObject { api_version: api_version(), kind: kind.into(), metadata: ObjectMeta::named(name), spec, status: empty() }
    }

    /// This object as kind `K`. Fails with the path of the field that does not fit.
    pub fn typed<K: Kind>(&self) -> Result<Object<K>, FieldError> {
        Ok(Object { metadata: self.metadata.clone(), spec: decode("spec", &self.spec)?, status: decode("status", &self.status)? })
    }

    /// `Kind/name`, for messages.
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind, self.metadata.name)
    }
}

impl<K: Kind> Object<K> {
    /// This object as plain JSON parts.
    pub fn to_dyn(&self) -> DynObject {
        let json = |v: Result<Value, serde_json::Error>| v.unwrap_or_else(|_| empty());
        DynObject {
            api_version: api_version(),
            kind: K::KIND.into(),
            metadata: self.metadata.clone(),
            spec: json(serde_json::to_value(&self.spec)),
            status: json(serde_json::to_value(&self.status)),
        }
    }
}

/// Decodes a part of an object, strictly: a list is never taken for an object. `root` begins the field path in errors.
pub fn decode<T: DeserializeOwned>(root: &str, value: &Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(Strictly(value)).map_err(|e| {
        let path = e.path().to_string();
        let field = if path == "." { root.to_string() } else { format!("{root}.{path}") };
        let message = e.inner().to_string();
        let reason = if message.starts_with("unknown field") {
            "UnknownField"
        } else if message.starts_with("missing field") {
            "Required"
        } else {
            "Invalid"
        };
        FieldError::new(field, reason, format!("{message}."))
    })
}

impl DynObject {
    /// This object with an empty status.
    pub fn with_empty_status(self) -> Self {
        DynObject { status: empty(), ..self }
    }
}
