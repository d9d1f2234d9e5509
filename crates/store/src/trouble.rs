//! What an error of a database means. One table for all: they speak differently enough.
//!
//! Of an error inside a transaction it is certain that nothing was written, whatever it says; so the
//! words read here only choose between "again at once", "again later" and the advice. At `COMMIT`
//! nothing is certain but what [`is_definite`] knows.

use crate::StoreError;
use diesel::result::{DatabaseErrorKind, Error};

/// Another transaction was in the way; the same one may be run again at once.
/// PostgreSQL 40001, 40P01, 55P03; MySQL 1205, 1213, and 1213 at `COMMIT` from Galera; SQLite BUSY and LOCKED.
const CONTENDED: &[&str] = &[
    "deadlock detected",
    "could not serialize access",
    "due to lock timeout",
    "could not obtain lock",
    "deadlock found when trying to get lock",
    "lock wait timeout exceeded",
    "record has changed since last read",
    "database is locked",
    "database table is locked",
];

/// PostgreSQL 25006; MySQL 1290, 1792, 1836; SQLite READONLY.
const READ_ONLY: &[&str] =
    &["read-only transaction", "--read-only option", "--super-read-only option", "read-only mode", "attempt to write a readonly database"];

/// PostgreSQL 53100; MySQL 1021, 1114, 3; SQLite FULL.
const FULL: &[&str] =
    &["no space left on device", "could not extend file", "disk full", "disk is full", "database or disk is full", "errcode: 28", "error: 28"];

/// PostgreSQL 53300; MySQL 1040, 1203, 1226.
const TOO_MANY: &[&str] =
    &["too many connections", "too many clients already", "remaining connection slots", "max_user_connections", "max_connections_per_hour"];

/// PostgreSQL 57P01, 57P02, 57P03; MySQL 1053, 1317; any broken connection.
const GONE: &[&str] = &[
    "terminating connection",
    "connection closed",
    "the database system is",
    "server has gone away",
    "lost connection",
    "server shutdown in progress",
    "connection reset",
    "broken pipe",
    "connection was killed",
    "input/output error",
    "error communicating with the server",
];

/// Galera 1047: a node that is not part of the primary component.
const NOT_READY: &[&str] = &["wsrep has not yet prepared node", "unknown command", "node has dropped from cluster"];

fn says(text: &str, words: &[&str]) -> bool {
    words.iter().any(|w| text.contains(w))
}

/// Reads the text of an error.
pub(crate) fn explain(text: &str) -> StoreError {
    let low = text.to_lowercase();
    if says(&low, CONTENDED) {
        StoreError::Contended(format!("{text}; the same transaction may be run again"))
    } else if says(&low, READ_ONLY) {
        StoreError::ReadOnly(format!(
            "{text}; use the address of the primary, or end the read-only mode if nothing else does (`cloud-manager doctor` shows it)"
        ))
    } else if says(&low, FULL) || (low.contains("the table '") && low.contains("is full")) {
        StoreError::Unavailable(format!("{text}; the disk of the database is full: make room on it, nothing needs repair"))
    } else if says(&low, TOO_MANY) {
        StoreError::Unavailable(format!("{text}; raise the server's limit of connections or end other clients"))
    } else if says(&low, NOT_READY) {
        StoreError::Unavailable(format!("{text}; this Galera node is not in the primary component: see wsrep_cluster_status, and use a node that is"))
    } else if says(&low, GONE) {
        StoreError::Unavailable(format!("{text}; the connection broke or the server is stopping: it is tried again with a new connection"))
    } else {
        StoreError::Unavailable(text.to_string())
    }
}

/// Whether a failed `COMMIT` says for certain that nothing was committed. A certification failure of
/// Galera does (it comes as a deadlock), and a serialization failure; a broken connection does not.
pub(crate) fn is_definite(error: &StoreError) -> bool {
    matches!(error, StoreError::Contended(_))
}

/// What the failure of a statement outside a transaction leaves: if the connection broke, it may have worked.
pub(crate) fn of_a_statement(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(why) if says(&why.to_lowercase(), GONE) || why.contains("the connection broke") => StoreError::OutcomeUnknown(why),
        other => other,
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, info) => StoreError::AlreadyExists(info.message().to_string()),
            Error::DatabaseError(DatabaseErrorKind::SerializationFailure, info) => {
                StoreError::Contended(format!("{}; the same transaction may be run again", info.message()))
            }
            Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, info) => explain(&format!("{} (read-only transaction)", info.message())),
            Error::DatabaseError(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand, info) => {
                StoreError::Unavailable(format!("{}; the connection broke: it is tried again with a new one", info.message()))
            }
            Error::NotFound => StoreError::Corrupt("a row that every database of ours has is missing".into()),
            Error::DeserializationError(why) => StoreError::Corrupt(why.to_string()),
            other => explain(&other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_understood() {
        for text in [
            "deadlock detected",
            "Deadlock found when trying to get lock; try restarting transaction",
            "Lock wait timeout exceeded; try restarting transaction",
            "canceling statement due to lock timeout",
            "database is locked",
        ] {
            assert!(matches!(explain(text), StoreError::Contended(_)), "{text}");
        }
        for text in [
            "cannot execute UPDATE in a read-only transaction",
            "The MySQL server is running with the --read-only option so it cannot execute this statement",
            "attempt to write a readonly database",
        ] {
            assert!(matches!(explain(text), StoreError::ReadOnly(_)), "{text}");
        }
        for text in ["The table 'changes' is full", "could not extend file \"base/5\": No space left on device", "database or disk is full"] {
            assert!(explain(text).to_string().contains("make room"), "{text}");
        }
        for text in ["the table is crooked", "something new"] {
            assert_eq!(explain(text), StoreError::Unavailable(text.into()));
        }
    }

    #[test]
    fn a_broken_connection_proves_nothing_about_a_commit() {
        for text in ["connection closed", "terminating connection due to administrator command", "Connection reset by peer"] {
            assert!(!is_definite(&explain(text)), "{text}");
        }
        assert!(is_definite(&explain("Deadlock found when trying to get lock; try restarting transaction")));
    }
}
