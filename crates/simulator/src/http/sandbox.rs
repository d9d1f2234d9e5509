//! The switch for faults, and a look behind the scenes. Only for callers on this machine.

use super::{App, Shared, answer};
use crate::model::HostFault;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/faults", post(fault)).route("/state", get(state)).layer(from_fn(local_only))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultRequest {
    host: String,
    fault: HostFault,
}

async fn local_only(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    if peer.ip().to_canonical().is_loopback() {
        return next.run(request).await;
    }
    answer(403, json!({"error": {"code": 403, "title": "Forbidden", "message": "Faults are for callers on this machine only."}}))
}

/// `POST /sandbox/faults {"host": …, "fault": "Crash|NovaComputeDown|BmcUnreachable|None"}`: 200 with the host's state.
async fn fault(State(shared): App, body: Bytes) -> Response {
    let refusal = |code: u16, title: &str, message: String| answer(code, json!({"error": {"code": code, "title": title, "message": message}}));
    let request: FaultRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            return refusal(
                400,
                "Bad Request",
                format!("give {{\"host\": NAME, \"fault\": \"Crash|NovaComputeDown|BmcUnreachable|None\"}}: {error}"),
            );
        }
    };
    let mut world = shared.lock();
    if let Err(error) = world.fault(&request.host, request.fault) {
        return refusal(404, "Not Found", format!("{error}; it has {}", world.host_names().join(", ")));
    }
    let host = world.state().hosts.into_iter().find(|h| h.name == request.host);
    answer(200, json!({"host": host}))
}

/// `GET /sandbox/state`: hosts, guests and double runs as they really are.
async fn state(State(shared): App) -> Response {
    let state = shared.lock().state();
    answer(200, serde_json::to_value(state).unwrap_or_default())
}
