//! Server-side apply: a manager's part of an object is laid over it, and written by the rules of every write.

use crate::{
    MAX_OBJECT_BYTES, Registry, RegistryError, RegistryResult, TRIES, Writer,
    owners::{self, Secrets},
    prepare, take_secret,
};
use schemas::{
    DynObject, FieldError, KindInfo, ObjectMeta, Time,
    apply::{self, Merged, Shape, takeover},
    object::decode,
};
use serde_json::{Value, json};
use store::StoreError;

/// How to apply.
#[derive(Clone, Copy, Debug)]
pub struct Apply<'a> {
    /// Who declares.
    pub manager: &'a str,
    /// Fields of others are taken over.
    pub force: bool,
    /// Name of the user; noted on what is created.
    pub user: Option<&'a str>,
    /// Only this version of the object.
    pub version: Option<i64>,
    /// An object that is not there is made; else it is an error that it is not.
    pub create: bool,
}

/// What an apply did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was no such object.
    Created,
    /// It was changed; if only in who owns what.
    Configured,
    /// Nothing was written.
    Unchanged,
}

/// An object that was applied.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The object as stored.
    pub object: DynObject,
    /// What was done.
    pub outcome: Outcome,
}

impl Registry {
    /// Applies `sent`, a manager's part of the object `name`, which is made if it is not there.
    ///
    /// Status, and what the server says of an object in its metadata, is not looked at: a file may have been read from the server.
    ///
    /// # Errors
    /// [`RegistryError::FieldConflict`] if fields of others would change and `force` is not given; else as every write.
    pub async fn apply(&self, kind: &KindInfo, name: &str, sent: &Value, by: &Apply<'_>, now: Time) -> RegistryResult<Applied> {
        if kind.read_only {
            return Err(RegistryError::ReadOnly(kind.kind.into()));
        }
        apply::check_manager(by.manager)?;
        owners::may_manage(kind, Some(by.manager))?;
        let sent = parse(kind, name, sent)?;
        let version = by.version.or((!sent.metadata.resource_version.is_empty()).then(|| sent.metadata.revision()));
        let mut tries = 1;
        loop {
            match self.apply_once(kind, sent.clone(), by, version, now).await {
                Err(RegistryError::Store(StoreError::Conflict { .. } | StoreError::AlreadyExists(_) | StoreError::NotFound(_)))
                    if version.is_none() && tries < TRIES =>
                {
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn apply_once(&self, kind: &KindInfo, mut sent: DynObject, by: &Apply<'_>, version: Option<i64>, now: Time) -> RegistryResult<Applied> {
        let secret = take_secret(&mut sent);
        let Some(old) = self.store.get(kind.kind, &sent.metadata.name).await? else {
            if version.is_some() || !sent.metadata.uid.is_empty() || !by.create {
                return Err(StoreError::NotFound(sent.id()).into());
            }
            let secrets = Secrets::new(None, secret);
            let part = secrets.declared(&sent);
            let declared = apply::declared(Shape::of(kind), &part).map_err(RegistryError::Invalid)?;
            let mut object = prepare::prepare(kind, sent, by.user, now)?;
            let (none, after) = (json!({"metadata": {}, "spec": {}}), secrets.after(&object));
            let merged = Merged { object: part, declared };
            object.metadata.managed_fields = takeover::after_apply(Shape::of(kind), &none, &after, &[], &merged, by.manager, now);
            fits(&object)?;
            let made = self.create_prepared(kind, object, &secrets.sent, now).await?;
            return Ok(Applied { object: made.object, outcome: if made.existed { Outcome::Unchanged } else { Outcome::Created } });
        };
        if version.is_some_and(|version| version != old.metadata.revision()) {
            return Err(StoreError::Conflict { what: old.id(), current: old.metadata.revision() }.into());
        }
        let secrets = self.secrets(kind, &old, secret).await?;
        let (shape, owners) = (Shape::of(kind), &old.metadata.managed_fields);
        let live = secrets.live(&old);
        let merged = apply::merge(shape, &live, owners, by.manager, &secrets.declared(&sent)).map_err(RegistryError::Invalid)?;
        let check = |after: &Value| {
            let found = apply::conflicts(shape, &live, after, owners, &merged.declared, by.manager);
            if by.force || found.is_empty() { Ok(()) } else { Err(RegistryError::FieldConflict { what: old.id(), conflicts: found }) }
        };
        let mut new = match laid(kind, &old, &sent, &merged).and_then(|new| prepare::merge(kind, &old, new)) {
            Ok(new) => new,
            // Whose the fields are is said first: without them the rest may be well.
            Err(error) => return Err(check(&merged.object).err().unwrap_or(error)),
        };
        let after = secrets.after(&new);
        check(&after)?;
        new.metadata.managed_fields = takeover::after_apply(shape, &live, &after, owners, &merged, by.manager, now);
        let (object, written) = self.replace(kind, old, new, secrets, now).await?;
        Ok(Applied { object, outcome: if written { Outcome::Configured } else { Outcome::Unchanged } })
    }

    /// The registry over a store that keeps what is written to itself: every check, and no write.
    pub fn dry(&self) -> Registry {
        Registry::new(crate::overlay::Overlay::over(self.store.clone()))
    }
}

/// What an apply makes of a body. `null` is no opinion.
fn parse(kind: &KindInfo, name: &str, sent: &Value) -> RegistryResult<DynObject> {
    let mut sent = sent.clone();
    apply::without_nulls(&mut sent);
    if let Some(members) = sent.as_object_mut() {
        members.shift_remove("status");
        let metadata = members.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            for key in ["managedFields", "generation", "creationTimestamp", "deletionTimestamp"] {
                metadata.shift_remove(key);
            }
            metadata.entry("name").or_insert_with(|| name.into());
        }
    }
    let object = prepare::parse_object(kind, &sent)?;
    if object.metadata.name != name {
        let message = format!("is {:?}, but {name:?} is what is applied to; make both the same.", object.metadata.name);
        return Err(FieldError::invalid("metadata.name", message).into());
    }
    Ok(object)
}

/// The object with what was merged, as a client would send it.
fn laid(kind: &KindInfo, old: &DynObject, sent: &DynObject, merged: &Merged) -> RegistryResult<DynObject> {
    let given: ObjectMeta = decode("metadata", &merged.object["metadata"])?;
    let metadata = ObjectMeta {
        name: sent.metadata.name.clone(),
        uid: sent.metadata.uid.clone(),
        resource_version: old.metadata.resource_version.clone(),
        ..given
    };
    let mut spec = merged.object["spec"].clone();
    owners::without_mark(kind, &mut spec);
    Ok(DynObject { metadata, spec, ..old.clone() })
}

/// An object that has grown too large is refused, with all that it says of its owners.
pub(crate) fn fits(object: &DynObject) -> RegistryResult<()> {
    if serde_json::to_vec(object).map_or(0, |v| v.len()) <= MAX_OBJECT_BYTES {
        return Ok(());
    }
    let message = format!("{} would be larger than {MAX_OBJECT_BYTES} bytes, with metadata.managedFields; make it smaller.", object.id());
    Err(FieldError::invalid("", message).into())
}

impl<'a> Writer<'a> {
    /// A user whose writes belong to a manager.
    pub fn new(user: Option<&'a str>, manager: &'a str) -> Writer<'a> {
        Writer { user, manager: Some(manager) }
    }
}
