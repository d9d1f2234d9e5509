//! What a decision writes beside its own object.

use crate::Shared;
use planner::Also;
use schemas::{DynObject, Time, kinds, meta::OwnerReference};
use serde_json::{Value, json};
use store::{Op, StoreError};

/// The operations. An object that moved on since it was read is a conflict: all is decided anew.
pub(crate) async fn ops(shared: &Shared, owner: &DynObject, also: &[Also], now: Time) -> Result<Vec<Op>, StoreError> {
    let mut ops = Vec::new();
    for wish in also {
        match wish {
            Also::Unchanged { kind, name, version } => {
                ops.push(Op::RequireVersion { kind: (*kind).into(), name: name.clone(), expected: *version });
            }
            Also::Patch { kind, name, patch } => {
                let Some(old) = shared.store.get(kind, name).await? else { continue };
                let object = patched(old.clone(), patch);
                if object != old {
                    ops.push(Op::Update { expected: old.metadata.revision(), object });
                }
            }
            Also::Status { kind, name, version, patch } => {
                let object = patched(as_read(shared, kind, name, *version).await?, patch);
                ops.push(Op::Update { object, expected: *version });
            }
            Also::Cancel { kind, name, version } => {
                let mut object = as_read(shared, kind, name, *version).await?;
                if object.spec["cancel"] != "Requested" {
                    object.spec["cancel"] = json!("Requested");
                    object.metadata.generation += 1;
                    ops.push(Op::Update { object, expected: *version });
                }
            }
            Also::Create { kind, name, host, spec } => {
                let corrupt = |e: String| StoreError::Corrupt(format!("{kind}/{name}: {e}"));
                let info = kinds::find(kind).ok_or_else(|| corrupt("no such kind".into()))?;
                let object = registry::new_object(info, name, spec.clone(), now).map_err(|e| corrupt(e.to_string()))?;
                ops.push(Op::RequireNotFrozen);
                for kind in ["HostOperation", "Evacuation"] {
                    ops.extend(host.iter().map(|host| Op::RequireNoneOpen { kind: kind.into(), host: host.clone() }));
                }
                ops.push(Op::Create(owned(object, owner)));
            }
            Also::Record { kind, name, spec, status } => {
                let mut object = DynObject::new(kind, name, spec.clone());
                object.metadata.uid = uuid::Uuid::new_v4().to_string();
                object.metadata.generation = 1;
                object.metadata.creation_timestamp = Some(now);
                object.status = status.clone();
                ops.push(Op::Create(owned(object, owner)));
            }
        }
    }
    Ok(ops)
}

fn patched(mut object: DynObject, patch: &Value) -> DynObject {
    for (key, value) in patch.as_object().into_iter().flatten() {
        object.status[key] = value.clone();
    }
    object
}

fn owned(mut object: DynObject, owner: &DynObject) -> DynObject {
    let (kind, name, uid) = (owner.kind.clone(), owner.metadata.name.clone(), owner.metadata.uid.clone());
    object.metadata.owner_references.push(OwnerReference { kind, name, uid });
    object
}

async fn as_read(shared: &Shared, kind: &str, name: &str, version: i64) -> Result<DynObject, StoreError> {
    let object = shared.store.get(kind, name).await?.ok_or_else(|| StoreError::NotFound(format!("{kind}/{name}")))?;
    match object.metadata.revision() {
        current if current == version => Ok(object),
        current => Err(StoreError::Conflict { what: object.id(), current }),
    }
}
