//! The controller: reconcilers for every kind, and the periodic tasks of the leader.
#![warn(missing_docs)]

mod act;
mod attestation;
mod beats;
mod cache;
mod controllers;
mod fencing;
mod foresee;
mod gc;
mod guest_policies;
mod holding;
mod lasting;
mod links;
mod node_sync;
mod others;
mod run;
mod sites;
mod telling;
mod tracker;
mod warm;
mod world;

mod evacuation;
mod fence_attestation;
mod host;
mod host_operation;
mod power_device;
mod power_link;
mod standby;

pub use run::{ControllerConfig, Running, start};
pub use telling::{Delivery, deliver};
pub use tracker::Recording;
pub use warm::stand_by;
pub use world::World;
