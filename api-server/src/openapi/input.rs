//! What clients send of a kind: a new object, a part of one, and a manifest. Made from the schema of the kind.

use super::{
    Components,
    components::{reference, referred},
};
use schemas::{
    API_VERSION, KindInfo,
    field::{NAME_OR_NOTHING_PATTERN, NAME_PATTERN},
};
use serde_json::{Map, Value, json};

/// What the server alone sets.
const SERVER_OWNED: &[&str] = &["uid", "generation", "resourceVersion", "creationTimestamp", "deletionTimestamp", "managedFields"];

pub(super) fn new_object(components: &mut Components, kind: &KindInfo) -> Value {
    let metadata = metadata(components);
    let spec = spec(components, kind);
    let must = required(components, &spec);
    let mut required = vec!["metadata"];
    required.extend((!must.is_empty()).then_some("spec"));
    object(kind, &format!("A new object of kind {}.", kind.kind), metadata, spec, &required)
}

pub(super) fn patch(components: &mut Components, kind: &KindInfo) -> Value {
    let (metadata, spec) = parts(components, kind);
    let words = format!("A part of an object of kind {}. `null` takes a field away in a merge patch, and is no opinion in an apply.", kind.kind);
    object(kind, &words, metadata, spec, &[])
}

pub(super) fn manifest(components: &mut Components, kind: &KindInfo) -> Value {
    let (metadata, spec) = parts(components, kind);
    let metadata = json!({"allOf": [metadata, {"required": ["name"]}]});
    object(kind, &format!("What a file declares of an object of kind {}.", kind.kind), metadata, spec, &["apiVersion", "kind", "metadata"])
}

fn object(kind: &KindInfo, words: &str, mut metadata: Value, mut spec: Value, required: &[&str]) -> Value {
    metadata["description"] = "Name, labels, and what else a client may say of the object.".into();
    spec["description"] = "What is declared.".into();
    json!({
        "type": "object",
        "description": words,
        "additionalProperties": false,
        "required": required,
        "properties": {
            "apiVersion": {"const": API_VERSION, "description": "Version of the object."},
            "kind": {"const": kind.kind, "description": "Kind of the object; the URL says it as well."},
            "metadata": metadata,
            "spec": spec,
            "status": {"description": "Passed over, so that what was read can be sent as it is. The controller writes it."},
        },
    })
}

/// The schema of a kind's spec.
fn spec(components: &Components, kind: &KindInfo) -> Value {
    let name = components.get(kind.kind).and_then(|object| referred(&object["properties"]["spec"]));
    name.map_or_else(|| json!({"type": "object"}), reference)
}

/// Members that an object must have.
fn required(components: &Components, schema: &Value) -> Vec<String> {
    let whole = referred(schema).and_then(|name| components.get(name)).unwrap_or(schema);
    whole["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(String::from)).collect()
}

/// Metadata of a new object.
fn metadata(components: &mut Components) -> Value {
    let mut schema = components.get("ObjectMeta").cloned().unwrap_or_default();
    if let Some(fields) = schema["properties"].as_object_mut() {
        fields.retain(|name, _| !SERVER_OWNED.contains(&name.as_str()));
        let words = "Unique within its kind; cannot change. It must not have the form of a UUID. Empty is as not given.";
        fields["name"] = json!({"type": "string", "pattern": NAME_OR_NOTHING_PATTERN, "description": words});
        let words = "In place of a name: the beginning of one, to which the server adds what makes it unique.";
        let beginning = json!({"type": "string", "pattern": "^([A-Za-z0-9][A-Za-z0-9._-]*)?$", "maxLength": 240, "description": words});
        fields.insert("generateName".into(), beginning);
    }
    schema["anyOf"] = json!([{"required": ["name"]}, {"required": ["generateName"]}]);
    schema["description"] = "Metadata of a new object; the rest is set by the server.".into();
    components.keep("NewObjectMeta", schema)
}

/// Metadata and spec of which any part may be left out.
fn parts(components: &mut Components, kind: &KindInfo) -> (Value, Value) {
    let mut schema = components.get("ObjectMeta").cloned().unwrap_or_default();
    if let Some(fields) = schema["properties"].as_object_mut() {
        fields.retain(|name, _| !SERVER_OWNED.contains(&name.as_str()) || name == "resourceVersion");
        fields["name"] = json!({"type": "string", "pattern": NAME_PATTERN, "description": "As in the URL."});
        fields["resourceVersion"]["description"] = "Only if the object is at this version, else 409.".into();
        fields["resourceVersion"]["pattern"] = "^[0-9]+$".into();
    }
    let mut schema = partial(components, &schema);
    schema["properties"]["name"] = json!({"type": "string", "pattern": NAME_PATTERN, "description": "As in the URL."});
    schema["description"] = "A part of an object's metadata.".into();
    let metadata = components.keep("ObjectMetaPatch", schema);
    let spec = spec(components, kind);
    (metadata, part(components, &spec))
}

/// An object schema of which every field may be left out or, if it need not be there, taken away.
fn partial(components: &mut Components, schema: &Value) -> Value {
    let mut schema = schema.clone();
    let must = required(components, &schema);
    if let Some(members) = schema.as_object_mut() {
        members.shift_remove("required");
    }
    let fields: Map<String, Value> = schema["properties"].as_object().cloned().unwrap_or_default();
    for (name, field) in fields {
        let words = field["description"].clone();
        let mut field = part(components, &field);
        if !must.contains(&name) {
            field = nullable(field);
        }
        field["description"] = words;
        if let Some(members) = field.as_object_mut() {
            members.shift_remove("default");
        }
        schema["properties"][&name] = field;
    }
    schema
}

/// The part of a value that may be sent: of an object some fields, of anything else the whole.
fn part(components: &mut Components, schema: &Value) -> Value {
    if let Some(choices) = schema["anyOf"].as_array() {
        let choices: Vec<Value> = choices.clone().iter().map(|choice| part(components, choice)).collect();
        return json!({"anyOf": choices});
    }
    let Some(name) = referred(schema).map(String::from) else { return schema.clone() };
    let known = components.get(&name).cloned().unwrap_or_default();
    if !known["properties"].is_object() {
        return reference(&name);
    }
    let name = format!("{name}Patch");
    if components.get(&name).is_none() {
        // No type holds itself, so this ends.
        let mut some = partial(components, &known);
        some["description"] = format!("A part of this: {}", known["description"].as_str().unwrap_or_default()).into();
        components.keep(&name, some);
    }
    reference(&name)
}

fn nullable(schema: Value) -> Value {
    let mut schema = schema;
    match &mut schema {
        Value::Object(members) if members.get("type").is_some_and(Value::is_string) => {
            let only = members["type"].clone();
            members["type"] = json!([only, "null"]);
            // The value of a map goes away in the same manner.
            if let Some(values) = members.get_mut("additionalProperties").filter(|values| values.is_object()) {
                *values = nullable(values.take());
            }
            schema
        }
        Value::Object(members) if members.get("type").is_some_and(Value::is_array) => schema,
        Value::Object(members) if members.get("anyOf").is_some_and(Value::is_array) => {
            if let Some(choices) = members["anyOf"].as_array_mut().filter(|choices| !choices.iter().any(|choice| choice["type"] == "null")) {
                choices.push(json!({"type": "null"}));
            }
            schema
        }
        _ => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}
