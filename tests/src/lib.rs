//! What workspace tests share: a whole controller over any cloud, in one process; the words of scenarios; and schedules of two.

pub mod life;
pub mod schedule;
pub mod stage;
mod wiring;

use cloud::CloudApi;
use controller::{ControllerConfig, Recording, Running, World};
use engine::{Clock, Elders, Feed, Gate, Metrics};
use power::PowerDriver;
use registry::{Registry, parse_object};
use schemas::{DynObject, kinds};
use serde_json::{Value, json};
use std::{
    sync::{Arc, RwLock},
    time::Duration,
};
use store::{CONTROLLER_LEASE, Guard, KeyRing, ListQuery, SqlStore, Store, StoreConfig};
use tokio_util::sync::CancellationToken;

/// A controller that does not lead yet.
struct Standby {
    world: Arc<World>,
    feed: Arc<Feed>,
    stop: CancellationToken,
    warm: CancellationToken,
}

/// A controller with its database, over a cloud and power devices.
pub struct Rig {
    pub registry: Registry,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub token: i64,
    /// How much lease the next controller has; without it, for ever.
    pub lease_left: Option<Duration>,
    /// What the next controller knows of those before it.
    pub elders: Elders,
    standby: Option<Standby>,
    cloud: Arc<dyn CloudApi>,
    power: Arc<dyn PowerDriver>,
    running: Option<(Running, CancellationToken)>,
    elder: Option<(Running, CancellationToken)>,
    config: ControllerConfig,
    /// The audit, of a database on disk.
    pub audit: Option<Arc<SqlStore>>,
    _dir: Option<tempfile::TempDir>,
}

impl Rig {
    /// A new database and a controller that leads.
    pub async fn start(cloud: Arc<dyn CloudApi>, power: Arc<dyn PowerDriver>, clock: Arc<dyn Clock>, node_sync: Duration) -> Rig {
        let dir = scratch();
        let config = StoreConfig { deadline: Duration::from_secs(30), ..StoreConfig::sqlite(dir.path().join("db")) };
        store::migrate(&config, None).await.expect("migrations");
        let keys = KeyRing::parse(&format!("k:{}", "07".repeat(32))).expect("a key");
        let store = Arc::new(SqlStore::open(&config, keys).await.expect("a store"));
        Rig { _dir: Some(dir), audit: Some(store.clone()), ..Rig::over(store, cloud, power, clock, node_sync).await }
    }

    /// A controller that leads, over a new database.
    pub async fn over(
        store: Arc<dyn Store>,
        cloud: Arc<dyn CloudApi>,
        power: Arc<dyn PowerDriver>,
        clock: Arc<dyn Clock>,
        node_sync: Duration,
    ) -> Rig {
        let registry = Registry::new(store.clone());
        let config = ControllerConfig { node_sync_interval: node_sync.into(), workers: 8, ..ControllerConfig::default() };
        let mut rig = Rig {
            registry,
            store,
            clock,
            metrics: Metrics::default(),
            token: 0,
            lease_left: None,
            elders: Elders::Unknown,
            standby: None,
            cloud,
            power,
            running: None,
            elder: None,
            config,
            audit: None,
            _dir: None,
        };
        rig.registry.ensure_defaults(&Default::default(), rig.clock.now()).await.expect("the default policy");
        rig.lead().await;
        rig
    }

    /// Where the next controller records what it decides over all hosts.
    pub fn record(&mut self, recording: Recording) {
        self.config.recording = Some(recording);
    }

    /// Takes the lease and starts a controller.
    pub async fn lead(&mut self) {
        let seen = self.store.lease(CONTROLLER_LEASE).await.expect("the lease");
        let taken = self.store.lease_take(CONTROLLER_LEASE, "test", &seen, 6_000, self.clock.now()).await;
        self.token = taken.expect("the lease").expect("nobody else wants it").token;
        self.begin().await;
    }

    async fn begin(&mut self) {
        let Standby { world, feed, stop, warm } = match self.standby.take() {
            Some(standby) => standby,
            None => self.cold().await,
        };
        warm.cancel();
        let halted = Arc::new(RwLock::new(None));
        let gate = match self.lease_left {
            Some(left) => Gate::lasting(self.token, left),
            None => Gate::always(self.token),
        };
        let gate = gate.with_elders(self.elders);
        let running = controller::start(self.config.clone(), world, feed, gate, self.metrics.clone(), halted).await;
        self.running = Some((running.expect("a controller"), stop));
    }

    async fn cold(&self) -> Standby {
        let stop = CancellationToken::new();
        let (feed, _) = Feed::start(self.store.clone(), stop.clone()).await.expect("the feed");
        Standby { world: self.looker(), feed, warm: stop.child_token(), stop }
    }

    /// One that only looks, as an API server has it.
    pub fn looker(&self) -> Arc<World> {
        World::new(self.cloud.clone(), self.power.clone(), self.store.clone(), self.clock.clone(), self.metrics.clone())
    }

    /// Starts a standby beside whoever leads; the next controller is this one.
    pub async fn stand_by(&mut self) {
        let standby = self.cold().await;
        let (world, feed, warm) = (standby.world.clone(), standby.feed.clone(), standby.warm.clone());
        tokio::spawn(controller::stand_by(world, feed, self.config.node_sync_interval.clone(), warm));
        self.standby = Some(standby);
    }

    /// Hands over as SIGTERM asks for: false if an act did not end in time.
    pub async fn hand_over(&mut self) -> bool {
        let (running, stop) = self.running.take().expect("a controller");
        let drained = running.stop().await;
        stop.cancel();
        drained
    }

    /// Drops the controller as a lost lease does: when this returns none of its tasks is left.
    pub async fn abandon(&mut self) {
        let (running, stop) = self.running.take().expect("a controller");
        running.abandon().await;
        stop.cancel();
    }

    /// Takes the lease, and tries for `patience` to start a controller whose feed has ended: true if it started.
    pub async fn leads_without_a_feed(&mut self, patience: Duration) -> bool {
        let Standby { world, feed, stop, .. } = self.cold().await;
        stop.cancel();
        // Its tailer is gone once it has seen that, and shows nothing of what is written from now on.
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.patch("ClusterPolicy", "default", json!({"maxPerHost": 7})).await;
        let gate = Gate::always(self.token);
        let start = controller::start(self.config.clone(), world, feed, gate, self.metrics.clone(), Arc::new(RwLock::new(None)));
        tokio::time::timeout(patience, start).await.is_ok()
    }

    /// The cloud and the power devices as the next controller reaches them.
    pub fn reconnect(&mut self, cloud: Arc<dyn CloudApi>, power: Arc<dyn PowerDriver>) {
        (self.cloud, self.power) = (cloud, power);
    }

    /// Freezes all acts as a restored database does (S14), or ends that.
    pub fn halt(&self, why: Option<&str>) {
        let (running, _) = self.running.as_ref().expect("a controller");
        *running.halted.write().expect("no panic while it is held") = why.map(String::from);
    }

    /// Takes the lease and starts another controller; the old one runs on and does not know.
    pub async fn lead_beside(&mut self) {
        let old = self.running.take();
        self.lead().await;
        self.elder = old;
    }

    /// Starts a second controller under the very same token, which no lease ever allows: every step is decided twice.
    pub async fn double(&mut self) {
        self.elder = self.running.take();
        self.begin().await;
    }

    /// Drops the controller where it stands, as a crash would.
    pub fn crash(&mut self) {
        if let Some((running, stop)) = self.running.take() {
            stop.cancel();
            drop(running);
        }
    }

    /// Creates an object, or fails with the registry's words.
    pub async fn try_create(&self, kind: &str, name: &str, spec: Value) -> Result<DynObject, registry::RegistryError> {
        let info = kinds::find(kind).expect("a kind");
        let object = parse_object(info, &json!({"metadata": {"name": name}, "spec": spec}))?;
        Ok(self.registry.create(info, object, Some("operator"), self.clock.now()).await?.object)
    }

    /// Creates an object.
    pub async fn create(&self, kind: &str, name: &str, spec: Value) -> DynObject {
        self.try_create(kind, name, spec).await.unwrap_or_else(|e| panic!("{kind}/{name}: {e}"))
    }

    /// Lays fields over an object's spec.
    pub async fn patch(&self, kind: &str, name: &str, fields: Value) {
        self.try_patch(kind, name, fields).await.unwrap_or_else(|e| panic!("{kind}/{name}: {e}"));
    }

    /// Lays fields over an object's spec, or fails with the registry's words.
    pub async fn try_patch(&self, kind: &str, name: &str, fields: Value) -> Result<DynObject, registry::RegistryError> {
        let info = kinds::find(kind).expect("a kind");
        for _ in 0..50 {
            let mut object = self.get(kind, name).await;
            for (key, value) in fields.as_object().expect("an object") {
                object.spec[key] = value.clone();
            }
            match self.registry.update(info, name, object, self.clock.now()).await {
                Err(registry::RegistryError::Store(store::StoreError::Conflict { .. })) => continue,
                other => return other,
            }
        }
        panic!("{kind}/{name} changed all the time");
    }

    /// An object that must be there.
    pub async fn get(&self, kind: &str, name: &str) -> DynObject {
        self.store.get(kind, name).await.expect("the store").unwrap_or_else(|| panic!("{kind}/{name} is not there"))
    }

    /// All objects of a kind.
    pub async fn list(&self, kind: &str) -> Vec<DynObject> {
        self.store.list(kind, ListQuery::default()).await.expect("the store").items
    }

    /// Waits until an object is as `want` says; on time-out panics with its last state.
    pub async fn wait(&self, kind: &str, name: &str, what: &str, limit: Duration, want: impl Fn(&DynObject) -> bool) -> DynObject {
        let deadline = tokio::time::Instant::now() + limit;
        let mut commits = self.store.commits();
        loop {
            let found = self.store.get(kind, name).await.expect("the store");
            if let Some(object) = found.as_ref().filter(|o| want(o)) {
                return object.clone();
            }
            if tokio::time::Instant::now() > deadline {
                let last = found.map(|o| serde_json::to_string_pretty(&o).unwrap_or_default());
                panic!("{kind}/{name} did not become {what} within {limit:?}: {}", last.unwrap_or("it is not there".into()));
            }
            tokio::select! {
                _ = commits.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(2).min(limit)) => {}
            }
        }
    }

    /// A write under an old token.
    pub async fn write_with_token(&self, token: i64) -> Result<(), store::StoreError> {
        let mut object = self.get("ClusterPolicy", "default").await;
        let expected = object.metadata.revision();
        object.metadata.labels.insert("probe".into(), "1".into());
        self.store.commit(Guard::Lease(token), self.clock.now(), vec![store::Op::Update { object, expected }]).await.map(drop)
    }
}

/// A directory in memory if there is one: a database that waits for no disk.
fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

fn of_condition<'a>(object: &'a DynObject, kind: &str, key: &str) -> &'a str {
    let list = object.status["conditions"].as_array();
    list.into_iter().flatten().find(|c| c["type"] == kind).and_then(|c| c[key].as_str()).unwrap_or("")
}

/// The status of a condition: `True`, `False`, `Unknown`, or nothing.
pub fn condition<'a>(object: &'a DynObject, kind: &str) -> &'a str {
    of_condition(object, kind, "status")
}

/// The reason of a condition.
pub fn reason<'a>(object: &'a DynObject, kind: &str) -> &'a str {
    of_condition(object, kind, "reason")
}

/// The message of a condition.
pub fn message<'a>(object: &'a DynObject, kind: &str) -> &'a str {
    of_condition(object, kind, "message")
}

/// The reason an object waits for.
pub fn waits_for(object: &DynObject) -> &str {
    object.status["waiting"]["reason"].as_str().unwrap_or("")
}
