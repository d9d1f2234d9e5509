//! The pool, deadlines, and the macro that compiles a call once per database.

use crate::{
    KeyRing, OutboxRule, StoreConfig, StoreError, StoreResult,
    audit::Remembered,
    config::{Backend, Server, Where},
    connect::Purpose,
    mysql, postgres, sqlite, trouble,
    write::Sent,
};
use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult};
use diesel_async::{SimpleAsyncConnection, pooled_connection::PoolableConnection};
use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit, watch},
};

/// Writers at a time of one process: more wait for the counter's row at the server, where waiting costs more.
const SERVER_WRITERS: usize = 4;

/// A connection that lay idle for so long is asked whether it still works before it is used again.
const LAY_IDLE: Duration = Duration::from_secs(1);

/// Opens connections of one database.
#[derive(Clone, Debug)]
pub(crate) struct Opener<P> {
    place: P,
    deadline: Duration,
    /// Of the store. A connection is bound to the runtime that opened it, and the lease's keeper, which has one of
    /// its own, ends before the store does.
    home: Handle,
}

/// Makes a [`Manager`]: how a connection is opened, and whether one that lay in the pool still works.
macro_rules! opener {
    ($place:ty, $module:ident, |$opener:ident| $connect:expr) => {
        impl Manager for Opener<$place> {
            type Type = $module::Conn;
            type Error = StoreError;

            async fn create(&self) -> StoreResult<$module::Conn> {
                let $opener = self.clone();
                let opened = self.home.spawn(async move { $connect.await }).await;
                opened.unwrap_or_else(|ended| Err(StoreError::Unavailable(format!("no connection: {ended}"))))
            }

            async fn recycle(&self, conn: &mut $module::Conn, metrics: &Metrics) -> RecycleResult<StoreError> {
                if conn.is_broken() {
                    return Err(RecycleError::message("it has an open transaction"));
                }
                if metrics.last_used() < LAY_IDLE {
                    return Ok(());
                }
                conn.batch_execute("SELECT 1").await.map_err(|e| RecycleError::Backend(e.into()))
            }
        }
    };
}

opener!(PathBuf, sqlite, |o| sqlite::connect(&o.place));
opener!(Arc<PostgresServer>, postgres, |o| postgres::connect(&o.place.0, Purpose::Calls(o.deadline)));
opener!(Arc<MysqlServer>, mysql, |o| mysql::connect(&o.place.0, Purpose::Calls(o.deadline)));

/// A server that speaks PostgreSQL's protocol.
pub(crate) struct PostgresServer(Server);
/// A server that speaks MySQL's protocol.
pub(crate) struct MysqlServer(Server);

/// The pools, one variant per database.
#[derive(Clone)]
pub(crate) enum Db {
    Sqlite(Pool<Opener<PathBuf>>),
    Postgres(Pool<Opener<Arc<PostgresServer>>>),
    Mysql(Pool<Opener<Arc<MysqlServer>>>),
}

/// A connection out of the pool. It goes back only through [`Lent::give_back`]: one whose call was broken
/// off may still be about to receive the answer to that call, and the next caller would take it for its own.
pub(crate) struct Lent<M: Manager> {
    object: Option<Object<M>>,
    pool: Pool<M>,
}

/// Takes a connection out of the pool.
pub(crate) async fn lend<M: Manager<Error = StoreError>>(pool: &Pool<M>) -> StoreResult<Lent<M>> {
    match pool.get().await {
        Ok(object) => Ok(Lent { object: Some(object), pool: pool.clone() }),
        Err(PoolError::Backend(error)) => Err(error),
        Err(other) => Err(StoreError::Unavailable(format!("no connection: {other}"))),
    }
}

impl<M: Manager> Lent<M> {
    /// The connection.
    pub fn connection(&mut self) -> Option<&mut M::Type> {
        self.object.as_deref_mut()
    }

    /// Ends the loan with what the call came to.
    pub fn give_back<T>(mut self, result: &StoreResult<T>) {
        match result {
            // The server is gone, or the primary is elsewhere now: where this connection led the others lead, too.
            Err(error) if !error.is_about_data() => drop(self.pool.retain(|_, _| false)),
            _ => drop(self.object.take()),
        }
    }
}

impl<M: Manager> Drop for Lent<M> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

/// A store over SQL. Cheap to clone.
#[derive(Clone)]
pub struct SqlStore {
    pub(crate) db: Db,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) audit_end: Arc<Remembered>,
    deadline: Duration,
    place: Arc<str>,
    /// SQLite has one writer at a time: waiting here is cheaper than in `busy_timeout`.
    writers: Arc<Semaphore>,
    pub(crate) committed: Arc<watch::Sender<i64>>,
    /// Which tellings are also written to the outbox.
    pub(crate) outbox: Option<Arc<OutboxRule>>,
}

/// Runs `$body` with a connection of whichever database it is; `$sql` is the module `sql` of that database.
macro_rules! with_conn {
    ($db:expr, $conn:ident, $sql:ident => $body:expr) => {
        match &$db {
            $crate::conn::Db::Sqlite(pool) => $crate::conn::with_conn!(@one pool, $conn, $sql, sqlite, $body),
            $crate::conn::Db::Postgres(pool) => $crate::conn::with_conn!(@one pool, $conn, $sql, postgres, $body),
            $crate::conn::Db::Mysql(pool) => $crate::conn::with_conn!(@one pool, $conn, $sql, mysql, $body),
        }
    };
    (@one $pool:ident, $conn:ident, $sql:ident, $module:ident, $body:expr) => {{
        #[allow(unused_imports)]
        use $crate::$module::sql as $sql;
        match $crate::conn::lend($pool).await {
            Ok(mut lent) => {
                let result = match lent.connection() {
                    Some(object) => {
                        let $conn: &mut $crate::$module::Conn = object;
                        $body
                    }
                    None => Err($crate::StoreError::Unavailable("a connection was taken twice".into())),
                };
                lent.give_back(&result);
                result
            }
            Err(error) => Err(error),
        }
    }};
}
pub(crate) use with_conn;

fn pool<P>(place: P, config: &StoreConfig) -> StoreResult<Pool<Opener<P>>>
where
    Opener<P>: Manager,
{
    let opener = Opener { place, deadline: config.deadline, home: Handle::current() };
    let built = Pool::builder(opener).max_size(config.connections).queue_mode(QueueMode::Lifo).build();
    built.map_err(|e| StoreError::Unavailable(e.to_string()))
}

impl SqlStore {
    /// Opens a database whose schema is current; see [`crate::migrate`].
    pub async fn open(config: &StoreConfig, keys: KeyRing) -> StoreResult<SqlStore> {
        crate::migrate::require_current(config).await?;
        let db = match &config.place.0 {
            Where::File(path) => Db::Sqlite(pool(path.clone(), config)?),
            Where::Server(server) if server.backend == Backend::Postgres => Db::Postgres(pool(Arc::new(PostgresServer(server.clone())), config)?),
            Where::Server(server) => Db::Mysql(pool(Arc::new(MysqlServer(server.clone())), config)?),
        };
        let writers = if matches!(db, Db::Sqlite(_)) { 1 } else { SERVER_WRITERS.min(config.connections) };
        let store = SqlStore {
            db,
            keys: Arc::new(keys),
            audit_end: Arc::default(),
            deadline: config.deadline,
            place: config.describe().into(),
            writers: Arc::new(Semaphore::new(writers)),
            committed: Arc::new(watch::channel(0).0),
            outbox: config.outbox.clone().map(Arc::new),
        };
        store.name_cluster().await?;
        Ok(store)
    }

    /// Waits for a place among the writers. The semaphore is never closed, so there is always one in the end.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.writers.acquire().await.ok()
    }

    /// Tells those who wait for commits.
    pub(crate) fn tell(&self, revision: i64) {
        self.committed.send_if_modified(|newest| std::mem::replace(newest, revision.max(*newest)) < revision);
    }

    fn late(&self, what: &str) -> String {
        format!("no answer within {} s{what}; check that it runs and can be reached from here", self.deadline.as_secs_f32())
    }

    /// Runs a read under the deadline.
    pub(crate) async fn reading<T>(&self, work: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        let answer = tokio::time::timeout(self.deadline, work).await;
        answer.unwrap_or_else(|_| Err(StoreError::Unavailable(self.late("")))).map_err(|e| e.at(&self.place))
    }

    /// Runs a write under the deadline, in a task of its own: a caller that goes away must not leave
    /// a transaction half done, and one whose deadline passes must not believe it failed.
    pub(crate) async fn writing<T, F>(&self, sent: &Sent, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: Future<Output = StoreResult<T>> + Send + 'static,
    {
        let unknown = || StoreError::OutcomeUnknown(self.late(": it may still land"));
        let answer = if matches!(self.db, Db::Sqlite(_)) {
            // A call into SQLite cannot be broken off: it goes on, and may succeed.
            let task = tokio::spawn(work);
            match tokio::time::timeout(self.deadline, task).await {
                Ok(ended) => ended.unwrap_or_else(|panic| Err(StoreError::OutcomeUnknown(panic.to_string()))),
                Err(_) => Err(unknown()),
            }
        } else {
            // A server's is, together with its connection: what was not committed by then is rolled back.
            let task = tokio::spawn(tokio::time::timeout(self.deadline, work));
            match task.await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) if !sent.maybe() => Err(StoreError::Unavailable(self.late(": nothing was written"))),
                Ok(Err(_)) => Err(unknown()),
                Err(panic) => Err(StoreError::OutcomeUnknown(panic.to_string())),
            }
        };
        answer.map_err(|e| e.at(&self.place))
    }

    /// Runs a write that is one statement and no transaction of ours.
    pub(crate) async fn writing_once<T, F, W>(&self, work: W) -> StoreResult<T>
    where
        T: Send + 'static,
        W: FnOnce(SqlStore, Sent) -> F + Send + 'static,
        F: Future<Output = StoreResult<T>> + Send + 'static,
    {
        let (store, sent) = (self.clone(), Sent::default());
        let marked = sent.clone();
        self.writing(&sent, async move {
            let _turn = store.turn().await;
            let done = work(store.clone(), marked.clone()).await;
            done.map_err(|error| if marked.maybe() { trouble::of_a_statement(error) } else { error })
        })
        .await
    }
}
