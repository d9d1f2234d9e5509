//! Views of one object: its status, and the events about it.

use super::{get, json};
use crate::{call::Call, context::Ctx, errors::ApiResult, reading};
use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::json;

/// Events of one object that are shown.
const EVENTS: i64 = 500;

/// The whole object, as Kubernetes answers; controllers alone write its status.
pub(crate) async fn status(ctx: State<Ctx>, call: Call) -> ApiResult<Response> {
    get::get(ctx, call).await
}

pub(crate) async fn events(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let object = reading::one(&ctx, call.kind()?, call.reference()).await?;
    let items = ctx.registry.store().events(Some(&object.metadata.uid), EVENTS).await?;
    json(StatusCode::OK, &json!({"apiVersion": schemas::API_VERSION, "kind": "EventList", "metadata": {}, "items": items}))
}
