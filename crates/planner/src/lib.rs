//! Every decision, as pure functions: no clock, no I/O, no randomness that was not handed in.
//!
//! The shape is: [`facts`] in, [`contract::Decision`] out. "Less knowledge, never more force":
//! replacing any fact by unknown never adds a disruptive step (S1).
#![warn(missing_docs)]

pub mod attestation;
pub mod contract;
pub mod drain;
pub mod empty;
pub mod evacuation;
pub mod fact;
pub mod facts;
pub mod fence_attestation;
pub mod fencing;
pub mod flavor;
pub mod guest_policy;
pub mod hold;
pub mod host;
pub mod host_operation;
pub mod liveness;
pub mod placement;
pub mod power;
pub mod power_device;
pub mod power_link;
pub mod proof;
pub mod remediation;
pub mod service;
pub mod settle;
pub mod standby;
pub mod status;

pub use contract::{Also, ClaimWish, Decision, Env, EventDraft, Intent, Next, Rank, Settlement, Step};
pub use fact::Fact;
