//! Changes of objects. Every one is a compare-and-set: hosts are too dangerous for last writer wins.

use super::{object, preconditions};
use crate::{
    call::{Call, MERGE_PATCH, Media},
    context::Ctx,
    errors::{ApiError, ApiResult, Code},
    reading::shown,
    refusals,
};
use axum::{extract::State, http::StatusCode, response::Response};
use registry::{RegistryError, Writer, parse_object};
use schemas::{DynObject, KindInfo, apply::merge_patch};
use serde_json::{Value, json};
use store::StoreError;

/// Tries of a merge patch that names no version.
const TRIES: usize = 5;

pub(super) fn writable(call: &Call) -> ApiResult<&'static KindInfo> {
    let kind = call.kind()?;
    if kind.read_only { Err(RegistryError::ReadOnly(kind.kind.into()).into()) } else { Ok(kind) }
}

pub(crate) async fn put(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let kind = writable(&call)?;
    let body = call.json(&ctx, Media::Json).await?;
    let (registry, manager) = (call.registry(&ctx), call.manager()?);
    let old = registry.find(kind, call.reference()).await?;
    let matched = preconditions::if_match(&call, &old)?;
    let mut new = parse_object(kind, &body)?;
    if matched && new.metadata.resource_version.is_empty() {
        new.metadata.resource_version = old.metadata.resource_version.clone();
    }
    let asked = new.clone();
    let written = registry.update_by(kind, &old.metadata.name, new, Writer::new(call.user(), &manager), ctx.clock.now()).await;
    if let Err(error) = &written {
        refusals::told(&ctx, &call, kind, &asked, error).await;
    }
    object(StatusCode::OK, &shown(written.map_err(|e| lost(e, matched))?))
}

pub(super) async fn merge(ctx: &Ctx, mut call: Call) -> ApiResult<Response> {
    let kind = writable(&call)?;
    let patch = call.document(ctx, MERGE_PATCH).await?;
    if !patch.is_object() {
        return Err(ApiError::invalid("", "a merge patch of an object is a JSON object."));
    }
    if call.params.has("force") {
        return Err(ApiError::invalid("force", "goes with an apply only: a merge patch takes over what it changes; leave it out."));
    }
    let versioned = patch.pointer("/metadata/resourceVersion").is_some_and(|v| !v.is_null());
    let (registry, manager) = (call.registry(ctx), call.manager()?);
    let mut tries = 1;
    loop {
        let old = registry.find(kind, call.reference()).await?;
        let matched = preconditions::if_match(&call, &old)?;
        let new = parse_object(kind, &patched(&old, &patch)?)?;
        let asked = new.clone();
        match registry.update_by(kind, &old.metadata.name, new, Writer::new(call.user(), &manager), ctx.clock.now()).await {
            Err(RegistryError::Store(StoreError::Conflict { .. })) if !versioned && !matched && tries < TRIES => tries += 1,
            written => {
                if let Err(error) = &written {
                    refusals::told(ctx, &call, kind, &asked, error).await;
                }
                return object(StatusCode::OK, &shown(written.map_err(|e| lost(e, matched))?));
            }
        }
    }
}

/// A race that was lost between If-Match and the write is still a failed If-Match.
pub(super) fn lost(error: RegistryError, matched: bool) -> ApiError {
    match error {
        RegistryError::Store(StoreError::Conflict { what, current }) if matched => {
            ApiError::new(Code::PreconditionFailed, format!("{what} was changed by someone else (now at resourceVersion {current}); read it again."))
        }
        other => other.into(),
    }
}

fn patched(old: &DynObject, patch: &Value) -> ApiResult<Value> {
    let mut value = serde_json::to_value(old).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    merge_patch(&mut value, patch);
    // Taken out of the object by the patch, the version it was read at is still the one to compare with.
    if value["metadata"].is_object() && value["metadata"]["resourceVersion"].is_null() {
        value["metadata"]["resourceVersion"] = json!(old.metadata.resource_version);
    }
    Ok(value)
}
