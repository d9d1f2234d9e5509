//! The rules S2 to S14, one table per rule.

#[path = "../common/mod.rs"]
mod common;
mod s02_liveness;
mod s04_proof;
