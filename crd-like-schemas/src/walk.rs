//! Ways through a JSON Schema of ours: what stands at a field, and what is said of it.

use serde_json::Value;

/// The field at a JSON pointer into objects, such as `/status/power/state` or `/status/leased/0/host`.
pub fn field<'a>(schema: &'a Value, pointer: &str) -> Option<&'a Value> {
    pointer.split('/').skip(1).try_fold(schema, |node, part| match part.parse::<usize>() {
        // A place in a list: what is said of the list is said of each.
        Ok(_) => Some(node),
        Err(_) => inside(schema, node)["properties"].get(part),
    })
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
pub fn inside<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let node = resolve(schema, node);
    let option = node["anyOf"].as_array().and_then(|options| options.iter().find(|o| o["type"] != "null"));
    if let Some(option) = option {
        return inside(schema, option);
    }
    if node["items"].is_object() { inside(schema, &node["items"]) } else { node }
}

/// What a field holds, for people: `string`, `list of integer`, `word`.
pub fn kind_of(schema: &Value, node: &Value) -> String {
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
pub fn words(node: &Value) -> Vec<(String, Option<&str>)> {
    let plain = node["enum"].as_array().into_iter().flatten().filter_map(|v| Some((v.as_str()?.to_string(), None)));
    let described = node["oneOf"].as_array().into_iter().flatten().flat_map(|option| {
        let meaning = option["description"].as_str();
        let constant = option["const"].as_str().map(|c| (c.to_string(), meaning));
        let listed = option["enum"].as_array().into_iter().flatten().filter_map(move |v| Some((v.as_str()?.to_string(), meaning)));
        constant.into_iter().chain(listed)
    });
    plain.chain(described).collect()
}

/// What a field means, as it is said where it stands, else of its type.
pub fn description(schema: &Value, node: &Value) -> Option<String> {
    let own = node["description"].as_str().or_else(|| resolve(schema, node)["description"].as_str());
    own.or_else(|| inside(schema, node)["description"].as_str()).map(str::to_string)
}
