//! Manifests: YAML and JSON texts with objects, read so that every error has a place.

mod strict;

pub use strict::{MAX_DEPTH, Unreadable, json, yaml};

use crate::{API_VERSION, KindInfo, METADATA_KEYS, kinds};
use serde_json::Value;

/// One document of a file, or why it cannot be read.
pub struct Document {
    /// Where it stands: `file, document 2, line 14`.
    pub place: String,
    content: Result<Value, String>,
}

/// A document that names an object of a kind that clients may write.
#[derive(Clone)]
pub struct Manifest {
    /// Its kind.
    pub kind: &'static KindInfo,
    /// Its name.
    pub name: String,
    /// All of it.
    pub value: Value,
    /// `file, document 2, line 14`.
    pub place: String,
}

/// Top-level members an object may have.
const MEMBERS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// Splits a text into documents. They are split before they are parsed, so that one that is wrong
/// takes no other with it.
pub fn parse(file: &str, text: &str) -> Vec<Document> {
    // JSON documents parted by `---` are YAML.
    if text.trim_start().starts_with(['{', '[']) && !text.lines().any(|line| line.starts_with("---")) {
        let place = format!("{file}, document 1");
        let content = strict::json(text.as_bytes()).map_err(|e| {
            let what = if e.message.contains("duplicate key") || e.message.contains("nested") { &e.message } else { "this is not JSON" };
            format!("line {}: {what} (column {})", e.line, e.column)
        });
        return expand(Document { place, content });
    }
    let mut documents = Vec::new();
    for (first_line, part) in split(text) {
        let number = documents.len() + 1;
        match parse_yaml(first_line, &part) {
            Ok(Value::Null) => {}
            Ok(value) => {
                // Comments and blank lines before the object are not where it begins.
                let skipped = part.lines().take_while(|l| l.trim().is_empty() || l.trim_start().starts_with('#')).count();
                let place = format!("{file}, document {number}, line {}", first_line + skipped);
                documents.push(Document { place, content: Ok(value) });
            }
            Err(message) => documents.push(Document { place: format!("{file}, document {number}"), content: Err(message) }),
        }
    }
    documents.into_iter().flat_map(expand).collect()
}

/// The documents of a YAML text with the line each begins at, from 1. A line that begins with `---`
/// or `...` always ends a document in YAML, also within quotes.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let marker = |m: &str| line.strip_prefix(m).filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']));
        match marker("---").map(|rest| (rest, index + 1)).or_else(|| marker("...").map(|_| ("", index + 2))) {
            // What follows `---` on its line belongs to the document.
            Some((rest, line)) => parts.push((line, if line == index + 1 { format!("   {rest}\n") } else { String::new() })),
            None => {
                if let Some((_, part)) = parts.last_mut() {
                    part.push_str(line);
                    part.push('\n');
                }
            }
        }
    }
    parts
}

/// Parses one document into plain JSON. Its errors say a line of the file, and never a value.
fn parse_yaml(first_line: usize, text: &str) -> Result<Value, String> {
    strict::yaml(text).map_err(|e| match e.line {
        0 => format!("line {first_line}: {}", e.message),
        line => format!("line {}: {} (column {})", first_line + line - 1, e.message, e.column),
    })
}

/// The items of a list, as `get -o yaml` writes it, those of a JSON list, or the document itself.
fn expand(document: Document) -> Vec<Document> {
    let items = match &document.content {
        Ok(Value::Array(items)) if items.iter().all(Value::is_object) => Some(items.clone()),
        Ok(value) if value["kind"].as_str().is_some_and(|k| k.ends_with("List")) => value["items"].as_array().cloned(),
        _ => None,
    };
    match items {
        None => vec![document],
        Some(items) => {
            let place = |i: usize| format!("{}, item {}", document.place, i + 1);
            items.into_iter().enumerate().map(|(i, item)| Document { place: place(i), content: Ok(item) }).collect()
        }
    }
}

impl Document {
    /// The object that is meant.
    ///
    /// # Errors
    /// A sentence with the place; it shows no value of `spec`.
    pub fn checked(self) -> Result<Manifest, String> {
        let place = self.place;
        let value = self.content.map_err(|message| format!("{place}, {message}"))?;
        match check(&value) {
            Ok((kind, name)) => Ok(Manifest { kind, name, value, place }),
            Err(message) => Err(format!("{place}: {message}")),
        }
    }
}

fn check(value: &Value) -> Result<(&'static KindInfo, String), String> {
    let Some(members) = value.as_object() else { return Err("it is no object; write apiVersion, kind, metadata and spec".into()) };
    if let Some(unknown) = members.keys().find(|k| !MEMBERS.contains(&k.as_str())) {
        return Err(format!("unknown member '{unknown}'; an object has {}", MEMBERS.join(", ")));
    }
    match value["apiVersion"].as_str() {
        Some(API_VERSION) => {}
        Some(other) => return Err(format!("apiVersion is '{other}'; this program speaks {}", API_VERSION)),
        None => return Err(format!("apiVersion is missing; write apiVersion: {}", API_VERSION)),
    }
    let word = value["kind"].as_str().ok_or("kind is missing")?;
    // Exactly as it is spelled: a manifest lives longer than a short name.
    let kind = kinds::KINDS.iter().find(|k| k.kind == word).ok_or_else(|| {
        let known: Vec<&str> = kinds::KINDS.iter().filter(|k| !k.read_only).map(|k| k.kind).collect();
        format!("there is no kind '{word}'; there are {}", known.join(", "))
    })?;
    if kind.read_only {
        return Err(format!("{word} objects are written by the controller only"));
    }
    let metadata = value["metadata"].as_object().ok_or("metadata is missing; it needs a name")?;
    if let Some(unknown) = metadata.keys().find(|k| !METADATA_KEYS.contains(&k.as_str())) {
        return Err(format!("unknown field metadata.{unknown}"));
    }
    let name =
        metadata.get("name").and_then(Value::as_str).filter(|n| !n.is_empty()).ok_or("metadata.name is missing, or no text; put it in quotes")?;
    for field in ["labels", "annotations"] {
        let entries = metadata.get(field).unwrap_or(&Value::Null);
        texts(entries, &format!("metadata.{field}"))?;
    }
    if !(value["spec"].is_object() || value["spec"].is_null()) {
        return Err("spec must be a mapping of fields".into());
    }
    if kind.kind == "Credential" {
        texts(&value["spec"]["data"], "spec.data")?;
    }
    Ok((kind, name.into()))
}

/// All values must be texts. The message never shows one: they may be secret.
fn texts(map: &Value, path: &str) -> Result<(), String> {
    let entries = match map {
        Value::Null => return Ok(()),
        Value::Object(entries) => entries,
        _ => return Err(format!("{path} must be a mapping of texts")),
    };
    match entries.iter().find(|(_, v)| !(v.is_string() || v.is_null())) {
        Some((key, _)) => Err(format!("{path}.{key} must be a text; put it in quotes")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: cloud-manager/v1\nkind: Host\n";

    fn checked(text: &str) -> Vec<Result<String, String>> {
        parse("f.yaml", text).into_iter().map(|d| d.checked().map(|m| format!("{} @ {}", m.name, m.place))).collect()
    }

    fn error(text: &str) -> String {
        let mut all = checked(text);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0).unwrap_err()
    }

    #[test]
    fn documents_are_counted_with_the_lines_they_begin_at() {
        let text = format!("# a comment\n---\n{HEAD}metadata: {{name: a}}\n---\n# another\n\n{HEAD}metadata: {{name: b}}\n---\n");
        let want = [Ok("a @ f.yaml, document 1, line 3".to_string()), Ok("b @ f.yaml, document 2, line 9".to_string())];
        assert_eq!(checked(&text), want);
    }

    #[test]
    fn a_document_that_is_no_yaml_names_its_line_and_takes_no_other_with_it() {
        let text = format!("{HEAD}metadata: {{name: a}}\n---\nkind: Host\n  spec: [\n---\n{HEAD}metadata: {{name: c}}\n");
        let all = checked(&text);
        assert!(all[0].is_ok() && all[2].is_ok(), "{all:?}");
        let wrong = all[1].as_ref().unwrap_err();
        assert!(wrong.starts_with("f.yaml, document 2, line 6: "), "{wrong}");
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        let e = error(&format!("{HEAD}metadata: {{name: a}}\nspec:\n  power: On\n  power: Off\n"));
        assert!(e.contains("duplicate") && e.contains("power") && e.contains("line"), "{e}");
    }

    #[test]
    fn what_is_no_object_is_told_what_is_missing() {
        for (text, want) in [
            ("- 1\n", "it is no object"),
            ("kind: Host\n", "apiVersion is missing"),
            ("apiVersion: cloud-manager/v2\nkind: Host\n", "speaks cloud-manager/v1"),
            ("apiVersion: cloud-manager/v1\nkind: Hots\n", "there is no kind 'Hots'; there are Host,"),
            ("apiVersion: cloud-manager/v1\nkind: Event\nmetadata: {name: a}\n", "written by the controller only"),
            ("apiVersion: cloud-manager/v1\nkind: Host\nmetadata: {name: a, label: {}}\n", "unknown field metadata.label"),
            ("apiVersion: cloud-manager/v1\nkind: Host\nmetadata: {}\n", "metadata.name is missing"),
            ("apiVersion: cloud-manager/v1\nkind: Host\nmetadata: {name: a, labels: {rack: 1}}\n", "metadata.labels.rack must be a text"),
            ("apiVersion: cloud-manager/v1\nkind: Host\nmetadata: {name: a}\nsepc: {}\n", "unknown member 'sepc'"),
        ] {
            let e = error(text);
            assert!(e.contains(want) && e.starts_with("f.yaml, document 1, line 1"), "{e}");
        }
    }

    #[test]
    fn a_password_that_is_no_text_is_refused_without_showing_it() {
        let e = error("apiVersion: cloud-manager/v1\nkind: Credential\nmetadata: {name: a}\nspec: {data: {password: 424242}}\n");
        assert!(e.contains("spec.data.password must be a text") && !e.contains("424242"), "{e}");
        let e = error("apiVersion: cloud-manager/v1\nkind: Credential\nspec: {data: {password: 'hunter2}}\n");
        assert!(e.contains("line") && !e.contains("hunter2"), "{e}");
    }

    #[test]
    fn json_and_lists_are_read_too() {
        let json = r#"{"apiVersion":"cloud-manager/v1","kind":"HostList","items":[
            {"apiVersion":"cloud-manager/v1","kind":"Host","metadata":{"name":"a"}},
            {"apiVersion":"cloud-manager/v1","kind":"Host","metadata":{}}]}"#;
        let all = checked(json);
        assert_eq!(all[0].as_deref(), Ok("a @ f.yaml, document 1, item 1"));
        assert!(all[1].as_ref().unwrap_err().contains("item 2: metadata.name"), "{all:?}");
        assert!(error("{\n \"kind\": Host }").contains("line 2: this is not JSON"));
        let stream = r#"{"apiVersion":"cloud-manager/v1","kind":"Host","metadata":{"name":"a"}}
---
{"apiVersion":"cloud-manager/v1","kind":"Host","metadata":{"name":"b"}}"#;
        assert_eq!(checked(stream), [Ok("a @ f.yaml, document 1, line 1".to_string()), Ok("b @ f.yaml, document 2, line 3".to_string())]);
    }
}
