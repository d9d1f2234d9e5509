//! The guests of a host, as Nova shows them.

use super::json;
use crate::{
    call::Call,
    context::Ctx,
    errors::{ApiError, ApiResult, Code},
};
use axum::{extract::State, http::StatusCode, response::Response};
use schemas::kinds;

pub(crate) async fn guests(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let kind = kinds::find("Host").ok_or_else(crate::errors::internal)?;
    let host = ctx.registry.find(kind, call.reference()).await?.metadata.name;
    // Silence is never "empty": without an answer there is no list.
    let unknown =
        |why: String| ApiError::new(Code::Unavailable, format!("The guests of Host {host} are not known now: {}.", why.trim_end_matches('.')));
    json(StatusCode::OK, &ctx.guests.guests(&host).await.map_err(unknown)?)
}
