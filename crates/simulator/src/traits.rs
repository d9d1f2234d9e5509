//! The world behind the traits of `cloud` and `power`, under any clock.

use crate::model::{Answer, BmcFailure, Call, CallKind, Failure, Reply, World};
use async_trait::async_trait;
use cloud::{
    Accepted, Aggregate, CloudError, CloudResult, Compute, Hypervisor, Identity, Migration, Placement, Provider, Room, Server, ServerGroup, Service,
    ServiceChange, TokenInfo,
};
use power::{Command, MachineIdentity, Power, PowerDriver, PowerError, Target};
use schemas::Time;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The present, in the world's milliseconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Called around every call, with its name; a schedule of crashes hangs on it.
pub trait SimHooks: Send + Sync {
    /// Before the call has any effect.
    fn before(&self, call: &str);
    /// After its effect, before its answer.
    fn after(&self, call: &str);
    /// Whether the caller is dead: then its calls have no effect any more and never return.
    fn is_dead(&self) -> bool {
        false
    }
}

/// What both fronts share.
#[derive(Clone)]
struct Base {
    world: Arc<Mutex<World>>,
    clock: Clock,
    latency: Duration,
    timeout: Duration,
    hooks: Option<Arc<dyn SimHooks>>,
}

impl Base {
    fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance((self.clock)());
        world
    }

    /// One round trip: latency, effect, the call's own delay, latency. Gives up after the time-out, like a client.
    async fn trip<T>(&self, call: &str, effect: impl FnOnce(&mut World) -> Reply<T>) -> Result<T, Failure> {
        wait(self.latency / 2).await;
        if let Some(hooks) = &self.hooks {
            hooks.before(call);
            if hooks.is_dead() {
                return std::future::pending().await;
            }
        }
        let reply = effect(&mut self.lock());
        if let Some(hooks) = &self.hooks {
            hooks.after(call);
            if hooks.is_dead() {
                return std::future::pending().await;
            }
        }
        let delay = Duration::from_millis(u64::try_from(reply.delay_ms).unwrap_or(0));
        if delay >= self.timeout || matches!(reply.result, Err(Failure::NoAnswer | Failure::Bmc(BmcFailure::Unreachable))) {
            tokio::time::sleep(self.timeout).await;
            return Err(Failure::NoAnswer);
        }
        wait(delay + self.latency / 2).await;
        reply.result
    }
}

/// Without latency a call is not even put off to the next tick: it acts where it is made.
async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

macro_rules! settings {
    ($name:ident) => {
        impl $name {
            /// With a round-trip time per call.
            pub fn with_latency(mut self, latency: Duration) -> Self {
                self.base.latency = latency;
                self
            }

            /// With another time after which a call without an answer ends as unknown.
            pub fn with_timeout(mut self, timeout: Duration) -> Self {
                self.base.timeout = timeout;
                self
            }

            /// With hooks around every call.
            pub fn with_hooks(mut self, hooks: Arc<dyn SimHooks>) -> Self {
                self.base.hooks = Some(hooks);
                self
            }

            /// The world.
            pub fn world(&self) -> Arc<Mutex<World>> {
                Arc::clone(&self.base.world)
            }
        }
    };
}

/// Nova, Placement and Keystone of the world.
#[derive(Clone)]
pub struct SimCloud {
    base: Base,
    tokens: Arc<Mutex<BTreeMap<String, TokenInfo>>>,
}

settings!(SimCloud);

impl SimCloud {
    /// A front without latency; an unanswered call ends after 20 s (S8).
    pub fn new(world: Arc<Mutex<World>>, clock: Clock) -> Self {
        let base = Base { world, clock, latency: Duration::ZERO, timeout: Duration::from_secs(20), hooks: None };
        SimCloud { base, tokens: Arc::default() }
    }

    /// Makes a token valid.
    pub fn add_token(&self, token: &str, info: TokenInfo) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(token.into(), info);
    }

    async fn read<T>(&self, kind: CallKind, what: &str, target: &str, read: impl FnOnce(&World, bool) -> Result<T, Failure>) -> CloudResult<T> {
        self.base.trip(what, |w| w.read(kind, target, read)).await.map_err(|f| error(what, target, f))
    }

    async fn change(&self, what: &str, target: &str, call: Call) -> CloudResult<Answer> {
        self.base.trip(what, |w| w.call(call)).await.map_err(|f| error(what, target, f))
    }

    async fn accepted(&self, what: &str, target: &str, call: Call) -> CloudResult<Accepted> {
        self.change(what, target, call).await.map(|_| Accepted::default())
    }
}

/// Leaves the second half away.
pub(crate) fn half<T>(mut all: Vec<T>, partial: bool) -> Vec<T> {
    if partial {
        all.truncate(all.len() / 2);
    }
    all
}

fn error(what: &str, target: &str, failure: Failure) -> CloudError {
    let what = if target.is_empty() { what.to_string() } else { format!("{what} {target}") };
    let unknown = |what, detail: &str| CloudError::Unknown { what, detail: detail.into(), request_id: None };
    match failure {
        Failure::Refused { status: 429, message, retry_after_s } => {
            CloudError::NotSent { what, detail: message, retry_after: retry_after_s.map(Duration::from_secs) }
        }
        Failure::Refused { status, message, .. } if status < 500 => CloudError::Refused { what, status, detail: message, request_id: None },
        Failure::Refused { status, message, .. } => unknown(what, &format!("answered {status}: {message}")),
        Failure::NoAnswer | Failure::Bmc(_) => unknown(what, "no answer in time"),
        Failure::Nonsense => unknown(what, "the answer is not JSON"),
        Failure::NotSent => CloudError::NotSent { what, detail: "no route to the simulated cloud".into(), retry_after: None },
    }
}

#[async_trait]
impl Compute for SimCloud {
    async fn services(&self) -> CloudResult<Vec<Service>> {
        self.read(CallKind::Services, "services", "", |w, partial| Ok(half(w.services(), partial))).await
    }

    async fn hypervisors(&self) -> CloudResult<Vec<Hypervisor>> {
        self.read(CallKind::Hypervisors, "hypervisors", "", |w, partial| Ok(half(w.hypervisors(), partial))).await
    }

    async fn servers(&self, host: Option<&str>) -> CloudResult<Vec<Server>> {
        self.read(CallKind::Servers, "servers", host.unwrap_or_default(), |w, partial| Ok(half(w.servers(host), partial))).await
    }

    async fn server(&self, id: &str) -> CloudResult<Option<Server>> {
        self.read(CallKind::Server, "server", id, |w, _| Ok(w.server(id))).await
    }

    async fn migrations_of_host(&self, host: &str) -> CloudResult<Vec<Migration>> {
        let of = |w: &World| w.migrations(|r| r.source == host || r.dest.as_deref() == Some(host));
        self.read(CallKind::Migrations, "migrations of host", host, |w, partial| Ok(half(of(w), partial))).await
    }

    async fn migrations_of_server(&self, server: &str) -> CloudResult<Vec<Migration>> {
        self.read(CallKind::Migrations, "migrations of server", server, |w, partial| Ok(half(w.migrations(|r| r.guest == server), partial))).await
    }

    async fn aggregates(&self) -> CloudResult<Vec<Aggregate>> {
        self.read(CallKind::Aggregates, "aggregates", "", |w, partial| Ok(half(w.aggregates.values().cloned().collect(), partial))).await
    }

    async fn server_groups(&self) -> CloudResult<Vec<ServerGroup>> {
        self.read(CallKind::ServerGroups, "server groups", "", |w, partial| Ok(half(w.server_groups(), partial))).await
    }

    async fn update_service(&self, id: &str, change: &ServiceChange) -> CloudResult<Service> {
        let call = Call::UpdateService { id: id.into(), change: change.clone() };
        match self.change("update service", id, call).await? {
            Answer::Service(service) => Ok(*service),
            Answer::Accepted => Err(error("update service", id, Failure::Nonsense)),
        }
    }

    async fn evacuate(&self, server: &str, destination: &str, leave_stopped: bool) -> CloudResult<Accepted> {
        let call = Call::Evacuate { server: server.into(), destination: Some(destination.into()), leave_stopped };
        self.accepted("evacuate", server, call).await
    }

    async fn live_migrate(&self, server: &str, destination: Option<&str>) -> CloudResult<Accepted> {
        let call = Call::LiveMigrate { server: server.into(), destination: destination.map(str::to_string) };
        self.accepted("live-migrate", server, call).await
    }

    async fn cold_migrate(&self, server: &str, destination: Option<&str>) -> CloudResult<Accepted> {
        let call = Call::ColdMigrate { server: server.into(), destination: destination.map(str::to_string) };
        self.accepted("cold-migrate", server, call).await
    }

    async fn confirm_resize(&self, server: &str) -> CloudResult<Accepted> {
        self.accepted("confirm resize", server, Call::ConfirmResize { server: server.into() }).await
    }

    async fn start(&self, server: &str) -> CloudResult<Accepted> {
        self.accepted("start", server, Call::Start { server: server.into() }).await
    }

    async fn stop(&self, server: &str) -> CloudResult<Accepted> {
        self.accepted("stop", server, Call::Stop { server: server.into() }).await
    }

    async fn max_microversion(&self) -> CloudResult<(u32, u32)> {
        self.read(CallKind::Version, "version", "", |w, _| Ok(w.settings.max_microversion)).await
    }
}

#[async_trait]
impl Placement for SimCloud {
    async fn provider(&self, id: &str) -> CloudResult<Option<Provider>> {
        self.read(CallKind::Provider, "provider", id, |w, _| Ok(w.provider(id))).await
    }

    async fn rooms(&self) -> CloudResult<Vec<Room>> {
        self.read(CallKind::Rooms, "rooms", "", |w, partial| Ok(half(w.rooms(), partial))).await
    }

    async fn providers_of(&self, consumer: &str) -> CloudResult<Vec<String>> {
        self.read(CallKind::ProvidersOf, "providers of", consumer, |w, _| Ok(w.providers_of(consumer))).await
    }
}

#[async_trait]
impl Identity for SimCloud {
    async fn validate(&self, token: &str, allow_expired: bool) -> CloudResult<Option<TokenInfo>> {
        let info = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned();
        let now = Time((self.base.clock)().saturating_mul(1000));
        self.read(CallKind::Validate, "validate", "", |_, _| Ok(info.filter(|i| allow_expired || i.expires_at > now))).await
    }

    fn public_url(&self) -> String {
        "http://keystone.simulated.invalid/v3".into()
    }
}

/// The BMCs of the world.
#[derive(Clone)]
pub struct SimPower {
    base: Base,
    devices: Arc<Mutex<BTreeMap<String, String>>>,
}

settings!(SimPower);

impl SimPower {
    /// A front without latency; an unanswered command ends after 8 s (S8). A device's machine is the host
    /// named as its `endpoint.host`, unless `map_device` says otherwise.
    pub fn new(world: Arc<Mutex<World>>, clock: Clock) -> Self {
        let base = Base { world, clock, latency: Duration::ZERO, timeout: Duration::from_secs(8), hooks: None };
        SimPower { base, devices: Arc::default() }
    }

    /// Puts a host behind a device, by the PowerDevice's name.
    pub fn map_device(&self, device: &str, host: &str) {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).insert(device.into(), host.into());
    }

    fn host(&self, target: &Target) -> String {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.get(&target.device_name).cloned().unwrap_or_else(|| target.spec.endpoint.host.clone())
    }

    fn failed(target: &Target, failure: Failure) -> PowerError {
        let device = &target.device_name;
        match failure {
            Failure::Bmc(BmcFailure::BadCredentials) => PowerError::BadCredentials(format!("{device}: user or password is wrong")),
            Failure::Bmc(BmcFailure::NoSuchSystem) => PowerError::NotSent(format!("{device}: no such machine; check the endpoint")),
            Failure::Bmc(BmcFailure::AlreadyThere) => PowerError::Refused(format!("{device}: it is in that state already")),
            Failure::NotSent => PowerError::NotSent(format!("{device}: no route")),
            Failure::Refused { status, message, .. } if status < 500 => PowerError::Refused(format!("{device}: answered {status}: {message}")),
            Failure::Refused { status, message, .. } => PowerError::Unknown(format!("{device}: answered {status}: {message}")),
            Failure::Nonsense => PowerError::Unknown(format!("{device}: the answer cannot be read")),
            Failure::NoAnswer | Failure::Bmc(BmcFailure::Unreachable) => PowerError::Unknown(format!("{device}: no answer in time")),
        }
    }

    /// One call in a session of its own: first the credentials, then the call.
    async fn session<T>(&self, what: &str, target: &Target, effect: impl FnOnce(&mut World, &str) -> Reply<T>) -> Result<T, PowerError> {
        let host = self.host(target);
        let reply = self.base.trip(what, |w| match w.bmc_check(&host, &target.username, target.password.expose_secret()) {
            Ok(()) => effect(w, &host),
            Err(failure) => Reply { result: Err(Failure::Bmc(failure)), delay_ms: 0 },
        });
        reply.await.map_err(|f| Self::failed(target, f))
    }
}

#[async_trait]
impl PowerDriver for SimPower {
    async fn read(&self, target: &Target) -> Result<Power, PowerError> {
        let read = |w: &mut World, host: &str| w.read(CallKind::PowerRead, host, |w, _| w.bmc_power(host).map_err(Failure::Bmc));
        self.session("power read", target, read).await.map(|on| if on { Power::On } else { Power::Off })
    }

    async fn set(&self, target: &Target, command: Command) -> Result<(), PowerError> {
        self.session("power set", target, |w, host| w.call(Call::Power { host: host.into(), command })).await.map(|_| ())
    }

    async fn identify(&self, target: &Target) -> Result<MachineIdentity, PowerError> {
        let read = |w: &mut World, host: &str| w.read(CallKind::PowerIdentify, host, |w, _| w.bmc_identity(host).map_err(Failure::Bmc));
        self.session("power identify", target, read).await
    }
}
