//! THE table of errors: what went wrong → status, code and body.
//!
//! The body has `error` for people in front of today's OpenStack clients (keystoneauth and
//! openstacksdk print its `message`) and `errors[]` of the API-SIG for programs.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use registry::RegistryError;
use schemas::{FieldError, apply::Conflict};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::StoreError;

/// Result of a handler.
pub type ApiResult<T> = Result<T, ApiError>;

/// Most complaints about fields that one answer holds.
const MAX_CAUSES: usize = 20;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Code {
    Invalid,
    UnknownField,
    UnknownParameter,
    Malformed,
    ImmutableField,
    ResourceVersionRequired,
    ResourceVersionUnknown,
    MicroversionMalformed,
    Unauthorized,
    Forbidden,
    ScopeRequired,
    NotFound,
    KindNotFound,
    MethodNotAllowed,
    MicroversionUnsupported,
    NotAcceptable,
    AlreadyExists,
    Conflict,
    FieldConflict,
    HostClaimed,
    LimitReached,
    Frozen,
    /// The registry's own word.
    Refused(&'static str),
    Expired,
    ContinueExpired,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    RateLimited,
    HeadersTooLarge,
    Internal,
    Unavailable,
    Timeout,
    OutcomeUnknown,
}

/// Every code, those of the registry with them.
#[rustfmt::skip]
pub(crate) const ALL: &[Code] = &[
    Code::Invalid, Code::UnknownField, Code::UnknownParameter, Code::Malformed, Code::ImmutableField, Code::ResourceVersionRequired,
    Code::ResourceVersionUnknown, Code::MicroversionMalformed, Code::Unauthorized, Code::Forbidden, Code::ScopeRequired, Code::NotFound,
    Code::KindNotFound, Code::MethodNotAllowed, Code::MicroversionUnsupported, Code::NotAcceptable, Code::AlreadyExists, Code::Conflict, Code::FieldConflict,
    Code::HostClaimed, Code::LimitReached, Code::Frozen, Code::Refused("applyset-conflict"), Code::Refused("attestation-in-force"),
    Code::Refused("contradicts-spec"), Code::Refused("evacuation-denied"), Code::Refused("member-taken"), Code::Refused("not-from-files"),
    Code::Refused("not-from-gitops"), Code::Refused("operation-in-progress"), Code::Refused("port-taken"), Code::Refused("protected"),
    Code::Refused("referenced"), Code::Refused("wrong-epoch"), Code::Expired, Code::ContinueExpired, Code::PreconditionFailed,
    Code::TooLarge, Code::UnsupportedMediaType, Code::RateLimited, Code::HeadersTooLarge, Code::Internal, Code::Unavailable,
    Code::Timeout, Code::OutcomeUnknown,
];

/// Status, code, title, and the seconds after which to try again.
type Row = (u16, &'static str, &'static str, Option<u32>);

impl Code {
    fn row(self) -> Row {
        match self {
            Code::Invalid => (400, "invalid", "The request is not valid", None),
            Code::UnknownField => (400, "unknown-field", "A field is not known", None),
            Code::UnknownParameter => (400, "unknown-parameter", "A query parameter is not known", None),
            Code::Malformed => (400, "malformed", "The request cannot be read", None),
            Code::ImmutableField => (400, "immutable-field", "A field cannot be changed", None),
            Code::ResourceVersionRequired => (400, "resource-version-required", "The resource version is missing", None),
            Code::ResourceVersionUnknown => (400, "resource-version-unknown", "The resource version is from elsewhere", None),
            Code::MicroversionMalformed => (400, "microversion-malformed", "The API version cannot be read", None),
            Code::Unauthorized => (401, "unauthorized", "Unauthorized", None),
            Code::Forbidden => (403, "forbidden", "Not allowed", None),
            Code::ScopeRequired => (403, "scope-required", "The token has no scope", None),
            Code::NotFound => (404, "not-found", "Not found", None),
            Code::KindNotFound => (404, "kind-not-found", "There is no such kind", None),
            Code::MethodNotAllowed => (405, "method-not-allowed", "The method is not possible here", None),
            Code::MicroversionUnsupported => (406, "microversion-unsupported", "The API version is not spoken here", None),
            Code::NotAcceptable => (406, "not-acceptable", "The answer cannot be given in that form", None),
            Code::AlreadyExists => (409, "already-exists", "The name is taken", None),
            Code::Conflict => (409, "conflict", "The object was changed by someone else", None),
            Code::FieldConflict => (409, "field-conflict", "Field is owned by another manager", None),
            Code::HostClaimed => (409, "host-claimed", "Something else works on the host", None),
            Code::LimitReached => (409, "limit-reached", "A limit is reached", None),
            Code::Frozen => (409, "frozen", "The cluster is frozen", None),
            Code::Refused(code) => (409, code, "Other objects stand against it", None),
            Code::Expired => (410, "expired", "The history asked for is gone", None),
            Code::ContinueExpired => (410, "continue-expired", "The continue token is too old", None),
            Code::PreconditionFailed => (412, "precondition-failed", "A precondition does not hold", None),
            Code::TooLarge => (413, "too-large", "The request is too large", None),
            Code::UnsupportedMediaType => (415, "unsupported-media-type", "The content type does not fit", None),
            Code::RateLimited => (429, "rate-limited", "Too many at once", Some(5)),
            Code::HeadersTooLarge => (431, "headers-too-large", "The request headers are too large", None),
            Code::Internal => (500, "internal", "Internal error", None),
            Code::Unavailable => (503, "unavailable", "Not available now", Some(2)),
            Code::Timeout => (504, "timeout", "It took too long", Some(1)),
            // No Retry-After: a client must look before it repeats.
            Code::OutcomeUnknown => (504, "outcome-unknown", "It is not known whether it was done", None),
        }
    }

    /// Its word in `errors[].code`, after the service's name.
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// HTTP status.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// An error on its way to the client. The answer is rendered where the request id is known.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Problem>);

#[derive(Clone, Debug)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    causes: Vec<Value>,
    resource: Option<Value>,
    /// Further members of `errors[0]`.
    more: Map<String, Value>,
    /// Further members of the body.
    top: Map<String, Value>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    retry_after: Option<u32>,
}

impl ApiError {
    /// An error; `detail` is one full sentence with object, reason and way out.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = code.row().3;
        let (causes, headers) = (Vec::new(), Vec::new());
        let (more, top) = (Map::new(), Map::new());
        ApiError(Box::new(Problem { code, detail: detail.into(), causes, resource: None, more, top, headers, retry_after }))
    }

    /// A wrong query parameter or header.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        RegistryError::Invalid(vec![FieldError::invalid(field, message)]).into()
    }

    /// What went wrong.
    pub fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// A further member of `errors[0]`.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(key.into(), value.into());
        self
    }

    /// A further member of the body.
    pub(crate) fn with_top(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.top.insert(key.into(), value.into());
        self
    }

    /// What was wrong with one object of many, with its complaints about fields.
    pub(crate) fn of_item(&self) -> Value {
        let (_, code, _, _) = self.0.code.row();
        let causes: Vec<&Value> = self.0.causes.iter().take(MAX_CAUSES).collect();
        json!({"code": format!("cloud-manager.{code}"), "message": self.0.detail, "causes": causes})
    }

    /// Adds complaints about fields.
    pub(crate) fn because(mut self, causes: impl IntoIterator<Item = Value>) -> Self {
        self.0.causes.extend(causes);
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    /// The JSON body, also the object of a watch's ERROR.
    pub(crate) fn body(&self, request_id: &str, help_url: Option<&str>) -> Value {
        self.0.body(request_id, help_url)
    }
}

impl Problem {
    /// What went wrong.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn body(&self, request_id: &str, help_url: Option<&str>) -> Value {
        let (status, code, title, _) = self.code.row();
        let plain = json!({"code": status, "title": self.code.status().canonical_reason().unwrap_or(title), "message": self.detail});
        // As keystonemiddleware answers, so that clients know it for what it is.
        if self.code == Code::Unauthorized {
            return json!({ "error": plain });
        }
        let help = help_url.map_or_else(|| format!("urn:cloud-manager:error:{code}"), |url| format!("{url}#{code}"));
        let mut error = json!({
            "request_id": request_id,
            "code": format!("cloud-manager.{code}"),
            "status": status,
            "title": title,
            "detail": self.detail,
            "links": [{"rel": "help", "href": help}],
            "reason": camel_case(code),
            "retryable": self.retry_after.is_some(),
        });
        if let Some(resource) = &self.resource {
            error["resource"] = resource.clone();
        }
        if !self.causes.is_empty() {
            error["causes"] = self.causes.iter().take(MAX_CAUSES).cloned().collect();
        }
        for (key, value) in &self.more {
            error[key] = value.clone();
        }
        let mut body = json!({"error": plain, "errors": [error]});
        for (key, value) in &self.top {
            body[key] = value.clone();
        }
        body
    }

    /// The whole answer.
    pub(crate) fn respond(&self, request_id: &str, help_url: Option<&str>) -> Response {
        let mut response = Response::new(Body::from(self.body(request_id, help_url).to_string()));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        response
    }
}

/// Carries the problem outwards to where the request id is known.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.code.status();
        let problem: Arc<Problem> = Arc::from(self.0);
        response.extensions_mut().insert(problem);
        response
    }
}

fn camel_case(code: &str) -> String {
    let word = |w: &str| w.get(..1).map(|first| first.to_ascii_uppercase() + &w[1..]).unwrap_or_default();
    code.split('-').map(word).collect()
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        let detail = error.to_string();
        match error {
            RegistryError::Invalid(causes) => {
                let all = |reason: &str| !causes.is_empty() && causes.iter().all(|c| c.reason == reason);
                let code = if all("UnknownField") {
                    Code::UnknownField
                } else if all("Immutable") {
                    Code::ImmutableField
                } else {
                    Code::Invalid
                };
                let mut error = ApiError::new(code, detail);
                error.0.causes = causes.iter().map(cause).collect();
                error
            }
            RegistryError::VersionRequired => ApiError::new(Code::ResourceVersionRequired, detail),
            RegistryError::ReadOnly(_) => ApiError::new(Code::MethodNotAllowed, detail).header(header::ALLOW, "GET,HEAD"),
            RegistryError::Precondition(_) => ApiError::new(Code::PreconditionFailed, sentence(detail)),
            RegistryError::FieldConflict { what, conflicts } => {
                let mut error = ApiError::new(Code::FieldConflict, detail);
                error.0.resource = Some(resource(&what, None));
                error.0.causes = conflicts.iter().map(owned).collect();
                error
            }
            RegistryError::Refused { code, message, field, other } => {
                let mut error = ApiError::new(Code::Refused(code), &message);
                error.0.causes = field.map(|f| cause(&FieldError::new(f, &camel_case(code), message))).into_iter().collect();
                if let (Some(uid), "operation-in-progress") = (&other, code) {
                    // For clients of the host actions: what to follow instead.
                    error.0.top.insert("task_id".into(), uid.as_str().into());
                }
                error.0.resource = other.map(|uid| json!({ "uid": uid }));
                error
            }
            RegistryError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let detail = sentence(error.to_string());
        match error {
            StoreError::Conflict { what, current } => {
                let mut error = ApiError::new(Code::Conflict, detail);
                error.0.resource = Some(resource(&what, Some(current)));
                error
            }
            StoreError::AlreadyExists(what) => {
                let mut error = ApiError::new(Code::AlreadyExists, format!("{what} exists already; use another name, or update that object."));
                error.0.resource = Some(resource(&what, None));
                error
            }
            StoreError::NotFound(what) => {
                let mut error = ApiError::new(Code::NotFound, detail);
                error.0.resource = Some(resource(&what, None));
                error
            }
            StoreError::Claimed { .. } => ApiError::new(Code::HostClaimed, detail),
            StoreError::LimitReached { .. } => ApiError::new(Code::LimitReached, detail),
            StoreError::Frozen => ApiError::new(Code::Frozen, detail),
            StoreError::Compacted { .. } => {
                ApiError::new(Code::Expired, format!("{} List again, and watch from the list's resourceVersion.", sentence(detail)))
            }
            StoreError::OutcomeUnknown(_) => {
                tracing::warn!(%error, "a write has an unknown outcome");
                ApiError::new(Code::OutcomeUnknown, "The database did not say whether it took the write; read the object before you repeat it.")
            }
            StoreError::Unavailable(_) | StoreError::Contended(_) | StoreError::ReadOnly(_) | StoreError::Schema(_) | StoreError::Config(_) => {
                // The chain may name files and servers: it goes to the log only.
                tracing::warn!(%error, "the database cannot be used");
                ApiError::new(Code::Unavailable, "The database cannot be used now; nothing was written. Try again later.")
            }
            StoreError::LeaseLost { .. } | StoreError::Corrupt(_) | StoreError::Key(_) => {
                tracing::error!(%error, "a request failed inside");
                internal()
            }
        }
    }
}

fn cause(error: &FieldError) -> Value {
    json!({"field": error.field, "reason": error.reason, "message": error.message})
}

/// A field of somebody else; `value` tells what stands there, and not which.
fn owned(conflict: &Conflict) -> Value {
    let Conflict { field, manager, operation, value } = conflict;
    json!({"field": field, "reason": "FieldConflict", "message": format!("{conflict}."), "manager": manager, "operation": operation, "value": value})
}

/// What a client sees of a fault of ours.
pub(crate) fn internal() -> ApiError {
    ApiError::new(Code::Internal, "Something went wrong inside the server; its log has the cause under this request id.")
}

/// `Kind/name` as a member of an error.
fn resource(what: &str, revision: Option<i64>) -> Value {
    let mut resource = match what.split_once('/') {
        Some((kind, name)) => json!({"kind": kind, "name": name}),
        None => json!({"name": what}),
    };
    if let Some(revision) = revision {
        resource["resourceVersion"] = revision.to_string().into();
    }
    resource
}

fn sentence(text: String) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_speaks_to_people_and_to_programs() {
        let error: ApiError = StoreError::Conflict { what: "Host/c1".into(), current: 7 }.into();
        let body = error.body("req-1", None);
        assert_eq!(body["error"]["code"], 409);
        assert_eq!(body["error"]["message"], body["errors"][0]["detail"]);
        assert_eq!(body["errors"][0]["code"], "cloud-manager.conflict");
        assert_eq!(body["errors"][0]["reason"], "Conflict");
        assert_eq!(body["errors"][0]["resource"], json!({"kind": "Host", "name": "c1", "resourceVersion": "7"}));
        assert_eq!(body["errors"][0]["request_id"], "req-1");
    }

    #[test]
    fn what_the_database_says_of_itself_stays_in_the_log() {
        for error in [
            StoreError::Unavailable("/secret/path".into()),
            StoreError::Corrupt("/secret/path".into()),
            StoreError::OutcomeUnknown("/secret/path".into()),
        ] {
            let error: ApiError = error.into();
            assert!(!error.body("r", None).to_string().contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_write_with_unknown_outcome_invites_no_repeat() {
        let error: ApiError = StoreError::OutcomeUnknown("late".into()).into();
        assert_eq!(error.body("r", None)["errors"][0]["retryable"], false);
        assert!(error.into_response().headers().get(header::RETRY_AFTER).is_none());
    }

    #[test]
    fn all_wrong_fields_are_causes_of_one_error_and_at_most_twenty() {
        let fields = (0..30).map(|i| FieldError::new(format!("spec.f{i}"), "UnknownField", "is not known.")).collect();
        let error: ApiError = RegistryError::Invalid(fields).into();
        let body = error.body("r", None);
        assert_eq!(body["errors"][0]["code"], "cloud-manager.unknown-field");
        assert_eq!(body["errors"][0]["causes"].as_array().map(Vec::len), Some(20));
        assert_eq!(body["errors"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn every_code_has_the_form_the_api_sig_asks_for() {
        for code in [Code::Invalid, Code::Refused("port-taken"), Code::OutcomeUnknown] {
            let (_, suffix, _, _) = code.row();
            assert!(suffix.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{suffix}");
        }
    }
}
