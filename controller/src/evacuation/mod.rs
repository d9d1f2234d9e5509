//! Evacuation.

mod observe;

pub(crate) use observe::EvacuationReconciler;
