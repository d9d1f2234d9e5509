//! The world behind HTTP: Keystone, Nova, Placement and Redfish on one port, in real time.
//!
//! `/v3` is Keystone, `/v2.1` Nova, `/placement` Placement, `/redfish/v1` one Redfish service with a
//! System per host, `/sandbox` the switch for faults (from this machine only).

mod keystone;
mod nova;
mod nova_json;
mod placement;
mod redfish;
mod sandbox;

use crate::model::{BmcFailure, Failure, Reply, World};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often the world is moved on while nobody asks.
const TICK: Duration = Duration::from_millis(200);
/// How long a call without an answer is held open; a client has given up long before.
const SILENCE: Duration = Duration::from_secs(300);
/// How long running requests get when the front stops.
const GRACE: Duration = Duration::from_millis(500);

/// What all handlers share.
struct Shared {
    world: Arc<Mutex<World>>,
    base: String,
    tokens: keystone::Tokens,
    sessions: redfish::Sessions,
    /// Requests to Nova for a page that is not the first of its list.
    further_pages: AtomicU64,
}

type App = State<Arc<Shared>>;

/// The world's instant by this machine's clock: milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(now_ms());
        world
    }
}

/// A running front. Dropping it stops it as well.
pub struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Front {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Root of all of it, such as `http://127.0.0.1:9350`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Keystone's URL, for `OS_AUTH_URL`.
    pub fn auth_url(&self) -> String {
        format!("{}/v3", self.url())
    }

    /// How often Nova was asked for a further page of a list; [`World::reads`] counts these requests as well.
    pub fn further_pages(&self) -> u64 {
        self.shared.further_pages.load(Ordering::Relaxed)
    }

    /// Stops it; running requests get half a second.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            let abort = task.abort_handle();
            if tokio::time::timeout(GRACE, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Serves a world, built at the present Unix time in milliseconds. Errors if `listen` cannot be bound.
pub async fn serve(world: Arc<Mutex<World>>, listen: SocketAddr) -> std::io::Result<Front> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let base = format!("http://{address}");
    let shared = Arc::new(Shared { world, base, tokens: Default::default(), sessions: Default::default(), further_pages: AtomicU64::new(0) });
    let app = Router::new()
        .merge(keystone::routes())
        .nest("/v2.1", nova::routes())
        .nest("/placement", placement::routes())
        .nest("/redfish", redfish::routes())
        .nest("/sandbox", sandbox::routes())
        .fallback(|| async {
            (StatusCode::NOT_FOUND, Json(json!({"error": {"code": 404, "title": "Not Found", "message": "The simulated cloud has nothing here."}})))
        })
        .layer(from_fn_with_state(Arc::clone(&shared), trailing_slash))
        .layer(from_fn(request_id))
        .with_state(Arc::clone(&shared));
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let until = stop.clone();
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(until.cancelled_owned()).await {
            tracing::error!(%error, "the simulated cloud's HTTP server ended");
        }
    });
    let (until, ticking) = (stop.clone(), Arc::clone(&shared));
    let ticker = tokio::spawn(async move {
        while tokio::time::timeout(TICK, until.cancelled()).await.is_err() {
            drop(ticking.lock());
        }
    });
    Ok(Front { address, shared, stop, tasks: vec![server, ticker] })
}

/// Gives every answer an id of its own.
async fn request_id(request: Request, next: Next) -> Response {
    let id = format!("req-{}", uuid::Uuid::new_v4());
    let compute = request.uri().path().starts_with("/v2.1");
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        if compute {
            response.headers_mut().insert("x-compute-request-id", value.clone());
        }
        response.headers_mut().insert("x-openstack-request-id", value);
    }
    response
}

/// The version documents live at `/v3` and `/v3/` alike; nothing else ends in a slash. Counts further pages on the way.
async fn trailing_slash(State(shared): App, request: Request, next: Next) -> Response {
    let uri = request.uri();
    if uri.path().starts_with("/v2.1") && uri.query().is_some_and(|q| q.split('&').any(|p| p.starts_with("marker="))) {
        shared.further_pages.fetch_add(1, Ordering::Relaxed);
    }
    match request.uri().path() {
        "/" | "/v3" | "/v3/" if request.method() == "GET" => keystone::discovery(&shared, request.uri().path()),
        "/v2.1" | "/v2.1/" if request.method() == "GET" => nova::discovery(&shared),
        "/placement" | "/placement/" if request.method() == "GET" => placement::discovery(),
        _ => next.run(request).await,
    }
}

/// Turns a reply of the model into a response, after its delay; `words` makes the body of a refusal.
async fn respond<T>(reply: Reply<T>, words: impl Fn(u16, &str) -> Response, answer: impl FnOnce(T) -> Response) -> Response {
    tokio::time::sleep(Duration::from_millis(u64::try_from(reply.delay_ms).unwrap_or(0))).await;
    match reply.result {
        Ok(value) => answer(value),
        Err(Failure::Refused { status, message, retry_after_s }) => {
            let mut response = words(status, &message);
            if let Some(value) = retry_after_s.and_then(|s| HeaderValue::from_str(&s.to_string()).ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            response
        }
        Err(Failure::Nonsense) => Response::new(Body::from("<html>200 OK, said the proxy</html>")),
        Err(Failure::NotSent) => words(503, "Service Unavailable"),
        Err(Failure::Bmc(BmcFailure::BadCredentials)) => words(401, "Invalid credentials"),
        Err(Failure::Bmc(BmcFailure::NoSuchSystem)) => words(404, "No such System"),
        Err(Failure::Bmc(BmcFailure::AlreadyThere)) => words(409, "The System is in the requested state already"),
        Err(Failure::NoAnswer | Failure::Bmc(BmcFailure::Unreachable)) => {
            tokio::time::sleep(SILENCE).await;
            words(504, "Gateway Timeout")
        }
    }
}

/// A JSON answer with a status.
fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(body)).into_response()
}

/// A header as text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// A page of a list: what follows `marker`, at most `limit`; an unknown marker is an error.
fn page<T>(all: Vec<T>, id: impl Fn(&T) -> String, marker: Option<&str>, limit: usize) -> Result<Vec<T>, String> {
    let from = match marker {
        None => 0,
        Some(marker) => all.iter().position(|x| id(x) == marker).ok_or_else(|| format!("marker [{marker}] not found"))? + 1,
    };
    Ok(all.into_iter().skip(from).take(limit).collect())
}
