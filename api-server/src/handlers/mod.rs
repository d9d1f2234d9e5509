//! One file per verb. A handler decodes, calls `registry` or `reading`, and answers.

pub(crate) mod apply;
pub(crate) mod apply_sets;
pub(crate) mod batch;
pub(crate) mod create;
pub(crate) mod decisions;
pub(crate) mod delete;
pub(crate) mod discovery;
pub(crate) mod evidence;
mod foresee;
pub(crate) mod get;
pub(crate) mod guests;
pub(crate) mod health;
pub(crate) mod legacy;
pub(crate) mod list;
pub(crate) mod openapi;
mod preconditions;
pub(crate) mod schemas;
pub(crate) mod status;
pub(crate) mod tasks;
pub(crate) mod update;
pub(crate) mod watch;
pub(crate) mod whoami;

use crate::errors::{ApiResult, internal};
use ::schemas::{DynObject, kinds};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

/// A JSON answer.
fn json(status: StatusCode, body: &impl Serialize) -> ApiResult<Response> {
    let text = serde_json::to_vec(body).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        internal()
    })?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// An object, with its version as ETag.
fn object(status: StatusCode, object: &DynObject) -> ApiResult<Response> {
    let mut response = json(status, object)?;
    // What would be new has no version yet.
    if !object.metadata.resource_version.is_empty() {
        set(&mut response, header::ETAG, &preconditions::etag(object));
    }
    Ok(response)
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Path of an object.
fn path_of(object: &DynObject) -> String {
    let plural = kinds::find(&object.kind).map_or("objects", |k| k.plural);
    format!("/v1/{plural}/{}", crate::params::escape(&object.metadata.name))
}
