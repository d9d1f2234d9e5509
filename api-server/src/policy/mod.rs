//! Who may what (S15): rules in code, which a `policy.yaml` may replace one by one, in the part of oslo.policy's language
//! that asks nobody outside. No role passes the safety rules behind it.

pub(crate) mod asks;
mod check;
pub(crate) mod live;
mod parse;
pub(crate) mod rules;
mod set;

pub use check::Check;
pub use parse::parse;
pub use rules::{PERSONAS, RULES, Rule, Scope};
pub use set::{MAX_DEPTH, MAX_FILE, Policy, Verdict, Wrong, sample};
