//! Reading JSON leniently: a field of a wrong type is a field that is not there.

use serde_json::Value;
use std::collections::BTreeMap;

/// A string that is not empty.
pub(super) fn text(row: &Value, key: &str) -> Option<String> {
    row.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
}

/// A string, or an empty one.
pub(super) fn text_or_empty(row: &Value, key: &str) -> String {
    text(row, key).unwrap_or_default()
}

/// A whole number; a fraction (`10.0`) is cut.
pub(super) fn int(row: &Value, key: &str) -> Option<i64> {
    let value = row.get(key)?;
    value.as_i64().or_else(|| value.as_f64().filter(|f| f.is_finite()).map(|f| f as i64))
}

/// A flag.
pub(super) fn flag(row: &Value, key: &str) -> Option<bool> {
    row.get(key).and_then(Value::as_bool)
}

/// Strings of a list.
pub(super) fn texts(row: &Value, key: &str) -> Vec<String> {
    row.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A map of strings; numbers and flags as their text, other values left out.
pub(super) fn text_map(row: &Value, key: &str) -> BTreeMap<String, String> {
    let entries = row.get(key).and_then(Value::as_object).into_iter().flatten();
    let plain = |v: &Value| match v {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    };
    entries.filter_map(|(k, v)| Some((k.clone(), plain(v)?))).collect()
}

/// The remote's own words in an error body of Nova (`{"badRequest": {"message"}}`), Keystone
/// (`{"error": {"message"}}`) or Placement (`{"errors": [{"detail"}]}`), if it is one.
pub(super) fn fault(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let object = body.as_object()?;
    if let Some(errors) = object.get("errors").and_then(Value::as_array) {
        let first = errors.first()?;
        return text(first, "detail").or_else(|| text(first, "title")).map(|t| short(&t));
    }
    let inner = object.values().find(|v| v.is_object())?;
    text(inner, "message").or_else(|| text(inner, "title")).map(|t| short(&t))
}

/// One line of at most 300 characters.
pub(super) fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_services_error_body_gives_its_words() {
        for (body, words) in [
            (r#"{"badRequest": {"code": 400, "message": "Compute service of c1 is still in use."}}"#, "Compute service of c1 is still in use."),
            (
                r#"{"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}"#,
                "The request you have made requires authentication.",
            ),
            (
                r#"{"errors": [{"status": 409, "title": "Conflict", "detail": "There was a conflict.\n\n no  way  ", "code": "placement.undefined_code"}]}"#,
                "There was a conflict. no way",
            ),
        ] {
            assert_eq!(fault(body.as_bytes()).as_deref(), Some(words));
        }
        assert_eq!(fault(b"<html>502 Bad Gateway</html>"), None);
        assert_eq!(fault(b"[1]"), None);
    }
}
