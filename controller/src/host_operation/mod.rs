//! HostOperation.

mod observe;

pub(crate) use observe::HostOperationReconciler;
