//! ETag, If-Match, If-None-Match (RFC 9110, 13.1). The ETag is the resource version in quotes.

use crate::{
    call::Call,
    errors::{ApiError, ApiResult, Code},
};
use axum::http::header;
use schemas::DynObject;

pub(crate) fn etag(object: &DynObject) -> String {
    format!("\"{}\"", object.metadata.resource_version)
}

/// Whether one of the listed tags is the one that is wanted. A weak tag proves nothing where `strong` is asked for.
fn listed(tags: &str, wanted: &str, strong: bool) -> bool {
    tags.split(',').map(str::trim).any(|tag| {
        let tag = if strong { tag } else { tag.strip_prefix("W/").unwrap_or(tag) };
        tag == "*" || tag == wanted
    })
}

/// Whether a condition is given, be it readable or not.
pub(crate) fn is_conditional(call: &Call) -> bool {
    call.headers.contains_key(header::IF_MATCH)
}

/// 412 unless If-Match is absent or names the object's version; tells whether it was given.
pub(crate) fn if_match(call: &Call, object: &DynObject) -> ApiResult<bool> {
    match call.header(header::IF_MATCH) {
        None if !is_conditional(call) => Ok(false),
        Some(tags) if listed(tags, &etag(object), true) => Ok(true),
        // What cannot be read names no version: it must not be taken for no condition at all.
        _ => Err(ApiError::new(Code::PreconditionFailed, format!("{} is at resourceVersion {}, which If-Match does not name; read it again.", object.id(), object.metadata.resource_version))
            .with("resource", serde_json::json!({"kind": object.kind, "name": object.metadata.name, "uid": object.metadata.uid, "resourceVersion": object.metadata.resource_version}))),
    }
}

/// Whether the client has this version already.
pub(crate) fn not_modified(call: &Call, object: &DynObject) -> bool {
    is_known(call, &etag(object))
}

/// The same for what is no object.
pub(crate) fn is_known(call: &Call, etag: &str) -> bool {
    call.header(header::IF_NONE_MATCH).is_some_and(|tags| listed(tags, etag, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_tag_is_good_for_reading_and_not_for_writing() {
        let mut object = DynObject::new("Host", "c1", serde_json::json!({}));
        object.metadata.resource_version = "7".into();
        for (tags, strong, weak) in [
            ("\"7\"", true, true),
            ("W/\"7\"", false, true),
            ("\"6\", \"7\"", true, true),
            ("*", true, true),
            ("7", false, false),
            ("\"6\"", false, false),
        ] {
            assert_eq!((listed(tags, &etag(&object), true), listed(tags, &etag(&object), false)), (strong, weak), "{tags}");
        }
    }
}
