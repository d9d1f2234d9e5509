//! Deletion.

use super::{object, preconditions};
use crate::{
    call::{Call, Media},
    context::Ctx,
    errors::ApiResult,
    reading::shown,
    refusals,
};
use axum::{body::Body, extract::State, http::StatusCode, response::Response};
use registry::{Preconditions, RegistryError};
use schemars::JsonSchema;
use schemas::{FieldError, object::decode};
use serde::Deserialize;
use serde_json::Value;

/// How to delete.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DeleteOptions")]
pub(crate) struct Options {
    /// Only if these hold.
    #[serde(default)]
    preconditions: Option<Wanted>,
}

/// What must hold of an object that is deleted.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DeletePreconditions")]
struct Wanted {
    /// It has this uid.
    uid: Option<String>,
    /// It is at this version.
    #[schemars(regex(pattern = "^[0-9]+$"))]
    resource_version: Option<String>,
}

/// 204: gone. 202: it goes when its finalizers have run.
pub(crate) async fn delete(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let kind = call.kind()?;
    if kind.read_only {
        return Err(RegistryError::ReadOnly(kind.kind.into()).into());
    }
    let options = match call.json(&ctx, Media::Optional).await? {
        Value::Null => Options::default(),
        body => decode::<Options>("body", &body).map_err(RegistryError::from)?,
    };
    let mut only = only(options)?;
    let old = ctx.registry.find(kind, call.reference()).await?;
    if preconditions::if_match(&call, &old)? {
        only.resource_version.get_or_insert(old.metadata.revision());
    }
    // A reference by uid means this very object, not one that took its name since.
    only.uid.get_or_insert_with(|| old.metadata.uid.clone());
    let deleted = match call.registry(&ctx).delete(kind, &old.metadata.name, only, ctx.clock.now()).await {
        Ok(deleted) => deleted,
        Err(error) => {
            refusals::told(&ctx, &call, kind, &old, &error).await;
            return Err(error.into());
        }
    };
    if !deleted.gone {
        return object(StatusCode::ACCEPTED, &shown(deleted.object));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn only(options: Options) -> Result<Preconditions, RegistryError> {
    let Some(Wanted { uid, resource_version }) = options.preconditions else { return Ok(Preconditions::default()) };
    let number =
        |text: String| text.parse().map_err(|_| FieldError::invalid("preconditions.resourceVersion", format!("{text:?} is not a resource version.")));
    Ok(Preconditions { uid, resource_version: resource_version.map(number).transpose()? })
}
