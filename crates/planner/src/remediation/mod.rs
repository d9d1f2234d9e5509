//! Who is down, and what may be done about it without a person: one decision over all hosts at once.
//!
//! A host walks through [`AvailabilityState`](schemas::v1::AvailabilityState) by what Nova says of its service, look by look.
//! Whether something is begun for a host that is down is a question of its policy, of how many others are down (I6), and of
//! whether those who look can be trusted (I5). It is always answered, with a reason (I27). What follows is an Evacuation,
//! which has its own proofs (S2–S6): nothing here is evidence of death.

mod budget;
pub mod channels;
mod choice;
mod pass;
mod walk;

pub use pass::{Answer, HostRow, HostVerdict, Input, Observer, PolicyRow, PolicyVerdict, pass};
