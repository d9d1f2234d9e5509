//! SQLite: one file, one writer at a time.

use crate::{StoreError, StoreResult, schema::revision, trouble};
use diesel::{ExpressionMethods, QueryDsl, QueryResult, SqliteConnection};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection, sync_connection_wrapper::SyncConnectionWrapper};
use std::path::Path;

/// A connection.
pub(crate) type Conn = SyncConnectionWrapper<SqliteConnection>;

/// Runs a transaction that writes. SQLite must take its write lock up front: a deferred
/// transaction that upgrades fails at once, whatever `busy_timeout` says.
macro_rules! in_transaction {
    ($c:expr, $body:expr) => {
        $c.immediate_transaction($body).await
    };
}

// The statements are plain diesel over `super::Conn`, compiled once for each database: a bound that says
// "all our queries work on this connection" would be longer than the queries.
#[path = "sql/mod.rs"]
pub(crate) mod sql;

pub(crate) use sql::audit::extend;

/// Takes the next revision.
pub(crate) async fn bump(c: &mut Conn) -> QueryResult<i64> {
    diesel::update(revision::table.find(1)).set(revision::current.eq(revision::current + 1)).returning(revision::current).get_result(c).await
}

/// Settings of every SQLite session. FULL: a committed intent must survive a power cut.
const SESSION: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA cache_size = -2000; PRAGMA mmap_size = 0; PRAGMA journal_size_limit = 16777216;";

/// Opens a SQLite file.
pub(crate) async fn connect(path: &Path) -> StoreResult<Conn> {
    let fail = |why: String| match trouble::explain(&why) {
        StoreError::Unavailable(why) if why.contains("unable to open") => {
            StoreError::Unavailable(format!("{why}; check that its directory exists and may be written"))
        }
        other => other,
    };
    let mut conn = Conn::establish(&path.to_string_lossy()).await.map_err(|e| fail(e.to_string()))?;
    conn.batch_execute(SESSION).await.map_err(|e| fail(e.to_string()))?;
    Ok(conn)
}
