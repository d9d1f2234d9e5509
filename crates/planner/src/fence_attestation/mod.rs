//! FenceAttestation: how long a person's word counts.

mod decide;

pub use decide::decide;
