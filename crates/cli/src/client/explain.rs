//! `explain`: a kind or a field, from the schema that the server gives.

use super::find_kind;
use crate::output::{self, Failure, Table};
use ::client::{Client, Exit};
use serde_json::Value;

pub async fn explain(client: &Client, path: &str) -> Result<Exit, Failure> {
    let mut parts = path.split('.');
    let kind = find_kind(parts.next().unwrap_or_default())?;
    let schema = client.get_raw(&format!("/v1/schemas/{}", kind.kind)).await?;
    output::data(&render(&schema, kind.kind, &parts.collect::<Vec<_>>())?);
    Ok(Exit::Ok)
}

fn render(schema: &Value, kind: &str, path: &[&str]) -> Result<String, Failure> {
    let mut node = schema;
    let mut walked = kind.to_string();
    for part in path {
        let inner = inside(schema, node);
        node = inner["properties"].get(*part).ok_or_else(|| {
            let known: Vec<&str> = inner["properties"].as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
            let message = if known.is_empty() {
                format!("{walked} has no fields")
            } else {
                format!("{walked} has no field '{part}'; it has {}", known.join(", "))
            };
            Failure::new(Exit::NotFound, message)
        })?;
        walked = format!("{walked}.{part}");
    }
    let mut text = format!("{walked}  <{}>\n", kind_of(schema, node));
    if let Some(description) = description(schema, node) {
        text.push_str(&format!("  {}\n", description.replace('\n', "\n  ")));
    }
    if let Some(default) = node.get("default").filter(|d| !d.is_null()) {
        text.push_str(&format!("  default: {default}\n"));
    }
    let inner = inside(schema, node);
    for (value, meaning) in words(inner) {
        text.push_str(&format!("  {value}{}\n", meaning.map(|m| format!(": {}", m.replace('\n', " "))).unwrap_or_default()));
    }
    let mut table = Table::new(["FIELD", "TYPE", "MEANING"]);
    for (name, field) in inner["properties"].as_object().into_iter().flatten() {
        let required = inner["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name));
        let name = if required { format!("{name} *") } else { name.clone() };
        table.row([name, kind_of(schema, field), description(schema, field).unwrap_or_default()]);
    }
    if !table.is_empty() {
        text.push_str(&format!("\n{}\n(* must be given)", table.render()));
    }
    Ok(text.trim_end().to_string())
}

/// Follows `$ref`.
fn resolve<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let mut node = node;
    // A schema could refer to itself; ours are not this deep.
    for _ in 0..8 {
        match node["$ref"].as_str().and_then(|r| r.strip_prefix('#')).and_then(|pointer| schema.pointer(pointer)) {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

/// The node with fields or words: behind references, the `null` of optional fields, and lists.
fn inside<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let node = resolve(schema, node);
    let option = node["anyOf"].as_array().and_then(|options| options.iter().find(|o| o["type"] != "null"));
    if let Some(option) = option {
        return inside(schema, option);
    }
    if node["items"].is_object() { inside(schema, &node["items"]) } else { node }
}

fn kind_of(schema: &Value, node: &Value) -> String {
    let own = resolve(schema, node);
    if own["items"].is_object() {
        return format!("list of {}", kind_of(schema, &own["items"]));
    }
    let inner = inside(schema, own);
    let named = match &inner["type"] {
        Value::String(kind) => Some(kind.as_str()),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|k| *k != "null"),
        _ => None,
    };
    let word = |text: &str| if words(inner).is_empty() { text.to_string() } else { "word".into() };
    named.map_or_else(|| word("any"), word)
}

/// The words of an enumeration and what they mean.
fn words(node: &Value) -> Vec<(String, Option<&str>)> {
    let plain = node["enum"].as_array().into_iter().flatten().filter_map(|v| Some((v.as_str()?.to_string(), None)));
    let described = node["oneOf"].as_array().into_iter().flatten().flat_map(|option| {
        let meaning = option["description"].as_str();
        let constant = option["const"].as_str().map(|c| (c.to_string(), meaning));
        let listed = option["enum"].as_array().into_iter().flatten().filter_map(move |v| Some((v.as_str()?.to_string(), meaning)));
        constant.into_iter().chain(listed)
    });
    plain.chain(described).collect()
}

fn description(schema: &Value, node: &Value) -> Option<String> {
    let own = node["description"].as_str().or_else(|| resolve(schema, node)["description"].as_str());
    own.or_else(|| inside(schema, node)["description"].as_str()).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::kinds;

    fn shown(kind: &str, path: &[&str]) -> Result<String, Failure> {
        let info = kinds::find(kind).unwrap();
        render(&(info.schema)(), info.kind, path)
    }

    #[test]
    fn a_field_is_explained_with_its_words_and_their_meaning() {
        let text = shown("host", &["spec", "power"]).unwrap();
        assert!(text.starts_with("Host.spec.power  <word>\n  Desired power."), "{text}");
        assert!(text.contains("  Off: Disabled, drained, proven empty"), "{text}");
    }

    #[test]
    fn a_kind_is_explained_with_its_fields() {
        let text = shown("powerdevice", &["spec"]).unwrap();
        assert!(text.contains("endpoint *"), "{text}");
        assert!(text.contains("ports "), "{text}");
        assert!(shown("evacuation", &["status", "guests"]).unwrap().contains("destination"), "lists are looked into");
    }

    #[test]
    fn a_field_that_is_not_there_is_told_with_those_that_are() {
        let e = shown("host", &["spec", "powr"]).unwrap_err();
        assert_eq!(e.exit, Exit::NotFound);
        assert!(e.message.contains("Host.spec has no field 'powr'") && e.message.contains("power"), "{}", e.message);
    }
}
