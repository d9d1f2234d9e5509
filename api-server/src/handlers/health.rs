//! `/healthcheck` as oslo.middleware has it, `/livez` and `/readyz` as Kubernetes has them.

use super::json;
use crate::{
    call::Call,
    context::{Context, Ctx},
    errors::ApiResult,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use serde_json::json;
use std::time::Duration;

/// Whoever may read the lease may read who leads, and what is wrong.
const DETAILS: &str = "cloud-manager:leases:get";

/// Load balancers ask often and wait little.
const DATABASE_DEADLINE: Duration = Duration::from_secs(2);

async fn database(ctx: &Context) -> Result<(), &'static str> {
    match tokio::time::timeout(DATABASE_DEADLINE, ctx.registry.store().revision()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "health check: the database cannot be used");
            Err("the database cannot be used")
        }
        Err(_) => Err("the database does not answer"),
    }
}

pub(crate) async fn healthcheck(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let (status, reason) = match database(&ctx).await {
        Ok(()) if call.method == Method::HEAD => (StatusCode::NO_CONTENT, "OK"),
        Ok(()) => (StatusCode::OK, "OK"),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    };
    if call.header(header::ACCEPT).is_some_and(|a| a.contains("application/json")) {
        return json(status, &json!({"detailed": false, "reasons": [reason]}));
    }
    let mut response = Response::new(Body::from(reason));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

/// That this is answered at all is the news.
pub(crate) async fn livez() -> ApiResult<Response> {
    json(StatusCode::OK, &json!({"ok": true}))
}

/// The details are for this machine and for those who may read everything.
pub(crate) async fn readyz(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let readiness = ctx.health.ready().await;
    let status = if readiness.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let local = call.peer.is_some_and(|p| p.0.ip().to_canonical().is_loopback()) && !call.headers.contains_key("x-forwarded-for");
    if local || may_read(&ctx, &call).await { json(status, &readiness) } else { json(status, &json!({"ok": readiness.ok})) }
}

async fn may_read(ctx: &Context, call: &Call) -> bool {
    if !call.headers.contains_key("x-auth-token") {
        return false;
    }
    match ctx.auth.caller(&call.headers, &call.method, call.uri.path()).await {
        Ok(caller) => ctx.policies.current().decide(DETAILS, &caller.info).is_ok(),
        Err(_) => false,
    }
}
