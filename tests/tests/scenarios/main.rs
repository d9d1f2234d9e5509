//! Scenarios: the whole controller, with its database, against the simulated cloud, in simulated time.
//!
//! Each test reads as a script. Time is tokio's, paused: an hour of waiting costs what the work in it costs.

mod life;
mod stage;

mod drills;
mod limits;
mod node_sync;
mod pairs;
mod partial;
mod remediation;
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
mod twice;
