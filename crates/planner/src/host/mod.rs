//! Host: keep power and scheduling as declared.

mod decide;
mod status;

pub use decide::decide;
