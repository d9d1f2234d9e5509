//! The OpenAPI document: the one that is checked in, linted.

use crate::fixture::{Api, api};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeSet;

/// The document as it is checked in; `UPDATE_OPENAPI=1` writes it anew.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

async fn served(api: &Api) -> Value {
    api.send(api.anonymous(Method::GET, "/v1/openapi.json")).await.gives(200).body
}

#[tokio::test]
async fn the_document_that_is_checked_in_is_the_one_that_is_served() {
    let text = serde_json::to_string_pretty(&served(&api().await).await).unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    let known = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    for (number, (new, old)) in text.lines().zip(known.lines()).enumerate() {
        assert_eq!(new, old, "api-server/openapi.json, line {}: the API changed; read what make openapi makes of it", number + 1);
    }
    assert_eq!(text.lines().count(), known.lines().count(), "the API changed; read what make openapi makes of api-server/openapi.json");
}

#[tokio::test]
async fn the_document_is_for_everybody_and_read_once() {
    let api = api().await;
    let first = api.send(api.anonymous(Method::GET, "/v1/openapi.json")).await.gives(200);
    assert_eq!((&first.body["openapi"], first.header("content-type")), (&Value::from("3.1.0"), "application/json"));
    let etag = first.header("etag").to_string();
    for (tags, status) in [(etag.clone(), 304), (format!("W/{etag}, \"x\""), 304), ("\"x\"".into(), 200)] {
        let again = api.send(api.anonymous(Method::GET, "/v1/openapi.json").header("if-none-match", &tags)).await.gives(status);
        assert_eq!((again.header("etag"), again.text.is_empty()), (etag.as_str(), status == 304), "{tags}");
    }
    api.send(api.anonymous(Method::GET, "/v1/openapi.json?x=1")).await.fails(400, "unknown-parameter");
}

/// Calls `look` with every value of a document and where it is.
fn walk(at: &str, value: &Value, look: &mut impl FnMut(&str, &Value)) {
    look(at, value);
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| walk(&format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), value, look))
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(n, value)| walk(&format!("{at}/{n}"), value, look)),
        _ => {}
    }
}

/// Method and path of each operation, and the operation.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(method, operation)| (format!("{method} {path}"), operation)))
        .collect()
}

fn is_said(value: &Value) -> bool {
    value["description"].as_str().is_some_and(|words| !words.trim().is_empty())
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere_and_every_component_is_led_to() {
    let document = served(&api().await).await;
    let (mut led_to, mut broken) = (BTreeSet::new(), Vec::new());
    walk("", &document, &mut |at, value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            match reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer)) {
                Some(_) => drop(led_to.insert(reference.to_string())),
                None => broken.push(format!("{at}: {reference}")),
            }
        }
    });
    assert_eq!(broken, Vec::<String>::new());
    for part in ["schemas", "responses", "parameters", "headers"] {
        for name in document["components"][part].as_object().unwrap().keys() {
            let here = format!("#/components/{part}/{name}");
            assert!(
                led_to.iter().any(|r| *r == here || r.starts_with(&format!("{here}/"))) || here == "#/components/responses/405",
                "{here} is not used"
            );
        }
    }
}

#[tokio::test]
async fn every_field_parameter_header_answer_and_value_of_an_enumeration_has_words() {
    let document = served(&api().await).await;
    let mut silent = Vec::new();
    walk("", &document, &mut |at, value| {
        let mut need = |name: &str, value: &Value| {
            if !is_said(value) && value.get("$ref").is_none_or(|_| name.starts_with("property ")) {
                silent.push(format!("{at}: {name}"));
            }
        };
        let in_schema = !at.contains("/properties/") || !at.ends_with("/properties");
        for (name, field) in value.get("properties").and_then(Value::as_object).filter(|_| in_schema).into_iter().flatten() {
            need(&format!("property {name}"), field);
        }
        if value.get("in").is_some_and(Value::is_string) && value.get("name").is_some_and(Value::is_string) {
            need("parameter", value);
        }
        for (name, header) in value.get("headers").and_then(Value::as_object).into_iter().flatten() {
            need(&format!("header {name}"), header);
        }
    });
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let enumerates = schema.get("enum").is_some() || schema.get("oneOf").is_some();
        if !is_said(schema) && (enumerates || schema["type"] == "object") {
            silent.push(name.clone());
        }
        for choice in schema["oneOf"].as_array().into_iter().flatten().filter(|choice| choice.get("const").is_some() || choice.get("enum").is_some())
        {
            if !is_said(choice) {
                silent.push(format!("{name}: {choice}"));
            }
        }
    }
    assert_eq!(silent, Vec::<String>::new(), "without a description");
}

#[tokio::test]
async fn every_operation_has_its_own_name_words_a_group_a_success_and_its_refusals() {
    let document = served(&api().await).await;
    let tags: Vec<&str> = document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap_or_default();
        assert!(!id.is_empty() && ids.insert(id.to_string()), "{name}: {id} is not its own");
        assert!(is_said(operation) && operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{name}");
        assert!(tags.contains(&operation["tags"][0].as_str().unwrap()), "{name}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with(['2', '3'])), "{name}");
        let is_open = operation["security"].as_array().unwrap().first().is_none_or(|first| first.as_object().unwrap().is_empty());
        let mut wanted = vec!["400", "431", "500", "503", "504"];
        wanted.extend_from_slice(if is_open { &[] } else { &["401", "403", "406", "429"] });
        wanted.extend_from_slice(if operation.get("requestBody").is_some() { &["413", "415"] } else { &[] });
        wanted.extend_from_slice(if name.contains("{ref}") { &["404"] } else { &[] });
        for status in wanted {
            assert!(responses.contains_key(status), "{name} does not tell of {status}");
        }
        let rules = operation["x-rules"].as_array();
        assert_eq!(rules.is_none_or(Vec::is_empty), is_open, "{name}");
    }
    assert!(ids.len() > 150, "{}", ids.len());
}

#[tokio::test]
async fn what_goes_on_with_an_answer_is_an_operation_with_such_parameters() {
    let document = served(&api().await).await;
    let all = operations(&document);
    let mut seen = 0;
    for (name, operation) in &all {
        for (status, answer) in operation["responses"].as_object().unwrap() {
            for link in answer["links"].as_object().into_iter().flatten().map(|(_, link)| link) {
                let target = all.iter().find(|(_, o)| o["operationId"] == link["operationId"]);
                let (path, _) = target.unwrap_or_else(|| panic!("{name} {status}: {link}"));
                assert!(link["parameters"].as_object().unwrap().keys().all(|key| path.contains(&format!("{{{key}}}"))), "{name} {status}: {link}");
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen}");
}
