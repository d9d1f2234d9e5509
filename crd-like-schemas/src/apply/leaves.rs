//! The fields that a value has.

use super::{Fields, Path, Shape, Step, paths};
use crate::FieldError;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The step to an item of a set; `None` if it is no plain value.
pub(super) fn item_step(item: &Value) -> Option<Step> {
    let plain = item.is_string() || item.is_number() || item.is_boolean();
    plain.then(|| Step::Item(item.to_string()))
}

/// The step to an item by its keys; `None` if one of them is missing, or no plain value.
pub(super) fn key_step(item: &Value, keys: &[String]) -> Option<Step> {
    let mut sorted: Vec<&String> = keys.iter().collect();
    sorted.sort();
    let mut found = Map::new();
    for key in sorted {
        let value = item.get(key).filter(|v| v.is_string() || v.is_number() || v.is_boolean())?;
        found.insert(key.clone(), value.clone());
    }
    Some(Step::Key(Value::Object(found).to_string()))
}

/// The steps to the items of a list that are owned one by one; `None` if the list has no items, or does not have the form for that.
pub(super) fn steps(shape: &Shape, list: &[Value]) -> Option<Vec<Step>> {
    let steps: Option<Vec<Step>> = match shape {
        Shape::Set => list.iter().map(item_step).collect(),
        Shape::Map { keys, .. } => list.iter().map(|item| key_step(item, keys)).collect(),
        _ => None,
    };
    steps.filter(|steps| !steps.is_empty() && steps.iter().collect::<BTreeSet<_>>().len() == steps.len())
}

/// Every field of a value, each with what it holds. What is owned as a whole, and what is empty, is one field.
pub(super) fn leaves<'a>(shape: &Shape, value: &'a Value, path: &mut Path, found: &mut Vec<(Path, &'a Value)>) {
    match (shape, value) {
        (Shape::Object { .. }, Value::Object(members)) if !members.is_empty() || path.is_empty() => {
            for (name, value) in members {
                path.push(Step::Field(name.clone()));
                leaves(shape.member(name), value, path, found);
                path.pop();
            }
        }
        (Shape::Set | Shape::Map { .. }, Value::Array(list)) => match steps(shape, list) {
            Some(steps) => {
                for (step, item) in steps.into_iter().zip(list) {
                    path.push(step);
                    match shape {
                        Shape::Map { item: shape, .. } => leaves(shape, item, path, found),
                        _ => found.push((path.clone(), item)),
                    }
                    path.pop();
                }
            }
            None => found.push((path.clone(), value)),
        },
        _ => found.push((path.clone(), value)),
    }
}

/// Every field of an object, without the ones that stand for `metadata` and `spec` being there.
pub(super) fn all<'a>(shape: &Shape, value: &'a Value) -> Vec<(Path, &'a Value)> {
    let mut found = Vec::new();
    leaves(shape, value, &mut Vec::new(), &mut found);
    found.retain(|(path, _)| path.len() > 1);
    found
}

/// The fields that a manager declares by sending this.
///
/// # Errors
/// A list of which each item is owned on its own has one twice, or one without its key: it names no item then.
pub fn declared(shape: &Shape, sent: &Value) -> Result<Fields, Vec<FieldError>> {
    let mut errors = Vec::new();
    check_lists(shape, sent, &mut Vec::new(), &mut errors);
    if errors.is_empty() { Ok(all(shape, sent).into_iter().map(|(path, _)| path).collect()) } else { Err(errors) }
}

fn check_lists(shape: &Shape, value: &Value, path: &mut Path, errors: &mut Vec<FieldError>) {
    match (shape, value) {
        (Shape::Object { .. }, Value::Object(members)) => {
            for (name, value) in members {
                path.push(Step::Field(name.clone()));
                check_lists(shape.member(name), value, path, errors);
                path.pop();
            }
        }
        (Shape::Set | Shape::Map { .. }, Value::Array(list)) => {
            let mut seen = BTreeSet::new();
            for (index, item) in list.iter().enumerate() {
                let place = || format!("{}[{index}]", paths::text(path));
                let step = match shape {
                    Shape::Map { keys, .. } => {
                        key_step(item, keys).ok_or_else(|| format!("needs {}, by which the items are told apart.", keys.join(" and ")))
                    }
                    _ => item_step(item).ok_or_else(|| "must be a plain value.".to_string()),
                };
                match step {
                    Err(message) => errors.push(FieldError::invalid(place(), message)),
                    Ok(step) if !seen.insert(step.clone()) => {
                        let message = format!("{} stands in the list twice; write it once.", paths::text(&[step]));
                        errors.push(FieldError::new(place(), "Duplicate", message));
                    }
                    Ok(_) => {}
                }
            }
        }
        _ => {}
    }
}

/// What stands at a field; `None` if the value has no such field.
pub fn get<'a>(shape: &Shape, value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    let Some((step, rest)) = path.split_first() else { return Some(value) };
    match (step, shape, value) {
        (Step::Field(name), Shape::Object { .. }, Value::Object(members)) => get(shape.member(name), members.get(name)?, rest),
        (Step::Key(_), Shape::Map { keys, item }, Value::Array(list)) => {
            get(item, list.iter().find(|i| key_step(i, keys).as_ref() == Some(step))?, rest)
        }
        (Step::Item(_), Shape::Set, Value::Array(list)) => list.iter().find(|i| item_step(i).as_ref() == Some(step)),
        _ => None,
    }
}
