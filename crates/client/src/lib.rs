//! Typed HTTP client of the Cloud Manager API.
//!
//! It knows the kinds (`schemas`) and HTTP, and no server crate: what it cannot ask the API for, it
//! does not know. [`Client`] speaks with the API, [`auth`] gets Keystone tokens, [`Watch`] follows
//! a list of objects, [`BatchOptions`] apply many at once, [`why`] tells why an object stands where it
//! stands, [`held`] what else may hold a host up.
#![warn(missing_docs)]

mod address;
pub mod auth;
mod batch;
mod error;
pub mod held;
mod http;
pub mod object;
mod query;
mod watch;
pub mod why;

pub use auth::{Access, AuthOptions, Environment};
pub use batch::{BatchDone, BatchOptions, ItemDone, SetOptions};
pub use error::{ApiError, Cause, Error, Exit};
pub use http::{Client, Deleted, List, Options};
pub use query::Query;
pub use watch::{Event, Watch};

/// Where the API is when neither a flag, nor the environment, nor the catalogue says so.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:9362";

/// Service type in Keystone's catalogue, and the name in the microversion header.
pub const SERVICE_TYPE: &str = "cloud-manager";
