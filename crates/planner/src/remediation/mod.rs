//! Who is down, and what may be done about it without a person: one decision over all hosts at once.
//!
//! A host walks through [`AvailabilityState`](schemas::v1::AvailabilityState) by what Nova says of its service, look by look:
//! by the tables in `states/`, which `docs/REMEDIATION.md` shows. Whether something is begun for a host that is down is a
//! question of its policy, of how many others are down (I6), and of whether those who look can be trusted (I5). It is always
//! answered, with a reason (I27). What follows is an Evacuation or a HostOperation, which have their own proofs (S2–S10):
//! nothing here is evidence of death.

mod allowed;
mod budget;
pub mod channels;
mod choice;
mod diagram;
mod domains;
mod holding;
mod input;
mod laid_over;
mod looked;
mod mass;
mod pass;
mod recording;
mod replay;
mod returning;
mod states;
mod verdict;

pub use choice::policy_of;
pub use diagram::document;
pub use holding::Holding;
pub use input::{HostRow, Input, Observer, PolicyRow};
pub use laid_over::{LaidOver, lay_over, policy_from};
pub use looked::{Looked, Objects};
pub use pass::{Verdicts, pass};
pub use recording::{FORMAT, Line, Recorder};
pub use replay::{Replay, Told};
pub use verdict::{Answer, Begin, DomainVerdict, HostVerdict, PolicyVerdict};
