//! New objects.

use super::{object, path_of, set};
use crate::{
    call::{Call, Media, base_url},
    context::Ctx,
    errors::ApiResult,
    reading::shown,
    refusals,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use registry::{RegistryError, Writer, parse_object};
use schemas::{FieldError, KindInfo};
use serde_json::Value;

pub(crate) async fn create(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let kind = call.kind()?;
    if kind.read_only {
        return Err(RegistryError::ReadOnly(kind.kind.into()).into());
    }
    let mut body = call.json(&ctx, Media::Json).await?;
    generate_name(&mut body)?;
    let new = parse_object(kind, &body)?;
    let asked = new.clone();
    let manager = call.manager()?;
    let created = match call.registry(&ctx).create_by(kind, new, Writer::new(call.user(), &manager), ctx.clock.now()).await {
        Ok(created) => created,
        Err(error) => {
            refusals::told_of_new(&ctx, &call, kind, &asked, &error).await;
            return Err(error.into());
        }
    };
    let stored = shown(created.object);
    let mut response = object(created_status(kind, created.existed), &stored)?;
    set(&mut response, header::LOCATION, &format!("{}{}", base_url(&ctx, &call), path_of(&stored)));
    Ok(response)
}

/// 202: the object is there and its work is still to come.
pub(crate) fn created_status(kind: &KindInfo, existed: bool) -> StatusCode {
    match (existed, kind.one_shot) {
        (true, _) => StatusCode::OK,
        (false, true) => StatusCode::ACCEPTED,
        (false, false) => StatusCode::CREATED,
    }
}

/// `metadata.generateName`: a beginning to which we add what makes it unique. A given name wins.
fn generate_name(body: &mut Value) -> Result<(), RegistryError> {
    let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) else { return Ok(()) };
    let Some(prefix) = metadata.shift_remove("generateName") else { return Ok(()) };
    let Some(prefix) = prefix.as_str().filter(|p| p.len() <= 240) else {
        return Err(FieldError::invalid("metadata.generateName", "must be a text of at most 240 characters.").into());
    };
    // Empty is as not given: there would be nothing to tell objects by.
    let named = prefix.is_empty() || metadata.get("name").is_some_and(|n| n.as_str() != Some(""));
    if !named {
        metadata.insert("name".into(), format!("{prefix}{}", suffix(8)).into());
    }
    Ok(())
}

/// Random lower-case hexadecimal digits.
pub(crate) fn suffix(digits: usize) -> String {
    let all = uuid::Uuid::new_v4().simple().to_string();
    all[..digits.min(all.len())].to_string()
}
