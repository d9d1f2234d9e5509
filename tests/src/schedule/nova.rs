//! Nova and Placement as one process reaches them.

use super::{
    laws::Act,
    plan::{Class, What},
    process::{Process, lock},
};
use async_trait::async_trait;
use cloud::{
    Accepted, Aggregate, CloudError, CloudResult, Compute, Hypervisor, Identity, Migration, Placement, Provider, Room, Server, ServerGroup, Service,
    ServiceChange, TokenInfo,
};
use simulator::{Call, CallFault, CallKind, SimCloud};
use std::{future::Future, sync::Arc, task::Poll, time::Duration};
use tokio::time::Instant;

/// On the way to Nova, at most, and back.
const WAY: Duration = Duration::from_millis(25);

/// See the module's text.
pub struct Nova {
    pub process: Arc<Process>,
    pub cloud: SimCloud,
}

/// The fault as it may strike this call. Whatever is late is so within what the rules count on: a request that cannot be
/// repeated safely is waited for 60 s beyond its end of life (S7), any other ends with it (S8).
fn fit(fault: CallFault, call: Option<&Call>) -> Option<CallFault> {
    let longest = match call {
        Some(Call::Evacuate { .. } | Call::LiveMigrate { .. }) => 75_000,
        Some(Call::Power { .. }) => 15_000,
        Some(_) => 18_000,
        None => 0,
    };
    Some(match fault {
        CallFault::Late { after_ms } if call.is_some() => CallFault::Late { after_ms: after_ms.min(longest) },
        CallFault::Duplicate { after_ms } if call.is_some() => CallFault::Duplicate { after_ms: after_ms.min(longest) },
        other => other,
    })
}

/// Puts the schedule's fault, or Nova's own failure, in the way of the next call.
pub fn arm(process: &Process, what: Option<What>, call: Option<&Call>, nova: bool) {
    let fault = match what {
        Some(What::Cloud(fault)) => fit(fault, call),
        _ if nova && *lock(&process.stage.nova_500_until) > Instant::now() => Some(CallFault::Status { status: 500, retry_after_s: None }),
        _ => None,
    };
    if let Some(fault) = fault {
        process.stage.with(|w| w.inject(CallKind::Any, fault, 1));
    }
}

/// A call whose effect falls into its first poll, as those of the simulator do; the answer may take its time. The fault
/// that was put in its way is for no other call.
pub async fn struck<T>(process: &Process, effect: impl Future<Output = T>) -> T {
    let mut effect = Box::pin(effect);
    let first = futures::poll!(&mut effect);
    process.stage.with(|w| w.clear_injected());
    match first {
        Poll::Ready(result) => result,
        Poll::Pending => effect.await,
    }
}

impl Nova {
    async fn read<T>(&self, what: &'static str, target: &str, partial: bool, effect: impl Future<Output = CloudResult<T>>) -> CloudResult<T> {
        let ticket = self.process.begin(Class::Read, what, WAY).await;
        // Half a list of records cannot be told from a whole one by anybody; Nova leaves records out only with their cell.
        let strike = ticket.what.filter(|w| partial || !matches!(w, What::Cloud(CallFault::Partial)));
        arm(&self.process, strike, None, true);
        let result = struck(&self.process, effect).await;
        let word = if result.is_ok() { "" } else { ": no answer" };
        self.process.say(&format!("reads {what} {target}{word}"));
        self.process.stage.judge(|laws, world| laws.look(world));
        self.process.end(&ticket).await;
        result
    }

    async fn act<T>(&self, call: Call, effect: impl Future<Output = CloudResult<T>>) -> CloudResult<T> {
        let ticket = self.process.begin(Class::Act, "act", WAY).await;
        let (token, may_act) = self.process.belief();
        let act = Act { call: &call, token, may_act, late: ticket.late, now: self.process.steady() };
        self.process.stage.judge(|laws, world| laws.before(&act, world));
        let before = self.process.stage.with(|w| w.calls().count());
        arm(&self.process, ticket.what, Some(&call), true);
        let mut effect = Box::pin(struck(&self.process, effect));
        let first = futures::poll!(&mut effect);
        let landed = self.process.stage.with(|w| w.calls().skip(before).any(|c| c.result.starts_with("ok")));
        self.process.say(&format!("{call:?}{}", if landed { "" } else { ": no effect yet" }));
        let delayed = matches!(ticket.what, Some(What::Cloud(CallFault::Late { .. } | CallFault::Duplicate { .. })));
        self.process.stage.judge(|laws, world| laws.after(&call, landed, delayed, world));
        let result = match first {
            Poll::Ready(result) => result,
            Poll::Pending => effect.await,
        };
        self.process.end(&ticket).await;
        result
    }
}

#[async_trait]
impl Compute for Nova {
    async fn services(&self) -> CloudResult<Vec<Service>> {
        self.read("services", "", true, self.cloud.services()).await
    }

    async fn hypervisors(&self) -> CloudResult<Vec<Hypervisor>> {
        self.read("hypervisors", "", true, self.cloud.hypervisors()).await
    }

    async fn servers(&self, host: Option<&str>) -> CloudResult<Vec<Server>> {
        self.read("servers", host.unwrap_or_default(), true, self.cloud.servers(host)).await
    }

    async fn server(&self, id: &str) -> CloudResult<Option<Server>> {
        self.read("server", id, false, self.cloud.server(id)).await
    }

    async fn migrations_of_host(&self, host: &str) -> CloudResult<Vec<Migration>> {
        self.read("migrations", host, false, self.cloud.migrations_of_host(host)).await
    }

    async fn migrations_of_server(&self, server: &str) -> CloudResult<Vec<Migration>> {
        self.read("migrations", server, false, self.cloud.migrations_of_server(server)).await
    }

    async fn aggregates(&self) -> CloudResult<Vec<Aggregate>> {
        self.read("aggregates", "", true, self.cloud.aggregates()).await
    }

    async fn server_groups(&self) -> CloudResult<Vec<ServerGroup>> {
        self.read("server groups", "", true, self.cloud.server_groups()).await
    }

    async fn update_service(&self, id: &str, change: &ServiceChange) -> CloudResult<Service> {
        self.act(Call::UpdateService { id: id.into(), change: change.clone() }, self.cloud.update_service(id, change)).await
    }

    async fn evacuate(&self, server: &str, destination: &str, leave_stopped: bool) -> CloudResult<Accepted> {
        let call = Call::Evacuate { server: server.into(), destination: Some(destination.into()), leave_stopped };
        self.act(call, self.cloud.evacuate(server, destination, leave_stopped)).await
    }

    async fn live_migrate(&self, server: &str, destination: Option<&str>) -> CloudResult<Accepted> {
        let call = Call::LiveMigrate { server: server.into(), destination: destination.map(String::from) };
        self.act(call, self.cloud.live_migrate(server, destination)).await
    }

    async fn cold_migrate(&self, server: &str, destination: Option<&str>) -> CloudResult<Accepted> {
        let call = Call::ColdMigrate { server: server.into(), destination: destination.map(String::from) };
        self.act(call, self.cloud.cold_migrate(server, destination)).await
    }

    async fn confirm_resize(&self, server: &str) -> CloudResult<Accepted> {
        self.act(Call::ConfirmResize { server: server.into() }, self.cloud.confirm_resize(server)).await
    }

    async fn start(&self, server: &str) -> CloudResult<Accepted> {
        self.act(Call::Start { server: server.into() }, self.cloud.start(server)).await
    }

    async fn stop(&self, server: &str) -> CloudResult<Accepted> {
        self.act(Call::Stop { server: server.into() }, self.cloud.stop(server)).await
    }

    async fn max_microversion(&self) -> CloudResult<(u32, u32)> {
        self.read("version", "", false, self.cloud.max_microversion()).await
    }
}

#[async_trait]
impl Placement for Nova {
    async fn provider(&self, id: &str) -> CloudResult<Option<Provider>> {
        self.read("provider", id, false, self.cloud.provider(id)).await
    }

    async fn rooms(&self) -> CloudResult<Vec<Room>> {
        self.read("rooms", "", true, self.cloud.rooms()).await
    }

    async fn providers_of(&self, consumer: &str) -> CloudResult<Vec<String>> {
        self.read("providers of", consumer, false, self.cloud.providers_of(consumer)).await
    }
}

#[async_trait]
impl Identity for Nova {
    async fn validate(&self, _token: &str, _allow_expired: bool) -> CloudResult<Option<TokenInfo>> {
        Err(CloudError::NotSent { what: "validate".into(), detail: "controllers ask for no tokens".into(), retry_after: None })
    }

    fn public_url(&self) -> String {
        self.cloud.public_url()
    }
}
