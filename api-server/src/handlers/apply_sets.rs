//! Batches that are applied as a set: what is asked of it, what became of what it declares no longer, and what stands against it.

use super::{
    apply::may_create,
    batch::{Live, word},
    object,
};
use crate::{
    call::{Call, Media},
    context::Ctx,
    errors::{ApiError, ApiResult},
    policy::rules,
    reading::shown,
};
use axum::{extract::State, http::StatusCode, response::Response};
use registry::{ApplyingSet, Fate, Prune, RegistryError, Removed, Report};
use schemars::JsonSchema;
use schemas::{Object, kinds, object::decode, v1::ApplySet};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PLURAL: &str = "applysets";

/// What the query says of the set, if the batch is one. Who prunes may delete whatever the set holds.
pub(super) async fn asked<'a>(ctx: &Ctx, call: &'a Call, atomic: bool) -> ApiResult<Option<ApplyingSet<'a>>> {
    let Some(name) = call.params.get("applySet") else {
        for only in ["prune", "maxDeletes", "revision", "afterRevision"] {
            if call.params.has(only) {
                return Err(ApiError::invalid(only, "is about an ApplySet; give applySet=NAME as well, or leave it out."));
            }
        }
        return Ok(None);
    };
    let prune = match call.params.get("prune") {
        None if !call.params.has("prune") => Prune::No,
        Some("All") => Prune::All,
        Some("Only") => Prune::Only,
        other => {
            let message = format!("{:?} is not known; use All (apply, then prune) or Only, or leave it out.", other.unwrap_or_default());
            return Err(ApiError::invalid("prune", message));
        }
    };
    call.allowed(ctx, &rules::name(PLURAL, "apply"))?;
    let create = kinds::find(PLURAL).is_some_and(|kind| may_create(ctx, call, kind).is_ok());
    if prune != Prune::No {
        for kind in kinds_of(ctx, name).await? {
            call.allowed(ctx, &rules::name(kind, "delete"))?;
        }
    }
    let max_deletes = call.params.number("maxDeletes")?.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let (revision, after) = (call.params.get("revision"), call.params.get("afterRevision"));
    if revision.is_some_and(|r| r.len() > LONGEST_REVISION || r.chars().any(char::is_control)) {
        return Err(ApiError::invalid("revision", format!("must have at most {LONGEST_REVISION} printable characters, such as the id of a commit.")));
    }
    Ok(Some(ApplyingSet { name, prune, max_deletes, revision, after, create, atomic }))
}

const LONGEST_REVISION: usize = 128;

/// Plurals of the kinds that a set holds.
async fn kinds_of(ctx: &Ctx, name: &str) -> ApiResult<BTreeSet<&'static str>> {
    let Some(found) = ctx.registry.store().get("ApplySet", name).await? else { return Ok(BTreeSet::new()) };
    let set: Object<ApplySet> = found.typed().map_err(RegistryError::from)?;
    Ok(set.status.members.iter().filter_map(|m| kinds::find(&m.kind)).map(|k| k.plural).collect())
}

/// What became of an object that is declared no longer; with `live`, how it stands.
pub(super) fn told(removed: Removed, live: Option<&Live>) -> Value {
    let Removed { member, fate } = removed;
    let mut told = json!({"kind": member.kind, "name": member.name, "uid": member.uid});
    let (result, message) = match fate {
        Fate::Deleted => ("deleted", None),
        Fate::Deleting => ("deleting", None),
        Fate::Gone => ("released", Some("it was gone already.".to_string())),
        Fate::Kept(why) => ("kept", Some(why)),
        Fate::Another => ("released", Some("it is none of the set any longer: it was made anew, or belongs to another set.".to_string())),
        Fate::Failed(error) => {
            let error: ApiError = error.into();
            (word(&error), error.of_item()["message"].as_str().map(String::from))
        }
    };
    told["result"] = result.into();
    if let Some(message) = message {
        told["message"] = message.into();
    }
    if let Some(object) = live.and_then(|live| live.get(&(member.kind, member.name))) {
        told["live"] = json!(object);
    }
    told
}

/// What whoever applies a set found.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Reported {
    /// What it cannot apply, a sentence each.
    errors: Vec<String>,
    /// `Kind/name` of what it found to differ.
    drift: Vec<String>,
}

/// What whoever applies a set cannot apply, and what it found to differ.
pub(crate) async fn report(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let body = call.json(&ctx, Media::Json).await?;
    let Reported { errors, drift } = decode("body", &body).map_err(RegistryError::from)?;
    let kind = kinds::find(PLURAL).ok_or_else(crate::errors::internal)?;
    let set = ctx.registry.find(kind, call.reference()).await?;
    let reported = call.registry(&ctx).report(&set.metadata.name, &Report { errors, drift }, ctx.clock.now()).await?;
    object(StatusCode::OK, &shown(reported))
}
