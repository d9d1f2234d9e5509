//! Scenarios: the whole controller, with its database, against the simulated cloud, in simulated time.
//!
//! Each test reads as a script. Time is tokio's, paused: an hour of waiting costs what the work in it costs.

use workspace_tests::{life, stage};

mod attestation;
mod audit;
mod decisions;
mod drills;
mod evidence;
mod fencing;
mod limits;
mod node_sync;
mod observer;
mod pairs;
mod partial;
mod plans;
mod remediation;
mod remediation_limits;
mod remediation_policy;
mod remediation_restart;
mod remediation_return;
mod s02_liveness;
mod s03_links;
mod s04_proof;
mod s05_life;
mod s06_moves;
mod s07_adoption;
mod s08_calls;
mod s08_hold;
mod s09_cold;
mod s09_empty;
mod s10_latch;
mod s11_claims;
mod s12_power;
mod s13_disks;
mod s14_two_brains;
mod standby;
mod telling;
mod twice;
