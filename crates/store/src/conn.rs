//! Connections, deadlines, and the macro that compiles a query body once per database.

use crate::{KeyRing, StoreError, StoreResult, dialect, dialect::SqliteConn};
use deadpool::managed::{PoolError as DeadpoolError, QueueMode};
use diesel::{ConnectionError, SqliteConnection};
use diesel_async::{
    AsyncConnection,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, PoolError, deadpool::Pool},
};
use futures::future::BoxFuture;
use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::{Mutex, watch};

/// How to reach a database.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// File of the SQLite database.
    pub path: PathBuf,
    /// Longest time a call may take.
    pub deadline: Duration,
    /// Connections.
    pub connections: usize,
}

impl StoreConfig {
    /// SQLite at `path`, 5 s per call, 4 connections.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        StoreConfig { path: path.into(), deadline: Duration::from_secs(5), connections: 4 }
    }
}

/// The pools, one variant per database.
#[derive(Clone)]
pub(crate) enum Db {
    Sqlite(Pool<SqliteConn>),
}

/// A store over SQL. Cheap to clone.
#[derive(Clone)]
pub struct SqlStore {
    pub(crate) db: Db,
    pub(crate) keys: Arc<KeyRing>,
    deadline: Duration,
    /// SQLite has one writer at a time: waiting here is cheaper than in `busy_timeout`.
    pub(crate) writer: Arc<Mutex<()>>,
    pub(crate) committed: Arc<watch::Sender<i64>>,
}

/// Runs `$body` with a connection of whichever database it is.
macro_rules! with_conn {
    ($db:expr, $conn:ident => $body:expr) => {
        match &$db {
            $crate::conn::Db::Sqlite(pool) => {
                let mut object = pool.get().await.map_err($crate::conn::pool_error)?;
                let $conn: &mut $crate::dialect::SqliteConn = &mut object;
                $body
            }
        }
    };
}
pub(crate) use with_conn;

pub(crate) fn pool_error(error: DeadpoolError<PoolError>) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn establish(url: &str) -> BoxFuture<'_, diesel::ConnectionResult<SqliteConn>> {
    Box::pin(async move {
        let mut conn = <SqliteConn as AsyncConnection>::establish(url).await?;
        dialect::sqlite_session(&mut conn).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(conn)
    })
}

impl SqlStore {
    /// Opens a database whose schema is current; see [`crate::migrate`].
    pub async fn open(config: &StoreConfig, keys: KeyRing) -> StoreResult<SqlStore> {
        crate::migrate::require_current(config).await?;
        let url = config.path.to_string_lossy().into_owned();
        let mut manager = ManagerConfig::<SqliteConn>::default();
        manager.custom_setup = Box::new(|url| {
            let url = url.to_string();
            Box::pin(async move { establish(&url).await })
        });
        let manager = AsyncDieselConnectionManager::<SqliteConn>::new_with_config(url, manager);
        let pool = Pool::builder(manager)
            .max_size(config.connections)
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let store = SqlStore {
            db: Db::Sqlite(pool),
            keys: Arc::new(keys),
            deadline: config.deadline,
            writer: Arc::new(Mutex::new(())),
            committed: Arc::new(watch::channel(0).0),
        };
        store.name_cluster().await?;
        Ok(store)
    }

    /// Runs a read under the deadline.
    pub(crate) async fn reading<T>(&self, work: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        let late = || StoreError::Unavailable(format!("no answer within {} s", self.deadline.as_secs()));
        tokio::time::timeout(self.deadline, work).await.map_err(|_| late())?
    }

    /// Runs a write under the deadline, in a task of its own: a caller that goes away must not leave
    /// a transaction half done, and one whose deadline passes must not believe it failed.
    pub(crate) async fn writing<T, F>(&self, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: Future<Output = StoreResult<T>> + Send + 'static,
    {
        let late = || StoreError::OutcomeUnknown(format!("no answer within {} s", self.deadline.as_secs()));
        let task = tokio::spawn(work);
        match tokio::time::timeout(self.deadline, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(StoreError::OutcomeUnknown(panic.to_string())),
            Err(_) => Err(late()),
        }
    }
}

/// A plain connection outside the pool, for migrations.
pub(crate) async fn single(config: &StoreConfig) -> StoreResult<SqliteConn> {
    let url = config.path.to_string_lossy().into_owned();
    establish(&url).await.map_err(|e| StoreError::Unavailable(format!("{}: {e}", config.path.display())))
}

/// The type diesel calls SQLite.
pub(crate) type Backend = <SqliteConnection as diesel::Connection>::Backend;
