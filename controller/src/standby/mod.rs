//! StandbyPool and FenceDrill.

mod drill;
mod look;
mod pool;

pub(crate) use drill::FenceDrillReconciler;
pub(crate) use pool::StandbyPoolReconciler;
