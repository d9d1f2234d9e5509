//! What a client learns before it has a token.

use super::{json, set};
use crate::{
    call::{Call, base_url},
    context::Ctx,
    errors::ApiResult,
    version::{MAX_VERSION, MIN_VERSION},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};

/// An entry of the version list; the API-SIG's schema forbids further members.
/// keystoneauth repairs a wrong host by the last path segment of `self`: it must be `v1/`.
fn entry(base: &str) -> Value {
    json!({
        "id": format!("v{MIN_VERSION}"),
        "status": "CURRENT",
        "min_version": MIN_VERSION.to_string(),
        "max_version": MAX_VERSION.to_string(),
        "links": [{"rel": "self", "href": format!("{base}/v1/")}, {"rel": "collection", "href": format!("{base}/")}],
    })
}

pub(crate) async fn root(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let base = base_url(&ctx, &call);
    let status = StatusCode::from_u16(ctx.config.root_status).unwrap_or(StatusCode::MULTIPLE_CHOICES);
    let mut response = json(status, &json!({"versions": [entry(&base)]}))?;
    set(&mut response, header::LOCATION, &format!("{base}/v1/"));
    Ok(response)
}

pub(crate) async fn version(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    json(StatusCode::OK, &json!({"version": entry(&base_url(&ctx, &call))}))
}

/// As the product documents it: a version of the API, the same in every release.
pub(crate) async fn info() -> ApiResult<Response> {
    json(StatusCode::OK, &json!({"info": {"version": "2.0"}}))
}
