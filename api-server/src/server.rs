//! Listening, serving, and stopping without cutting anyone off.

use crate::{ApiConfig, Backends, audit, call::Peer, context::Context, policy::live, router::router};
use axum::{
    Extension, Router,
    http::{HeaderValue, header},
    response::IntoResponse,
    routing::get,
};
use engine::Metrics;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower::Layer;

/// Pause after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Largest HTTP/1 read buffer and HTTP/2 header list, in bytes; a little more than what is
/// refused in good manners.
const MAX_BUFFER: usize = 64 * 1024;

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {listen}: {source}; set another address or stop what listens there")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The identity of the cluster could not be read.
    #[error("the API server cannot start: {0}")]
    Store(#[from] store::StoreError),
    /// The file of rules is not there, or wrong.
    #[error("api.policy_file: {0}; `cloud-manager policy check FILE` tells what is wrong")]
    Policy(String),
}

/// A running server. It stops by the token it was started with.
#[derive(Debug)]
pub struct Handle {
    /// Where it listens; useful when port 0 was asked for.
    pub addr: SocketAddr,
    /// Ends when every connection has ended, at the latest after the drain time.
    pub task: JoinHandle<()>,
}

/// Serves the API until `stop`.
///
/// # Errors
/// When the address cannot be listened on, the database cannot be read, or the policy file is wrong.
pub async fn serve(config: ApiConfig, backends: Backends, stop: CancellationToken) -> Result<Handle, ServeError> {
    let policies = live::Policies::open(config.policy_file.clone()).map_err(ServeError::Policy)?;
    let listener = listen(config.listen).await?;
    let cluster_uuid = backends.registry.store().revision().await?.cluster_uuid;
    let (header_timeout, drain) = (config.header_timeout, config.drain);
    let ctx = Context::new(config, backends, policies, &cluster_uuid, stop.clone());
    tokio::spawn(live::follow(ctx.clone()));
    if let (true, Some(file)) = (ctx.config.audit_enabled, ctx.config.audit_file.clone()) {
        tokio::spawn(audit::follow(ctx.clone(), ctx.audit.clone(), file));
    }
    let app = router(ctx);
    Ok(run(listener, app, header_timeout, drain, stop))
}

/// Serves `/metrics` on an address of its own until `stop`.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve_metrics(address: SocketAddr, metrics: Metrics, stop: CancellationToken) -> Result<Handle, ServeError> {
    let listener = listen(address).await?;
    let app = Router::new().route("/metrics", get(scrape)).layer(Extension(metrics));
    Ok(run(listener, app, Duration::from_secs(30), Duration::from_secs(1), stop))
}

async fn scrape(Extension(metrics): Extension<Metrics>) -> impl IntoResponse {
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, content_type)], metrics.text())
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { listen: address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn run((listener, addr): (TcpListener, SocketAddr), app: Router, header_timeout: Duration, drain: Duration, stop: CancellationToken) -> Handle {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(MAX_BUFFER);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(MAX_BUFFER as u32);
    Handle { addr, task: tokio::spawn(accept(listener, app, Arc::new(builder), drain, stop)) }
}

async fn accept(listener: TcpListener, app: Router, builder: Arc<auto::Builder<TokioExecutor>>, drain: Duration, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small answers and the lines of a watch must not wait for more to come.
        let _ = tcp.set_nodelay(true);
        let service = TowerToHyperService::new(Extension(Peer(peer)).layer(app.clone()));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(tcp), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(drain) => tracing::warn!("some connections did not end in time and are cut"),
    }
}
