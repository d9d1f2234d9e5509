//! Where databases differ. Nothing else knows which one it talks to.

use diesel::sqlite::SqliteConnection;
use diesel_async::{SimpleAsyncConnection, sync_connection_wrapper::SyncConnectionWrapper};

/// A SQLite connection.
pub(crate) type SqliteConn = SyncConnectionWrapper<SqliteConnection>;

/// Settings of every SQLite session. FULL: a committed intent must survive a power cut.
const SQLITE_SESSION: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA cache_size = -2000; PRAGMA mmap_size = 0; PRAGMA journal_size_limit = 16777216;";

/// Prepares a new SQLite connection.
pub(crate) async fn sqlite_session(conn: &mut SqliteConn) -> diesel::QueryResult<()> {
    conn.batch_execute(SQLITE_SESSION).await
}

/// Begins a transaction that writes. SQLite must take its write lock up front: a deferred
/// transaction that upgrades fails at once, whatever `busy_timeout` says.
macro_rules! write_transaction {
    ($conn:expr, $body:expr) => {
        $conn.immediate_transaction($body).await
    };
}
pub(crate) use write_transaction;
