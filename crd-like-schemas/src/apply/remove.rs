//! Taking fields away.

use super::{
    Fields, Path, Shape, Step,
    leaves::{item_step, key_step},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Takes fields away, and what is empty without them; `keep` says of which container that it stays even empty.
pub(super) fn remove(shape: &Shape, object: &mut Value, gone: &Fields, keep: &dyn Fn(&[Step]) -> bool) {
    // The keys of an item go with the last of its other fields, or not at all: without them it would be nobody's item.
    let mut items: BTreeMap<Path, usize> = BTreeMap::new();
    for path in gone.iter() {
        match is_key(shape, path) {
            true => *items.entry(path[..path.len() - 1].to_vec()).or_default() += 1,
            false => take(shape, object, path, 0, keep),
        }
    }
    for (item, keys) in items.iter().rev() {
        if goes(shape, object, item, *keys) {
            take(shape, object, item, 0, keep);
        }
    }
}

/// The shape of a field; `None` if there is no such field.
fn shape_at<'a>(shape: &'a Shape, path: &[Step]) -> Option<&'a Shape> {
    let Some((step, rest)) = path.split_first() else { return Some(shape) };
    match (step, shape) {
        (Step::Field(name), Shape::Object { .. }) => shape_at(shape.member(name), rest),
        (Step::Key(_), Shape::Map { item, .. }) => shape_at(item, rest),
        (Step::Item(_), Shape::Set) if rest.is_empty() => Some(&Shape::Atomic),
        _ => None,
    }
}

/// Whether a field is a key of its item.
fn is_key(shape: &Shape, path: &[Step]) -> bool {
    let [list @ .., Step::Key(_), Step::Field(name)] = path else { return false };
    matches!(shape_at(shape, list), Some(Shape::Map { keys, .. }) if keys.contains(name))
}

/// Whether an item has nothing left but its keys, and all of those go.
fn goes(shape: &Shape, object: &Value, item: &[Step], gone: usize) -> bool {
    let keys = match item.split_last().and_then(|(_, list)| shape_at(shape, list)) {
        Some(Shape::Map { keys, .. }) => keys,
        _ => return false,
    };
    let members = super::get(shape, object, item).and_then(Value::as_object);
    gone == keys.len() && members.is_some_and(|m| m.keys().all(|k| keys.contains(k)))
}

fn take(shape: &Shape, value: &mut Value, path: &[Step], depth: usize, keep: &dyn Fn(&[Step]) -> bool) {
    let Some(step) = path.get(depth) else { return };
    let last = depth + 1 == path.len();
    match (step, shape, value) {
        (Step::Field(name), Shape::Object { .. }, Value::Object(members)) => {
            if last {
                members.shift_remove(name);
            } else if let Some(member) = members.get_mut(name) {
                let was = !is_empty(member);
                take(shape.member(name), member, path, depth + 1, keep);
                // `metadata` and `spec` are always there.
                if was && depth > 0 && is_empty(member) && !keep(&path[..=depth]) {
                    members.shift_remove(name);
                }
            }
        }
        (Step::Key(_), Shape::Map { keys, item }, Value::Array(list)) => {
            let mut those = list.iter().enumerate().filter(|(_, i)| key_step(i, keys).as_ref() == Some(step)).map(|(at, _)| at);
            // Of two that cannot be told apart neither is touched.
            let (Some(at), None) = (those.next(), those.next()) else { return };
            if last {
                list.remove(at);
            } else {
                take(item, &mut list[at], path, depth + 1, keep);
            }
        }
        (Step::Item(_), Shape::Set, Value::Array(list)) if last => list.retain(|i| item_step(i).as_ref() != Some(step)),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(|m| m.is_empty()) || value.as_array().is_some_and(|l| l.is_empty())
}
