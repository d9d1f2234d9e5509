//! PowerDevice and ClusterPolicy.

mod observe;

pub(crate) use observe::{ClusterPolicyReconciler, PowerDeviceReconciler};
