//! All SQL, all transactions, nothing else. No diesel type leaves this crate.
//!
//! **The write rule**: every transaction that changes a resource first bumps the one `revision`
//! row, then checks the lease token if it is a controller's, then compare-and-sets. One bump is one
//! row in `changes`, so the history is gapless and in commit order. A transaction is a list of
//! [`Op`]s: no outside call can sit in it.
//!
//! `sql/` has the statements, compiled once for each database; `sqlite.rs`, `postgres.rs` and `mysql.rs`
//! say how each is opened and what it does in its own way.
#![warn(missing_docs)]
#![allow(clippy::duplicate_mod, reason = "sql/ is compiled once for each database")]

mod api;
mod audit;
mod backup;
mod config;
mod conn;
mod connect;
mod error;
mod inspect;
mod keyfile;
mod keys;
mod lease;
mod lock;
mod migrate;
mod mysql;
mod outbox;
mod postgres;
mod rekey;
mod schema;
mod side;
mod sqlite;
mod telling;
mod tls;
mod trouble;
mod url;
mod write;

pub use api::{
    Change, ChangeOp, ClaimRequest, ClaimRow, Committed, Evidence, Guard, LeaseRow, ListPage, ListQuery, ObjectText, Op, Revision, Store, TextPage,
};
pub use audit::{AuditChain, AuditEntry, AuditFinding, AuditLog, AuditQuery, AuditReport, AuditRow};
pub use backup::backup;
pub use config::{Backend, Place, StoreConfig, TlsMode};
pub use conn::SqlStore;
pub use error::{StoreError, StoreResult};
pub use inspect::{DatabaseReport, Finding, Level};
pub use keyfile::KeyFile;
pub use keys::KeyRing;
pub use lock::DataDirLock;
pub use migrate::{MigrationStatus, migrate, migration_status};
pub use outbox::{Fate, Letter, Outbox, OutboxRule, OutboxState};
pub use rekey::Resealed;
pub use telling::Telling;

/// The lease that controllers compete for.
pub const CONTROLLER_LEASE: &str = "controller";
