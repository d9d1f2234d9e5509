//! One process: database, change feed, API server, controller, in this order; and down again in reverse.

use super::{
    database,
    doctor::StateFile,
    health::{NodeHealth, NovaGuests},
    lead::{self, Parts},
    reload::Pace,
};
use crate::config::Config;
use anyhow::Context;
use api_server::{ApiConfig, Backends, Rate, TlsFiles};
use cloud::CloudApi;
use controller::{ControllerConfig, Delivery, Recording, World};
use engine::{Clock, Feed, LeaseTiming, Metrics, Standing, SystemClock};
use registry::Registry;
use std::{
    net::SocketAddr,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::{DataDirLock, SqlStore, Store, StoreError};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Pause between writes of the state file.
const STATE_INTERVAL: Duration = Duration::from_secs(5);

/// What this process does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roles {
    pub api: bool,
    pub controller: bool,
    /// May bring the schema up by itself.
    pub migrate: bool,
}

/// A running process.
pub(super) struct Node {
    pub registry: Registry,
    pub api: Option<SocketAddr>,
    stop: CancellationToken,
    servers: Vec<JoinHandle<()>>,
    controller: Option<JoinHandle<anyhow::Result<()>>>,
    feed_task: JoinHandle<Result<(), StoreError>>,
    _lock: Option<DataDirLock>,
}

fn address(text: &str, key: &str) -> anyhow::Result<SocketAddr> {
    text.parse().with_context(|| format!("{key} {text:?} is not an address with a port, such as 127.0.0.1:9362"))
}

impl Node {
    /// Starts. `defaults` are what the objects named `default` begin with in a new database.
    pub async fn start<C: CloudApi + 'static>(
        config: &Config,
        roles: Roles,
        cloud: Arc<C>,
        metrics: Metrics,
        defaults: registry::Defaults,
        pace: Pace,
        stop: CancellationToken,
    ) -> anyhow::Result<Node> {
        let timing = LeaseTiming {
            lease_ms: config.controller.lease_millis,
            renew_deadline_ms: config.controller.renew_deadline_millis,
            retry_ms: config.controller.retry_millis,
        };
        timing.check().map_err(anyhow::Error::msg)?;
        database::prepare_directories(config)?;
        let lock = if roles.controller { database::lock(config)? } else { None };
        // Whoever holds the lock knows that the last holder of the lease is gone (S14); on a shared database it is waited out.
        let alone = lock.is_some();
        let store = Arc::new(database::open(config, roles.migrate).await?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let registry = Registry::new(store.clone());
        registry.ensure_defaults(&defaults, clock.now()).await?;
        let state = StateFile::beside(&database::state_base(config)?);
        let halted = Arc::new(RwLock::new(state.check(&store.revision().await?)));
        let (feed, tail) = Feed::start(store.clone(), stop.clone()).await?;
        let feed_alive = Arc::new(AtomicBool::new(true));
        let feed_task = tokio::spawn({
            let (alive, stop) = (feed_alive.clone(), stop.clone());
            async move {
                let ended = tail.await.unwrap_or_else(|e| Err(StoreError::Unavailable(e.to_string())));
                alive.store(false, Ordering::SeqCst);
                if let Err(error) = &ended {
                    tracing::error!(%error, "the change feed ended: this process stops, so that nothing is missed");
                }
                stop.cancel();
                ended
            }
        });
        // One set of drivers for the process: they keep each BMC to one command at a time.
        let drivers = Arc::new(power::Drivers::new());
        let world = {
            let (cloud, store, metrics) = (cloud.clone(), store.clone(), metrics.clone());
            move |clock| World::new(cloud.clone(), drivers.clone(), store.clone(), clock, metrics.clone())
        };
        let told = watch::channel(Standing::Starting).0;
        let mut node =
            Node { registry: registry.clone(), api: None, stop: stop.clone(), servers: Vec::new(), controller: None, feed_task, _lock: lock };
        if roles.api {
            let api = ApiConfig {
                listen: address(&config.api.listen, "api.listen")?,
                tls: config
                    .api
                    .tls_cert_file
                    .as_ref()
                    .zip(config.api.tls_key_file.as_ref())
                    .map(|(certificate, key)| TlsFiles { certificate: certificate.into(), key: key.into() }),
                trusted_proxies: config.api.proxies().map_err(|word| anyhow::anyhow!("api.trusted_proxies: {word:?} is no IP address"))?,
                root_status: if config.api.root_status == 200 { 200 } else { 300 },
                public_endpoint: config.api.public_endpoint.clone(),
                max_watches_per_user: config.api.max_watches_per_user,
                rate: u32::try_from(config.api.requests_per_second).ok().filter(|n| *n > 0).map(|n| Rate { per_second: n, burst: 2 * n }),
                policy_file: config.api.policy_file.as_ref().map(Into::into),
                audit_enabled: config.api.audit_enabled,
                audit_reads: config.api.audit_reads,
                audit_file: config.api.audit_file.as_ref().map(Into::into),
                ..ApiConfig::default()
            };
            let backends = Backends {
                registry,
                feed: feed.clone(),
                audit: store.clone(),
                identity: cloud,
                guests: Arc::new(NovaGuests { world: world(clock.clone()), store: store.clone() }),
                health: Arc::new(NodeHealth { store: store.clone(), feed_alive, standing: roles.controller.then(|| told.subscribe()) }),
                metrics: metrics.clone(),
                clock: clock.clone(),
            };
            let handle = api_server::serve(api, backends, stop.clone()).await?;
            tracing::info!(address = %handle.addr, "the API server is ready");
            node.api = Some(handle.addr);
            node.servers.push(handle.task);
        }
        if let Some(listen) = &config.api.metrics_listen {
            node.servers.push(api_server::serve_metrics(address(listen, "api.metrics_listen")?, metrics.clone(), stop.clone()).await?.task);
        }
        node.servers.push(tokio::spawn(keep_state(state, store.clone(), halted.clone(), stop.clone())));
        if roles.controller {
            let most_bytes = config.controller.record_decisions_mb * 1_000_000;
            let recording = (most_bytes > 0).then_some(Recording { dir: database::state_dir(config)?, most_bytes });
            let settings = ControllerConfig {
                node_sync_interval: pace.node_sync,
                resync: pace.resync,
                delivery: delivery(config, store.clone())?,
                recording,
                audit_days: i64::try_from(config.controller.audit_days).unwrap_or(0),
                ..ControllerConfig::default()
            };
            let parts = Parts { store, clock, feed, metrics, halted, timing, settings, alone, outlives: roles.api, told };
            node.controller = Some(tokio::spawn(lead::lead(parts, world, stop)));
        }
        Ok(node)
    }

    /// Waits for the end: a signal, or a failure that this process must not outlive.
    pub async fn wait(mut self) -> anyhow::Result<()> {
        let outcome = match self.controller.take() {
            Some(controller) => controller.await.context("the controller died").and_then(|r| r),
            None => {
                self.stop.cancelled().await;
                Ok(())
            }
        };
        self.stop.cancel();
        for server in self.servers {
            // A server's own errors are logged where they happen.
            let _ = server.await;
        }
        let feed = self.feed_task.await.context("the change feed died")?;
        outcome.and(feed.map_err(Into::into))
    }
}

/// Where what is told is delivered, if that is configured.
fn delivery(config: &Config, store: Arc<SqlStore>) -> anyhow::Result<Option<Delivery>> {
    let Some(receiver) = config.webhook.receiver() else { return Ok(None) };
    let webhook = cloud::webhook::Webhook::new(receiver).map_err(|why| anyhow::anyhow!("[webhook]: {why}"))?;
    Ok(Some(Delivery { outbox: store, receiver: Arc::new(webhook) }))
}

/// Writes down how far history went, and freezes all acts if it ever goes back (S14).
async fn keep_state(state: StateFile, store: Arc<SqlStore>, halted: Arc<RwLock<Option<String>>>, stop: CancellationToken) {
    loop {
        if let Ok(revision) = store.revision().await {
            let mut halted = halted.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            match state.check(&revision) {
                Some(why) => *halted = Some(why),
                None => {
                    *halted = None;
                    if let Err(error) = state.write(&revision) {
                        tracing::warn!(%error, "the state file cannot be written");
                    }
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(STATE_INTERVAL) => {}
        }
    }
}
