//! Who owns the fields of an object after it was written.

use super::{Fields, ManagedBy, ManagedFields, Merged, Path, Shape, get, leaves, managed::tidy};
use crate::Time;
use serde_json::Value;

/// Owners after an apply: the manager has what it declares, and shares what others own with the same value. What it changed it has
/// alone. `after` is the object as it will be stored, with its defaults.
pub fn after_apply(
    shape: &Shape,
    live: &Value,
    after: &Value,
    owners: &[ManagedFields],
    merged: &Merged,
    manager: &str,
    now: Time,
) -> Vec<ManagedFields> {
    let declared = &merged.declared;
    let changed: Vec<&Path> = declared.iter().filter(|path| get(shape, live, path) != get(shape, after, path)).collect();
    let mut entries: Vec<ManagedFields> = Vec::with_capacity(owners.len() + 1);
    let mut time = None;
    for owner in owners {
        let mut owner = owner.clone();
        if owner.manager == manager && owner.subresource.is_empty() {
            match owner.operation {
                ManagedBy::Apply => {
                    time = owner.time.filter(|_| changed.is_empty() && owner.fields == *declared);
                    continue;
                }
                // What it wrote once it declares now.
                ManagedBy::Update => declared.iter().for_each(|path| owner.fields.forget(path)),
            }
        }
        changed.iter().for_each(|path| owner.fields.forget(path));
        entries.push(owner);
    }
    let (manager, subresource) = (manager.to_string(), String::new());
    entries.push(ManagedFields { manager, operation: ManagedBy::Apply, subresource, time: time.or(Some(now)), fields: declared.clone() });
    tidy(&mut entries);
    entries
}

/// Owners after a plain write: the fields that it changed are its own from then on, and nobody owns what is gone. Without a
/// manager nobody owns what was changed.
pub fn after_update(shape: &Shape, live: &Value, after: &Value, owners: &[ManagedFields], manager: Option<&str>, now: Time) -> Vec<ManagedFields> {
    let changed: Fields =
        leaves::all(shape, after).into_iter().filter(|(path, value)| get(shape, live, path) != Some(value)).map(|(path, _)| path).collect();
    let gone: Vec<Path> = leaves::all(shape, live).into_iter().map(|(path, _)| path).filter(|path| get(shape, after, path).is_none()).collect();
    if changed.is_empty() && gone.is_empty() {
        return owners.to_vec();
    }
    let mut entries = owners.to_vec();
    for entry in &mut entries {
        changed.iter().chain(&gone).for_each(|path| entry.fields.forget(path));
    }
    if let Some(manager) = manager.filter(|_| !changed.is_empty()) {
        let mine = |e: &&mut ManagedFields| e.manager == manager && e.operation == ManagedBy::Update && e.subresource.is_empty();
        match entries.iter_mut().find(mine) {
            Some(entry) => {
                entry.fields.extend(&changed);
                entry.time = Some(now);
            }
            None => {
                let (manager, subresource) = (manager.to_string(), String::new());
                entries.push(ManagedFields { manager, operation: ManagedBy::Update, subresource, time: Some(now), fields: changed });
            }
        }
    }
    tidy(&mut entries);
    entries
}

/// Owners of a new object: whoever sent it has the fields that it sent, as far as they are there. All else are defaults.
pub fn after_create(shape: &Shape, sent: &Value, after: &Value, manager: &str, now: Time) -> Vec<ManagedFields> {
    let mut fields: Fields = leaves::all(shape, sent).into_iter().map(|(path, _)| path).collect();
    fields.retain(|path| get(shape, after, path).is_some());
    let (manager, subresource) = (manager.to_string(), String::new());
    let mut entries = vec![ManagedFields { manager, operation: ManagedBy::Update, subresource, time: Some(now), fields }];
    tidy(&mut entries);
    entries
}
