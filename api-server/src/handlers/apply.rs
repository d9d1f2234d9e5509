//! PATCH: by its content type a merge patch, or an apply, by which a manager declares its part of an object.

use super::{
    create::created_status,
    object, path_of, preconditions, set,
    update::{lost, merge, writable},
};
use crate::{
    call::{APPLY_JSON, APPLY_YAML, Call, MERGE_PATCH, base_url},
    context::{Context, Ctx},
    errors::{ApiError, ApiResult, Code},
    policy::rules,
    reading::shown,
    refusals,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use registry::{Apply, Outcome, RegistryError};
use schemas::{DynObject, KindInfo, field::is_uuid};
use serde_json::Value;
use store::StoreError;

pub(crate) async fn patch(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    writable(&call)?;
    match call.media(&[APPLY_YAML, APPLY_JSON, MERGE_PATCH])? {
        MERGE_PATCH => merge(&ctx, call).await,
        media => apply(&ctx, call, media).await,
    }
}

/// Who applies has to say so: its fields must not go to another one of the same program.
pub(super) fn declared_manager(call: &Call) -> ApiResult<String> {
    if call.params.get("fieldManager").is_none() {
        let message = "must be given with an apply: the name under which you declare these fields, such as fieldManager=gitops.";
        return Err(ApiError::invalid("fieldManager", message));
    }
    call.manager()
}

async fn apply(ctx: &Ctx, mut call: Call, media: &str) -> ApiResult<Response> {
    let kind = writable(&call)?;
    let manager = declared_manager(&call)?;
    let force = call.params.flag("force")?.unwrap_or(false);
    let body = call.document(ctx, media).await?;
    let (name, version) = target(ctx, &call, kind).await?;
    let may_create = may_create(ctx, &call, kind);
    let by = Apply { manager: &manager, force, user: call.user(), version, create: may_create.is_ok() };
    let applied = match call.registry(ctx).apply(kind, &name, &body, &by, ctx.clock.now()).await {
        Ok(applied) => applied,
        // It would have been made.
        Err(error @ RegistryError::Store(StoreError::NotFound(_))) if version.is_none() && may_create.is_err() => {
            return Err(may_create.err().unwrap_or_else(|| error.into()));
        }
        Err(error) => {
            let asked = DynObject::new(kind.kind, &name, body.get("spec").cloned().unwrap_or(Value::Null));
            refusals::told_of_new(ctx, &call, kind, &asked, &error).await;
            return Err(lost(error, version.is_some()));
        }
    };
    let stored = shown(applied.object);
    let mut response = object(created_status(kind, applied.outcome != Outcome::Created), &stored)?;
    if response.status() != StatusCode::OK {
        set(&mut response, header::LOCATION, &format!("{}{}", base_url(ctx, &call), path_of(&stored)));
    }
    Ok(response)
}

/// An apply makes what is not there: for that the rule to create is asked as well.
pub(super) fn may_create(ctx: &Context, call: &Call, kind: &KindInfo) -> ApiResult<()> {
    call.allowed(ctx, &rules::name(kind.plural, "create"))
}

/// The name of the object, and the version that If-Match asks for. By a uid only an object can be named that is there.
async fn target(ctx: &Context, call: &Call, kind: &KindInfo) -> ApiResult<(String, Option<i64>)> {
    let reference = call.reference();
    let matches = preconditions::is_conditional(call);
    if !matches && !is_uuid(reference) {
        return Ok((reference.into(), None));
    }
    let old = match ctx.registry.find(kind, reference).await {
        Err(RegistryError::Store(StoreError::NotFound(what))) if matches => {
            return Err(ApiError::new(Code::PreconditionFailed, format!("{what} does not exist; leave If-Match out to create it.")));
        }
        old => old?,
    };
    preconditions::if_match(call, &old)?;
    let version = matches.then(|| old.metadata.revision());
    Ok((old.metadata.name, version))
}
