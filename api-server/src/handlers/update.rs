//! Changes of objects. Every one is a compare-and-set: hosts are too dangerous for last writer wins.

use super::{object, preconditions};
use crate::{
    call::{Call, Media},
    context::Ctx,
    errors::{ApiError, ApiResult, Code},
    reading::shown,
    refusals,
};
use axum::{extract::State, http::StatusCode, response::Response};
use registry::{RegistryError, parse_object};
use schemas::{DynObject, KindInfo};
use serde_json::{Value, json};
use store::StoreError;

/// Tries of a merge patch that names no version.
const TRIES: usize = 5;

fn writable(call: &Call) -> ApiResult<&'static KindInfo> {
    let kind = call.kind()?;
    if kind.read_only { Err(RegistryError::ReadOnly(kind.kind.into()).into()) } else { Ok(kind) }
}

pub(crate) async fn put(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let kind = writable(&call)?;
    let body = call.json(&ctx, Media::Json).await?;
    let old = ctx.registry.find(kind, call.reference()).await?;
    let matched = preconditions::if_match(&call, &old)?;
    let mut new = parse_object(kind, &body)?;
    if matched && new.metadata.resource_version.is_empty() {
        new.metadata.resource_version = old.metadata.resource_version.clone();
    }
    let asked = new.clone();
    let written = ctx.registry.update(kind, &old.metadata.name, new, ctx.clock.now()).await;
    if let Err(error) = &written {
        refusals::refused(&ctx, kind, &asked, call.user(), error).await;
    }
    object(StatusCode::OK, &shown(written.map_err(|e| lost(e, matched))?))
}

pub(crate) async fn patch(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let kind = writable(&call)?;
    let patch = call.json(&ctx, Media::MergePatch).await?;
    if !patch.is_object() {
        return Err(ApiError::invalid("", "a merge patch of an object is a JSON object."));
    }
    let versioned = patch.pointer("/metadata/resourceVersion").is_some_and(|v| !v.is_null());
    let mut tries = 1;
    loop {
        let old = ctx.registry.find(kind, call.reference()).await?;
        let matched = preconditions::if_match(&call, &old)?;
        let new = parse_object(kind, &patched(&old, &patch)?)?;
        let asked = new.clone();
        match ctx.registry.update(kind, &old.metadata.name, new, ctx.clock.now()).await {
            Err(RegistryError::Store(StoreError::Conflict { .. })) if !versioned && !matched && tries < TRIES => tries += 1,
            written => {
                if let Err(error) = &written {
                    refusals::refused(&ctx, kind, &asked, call.user(), error).await;
                }
                return object(StatusCode::OK, &shown(written.map_err(|e| lost(e, matched))?));
            }
        }
    }
}

/// A race that was lost between If-Match and the write is still a failed If-Match.
fn lost(error: RegistryError, matched: bool) -> ApiError {
    match error {
        RegistryError::Store(StoreError::Conflict { what, current }) if matched => {
            ApiError::new(Code::PreconditionFailed, format!("{what} was changed by someone else (now at resourceVersion {current}); read it again."))
        }
        other => other.into(),
    }
}

fn patched(old: &DynObject, patch: &Value) -> ApiResult<Value> {
    let mut value = serde_json::to_value(old).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    merge(&mut value, patch);
    // Taken out of the object by the patch, the version it was read at is still the one to compare with.
    if value["metadata"].is_object() && value["metadata"]["resourceVersion"].is_null() {
        value["metadata"]["resourceVersion"] = json!(old.metadata.resource_version);
    }
    Ok(value)
}

/// RFC 7396: null removes, objects merge, everything else replaces.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in changes {
        if value.is_null() {
            target.shift_remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_does_what_the_examples_of_rfc_7396_do() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut value = target.clone();
            merge(&mut value, &patch);
            assert_eq!(value, result, "{target} {patch}");
        }
    }
}
