//! What controllers and the API server ask of a cloud.

use crate::{Aggregate, CloudResult, Hypervisor, Migration, Provider, Room, Server, ServerGroup, Service, ServiceChange, TokenInfo};
use async_trait::async_trait;

/// The remote took a request; its effect may still be under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The remote's request id.
    pub request_id: Option<String>,
}

/// Nova.
#[async_trait]
pub trait Compute: Send + Sync {
    /// All services of all binaries; rows of a cell that did not answer have `up: None` (2.69).
    async fn services(&self) -> CloudResult<Vec<Service>>;

    /// All hypervisors, every page.
    async fn hypervisors(&self) -> CloudResult<Vec<Hypervisor>>;

    /// All servers of all projects, every page; with `host`, those Nova shows on that service host.
    /// A filtered list silently lacks guests of a cell that is down (I8): check the service's row as well.
    async fn servers(&self, host: Option<&str>) -> CloudResult<Vec<Server>>;

    /// One server; `None` if Nova does not know it.
    async fn server(&self, id: &str) -> CloudResult<Option<Server>>;

    /// Migration records with `host` as source or destination, every page, newest first.
    async fn migrations_of_host(&self, host: &str) -> CloudResult<Vec<Migration>>;

    /// Migration records of one server, every page, newest first.
    async fn migrations_of_server(&self, server: &str) -> CloudResult<Vec<Migration>>;

    /// All aggregates.
    async fn aggregates(&self) -> CloudResult<Vec<Aggregate>>;

    /// All server groups of all projects, every page (2.64).
    async fn server_groups(&self) -> CloudResult<Vec<ServerGroup>>;

    /// Changes a nova-compute service in one PUT; gives back the row as Nova left it.
    async fn update_service(&self, id: &str, change: &ServiceChange) -> CloudResult<Service>;

    /// Rebuilds a server on `destination`. `leave_stopped` needs Nova 2.95 and leaves it stopped there;
    /// otherwise it is started if its `vm_state` was active. Not idempotent (I9).
    async fn evacuate(&self, server: &str, destination: &str, leave_stopped: bool) -> CloudResult<Accepted>;

    /// Live-migrates a server; without a destination the scheduler chooses. Not idempotent.
    async fn live_migrate(&self, server: &str, destination: Option<&str>) -> CloudResult<Accepted>;

    /// Moves a stopped server with its disk to another host; without a destination, which needs Nova 2.56, the scheduler
    /// chooses. It ends in `VERIFY_RESIZE`, still stopped, until it is confirmed. Not idempotent.
    async fn cold_migrate(&self, server: &str, destination: Option<&str>) -> CloudResult<Accepted>;

    /// Confirms a cold migration (or a resize: look whose it is) that is `VERIFY_RESIZE`: the copy on the source is deleted.
    async fn confirm_resize(&self, server: &str) -> CloudResult<Accepted>;

    /// Starts a stopped server.
    async fn start(&self, server: &str) -> CloudResult<Accepted>;

    /// Shuts a server down.
    async fn stop(&self, server: &str) -> CloudResult<Accepted>;

    /// Highest microversion, such as (2, 93).
    async fn max_microversion(&self) -> CloudResult<(u32, u32)>;
}

/// Placement.
#[async_trait]
pub trait Placement: Send + Sync {
    /// A provider with inventories, usages, traits and consumers; `None` if Placement does not know it.
    async fn provider(&self, id: &str) -> CloudResult<Option<Provider>>;

    /// Every compute node that is not disabled and has room for one more small guest, in one read.
    async fn rooms(&self) -> CloudResult<Vec<Room>>;

    /// Ids of providers a consumer has allocations on; empty if it has none.
    async fn providers_of(&self, consumer: &str) -> CloudResult<Vec<String>>;
}

/// Keystone.
#[async_trait]
pub trait Identity: Send + Sync {
    /// Who a token belongs to; `None` if it is not valid. An error means Keystone could not tell. One that has ended is valid
    /// with `allow_expired`, as long as Keystone keeps it: for requests that a service passes on (`allow_expired=1`).
    async fn validate(&self, token: &str, allow_expired: bool) -> CloudResult<Option<TokenInfo>>;

    /// Public URL of Keystone, for `WWW-Authenticate`.
    fn public_url(&self) -> String;
}

/// All of it.
pub trait CloudApi: Compute + Placement + Identity {}

impl<T: Compute + Placement + Identity> CloudApi for T {}
