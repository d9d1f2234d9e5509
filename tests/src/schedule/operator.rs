//! What is asked for: one script per part. Each waits for what it asked for, and brings its host back.

use super::{
    plan::{HORIZON, HOSTS, Job, Part},
    process::{Stage, lock},
};
use engine::Clock;
use registry::{Registry, RegistryError, parse_object};
use schemas::{DynObject, kinds};
use serde_json::{Value, json};
use simulator::{GuestSpec, HostFault};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use store::{Store, StoreError};

/// After the horizon, nothing may take longer than this many seconds.
const PATIENCE: i64 = 2_400;
/// What was cancelled has ended after this many seconds: a migration that does not end is given up after an hour.
const CANCELLED: i64 = 4_200;

/// The operator: reaches the database always, and never dies.
#[derive(Clone)]
pub struct Operator {
    pub stage: Arc<Stage>,
    pub store: Arc<dyn Store>,
    pub registry: Registry,
}

fn ended(o: &DynObject) -> bool {
    o.status["finishedAt"].is_string()
}

fn succeeded(o: &DynObject) -> bool {
    crate::condition(o, "Succeeded") == "True"
}

impl Operator {
    fn broken(&self, law: &'static str, text: String) {
        lock(&self.stage.laws).check(law, false, || text);
        self.stage.over.cancel();
    }

    pub async fn get(&self, kind: &str, name: &str) -> Option<DynObject> {
        self.store.get(kind, name).await.expect("the operator's database")
    }

    pub async fn create(&self, kind: &str, name: &str, spec: Value) -> Result<DynObject, RegistryError> {
        let info = kinds::find(kind).expect("a kind");
        let object = parse_object(info, &json!({"metadata": {"name": name}, "spec": spec}))?;
        Ok(self.registry.create(info, object, Some("operator"), self.stage.clock.now()).await?.object)
    }

    pub async fn patch(&self, kind: &str, name: &str, fields: Value) {
        let info = kinds::find(kind).expect("a kind");
        for _ in 0..50 {
            let Some(mut object) = self.get(kind, name).await else { return };
            if ended(&object) {
                return;
            }
            for (key, value) in fields.as_object().into_iter().flatten() {
                object.spec[key] = value.clone();
            }
            match self.registry.update(info, name, object, self.stage.clock.now()).await {
                Ok(_) => return,
                Err(RegistryError::Store(StoreError::Conflict { .. })) => tokio::time::sleep(Duration::from_millis(3)).await,
                Err(error) => return self.broken("the operator's words are taken", format!("{kind}/{name} {fields}: {error}")),
            }
        }
        self.broken("the operator's words are taken", format!("{kind}/{name} changed all the time"));
    }

    async fn sleep(&self, seconds: i64) {
        tokio::time::sleep(Duration::from_secs(seconds.max(0).unsigned_abs())).await;
    }

    pub fn now(&self) -> i64 {
        self.stage.elapsed() / 1_000
    }

    /// Waits until it is so; false if that takes longer than anything may after the horizon.
    pub async fn until(&self, patience: i64, so: impl AsyncFn() -> bool) -> bool {
        let end = self.now().max(HORIZON) + patience;
        let mut commits = self.store.commits();
        while !so().await {
            if self.now() > end {
                return false;
            }
            // Nothing becomes so without a write, but for the cloud.
            let _ = tokio::time::timeout(Duration::from_secs(3), commits.changed()).await;
        }
        true
    }

    /// P7: it says why it stands still.
    fn says_why(&self, o: &DynObject) {
        let waiting = &o.status["waiting"];
        let told = waiting["reason"].as_str().is_some_and(|r| !r.is_empty()) && waiting["message"].as_str().is_some_and(|m| !m.is_empty());
        lock(&self.stage.laws).check("P7 what stands still says why", told, || format!("{} {:#}", o.id(), o.status));
    }

    /// Asks for a one-shot object, and waits for its end. `None`: it was not taken.
    async fn ask(&self, part: &Part, kind: &str, name: &str, spec: Value, cancel: Option<u64>) -> Option<DynObject> {
        let mut refusals = 0;
        while let Err(error) = self.create(kind, name, spec.clone()).await {
            refusals += 1;
            if refusals > 60 {
                self.broken("the operator's words are taken", format!("{kind}/{name}: {error}"));
                return None;
            }
            self.sleep(10).await;
        }
        self.stage.say("op", &format!("asks for {kind}/{name} {spec}"));
        if let Some(after) = cancel {
            self.sleep(i64::try_from(after).unwrap_or(0)).await;
            self.stage.say("op", &format!("cancels {kind}/{name}"));
            self.patch(kind, name, json!({"cancel": "Requested"})).await;
        }
        let is_over = async || self.get(kind, name).await.as_ref().is_none_or(ended);
        if !self.until(PATIENCE, is_over).await {
            let object = self.get(kind, name).await?;
            self.says_why(&object);
            if self.stage.plan.is_strict() {
                self.broken("P5 it converges", format!("{} did not end: {:#}", object.id(), object.status));
                return None;
            }
            self.stage.gave_up.store(true, Ordering::SeqCst);
            self.stage.say("op", &format!("gives {kind}/{name} up: {}", object.status["waiting"]));
            self.patch(kind, name, json!({"cancel": "Requested"})).await;
            if !self.until(CANCELLED, is_over).await {
                self.broken("P10 what is cancelled comes to a safe point", format!("{} {:#}", object.id(), self.get(kind, name).await?.status));
                return None;
            }
        }
        let object = self.get(kind, name).await?;
        let told = !crate::condition(&object, "Succeeded").is_empty();
        lock(&self.stage.laws).check("P7 what has ended says how", told, || format!("{} {:#}", object.id(), object.status));
        self.stage.say("op", &format!("{kind}/{name} ended: {}", object.status["progress"]));
        if self.stage.plan.is_strict() && cancel.is_none() && part.cancel.is_none() && !succeeded(&object) {
            self.broken("P5 it converges", format!("{} failed: {:#}", object.id(), object.status));
        }
        Some(object)
    }

    async fn operation(&self, part: &Part, what: &str, cancel: Option<u64>) -> Option<DynObject> {
        let name = format!("{}-{}", what.to_lowercase(), part.host);
        self.ask(part, "HostOperation", &name, json!({"hostRef": {"name": part.host}, "type": what}), cancel).await
    }

    async fn evacuation(&self, part: &Part, mode: &str) -> Option<DynObject> {
        let name = format!("evacuation-{}", part.host);
        let ended = self.ask(part, "Evacuation", &name, json!({"hostRef": {"name": part.host}, "mode": mode}), part.cancel).await?;
        // S7: whatever moved by a request of ours did so on a record that was taken for ours.
        let rebuilt = self.stage.plan.is_strict() && ended.status["path"] == "Rebuild";
        let adopted = |g: &Value| g["outcome"] != "Moved" || g["record"].is_i64();
        let all = ended.status["guests"].as_array().is_some_and(|all| all.iter().all(adopted));
        lock(&self.stage.laws).check("P5 what landed is adopted", !rebuilt || all, || format!("{:#}", ended.status["guests"]));
        Some(ended)
    }

    fn hurt(&self, host: &str, fault: HostFault) {
        self.stage.with(|w| w.fault(host, fault)).expect("a host of the schedule");
        self.stage.judge(|laws, world| laws.look(world));
    }

    /// Puts the guests of a part on its host.
    pub fn settle(&self, part: &Part) -> Vec<String> {
        let guest = |n: usize| {
            let mut spec = GuestSpec::new(format!("{}-{n}", part.host), part.host);
            if n < part.stopped || part.job == Job::PowerCycle {
                spec = spec.stopped();
            }
            if n == 2 {
                spec = spec.with_metadata("recovery_priority", "9");
            }
            self.stage.with(|w| w.add_guest(spec)).expect("a host of the schedule")
        };
        (0..part.guests).map(guest).collect()
    }

    /// Plays a part to its end.
    pub async fn play(&self, part: Part) {
        self.sleep(i64::try_from(part.start).unwrap_or(0)).await;
        let host = part.host;
        match part.job {
            Job::Crashed => {
                self.hurt(host, HostFault::Crash);
                // The kernel's death shows in Nova when nobody has heard of it for a minute.
                self.until(PATIENCE, async || self.stage.with(|w| w.is_up(host)) == Some(false)).await;
                self.evacuation(&part, "Auto").await;
            }
            Job::ComputeDead => {
                self.hurt(host, HostFault::NovaComputeDown);
                self.evacuation(&part, "Rebuild").await;
            }
            Job::RebuiltAlive => drop(self.evacuation(&part, "Rebuild").await),
            Job::EvacuatedAlive => drop(self.evacuation(&part, "Auto").await),
            Job::Drain => drop(self.operation(&part, "Drain", part.cancel).await),
            Job::Disable => drop(self.operation(&part, "Disable", part.cancel).await),
            Job::Shutdown => drop(self.operation(&part, "Shutdown", part.cancel).await),
            Job::PowerCycle => drop(self.operation(&part, "PowerCycle", part.cancel).await),
            Job::DeclaredOff => self.declared_off(&part).await,
            Job::Burnt => self.burnt(&part).await,
        }
        self.bring_back(&part).await;
    }

    /// The host and its BMC lose power. Whoever stands before it says so, and mends the BMC when its guests are safe.
    async fn burnt(&self, part: &Part) {
        let host = part.host;
        let _ = self.stage.with(|w| w.call(simulator::Call::Power { host: host.into(), command: power::Command::ForceOff })).result;
        self.hurt(host, HostFault::BmcUnreachable);
        self.until(PATIENCE, async || self.stage.with(|w| w.is_up(host)) == Some(false)).await;
        let mut refusals = 0;
        loop {
            let epoch = lock(&self.stage.laws).mirror.evidence.get(host).map_or(1, |e| e.epoch.max(1));
            let expires_at = self.stage.clock.now().plus_seconds(3 * PATIENCE);
            let spec = json!({"hostRef": {"name": host}, "powerEpoch": epoch, "statement": "burnt, I stand before it", "expiresAt": expires_at});
            match self.create("FenceAttestation", &format!("attest-{host}"), spec).await {
                Ok(_) => break self.stage.say("op", &format!("states that {host} is dead in epoch {epoch}")),
                Err(_) if refusals < 60 => refusals += 1,
                Err(error) => break self.broken("the operator's words are taken", format!("attest-{host}: {error}")),
            }
            self.sleep(10).await;
        }
        self.evacuation(part, "Auto").await;
        self.stage.with(|w| w.set_bmc_reachable(host, true));
    }

    async fn declared_off(&self, part: &Part) {
        let host = part.host;
        self.stage.say("op", &format!("declares {host} off"));
        self.patch("Host", host, json!({"power": "Off"})).await;
        let off = async || {
            let found = self.get("Host", host).await;
            found.is_some_and(|o| crate::condition(&o, "Ready") == "True" && o.status["power"]["state"] == "Off")
        };
        if !self.until(PATIENCE, off).await
            && let Some(object) = self.get("Host", host).await
        {
            self.says_why(&object);
            if self.stage.plan.is_strict() {
                return self.broken("P5 it converges", format!("{host} did not go off: {:#}", object.status));
            }
        }
        self.stage.say("op", &format!("declares {host} on"));
        self.patch("Host", host, json!({"power": "On"})).await;
    }

    fn is_back(&self, host: &str) -> bool {
        let state = self.stage.with(|w| w.state());
        state.hosts.iter().any(|h| h.name == host && h.power && !h.crashed && h.nova_compute && h.enabled && h.up && !h.forced_down)
    }

    /// On, enabled, and under no latch.
    async fn bring_back(&self, part: &Part) {
        let host = part.host;
        let latched = || lock(&self.stage.laws).mirror.evidence.get(host).is_some_and(|e| e.latch.is_some());
        if part.job != Job::DeclaredOff && (latched() || !self.stage.with(|w| w.power_is_on(host))) {
            self.operation(part, "PowerOn", None).await;
        }
        // Where only nova-compute died its host was not fenced if nothing was evacuated; its keeper starts it.
        let on = async || self.stage.with(|w| w.power_is_on(host));
        self.until(PATIENCE, on).await;
        if self.now() >= HORIZON || self.stage.plan.is_strict() {
            self.revive(host).await;
        }
        let disabled = self.stage.with(|w| w.services_shown()).iter().any(|s| s.host == host && s.enabled == Some(false));
        let by_hand = !matches!(part.job, Job::DeclaredOff | Job::PowerCycle) || part.cancel.is_some();
        if disabled && by_hand {
            self.operation(part, "Enable", None).await;
        }
        if !self.until(PATIENCE, async || self.is_back(host)).await && self.stage.plan.is_strict() {
            let object = self.get("Host", host).await.map(|o| o.status);
            self.broken(
                "P5 it converges",
                format!("{host} does not come back: {:#}\n{}", object.unwrap_or_default(), self.stage.with(|w| w.describe())),
            );
        }
    }

    /// A machine that is on and does nothing is started again by whoever keeps it.
    async fn revive(&self, host: &str) {
        let crashed = self.stage.with(|w| w.state().hosts.iter().any(|h| h.name == host && h.crashed));
        if crashed {
            for command in [power::Command::ForceOff, power::Command::On] {
                let _ = self.stage.with(|w| w.call(simulator::Call::Power { host: host.into(), command })).result;
                self.sleep(3).await;
            }
        } else {
            self.stage.with(|w| w.start_compute(host));
        }
    }

    /// Declares and verifies the further devices of the first host.
    async fn wire_second(&self) {
        let (second, host) = (self.stage.plan.second, HOSTS[0]);
        for address in second.addresses() {
            let link = format!("link-{address}");
            let spec = json!({"type": second.device_type(), "protocol": "IPMI", "endpoint": {"host": address}});
            self.create("PowerDevice", address, spec).await.unwrap_or_else(|e| panic!("{address}: {e}"));
            let spec = json!({"hostRef": {"name": host}, "deviceRef": {"name": address}, "role": "Redundant"});
            self.create("PowerLink", &link, spec).await.unwrap_or_else(|e| panic!("{link}: {e}"));
            let (name, spec) = (
                format!("initialise-{address}"),
                json!({"hostRef": {"name": host}, "type": "Initialise", "method": "Attestation", "linkRef": {"name": link}}),
            );
            self.create("HostOperation", &name, spec).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            let verified = async || self.get("PowerLink", &link).await.is_some_and(|o| crate::condition(&o, "Verified") == "True");
            let done = async || self.get("HostOperation", &name).await.is_some_and(|o| ended(&o)) && verified().await;
            assert!(self.until(0, done).await, "{address} was not verified");
        }
    }

    /// Declares and verifies the BMC of every host.
    pub async fn wire(&self) {
        for host in HOSTS {
            self.until(0, async || self.get("Host", host).await.is_some()).await;
            let device = json!({"type": "BMC", "protocol": "IPMI", "endpoint": {"host": host}});
            let link = json!({"hostRef": {"name": host}, "deviceRef": {"name": format!("bmc-{host}")}});
            let asked = [("PowerDevice", format!("bmc-{host}"), device), ("PowerLink", format!("link-{host}"), link)];
            for (kind, name, spec) in asked {
                self.create(kind, &name, spec).await.unwrap_or_else(|e| panic!("{kind}/{name}: {e}"));
            }
        }
        self.wire_second().await;
        for host in HOSTS {
            let link = format!("link-{host}");
            let spec = json!({"hostRef": {"name": host}, "type": "Initialise", "method": "Attestation", "linkRef": {"name": link}});
            let name = format!("initialise-{host}");
            self.create("HostOperation", &name, spec).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        for host in HOSTS {
            let verified = async || self.get("PowerLink", &format!("link-{host}")).await.is_some_and(|o| crate::condition(&o, "Verified") == "True");
            let done = async || self.get("HostOperation", &format!("initialise-{host}")).await.is_some_and(|o| ended(&o)) && verified().await;
            assert!(self.until(0, done).await, "the BMC of {host} was not verified");
        }
    }
}
