//! One object.

use super::{object, preconditions, set};
use crate::{
    call::Call,
    context::{Context, Ctx},
    errors::{ApiError, ApiResult, Code},
    reading,
};
use axum::{
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::Response,
};

pub(crate) async fn get(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let kind = call.kind()?;
    wait_for_revision(&ctx, &call).await?;
    let found = reading::one(&ctx, kind, call.reference()).await?;
    if preconditions::not_modified(&call, &found) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        set(&mut response, header::ETAG, &preconditions::etag(&found));
        return Ok(response);
    }
    object(StatusCode::OK, &found)
}

/// `resourceVersion`: unset or 0 is whatever there is; else at least that revision, which another
/// server may have written a moment ago.
pub(crate) async fn wait_for_revision(ctx: &Context, call: &Call) -> ApiResult<()> {
    let Some(wanted) = call.params.number("resourceVersion")? else { return Ok(()) };
    wait_for(ctx, wanted).await
}

pub(crate) async fn wait_for(ctx: &Context, wanted: i64) -> ApiResult<()> {
    let late = |_| {
        ApiError::new(Code::Timeout, format!("This server has not seen resourceVersion {wanted} yet (it is at {}); try again.", ctx.feed.newest()))
    };
    tokio::time::timeout(ctx.config.revision_wait, ctx.feed.reached(wanted)).await.map_err(late)
}
