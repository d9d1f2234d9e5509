//! default → validate → admit → merge → write: the one way an object gets into the store, used by
//! the API server and by controllers.
#![warn(missing_docs)]

mod admit;
mod apply;
mod apply_set;
mod attestation;
mod batch;
mod error;
mod overlay;
mod owners;
mod prepare;
mod standby;
#[cfg(test)]
mod tests;

pub use apply::{Applied, Apply, Outcome};
pub use apply_set::{ApplyingSet, Fate, Prune, Removed, Report, SetBatch};
pub use batch::{Batch, Item, MOST_AT_ONCE, MOST_IN_ONE};
pub use error::{RegistryError, RegistryResult};
pub use prepare::{FINALIZER, new_object, parse_object};

use owners::Secrets;
use schemas::{
    Conditions, DynObject, FieldError, KindInfo, Time,
    apply::{Shape, takeover},
    kinds, v1,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use store::{Guard, ListQuery, Op, Store, StoreError};

/// How often a write that asks for no version is tried, where others write in between.
const TRIES: usize = 5;

/// Largest object, in bytes of JSON.
pub const MAX_OBJECT_BYTES: usize = 512 * 1024;

/// Writes objects for clients.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
}

/// Who writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer<'a> {
    /// Name of the user; noted on what is created.
    pub user: Option<&'a str>,
    /// The manager that owns from then on what is written; none: nobody does.
    pub manager: Option<&'a str>,
}

/// What the objects named `default` begin with.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// ClusterPolicy.
    pub cluster: v1::ClusterPolicySpec,
    /// RemediationPolicy.
    pub remediation: v1::RemediationPolicySpec,
}

/// What a create did.
#[derive(Clone, Debug)]
pub struct Created {
    /// The object as stored.
    pub object: DynObject,
    /// A one-shot object with this name, or one that asks for the same, was there already.
    pub existed: bool,
}

/// What a delete did.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// The object, last seen.
    pub object: DynObject,
    /// It is gone; otherwise finalizers run.
    pub gone: bool,
}

/// Conditions under which a delete may happen.
#[derive(Clone, Debug, Default)]
pub struct Preconditions {
    /// Only this uid.
    pub uid: Option<String>,
    /// Only this resource version.
    pub resource_version: Option<i64>,
}

impl Registry {
    /// A registry over a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Registry { store }
    }

    /// The store beneath.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Creates an object that nobody owns. `user` is noted on it. A one-shot object that repeats an existing one gives that one.
    pub async fn create(&self, kind: &KindInfo, object: DynObject, user: Option<&str>, now: Time) -> RegistryResult<Created> {
        self.create_by(kind, object, Writer { user, manager: None }, now).await
    }

    /// Creates an object, of which the writer owns what it sends.
    pub async fn create_by(&self, kind: &KindInfo, object: DynObject, by: Writer<'_>, now: Time) -> RegistryResult<Created> {
        if kind.read_only {
            return Err(RegistryError::ReadOnly(kind.kind.into()));
        }
        owners::may_manage(kind, by.manager)?;
        let mut object = object;
        let secrets = Secrets::new(None, take_secret(&mut object));
        let sent = secrets.declared(&object);
        let mut object = prepare::prepare(kind, object, by.user, now)?;
        if let Some(manager) = by.manager {
            object.metadata.managed_fields = takeover::after_create(Shape::of(kind), &sent, &secrets.after(&object), manager, now);
            apply::fits(&object)?;
        }
        self.create_prepared(kind, object, &secrets.sent, now).await
    }

    async fn create_prepared(
        &self,
        kind: &KindInfo,
        object: DynObject,
        secret: &BTreeMap<String, SecretString>,
        now: Time,
    ) -> RegistryResult<Created> {
        // Two requests may be admitted at the same time; the transaction lets one through, and the other is looked at again.
        loop {
            match self.create_admitted(kind, object.clone(), secret, now).await {
                Err(RegistryError::Store(StoreError::Conflict { .. })) if kind.one_shot => continue,
                other => return other,
            }
        }
    }

    async fn create_admitted(
        &self,
        kind: &KindInfo,
        mut object: DynObject,
        secret: &BTreeMap<String, SecretString>,
        now: Time,
    ) -> RegistryResult<Created> {
        if let Some(existing) = self.store.get(kind.kind, &object.metadata.name).await? {
            if kind.one_shot && existing.spec == object.spec {
                return Ok(Created { object: existing, existed: true });
            }
            return Err(StoreError::AlreadyExists(object.id()).into());
        }
        if let Some(same) = admit::create(self.store.as_ref(), kind, &object).await? {
            return Ok(Created { object: same, existed: true });
        }
        let mut ops = admit::guards(self.store.as_ref(), kind, None, &object).await?;
        if kind.kind == "FenceAttestation" {
            // Annotations are the client's to change; who made a statement is not.
            object.status = json!({"by": prepare::created_by(&object)});
        }
        if kind.kind == "Credential" {
            object.status = credential_status(secret, &new_fingerprint(), 1, now);
            ops.push(Op::PutSecret { name: object.metadata.name.clone(), data: secret.clone() });
        }
        if kind.one_shot
            && let Some(host) = object.spec["hostRef"]["name"].as_str()
        {
            ops.push(Op::RequireNoneOpen { kind: kind.kind.into(), host: host.into() });
        }
        ops.push(Op::Create(object));
        let done = self.store.commit(Guard::Open, now, ops).await?;
        Ok(Created { object: done.last()?.clone(), existed: false })
    }

    /// As [`Registry::update_by`]; nobody owns what is changed.
    pub async fn update(&self, kind: &KindInfo, name: &str, object: DynObject, now: Time) -> RegistryResult<DynObject> {
        self.update_by(kind, name, object, Writer::default(), now).await
    }

    /// Replaces spec, labels, annotations and finalizers of an object. `object.metadata.resourceVersion` must be given and current.
    /// What the writer changes is its own from then on.
    pub async fn update_by(&self, kind: &KindInfo, name: &str, object: DynObject, by: Writer<'_>, now: Time) -> RegistryResult<DynObject> {
        if kind.read_only {
            return Err(RegistryError::ReadOnly(kind.kind.into()));
        }
        owners::may_manage(kind, by.manager)?;
        let mut object = object;
        let secret = take_secret(&mut object);
        let old = self.store.get(kind.kind, name).await?.ok_or_else(|| StoreError::NotFound(format!("{}/{name}", kind.kind)))?;
        let mut new = prepare::merge(kind, &old, object)?;
        let secrets = self.secrets(kind, &old, secret).await?;
        new.metadata.managed_fields = owners::after_update(kind, &old, &new, &secrets, by.manager, now);
        Ok(self.replace(kind, old, new, secrets, now).await?.0)
    }

    /// The secret of a Credential beside the one that was sent. One that cannot be opened counts as another one.
    async fn secrets(&self, kind: &KindInfo, old: &DynObject, sent: BTreeMap<String, SecretString>) -> RegistryResult<Secrets> {
        if kind.kind != "Credential" {
            return Ok(Secrets::default());
        }
        Ok(Secrets::new(self.store.secret(&old.metadata.name).await.unwrap_or(None), sent))
    }

    /// Writes an object over what it was, unless it is the same; tells whether it was written.
    async fn replace(&self, kind: &KindInfo, old: DynObject, mut new: DynObject, secrets: Secrets, now: Time) -> RegistryResult<(DynObject, bool)> {
        let expected = old.metadata.revision();
        let mut ops = Vec::new();
        if secrets.changes {
            new.metadata.generation = old.metadata.generation + 1;
            new.status = credential_status(&secrets.sent, &new_fingerprint(), new.metadata.generation, now);
            ops.push(Op::PutSecret { name: old.metadata.name.clone(), data: secrets.sent });
        }
        if ops.is_empty() && new == old {
            return Ok((old, false));
        }
        if new.spec != old.spec {
            admit::update(self.store.as_ref(), kind, &old, &new).await?;
            ops.extend(admit::guards(self.store.as_ref(), kind, Some(&old), &new).await?);
        }
        apply::fits(&new)?;
        ops.push(Op::Update { object: new, expected });
        let done = self.store.commit(Guard::Open, now, ops).await?;
        Ok((done.last()?.clone(), true))
    }

    /// Deletes an object, or begins to if it has finalizers. Deleting a one-shot object that has not ended cancels it.
    pub async fn delete(&self, kind: &KindInfo, name: &str, only: Preconditions, now: Time) -> RegistryResult<Deleted> {
        let mut tries = 1;
        loop {
            match self.delete_as_it_is(kind, name, &only, now).await {
                // Between reading and writing a controller wrote its status: who asked for no version meant the object as it is.
                Err(RegistryError::Store(StoreError::Conflict { .. })) if only.resource_version.is_none() && tries < TRIES => tries += 1,
                done => return done,
            }
        }
    }

    async fn delete_as_it_is(&self, kind: &KindInfo, name: &str, only: &Preconditions, now: Time) -> RegistryResult<Deleted> {
        if kind.read_only {
            return Err(RegistryError::ReadOnly(kind.kind.into()));
        }
        let old = self.store.get(kind.kind, name).await?.ok_or_else(|| StoreError::NotFound(format!("{}/{name}", kind.kind)))?;
        if only.uid.as_ref().is_some_and(|uid| *uid != old.metadata.uid) {
            return Err(RegistryError::Precondition(format!("{} has uid {}", old.id(), old.metadata.uid)));
        }
        if only.resource_version.is_some_and(|rv| rv != old.metadata.revision()) {
            return Err(RegistryError::Precondition(format!("{} is at resourceVersion {}", old.id(), old.metadata.resource_version)));
        }
        prepare::may_be_deleted(&old)?;
        admit::delete(self.store.as_ref(), kind, &old).await?;
        let expected = old.metadata.revision();
        let ended = kind.one_shot && old.status["finishedAt"].is_string();
        if old.metadata.finalizers.is_empty() || ended {
            let mut ops = vec![Op::Delete { kind: kind.kind.into(), name: name.into(), expected }];
            if kind.kind == "Credential" {
                ops.push(Op::DeleteSecret { name: name.into() });
            }
            self.store.commit(Guard::Open, now, ops).await?;
            return Ok(Deleted { object: old, gone: true });
        }
        if old.metadata.deletion_timestamp.is_some() {
            return Ok(Deleted { object: old, gone: false });
        }
        let mut new = old;
        new.metadata.deletion_timestamp = Some(now);
        new.metadata.generation += 1;
        if kind.one_shot {
            new.spec["cancel"] = json!("Requested");
        }
        let done = self.store.commit(Guard::Open, now, vec![Op::Update { object: new, expected }]).await?;
        Ok(Deleted { object: done.last()?.clone(), gone: false })
    }

    /// One-shot objects of a host that have not ended.
    pub async fn open_on_host(&self, host: &str) -> RegistryResult<Vec<DynObject>> {
        admit::open_on_host(self.store.as_ref(), host).await
    }

    /// Finds an object by name or uid.
    pub async fn find(&self, kind: &KindInfo, name_or_uid: &str) -> RegistryResult<DynObject> {
        let found = if schemas::field::is_uuid(name_or_uid) {
            self.store.get_by_uid(name_or_uid).await?.filter(|o| o.kind == kind.kind)
        } else {
            self.store.get(kind.kind, name_or_uid).await?
        };
        found.ok_or_else(|| StoreError::NotFound(format!("{}/{name_or_uid}", kind.kind)).into())
    }

    /// Makes sure that the objects named `default` are there.
    pub async fn ensure_defaults(&self, defaults: &Defaults, now: Time) -> RegistryResult<()> {
        let wrong = |e: serde_json::Error| RegistryError::Invalid(vec![FieldError::invalid("spec", e.to_string())]);
        let specs = [
            ("ClusterPolicy", serde_json::to_value(&defaults.cluster).map_err(wrong)?),
            ("RemediationPolicy", serde_json::to_value(&defaults.remediation).map_err(wrong)?),
        ];
        for (kind, spec) in specs {
            let Some(kind) = kinds::find(kind) else { continue };
            if self.store.get(kind.kind, "default").await?.is_some() {
                continue;
            }
            match self.create(kind, DynObject::new(kind.kind, "default", spec), None, now).await {
                Ok(_) | Err(RegistryError::Store(StoreError::AlreadyExists(_))) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Every object of a kind, for callers that need them all.
    pub async fn all(&self, kind: &str) -> RegistryResult<Vec<DynObject>> {
        Ok(self.store.list(kind, ListQuery::default()).await?.items)
    }
}

/// Takes the data out of a Credential, so that it can go nowhere but into the sealed table.
fn take_secret(object: &mut DynObject) -> BTreeMap<String, SecretString> {
    let is_text = |data: &Value| data.as_object().is_some_and(|m| m.values().all(Value::is_string));
    if object.kind != "Credential" || !is_text(&object.spec["data"]) {
        return BTreeMap::new();
    }
    // What does not pass validation stays, so that validation can name the field.
    if !v1::CredentialSpec::data_is_valid(&object.spec["data"]) {
        return BTreeMap::new();
    }
    let Some(spec) = object.spec.as_object_mut() else { return BTreeMap::new() };
    let data = spec.shift_remove("data").unwrap_or_default();
    let text = |v: &Value| SecretString::from(v.as_str().unwrap_or_default());
    data.as_object().map(|m| m.iter().map(|(k, v)| (k.clone(), text(v))).collect()).unwrap_or_default()
}

pub(crate) fn same_secret(a: &BTreeMap<String, SecretString>, b: &BTreeMap<String, SecretString>) -> bool {
    use secrecy::ExposeSecret;
    a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| v.expose_secret() == w.expose_secret()))
}

/// Random, so that it tells nothing of the secret.
fn new_fingerprint() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..12].to_string()
}

fn credential_status(secret: &BTreeMap<String, SecretString>, fingerprint: &str, generation: i64, now: Time) -> Value {
    let mut conditions = Vec::new();
    conditions.set("Available", (!secret.is_empty()).into(), if secret.is_empty() { "Empty" } else { "Sealed" }, "", generation, now);
    json!({"observedGeneration": generation, "conditions": conditions, "fingerprint": fingerprint, "keys": secret.keys().collect::<Vec<_>>()})
}
