//! Leading, standing by, and what becomes of a controller that lost the lease.

use controller::{ControllerConfig, Running, World};
use engine::{Clock, Feed, LeaseTime, LeaseTiming, Leadership, Metrics, Standing, lease::Candidate};
use std::sync::{Arc, PoisonError, RwLock};
use store::SqlStore;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a controller needs to lead, and to stand by until then.
pub(super) struct Parts {
    pub store: Arc<SqlStore>,
    pub clock: Arc<dyn Clock>,
    pub feed: Arc<Feed>,
    pub metrics: Metrics,
    /// Why all acts are frozen (S14), if they are.
    pub halted: Arc<RwLock<Option<String>>>,
    pub timing: LeaseTiming,
    pub settings: ControllerConfig,
    /// This process holds the OS lock on the database's directory: nobody else can lead, and whoever led is gone (S14).
    pub alone: bool,
    /// Something else of this process has to live on when the lease is lost.
    pub outlives: bool,
    /// Told how it stands, for `/readyz`.
    pub told: watch::Sender<Standing>,
}

/// How a term ended.
enum End {
    /// This process is to stop.
    Stopped,
    /// Another controller leads, or the history was lost.
    Lost,
}

/// Stands by and leads, in turn, until `stop`. `world` makes what a term looks at the cloud with: nothing that was known
/// in one term is used in the next.
///
/// A lost lease ends the process, and the service manager starts it anew: then nothing at all of the old term survives.
/// Only where an API server shares the process the controller begins anew inside it, after every task of its old term is
/// gone.
pub(super) async fn lead(p: Parts, world: impl Fn() -> Arc<World>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        match term(&p, world(), &stop).await? {
            End::Stopped => return Ok(()),
            End::Lost if p.outlives && !p.alone => tracing::warn!("the lease is lost: this process stands by from now on"),
            End::Lost => anyhow::bail!("the lease is lost: another controller leads, so this process ends; started again it stands by"),
        }
    }
}

async fn term(p: &Parts, world: Arc<World>, stop: &CancellationToken) -> anyhow::Result<End> {
    let holder = format!("{}-{}-{:08x}", hostname(), std::process::id(), rand::random::<u32>());
    let Some(leadership) = stand_by(p, &world, &holder, stop).await? else { return Ok(End::Stopped) };
    tracing::info!(holder, token = leadership.gate.token(), "this process leads");
    if let Some(why) = p.halted.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
        tracing::error!(why, "all acts are frozen");
    }
    let starting = controller::start(p.settings.clone(), world, p.feed.clone(), leadership.gate.clone(), p.metrics.clone(), p.halted.clone());
    let running = tokio::select! {
        running = starting => match running {
            Ok(running) => running,
            Err(error) if p.alone => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "this process could not begin to lead; it gives the lease up");
                tokio::time::sleep(std::time::Duration::from_millis(p.timing.retry_ms)).await;
                leadership.release().await;
                return Ok(End::Lost);
            }
        },
        () = leadership.lost.cancelled() => return Ok(End::Lost),
        () = stop.cancelled() => {
            leadership.release().await;
            return Ok(End::Stopped);
        }
    };
    let lost = tokio::select! {
        () = stop.cancelled() => false,
        () = leadership.lost.cancelled() => true,
        () = running.lost.cancelled() => true,
    };
    if lost {
        running.abandon().await;
        return Ok(End::Lost);
    }
    hand_over(running, leadership).await;
    Ok(End::Stopped)
}

/// Keeps warm until the lease is ours; `None` if `stop` came first.
async fn stand_by(p: &Parts, world: &Arc<World>, holder: &str, stop: &CancellationToken) -> anyhow::Result<Option<Leadership>> {
    let warm = stop.child_token();
    let keeping = (!p.alone).then(|| tokio::spawn(controller::stand_by(world.clone(), p.feed.clone(), p.settings.node_sync_interval.clone(), warm.clone())));
    let candidate = Candidate {
        store: p.store.clone(),
        clock: p.clock.clone(),
        holder,
        timing: p.timing,
        at_once: p.alone,
        metrics: &p.metrics,
        told: &p.told,
        time: LeaseTime::Machine,
    };
    let taken = candidate.acquire(stop).await;
    warm.cancel();
    if let Some(keeping) = keeping {
        // It ends at its next await; a panic in it costs only the warmth.
        let _ = keeping.await;
    }
    Ok(taken?)
}

/// After the last act the lease is given up, so that the successor need not wait. If one did not end, it is waited out.
async fn hand_over(running: Running, leadership: Leadership) {
    if running.stop().await {
        leadership.release().await;
    }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "cloud-manager".into() } else { name.trim().to_string() }
}
