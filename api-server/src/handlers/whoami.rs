//! What a token is, and what it may do. Asking is free to everybody with a token, so that a client can show what will work.

use super::json;
use crate::{
    call::{Call, Media},
    context::Ctx,
    errors::{ApiResult, internal},
    policy::rules::{RULES, find, name},
};
use ::schemas::{FieldError, kinds, object::decode};
use axum::{extract::State, http::StatusCode, response::Response};
use registry::RegistryError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json as value;

pub(crate) async fn whoami(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let who = call.caller.as_ref().ok_or_else(internal)?.info.clone();
    let policy = ctx.policies.current();
    let scope = match (&who.project_id, who.system_scope) {
        (_, true) => value!({"type": "System"}),
        (Some(project), false) => value!({"type": "Project", "projectId": project, "isAdminProject": who.is_admin_project}),
        (None, false) => value!({"type": "None"}),
    };
    let may = RULES.iter().filter(|rule| !rule.operations.is_empty() && policy.verdict(&rule.name, &who).allowed);
    let body = value!({
        "user": {"id": who.user_id, "name": who.user_name},
        "scope": scope,
        "roles": who.roles,
        "expiresAt": who.expires_at,
        "personas": policy.personas(&who),
        "allowed": may.map(|rule| rule.name.as_str()).collect::<Vec<_>>(),
    });
    json(StatusCode::OK, &body)
}

/// What would be done.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Review {
    /// A verb of the kind: `get`, `list`, `watch`, `create`, `update`, `apply`, `delete`, or one of its own.
    verb: String,
    /// A kind by any of its names, or the first part of what stands in a rule after `cloud-manager:`.
    kind: String,
    /// The object; rules do not tell one from another.
    #[serde(default)]
    name: Option<String>,
}

/// Whether the rules let the caller do something. What makes an act safe, or possible at all, is asked when it is done.
pub(crate) async fn review(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let body = call.json(&ctx, Media::Json).await?;
    let asked: Review = decode("body", &body).map_err(|mut e| {
        e.field = e.field.trim_start_matches("body.").to_string();
        RegistryError::from(e)
    })?;
    let plural = kinds::find(&asked.kind).map_or(asked.kind.as_str(), |kind| kind.plural);
    let rule = name(plural, &asked.verb);
    let Some(rule) = find(&rule) else { return Err(unknown(plural, &asked).into()) };
    let who = call.caller.as_ref().ok_or_else(internal)?.info.clone();
    let policy = ctx.policies.current();
    let verdict = policy.verdict(&rule.name, &who);
    let scopes: Vec<&str> = verdict.scope_wanted.iter().map(|s| s.word()).collect();
    let body = value!({
        "verb": asked.verb,
        "kind": asked.kind,
        "name": asked.name,
        "allowed": verdict.allowed,
        "rule": rule.name,
        "check": policy.check_of(&rule.name),
        "scopesWanted": scopes,
    });
    json(StatusCode::OK, &body)
}

/// Names the field at fault, and what there is instead.
fn unknown(plural: &str, asked: &Review) -> RegistryError {
    let prefix = name(plural, "");
    let verbs: Vec<&str> = RULES.iter().filter_map(|rule| rule.name.strip_prefix(&prefix)).collect();
    if verbs.is_empty() {
        let message = format!("there is no kind {:?}; GET /v1/kinds lists them.", asked.kind);
        return FieldError::new("kind", "NotFound", message).into();
    }
    FieldError::invalid("verb", format!("{:?} is no verb of {plural}; there are {}.", asked.verb, verbs.join(", "))).into()
}
