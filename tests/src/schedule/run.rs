//! Runs a schedule.

use super::{
    aftermath,
    calls::Reached,
    chance,
    devices::Devices,
    end,
    laws::Violation,
    nova::Nova,
    observed::Observed,
    operator::Operator,
    plan::{HOSTS, Part, Plan, Sabotage},
    process::{Process, ProcessClock, Stage, lock},
    recovery::Watch,
    sql::Sql,
    weather,
};
use controller::{ControllerConfig, World};
use engine::{Clock, Feed, LeaseTime, LeaseTiming, Metrics, Standing, SteadyClock, TokioClock, lease::Candidate};
use futures::future::join_all;
use registry::Registry;
use schemas::Time;
use serde_json::json;
use simulator::{GuestSpec, ModelStore, SimCloud, SimPower, Topology};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, RwLock, atomic::Ordering},
    time::Duration,
};
use store::{Store, StoreError};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Seconds that a schedule of recovery takes at least before every limit is lifted, and most that it may take from then on: a
/// migration that does not end is given up after an hour.
const LEAST: u64 = 200;
const LONGEST: i64 = 4_200;

/// What became of a schedule.
#[derive(Debug)]
pub struct Outcome {
    pub violation: Option<Violation>,
    /// One number for everything that happened.
    pub hash: u64,
    pub lines: u64,
    /// The last of it.
    pub tail: String,
    /// Simulated seconds it took.
    pub seconds: i64,
    /// Something was stuck for a reason that a person has to look into, and was cancelled.
    pub gave_up: bool,
    /// How often each law was looked at.
    pub checks: BTreeMap<&'static str, u64>,
    /// What of recovery this schedule reached.
    pub reached: BTreeSet<&'static str>,
}

/// Runs a schedule on this thread. `loud`: everything that happens is printed.
pub fn run(plan: &Plan, loud: bool) -> Outcome {
    engine::chance::repeat(plan.seed);
    // Whatever is still under way when it ends is dropped with the runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let outcome = runtime.block_on(play(plan.clone(), loud));
    runtime.shutdown_background();
    outcome
}

async fn play(plan: Plan, loud: bool) -> Outcome {
    let clock = TokioClock::starting_at(Time::parse("2026-01-01T00:00:00Z").expect("a time"));
    let millis = clock.now().0.div_euclid(1_000);
    let mut world = Topology::scenario(HOSTS.len())
        .named(&HOSTS)
        .with_seed(plan.seed)
        .with(|s| (s.rebuild_ms, s.live_migration_ms) = (plan.rebuild_ms, plan.live_migration_ms))
        .build(millis);
    plan.second.plug_in(&mut world);
    let seed = plan.seed;
    let inner: Arc<dyn Store> = match (plan.sqlite, plan.sabotage) {
        (_, Sabotage::TokenCheck) => Arc::new(ModelStore::without_token_check(&chance::uuid(seed, 0))),
        (true, _) => Arc::new(Sql::sqlite()),
        (false, _) => Arc::new(ModelStore::new(&chance::uuid(seed, 0))),
    };
    let stage = Arc::new(Stage::new(plan, clock, world));
    lock(&stage.trace).loud = loud;
    let store: Arc<dyn Store> = Arc::new(Observed::new(inner, stage.laws.clone(), seed));
    let operator = Operator { stage: stage.clone(), store: store.clone(), registry: Registry::new(store.clone()) };
    tokio::select! {
        biased;
        () = stage.over.cancelled() => {}
        () = acts(&stage, &operator) => {}
    }
    let trace = lock(&stage.trace);
    let laws = lock(&stage.laws);
    Outcome {
        violation: laws.broken().cloned(),
        hash: trace.hash(),
        lines: trace.lines,
        tail: trace.tail(80),
        seconds: stage.elapsed() / 1_000,
        gave_up: stage.gave_up.load(Ordering::SeqCst),
        checks: laws.checks.clone(),
        reached: laws.reached.clone(),
    }
}

/// The whole play: the scene, the parts, the weather, and the end.
async fn acts(stage: &Arc<Stage>, operator: &Operator) {
    let plan = &stage.plan;
    operator.registry.ensure_defaults(&Default::default(), stage.clock.now()).await.expect("the default policy");
    let policy = json!({
        "guestDisks": "Shared",
        "maxPerHost": plan.max_per_host,
        "maxEvacuations": plan.max_evacuations,
        "maxHostsDraining": plan.max_draining,
        "softOffTimeoutSeconds": 60,
    });
    operator.patch("ClusterPolicy", "default", policy).await;
    let machines: [Arc<Machine>; 2] = [0, 1].map(|slot| Arc::new(Machine { slot, now: Mutex::new(None) }));
    let lives: Vec<AbortOnDropHandle<()>> =
        machines.iter().map(|m| AbortOnDropHandle::new(tokio::spawn(m.clone().lives(stage.clone(), operator.store.clone())))).collect();
    operator.wire().await;
    let strike = move |slot: usize, kill: bool| machines[slot].strike(kill);
    if let Some(watch) = &plan.watch {
        watched(stage, operator, watch, strike).await;
    } else {
        worked(stage, operator, strike).await;
    }
    drop(lives);
}

/// Hosts are recovered without a person.
async fn watched(stage: &Arc<Stage>, operator: &Operator, watch: &Watch, strike: impl FnMut(usize, bool) + Send + 'static) {
    operator.set_up(watch).await;
    stage.say("", "the scene is set");
    let begin = tokio::time::Instant::now();
    stage.open.store(true, Ordering::SeqCst);
    let weather = AbortOnDropHandle::new(tokio::spawn(weather::pass(stage.clone(), begin, strike)));
    operator.do_all(begin).await;
    tokio::time::sleep_until(begin + Duration::from_secs(stage.plan.last_blow().max(LEAST))).await;
    drop(weather);
    weather::heal(stage).await;
    operator.lift().await;
    let mut rested = operator.rests(LONGEST).await;
    if rested.is_ok() && operator.empty_standbys() {
        stage.say("", "guests on standby hosts are deleted");
        rested = operator.rests(LONGEST).await;
    }
    stage.judge(|laws, world| laws.look(world));
    aftermath::judge(stage, operator.store.as_ref(), rested).await;
}

/// Parts are played, each to its end.
async fn worked(stage: &Arc<Stage>, operator: &Operator, strike: impl FnMut(usize, bool) + Send + 'static) {
    let plan = &stage.plan;
    let guests: Vec<(Part, Vec<String>)> = plan.parts.iter().map(|p| (*p, operator.settle(p))).collect();
    let aside: Vec<&'static str> = HOSTS.into_iter().filter(|h| !plan.parts.iter().any(|p| p.host == *h)).collect();
    let bystander = |host: &'static str| {
        let spec = GuestSpec::new(format!("bystander-{host}"), host);
        (stage.with(|w| w.add_guest(spec)).expect("a host of the schedule"), host)
    };
    let bystanders: Vec<(String, &'static str)> = aside.into_iter().map(bystander).collect();
    stage.say("", "the scene is set");
    stage.open.store(true, Ordering::SeqCst);
    let weather = AbortOnDropHandle::new(tokio::spawn(weather::pass(stage.clone(), stage.began, strike)));
    let frozen = AbortOnDropHandle::new(tokio::spawn(freeze(operator.clone())));
    join_all(plan.parts.iter().map(|p| operator.play(*p))).await;
    // Faults that come after the work still come, and what they leave must be nothing.
    let _ = frozen.await;
    tokio::time::sleep_until(stage.began + Duration::from_secs(plan.last_blow())).await;
    drop(weather);
    weather::heal(stage).await;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let laws = lock(&stage.laws);
        if laws.mirror.open().next().is_none() && laws.mirror.claims.is_empty() {
            break;
        }
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.judge(|laws, world| laws.look(world));
    end::judge(stage, operator.store.as_ref(), &guests, &bystanders).await;
}

async fn freeze(operator: Operator) {
    let Some((at, seconds)) = operator.stage.plan.freeze else { return };
    for (pause, word) in [(at, "Frozen"), (seconds, "Normal")] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        operator.stage.say("op", &format!("the cluster is {word}"));
        operator.patch("ClusterPolicy", "default", json!({"operations": word})).await;
    }
}

/// A machine that a controller runs on: when its process ends, it starts another.
struct Machine {
    slot: usize,
    now: Mutex<Option<Arc<Process>>>,
}

impl Machine {
    fn strike(&self, kill: bool) {
        if let Some(process) = lock(&self.now).as_ref() {
            if kill { process.die() } else { process.term.cancel() }
        }
    }

    async fn lives(self: Arc<Self>, stage: Arc<Stage>, store: Arc<dyn Store>) {
        let slot = u64::try_from(self.slot).unwrap_or(0);
        // The second machine is started a little later: the first one leads.
        tokio::time::sleep(Duration::from_millis(40 * slot)).await;
        for life in 1.. {
            let process = Process::new(stage.clone(), self.slot, life);
            *lock(&self.now) = Some(process.clone());
            process.say("starts");
            let work = AbortOnDropHandle::new(tokio::spawn(work(process.clone(), store.clone())));
            tokio::select! {
                biased;
                () = process.died.cancelled() => {}
                ended = work => {
                    let word = match ended {
                        Ok(Ok(word)) => word.to_string(),
                        Ok(Err(error)) => error.to_string(),
                        Err(panic) => format!("panicked: {panic}"),
                    };
                    process.say(&format!("ends: {word}"));
                    let panicked = word.starts_with("panicked");
                    lock(&stage.laws).check("no process panics", !panicked, || word);
                }
            }
            process.die();
            let pause = 200 + chance::mix(stage.plan.seed, 1_000 + slot, life) % 12_000;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// What a controller process does: it waits for the lease, leads until that is lost, and ends.
async fn work(process: Arc<Process>, store: Arc<dyn Store>) -> Result<&'static str, StoreError> {
    let stage = process.stage.clone();
    let store: Arc<dyn Store> = Arc::new(Reached { process: process.clone(), store });
    let wall: Arc<dyn Clock> = Arc::new(ProcessClock(process.clone()));
    let clock = Arc::new(SteadyClock::following(wall.clone()));
    let ticks: simulator::Clock = {
        let stage = stage.clone();
        Arc::new(move || stage.millis())
    };
    let cloud = Nova { process: process.clone(), cloud: SimCloud::new(stage.world.clone(), ticks.clone()) };
    let power = Devices { process: process.clone(), power: SimPower::new(stage.world.clone(), ticks) };
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let metrics = Metrics::default();
    let (feed, tail) = Feed::start(store.clone(), stop.clone()).await?;
    let tail = AbortOnDropHandle::new(tail);
    let world = World::new(Arc::new(cloud), Arc::new(power), store.clone(), clock.clone(), metrics.clone());
    let timing = LeaseTiming::default();
    let told = tokio::sync::watch::channel(Standing::Starting).0;
    let candidate =
        Candidate { store, clock: wall, holder: &process.name, timing, at_once: false, metrics: &metrics, told: &told, time: LeaseTime::Simulated };
    let leading = candidate.acquire(&process.term).await?;
    let Some(leading) = leading else { return Ok("asked to end") };
    process.say(&format!("leads with token {}", leading.gate.token()));
    process.leads_by(leading.gate.clone());
    let config = ControllerConfig { node_sync_interval: Duration::from_secs(5).into(), workers: 4, ..ControllerConfig::default() };
    let running = controller::start(config, world, feed, leading.gate.clone(), metrics, Arc::new(RwLock::new(None))).await?;
    let word = tokio::select! {
        biased;
        () = leading.lost.cancelled() => "the lease is lost",
        () = running.lost.cancelled() => "a write found the lease lost",
        _ = tail => "the feed ended",
        () = clock.until_off() => "the clock was set",
        () = process.term.cancelled() => "",
    };
    if word.is_empty() {
        running.stop().await;
        leading.release().await;
        return Ok("asked to end, and gave the lease up");
    }
    Ok(word)
}
