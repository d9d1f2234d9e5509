//! The HTTP API: OpenStack on the outside (discovery, Keystone tokens, error bodies, request ids,
//! microversions), Kubernetes inside (objects, lists, watch). Stateless: everything is in the store,
//! so any number of these servers may run side by side.
//!
//! Every route is in `router`'s table, every error status in [`errors`]'s, who may what is one
//! table of rules in [`policy`].
#![warn(missing_docs)]

mod access_rules;
mod attest;
mod audit;
mod auth;
mod call;
mod config;
mod context;
mod envelope;
pub mod errors;
mod handlers;
mod limits;
mod openapi;
mod paging;
mod params;
pub mod policy;
mod reading;
mod refusals;
mod request_id;
mod router;
mod select;
mod server;
mod sort;
mod stamp;
mod table;
mod tls;
mod version;

pub use config::ApiConfig;
pub use context::{Backends, Check, GuestView, Health, Readiness};
pub use limits::Rate;
pub use server::{Handle, ServeError, serve, serve_metrics};
pub use tls::TlsFiles;
pub use version::{MAX_VERSION, MIN_VERSION, SERVICE_TYPE};
