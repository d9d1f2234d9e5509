//! Standby hosts: hosts kept disabled or powered off, each woken for one recovery, put back when it is empty, and tested before
//! it is needed (I18).
//!
//! A pool does nothing to a host itself: it makes HostOperations, which have their own gates (S3, S8 to S12, S14), one at a
//! time. Its lease stands in its status and as a mark on the Host, written together; what was not as it was read when that is
//! written down is decided anew.

mod drill;
mod facts;
mod lease;
mod member;
mod need;
mod operations;
mod pool;
mod rest;

pub use drill::{decide as decide_drill, unfinished};
pub use facts::{DrillSeen, Look, Member, Need, Seen};
pub use member::wants_look;
pub use pool::decide;
