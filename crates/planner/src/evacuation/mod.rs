//! Evacuation: get every guest off one host.
//!
//! The path of a dead host: claim → proof of off → disable and force down in one PUT → guests rebuilt
//! by priority, each with its own record → outcome per guest. A host that is alive is drained.

mod decide;
pub(crate) mod guests;
mod path;

pub use decide::decide;
