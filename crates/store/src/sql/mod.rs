//! The statements, over `super::Conn` of whichever database this is compiled for.

pub(crate) mod audit;
pub(crate) mod lease;
pub(crate) mod observations;
pub(crate) mod outbox;
pub(crate) mod read;
pub(crate) mod rekey;
pub(crate) mod require;
pub(crate) mod side;
pub(crate) mod write;

use super::Conn;
