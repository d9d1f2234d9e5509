//! Leading, standing by, and what becomes of a controller that lost the lease.

use controller::{ControllerConfig, Running, World};
use engine::{Clock, Feed, Leadership, LeaseTime, LeaseTiming, Metrics, Recorder, Standing, SteadyClock, lease::Candidate};
use std::sync::{Arc, PoisonError, RwLock};
use store::{SqlStore, Store};
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
    /// The machine's clock was set, or it slept: what was measured by it says nothing any longer.
    ClockSet,
}

/// Stands by and leads, in turn, until `stop`. `world` makes what a term looks at the cloud with: nothing that was known
/// in one term is used in the next.
///
/// A lost lease ends the process, and the service manager starts it anew: then nothing at all of the old term survives.
/// Only where an API server shares the process the controller begins anew inside it, after every task of its old term is
/// gone.
pub(super) async fn lead(p: Parts, world: impl Fn(Arc<dyn Clock>) -> Arc<World>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let clock = Arc::new(SteadyClock::following(p.clock.clone()));
        match term(&p, &clock, world(clock.clone()), &stop).await? {
            End::Stopped => return Ok(()),
            End::ClockSet => tell_clock_set(&p).await,
            End::Lost if p.outlives && !p.alone => tracing::warn!("the lease is lost: this process stands by from now on"),
            End::Lost => anyhow::bail!("the lease is lost: another controller leads, so this process ends; started again it stands by"),
        }
    }
}

/// Said where people look: what a policy tells after it, its quiet period, has a reason.
async fn tell_clock_set(p: &Parts) {
    let note = "the machine's clock was set, or it slept: this controller begins anew, and counts no time from before; nothing is begun without a person until the quiet period of each RemediationPolicy is over. Keep the clock set (chrony), and look for what stops the machine";
    match p.store.get("ClusterPolicy", "default").await {
        Ok(Some(policy)) => {
            let recorder = Recorder::new(p.store.clone(), p.clock.clone(), "controller", p.metrics.clone());
            recorder.record(&policy, true, "ClockSet", note).await;
        }
        _ => tracing::warn!(note),
    }
}

async fn term(p: &Parts, clock: &SteadyClock, world: Arc<World>, stop: &CancellationToken) -> anyhow::Result<End> {
    let holder = format!("{}-{}-{:08x}", hostname(), std::process::id(), rand::random::<u32>());
    let Some(leadership) = stand_by(p, &world, &holder, stop).await? else { return Ok(End::Stopped) };
    if clock.is_off() {
        leadership.release().await;
        return Ok(End::ClockSet);
    }
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
    let cut_short = tokio::select! {
        () = stop.cancelled() => None,
        () = leadership.lost.cancelled() => Some(End::Lost),
        () = running.lost.cancelled() => Some(End::Lost),
        () = clock.until_off() => Some(End::ClockSet),
    };
    if let Some(end) = cut_short {
        running.abandon().await;
        return Ok(end);
    }
    hand_over(running, leadership).await;
    Ok(End::Stopped)
}

/// Keeps warm until the lease is ours; `None` if `stop` came first.
async fn stand_by(p: &Parts, world: &Arc<World>, holder: &str, stop: &CancellationToken) -> anyhow::Result<Option<Leadership>> {
    let warm = stop.child_token();
    let keeping =
        (!p.alone).then(|| tokio::spawn(controller::stand_by(world.clone(), p.feed.clone(), p.settings.node_sync_interval.clone(), warm.clone())));
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

#[cfg(test)]
mod tests {
    use super::*;
    use engine::SystemClock;
    use simulator::{SimCloud, SimPower, Topology};
    use std::{
        sync::{Mutex, Weak},
        time::Duration,
    };
    use store::{CONTROLLER_LEASE, KeyRing, StoreConfig};
    use tokio::task::JoinHandle;

    /// Nobody lives to see the end of it: only a handover can be the reason for a takeover.
    const LONG: LeaseTiming = LeaseTiming { lease_ms: 3_600_000, renew_deadline_ms: 3_000_000, retry_ms: 100 };

    struct Pair {
        store: Arc<SqlStore>,
        cloud: Arc<Mutex<simulator::World>>,
        /// What each term looked at the cloud with, as long as anything of that term is alive.
        terms: Arc<Mutex<Vec<Weak<World>>>>,
        _dir: tempfile::TempDir,
    }

    fn now_ms() -> i64 {
        SystemClock.now().0 / 1_000
    }

    async fn soon<T>(work: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(60), work).await.expect("it should not take so long")
    }

    impl Pair {
        async fn new() -> Pair {
            let dir = tempfile::tempdir().unwrap();
            let config = StoreConfig { deadline: Duration::from_secs(60), ..StoreConfig::sqlite(dir.path().join("db")) };
            store::migrate(&config, None).await.unwrap();
            let store = Arc::new(SqlStore::open(&config, KeyRing::parse(&format!("k:{}", "07".repeat(32))).unwrap()).await.unwrap());
            registry::Registry::new(store.clone()).ensure_defaults(&Default::default(), SystemClock.now()).await.unwrap();
            Pair { store, cloud: Arc::new(Mutex::new(Topology::scenario(3).build(now_ms()))), terms: Arc::default(), _dir: dir }
        }

        /// A process that leads or stands by; how it stands; what stops it.
        async fn process(&self, outlives: bool) -> (JoinHandle<anyhow::Result<()>>, watch::Receiver<Standing>, CancellationToken) {
            self.process_by(Arc::new(SystemClock), outlives).await
        }

        async fn process_by(
            &self,
            clock: Arc<dyn Clock>,
            outlives: bool,
        ) -> (JoinHandle<anyhow::Result<()>>, watch::Receiver<Standing>, CancellationToken) {
            let stop = CancellationToken::new();
            let (feed, _) = Feed::start(self.store.clone(), stop.clone()).await.unwrap();
            let (told, standing) = watch::channel(Standing::Starting);
            let metrics = Metrics::default();
            let world = {
                let (cloud, store, metrics, terms) = (self.cloud.clone(), self.store.clone(), metrics.clone(), self.terms.clone());
                let front = move || (SimCloud::new(cloud.clone(), Arc::new(now_ms)), SimPower::new(cloud.clone(), Arc::new(now_ms)));
                move |clock| {
                    let (nova, power) = front();
                    let made = World::new(Arc::new(nova), Arc::new(power), store.clone(), clock, metrics.clone());
                    terms.lock().unwrap().push(Arc::downgrade(&made));
                    made
                }
            };
            let settings = ControllerConfig { node_sync_interval: Duration::from_millis(200).into(), ..ControllerConfig::default() };
            let store = self.store.clone();
            let parts = Parts { store, clock, feed, metrics, halted: Arc::default(), timing: LONG, settings, alone: false, outlives, told };
            (tokio::spawn(lead(parts, world, stop.clone())), standing, stop)
        }

        /// Somebody takes the lease away from whoever has it.
        async fn usurp(&self) -> i64 {
            loop {
                let row = self.store.lease(CONTROLLER_LEASE).await.unwrap();
                if let Some(taken) = self.store.lease_take(CONTROLLER_LEASE, "usurper", &row, 3_600_000, SystemClock.now()).await.unwrap() {
                    return taken.token;
                }
            }
        }

        /// Terms of which nothing is left: no task, no memory.
        fn ended(&self) -> usize {
            self.terms.lock().unwrap().iter().filter(|t| t.strong_count() == 0).count()
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_leader_that_is_told_to_stop_hands_over_and_the_standby_leads() {
        let pair = Pair::new().await;
        let (first, mut leads, stop) = pair.process(false).await;
        soon(leads.wait_for(|s| *s == Standing::Leading { token: 1 })).await.unwrap();
        let (second, mut follows, stop_second) = pair.process(false).await;
        soon(follows.wait_for(|s| matches!(s, Standing::Waiting { token: 1, .. }))).await.unwrap();
        stop.cancel();
        soon(first).await.unwrap().expect("a clean end");
        soon(follows.wait_for(|s| *s == Standing::Leading { token: 2 })).await.unwrap();
        stop_second.cancel();
        soon(second).await.unwrap().expect("a clean end");
        assert_eq!(pair.store.lease(CONTROLLER_LEASE).await.unwrap().holder, "", "given up again");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_controller_that_lost_the_lease_ends_with_a_clear_word() {
        let pair = Pair::new().await;
        let (process, mut standing, _stop) = pair.process(false).await;
        soon(standing.wait_for(|s| *s == Standing::Leading { token: 1 })).await.unwrap();
        assert_eq!(pair.usurp().await, 2);
        let error = soon(process).await.unwrap().expect_err("it ends").to_string();
        assert!(error.contains("the lease is lost") && error.contains("started again it stands by"), "{error}");
        assert_eq!(pair.ended(), 1, "no task of it is left");
    }

    /// The system's clock, and by how many seconds it was set.
    struct Set(std::sync::atomic::AtomicI64);

    impl Clock for Set {
        fn now(&self) -> schemas::Time {
            SystemClock.now().plus_seconds(self.0.load(std::sync::atomic::Ordering::SeqCst))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_clock_that_is_set_ends_the_term_and_another_follows() {
        let pair = Pair::new().await;
        let clock = Arc::new(Set(0.into()));
        let (process, mut standing, stop) = pair.process_by(clock.clone(), false).await;
        soon(standing.wait_for(|s| *s == Standing::Leading { token: 1 })).await.unwrap();
        clock.0.store(-3_600, std::sync::atomic::Ordering::SeqCst);
        // Its old term's lease is given up if nothing was begun under it, and waited out like anybody's if there was.
        soon(standing.wait_for(|s| *s != Standing::Leading { token: 1 })).await.unwrap();
        assert_eq!((pair.ended(), pair.terms.lock().unwrap().len()), (1, 2), "it knows nothing of its last term");
        let told = pair.store.events(None, 1_000).await.unwrap();
        let told: Vec<_> = told.iter().filter(|e| e.spec["reason"] == "ClockSet").map(|e| e.spec["type"].as_str()).collect();
        assert_eq!(told, [Some("Warning")], "and it is said where people look");
        stop.cancel();
        soon(process).await.unwrap().expect("a clean end");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn beside_an_api_server_it_stands_by_and_leads_again_when_its_turn_comes() {
        let pair = Pair::new().await;
        let (process, mut standing, stop) = pair.process(true).await;
        soon(standing.wait_for(|s| *s == Standing::Leading { token: 1 })).await.unwrap();
        let token = pair.usurp().await;
        soon(standing.wait_for(|s| matches!(s, Standing::Waiting { holder, .. } if holder == "usurper"))).await.unwrap();
        assert!(!process.is_finished());
        assert_eq!((pair.ended(), pair.terms.lock().unwrap().len()), (1, 2), "it knows nothing of its last term");
        pair.store.lease_release(CONTROLLER_LEASE, "usurper", token).await.unwrap();
        soon(standing.wait_for(|s| *s == Standing::Leading { token: token + 1 })).await.unwrap();
        stop.cancel();
        soon(process).await.unwrap().expect("a clean end");
    }
}
