//! The server roles: wiring, and nothing else.

mod cloud;
mod database;
mod doctor;
mod health;
mod lead;
mod node;
mod sandbox;

use crate::{
    args::{DbCommand, DoctorArgs, SandboxRunArgs, ServerArgs},
    config::{self, Config, LogFormat},
};
use anyhow::Context;
use engine::Metrics;
use node::{Node, Roles};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// `cloud-manager run`.
pub async fn run(args: ServerArgs) -> anyhow::Result<()> {
    serve(args, Roles { api: true, controller: true, migrate: true }).await
}

/// `cloud-manager api-server`.
pub async fn api_server(args: ServerArgs) -> anyhow::Result<()> {
    serve(args, Roles { api: true, controller: false, migrate: false }).await
}

/// `cloud-manager controller`.
pub async fn controller(args: ServerArgs) -> anyhow::Result<()> {
    serve(args, Roles { api: false, controller: true, migrate: false }).await
}

async fn serve(args: ServerArgs, roles: Roles) -> anyhow::Result<()> {
    let config = config::load(&args)?.config;
    start_log(&config);
    let metrics = Metrics::default();
    let cloud = cloud::connect(&config.openstack, metrics.clone()).await?;
    let stop = stop_on_signal()?;
    let node = Node::start(&config, roles, cloud, metrics, Default::default(), stop).await?;
    node.wait().await
}

/// `cloud-manager sandbox`.
pub async fn sandbox(args: SandboxRunArgs) -> anyhow::Result<()> {
    sandbox::run(args).await
}

/// `cloud-manager db`.
pub async fn db(command: DbCommand) -> anyhow::Result<()> {
    database::command(command).await
}

/// `cloud-manager doctor`.
pub async fn doctor(args: DoctorArgs) -> anyhow::Result<()> {
    doctor::run(args).await
}

/// Log lines go to standard error; `RUST_LOG` is not read, `log.level` is.
fn start_log(config: &Config) {
    let filter = EnvFilter::try_new(&config.log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process is refused; the first stays.
    let _ = match config.log.format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

/// Cancelled by SIGTERM or SIGINT.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
    tokio::spawn({
        let stop = stop.clone();
        async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            stop.cancel();
        }
    });
    Ok(stop)
}
