//! The rules S2 to S14, one table per rule.

#[path = "../common/mod.rs"]
mod common;
mod drills;
mod remediation;
mod s02_liveness;
mod s03_links;
mod s04_proof;
mod s06_settling;
mod s08_hold;
mod s09_cold;
mod s09_empty;
mod s10_latch;
mod standby;
