//! What drives reconcilers: work queue, driver loop, lease, change feed, events, metrics, clock.
#![warn(missing_docs)]

mod also;
mod audit;
pub mod chance;
pub mod clock;
pub mod driver;
mod durations;
mod entered;
pub mod feed;
mod foresee;
pub mod gate;
pub mod intents;
pub mod lease;
pub mod live;
mod loaded;
pub mod metrics;
pub mod queue;
pub mod reconciler;
pub mod recorder;
pub mod retry;

pub use clock::{Clock, SteadyClock, SystemClock, TokioClock};
pub use driver::Driver;
pub use feed::{Feed, FeedChange};
pub use foresee::{Foreseen, foresee};
pub use gate::{Elders, Gate, LeaseTime};
pub use lease::{Leadership, LeaseTiming, Standing};
pub use live::Live;
pub use metrics::{Metrics, RecordLabels};
pub use queue::{Key, Queue};
pub use reconciler::{ActOutcome, Actor, Reconciler, Run, RunResult, Shared};
pub use recorder::Recorder;
