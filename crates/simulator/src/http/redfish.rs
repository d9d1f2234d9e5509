//! Redfish: one service with a System per host. A System whose BMC is unreachable takes the request and
//! never answers.

use super::{App, Shared, answer, respond, text};
use crate::model::{Call, CallKind, Failure, Reply};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use power::Command;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Open sessions: token → (id, user, password).
pub(super) type Sessions = Mutex<BTreeMap<String, (String, String, String)>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(|| async { answer(200, json!({"v1": "/redfish/v1/"})) }))
        .route("/v1", get(root))
        .route("/v1/", get(root))
        .route("/v1/Systems", get(systems))
        .route("/v1/Systems/", get(systems))
        .route("/v1/Systems/{host}", get(system))
        .route("/v1/Systems/{host}/Actions/ComputerSystem.Reset", post(reset))
        .route("/v1/SessionService", get(session_service))
        .route("/v1/SessionService/Sessions", get(sessions).post(log_in))
        .route("/v1/SessionService/Sessions/{id}", get(session).delete(log_out))
}

fn refusal(status: u16, message: &str) -> Response {
    answer(
        status,
        json!({"error": {"code": "Base.1.8.GeneralError", "message": message, "@Message.ExtendedInfo": [{"MessageId": "Base.1.8.GeneralError", "Message": message}]}}),
    )
}

async fn root() -> Response {
    answer(
        200,
        json!({
        "@odata.type": "#ServiceRoot.v1_5_0.ServiceRoot", "@odata.id": "/redfish/v1/", "Id": "RootService", "Name": "Simulated BMCs", "RedfishVersion": "1.6.0",
        "Systems": {"@odata.id": "/redfish/v1/Systems"}, "SessionService": {"@odata.id": "/redfish/v1/SessionService"},
        "Links": {"Sessions": {"@odata.id": "/redfish/v1/SessionService/Sessions"}}}),
    )
}

/// User and password of a request, by session or Basic.
fn credentials(shared: &Shared, headers: &HeaderMap) -> Option<(String, String)> {
    if let Some(token) = text(headers, "x-auth-token") {
        let sessions = shared.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        return sessions.get(token).map(|(_, user, password)| (user.clone(), password.clone()));
    }
    let basic = text(headers, "authorization")?.strip_prefix("Basic ")?;
    let plain = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(basic.trim()).ok()?).ok()?;
    plain.split_once(':').map(|(u, p)| (u.to_string(), p.to_string()))
}

/// Whether any host's BMC takes this user and password, reachable or not.
fn any_takes(shared: &Shared, user: &str, password: &str) -> bool {
    shared.lock().hosts.values().any(|h| h.bmc.password.as_deref().is_none_or(|p| p == password && h.bmc.username == user))
}

fn unauthorized() -> Response {
    refusal(401, "The credentials are missing or wrong.")
}

async fn systems(State(shared): App, headers: HeaderMap) -> Response {
    match credentials(&shared, &headers) {
        Some((user, password)) if any_takes(&shared, &user, &password) => {}
        _ => return unauthorized(),
    }
    let members: Vec<Value> = shared.lock().host_names().iter().map(|h| json!({"@odata.id": format!("/redfish/v1/Systems/{h}")})).collect();
    answer(
        200,
        json!({"@odata.type": "#ComputerSystemCollection.ComputerSystemCollection", "@odata.id": "/redfish/v1/Systems", "Name": "Systems", "Members@odata.count": members.len(), "Members": members}),
    )
}

/// One call to a host's BMC, after it accepted the credentials.
fn on_system<T>(shared: &Shared, host: &str, headers: &HeaderMap, call: impl FnOnce(&mut crate::World) -> Reply<T>) -> Option<Reply<T>> {
    let (user, password) = credentials(shared, headers)?;
    let mut world = shared.lock();
    Some(match world.bmc_check(host, &user, &password) {
        Ok(()) => call(&mut world),
        Err(failure) => Reply { result: Err(Failure::Bmc(failure)), delay_ms: 0 },
    })
}

async fn system(State(shared): App, Path(host): Path<String>, headers: HeaderMap) -> Response {
    let read = on_system(&shared, &host, &headers, |w| {
        w.read(CallKind::PowerRead, &host, |w, _| Ok((w.bmc_power(&host).map_err(Failure::Bmc)?, w.bmc_identity(&host).map_err(Failure::Bmc)?)))
    });
    let Some(reply) = read else { return unauthorized() };
    respond(reply, refusal, |(on, who)| {
        let id = format!("/redfish/v1/Systems/{host}");
        answer(200, json!({
            "@odata.type": "#ComputerSystem.v1_13_0.ComputerSystem", "@odata.id": id, "Id": host, "Name": host, "SystemType": "Physical",
            "UUID": who.system_uuid, "SerialNumber": who.serial_number, "Manufacturer": "Simulated", "PowerState": if on { "On" } else { "Off" },
            "Status": {"State": "Enabled", "Health": "OK"},
            "Actions": {"#ComputerSystem.Reset": {"target": format!("{id}/Actions/ComputerSystem.Reset"), "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulShutdown", "ForceRestart"]}}}))
    })
    .await
}

async fn reset(State(shared): App, Path(host): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let kind = serde_json::from_slice::<Value>(&body).ok().and_then(|b| b["ResetType"].as_str().map(str::to_string));
    let commands: &[Command] = match kind.as_deref() {
        Some("On") => &[Command::On],
        Some("ForceOff") => &[Command::ForceOff],
        Some("GracefulShutdown") => &[Command::SoftOff],
        Some("ForceRestart") => &[Command::ForceOff, Command::On],
        _ => return refusal(400, "ResetType is missing, or not one of the allowable values."),
    };
    let given = on_system(&shared, &host, &headers, |w| {
        let mut replies = commands.iter().map(|c| w.call(Call::Power { host: host.clone(), command: *c })).collect::<Vec<_>>();
        let failed = replies.iter().position(|r| r.result.is_err()).unwrap_or(replies.len() - 1);
        replies.swap_remove(failed)
    });
    let Some(reply) = given else { return unauthorized() };
    respond(reply, refusal, |_| StatusCode::NO_CONTENT.into_response()).await
}

async fn session_service() -> Response {
    answer(
        200,
        json!({"@odata.type": "#SessionService.v1_1_8.SessionService", "@odata.id": "/redfish/v1/SessionService", "Id": "SessionService", "Name": "Sessions", "ServiceEnabled": true, "Sessions": {"@odata.id": "/redfish/v1/SessionService/Sessions"}}),
    )
}

async fn sessions(State(shared): App, headers: HeaderMap) -> Response {
    if credentials(&shared, &headers).is_none() {
        return unauthorized();
    }
    let open = shared.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    let members: Vec<Value> = open.values().map(|(id, ..)| json!({"@odata.id": format!("/redfish/v1/SessionService/Sessions/{id}")})).collect();
    answer(
        200,
        json!({"@odata.id": "/redfish/v1/SessionService/Sessions", "Name": "Sessions", "Members@odata.count": members.len(), "Members": members}),
    )
}

async fn log_in(State(shared): App, body: Bytes) -> Response {
    let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let (Some(user), Some(password)) = (body["UserName"].as_str(), body["Password"].as_str()) else {
        return refusal(400, "UserName and Password are required.");
    };
    if !any_takes(&shared, user, password) {
        return unauthorized();
    }
    let (id, token) = (uuid::Uuid::new_v4().simple().to_string(), uuid::Uuid::new_v4().simple().to_string());
    let path = format!("/redfish/v1/SessionService/Sessions/{id}");
    let mut response =
        answer(201, json!({"@odata.type": "#Session.v1_3_0.Session", "@odata.id": path, "Id": id, "Name": "Session", "UserName": user}));
    if let (Ok(t), Ok(p)) = (HeaderValue::from_str(&token), HeaderValue::from_str(&path)) {
        response.headers_mut().insert("x-auth-token", t);
        response.headers_mut().insert("location", p);
    }
    shared.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(token, (id, user.into(), password.into()));
    response
}

async fn session(State(shared): App, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if credentials(&shared, &headers).is_none() {
        return unauthorized();
    }
    let open = shared.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    match open.values().find(|(i, ..)| *i == id) {
        Some((id, user, _)) => {
            answer(200, json!({"@odata.id": format!("/redfish/v1/SessionService/Sessions/{id}"), "Id": id, "Name": "Session", "UserName": user}))
        }
        None => refusal(404, "No such session."),
    }
}

async fn log_out(State(shared): App, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if credentials(&shared, &headers).is_none() {
        return unauthorized();
    }
    let mut open = shared.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    let before = open.len();
    open.retain(|_, (i, ..)| *i != id);
    if open.len() < before { StatusCode::NO_CONTENT.into_response() } else { refusal(404, "No such session.") }
}
