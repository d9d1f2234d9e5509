//! HostOperation: one thing done once to one host.

mod automatic;
mod decide;
mod holding;
mod initialise;
mod returning;

pub use decide::decide;
