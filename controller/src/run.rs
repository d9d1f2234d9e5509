//! A controller that leads: workers, change dispatch, singletons, shutdown.

use crate::{
    World,
    act::WorldActor,
    controllers, gc, guest_policies,
    lasting::Lasting,
    node_sync::NodeSync,
    telling::{self, Delivery},
    tracker::{Recording, Tracker},
};
use engine::{Feed, Gate, Key, Live, Metrics, Queue, Recorder, Run, RunResult, Shared, queue::priority};
use schemas::v1::reasons;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, RwLock},
    time::Duration,
};
use store::{ChangeOp, ListQuery, Store, StoreResult};
use tokio::task::JoinSet;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// Settings of a controller.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// Pause between looks at Nova's services.
    pub node_sync_interval: Live,
    /// Longest time until a settled object is looked at again.
    pub resync: Live,
    /// Reconciles at the same time.
    pub workers: usize,
    /// Where people are told what happened; none: nowhere but in Events.
    pub delivery: Option<Delivery>,
    /// Where the passes over all hosts are recorded; `None`: nowhere.
    pub recording: Option<Recording>,
    /// Days that audit records are kept; 0: for ever.
    pub audit_days: i64,
}

impl Default for ControllerConfig {
    fn default() -> Self {
        ControllerConfig {
            node_sync_interval: Duration::from_secs(60).into(),
            resync: Duration::from_secs(300).into(),
            workers: 16,
            delivery: None,
            recording: None,
            audit_days: 0,
        }
    }
}

/// Pause between housekeeping passes.
const GC_INTERVAL: Duration = Duration::from_secs(300);
/// Time after a look at all hosts that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// Time after a panic before the same object is tried again.
const AFTER_PANIC: Duration = Duration::from_secs(30);
/// Longest time that acts under way are waited for at shutdown.
const DRAIN: Duration = Duration::from_secs(30);

/// A running controller.
pub struct Running {
    /// Cancelled when the lease was found lost by a write.
    pub lost: CancellationToken,
    /// Why all acts are frozen (S14); set it to freeze.
    pub halted: Arc<RwLock<Option<String>>>,
    /// The queue, for tests and metrics.
    pub queue: Arc<Queue>,
    stop: CancellationToken,
    gate: Gate,
    tasks: JoinSet<()>,
    metrics: Metrics,
    /// Reconciles under way, each in a task of its own.
    runs: TaskTracker,
}

/// Starts to reconcile under `gate`, until [`Running::stop`]. Nothing is decided before the feed has shown everything that
/// was in the database when this was called, which is after the lease was taken.
pub async fn start(
    config: ControllerConfig,
    world: Arc<World>,
    feed: Arc<Feed>,
    gate: Gate,
    metrics: Metrics,
    halted: Arc<RwLock<Option<String>>>,
) -> StoreResult<Running> {
    let (store, clock) = (world.store.clone(), world.clock.clone());
    let led_since = clock.now();
    // After a takeover nobody can commit under an older token: this is all that earlier leaders wrote.
    let at_takeover = store.revision().await?;
    feed.reached(at_takeover.current).await;
    let from = world.follow(&feed).await?;
    let (stop, lost) = (CancellationToken::new(), CancellationToken::new());
    let shared = Shared {
        store: store.clone(),
        clock: clock.clone(),
        led_since,
        cluster_uuid: at_takeover.cluster_uuid,
        halted: halted.clone(),
        actor: Arc::new(WorldActor(world.clone())),
        resync: config.resync,
        recorder: Recorder::new(store.clone(), clock, "controller", metrics.clone()),
        metrics: metrics.clone(),
        stop: stop.clone(),
        gate: gate.clone(),
    };
    let light_ms = i64::try_from(config.node_sync_interval.get().as_millis()).unwrap_or(60_000);
    let table: BTreeMap<&'static str, controllers::Controller> =
        controllers::table(&shared, &world, light_ms).into_iter().map(|c| (c.driver.kind(), c)).collect();
    let table = Arc::new(table);
    let queue = Arc::new(Queue::default());
    let (mut tasks, runs) = (JoinSet::new(), TaskTracker::new());
    let pools = enqueue_all(store.as_ref(), &queue, &table).await?;
    tasks.spawn(dispatch(feed, from, pools, queue.clone(), table.clone(), stop.clone(), lost.clone()));
    tasks.spawn(node_sync(NodeSync::new(world.clone(), shared.clone(), queue.clone()), config.node_sync_interval, stop.clone()));
    tasks.spawn(track(Tracker::new(world, shared.clone()).recorded(config.recording), stop.clone()));
    if let Some(delivery) = config.delivery {
        tasks.spawn(telling::deliver(delivery, shared.cluster_uuid.clone(), shared.clock.clone(), metrics.clone(), stop.clone()));
    }
    tasks.spawn(housekeeping(shared, config.audit_days, stop.clone()));
    for _ in 0..config.workers {
        tasks.spawn(worker(queue.clone(), table.clone(), metrics.clone(), stop.clone(), lost.clone(), runs.clone()));
    }
    Ok(Running { lost, halted, queue, stop, gate, tasks, metrics, runs })
}

impl Running {
    /// Begins nothing new, and waits for acts under way. False if one did not end in time: then the lease is not to be
    /// released, because something may still happen under it.
    pub async fn stop(mut self) -> bool {
        self.stop.cancel();
        let drained = tokio::time::timeout(DRAIN, async { while self.tasks.join_next().await.is_some() {} }).await.is_ok();
        if !drained {
            tracing::warn!("acts under way did not end in time; their intents stay open and are settled later");
            self.tasks.abort_all();
        }
        self.metrics.end_of_term();
        drained
    }

    /// The lease is lost: nothing more is sent, everything is dropped where it stands, and every task is gone when this
    /// returns. What was under way is settled by the next leader.
    pub async fn abandon(mut self) {
        self.gate.close();
        self.stop.cancel();
        self.tasks.shutdown().await;
        self.runs.close();
        self.runs.wait().await;
        self.metrics.end_of_term();
    }
}

/// At the start everything is looked at once; correctness never depends on the queue. Gives the names of the StandbyPools.
async fn enqueue_all(store: &dyn Store, queue: &Queue, table: &BTreeMap<&'static str, controllers::Controller>) -> StoreResult<BTreeSet<String>> {
    let mut pools = BTreeSet::new();
    for kind in table.keys() {
        let open_only = matches!(*kind, "HostOperation" | "Evacuation" | "FenceAttestation" | "FenceDrill");
        for object in store.list(kind, ListQuery { open_only, ..Default::default() }).await?.items {
            if *kind == "StandbyPool" {
                pools.insert(object.metadata.name.clone());
            }
            queue.add(Key::new(*kind, object.metadata.name), Duration::ZERO, priority::RESYNC);
        }
    }
    Ok(pools)
}

async fn worker(
    queue: Arc<Queue>,
    table: Arc<BTreeMap<&'static str, controllers::Controller>>,
    metrics: Metrics,
    stop: CancellationToken,
    lost: CancellationToken,
    runs: TaskTracker,
) {
    loop {
        let key = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            key = queue.next() => key,
        };
        let Some(controller) = table.get(key.kind.as_str()) else {
            queue.done(&key, None);
            continue;
        };
        // In a task of its own, so that a panic ends this run and nothing else; it ends with its worker.
        let run = AbortOnDropHandle::new(runs.spawn({
            let (driver, name): (Arc<dyn Run>, String) = (controller.driver.clone(), key.name.clone());
            async move { driver.run(&name).await }
        }));
        let again = match run.await {
            Ok(RunResult::Again(delay)) => {
                Some((delay, if delay.is_zero() { controller.priority } else { priority::RESYNC.max(controller.priority - 40) }))
            }
            Ok(RunResult::Done) => None,
            Ok(RunResult::LeaseLost) => {
                lost.cancel();
                None
            }
            Err(panic) => {
                tracing::error!(kind = key.kind, name = key.name, %panic, "a reconcile panicked");
                Some((AFTER_PANIC, priority::RESYNC))
            }
        };
        queue.done(&key, again);
        metrics.queue_depth.set(i64::try_from(queue.due()).unwrap_or(i64::MAX));
    }
}

/// Turns changes into work: a changed spec for its own object, and what touches a host for the host and its one-shot objects.
async fn dispatch(
    feed: Arc<Feed>,
    mut from: i64,
    mut pools: BTreeSet<String>,
    queue: Arc<Queue>,
    table: Arc<BTreeMap<&'static str, controllers::Controller>>,
    stop: CancellationToken,
    lost: CancellationToken,
) {
    let mut newest = feed.subscribe();
    let mut generations: HashMap<(String, String), i64> = HashMap::new();
    let mut needs: HashMap<String, (bool, bool)> = HashMap::new();
    loop {
        let changes = match feed.after(from, 200).await {
            Ok(changes) => changes,
            Err(error) => {
                tracing::error!(%error, "the controller lost the change feed");
                lost.cancel();
                return;
            }
        };
        for change in &changes {
            from = change.change.revision;
            let object = change.object();
            let key = (object.kind.clone(), object.metadata.name.clone());
            let generation = object.metadata.generation;
            let changed = match change.change.op {
                ChangeOp::Deleted => {
                    generations.remove(&key);
                    true
                }
                _ => generations.insert(key, generation) != Some(generation),
            };
            // A link is verified from outside its own reconciler: its status is news as well.
            let changed = changed || object.kind == "PowerLink";
            if changed && let Some(controller) = table.get(object.kind.as_str()) {
                queue.add(Key::new(object.kind.clone(), object.metadata.name.clone()), Duration::ZERO, controller.priority);
            }
            let ended = object.status["finishedAt"].is_string();
            match object.kind.as_str() {
                "StandbyPool" if change.change.op == ChangeOp::Deleted => drop(pools.remove(&object.metadata.name)),
                "StandbyPool" => drop(pools.insert(object.metadata.name.clone())),
                _ => {}
            }
            // What a pool may have to do something about: an evacuation that rebuilds guests, or finds no room for one.
            let need = (object.status["path"] == "Rebuild", object.status["waiting"]["reason"] == reasons::NO_DESTINATION);
            let other = object.kind == "Evacuation" && needs.insert(object.metadata.uid.clone(), need) != Some(need);
            if change.change.op == ChangeOp::Deleted {
                needs.remove(&object.metadata.uid);
            }
            if matches!(object.kind.as_str(), "Evacuation" | "FenceDrill") && (changed || ended || other) {
                pools.iter().for_each(|pool| queue.add(Key::new("StandbyPool", pool.clone()), Duration::from_millis(50), priority::CHANGED));
            }
            if ended {
                let owners = object.metadata.owner_references.iter().filter(|o| table.contains_key(o.kind.as_str()));
                owners.for_each(|o| queue.add(Key::new(o.kind.clone(), o.name.clone()), Duration::from_millis(50), priority::CHANGED));
            }
            let host = match object.kind.as_str() {
                "HostOperation" | "Evacuation" if changed || ended => object.spec["hostRef"]["name"].as_str(),
                "PowerLink" => object.spec["hostRef"]["name"].as_str(),
                _ => None,
            };
            if let Some(host) = host {
                queue.add(Key::new("Host", host), Duration::from_millis(50), priority::CHANGED);
            }
        }
        if changes.is_empty() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = newest.changed() => if changed.is_err() { return },
            }
        }
    }
}

async fn node_sync(mut sync: NodeSync, interval: Live, stop: CancellationToken) {
    let mut trouble = Lasting::default();
    loop {
        let passed = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            passed = async { sync.pass(interval.get()).await.and(guest_policies::pass(&sync.world, &sync.shared).await) } => passed,
        };
        match passed {
            Ok(_) if trouble.is_over() => tracing::info!("node synchronisation reads everything again"),
            Err(error) if trouble.is_news(&error) => {
                tracing::warn!(error, "node synchronisation could not read everything; nothing is changed on a guess");
            }
            _ => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval.get()) => {}
        }
    }
}

async fn track(mut tracker: Tracker, stop: CancellationToken) {
    let mut trouble = Lasting::default();
    loop {
        let passed = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            passed = tracker.pass() => passed,
        };
        match &passed {
            Ok(_) if trouble.is_over() => tracing::info!("the watch over hosts reads and writes everything again"),
            Err(error) if trouble.is_news(error) => {
                tracing::warn!(error, "the watch over hosts could not read or write everything; nothing is begun on a guess");
            }
            _ => {}
        }
        let pause = passed.unwrap_or(AFTER_FAILURE);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn housekeeping(shared: Shared, audit_days: i64, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GC_INTERVAL) => {}
        }
        let passed = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            passed = gc::pass(&shared, audit_days) => passed,
        };
        if let Err(error) = passed {
            tracing::warn!(%error, "housekeeping failed; it is tried again");
        }
    }
}
