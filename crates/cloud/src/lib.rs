//! Nova, Placement and Keystone: what we ask of them, and how (`openstack`).
//!
//! The traits are what controllers see; `openstack` is their implementation over HTTP, the crate
//! `simulator` has another. A list is whole or an error: there is no partial answer (I8).
#![warn(missing_docs)]

mod error;
pub mod openstack;
mod traits;
mod types;
pub mod webhook;

pub use error::{CloudError, CloudResult};
pub use traits::{Accepted, CloudApi, Compute, Identity, Placement};
pub use types::*;
