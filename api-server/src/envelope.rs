//! What surrounds every request: its id, its version, its time limit, the log, the counters, and
//! the rendering of errors, also of panics.

use crate::{
    context::Ctx,
    errors::{ApiError, Code, Problem, internal},
    request_id::{self, RequestId},
    router::DRY_RUN,
    version,
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use engine::metrics::RequestLabels;
use futures::FutureExt;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};
use tracing::Instrument;

/// Most bytes of request headers.
const MAX_HEADERS: usize = 32 * 1024;

/// The outermost layer.
pub(crate) async fn envelope(State(ctx): State<Ctx>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::new();
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let global_id = request_id::global(request.headers()).unwrap_or_default().to_string();
    let span = tracing::info_span!("request", id = id.0, global_id, user = tracing::field::Empty);
    request.extensions_mut().insert(id.clone());

    let head = method == Method::HEAD;
    let outcome = async {
        if header_bytes(request.headers()) > MAX_HEADERS {
            return (
                None,
                ApiError::new(Code::HeadersTooLarge, format!("The request headers together are larger than {MAX_HEADERS} bytes.")).into_response(),
            );
        }
        // Who asks for the range of versions must not be refused for not knowing it.
        let discovery = matches!(path.as_str(), "/" | "/v1" | "/v1/");
        let version = match version::negotiate(request.headers()) {
            Ok(version) => version,
            Err(_) if discovery => version::MIN_VERSION,
            Err(error) => return (None, error.into_response()),
        };
        let work = AssertUnwindSafe(next.run(request)).catch_unwind();
        let response = match tokio::time::timeout(ctx.config.request_timeout, work).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                tracing::error!(%method, path, "a request panicked");
                internal().into_response()
            }
            Err(_) => late(&ctx, &method).into_response(),
        };
        (Some(version), response)
    };
    let (version, response) = outcome.instrument(span.clone()).await;

    let mut response = match response.extensions().get::<Arc<Problem>>() {
        Some(problem) => {
            let mut rendered = problem.respond(&id.0, ctx.config.help_url.as_deref());
            for name in [header::ALLOW, DRY_RUN] {
                if let Some(value) = response.headers().get(&name) {
                    rendered.headers_mut().insert(name, value.clone());
                }
            }
            if head { rendered.map(|_| axum::body::Body::empty()) } else { rendered }
        }
        None => response,
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(request_id::HEADER, value);
    }
    let spoken = version.unwrap_or(version::MIN_VERSION);
    if let Ok(value) = HeaderValue::from_str(&format!("{} {spoken}", version::SERVICE_TYPE)) {
        headers.insert(version::HEADER, value);
    }
    // A handler that looked at Accept has said so.
    let vary = if headers.contains_key(header::VARY) { "OpenStack-API-Version, Accept" } else { "OpenStack-API-Version" };
    headers.insert(header::VARY, HeaderValue::from_static(vary));
    headers.insert(header::SERVER, HeaderValue::from_static(concat!("cloud-manager/", env!("CARGO_PKG_VERSION"))));

    let status = response.status().as_u16();
    ctx.metrics.requests.get_or_create(&RequestLabels { method: label(&method), status }).inc();
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| {
        if method.is_safe() && status < 500 {
            tracing::debug!(%method, path, status, millis, "answered");
        } else {
            tracing::info!(%method, path, status, millis, "answered");
        }
    });
    response
}

fn late(ctx: &Ctx, method: &Method) -> ApiError {
    let seconds = ctx.config.request_timeout.as_secs();
    if method.is_safe() {
        ApiError::new(Code::Timeout, format!("The request was not answered within {seconds} s; try again."))
    } else {
        ApiError::new(Code::OutcomeUnknown, format!("The request was not finished within {seconds} s; read the object before you repeat it."))
    }
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// A client's made-up methods must not become made-up counters.
fn label(method: &Method) -> String {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    if known.contains(method) { method.to_string() } else { "other".into() }
}
