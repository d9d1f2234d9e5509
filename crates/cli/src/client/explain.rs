//! `explain`: a kind or a field, from the schema that the server gives.

use super::find_kind;
use crate::output::{self, Failure, Table};
use ::client::{Client, Exit};
use schemas::walk::{description, inside, kind_of, words};
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
