//! The API in OpenAPI 3.1, for whoever asks.

use super::{preconditions, set};
use crate::{call::Call, errors::ApiResult, openapi::document};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

pub(crate) async fn openapi(call: Call) -> ApiResult<Response> {
    let document = document();
    let mut response = Response::new(Body::empty());
    if preconditions::is_known(&call, &document.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::from(document.text.as_str());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    set(&mut response, header::ETAG, &document.etag);
    Ok(response)
}
