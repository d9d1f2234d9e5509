//! Schedules: two whole controllers over one simulated cloud, on one thread and in simulated time, and everything that
//! can go wrong between them, from a seed. Each call of a controller is numbered, and the schedule says what happens at
//! it. The laws are checked at every call, and what all of it came to at the end.

mod aftermath;
mod calls;
mod chance;
mod deeds;
mod devices;
mod draw;
mod end;
mod laws;
mod mirror;
mod nova;
mod observed;
mod operator;
mod plan;
mod process;
mod recovery;
mod run;
mod second;
mod shrink;
mod sql;
mod trace;
mod weather;

pub use laws::Violation;
pub use plan::{Blow, Class, DbFault, Fault, Job, Moment, Part, Plan, Sabotage, Weather, What};
pub use recovery::{Death, Deed, Guests, Order, Pool, Rules, Watch};
pub use run::{Outcome, run};
pub use second::Second;
pub use shrink::{Keep, shrink};
