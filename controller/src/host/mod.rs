//! Host.

mod observe;

pub(crate) use observe::HostReconciler;
