//! From what a client sent to what is stored.

use crate::{MAX_OBJECT_BYTES, RegistryError, RegistryResult};
use schemas::{API_VERSION, DynObject, FieldError, KindInfo, ObjectMeta, Time};
use serde_json::Value;

/// Kept on one-shot objects until their work is settled, and on StandbyPools until no host bears their mark.
pub const FINALIZER: &str = "cloud-manager/controller";

/// Annotation with the name of the user that created an object.
const CREATED_BY: &str = "cloud-manager/created-by";

/// Decodes a client's JSON as an object of `kind`; `kind` and `apiVersion` may be left out.
pub fn parse_object(kind: &KindInfo, value: &Value) -> RegistryResult<DynObject> {
    if !value.is_object() {
        return Err(FieldError::invalid("", "the body must be a JSON object with metadata and spec.").into());
    }
    let mut object: DynObject = schemas::object::decode("object", value).map_err(|mut e| {
        e.field = e.field.trim_start_matches("object.").to_string();
        e
    })?;
    if object.kind.is_empty() {
        object.kind = kind.kind.into();
    }
    if object.kind != kind.kind {
        return Err(FieldError::invalid("kind", format!("is {:?}, but this URL takes {}.", object.kind, kind.kind)).into());
    }
    if object.api_version != API_VERSION {
        return Err(FieldError::invalid("apiVersion", format!("is {:?}; this server speaks {API_VERSION}.", object.api_version)).into());
    }
    if serde_json::to_vec(&object).map_or(0, |v| v.len()) > MAX_OBJECT_BYTES {
        return Err(FieldError::invalid("", format!("the object is larger than {MAX_OBJECT_BYTES} bytes.")).into());
    }
    Ok(object)
}

/// Fills in defaults and checks a spec. What is wrong with a Credential's data is said without the data.
fn normalise(kind: &KindInfo, name: &str, spec: &Value) -> Result<Value, Vec<FieldError>> {
    (kind.normalise)(name, spec).map_err(|mut errors| {
        for error in errors.iter_mut().filter(|e| kind.kind == "Credential" && e.field.starts_with("spec.data") && e.reason == "Invalid") {
            error.message = "must be a map with the texts username and password, each one line of at most 1024 characters.".into();
        }
        errors
    })
}

/// A new object of a kind, as controllers make them.
pub fn new_object(kind: &KindInfo, name: &str, spec: Value, now: Time) -> RegistryResult<DynObject> {
    prepare(kind, DynObject::new(kind.kind, name, spec), None, now)
}

/// The user that created an object.
pub(crate) fn created_by(object: &DynObject) -> &str {
    object.metadata.annotations.get(CREATED_BY).map_or("(unknown)", String::as_str)
}

/// Fills in defaults and server-owned metadata of a new object, and checks it.
pub(crate) fn prepare(kind: &KindInfo, object: DynObject, user: Option<&str>, now: Time) -> RegistryResult<DynObject> {
    let mut errors = object.metadata.validate();
    let client = &object.metadata;
    for (field, set) in [
        ("uid", !client.uid.is_empty()),
        ("resourceVersion", !client.resource_version.is_empty()),
        ("generation", client.generation != 0),
        ("creationTimestamp", client.creation_timestamp.is_some()),
        ("deletionTimestamp", client.deletion_timestamp.is_some()),
        ("managedFields", !client.managed_fields.is_empty()),
    ] {
        if set {
            errors.push(FieldError::invalid(format!("metadata.{field}"), "is set by the server; leave it out of a new object."));
        }
    }
    let spec = normalise(kind, &object.metadata.name, &object.spec).map_err(|mut e| {
        errors.append(&mut e);
        RegistryError::Invalid(std::mem::take(&mut errors))
    })?;
    if !errors.is_empty() {
        return Err(RegistryError::Invalid(errors));
    }
    let mut metadata = ObjectMeta { uid: uuid::Uuid::new_v4().to_string(), generation: 1, creation_timestamp: Some(now), ..object.metadata };
    if let Some(user) = user {
        metadata.annotations.insert(CREATED_BY.into(), user.into());
    }
    if (kind.one_shot || kind.kind == "StandbyPool") && !metadata.finalizers.iter().any(|f| f == FINALIZER) {
        metadata.finalizers.push(FINALIZER.into());
    }
    Ok(DynObject { metadata, spec, ..DynObject::new(kind.kind, "", Value::Null) }.with_empty_status())
}

/// What is protected stays, whoever asks.
pub(crate) fn may_be_deleted(object: &DynObject) -> RegistryResult<()> {
    if object.metadata.protection.is_none() {
        return Ok(());
    }
    let message = format!("{} is protected: nobody deletes it while its metadata.protection says PreventDelete; take that away first.", object.id());
    Err(RegistryError::Refused { code: "protected", message, field: Some("metadata.protection".into()), other: None })
}

/// Lays a client's update over the stored object, and checks it.
pub(crate) fn merge(kind: &KindInfo, old: &DynObject, new: DynObject) -> RegistryResult<DynObject> {
    let sent = &new.metadata;
    if sent.resource_version.is_empty() {
        return Err(RegistryError::VersionRequired);
    }
    let mut errors = sent.validate();
    let differs = |a: Option<Time>, b: Option<Time>| a.is_some() && a != b;
    for (field, wrong) in [
        ("name", sent.name != old.metadata.name),
        ("uid", !sent.uid.is_empty() && sent.uid != old.metadata.uid),
        ("creationTimestamp", differs(sent.creation_timestamp, old.metadata.creation_timestamp)),
        ("deletionTimestamp", differs(sent.deletion_timestamp, old.metadata.deletion_timestamp)),
    ] {
        if wrong {
            errors.push(FieldError::new(format!("metadata.{field}"), "Immutable", "cannot be changed; send it as it was read."));
        }
    }
    if !errors.is_empty() {
        return Err(RegistryError::Invalid(errors));
    }
    if sent.revision() != old.metadata.revision() {
        return Err(store::StoreError::Conflict { what: old.id(), current: old.metadata.revision() }.into());
    }
    if !sent.managed_fields.is_empty() && sent.managed_fields != old.metadata.managed_fields {
        return Err(FieldError::new("metadata.managedFields", "Immutable", "is kept by the server; send it as it was read, or leave it out.").into());
    }
    let spec = normalise(kind, &old.metadata.name, &new.spec).map_err(RegistryError::Invalid)?;
    let errors = (kind.check_update)(&old.spec, &spec);
    if !errors.is_empty() {
        return Err(RegistryError::Invalid(errors));
    }
    let changed = spec != old.spec;
    if changed && old.metadata.deletion_timestamp.is_some() {
        return Err(FieldError::new("spec", "Immutable", "cannot change while the object is being deleted.").into());
    }
    let metadata = ObjectMeta {
        labels: new.metadata.labels,
        annotations: new.metadata.annotations,
        finalizers: new.metadata.finalizers,
        owner_references: new.metadata.owner_references,
        protection: new.metadata.protection,
        generation: old.metadata.generation + i64::from(changed),
        ..old.metadata.clone()
    };
    Ok(DynObject { metadata, spec, ..old.clone() })
}
