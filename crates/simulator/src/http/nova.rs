//! Nova's compute API, 2.1 to the settings' highest microversion. Rows have the shape of 2.53 and later
//! whatever was asked; refusals, paging and headers are Nova's.

use super::{App, Shared, answer, keystone, nova_json, page, respond, text};
use crate::model::{Answer, Call, CallKind, World};
use crate::traits::half;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use cloud::ServiceChange;
use serde_json::{Value, json};
use std::sync::Arc;

/// `[api] max_limit`.
const MAX_LIMIT: usize = 1000;

type Params = Query<Vec<(String, String)>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/os-services", get(services))
        .route("/os-services/{id}", put(update_service))
        .route("/os-hypervisors", get(hypervisors))
        .route("/os-hypervisors/detail", get(hypervisors))
        .route("/servers", get(servers))
        .route("/servers/detail", get(servers))
        .route("/servers/{id}", get(server))
        .route("/servers/{id}/action", post(action))
        .route("/os-migrations", get(migrations))
        .route("/os-aggregates", get(aggregates))
        .route("/os-server-groups", get(server_groups))
        .layer(from_fn(version_headers))
}

/// `GET /v2.1/`, without a token.
pub(super) fn discovery(shared: &Shared) -> Response {
    let (major, minor) = shared.lock().settings_mut().max_microversion;
    answer(
        200,
        json!({"version": {
        "id": "v2.1", "status": "CURRENT", "version": format!("{major}.{minor}"), "min_version": "2.1", "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": format!("{}/v2.1/", shared.base)}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}]}}),
    )
}

/// Nova's body of a refusal.
pub(super) fn refusal(code: u16, message: &str) -> Response {
    let name = match code {
        400 => "badRequest",
        403 => "forbidden",
        404 => "itemNotFound",
        405 => "badMethod",
        409 => "conflictingRequest",
        413 | 429 => "overLimit",
        503 => "serviceUnavailable",
        _ => "computeFault",
    };
    answer(code, json!({name: {"code": code, "message": message}}))
}

/// The version that was asked for, as text.
fn asked(headers: &HeaderMap) -> Option<String> {
    let of = |h: &str| h.split(',').map(str::trim).find_map(|p| p.strip_prefix("compute ").map(|v| v.trim().to_string()));
    text(headers, "openstack-api-version").and_then(of).or_else(|| text(headers, "x-openstack-nova-api-version").map(str::to_string))
}

async fn version_headers(request: Request, next: Next) -> Response {
    let version = asked(request.headers()).unwrap_or_else(|| "2.1".into());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let (Ok(long), Ok(short)) = (HeaderValue::from_str(&format!("compute {version}")), HeaderValue::from_str(&version)) {
        headers.insert("openstack-api-version", long);
        headers.insert("x-openstack-nova-api-version", short);
    }
    headers.append("vary", HeaderValue::from_static("OpenStack-API-Version"));
    headers.append("vary", HeaderValue::from_static("X-OpenStack-Nova-API-Version"));
    response
}

/// Who asks, in which version.
struct Caller {
    version: (u32, u32),
    token: keystone::Token,
}

/// Token (401), microversion (400, 406), and for admin calls the role (403).
#[allow(clippy::result_large_err)] // a response is what the caller returns
fn enter(shared: &Shared, headers: &HeaderMap, policy: &str) -> Result<Caller, Response> {
    let token = keystone::bearer(shared, headers)?;
    let max = shared.lock().settings_mut().max_microversion;
    let version = match asked(headers).as_deref() {
        None => (2, 1),
        Some("latest") => max,
        Some(text) => {
            let parsed = text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            parsed.ok_or_else(|| refusal(400, &format!("API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.")))?
        }
    };
    if version < (2, 1) || version > max {
        let (a, b) = version;
        return Err(refusal(406, &format!("Version {a}.{b} is not supported by the API. Minimum is 2.1 and maximum is {}.{}.", max.0, max.1)));
    }
    let allowed = token.is_admin() || (policy.is_empty() && token.in_project());
    if !allowed {
        return Err(refusal(403, &format!("Policy doesn't allow os_compute_api:{policy} to be performed.")));
    }
    Ok(Caller { version, token })
}

fn param<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
}

/// From 2.75 an unknown query key is refused.
#[allow(clippy::result_large_err)]
fn known(caller: &Caller, params: &Params, keys: &[&str]) -> Result<(), Response> {
    match params.0.iter().find(|(k, _)| !keys.contains(&k.as_str())) {
        Some((key, _)) if caller.version >= (2, 75) => Err(refusal(400, &format!("Additional properties are not allowed ('{key}' was unexpected)"))),
        _ => Ok(()),
    }
}

/// Marker and limit, the latter cut to the server's own.
#[allow(clippy::result_large_err)]
fn paging(params: &Params) -> Result<(Option<String>, usize), Response> {
    let limit = match param(params, "limit") {
        None => MAX_LIMIT,
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| refusal(400, &format!("Invalid input for query parameters limit. Value: {text}. '{text}' does not match '^[0-9]*$'")))?,
    };
    Ok((param(params, "marker").map(str::to_string), if limit == 0 { MAX_LIMIT } else { limit.min(MAX_LIMIT) }))
}

/// The link to the next page: the same query with another marker.
fn next_link(shared: &Shared, path: &str, params: &Params, full: bool, marker: Option<String>) -> Option<String> {
    let marker = marker.filter(|_| full)?;
    let mut query: Vec<String> = params.0.iter().filter(|(k, _)| k != "marker").map(|(k, v)| format!("{k}={v}")).collect();
    query.push(format!("marker={marker}"));
    Some(format!("{}/v2.1/{path}?{}", shared.base, query.join("&")))
}

/// Unwraps, or returns the response that is in the error.
macro_rules! or_return {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(response) => return response,
        }
    };
}

async fn services(State(shared): App, params: Params, headers: HeaderMap) -> Response {
    let caller = or_return!(enter(&shared, &headers, "os-services:list"));
    or_return!(known(&caller, &params, &["binary", "host"]));
    let (binary, host) = (param(&params, "binary").map(str::to_string), param(&params, "host").map(str::to_string));
    let reply = shared.lock().read(CallKind::Services, "", |w, partial| Ok(half(w.services(), partial)));
    respond(reply, refusal, |rows| {
        let seen = rows.iter().filter(|s| caller.version >= (2, 69) || s.enabled.is_some());
        let seen = seen.filter(|s| binary.as_ref().is_none_or(|b| *b == s.binary) && host.as_ref().is_none_or(|h| *h == s.host));
        answer(200, json!({"services": seen.map(nova_json::service).collect::<Vec<_>>()}))
    })
    .await
}

async fn update_service(State(shared): App, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let caller = or_return!(enter(&shared, &headers, "os-services:update"));
    if caller.version < (2, 53) {
        return refusal(404, "Unknown action");
    }
    let change = or_return!(service_change(&body));
    let reply = shared.lock().call(Call::UpdateService { id, change });
    respond(reply, refusal, |a| match a {
        Answer::Service(row) => answer(200, json!({"service": nova_json::service(&row)})),
        Answer::Accepted => answer(200, json!({})),
    })
    .await
}

#[allow(clippy::result_large_err)]
fn service_change(body: &[u8]) -> Result<ServiceChange, Response> {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return Err(refusal(400, "Malformed request body")) };
    let mut change = ServiceChange::default();
    let wrong = |name: &str, value: &Value| refusal(400, &format!("Invalid input for field/attribute {name}. Value: {value}."));
    for (name, value) in &body {
        match (name.as_str(), value) {
            ("status", Value::String(s)) if s == "enabled" || s == "disabled" => change.enabled = Some(s == "enabled"),
            ("disabled_reason", Value::String(s)) => change.disabled_reason = Some(s.clone()),
            ("forced_down", Value::Bool(b)) => change.forced_down = Some(*b),
            ("forced_down", Value::String(s)) if s.eq_ignore_ascii_case("true") || s.eq_ignore_ascii_case("false") => {
                change.forced_down = Some(s.eq_ignore_ascii_case("true"));
            }
            ("status" | "disabled_reason" | "forced_down", value) => return Err(wrong(name, value)),
            _ => return Err(refusal(400, &format!("Additional properties are not allowed ('{name}' was unexpected)"))),
        }
    }
    Ok(change)
}

async fn hypervisors(State(shared): App, params: Params, headers: HeaderMap) -> Response {
    let caller = or_return!(enter(&shared, &headers, "os-hypervisors:list-detail"));
    or_return!(known(&caller, &params, &["limit", "marker", "with_servers", "hypervisor_hostname_pattern"]));
    let (marker, limit) = or_return!(paging(&params));
    let reply = shared.lock().read(CallKind::Hypervisors, "", |w, partial| {
        let rows = half(w.hypervisors(), partial);
        Ok(rows.iter().map(|h| nova_json::hypervisor(w, h)).collect())
    });
    let id = |row: &Value| row["id"].as_str().unwrap_or_default().to_string();
    respond(reply, refusal, |rows: Vec<Value>| {
        listed(&shared, ("hypervisors", "os-hypervisors/detail"), &params, page(rows, id, marker.as_deref(), limit), limit, id)
    })
    .await
}

fn listed(
    shared: &Shared,
    (name, path): (&str, &str),
    params: &Params,
    rows: Result<Vec<Value>, String>,
    limit: usize,
    id: impl Fn(&Value) -> String,
) -> Response {
    match rows {
        Err(message) => refusal(400, &message),
        Ok(rows) => {
            let next = next_link(shared, path, params, rows.len() == limit, rows.last().map(id));
            answer(200, nova_json::list(name, rows, next))
        }
    }
}

const SERVER_KEYS: [&str; 14] = [
    "all_tenants",
    "limit",
    "marker",
    "host",
    "node",
    "status",
    "name",
    "changes-since",
    "changes-before",
    "deleted",
    "sort_key",
    "sort_dir",
    "project_id",
    "uuid",
];

async fn servers(State(shared): App, params: Params, uri: axum::http::Uri, headers: HeaderMap) -> Response {
    let caller = or_return!(enter(&shared, &headers, ""));
    or_return!(known(&caller, &params, &SERVER_KEYS));
    if !caller.token.is_admin() && (param(&params, "all_tenants").is_some() || param(&params, "host").is_some()) {
        return refusal(403, "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed.");
    }
    let (marker, limit) = or_return!(paging(&params));
    let host = param(&params, "host").map(str::to_string);
    let status = param(&params, "status").map(str::to_uppercase);
    // A cell that is down shows as UNKNOWN only in an unfiltered, unpaged list (2.69).
    let whole = host.is_none() && status.is_none() && marker.is_none() && param(&params, "limit").is_none() && caller.version >= (2, 69);
    let base = shared.base.clone();
    let reply = shared.lock().read(CallKind::Servers, host.as_deref().unwrap_or_default(), |w, partial| {
        let rows = half(w.servers(host.as_deref()), partial).into_iter();
        let rows = rows.filter(|s| (whole || s.status != "UNKNOWN") && status.as_ref().is_none_or(|x| *x == s.status)).collect();
        let page = page(rows, |s: &cloud::Server| s.id.clone(), marker.as_deref(), limit);
        Ok(page.map(|rows| rows.iter().map(|s| nova_json::server(w, &base, s)).collect()))
    });
    let path = if uri.path().ends_with("/detail") { "servers/detail" } else { "servers" };
    let id = |row: &Value| row["id"].as_str().unwrap_or_default().to_string();
    respond(reply, refusal, |rows: Result<Vec<Value>, String>| listed(&shared, ("servers", path), &params, rows, limit, id)).await
}

async fn server(State(shared): App, Path(id): Path<String>, headers: HeaderMap) -> Response {
    or_return!(enter(&shared, &headers, ""));
    let base = shared.base.clone();
    let reply = shared.lock().read(CallKind::Server, &id, |w, _| Ok(w.server(&id).map(|s| nova_json::server(w, &base, &s))));
    respond(reply, refusal, |row| match row {
        Some(row) => answer(200, json!({"server": row})),
        None => refusal(404, &format!("Instance {id} could not be found.")),
    })
    .await
}

async fn action(State(shared): App, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let caller = or_return!(enter(&shared, &headers, "servers:action"));
    let (call, status) = or_return!(action_call(&id, &caller, &body));
    let reply = shared.lock().call(call);
    respond(reply, refusal, |_| status.into_response()).await
}

#[allow(clippy::result_large_err)]
fn action_call(server: &str, caller: &Caller, body: &[u8]) -> Result<(Call, StatusCode), Response> {
    let malformed = || refusal(400, "Malformed request body");
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return Err(malformed()) };
    let Some((name, value)) = body.iter().next().filter(|_| body.len() == 1) else { return Err(malformed()) };
    let server = server.to_string();
    let host = || match &value["host"] {
        Value::Null => Ok(None),
        Value::String(host) => Ok(Some(host.clone())),
        other => Err(refusal(400, &format!("Invalid input for field/attribute host. Value: {other}."))),
    };
    let only = |keys: &[&str]| {
        let unknown = value.as_object().into_iter().flatten().map(|(k, _)| k).find(|k| !keys.contains(&k.as_str()));
        unknown.map_or(Ok(()), |k| Err(refusal(400, &format!("Additional properties are not allowed ('{k}' was unexpected)"))))
    };
    match name.as_str() {
        "evacuate" => {
            // `force` is gone since 2.68, `onSharedStorage` since 2.14.
            only(&["host", "adminPass"])?;
            Ok((Call::Evacuate { server, destination: host()?, leave_stopped: caller.version >= (2, 95) }, StatusCode::OK))
        }
        "os-migrateLive" => {
            only(&["host", "block_migration"])?;
            for key in ["host", "block_migration"] {
                if value.get(key).is_none() {
                    return Err(refusal(400, &format!("Invalid input for field/attribute os-migrateLive. '{key}' is a required property")));
                }
            }
            Ok((Call::LiveMigrate { server, destination: host()? }, StatusCode::ACCEPTED))
        }
        "migrate" => {
            only(&["host"])?;
            if !value.is_null() && caller.version < (2, 56) {
                return Err(refusal(400, "Invalid input for field/attribute migrate. It takes no host before 2.56."));
            }
            Ok((Call::ColdMigrate { server, destination: host()? }, StatusCode::ACCEPTED))
        }
        "confirmResize" => Ok((Call::ConfirmResize { server }, StatusCode::NO_CONTENT)),
        "os-start" => Ok((Call::Start { server }, StatusCode::ACCEPTED)),
        "os-stop" => Ok((Call::Stop { server }, StatusCode::ACCEPTED)),
        other => Err(refusal(400, &format!("There is no such action: {other}"))),
    }
}

const MIGRATION_KEYS: [&str; 12] = [
    "hidden",
    "host",
    "instance_uuid",
    "source_compute",
    "status",
    "migration_type",
    "limit",
    "marker",
    "changes-since",
    "changes-before",
    "user_id",
    "project_id",
];

async fn migrations(State(shared): App, params: Params, headers: HeaderMap) -> Response {
    let caller = or_return!(enter(&shared, &headers, "os-migrations:index"));
    or_return!(known(&caller, &params, &MIGRATION_KEYS));
    let (marker, limit) = or_return!(paging(&params));
    let get = |name| param(&params, name);
    let wanted = |w: &World| {
        let rows = w.migrations(|r| {
            get("host").is_none_or(|h| r.source == h || r.dest.as_deref() == Some(h))
                && get("source_compute").is_none_or(|h| r.source == h)
                && get("instance_uuid").is_none_or(|g| r.guest == g)
                && get("status").is_none_or(|s| r.status == s)
                && get("migration_type").is_none_or(|k| r.kind == k)
        });
        rows.iter().map(|m| nova_json::migration(w, m.id)).collect()
    };
    let reply =
        shared.lock().read(CallKind::Migrations, get("host").or(get("instance_uuid")).unwrap_or_default(), |w, partial| Ok(half(wanted(w), partial)));
    let id = |row: &Value| row["uuid"].as_str().unwrap_or_default().to_string();
    respond(reply, refusal, |rows: Vec<Value>| {
        listed(&shared, ("migrations", "os-migrations"), &params, page(rows, id, marker.as_deref(), limit), limit, id)
    })
    .await
}

async fn aggregates(State(shared): App, headers: HeaderMap) -> Response {
    or_return!(enter(&shared, &headers, "os-aggregates:index"));
    let reply = shared.lock().read(CallKind::Aggregates, "", |w, partial| Ok(half(w.aggregates.values().cloned().collect(), partial)));
    respond(reply, refusal, |rows| {
        answer(200, json!({"aggregates": rows.iter().enumerate().map(|(i, a)| nova_json::aggregate(i, a)).collect::<Vec<_>>()}))
    })
    .await
}

/// Paged by `offset`, without links; below 2.64 a group has a list of policies and no rules.
async fn server_groups(State(shared): App, params: Params, headers: HeaderMap) -> Response {
    let caller = or_return!(enter(&shared, &headers, "os-server-groups:index"));
    or_return!(known(&caller, &params, &["all_projects", "limit", "offset"]));
    let (_, limit) = or_return!(paging(&params));
    let offset = param(&params, "offset").and_then(|o| o.parse().ok()).unwrap_or(0);
    let reply = shared.lock().read(CallKind::ServerGroups, "", |w, partial| Ok(half(w.server_groups(), partial)));
    let row = |g: &cloud::ServerGroup| nova_json::server_group(g, caller.version);
    respond(reply, refusal, |groups| answer(200, json!({"server_groups": groups.iter().skip(offset).take(limit).map(row).collect::<Vec<_>>()}))).await
}
