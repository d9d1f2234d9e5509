//! Schedules of recovery as they are played: the scene, what machines and people do, and how people lift every limit in the end.

use super::{
    operator::Operator,
    plan::{Fault, HOSTS},
    process::lock,
    recovery::{Death, Deed, INTERVAL, Order, RACKS, Watch, detection},
};
use engine::Clock;
use registry::RegistryError;
use schemas::v1::{Observation, Says};
use serde_json::{Value, json};
use simulator::{Call, GroupPolicy, GuestSpec, HostFault, VmState, World};
use std::{future::Future, pin::Pin, time::Duration};
use store::{Guard, Op};
use tokio::time::Instant;

/// The policy that everything here is about.
const POLICY: &str = "default";
const POOL: &str = "spare";
/// Longest time until the scene is set, in seconds.
const SCENE: i64 = 600;
/// A host that flaps waits so long for being brought back, in seconds.
const FLAP: i64 = 300;

fn press(w: &mut World, host: &str, command: power::Command) {
    // A BMC that cannot be reached leaves the machine as it is.
    let _ = w.call(Call::Power { host: host.into(), command }).result;
}

/// A machine loses power, whatever its BMC would say or do.
fn loses_power(w: &mut World, host: &str) {
    w.set_bmc_lie(host, simulator::Lie::None);
    w.set_bmc_late(host, 0);
    w.set_bmc_reachable(host, true);
    press(w, host, power::Command::ForceOff);
}

impl Operator {
    /// Puts guests on the hosts, and declares domains, the pool and the policy.
    pub async fn set_up(&self, watch: &Watch) {
        self.place_guests(watch);
        if watch.rules.per_rack.is_some() {
            for (rack, hosts) in RACKS {
                self.create("FailureDomain", rack, json!({"type": "Rack"})).await.unwrap_or_else(|e| panic!("{rack}: {e}"));
                for host in hosts {
                    self.patch("Host", host, json!({"failureDomain": rack})).await;
                }
            }
        }
        if watch.guests.policy {
            let spec = json!({"selector": {"metadata": "first=yes"}, "priority": 2, "evacuationTimeSeconds": 5});
            self.create("GuestPolicy", "last", spec).await.unwrap_or_else(|e| panic!("a GuestPolicy: {e}"));
        }
        self.patch("ClusterPolicy", "default", json!({"groupPauseSeconds": 10})).await;
        if let Some(pool) = watch.pool {
            let spec = json!({
                "members": watch.standbys(),
                "idleState": if pool.kept_on { "Disabled" } else { "PoweredOff" },
                "wake": if pool.always { "Always" } else { "WhenNeeded" },
                "wakeTimeoutSeconds": pool.wake_timeout,
                "idleAfterSeconds": 10,
                "size": pool.members,
            });
            self.create("StandbyPool", POOL, spec).await.unwrap_or_else(|e| panic!("a StandbyPool: {e}"));
            let rests = async || self.get("StandbyPool", POOL).await.is_some_and(|o| o.status["free"] == pool.members);
            assert!(self.until(SCENE, rests).await, "the standby hosts did not come to rest");
        }
        self.patch("RemediationPolicy", POLICY, watch.policy()).await;
        let known = async || {
            let up = |o: &schemas::DynObject| o.status["availability"]["state"] == "Up";
            lock(&self.stage.laws).mirror.objects.values().filter(|o| o.kind == "Host").filter(|o| up(o)).count() + watch.standbys().len()
                >= HOSTS.len()
        };
        assert!(self.until(SCENE, known).await, "the hosts were not looked at");
    }

    fn place_guests(&self, watch: &Watch) {
        let guests = &watch.guests;
        self.stage.with(|w| {
            let group = guests.group.then(|| w.add_group(GroupPolicy::AntiAffinity));
            for host in HOSTS.into_iter().filter(|h| !watch.standbys().contains(h)) {
                for n in 0..guests.per_host {
                    let mut spec = GuestSpec::new(format!("{host}-{n}"), host).with_ram(guests.ram_mb);
                    if n == 0 {
                        spec = spec.with_metadata("first", "yes");
                    }
                    if let Some(group) = group.as_deref().filter(|_| n == 0) {
                        spec = spec.in_group(group);
                    }
                    let guest = w.add_guest(spec).expect("a host of the schedule");
                    if guests.odd && n == 1 && matches!(host, "a" | "b") {
                        w.set_vm_state(&guest, if host == "a" { VmState::Paused } else { VmState::Resized });
                    }
                }
            }
        });
    }

    /// Everything that is done, each at its time after `begin`.
    pub async fn do_all(&self, begin: Instant) {
        let deeds = self
            .stage
            .plan
            .faults
            .iter()
            .enumerate()
            .filter_map(|(n, f)| if let Fault::Deed { at, deed } = f { Some((n, *at, *deed)) } else { None });
        let all = deeds.map(|(n, at, deed)| -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            Box::pin(async move {
                tokio::time::sleep_until(begin + Duration::from_secs(at)).await;
                self.stage.say("", &format!("{deed:?}"));
                self.do_one(n, deed).await;
                self.stage.judge(|laws, world| laws.look(world));
            })
        });
        futures::future::join_all(all).await;
    }

    async fn do_one(&self, n: usize, deed: Deed) {
        match deed {
            Deed::Dies { host, how } => self.dies(host, how),
            Deed::Flaps { host, times } => self.flaps(host, times).await,
            Deed::ComesBack(host) => self.comes_back(host).await,
            Deed::Limit(most) => self.edit("RemediationPolicy", POLICY, |spec| spec["limits"]["maxDownHosts"] = json!(most)).await,
            Deed::Forbid(yes) => {
                let word = if yes { "Forbidden" } else { "Allowed" };
                self.edit("RemediationPolicy", POLICY, |spec| spec["evacuation"]["mode"] = json!(word)).await;
            }
            Deed::Exclude(host) => {
                let hosts: Vec<&str> = host.into_iter().collect();
                self.edit("RemediationPolicy", POLICY, |spec| spec["evacuation"]["excludedHosts"] = json!(hosts)).await;
            }
            Deed::Restart(yes) => {
                let word = if yes { "Allow" } else { "Forbid" };
                self.edit("RemediationPolicy", POLICY, |spec| spec["restart"] = json!(word)).await;
            }
            Deed::Unwatched(seconds) => {
                for (mode, pause) in [("Off", seconds), ("On", 0)] {
                    self.edit("RemediationPolicy", POLICY, |spec| spec["detection"]["mode"] = json!(mode)).await;
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                }
            }
            Deed::Frozen(seconds) => {
                for (word, pause) in [("Frozen", seconds), ("Normal", 0)] {
                    self.patch("ClusterPolicy", "default", json!({"operations": word})).await;
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                }
            }
            Deed::Deny(host) => self.patch("Host", host, json!({"evacuation": "Denied"})).await,
            Deed::Says { host, alive, ago, times } => self.speaks(host, alive, ago, times).await,
            Deed::Attest(host) => self.attests(n, host).await,
            Deed::Drill(cycle) => {
                let depth = if cycle { "Cycle" } else { "Read" };
                self.asks("FenceDrill", &format!("drill-{n}"), json!({"poolRef": {"name": POOL}, "depth": depth})).await;
            }
            Deed::Order(host, order) => self.orders(n, host, order).await,
            Deed::Cancel(host) => self.cancels(host).await,
            Deed::Disabled(host) => self.disables(host),
            Deed::Emptied(host) => self.stage.with(|w| {
                for guest in w.guest_ids().into_iter().filter(|g| w.home_of(g).as_deref() == Some(host)).collect::<Vec<_>>() {
                    w.delete_guest(&guest);
                }
            }),
        }
    }

    fn dies(&self, host: &str, how: Death) {
        self.stage
            .with(|w| match how {
                Death::Crash => w.fault(host, HostFault::Crash),
                Death::Compute => w.fault(host, HostFault::NovaComputeDown),
                Death::Power => {
                    loses_power(w, host);
                    Ok(())
                }
                Death::Burnt => {
                    loses_power(w, host);
                    w.fault(host, HostFault::BmcUnreachable)
                }
            })
            .expect("a host of the schedule");
    }

    /// Dies whenever it is in service; gives up when it is not brought back.
    async fn flaps(&self, host: &str, times: u64) {
        for _ in 0..times {
            let end = self.now() + FLAP;
            let serves = || {
                let laws = lock(&self.stage.laws);
                laws.mirror.objects.get(&format!("Host/{host}")).is_some_and(|o| o.status["availability"]["state"] == "Up")
                    && self.stage.with(|w| w.is_well(host) && w.is_up(host) == Some(true))
            };
            while !serves() {
                if self.now() > end {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            self.stage.say("", &format!("{host} dies again"));
            self.dies(host, Death::Crash);
        }
    }

    async fn comes_back(&self, host: &str) {
        let crashed = self.stage.with(|w| w.state().hosts.iter().any(|h| h.name == host && h.crashed));
        if crashed {
            self.stage.with(|w| press(w, host, power::Command::ForceOff));
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        self.stage.with(|w| {
            if w.power_is_on(host) {
                w.start_compute(host);
            } else {
                press(w, host, power::Command::On);
            }
        });
    }

    /// A channel speaks every ten seconds.
    async fn speaks(&self, host: &str, alive: bool, ago: i64, times: u64) {
        for _ in 0..times {
            let now = self.stage.clock.now();
            let said = Observation {
                host: host.into(),
                channel: "storage".into(),
                says: if alive { Says::Alive } else { Says::Silent },
                observed_at: now.plus_seconds(-ago),
                received_at: now,
                ttl_seconds: 600,
                by: "probe".into(),
                detail: String::new(),
            };
            self.store.commit(Guard::Open, now, vec![Op::PutObservation(said)]).await.expect("the operator's database");
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    }

    /// Someone stands before it, and sees that it is dead.
    async fn attests(&self, n: usize, host: &str) {
        if self.stage.with(|w| w.power_is_on(host)) {
            return;
        }
        let epoch = lock(&self.stage.laws).mirror.evidence.get(host).map_or(1, |e| e.epoch.max(1));
        let spec = json!({"hostRef": {"name": host}, "powerEpoch": epoch, "statement": "burnt, I stand before it",
            "expiresAt": self.stage.clock.now().plus_seconds(7_200)});
        self.asks("FenceAttestation", &format!("attest-{n}"), spec).await;
    }

    async fn orders(&self, n: usize, host: &str, order: Order) {
        if order == Order::Evacuate {
            return self.asks("Evacuation", &format!("by-hand-{n}"), json!({"hostRef": {"name": host}})).await;
        }
        self.asks("HostOperation", &format!("by-hand-{n}"), json!({"hostRef": {"name": host}, "type": format!("{order:?}")})).await;
    }

    async fn cancels(&self, host: &str) {
        let open: Vec<String> = {
            let laws = lock(&self.stage.laws);
            let on_host = |o: &&schemas::DynObject| o.kind == "Evacuation" && o.spec["hostRef"]["name"] == host && o.status["finishedAt"].is_null();
            laws.mirror.objects.values().filter(on_host).map(|o| o.metadata.name.clone()).collect()
        };
        for name in open {
            self.patch("Evacuation", &name, json!({"cancel": "Requested"})).await;
        }
    }

    /// In Nova, where nothing of ours is at work and nothing of ours has disabled it.
    fn disables(&self, host: &str) {
        let Some(service) = self.stage.with(|w| w.services_shown()).into_iter().find(|s| s.host == host) else { return };
        let mut laws = lock(&self.stage.laws);
        let at_work = laws.mirror.claims.contains_key(host) || laws.mirror.evidence.get(host).is_some_and(|e| e.latch.is_some());
        let open = |o: &schemas::DynObject| o.spec["hostRef"]["name"] == host && o.status["finishedAt"].is_null();
        let asked = laws.mirror.objects.values().any(|o| matches!(o.kind.as_str(), "Evacuation" | "HostOperation") && open(o));
        if service.enabled != Some(true) || at_work || asked {
            return;
        }
        laws.memory.kept_disabled.insert(host.into());
        drop(laws);
        let change = cloud::ServiceChange { enabled: Some(false), disabled_reason: Some("bad memory, ticket 4711".into()), ..Default::default() };
        // Nova refuses only what it does not know.
        let _ = self.stage.with(|w| w.call(Call::UpdateService { id: service.id, change })).result;
    }

    /// Asks for something that may be refused: someone else may be at it.
    async fn asks(&self, kind: &str, name: &str, spec: Value) {
        match self.create(kind, name, spec.clone()).await {
            Ok(_) => self.stage.say("op", &format!("asks for {kind}/{name} {spec}")),
            Err(error @ (RegistryError::Refused { .. } | RegistryError::Invalid(_))) => {
                self.stage.say("op", &format!("{kind}/{name} is refused: {error}"))
            }
            Err(error) => self.stage.say("op", &format!("{kind}/{name} is not taken: {error}")),
        }
    }

    /// Changes a part of a spec.
    async fn edit(&self, kind: &str, name: &str, change: impl Fn(&mut Value)) {
        let Some(object) = self.get(kind, name).await else { return };
        let mut spec = object.spec;
        change(&mut spec);
        self.patch(kind, name, spec).await;
    }

    /// People lift every limit, and let everything go on: whatever stands still after that needs a person.
    pub async fn lift(&self) {
        self.stage.say("op", "lifts every limit");
        self.patch("ClusterPolicy", "default", json!({"operations": "Normal"})).await;
        let most = i64::try_from(HOSTS.len()).unwrap_or(i64::MAX);
        let fields = json!({
            "detection": detection("On", 1),
            "limits": {"maxDownHosts": most},
            "evacuation": {},
            "evidence": {},
        });
        self.patch("RemediationPolicy", POLICY, fields).await;
    }

    /// Guests on standby hosts that serve nobody any longer are deleted by their owners; whether there were any.
    pub fn empty_standbys(&self) -> bool {
        let served: Vec<String> = {
            let laws = lock(&self.stage.laws);
            let pools = laws.mirror.objects.values().filter(|o| o.kind == "StandbyPool");
            let leases = pools.flat_map(|o| o.status["leased"].as_array().cloned().unwrap_or_default());
            leases.filter(|l| l["over"] == true).filter_map(|l| l["host"].as_str().map(String::from)).collect()
        };
        self.stage.with(|w| {
            let home = |w: &World, g: &String| w.home_of(g).is_some_and(|h| served.contains(&h));
            let guests: Vec<String> = w.guest_ids().into_iter().filter(|g| home(w, g)).collect();
            guests.iter().for_each(|g| w.delete_guest(g));
            !guests.is_empty()
        })
    }

    /// Waits until nothing changes any more but by a person; what does, else.
    pub async fn rests(&self, seconds: i64) -> Result<(), String> {
        let end = self.now() + seconds;
        let mut quiet = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let restless = self.stage.with(|w| super::aftermath::restless(&lock(&self.stage.laws).mirror, w));
            match restless {
                None => quiet += 5,
                Some(what) if self.now() > end => return Err(what),
                Some(_) => quiet = 0,
            }
            if quiet > 2 * INTERVAL {
                return Ok(());
            }
        }
    }
}
