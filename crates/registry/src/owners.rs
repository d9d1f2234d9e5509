//! Who owns which fields, on the way into the store. The data of a Credential is not in the object: a mark stands for it.

use crate::{RegistryError, RegistryResult, same_secret};
use schemas::{
    DynObject, KindInfo,
    apply::{ManagedFields, Shape, owned_part, takeover},
};
use secrecy::SecretString;
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) type Secret = BTreeMap<String, SecretString>;

/// Manager of what comes from a repository.
const GITOPS: &str = "gitops";

/// What is sealed already.
const SEALED: &str = "sealed";
/// What is sealed anew.
const NEW: &str = "new";

/// The secret of a Credential: as it is, as it was sent, and whether it changes.
#[derive(Default)]
pub(crate) struct Secrets {
    /// What was sent; empty: nothing.
    pub sent: Secret,
    /// Whether there is one already.
    known: bool,
    /// Whether the one that was sent is another one.
    pub changes: bool,
}

impl Secrets {
    pub fn new(known: Option<Secret>, sent: Secret) -> Secrets {
        let known = known.filter(|k| !k.is_empty());
        let changes = !sent.is_empty() && known.as_ref().is_none_or(|known| !same_secret(known, &sent));
        Secrets { sent, known: known.is_some(), changes }
    }

    fn mark(&self) -> &'static str {
        if self.changes { NEW } else { SEALED }
    }

    /// What managers own of the object as it is stored.
    pub fn live(&self, object: &DynObject) -> Value {
        with(owned_part(object), self.known.then_some(SEALED))
    }

    /// What was sent of it.
    pub fn declared(&self, object: &DynObject) -> Value {
        with(owned_part(object), (!self.sent.is_empty()).then(|| self.mark()))
    }

    /// What will be stored of it. A secret that is not sent stays: nobody could bring it back.
    pub fn after(&self, object: &DynObject) -> Value {
        with(owned_part(object), (self.known || !self.sent.is_empty()).then(|| self.mark()))
    }
}

fn with(mut part: Value, mark: Option<&str>) -> Value {
    if let (Some(mark), Some(spec)) = (mark, part["spec"].as_object_mut()) {
        spec.insert("data".into(), mark.into());
    }
    part
}

/// Takes the mark of a secret out again.
pub(crate) fn without_mark(kind: &KindInfo, spec: &mut Value) {
    if kind.kind == "Credential"
        && let Some(spec) = spec.as_object_mut()
        && spec.get("data").is_some_and(Value::is_string)
    {
        spec.shift_remove("data");
    }
}

/// Owners after a plain write.
pub(crate) fn after_update(
    kind: &KindInfo,
    old: &DynObject,
    new: &DynObject,
    secrets: &Secrets,
    manager: Option<&str>,
    now: schemas::Time,
) -> Vec<ManagedFields> {
    let owners = &old.metadata.managed_fields;
    if owners.is_empty() && manager.is_none() {
        return Vec::new();
    }
    takeover::after_update(Shape::of(kind), &secrets.live(old), &secrets.after(new), owners, manager, now)
}

/// What a repository declares stays declared; what is done once is asked for by a person, at its time.
pub(crate) fn may_manage(kind: &KindInfo, manager: Option<&str>) -> RegistryResult<()> {
    if manager != Some(GITOPS) || !kind.one_shot {
        return Ok(());
    }
    let message = format!(
        "a {} is done once, when a person asks for it, and is not taken from the manager {GITOPS:?}: applied again it would be done again. Take it \
         out of the repository, and create it by hand.",
        kind.kind
    );
    Err(RegistryError::Refused { code: "not-from-gitops", message, field: Some("kind".into()), other: None })
}
