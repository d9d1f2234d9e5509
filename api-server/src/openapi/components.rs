//! Schemas that operations refer to. Each has one name and one meaning.

use super::{errors, input, params, security_schemes};
use schemars::{JsonSchema, generate::SchemaSettings};
use schemas::KindInfo;
use serde_json::{Map, Value, json};

/// Where the schemas of the document stand.
const HERE: &str = "#/components/schemas/";
/// Where those of one type stand.
const THERE: &str = "#/$defs/";

/// The schemas of the document, as they are asked for.
#[derive(Default)]
pub(crate) struct Components {
    schemas: Map<String, Value>,
    conflicts: Vec<String>,
}

/// A reference to a schema.
pub(crate) fn reference(name: &str) -> Value {
    json!({"$ref": format!("{HERE}{name}")})
}

/// The name that a schema refers to.
pub(super) fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix(HERE)
}

impl Components {
    /// Names that were given to two schemas.
    #[cfg(test)]
    pub fn conflicts(&self) -> &[String] {
        &self.conflicts
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.schemas.get(name)
    }

    /// Keeps a schema under its name.
    pub(super) fn keep(&mut self, name: &str, schema: Value) -> Value {
        match self.schemas.get(name) {
            Some(known) if *known != schema => self.conflicts.push(name.into()),
            Some(_) => {}
            None => {
                self.schemas.insert(name.into(), schema);
            }
        }
        reference(name)
    }

    /// Keeps what a schema defines, and gives the rest of it.
    fn take(&mut self, mut schema: Value) -> Value {
        moved(&mut schema);
        let Some(members) = schema.as_object_mut() else { return schema };
        members.shift_remove("$schema");
        let defined = members.shift_remove("$defs");
        for (name, schema) in defined.as_ref().and_then(Value::as_object).into_iter().flatten() {
            self.keep(name, schema.clone());
        }
        schema
    }

    /// A type, as requests are decoded to it or answers are written from it.
    pub fn of<T: JsonSchema>(&mut self) -> Value {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let schema = json!(generator.subschema_for::<T>());
        let whole = json!({"schema": schema, "$defs": generator.take_definitions(true)});
        self.take(whole)["schema"].take()
    }

    /// An object of a kind, as it is read and as it is replaced.
    pub fn object(&mut self, kind: &KindInfo) -> Value {
        let mut schema = self.take((kind.schema)());
        schema["description"] = format!("An object of kind {}.", kind.kind).into();
        self.keep(kind.kind, schema)
    }

    /// A new object of a kind.
    pub fn new_object(&mut self, kind: &KindInfo) -> Value {
        self.object(kind);
        let schema = input::new_object(self, kind);
        self.keep(&format!("New{}", kind.kind), schema)
    }

    /// A part of an object of a kind, for a merge patch or an apply.
    pub fn patch(&mut self, kind: &KindInfo) -> Value {
        self.object(kind);
        let schema = input::patch(self, kind);
        self.keep(&format!("{}Patch", kind.kind), schema)
    }

    /// The same with what a file has to say of itself.
    pub fn manifest(&mut self, kind: &KindInfo) -> Value {
        self.object(kind);
        let schema = input::manifest(self, kind);
        self.keep(&format!("{}Manifest", kind.kind), schema)
    }

    pub(super) fn render(mut self) -> Value {
        let responses = errors::responses(&mut self);
        self.schemas.sort_keys();
        json!({
            "schemas": self.schemas,
            "responses": responses,
            "parameters": params::components(),
            "headers": errors::headers(),
            "securitySchemes": security_schemes(),
        })
    }
}

/// Makes references of one type's schema those of the document.
fn moved(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if key == "$ref" => {
                        if let Some(name) = text.strip_prefix(THERE) {
                            *text = format!("{HERE}{name}");
                        }
                    }
                    value => moved(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(moved),
        _ => {}
    }
}
