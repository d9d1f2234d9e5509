//! All SQL, all transactions, nothing else. No diesel type leaves this crate.
//!
//! **The write rule**: every transaction that changes a resource first bumps the one `revision`
//! row, then checks the lease token if it is a controller's, then compare-and-sets. One bump is one
//! row in `changes`, so the history is gapless and in commit order. A transaction is a list of
//! [`Op`]s: no outside call can sit in it.
#![warn(missing_docs)]

mod api;
mod backup;
mod conn;
mod dialect;
mod error;
mod keyfile;
mod keys;
mod lease;
mod lock;
mod migrate;
mod read;
mod rekey;
mod schema;
mod side;
mod write;

pub use api::{
    Change, ChangeOp, ClaimRequest, ClaimRow, Committed, Evidence, Guard, LeaseRow, ListPage, ListQuery, ObjectText, Op, Revision, Store,
    TextPage,
};
pub use backup::backup;
pub use conn::{SqlStore, StoreConfig};
pub use error::{StoreError, StoreResult};
pub use keyfile::KeyFile;
pub use keys::KeyRing;
pub use lock::DataDirLock;
pub use migrate::{MigrationStatus, migrate, migration_status};
pub use rekey::Resealed;

/// The lease that controllers compete for.
pub const CONTROLLER_LEASE: &str = "controller";
