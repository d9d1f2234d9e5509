//! One model of a cloud, with two fronts.
//!
//! [`World`] is a pure, deterministic state machine of hosts, guests, Nova's services and records,
//! Placement's allocations and BMCs. Time is handed in, randomness comes from a seed. [`SimCloud`] and
//! [`SimPower`] put it behind the traits of `cloud` and `power`, under any clock; [`serve`] puts it
//! behind HTTP: Keystone, Nova, Placement and Redfish, as the sandbox's cloud.
//!
//! The behaviour is Nova 26.2's, seen on a real one: see `model::evacuate` and `model::live_migrate`.
#![warn(missing_docs)]

mod http;
pub mod model;
mod store;
mod topology;
mod traits;

pub use self::store::ModelStore;
pub use http::{Front, serve};
pub use model::{
    Answer, BmcFailure, Call, CallFault, CallKind, CallRecord, DoubleRun, Failure, GroupPolicy, GuestSpec, HostFault, HostSpec, Lie, LogEntry,
    NoSuch, Reply, Room, Settings, VmState, World,
};
pub use topology::Topology;
pub use traits::{Clock, SimCloud, SimHooks, SimPower};
