//! Evacuation: get every guest off one host.
//!
//! The path of a dead host: claim → proof of off → disable and force down in one PUT → a plan of who goes where → guests
//! rebuilt by it, group after group, each with its own record → outcome per guest. A host that is alive is drained.

mod decide;
pub(crate) mod guests;
mod path;
mod planning;
mod preview;
mod sending;

pub use decide::decide;
pub use preview::preview;
