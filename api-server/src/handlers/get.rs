//! One object.

use super::{json, object, preconditions, set};
use crate::{
    call::Call,
    context::{Context, Ctx},
    errors::{ApiError, ApiResult, Code},
    reading::{self, Item},
    table::{self, Shape, Table},
};
use axum::{
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use serde::Serialize;
use serde_json::{Value, json};

/// What is said of a table of one row.
#[derive(Serialize)]
struct About {
    metadata: Value,
}

pub(crate) async fn get(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let (kind, shape) = (call.kind()?, Shape::asked(&call)?);
    wait_for_revision(&ctx, &call).await?;
    let found = reading::one(&ctx, kind, call.reference()).await?;
    if preconditions::not_modified(&call, &found) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        set(&mut response, header::ETAG, &preconditions::etag(&found));
        return Ok(response);
    }
    let mut response = match shape {
        Shape::Objects => object(StatusCode::OK, &found)?,
        Shape::Table => {
            let about = About { metadata: json!({"resourceVersion": found.metadata.resource_version}) };
            let etag = preconditions::etag(&found);
            let mut response = json(StatusCode::OK, &Table::of(kind, vec![Item::Object(found)], ctx.clock.now(), about))?;
            set(&mut response, header::CONTENT_TYPE, table::MEDIA);
            set(&mut response, header::ETAG, &etag);
            response
        }
    };
    set(&mut response, header::VARY, "Accept");
    Ok(response)
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
