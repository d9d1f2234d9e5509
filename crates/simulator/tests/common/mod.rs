//! Scenes for the simulator's own tests: time in milliseconds from 0.
#![allow(dead_code)] // each test file uses its part

use cloud::ServiceChange;
use power::Command;
use simulator::{Answer, Call, Failure, GuestSpec, HostFault, Topology, World};

/// A world of hosts `a`, `b`, `c` with a few words to act on it.
pub struct Scene {
    pub world: World,
}

impl Scene {
    pub fn new() -> Self {
        Scene::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut simulator::Settings)) -> Self {
        Scene { world: Topology::scenario(3).named(&["a", "b", "c"]).with(change).build(0) }
    }

    pub fn guest(&mut self, name: &str) -> String {
        self.world.add_guest(GuestSpec::new(name, "a")).unwrap()
    }

    pub fn wait(&mut self, ms: i64) {
        let to = self.world.now() + ms;
        self.world.advance(to);
    }

    /// Advances in small steps until it is so, for at most ten minutes; panics with the state if it never is.
    pub fn until(&mut self, what: &str, is: impl Fn(&World) -> bool) {
        let end = self.world.now() + 600_000;
        while !is(&self.world) {
            assert!(self.world.now() < end, "never {what}:\n{}", self.world.describe());
            self.wait(10);
        }
    }

    pub fn call(&mut self, call: Call) -> Result<Answer, Failure> {
        self.world.call(call).result
    }

    pub fn evacuate(&mut self, guest: &str, to: &str) -> Result<Answer, Failure> {
        self.call(Call::Evacuate { server: guest.into(), destination: Some(to.into()), leave_stopped: false })
    }

    pub fn migrate(&mut self, guest: &str, to: Option<&str>) -> Result<Answer, Failure> {
        self.call(Call::LiveMigrate { server: guest.into(), destination: to.map(str::to_string) })
    }

    pub fn service_id(&mut self, host: &str) -> String {
        let rows = self.world.read(simulator::CallKind::Services, "", |w, _| Ok(w.services_shown())).result.unwrap();
        rows.into_iter().find(|s| s.host == host).unwrap().id
    }

    pub fn service(&mut self, host: &str) -> cloud::Service {
        self.world.services_shown().into_iter().find(|s| s.host == host).unwrap()
    }

    pub fn put(&mut self, host: &str, change: ServiceChange) -> Result<cloud::Service, Failure> {
        let id = self.service_id(host);
        match self.call(Call::UpdateService { id, change })? {
            Answer::Service(row) => Ok(*row),
            Answer::Accepted => panic!("a PUT gives the row back"),
        }
    }

    /// Off by its BMC, then disabled and forced down in one PUT.
    pub fn fence(&mut self, host: &str) {
        self.power(host, Command::ForceOff).unwrap();
        let change = ServiceChange { enabled: Some(false), disabled_reason: Some("fenced".into()), forced_down: Some(true) };
        self.put(host, change).unwrap();
    }

    pub fn power(&mut self, host: &str, command: Command) -> Result<Answer, Failure> {
        self.call(Call::Power { host: host.into(), command })
    }

    pub fn hurt(&mut self, host: &str, fault: HostFault) {
        self.world.fault(host, fault).unwrap();
    }

    /// On again, booted, and nova-compute started.
    pub fn boot(&mut self, host: &str) {
        self.power(host, Command::On).unwrap();
        self.until("booted", |w| w.state().hosts.iter().any(|h| h.name == host && h.nova_compute));
    }

    pub fn show(&self, guest: &str) -> cloud::Server {
        self.world.show(guest).unwrap()
    }

    /// Kind and status of the guest's records, oldest first.
    pub fn records(&self, guest: &str) -> Vec<(&'static str, &'static str)> {
        self.world.records_of(guest).into_iter().map(|(kind, status, ..)| (kind, status)).collect()
    }

    pub fn runs_on(&self, guest: &str) -> Vec<String> {
        self.world.running_on(guest)
    }
}

/// A reason, and what makes it so.
pub type Spoil = (&'static str, fn(&mut Scene));

/// The status of a refusal.
pub fn status<T: std::fmt::Debug>(result: Result<T, Failure>) -> u16 {
    match result {
        Err(Failure::Refused { status, .. }) => status,
        other => panic!("not a refusal: {other:?}"),
    }
}

/// Nova's words in a refusal.
pub fn words<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    match result {
        Err(Failure::Refused { message, .. }) => message,
        other => panic!("not a refusal: {other:?}"),
    }
}

pub fn enable() -> ServiceChange {
    ServiceChange { enabled: Some(true), ..ServiceChange::default() }
}

pub fn disable() -> ServiceChange {
    ServiceChange { enabled: Some(false), disabled_reason: Some("test".into()), ..ServiceChange::default() }
}

pub fn force_down(forced: bool) -> ServiceChange {
    ServiceChange { forced_down: Some(forced), ..ServiceChange::default() }
}
