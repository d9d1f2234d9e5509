//! Over HTTP, with one authenticated session.
//!
//! The session (endpoint filters, overrides, who we are) is the `openstack` crate's; requests, limits,
//! microversions, retries and what an answer means are decided here, as that crate has no os-services,
//! hypervisors, migrations, evacuate, live migration, Placement or Keystone calls.

mod checkup;
mod clouds_yaml;
mod compute;
mod config;
mod decode;
mod http;
mod identity;
mod keystone;
mod placement;
mod retry;
mod rows;
mod session;

pub use config::{AppCredential, Auth, CloudConfig, ConfigError, Credentials, Domain, Named, Timeouts};
pub use session::OpenStack;

/// Told of every request that went out, for metrics.
pub trait CallObserver: Send + Sync {
    /// `service`: `nova`, `placement`, `keystone`. `kind`: such as `servers`, `evacuate`, `token`.
    /// `result`: `ok`, `refused`, `not_sent`, `unknown`. `millis`: how long it took. Each try counts.
    fn call(&self, service: &'static str, kind: &'static str, result: &'static str, millis: u64);
}
