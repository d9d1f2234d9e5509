//! Refusals, one response per status, and the headers of answers.

use super::{Components, answers};
use crate::errors::{ALL, Code};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What may come of every request, whatever it asks for.
pub(super) const ALWAYS: &[u16] = &[400, 406, 431, 500, 503, 504];
/// What may come of a request that is not open.
pub(super) const WITH_TOKEN: &[u16] = &[401, 403, 429];
/// What may come of a request with a body.
pub(super) const WITH_BODY: &[u16] = &[413, 415];

/// Every status of the table of errors, with its codes.
fn statuses() -> BTreeMap<u16, Vec<&'static str>> {
    let mut statuses: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in ALL {
        statuses.entry(code.status().as_u16()).or_default().push(code.word());
    }
    statuses
}

/// A reference to the refusal of a status.
pub(super) fn reference(status: u16) -> Value {
    json!({"$ref": format!("#/components/responses/{status}")})
}

/// Headers that a status has beside those of every answer.
fn more_headers(status: u16) -> &'static [(&'static str, &'static str)] {
    match status {
        401 => &[("WWW-Authenticate", "wwwAuthenticate")],
        405 => &[("Allow", "allow")],
        415 => &[("Accept-Patch", "acceptPatch")],
        429 | 503 => &[("Retry-After", "retryAfter")],
        504 => &[("Retry-After", "retryAfterMaybe")],
        _ => &[],
    }
}

/// The refusals.
pub(super) fn responses(components: &mut Components) -> Value {
    let error = components.of::<answers::ErrorBody>();
    let unauthorized = components.of::<answers::UnauthorizedBody>();
    let mut all = Map::new();
    for (status, codes) in statuses() {
        let schema = if status == Code::Unauthorized.status().as_u16() { &unauthorized } else { &error };
        let codes = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
        let mut headers = common();
        for (name, key) in more_headers(status) {
            headers.insert(name.to_string(), header(key));
        }
        let body =
            json!({"description": format!("{}: {codes}.", meaning(status)), "headers": headers, "content": {"application/json": {"schema": schema}}});
        all.insert(status.to_string(), body);
    }
    Value::Object(all)
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request is wrong; `causes` names each field or parameter at fault",
        401 => "There is no token, or it is not valid; the body and `WWW-Authenticate` are as keystonemiddleware's",
        403 => "A rule of the policy does not allow it; the error names the rule",
        404 => "There is no such object, or none that the caller may see",
        405 => "The method is not possible here; `Allow` says which are",
        406 => "The microversion is not spoken, and `min_version` and `max_version` say which are; or the answer cannot be given as Accept asks for",
        409 => "Something stands against it: another writer, another owner, or other objects",
        410 => "History that far back is gone; list again",
        412 => "A precondition does not hold; `resource` says the present version",
        413 => "The body is too large",
        415 => "The Content-Type is not one that is taken here",
        429 => "Too many requests or watches of one user",
        431 => "The request headers are too large",
        500 => "A fault of the server; its log has the cause under the request id",
        503 => "The database, Keystone or what else is needed cannot be used now",
        504 => "It took too long; with `outcome-unknown` it may have been done all the same: read before repeating",
        _ => "Refused",
    }
}

/// A reference to a header.
pub(super) fn header(key: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{key}")})
}

/// Headers of every answer.
pub(super) fn common() -> Map<String, Value> {
    [("x-openstack-request-id", "requestId"), ("OpenStack-API-Version", "apiVersion"), ("Vary", "vary")]
        .map(|(name, key)| (name.to_string(), header(key)))
        .into_iter()
        .collect()
}

/// What answers refer to.
pub(super) fn headers() -> Value {
    let text = |required: bool, words: &str| json!({"required": required, "description": words, "schema": {"type": "string"}});
    let pattern = |words: &str, pattern: &str| json!({"required": true, "description": words, "schema": {"type": "string", "pattern": pattern}});
    let seconds = |required: bool, words: &str| json!({"required": required, "description": words, "schema": {"type": "integer", "minimum": 1}});
    json!({
        "requestId": pattern("Id of this request, for the log and the audit.", "^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
        "apiVersion": pattern("The microversion that was spoken.", "^cloud-manager [0-9]+\\.[0-9]+$"),
        "vary": text(true, "What the answer depends on beside its URL."),
        "etag": pattern("Version of what is answered, for If-Match and If-None-Match.", "^\".+\"$"),
        "etagMaybe": text(false, "Version of the object, for If-Match and If-None-Match; absent if nothing was written."),
        "location": text(true, "URL of what was made, or of what to ask next."),
        "link": text(false, "The next page, `rel=\"next\"`; absent on the last."),
        "dryRun": json!({"required": false, "description": "Nothing was written, as was asked for.", "schema": {"type": "string", "enum": ["All"]}}),
        "wwwAuthenticate": text(true, "Where to get a token."),
        "allow": text(true, "The methods that are possible."),
        "acceptPatch": text(false, "The content types that PATCH takes here."),
        "retryAfter": seconds(true, "Seconds after which to try again."),
        "retryAfterMaybe": seconds(false, "Seconds after which to try again; absent if the outcome is unknown."),
    })
}
