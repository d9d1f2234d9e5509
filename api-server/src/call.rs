//! One request, with all that a handler asks of it.

use crate::{
    audit,
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
use registry::{Registry, RegistryError};
use schemas::{
    KindInfo,
    apply::{check_manager, managed::LONGEST_MANAGER},
    kinds::KINDS,
    manifest::{self, Document},
};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

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
    /// Everything is done but the write.
    pub is_dry: bool,
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
        let params: Params = parts.extensions.remove().unwrap_or_default();
        Ok(Call {
            is_dry: params.dry_run()?,
            path: path.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            params,
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
    /// Of no type, any type, or nothing at all: the product's host actions.
    Lax,
    /// Nothing, or JSON.
    Optional,
}

pub(crate) const JSON: &str = "application/json";
/// RFC 9512, and what it was called before.
pub(crate) const YAML: &[&str] = &["application/yaml", "application/x-yaml"];
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const APPLY_JSON: &str = "application/apply-patch+json";
pub(crate) const APPLY_YAML: &str = "application/apply-patch+yaml";

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

    /// Whether the caller may do what a rule is about, beside the one that the route asked for.
    pub fn allowed(&self, ctx: &Context, rule: &str) -> ApiResult<()> {
        let caller = self.caller.as_ref().ok_or_else(|| ApiError::new(Code::Forbidden, "Nobody knows who asks."))?;
        ctx.policies.current().decide(rule, &caller.info)
    }

    /// The manager that owns what is written: `fieldManager`, else the first word of the client's User-Agent.
    pub fn manager(&self) -> ApiResult<String> {
        if let Some(name) = self.params.get("fieldManager") {
            check_manager(name).map_err(RegistryError::from)?;
            return Ok(name.into());
        }
        let agent = self.header(header::USER_AGENT).unwrap_or_default();
        let word: String = agent.split(['/', ' ', '\t']).next().unwrap_or_default().chars().take(LONGEST_MANAGER).collect();
        Ok(if check_manager(&word).is_ok() { word } else { "unknown".into() })
    }

    /// Where to write: with `dryRun=All` to where nothing lands.
    pub fn registry(&self, ctx: &Context) -> Registry {
        if self.is_dry { ctx.registry.dry() } else { ctx.registry.clone() }
    }

    /// Reads the body as JSON; `Null` if there is none where none is needed.
    pub async fn json(&mut self, ctx: &Context, media: Media) -> ApiResult<Value> {
        let bytes = self.bytes(ctx.config.max_body_bytes).await?;
        match media {
            Media::Lax | Media::Optional if bytes.is_empty() => return Ok(Value::Null),
            Media::Lax => {}
            Media::Json | Media::Optional => {
                self.media(&[JSON])?;
            }
        }
        parse_json(&bytes)
    }

    /// Reads the body as an object that is written as its type says, JSON or YAML.
    pub async fn document(&mut self, ctx: &Context, media: &str) -> ApiResult<Value> {
        let bytes = self.bytes(ctx.config.max_body_bytes).await?;
        if media != APPLY_YAML {
            return parse_json(&bytes);
        }
        let text = utf8(&bytes)?;
        manifest::yaml(text).map_err(|e| ApiError::new(Code::Malformed, format!("The body cannot be read as YAML: {e}.")))
    }

    /// Reads the body as manifests, each with its place or what is wrong with it. A text that is parted into far more than `most`
    /// documents is not read.
    pub async fn manifests(&mut self, ctx: &Context, most: usize) -> ApiResult<Vec<Document>> {
        let bytes = self.bytes(ctx.config.max_body_bytes).await?;
        let text = utf8(&bytes)?;
        let parts = text.lines().filter(|line| line.starts_with("---") || line.starts_with("...")).count();
        if parts > 2 * most {
            return Err(ApiError::invalid("", format!("the body is parted into {parts} documents; send at most {most} at once.")));
        }
        Ok(manifest::parse("the body", text))
    }

    async fn bytes(&mut self, max: usize) -> ApiResult<Vec<u8>> {
        let body = std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner));
        match Limited::new(body, max).collect().await {
            Ok(whole) => {
                let bytes = whole.to_bytes();
                audit::body_read(&bytes);
                Ok(bytes.into())
            }
            Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(Code::TooLarge, format!("The body is larger than {max} bytes."))),
            Err(_) => Err(ApiError::new(Code::Malformed, "The body broke off before its end.")),
        }
    }

    /// The type of the body, which must be one of these.
    pub fn media(&self, known: &[&'static str]) -> ApiResult<&'static str> {
        let sent = self.header(header::CONTENT_TYPE).unwrap_or_default();
        let essence = sent.split(';').next().unwrap_or_default().trim();
        if self.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(ApiError::new(Code::UnsupportedMediaType, "Bodies must come without Content-Encoding."));
        }
        if let Some(media) = known.iter().find(|known| essence.eq_ignore_ascii_case(known)) {
            return Ok(media);
        }
        let known = known.join(", ");
        let error = ApiError::new(Code::UnsupportedMediaType, format!("Content-Type is {sent:?}; {} takes {known} here.", self.method));
        Err(if self.method == Method::PATCH { error.header(header::HeaderName::from_static("accept-patch"), &known) } else { error })
    }
}

fn utf8(bytes: &[u8]) -> ApiResult<&str> {
    std::str::from_utf8(bytes).map_err(|e| ApiError::new(Code::Malformed, format!("The body is no UTF-8 after byte {}.", e.valid_up_to())))
}

fn parse_json(bytes: &[u8]) -> ApiResult<Value> {
    if bytes.is_empty() {
        return Err(ApiError::new(Code::Malformed, "The request needs a JSON body."));
    }
    manifest::json(bytes).map_err(|e| ApiError::new(Code::Malformed, format!("The body cannot be read as JSON: {e}.")))
}

/// The URL of this service as the client sees it, without a slash at the end: from the
/// configuration, a trusted proxy's headers, or the request itself.
pub(crate) fn base_url(ctx: &Context, call: &Call) -> String {
    if let Some(base) = &ctx.config.public_endpoint {
        let base = base.trim_end_matches('/');
        return base.strip_suffix("/v1").unwrap_or(base).to_string();
    }
    let trusted = call.peer.is_some_and(|p| ctx.config.trusted_proxies.contains(&p.0.ip().to_canonical()));
    let (mut scheme, mut host) = (if ctx.config.tls.is_some() { "https" } else { "http" }, None);
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
            scheme = "https";
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
    fn a_body_that_is_nested_too_deep_or_says_a_thing_twice_is_refused() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse_json(nested(64).as_bytes()).is_ok());
        assert_eq!(parse_json(nested(65).as_bytes()).unwrap_err().code(), Code::Malformed);
        let twice = parse_json(br#"{"spec": {"power": "On", "power": "Off"}}"#).unwrap_err();
        assert!(format!("{twice:?}").contains("power"));
        assert_eq!(parse_json("[".repeat(100_000).as_bytes()).unwrap_err().code(), Code::Malformed);
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_without_its_text() {
        let error = parse_json(br#"{"password": "hunter2" "x"}"#).unwrap_err();
        let body = error.body("r", None).to_string();
        assert!(body.contains("line 1") && !body.contains("hunter2"), "{body}");
    }
}
