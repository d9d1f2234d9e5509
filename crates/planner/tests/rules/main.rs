//! The rules S2 to S14, one table per rule.

mod attestation;
mod channels;
#[path = "../common/mod.rs"]
mod common;
mod drains;
mod drills;
mod fencing;
mod freeze;
mod guest_policy;
mod holding;
mod looked;
mod placement;
mod plans;
mod recording;
mod remediation;
mod remediation_knowledge;
mod remediation_limits;
mod remediation_observer;
mod remediation_restart;
mod remediation_return;
mod s02_liveness;
mod s03_links;
mod s04_proof;
mod s06_settling;
mod s08_hold;
mod s09_cold;
mod s09_empty;
mod s10_latch;
mod standby;
