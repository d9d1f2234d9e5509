//! FenceAttestation.

mod observe;

pub(crate) use observe::FenceAttestationReconciler;
