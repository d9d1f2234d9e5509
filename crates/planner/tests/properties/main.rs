//! What must hold for arbitrary facts, not only for those that someone thought of.

#[path = "../common/mod.rs"]
mod common;
mod arbitrary;
mod force;
mod knowledge;
mod sequences;
mod total;
