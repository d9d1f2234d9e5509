//! The guests of a host, as Nova shows them.

use super::json;
use crate::{
    call::Call,
    context::Ctx,
    errors::{ApiError, ApiResult, Code},
};
use axum::{extract::State, http::StatusCode, response::Response};
use schemas::kinds;

/// As Nova shows them now.
pub(crate) async fn guests(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let host = host(&ctx, &call).await?;
    // Silence is never "empty": without an answer there is no list.
    let unknown =
        |why: String| ApiError::new(Code::Unavailable, format!("The guests of Host {host} are not known now: {}.", why.trim_end_matches('.')));
    json(StatusCode::OK, &ctx.guests.guests(&host).await.map_err(unknown)?)
}

/// What would become of them if the host were dead now. Nothing is written and nothing is sent.
pub(crate) async fn evacuation_plan(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let host = host(&ctx, &call).await?;
    let unknown = |why: String| {
        ApiError::new(Code::Unavailable, format!("Where the guests of Host {host} would go is not known now: {}.", why.trim_end_matches('.')))
    };
    json(StatusCode::OK, &ctx.guests.evacuation_plan(&host).await.map_err(unknown)?)
}

async fn host(ctx: &Ctx, call: &Call) -> ApiResult<String> {
    let kind = kinds::find("Host").ok_or_else(crate::errors::internal)?;
    Ok(ctx.registry.find(kind, call.reference()).await?.metadata.name)
}
