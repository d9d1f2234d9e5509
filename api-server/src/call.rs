//! One request, with all that a handler asks of it.

use crate::{
    auth::Caller,
    context::{Context, Ctx},
    errors::{ApiError, ApiResult, Code},
    params::Params,
    request_id::RequestId,
};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::{HeaderMap, Method, Uri, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemas::{KindInfo, kinds::KINDS};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

/// Deepest nesting of a JSON body.
const MAX_DEPTH: usize = 64;

/// Address of the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub SocketAddr);

pub(crate) struct Call {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub params: Params,
    /// Set on every route that is not open.
    pub caller: Option<Caller>,
    pub request_id: RequestId,
    pub peer: Option<Peer>,
    path: Vec<(String, String)>,
    /// A body may be read by one task at a time; the lock makes the whole call fit to be shared.
    body: Mutex<Body>,
}

impl FromRequest<Ctx> for Call {
    type Rejection = ApiError;

    async fn from_request(request: Request, ctx: &Ctx) -> ApiResult<Call> {
        let (mut parts, body) = request.into_parts();
        let path = RawPathParams::from_request_parts(&mut parts, ctx).await;
        let path = path.map_err(|_| ApiError::new(Code::Malformed, "The path of the URL is not valid UTF-8."))?;
        Ok(Call {
            path: path.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            params: parts.extensions.remove().unwrap_or_default(),
            caller: parts.extensions.remove(),
            request_id: parts.extensions.get().cloned().unwrap_or_else(RequestId::new),
            peer: parts.extensions.get().copied(),
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body: Mutex::new(body),
        })
    }
}

/// What bodies a handler takes.
#[derive(Clone, Copy)]
pub(crate) enum Media {
    Json,
    MergePatch,
    /// Of no type, any type, or nothing at all: the product's host actions.
    Lax,
    /// Nothing, or JSON.
    Optional,
}

impl Call {
    /// A part of the path.
    pub fn part(&self, name: &str) -> &str {
        self.path.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
    }

    /// The name or uid in the path.
    pub fn reference(&self) -> &str {
        self.part("ref")
    }

    /// The kind whose plural is in the path.
    pub fn kind(&self) -> ApiResult<&'static KindInfo> {
        let plural = self.part("plural");
        KINDS.iter().find(|k| k.plural == plural).ok_or_else(|| {
            let known = KINDS.iter().map(|k| k.plural).collect::<Vec<_>>().join(", ");
            ApiError::new(Code::KindNotFound, format!("There is no kind {plural:?}; known are {known}."))
        })
    }

    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// Name of the user, for the record; the id if there is no name.
    pub fn user(&self) -> Option<&str> {
        let info = &self.caller.as_ref()?.info;
        Some(if info.user_name.is_empty() { &info.user_id } else { &info.user_name })
    }

    /// Reads the body as JSON; `Null` if there is none where none is needed.
    pub async fn json(&mut self, ctx: &Context, media: Media) -> ApiResult<Value> {
        let bytes = self.bytes(ctx.config.max_body_bytes).await?;
        if bytes.is_empty() && matches!(media, Media::Lax | Media::Optional) {
            return Ok(Value::Null);
        }
        self.check_type(media)?;
        parse_json(&bytes)
    }

    async fn bytes(&mut self, max: usize) -> ApiResult<Vec<u8>> {
        let body = std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner));
        match Limited::new(body, max).collect().await {
            Ok(whole) => Ok(whole.to_bytes().into()),
            Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(Code::TooLarge, format!("The body is larger than {max} bytes."))),
            Err(_) => Err(ApiError::new(Code::Malformed, "The body broke off before its end.")),
        }
    }

    fn check_type(&self, media: Media) -> ApiResult<()> {
        let wanted = match media {
            Media::Lax => return Ok(()),
            Media::Json | Media::Optional => "application/json",
            Media::MergePatch => "application/merge-patch+json",
        };
        let sent = self.header(header::CONTENT_TYPE).unwrap_or_default();
        let essence = sent.split(';').next().unwrap_or_default().trim();
        if self.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(ApiError::new(Code::UnsupportedMediaType, "Bodies must come without Content-Encoding."));
        }
        if essence.eq_ignore_ascii_case(wanted) {
            return Ok(());
        }
        let error = ApiError::new(Code::UnsupportedMediaType, format!("Content-Type is {sent:?}; {} takes {wanted} here.", self.method));
        Err(match media {
            Media::MergePatch => error.header(header::HeaderName::from_static("accept-patch"), wanted),
            _ => error,
        })
    }
}

fn parse_json(bytes: &[u8]) -> ApiResult<Value> {
    if bytes.is_empty() {
        return Err(ApiError::new(Code::Malformed, "The request needs a JSON body."));
    }
    if depth(bytes) > MAX_DEPTH {
        return Err(ApiError::new(Code::Malformed, format!("The JSON body is nested deeper than {MAX_DEPTH} levels.")));
    }
    serde_json::from_slice(bytes).map_err(|e| ApiError::new(Code::Malformed, format!("The body is not JSON: {e}.")))
}

/// Deepest nesting of brackets outside strings; read before parsing, so that parsing is never deep.
fn depth(bytes: &[u8]) -> usize {
    let (mut deepest, mut now, mut quoted, mut escaped) = (0usize, 0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The URL of this service as the client sees it, without a slash at the end: from the
/// configuration, a trusted proxy's headers, or the request itself.
pub(crate) fn base_url(ctx: &Context, call: &Call) -> String {
    if let Some(base) = &ctx.config.public_endpoint {
        let base = base.trim_end_matches('/');
        return base.strip_suffix("/v1").unwrap_or(base).to_string();
    }
    let trusted = call.peer.is_some_and(|p| ctx.config.trusted_proxies.contains(&p.0.ip().to_canonical()));
    let (mut scheme, mut host) = ("http".to_string(), None);
    if trusted {
        // Of several proxies the first in the list is the one nearest to the client.
        let first = |name: &'static str| call.header(header::HeaderName::from_static(name)).and_then(|v| v.split(',').next()).map(str::trim);
        let forwarded = first("forwarded").unwrap_or_default();
        let member = |key: &str| {
            let pairs = forwarded.split(';').filter_map(|p| p.trim().split_once('='));
            let found = pairs.into_iter().find(|(k, _)| k.eq_ignore_ascii_case(key));
            found.map(|(_, v)| v.trim_matches('"'))
        };
        if member("proto").or_else(|| first("x-forwarded-proto")).is_some_and(|p| p.eq_ignore_ascii_case("https")) {
            scheme = "https".into();
        }
        host = member("host").or_else(|| first("x-forwarded-host")).map(str::to_string);
    }
    let host = host.or_else(|| call.header(header::HOST).map(str::to_string)).or_else(|| call.uri.authority().map(ToString::to_string));
    // Goes into links: nothing but a host and a port may pass.
    let host = host.filter(|h| h.parse::<axum::http::uri::Authority>().is_ok_and(|a| !a.as_str().contains('@')));
    format!("{scheme}://{}", host.unwrap_or_else(|| ctx.config.listen.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        assert_eq!(depth(br#"{"a":[1,{"b":"]]{{[[\"[["}]}"#), 3);
        assert_eq!(depth(b"[".repeat(65).as_slice()), 65);
        assert_eq!(parse_json("[".repeat(100_000).as_bytes()).unwrap_err().code(), Code::Malformed);
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_without_its_text() {
        let error = parse_json(br#"{"password": "hunter2" "x"}"#).unwrap_err();
        let body = error.body("r", None).to_string();
        assert!(body.contains("line 1") && !body.contains("hunter2"), "{body}");
    }
}
