//! What a field is made of, as the JSON Schema of its kind says: `x-list-type` (`atomic`, `set`, or `map` with `x-list-map-keys`) and
//! `x-map-type` (`granular` or `atomic`).

use crate::kinds::{KINDS, KindInfo};
use serde_json::Value;
use std::{collections::BTreeMap, sync::OnceLock};

/// What a field is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A plain value, or one that is owned as a whole.
    Atomic,
    /// Members that are owned one by one.
    Object {
        /// Known members.
        fields: BTreeMap<String, Shape>,
        /// What every other member is made of.
        others: Box<Shape>,
    },
    /// A list whose items are owned one by one, each of which stands there once.
    Set,
    /// A list of objects that are told apart by key fields, and owned field by field.
    Map {
        /// Names of the key fields.
        keys: Vec<String>,
        /// What an item is made of.
        item: Box<Shape>,
    },
}

/// A schema nested deeper, or one that holds itself, is owned as a whole from there on.
const DEEPEST: usize = 32;

/// Members of metadata that managers may own; all others are the server's.
const METADATA: [&str; 5] = ["labels", "annotations", "finalizers", "ownerReferences", "protection"];

impl Shape {
    /// The shape of what managers own of an object of this kind: metadata and spec.
    pub fn of(kind: &KindInfo) -> &'static Shape {
        static SHAPES: OnceLock<BTreeMap<&'static str, Shape>> = OnceLock::new();
        static UNKNOWN: Shape = Shape::Atomic;
        let all = SHAPES.get_or_init(|| KINDS.iter().map(|k| (k.kind, Shape::of_object(&(k.schema)()))).collect());
        all.get(kind.kind).unwrap_or(&UNKNOWN)
    }

    fn of_object(schema: &Value) -> Shape {
        let mut metadata = Shape::of_schema(&schema["properties"]["metadata"], &schema["$defs"]);
        if let Shape::Object { fields, .. } = &mut metadata {
            fields.retain(|name, _| METADATA.contains(&name.as_str()));
        }
        let spec = Shape::of_schema(&schema["properties"]["spec"], &schema["$defs"]);
        Shape::Object { fields: [("metadata".into(), metadata), ("spec".into(), spec)].into(), others: Box::new(Shape::Atomic) }
    }

    /// The shape that a JSON Schema describes; `defs` is what its references point into.
    pub fn of_schema(schema: &Value, defs: &Value) -> Shape {
        read(schema, defs, 0)
    }

    /// The shape of a member.
    pub fn member(&self, name: &str) -> &Shape {
        match self {
            Shape::Object { fields, others } => fields.get(name).unwrap_or(others),
            _ => &Shape::Atomic,
        }
    }
}

fn read(schema: &Value, defs: &Value, depth: usize) -> Shape {
    if depth > DEEPEST || schema["x-map-type"] == "atomic" {
        return Shape::Atomic;
    }
    if schema["type"] == "array" || schema["x-list-type"].is_string() {
        return list(schema, defs, depth);
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
        return read(&defs[name], defs, depth + 1);
    }
    // A field that may be left out is its type, or null.
    if let Some(choices) = schema["anyOf"].as_array() {
        let mut choices = choices.iter().filter(|c| c["type"] != "null");
        return match (choices.next(), choices.next()) {
            (Some(only), None) => read(only, defs, depth + 1),
            _ => Shape::Atomic,
        };
    }
    let (properties, others) = (schema["properties"].as_object(), &schema["additionalProperties"]);
    if properties.is_none() && !others.is_object() {
        return Shape::Atomic;
    }
    let fields = properties.into_iter().flatten().map(|(name, field)| (name.clone(), read(field, defs, depth + 1))).collect();
    let others = if others.is_object() { read(others, defs, depth + 1) } else { Shape::Atomic };
    Shape::Object { fields, others: Box::new(others) }
}

fn list(schema: &Value, defs: &Value, depth: usize) -> Shape {
    match schema["x-list-type"].as_str() {
        Some("set") => Shape::Set,
        Some("map") => {
            let keys: Vec<String> = schema["x-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from).collect();
            if keys.is_empty() { Shape::Atomic } else { Shape::Map { keys, item: Box::new(read(&schema["items"], defs, depth + 1)) } }
        }
        _ => Shape::Atomic,
    }
}
