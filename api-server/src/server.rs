//! Listening, serving, and stopping without cutting anyone off.

use crate::{ApiConfig, Backends, audit, call::Peer, context::Context, policy::live, router::router, tls::Tls};
use axum::{
    Extension, Router,
    http::{HeaderValue, header},
    response::IntoResponse,
    routing::get,
};
use engine::Metrics;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tower::Layer;

/// Pause after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Largest HTTP/1 read buffer and HTTP/2 header list, in bytes; a little more than what is
/// refused in good manners.
const MAX_BUFFER: usize = 64 * 1024;
/// Headers that are read; of more, as of a longer text, the answer comes from beneath us, without a body.
const MAX_HEADERS: usize = 500;

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
    /// Certificate or key cannot be used.
    #[error("{0}")]
    Tls(String),
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
/// When the address cannot be listened on, the database cannot be read, or the policy file or a file of TLS is wrong.
pub async fn serve(config: ApiConfig, backends: Backends, stop: CancellationToken) -> Result<Handle, ServeError> {
    let policies = live::Policies::open(config.policy_file.clone()).map_err(ServeError::Policy)?;
    let tls = config.tls.clone().map(Tls::open).transpose().map_err(ServeError::Tls)?.map(Arc::new);
    let listener = listen(config.listen).await?;
    let cluster_uuid = backends.registry.store().revision().await?.cluster_uuid;
    let (header_timeout, drain) = (config.header_timeout, config.drain);
    let ctx = Context::new(config, backends, policies, &cluster_uuid, stop.clone());
    tokio::spawn(live::follow(ctx.clone()));
    if let (true, Some(file)) = (ctx.config.audit_enabled, ctx.config.audit_file.clone()) {
        tokio::spawn(audit::follow(ctx.clone(), ctx.audit.clone(), file));
    }
    if let Some(tls) = tls.clone() {
        tokio::spawn(tls.follow(stop.clone()));
    }
    let app = router(ctx);
    Ok(run(listener, app, tls, Limits { header_timeout, drain }, stop))
}

/// Serves `/metrics` on an address of its own until `stop`.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve_metrics(address: SocketAddr, metrics: Metrics, stop: CancellationToken) -> Result<Handle, ServeError> {
    let listener = listen(address).await?;
    let app = Router::new().route("/metrics", get(scrape)).layer(Extension(metrics));
    Ok(run(listener, app, None, Limits { header_timeout: Duration::from_secs(30), drain: Duration::from_secs(1) }, stop))
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

/// How long a client may take for its headers, and what is open when the server stops for its end.
#[derive(Clone, Copy)]
struct Limits {
    header_timeout: Duration,
    drain: Duration,
}

fn run((listener, addr): (TcpListener, SocketAddr), app: Router, tls: Option<Arc<Tls>>, limits: Limits, stop: CancellationToken) -> Handle {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(MAX_BUFFER).max_headers(MAX_HEADERS);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(MAX_BUFFER as u32);
    let serving = Arc::new(Serving { app, builder, tls, limits });
    Handle { addr, task: tokio::spawn(accept(listener, serving, stop)) }
}

/// What every connection needs.
struct Serving {
    app: Router,
    builder: auto::Builder<TokioExecutor>,
    tls: Option<Arc<Tls>>,
    limits: Limits,
}

async fn accept(listener: TcpListener, serving: Arc<Serving>, stop: CancellationToken) {
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
        let (serving, watcher) = (serving.clone(), graceful.watcher());
        tokio::spawn(async move {
            let Some(tls) = &serving.tls else { return serving.serve(tcp, peer, watcher).await };
            match tokio::time::timeout(serving.limits.header_timeout, tls.acceptor().accept(tcp)).await {
                Ok(Ok(encrypted)) => serving.serve(encrypted, peer, watcher).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a client did not get to TLS"),
                Err(_) => tracing::debug!(%peer, "a client took too long for its TLS handshake"),
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(serving.limits.drain) => tracing::warn!("some connections did not end in time and are cut"),
    }
}

impl Serving {
    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: SocketAddr, watcher: Watcher) {
        let service = TowerToHyperService::new(Extension(Peer(peer)).layer(self.app.clone()));
        let connection = self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%peer, %error, "a connection ended badly");
        }
    }
}
