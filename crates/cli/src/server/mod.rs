//! The server roles: wiring, and nothing else.

mod audit;
mod backup;
mod cloud;
mod database;
mod doctor;
mod dump;
mod health;
mod keys;
mod lead;
mod node;
mod reload;
mod sandbox;

use crate::{
    args::{DbCommand, DoctorArgs, KeysCommand, SandboxRunArgs, ServerArgs},
    config::{self, Config, Loaded, LogFormat},
    output::Failure,
};
use ::client::Exit;
use anyhow::Context;
use engine::Metrics;
use node::{Node, Roles};
use reload::{Pace, Reloader, SetFilter};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// `cloud-manager run`.
pub async fn run(args: ServerArgs) -> anyhow::Result<()> {
    serve(args, Roles { api: true, controller: true, migrate: true }).await
}

/// `cloud-manager audit verify`.
pub async fn audit_verify(args: ServerArgs) -> Result<Exit, Failure> {
    audit::verify(&args).await.map_err(Failure::from)
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
    let started = config::load(&args)?;
    let config = started.config.clone();
    let set_filter = start_log(&config);
    say_notices(&started);
    let metrics = Metrics::default();
    let cloud = cloud::connect(&config.openstack, metrics.clone()).await?;
    let stop = stop_on_signal()?;
    let pace = Pace::of(&config);
    reload::on_hangup(Reloader { args, started, pace: pace.clone(), cloud: cloud.clone(), set_filter }, stop.clone())?;
    let defaults = registry::Defaults { cluster: config.policy.spec(), remediation: config.remediation.spec() };
    let node = Node::start(&config, roles, cloud, metrics, defaults, pace, stop).await?;
    node.wait().await
}

/// Names what the INI files hold that has no effect, one line per reason.
fn say_notices(loaded: &Loaded) {
    for line in config::told(&loaded.notices) {
        tracing::warn!("configuration: {line}");
    }
}

/// `cloud-manager sandbox`.
pub async fn sandbox(args: SandboxRunArgs) -> anyhow::Result<()> {
    sandbox::run(args).await
}

/// `cloud-manager db`.
pub async fn db(command: DbCommand) -> anyhow::Result<()> {
    database::command(command).await
}

/// `cloud-manager keys`.
pub async fn keys(command: KeysCommand) -> anyhow::Result<()> {
    keys::run(command).await
}

/// `cloud-manager config dump`: the text.
pub async fn config_dump(args: &ServerArgs) -> anyhow::Result<String> {
    dump::text(args).await
}

/// `cloud-manager doctor`.
pub async fn doctor(args: DoctorArgs) -> Result<Exit, Failure> {
    Ok(doctor::run(args).await?)
}

/// Log lines go to standard error; `RUST_LOG` is not read, `log.level` is. Gives what changes the level later.
fn start_log(config: &Config) -> SetFilter {
    let filter = EnvFilter::try_new(&config.log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process is refused; the first stays.
    macro_rules! started {
        ($log:expr) => {{
            let log = $log.with_filter_reloading();
            let handle = log.reload_handle();
            let _ = log.try_init();
            Box::new(move |level: &str| {
                let filter = EnvFilter::try_new(level).map_err(|e| e.to_string())?;
                handle.reload(filter).map_err(|e| e.to_string())
            })
        }};
    }
    match config.log.format {
        LogFormat::Text => started!(log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))),
        LogFormat::Json => started!(log.json()),
    }
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
