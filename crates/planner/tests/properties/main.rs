//! What must hold for arbitrary facts, not only for those that someone thought of.

mod arbitrary;
#[path = "../common/mod.rs"]
mod common;
mod force;
mod knowledge;
mod sequences;
mod total;
mod values;
