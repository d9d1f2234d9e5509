//! `POST /v1/apply` and `/v1/diff`: many manifests at once, of any kinds, all looked at before any is written.

use super::{
    apply::{declared_manager, may_create},
    apply_sets,
    foresee::Foreseen,
    json,
};
use crate::{
    call::{Call, JSON, YAML},
    context::Ctx,
    errors::{ApiError, ApiResult, Code},
    policy::rules,
    reading::shown,
    refusals,
    router::DRY_RUN,
};
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode},
    response::Response,
};
use registry::{Applied, Apply, Batch, Item, MOST_AT_ONCE, MOST_IN_ONE, Outcome, RegistryError, Removed};
use schemas::{API_VERSION, DynObject, FieldError, kinds};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::StoreError;

/// Objects as they stand, by kind and name.
pub(super) type Live = BTreeMap<(String, String), DynObject>;

/// A manifest: what it names, or why it names nothing.
struct Entry {
    place: String,
    item: Result<Item, ApiError>,
}

/// What became of a batch.
struct Done {
    entries: Vec<Entry>,
    batch: Batch,
    removed: Vec<Removed>,
}

pub(crate) async fn apply(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let done = carry_out(&ctx, &mut call).await?;
    answer(&ctx, &call, done, "ApplyResult", None, None)
}

/// What an apply would change: of each object that would not stay as it is, how it stands, and how it would stand.
pub(crate) async fn diff(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    call.is_dry = true;
    let done = carry_out(&ctx, &mut call).await?;
    let mut live = BTreeMap::new();
    let changed = done.batch.results.iter().flatten().filter(|a| a.outcome == Outcome::Configured).map(|a| &a.object);
    let changed = changed.map(|object| (object.kind.as_str(), object.metadata.name.as_str()));
    let going = done.removed.iter().map(|r| (r.member.kind.as_str(), r.member.name.as_str()));
    for (kind, name) in changed.chain(going) {
        if let Some(known) = kinds::find(kind) {
            call.allowed(&ctx, &rules::name(known.plural, "get"))?;
        }
        if let Some(object) = ctx.registry.store().get(kind, name).await? {
            live.insert((kind.to_string(), name.to_string()), shown(object));
        }
    }
    let foreseen = match call.params.flag("explain")? {
        Some(true) => Some(Foreseen::of(&ctx, &call, &done.batch).await?),
        _ => None,
    };
    let mut response = answer(&ctx, &call, done, "DiffResult", Some(&live), foreseen)?;
    response.headers_mut().insert(DRY_RUN, HeaderValue::from_static("All"));
    Ok(response)
}

async fn carry_out(ctx: &Ctx, call: &mut Call) -> ApiResult<Done> {
    let manager = declared_manager(call)?;
    let force = call.params.flag("force")?.unwrap_or(false);
    let atomic = call.params.all("atomic")?;
    call.media(&[JSON, YAML[0], YAML[1]])?;
    let entries = entries(ctx, call, atomic).await?;
    let items: Vec<Item> = entries.iter().filter_map(|e| e.item.as_ref().ok().cloned()).collect();
    let by = Apply { manager: &manager, force, user: call.user(), version: None, create: true };
    let (now, readable) = (ctx.clock.now(), items.len() == entries.len());
    let set = apply_sets::asked(ctx, call, atomic).await?;
    let mut removed = Vec::new();
    let batch = match &set {
        // One that cannot be read stops all; the others are looked at all the same.
        _ if !readable => ctx.registry.apply_none(&items, &by, now).await,
        Some(set) => {
            let done = call.registry(ctx).apply_set(&items, set, &by, now).await?;
            removed = done.removed;
            done.batch
        }
        None if call.is_dry => ctx.registry.apply_none(&items, &by, now).await,
        None => ctx.registry.apply_all(&items, &by, atomic, now).await,
    };
    for (item, result) in items.iter().zip(&batch.results) {
        if let Err(error) = result {
            let asked = DynObject::new(item.kind.kind, &item.name, item.value.get("spec").cloned().unwrap_or(Value::Null));
            refusals::told_of_new(ctx, call, item.kind, &asked, error).await;
        }
    }
    Ok(Done { entries, batch, removed })
}

/// Why an object could not be applied. What would have been made is asked for by the rule to create.
fn told(ctx: &Ctx, call: &Call, item: &Item, error: RegistryError) -> ApiError {
    match (&error, may_create(ctx, call, item.kind)) {
        (RegistryError::Store(StoreError::NotFound(_)), Err(forbidden)) => forbidden,
        _ => error.into(),
    }
}

async fn entries(ctx: &Ctx, call: &mut Call, atomic: bool) -> ApiResult<Vec<Entry>> {
    let documents = call.manifests(ctx, MOST_AT_ONCE).await?;
    check_size(documents.len(), atomic)?;
    // What the route asked for is not enough: each kind has its own rules.
    let checked = |document: schemas::manifest::Document| {
        let m = document.checked().map_err(|message| ApiError::new(Code::Malformed, format!("{message}.")))?;
        call.allowed(ctx, &rules::name(m.kind.plural, "apply"))?;
        Ok(Item { kind: m.kind, name: m.name, value: m.value, create: may_create(ctx, call, m.kind).is_ok() })
    };
    let entry = |document: schemas::manifest::Document| Entry { place: document.place.clone(), item: checked(document) };
    Ok(documents.into_iter().map(entry).collect())
}

fn check_size(count: usize, atomic: bool) -> ApiResult<()> {
    if count == 0 {
        return Err(ApiError::invalid("", "the body holds no object; nothing to apply is no reason to apply nothing."));
    }
    if count > MOST_AT_ONCE {
        return Err(ApiError::invalid("", format!("the body holds {count} objects; send at most {MOST_AT_ONCE} at once.")));
    }
    if atomic && count > MOST_IN_ONE {
        let message = format!("takes at most {MOST_IN_ONE} objects, and these are {count}; leave it out, or send fewer.");
        return Err(ApiError::invalid("atomic", message));
    }
    Ok(())
}

/// 200 if anything was applied, or nothing had to be; else the error of the worst of them, with what is wrong with each.
fn answer(ctx: &Ctx, call: &Call, done: Done, kind: &str, live: Option<&Live>, foreseen: Option<Foreseen>) -> ApiResult<Response> {
    let Done { entries, batch, removed } = done;
    // Of a batch of which nothing was written it says what would have become of those that pass.
    let failed = !batch.applied || entries.iter().any(|e| e.item.is_err());
    let key = if failed || call.params.get("prune") == Some("Only") { "wouldBe" } else { "result" };
    let mut results = batch.results.into_iter();
    let (mut items, mut errors) = (Vec::with_capacity(entries.len()), Vec::new());
    for Entry { place, item } in entries {
        let (id, result) = match item {
            Ok(item) => {
                let result = results.next().map_or_else(|| Err(nothing()), |r| r.map_err(|error| told(ctx, call, &item, error)));
                (Some((item.kind.kind, item.name)), result)
            }
            Err(error) => (None, Err(error)),
        };
        let mut shown = json!({"place": place});
        if let Some((kind, name)) = &id {
            (shown["kind"], shown["name"]) = (json!(kind), json!(name));
        }
        match result {
            Ok(applied) => {
                describe(&mut shown, key, &applied);
                if let Some(would) = foreseen.as_ref().and_then(|f| f.about(&applied.object)) {
                    shown["explain"] = would.clone();
                }
                if let Some(live) = live {
                    compare(&mut shown, applied, live);
                }
            }
            Err(error) => {
                shown["result"] = word(&error).into();
                if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), error.of_item()) {
                    shown.extend(more);
                }
                errors.push((id.map_or(place, |(kind, name)| format!("{kind}/{name}")), error));
            }
        }
        items.push(shown);
    }
    if !failed {
        let mut answer = json!({"apiVersion": API_VERSION, "kind": kind, "items": items});
        if call.params.get("prune").is_some() {
            answer["pruned"] = removed.into_iter().map(|r| apply_sets::told(r, live)).collect();
        }
        if let Some(decisions) = foreseen.and_then(Foreseen::decisions) {
            answer["decisions"] = decisions;
        }
        return json(StatusCode::OK, &answer);
    }
    Err(refused(items, errors))
}

fn nothing() -> ApiError {
    RegistryError::from(FieldError::invalid("", "was not looked at.")).into()
}

fn describe(shown: &mut Value, key: &str, applied: &Applied) {
    let metadata = &applied.object.metadata;
    shown[key] = match applied.outcome {
        Outcome::Created => "created",
        Outcome::Configured => "configured",
        Outcome::Unchanged => "unchanged",
    }
    .into();
    shown["uid"] = metadata.uid.as_str().into();
    if !metadata.resource_version.is_empty() {
        shown["resourceVersion"] = metadata.resource_version.as_str().into();
    }
}

/// How an object stands, and how it would; nothing of one that stays as it is.
fn compare(described: &mut Value, applied: Applied, live: &Live) {
    if applied.outcome == Outcome::Unchanged {
        return;
    }
    let key = (applied.object.kind.clone(), applied.object.metadata.name.clone());
    described["live"] = live.get(&key).map_or(Value::Null, |object| json!(object));
    described["merged"] = json!(shown(applied.object));
}

pub(super) fn word(error: &ApiError) -> &'static str {
    match error.code().status().as_u16() {
        409 | 412 => "conflict",
        400..500 => "invalid",
        _ => "failed",
    }
}

/// One error for all: what cannot be mended by the sender first, then what is wrong, then what stands against it.
fn refused(items: Vec<Value>, errors: Vec<(String, ApiError)>) -> ApiError {
    let rank = |error: &ApiError| match word(error) {
        "failed" => 0,
        "invalid" => 1,
        _ => 2,
    };
    let (all, count) = (items.len(), errors.len());
    let Some((what, worst)) = errors.iter().min_by_key(|(_, error)| rank(error)) else { return nothing() };
    let code = match word(worst) {
        "failed" => worst.code(),
        "invalid" => Code::Invalid,
        _ if errors.iter().all(|(_, e)| e.code() == Code::FieldConflict) => Code::FieldConflict,
        _ => Code::Conflict,
    };
    let first = worst.of_item()["message"].as_str().unwrap_or_default().to_string();
    let detail = match word(worst) {
        "failed" => first,
        // What cannot be read says where it stands itself.
        _ if first.starts_with(what.as_str()) => format!("Nothing was applied: {count} of {all} objects cannot be. The first: {first}"),
        _ => format!("Nothing was applied: {count} of {all} objects cannot be. The first, {what}: {first}"),
    };
    let causes = errors.iter().flat_map(|(what, error)| {
        let causes = error.of_item()["causes"].as_array().cloned().unwrap_or_default();
        causes.into_iter().map(move |mut cause| {
            cause["object"] = what.as_str().into();
            cause
        })
    });
    ApiError::new(code, detail).because(causes.collect::<Vec<_>>()).with_top("items", items)
}
