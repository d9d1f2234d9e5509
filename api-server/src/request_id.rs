//! Request ids: one of our own for each request, and the caller's as the global one.

use axum::http::{HeaderMap, HeaderName};

/// On every answer; on a request it is the caller's global id.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// The id of this request, `req-<uuid4>`.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub String);

impl RequestId {
    pub fn new() -> Self {
        RequestId(format!("req-{}", uuid::Uuid::new_v4()))
    }
}

/// The id that the caller sent, if it has the form `req-<uuid>`; anything else could forge log lines.
pub(crate) fn global(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    text.strip_prefix("req-").is_some_and(schemas::field::is_uuid).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_global_id_is_taken() {
        let mut headers = HeaderMap::new();
        assert_eq!(global(&headers), None);
        for (text, good) in
            [("req-not-a-uuid", false), ("0b1c8e3e-0d0c-4a5b-9a52-3c7f3a1d2e4f", false), ("req-0b1c8e3e-0d0c-4a5b-9a52-3c7f3a1d2e4f", true)]
        {
            headers.insert(HEADER, text.parse().unwrap());
            assert_eq!(global(&headers).is_some(), good, "{text}");
        }
    }
}
