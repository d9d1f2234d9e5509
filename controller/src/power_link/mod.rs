//! PowerLink.

mod observe;

pub(crate) use observe::PowerLinkReconciler;
