//! Parameters of requests: query, path and header, each with its words. Routes name the query parameters they know; these are all.

use super::Place;
use crate::{
    policy::asks::has,
    router::routes,
    select,
    version::{MAX_VERSION, MIN_VERSION, SERVICE_TYPE},
};
use schemas::{
    apply::managed::{LONGEST_MANAGER, MANAGER_PATTERN},
    field::NAME_PATTERN,
    kinds::KINDS,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Words and schema of a query parameter.
pub(super) fn query(name: &str) -> Option<(&'static str, Value)> {
    let text = || json!({"type": "string"});
    let number = |minimum: i64| json!({"type": "integer", "format": "int64", "minimum": minimum});
    let flag = || json!({"type": "string", "enum": ["true", "false", "1", "0", ""]});
    let all = || json!({"type": "string", "enum": ["All"]});
    Some(match name {
        "labelSelector" => ("Only objects with these labels: `a=b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b,c)`, joined by commas.", text()),
        "fieldSelector" => ("Only objects with these fields: `path=value`, joined by commas. An error names the paths that the kind has.", text()),
        "limit" => ("Most objects of a page: 500 if it is not given, never more than 1000. `continue` of the answer leads to the next.", number(1)),
        "continue" => ("Where the page begins: `metadata.continue` of the page before, good for 10 minutes and for the same selectors only.", text()),
        "marker" => ("The page begins after this name, which need not exist. Not together with `continue`.", text()),
        "sort" => ("Order by a column, `-` before it for the other way; by name if it is not given. Not with `watch` or `marker`.", text()),
        "resourceVersion" => (
            "Not older than this revision: 504 with `Retry-After` if it was not seen within 3 s. With `watch`: tell the changes after it. 0: any.",
            number(0),
        ),
        "watch" => ("Answer with a stream of changes, one JSON document a line, in place of a list.", flag()),
        "allowWatchBookmarks" => ("Taken for Kubernetes' sake: bookmarks always come. With `watch` only.", flag()),
        "sendInitialEvents" => ("Begin a watch with what there is, then a bookmark. With `watch` only.", flag()),
        "timeoutSeconds" => ("How long a watch lasts, in seconds: 1800 or so if it is not given, at most 3600. With `watch` only.", number(0)),
        "dryRun" => ("`All`: everything is checked and answered as if, and nothing is written. The answer has `X-Dry-Run: All`.", all()),
        "fieldManager" => (
            "Who owns what is written. An apply must give it; else the first word of User-Agent stands in. Empty is as not given.",
            json!({"type": "string", "maxLength": LONGEST_MANAGER, "pattern": MANAGER_PATTERN}),
        ),
        "force" => ("An apply takes over fields that others own. With an apply only.", flag()),
        "atomic" => ("`All`: all objects in one transaction, at most 200 of them.", all()),
        "applySet" => ("Name of the ApplySet that the batch is the whole content of.", json!({"type": "string"})),
        "prune" => (
            "What belongs to the set and is not in the batch goes: `All` applies first, `Only` applies nothing. With `applySet` only.",
            json!({"type": "string", "enum": ["All", "Only"]}),
        ),
        "maxDeletes" => ("Most objects that a prune may delete. With `applySet` only.", number(0)),
        "revision" => (
            "What the batch was made from, such as the id of a commit. With `applySet` only.",
            json!({"type": "string", "maxLength": 128, "pattern": MANAGER_PATTERN}),
        ),
        "afterRevision" => ("Only if this is the revision that the set was applied at last. With `applySet` only.", text()),
        "explain" => ("Tell also what the controllers would do about what would change, and what would be decided of other hosts.", flag()),
        name if select::is_filter(name) => {
            ("Only objects with this value of the field: `value`, `in:a,b`, `nin:a,b`, `eq:value` or `neq:value`.", text())
        }
        "host" => ("Only this Host, by name or uid.", json!({"type": "string"})),
        _ => return None,
    })
}

/// What only a watch takes.
const WATCHING: &[&str] = &["watch", "allowWatchBookmarks", "sendInitialEvents", "timeoutSeconds"];

/// A query parameter of a route at a place.
pub(super) fn at(name: &str, place: &Place, required: bool) -> Option<Value> {
    let (words, schema) = query(name)?;
    let inline = |schema: Value| json!({"name": name, "in": "query", "required": required, "description": words, "schema": schema});
    match (name, place.kind) {
        (_, Some(kind)) if select::is_filter(name) && !select::has_filter(kind, name) => None,
        (_, Some(kind)) if WATCHING.contains(&name) && !has(kind, "watch") => None,
        ("sort", Some(kind)) => {
            let ordered = matches!(kind.kind, "Event" | "Lease" | "AuditRecord");
            let columns = kind.columns.iter().map(|c| c.name).filter(|_| !ordered);
            let words = columns.flat_map(|c| [c.to_ascii_lowercase(), format!("-{}", c.to_ascii_lowercase())]);
            let by_name = ["name", "-name"].into_iter().take(if ordered { 1 } else { 2 }).map(String::from);
            Some(inline(json!({"type": "string", "enum": by_name.chain(words).collect::<Vec<_>>()})))
        }
        _ if required => Some(inline(with_some(schema))),
        _ => Some(json!({"$ref": format!("#/components/parameters/{name}")})),
    }
}

/// What must be given must not be empty.
fn with_some(mut schema: Value) -> Value {
    schema["minLength"] = 1.into();
    schema
}

/// A parameter of the path.
pub(super) fn path(name: &str) -> Value {
    let (words, schema) = match name {
        "kind" => ("A kind, as in `kind:`.", json!({"type": "string", "enum": KINDS.iter().map(|k| k.kind).collect::<Vec<_>>()})),
        _ => return json!({"$ref": "#/components/parameters/ref"}),
    };
    json!({"name": name, "in": "path", "required": true, "description": words, "schema": schema})
}

/// Headers of requests: name, key, words, example. What cannot be read is refused where it would matter, and else passed over.
fn headers() -> [(&'static str, &'static str, String, &'static str); 4] {
    let version = format!(
        "Microversion, `{SERVICE_TYPE} {MIN_VERSION}` to `{SERVICE_TYPE} {MAX_VERSION}`, or `{SERVICE_TYPE} latest`; the oldest if it is not given. Other services' are passed over."
    );
    [
        ("OpenStack-API-Version", "apiVersion", version, "cloud-manager 1.0"),
        (
            "X-Openstack-Request-Id",
            "globalRequestId",
            "The caller's own id, `req-` and a UUID, for the log and the audit; anything else is passed over.".into(),
            "req-6f70656e-7374-4163-8b6b-636c6f756421",
        ),
        ("If-Match", "ifMatch", "Only if the object is at one of these ETags, else 412. `*`: any.".into(), "\"48213\""),
        ("If-None-Match", "ifNoneMatch", "304 if the object is still at one of these ETags.".into(), "\"48213\""),
    ]
}

/// What operations refer to.
pub(super) fn components() -> Value {
    let mut all = Map::new();
    all.insert(
        "ref".into(),
        json!({
            "name": "ref", "in": "path", "required": true,
            "description": "Name or uid of the object.",
            "schema": {"type": "string", "pattern": NAME_PATTERN},
        }),
    );
    let taken: BTreeSet<&str> = routes().iter().flat_map(|route| route.params).copied().collect();
    // The columns to sort by are each kind's own.
    for name in taken.into_iter().filter(|name| *name != "sort") {
        if let Some((words, schema)) = query(name) {
            all.insert(name.to_string(), json!({"name": name, "in": "query", "required": false, "description": words, "schema": schema}));
        }
    }
    for (name, key, words, example) in headers() {
        let mut schema = json!({"type": "string", "examples": [example]});
        if matches!(key, "apiVersion" | "ifMatch") {
            schema["pattern"] = "^[\\t -~]*$".into();
        }
        all.insert(key.into(), json!({"name": name, "in": "header", "required": false, "description": words, "schema": schema}));
    }
    Value::Object(all)
}
