//! Laying what a manager declares over an object.

use super::{
    Fields, ManagedBy, ManagedFields, Path, Shape, Step,
    leaves::{declared, steps},
    paths, remove,
};
use crate::FieldError;
use serde_json::{Map, Value};

/// What an apply comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The object's metadata and spec from then on, before defaults.
    pub object: Value,
    /// The fields that the manager declares.
    pub declared: Fields,
}

/// Lays `sent` over `live`, and takes away what `manager` declared before, declares no longer, and nobody else owns.
///
/// # Errors
/// `sent` has a list with an item twice, or without its key; or `live` has: what is laid over such a list would hide what stands in it.
pub fn merge(shape: &Shape, live: &Value, owners: &[ManagedFields], manager: &str, sent: &Value) -> Result<Merged, Vec<FieldError>> {
    let declared = declared(shape, sent)?;
    let mut errors = Vec::new();
    tell_apart(shape, live, sent, &mut Vec::new(), &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut object = lay(shape, Some(live.clone()), sent);
    let mine = |e: &&ManagedFields| e.manager == manager && e.operation == ManagedBy::Apply && e.subresource.is_empty();
    let others: Vec<&ManagedFields> = owners.iter().filter(|e| !mine(e)).collect();
    let owned = |path: &[Step]| declared.touches(path) || others.iter().any(|o| o.fields.touches(path));
    let gone: Fields = owners.iter().filter(mine).flat_map(|e| e.fields.iter()).filter(|path| !owned(path)).cloned().collect();
    let keep = |path: &[Step]| declared.contains(path) || others.iter().any(|o| o.fields.contains(path));
    remove::remove(shape, &mut object, &gone, &keep);
    Ok(Merged { object, declared })
}

/// Lists of `live` that items are laid over one by one hold each item once.
fn tell_apart(shape: &Shape, live: &Value, sent: &Value, path: &mut Path, errors: &mut Vec<FieldError>) {
    match (shape, live, sent) {
        (Shape::Object { .. }, Value::Object(live), Value::Object(sent)) => {
            for (name, sent) in sent {
                let Some(live) = live.get(name) else { continue };
                path.push(Step::Field(name.clone()));
                tell_apart(shape.member(name), live, sent, path, errors);
                path.pop();
            }
        }
        (Shape::Set | Shape::Map { .. }, Value::Array(live), Value::Array(sent))
            if !live.is_empty() && !sent.is_empty() && steps(shape, live).is_none() =>
        {
            let message = "holds an item twice now, so that they cannot be told apart; write the whole list anew with PUT or a merge patch first.";
            errors.push(FieldError::new(paths::text(path), "Duplicate", message));
        }
        _ => {}
    }
}

/// `sent` over `live`: members and items that are owned one by one are laid one by one, all else is replaced. Items stay in the order
/// in which they stand, new ones come last.
fn lay(shape: &Shape, live: Option<Value>, sent: &Value) -> Value {
    match (shape, sent) {
        (Shape::Object { .. }, Value::Object(members)) => {
            let mut laid = match live {
                Some(Value::Object(live)) => live,
                _ => Map::new(),
            };
            for (name, value) in members {
                let value = lay(shape.member(name), laid.get(name).cloned(), value);
                laid.insert(name.clone(), value);
            }
            Value::Object(laid)
        }
        (Shape::Set | Shape::Map { .. }, Value::Array(list)) => {
            let Some(Value::Array(mut laid)) = live else { return sent.clone() };
            if list.is_empty() {
                return Value::Array(laid);
            }
            let (Some(had), Some(new)) = (steps(shape, &laid), steps(shape, list)) else { return sent.clone() };
            for (step, item) in new.iter().zip(list) {
                match (had.iter().position(|s| s == step), shape) {
                    (None, _) => laid.push(item.clone()),
                    (Some(at), Shape::Map { item: shape, .. }) => laid[at] = lay(shape, Some(laid[at].take()), item),
                    (Some(_), _) => {}
                }
            }
            Value::Array(laid)
        }
        _ => sent.clone(),
    }
}
