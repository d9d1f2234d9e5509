//! What kinds there are and how their objects look.

use super::json;
use crate::{
    call::Call,
    errors::{ApiError, ApiResult, Code},
};
use axum::{http::StatusCode, response::Response};
use schemas::kinds::{Cell, KINDS};
use serde_json::{Value, json};

/// Where a column comes from, so that a client can print a kind it was not built with.
fn cell(cell: Cell) -> Value {
    match cell {
        Cell::At(pointer) => json!({"path": pointer}),
        Cell::Condition(name) => json!({"condition": name, "value": "status"}),
        Cell::Reason(name) => json!({"condition": name, "value": "reason"}),
        Cell::Age => json!({"age": "/metadata/creationTimestamp"}),
    }
}

pub(crate) async fn kinds() -> ApiResult<Response> {
    let kinds: Vec<Value> = KINDS
        .iter()
        .map(|k| {
            let columns: Vec<Value> = k.columns.iter().map(|c| json!({"name": c.name, "wide": c.wide, "from": cell(c.cell)})).collect();
            json!({"kind": k.kind, "plural": k.plural, "short": k.short, "oneShot": k.one_shot, "readOnly": k.read_only, "columns": columns})
        })
        .collect();
    json(StatusCode::OK, &json!({"apiVersion": schemas::API_VERSION, "build": env!("CARGO_PKG_VERSION"), "kinds": kinds}))
}

pub(crate) async fn schema(call: Call) -> ApiResult<Response> {
    let name = call.part("kind");
    match KINDS.iter().find(|k| k.kind == name) {
        Some(kind) => json(StatusCode::OK, &(kind.schema)()),
        None => Err(ApiError::new(Code::KindNotFound, format!("There is no kind {name:?}; GET /v1/kinds lists them."))),
    }
}
