//! The words that scenarios are written in.

use crate::{Rig, condition, life::Life, waits_for, wiring::Wired};
use engine::{Clock, TokioClock};
use schemas::{
    DynObject, Time,
    v1::{Observation, Says},
};
use serde_json::{Value, json};
use simulator::{CallKind, CallRecord, GuestSpec, HostFault, HostSpec, ModelStore, Settings, SimCloud, SimPower, Topology, World};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::{Guard, Op};

/// Longest that a scenario waits for anything, in simulated seconds, unless it says otherwise.
const PATIENCE: u64 = 240;
/// Pause between looks at Nova's services, in simulated seconds.
const NODE_SYNC: u64 = 5;

/// What a scenario starts from.
pub struct Given {
    topology: Topology,
    policy: Value,
    verified: bool,
    cables: Vec<(String, String)>,
    special: Vec<HostSpec>,
    devices: Vec<Wired>,
    repeatable: bool,
}

/// A cloud of these hosts, each with a verified BMC; guests' disks are on shared storage.
pub fn given(hosts: &[&str]) -> Given {
    Given {
        topology: Topology::scenario(hosts.len()).named(hosts),
        policy: json!({"guestDisks": "Shared"}),
        verified: true,
        cables: Vec::new(),
        special: Vec::new(),
        devices: Vec::new(),
        repeatable: false,
    }
}

impl Given {
    /// On a database in memory, and with pauses that are the same each time: what happens is the same in every run.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// With the simulated cloud's settings changed.
    pub fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        self.topology = self.topology.with(change);
        self
    }

    /// With one more host, unlike the others.
    pub fn host(mut self, host: HostSpec) -> Self {
        self.special.push(host);
        self
    }

    /// With a second BMC on a host, `HOST.bmc2`, with the link `link-HOST.bmc2`.
    pub fn second_bmc(mut self, host: &str) -> Self {
        self.devices.push(Wired::second_bmc(host));
        self
    }

    /// With that many outlets that a host is plugged into, `HOST.outlet1` and so on, with links `link-HOST.outlet1` and so on.
    pub fn outlets(mut self, host: &str, count: usize) -> Self {
        self.devices.extend(Wired::outlets(host, count));
        self
    }

    /// With fields of the ClusterPolicy.
    pub fn policy(mut self, fields: Value) -> Self {
        for (key, value) in fields.as_object().expect("an object") {
            self.policy[key] = value.clone();
        }
        self
    }

    /// With links that nobody has verified yet.
    pub fn unverified(mut self) -> Self {
        self.verified = false;
        self
    }

    /// With the BMC that is declared for `host` in truth powering `machine`.
    pub fn miswired(mut self, host: &str, machine: &str) -> Self {
        self.cables.push((bmc(host), machine.into()));
        self
    }

    /// Curtain up: the controller leads, every host is known and wired.
    pub async fn start(self) -> Stage {
        let clock = TokioClock::starting_at(Time::parse("2026-01-01T00:00:00Z").expect("a time"));
        let mut world = self.topology.build(millis(&clock));
        self.special.into_iter().for_each(|host| world.add_host(host));
        self.devices.iter().for_each(|device| device.plug_in(&mut world));
        let world = Arc::new(Mutex::new(world));
        let life = Arc::new(Life::default());
        let (cloud, power) = fronts(&world, clock, &life, &self.cables);
        let (cloud, power, node_sync) = (Arc::new(cloud), Arc::new(power), Duration::from_secs(NODE_SYNC));
        let rig = if self.repeatable {
            engine::chance::repeat(1);
            let store = Arc::new(ModelStore::new("0f0f0f0f-0000-4000-8000-000000000001"));
            Rig::over(store, cloud, power, Arc::new(clock), node_sync).await
        } else {
            Rig::start(cloud, power, Arc::new(clock), node_sync).await
        };
        rig.patch("ClusterPolicy", "default", self.policy).await;
        let stage = Stage { rig, world, clock, life, cables: self.cables };
        let hosts = stage.with(|w| w.host_names());
        for host in &hosts {
            stage.rig.wait("Host", host, "known", Duration::from_secs(60), |_| true).await;
            stage.wire(host).await;
        }
        if self.verified {
            for device in &self.devices {
                stage.wire_further(device).await;
            }
            let simple = |h: &&String| !self.devices.iter().any(|d| d.is_of(h));
            for host in hosts.iter().filter(simple) {
                stage.operate(host, "Initialise", json!({"method": "Attestation"})).await;
            }
            for host in hosts.iter().filter(simple) {
                stage.succeeds("HostOperation", &format!("initialise-{host}")).await;
                stage.rig.wait("PowerLink", &link(host), "verified", Duration::from_secs(60), |o| condition(o, "Verified") == "True").await;
            }
        }
        stage
    }
}

fn millis(clock: &TokioClock) -> i64 {
    clock.now().0.div_euclid(1_000)
}

fn fronts(world: &Arc<Mutex<World>>, clock: TokioClock, life: &Arc<Life>, cables: &[(String, String)]) -> (SimCloud, SimPower) {
    let ticks: simulator::Clock = Arc::new(move || millis(&clock));
    let latency = Duration::from_millis(20);
    let cloud = SimCloud::new(world.clone(), ticks.clone()).with_latency(latency).with_hooks(life.clone());
    let power = SimPower::new(world.clone(), ticks).with_latency(latency).with_hooks(life.clone());
    for (device, machine) in cables {
        power.map_device(device, machine);
    }
    (cloud, power)
}

/// Name of a host's PowerDevice.
pub fn bmc(host: &str) -> String {
    format!("bmc-{host}")
}

/// Name of a host's PowerLink.
pub fn link(host: &str) -> String {
    format!("link-{host}")
}

/// A running scenario.
pub struct Stage {
    pub rig: Rig,
    world: Arc<Mutex<World>>,
    clock: TokioClock,
    life: Arc<Life>,
    cables: Vec<(String, String)>,
}

impl Stage {
    // ---- the cloud ------------------------------------------------------------------------

    /// Does something to the cloud, or looks at it, at the present instant.
    pub fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(millis(&self.clock));
        act(&mut world)
    }

    /// A running guest; gives its id.
    pub fn guest(&self, name: &str, host: &str) -> String {
        self.add(GuestSpec::new(name, host))
    }

    /// Running guests `name-0`, `name-1`, …
    pub fn guests(&self, name: &str, host: &str, count: usize) -> Vec<String> {
        (0..count).map(|n| self.guest(&format!("{name}-{n}"), host)).collect()
    }

    /// A guest as described; gives its id.
    pub fn add(&self, guest: GuestSpec) -> String {
        self.with(|w| w.add_guest(guest)).expect("a host for the guest")
    }

    /// Hurts or heals a host.
    pub fn hurt(&self, host: &str, fault: HostFault) {
        self.with(|w| w.fault(host, fault)).expect("a host to hurt");
    }

    /// The host's kernel dies, and time passes until Nova shows it down.
    pub async fn crash_host(&self, host: &str) {
        self.hurt(host, HostFault::Crash);
        self.until("down in Nova", |w| w.is_up(host) == Some(false)).await;
    }

    /// Someone uses the power button.
    pub fn press(&self, host: &str, command: power::Command) {
        let call = simulator::Call::Power { host: host.into(), command };
        self.with(|w| w.call(call)).result.expect("the BMC takes it");
    }

    /// Someone changes a Nova service.
    pub fn nova(&self, host: &str, change: cloud::ServiceChange) {
        let id = self.service(host).id;
        self.with(|w| w.call(simulator::Call::UpdateService { id, change })).result.expect("Nova takes it");
    }

    /// The row of a host's service.
    pub fn service(&self, host: &str) -> cloud::Service {
        self.with(|w| w.services_shown().into_iter().find(|s| s.host == host)).expect("a service")
    }

    /// Whether its chassis has power, in truth.
    pub fn is_on(&self, host: &str) -> bool {
        self.with(|w| w.power_is_on(host))
    }

    /// Host on which Nova shows a guest.
    pub fn home(&self, guest: &str) -> String {
        self.with(|w| w.show(guest)).and_then(|s| s.host).unwrap_or_default()
    }

    /// Nova's status of a guest.
    pub fn status(&self, guest: &str) -> String {
        self.with(|w| w.show(guest)).map(|s| s.status).unwrap_or_default()
    }

    /// Hosts on which a guest runs, in truth.
    pub fn runs_on(&self, guest: &str) -> Vec<String> {
        self.with(|w| w.running_on(guest))
    }

    /// Changing calls of one kind that reached the cloud, or were lost on their way, oldest first.
    pub fn calls(&self, kind: CallKind) -> Vec<CallRecord> {
        self.with(|w| w.calls().filter(|c| c.kind == kind).cloned().collect())
    }

    /// Changing calls of any kind since the scenario began.
    pub fn all_calls(&self) -> usize {
        self.with(|w| w.calls().count())
    }

    /// Statuses of a guest's records of one kind, oldest first.
    pub fn records(&self, guest: &str, kind: &str) -> Vec<&'static str> {
        self.with(|w| w.records_of(guest)).into_iter().filter(|r| r.0 == kind).map(|r| r.1).collect()
    }

    /// The first law.
    pub fn nothing_ran_twice(&self) {
        let twice = self.with(|w| w.double_runs().to_vec());
        assert!(twice.is_empty(), "{twice:#?}\n{}", self.story());
    }

    /// It runs on exactly one host, not on `source`, Nova shows it there and active, and Nova has one evacuation record of it.
    pub fn was_rebuilt_once(&self, guest: &str, source: &str) {
        let home = self.home(guest);
        assert_ne!(home, source, "{}", self.story());
        assert_eq!(self.runs_on(guest), [home], "{}", self.story());
        assert_eq!(self.status(guest), "ACTIVE", "{}", self.story());
        assert_eq!(self.records(guest, "evacuation").len(), 1, "{}", self.story());
    }

    /// What happened, for messages.
    pub fn story(&self) -> String {
        let log: Vec<String> = self.with(|w| {
            let calls = w.calls().map(|c| (c.at, format!("call {:?} {:?}: {}", c.kind, c.call, c.result)));
            let mut all: Vec<(i64, String)> = calls.chain(w.log().map(|e| (e.at, e.text.clone()))).collect();
            all.sort_by_key(|(at, _)| *at);
            let begin = Time::parse("2026-01-01T00:00:00Z").expect("a time").0 / 1_000;
            all.into_iter().map(|(at, text)| format!("{:>9.3} {text}", (at - begin) as f64 / 1e3)).collect()
        });
        format!("{}\n{}", self.with(|w| w.describe()), log.join("\n"))
    }

    // ---- time -----------------------------------------------------------------------------

    /// Now.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Lets simulated time pass.
    pub async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Waits until the cloud is so.
    pub async fn until(&self, what: &str, is: impl Fn(&World) -> bool) {
        let end = tokio::time::Instant::now() + Duration::from_secs(PATIENCE);
        while !self.with(|w| is(w)) {
            assert!(tokio::time::Instant::now() < end, "never {what}:\n{}", self.story());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a request of this kind has reached the cloud that many times.
    pub async fn until_called(&self, kind: CallKind, times: usize) {
        self.until(&format!("{times} × {kind:?}"), |w| w.calls().filter(|c| c.kind == kind).count() >= times).await;
    }

    // ---- the operator ---------------------------------------------------------------------

    /// Declares a host's BMC and its link.
    async fn wire(&self, host: &str) {
        let device = json!({"type": "BMC", "protocol": "IPMI", "endpoint": {"host": host}});
        self.rig.create("PowerDevice", &bmc(host), device).await;
        self.rig.create("PowerLink", &link(host), json!({"hostRef": {"name": host}, "deviceRef": {"name": bmc(host)}})).await;
    }

    /// Changes the ClusterPolicy.
    pub async fn policy(&self, fields: Value) {
        self.rig.patch("ClusterPolicy", "default", fields).await;
    }

    /// Changes a Host's spec.
    pub async fn declare(&self, host: &str, fields: Value) {
        self.rig.patch("Host", host, fields).await;
    }

    /// Sets a label.
    pub async fn label(&self, kind: &str, name: &str, key: &str, value: &str) {
        let info = schemas::kinds::find(kind).expect("a kind");
        loop {
            let mut object = self.rig.get(kind, name).await;
            object.metadata.labels.insert(key.into(), value.into());
            match self.rig.registry.update(info, name, object, self.clock.now()).await {
                Ok(_) => return,
                Err(registry::RegistryError::Store(store::StoreError::Conflict { .. })) => {}
                Err(error) => panic!("{kind}/{name}: {error}"),
            }
        }
    }

    /// Asks for a host operation, named `<type>-<host>`.
    pub async fn operate(&self, host: &str, what: &str, more: Value) -> String {
        let name = format!("{}-{host}", what.to_lowercase());
        self.operate_as(&name, host, what, more).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        name
    }

    /// Asks for a host operation by name, or gives the refusal.
    pub async fn operate_as(&self, name: &str, host: &str, what: &str, more: Value) -> Result<DynObject, registry::RegistryError> {
        let mut spec = json!({"hostRef": {"name": host}, "type": what});
        merge(&mut spec, more);
        self.rig.try_create("HostOperation", name, spec).await
    }

    /// Asks for an evacuation, named `evacuation-<host>`.
    pub async fn evacuate(&self, host: &str, more: Value) -> String {
        let name = format!("evacuation-{host}");
        let mut spec = json!({"hostRef": {"name": host}});
        merge(&mut spec, more);
        self.rig.create("Evacuation", &name, spec).await;
        name
    }

    /// A person states that a host is dead, in this epoch and for so many seconds; named `attest-<host>`.
    pub async fn attest(&self, host: &str, epoch: i64, seconds: i64) -> Result<DynObject, registry::RegistryError> {
        let spec = json!({"hostRef": {"name": host}, "powerEpoch": epoch, "statement": "burnt, I pulled its cables",
            "expiresAt": self.now().plus_seconds(seconds)});
        self.rig.try_create("FenceAttestation", &format!("attest-{host}"), spec).await
    }

    /// A channel says something of a host, seen so many seconds ago.
    pub async fn hear(&self, host: &str, says: Says, seconds_ago: i64) {
        let now = self.now();
        let op = Op::PutObservation(Observation {
            host: host.into(),
            channel: "storage".into(),
            says,
            observed_at: now.plus_seconds(-seconds_ago),
            received_at: now,
            ttl_seconds: 600,
            by: "probe".into(),
            detail: String::new(),
        });
        self.rig.store.commit(Guard::Open, now, vec![op]).await.expect("the store");
    }

    /// Cancels.
    pub async fn cancel(&self, kind: &str, name: &str) {
        self.rig.patch(kind, name, json!({"cancel": "Requested"})).await;
    }

    // ---- what is told ---------------------------------------------------------------------

    /// Waits until an object is so.
    pub async fn wait(&self, kind: &str, name: &str, what: &str, want: impl Fn(&DynObject) -> bool) -> DynObject {
        self.rig.wait(kind, name, what, Duration::from_secs(PATIENCE), want).await
    }

    /// Waits until it waits for this reason; gives the message.
    pub async fn waits(&self, kind: &str, name: &str, reason: &str) -> String {
        let object = self.wait(kind, name, &format!("waiting for {reason}"), |o| waits_for(o) == reason).await;
        object.status["waiting"]["message"].as_str().unwrap_or_default().to_string()
    }

    /// Why it waits now: reason and message.
    pub async fn why(&self, kind: &str, name: &str) -> (String, String) {
        let object = self.rig.get(kind, name).await;
        let message = object.status["waiting"]["message"].as_str().unwrap_or_default().to_string();
        (waits_for(&object).to_string(), message)
    }

    /// Waits until it has ended.
    pub async fn ends(&self, kind: &str, name: &str) -> DynObject {
        self.ends_within(kind, name, PATIENCE).await
    }

    /// Waits that many simulated seconds until it has ended.
    pub async fn ends_within(&self, kind: &str, name: &str, seconds: u64) -> DynObject {
        self.rig.wait(kind, name, "ended", Duration::from_secs(seconds), |o| o.status["finishedAt"].is_string()).await
    }

    /// Waits until it has ended well.
    pub async fn succeeds(&self, kind: &str, name: &str) -> DynObject {
        let object = self.ends(kind, name).await;
        assert_eq!(condition(&object, "Succeeded"), "True", "{:#}\n{}", object.status, self.story());
        object
    }

    /// Waits until it has ended badly; gives reason and message.
    pub async fn fails(&self, kind: &str, name: &str) -> (String, String) {
        let object = self.ends(kind, name).await;
        assert_eq!(condition(&object, "Succeeded"), "False", "{:#}\n{}", object.status, self.story());
        let all = object.status["conditions"].as_array().cloned().unwrap_or_default();
        let of = |field: &str| all.iter().find(|c| c["type"] == "Succeeded").and_then(|c| c[field].as_str()).unwrap_or_default().to_string();
        (of("reason"), of("message"))
    }

    /// How one guest of an evacuation fared: outcome, reason, message.
    pub async fn outcome(&self, evacuation: &str, guest: &str) -> (String, String, String) {
        outcome_in(&self.rig.get("Evacuation", evacuation).await, guest)
    }

    // ---- the controller -------------------------------------------------------------------

    /// Waits until the controller process has died of itself.
    pub async fn death(&self) {
        self.life.end().await;
    }

    /// Kills the controller where it stands.
    pub fn kill(&mut self) {
        self.life.kill();
        self.rig.crash();
    }

    /// A new controller takes over, with this life.
    pub async fn succeed_with(&mut self, life: Life) {
        self.kill();
        self.life = Arc::new(life);
        let (cloud, power) = fronts(&self.world, self.clock, &self.life, &self.cables);
        self.rig.reconnect(Arc::new(cloud), Arc::new(power));
        self.rig.lead().await;
    }

    /// A new controller takes over.
    pub async fn takeover(&mut self) {
        self.succeed_with(Life::default()).await;
    }
}

fn merge(spec: &mut Value, more: Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
}

/// How one guest fared, in an evacuation: outcome, reason, message.
pub fn outcome_in(evacuation: &DynObject, guest: &str) -> (String, String, String) {
    let guests = evacuation.status["guests"].as_array().cloned().unwrap_or_default();
    let found = guests.iter().find(|g| g["id"] == guest).unwrap_or_else(|| panic!("{guest} is not in {:#}", evacuation.status));
    let of = |field: &str| found[field].as_str().unwrap_or_default().to_string();
    (of("outcome"), of("reason"), of("message"))
}
