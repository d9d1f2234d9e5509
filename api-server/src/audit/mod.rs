//! The audit of requests (CADF): what a user changed is recorded in the transaction of the change; what was denied, what
//! failed, and reads of what is delicate are recorded afterwards, as well as that can be done.

mod acting;
mod file;
mod queue;
mod record;
mod store;

pub(crate) use self::store::Audited;
pub(crate) use acting::{ACTING, Acting, body_read};
pub(crate) use file::follow;
pub(crate) use queue::Auditor;
