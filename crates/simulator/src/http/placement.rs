//! Placement: providers and what is taken of them, to read.

use super::{App, Shared, answer, keystone, respond};
use crate::model::{CallKind, Room, World};
use crate::traits::half;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::routing::get;
use cloud::Provider;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/resource_providers", get(providers))
        .route("/resource_providers/{id}", get(provider))
        .route("/resource_providers/{id}/{what}", get(detail))
        .route("/allocations/{consumer}", get(allocations))
        .route("/allocation_candidates", get(candidates))
}

/// `GET /placement/`, without a token.
pub(super) fn discovery() -> Response {
    answer(
        200,
        json!({"versions": [{"id": "v1.0", "max_version": "1.39", "min_version": "1.0", "status": "CURRENT", "links": [{"rel": "self", "href": ""}]}]}),
    )
}

fn refusal(status: u16, detail: &str) -> Response {
    let title = axum::http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
    answer(status, json!({"errors": [{"status": status, "title": title, "detail": detail, "code": "placement.undefined_code"}]}))
}

#[allow(clippy::result_large_err)] // a response is what the caller returns
fn enter(shared: &Shared, headers: &HeaderMap) -> Result<(), Response> {
    let token = keystone::bearer(shared, headers)?;
    if !token.is_admin() {
        return Err(refusal(403, "placement:resource_providers:list is not authorized"));
    }
    Ok(())
}

fn versioned(mut response: Response) -> Response {
    response.headers_mut().insert("openstack-api-version", HeaderValue::from_static("placement 1.36"));
    response.headers_mut().insert("vary", HeaderValue::from_static("openstack-api-version"));
    response
}

fn row(id: &str, name: &str) -> Value {
    let link = |rel: &str, tail: &str| json!({"rel": rel, "href": format!("/placement/resource_providers/{id}{tail}")});
    json!({"uuid": id, "name": name, "generation": 1, "parent_provider_uuid": null, "root_provider_uuid": id,
        "links": [link("self", ""), link("inventories", "/inventories"), link("usages", "/usages"), link("traits", "/traits"), link("allocations", "/allocations")]})
}

async fn providers(State(shared): App, Query(params): Query<Vec<(String, String)>>, headers: HeaderMap) -> Response {
    if let Err(response) = enter(&shared, &headers) {
        return response;
    }
    let wants = |key: &str, value: &str| params.iter().filter(|(k, _)| k == key).all(|(_, v)| v == value);
    let reply = shared.lock().read(CallKind::Provider, "", |w, _| {
        let rows = w.hosts.values().filter(|h| wants("name", &h.name) && wants("uuid", &h.provider_id) && wants("in_tree", &h.provider_id));
        Ok(rows.map(|h| row(&h.provider_id, &h.name)).collect::<Vec<_>>())
    });
    versioned(respond(reply, refusal, |rows| answer(200, json!({"resource_providers": rows}))).await)
}

async fn provider(State(shared): App, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(response) = enter(&shared, &headers) {
        return response;
    }
    let reply =
        shared.lock().read(CallKind::Provider, &id, |w, _| Ok(w.hosts.values().find(|h| h.provider_id == id).map(|h| row(&h.provider_id, &h.name))));
    versioned(respond(reply, refusal, |found| found.map_or_else(|| missing(&id), |row| answer(200, row))).await)
}

fn missing(id: &str) -> Response {
    refusal(404, &format!("The resource could not be found.\n\n No resource provider with uuid {id} found  "))
}

async fn detail(State(shared): App, Path((id, what)): Path<(String, String)>, headers: HeaderMap) -> Response {
    if let Err(response) = enter(&shared, &headers) {
        return response;
    }
    let reply = shared.lock().read(CallKind::Provider, &id, |w, _| Ok(w.provider(&id).map(|p| (section(w, &p, &what), p))));
    let response = respond(reply, refusal, |found| match found {
        None => missing(&id),
        Some((None, _)) => refusal(404, "The resource could not be found."),
        Some((Some(mut body), _)) => {
            body["resource_provider_generation"] = json!(1);
            answer(200, body)
        }
    });
    versioned(response.await)
}

/// Answers what is asked here, and refuses anything else rather than answer it wrongly.
async fn candidates(State(shared): App, Query(params): Query<Vec<(String, String)>>, headers: HeaderMap) -> Response {
    if let Err(response) = enter(&shared, &headers) {
        return response;
    }
    let asked = [("resources", "MEMORY_MB:1"), ("required", "!COMPUTE_STATUS_DISABLED")];
    if params.len() != asked.len() || !asked.iter().all(|(key, value)| params.iter().any(|(k, v)| k == key && v == value)) {
        return refusal(400, "this Placement knows only the candidates for MEMORY_MB:1 that are not disabled");
    }
    let reply = shared.lock().read(CallKind::Rooms, "", |w, partial| Ok(half(w.rooms(), partial)));
    let summary =
        |r: &cloud::Room| json!({"resources": r.resources, "traits": r.traits, "parent_provider_uuid": null, "root_provider_uuid": r.provider});
    let request = |r: &cloud::Room| json!({"allocations": {r.provider.clone(): {"resources": {"MEMORY_MB": 1}}}, "mappings": {"": [r.provider]}});
    let body = |rooms: Vec<cloud::Room>| {
        let summaries: Map<_, _> = rooms.iter().map(|r| (r.provider.clone(), summary(r))).collect();
        answer(200, json!({"allocation_requests": rooms.iter().map(request).collect::<Vec<_>>(), "provider_summaries": summaries}))
    };
    versioned(respond(reply, refusal, body).await)
}

fn resources(room: &Room) -> Value {
    json!({"VCPU": room.vcpus, "MEMORY_MB": room.ram_mb, "DISK_GB": room.disk_gb})
}

fn section(world: &World, provider: &Provider, what: &str) -> Option<Value> {
    let host = &world.hosts.values().find(|h| h.provider_id == provider.id)?.name;
    Some(match what {
        "inventories" => {
            let class = |i: &cloud::Inventory| json!({"total": i.total, "reserved": i.reserved, "min_unit": 1, "max_unit": i.total, "step_size": 1, "allocation_ratio": i.allocation_permille as f64 / 1000.0});
            json!({"inventories": provider.inventories.iter().map(|(k, i)| (k.clone(), class(i))).collect::<Map<_, _>>()})
        }
        "usages" => json!({"usages": provider.usages}),
        "traits" => json!({"traits": provider.traits}),
        "allocations" => {
            let on = world.allocations.iter().filter_map(|(c, on)| Some((c, on.get(host)?)));
            json!({"allocations": on.map(|(c, room)| (c.clone(), json!({"resources": resources(room), "consumer_generation": 1}))).collect::<Map<_, _>>()})
        }
        _ => return None,
    })
}

async fn allocations(State(shared): App, Path(consumer): Path<String>, headers: HeaderMap) -> Response {
    if let Err(response) = enter(&shared, &headers) {
        return response;
    }
    let reply = shared.lock().read(CallKind::ProvidersOf, &consumer, |w, _| {
        let on = w.allocations.get(&consumer).into_iter().flatten();
        let rows =
            on.filter_map(|(host, room)| Some((w.hosts.get(host)?.provider_id.clone(), json!({"resources": resources(room), "generation": 1}))));
        Ok(rows.collect::<Map<_, _>>())
    });
    versioned(
        respond(reply, refusal, |rows| {
            let mut body = json!({"allocations": rows});
            if !rows_are_empty(&body) {
                body["project_id"] = json!("admin");
                body["user_id"] = json!("admin");
                body["consumer_generation"] = json!(1);
            }
            answer(200, body)
        })
        .await,
    )
}

fn rows_are_empty(body: &Value) -> bool {
    body["allocations"].as_object().is_none_or(Map::is_empty)
}
