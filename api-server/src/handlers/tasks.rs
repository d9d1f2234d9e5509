//! One-shot objects as the product's earlier clients know them: tasks with Celery's states.

use super::{
    json,
    list::{Start, links},
    path_of,
};
use crate::{
    call::{Call, base_url},
    context::{Context, Ctx},
    errors::{ApiError, ApiResult, Code},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use schemas::{API_VERSION, DynObject, Object, ObjectMeta, kinds::KINDS, v1};
use serde_json::{Value, json};
use store::ListQuery;

const QUERY: &str = "Task";

/// `{id, state, result, object}`.
fn view(base: &str, object: &DynObject) -> Value {
    let v1::TaskStatus { state, result } = v1::task::task_status(object);
    let href = format!("{base}{}", path_of(object));
    json!({"id": object.metadata.uid, "state": state, "result": result, "object": {"kind": object.kind, "name": object.metadata.name, "href": href}})
}

/// The same as an object, named by its id.
fn as_object(object: &DynObject) -> DynObject {
    let meta = &object.metadata;
    let metadata = ObjectMeta {
        uid: meta.uid.clone(),
        generation: meta.generation,
        resource_version: meta.resource_version.clone(),
        creation_timestamp: meta.creation_timestamp,
        labels: meta.labels.clone(),
        ..ObjectMeta::named(&meta.uid)
    };
    Object::<v1::Task> { metadata, spec: v1::TaskSpec { object: object.id() }, status: v1::task::task_status(object) }.to_dyn()
}

fn is_one_shot(object: &DynObject) -> bool {
    KINDS.iter().any(|k| k.one_shot && k.kind == object.kind)
}

pub(crate) async fn get(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let id = call.reference();
    let found = ctx.registry.store().get_by_uid(id).await?.filter(is_one_shot);
    let object = found.ok_or_else(|| ApiError::new(Code::NotFound, format!("There is no task {id:?}; it may have ended long ago.")))?;
    json(StatusCode::OK, &view(&base_url(&ctx, &call), &object))
}

/// All one-shot objects in the order of their ids, which never change.
async fn all(ctx: &Context) -> ApiResult<(Vec<DynObject>, i64)> {
    let revision = ctx.registry.store().revision().await?.current;
    let mut objects = Vec::new();
    for kind in KINDS.iter().filter(|k| k.one_shot) {
        objects.extend(ctx.registry.store().list(kind.kind, ListQuery::default()).await?.items);
    }
    objects.sort_by(|a, b| a.metadata.uid.cmp(&b.metadata.uid));
    Ok((objects, revision))
}

/// Under the plural key as in OpenStack, and under `items` as every other list here.
pub(crate) async fn list(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let limit = call.params.limit()?;
    let start = Start::of(&ctx, &call, QUERY).await?;
    let (objects, revision) = all(&ctx).await?;
    let mut rest = objects.into_iter().filter(|o| start.after.as_ref().is_none_or(|after| o.metadata.uid > *after));
    let page: Vec<DynObject> = rest.by_ref().take(limit).collect();
    let remaining = rest.count();
    let revision = start.revision.unwrap_or(revision);
    let last = page.last().filter(|_| remaining > 0);
    let token = last.map(|o| ctx.pager.token(QUERY, &o.metadata.uid, revision, start.issued.unwrap_or_else(|| ctx.clock.now())));
    let links = links(&ctx, &call, token.as_deref());
    let next = links.get(1).map(|l| format!("<{}>; rel=\"next\"", l.href));
    let base = base_url(&ctx, &call);
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let Some(token) = token {
        metadata["continue"] = token.into();
        metadata["remainingItemCount"] = remaining.into();
    }
    let tasks: Vec<Value> = page.iter().map(|o| view(&base, o)).collect();
    let items: Vec<DynObject> = page.iter().map(as_object).collect();
    let body = json!({"apiVersion": API_VERSION, "kind": "TaskList", "metadata": metadata, "links": links, "tasks": tasks, "items": items});
    let mut response = json(StatusCode::OK, &body)?;
    if let Some(next) = next {
        super::set(&mut response, header::LINK, &next);
    }
    Ok(response)
}
