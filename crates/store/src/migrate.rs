//! Migrations: the same numbers for every database, up and down, under a lock.
//!
//! MySQL commits before and after every change of a table: a migration that fails in the middle leaves its first
//! part and no row that says so. Those files are written so that they can be run again (`IF NOT EXISTS`).

use crate::{
    StoreConfig, StoreError, StoreResult,
    connect::{Single, single},
    mysql, postgres,
};
use diesel::{
    QueryableByName,
    migration::{Migration, MigrationSource, MigrationVersion},
    sql_types::{BigInt, Nullable},
};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
const MYSQL: EmbeddedMigrations = embed_migrations!("../../migrations/mysql");

/// Seconds that a migrator waits for another.
const PATIENCE: u32 = 60;
/// Key of PostgreSQL's advisory lock; it counts within one database.
const ADVISORY_KEY: i64 = 0x636d_6d69_6772_6174;

/// One migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number.
    pub number: i64,
    /// Its name, with the number; for a number this binary does not know, just the number.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
    /// Whether this binary has it.
    pub known: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn number(version: &MigrationVersion<'_>) -> i64 {
    version.to_string().trim_start_matches('0').parse().unwrap_or(0)
}

fn fail(error: Failure) -> StoreError {
    StoreError::Schema(error.to_string())
}

/// A connection that can migrate.
trait Migrates: AsyncConnection + 'static {
    const SOURCE: EmbeddedMigrations;
}

impl Migrates for crate::sqlite::Conn {
    const SOURCE: EmbeddedMigrations = SQLITE;
}

impl Migrates for postgres::Conn {
    const SOURCE: EmbeddedMigrations = POSTGRES;
}

impl Migrates for mysql::Conn {
    const SOURCE: EmbeddedMigrations = MYSQL;
}

fn known<C: Migrates>() -> StoreResult<Vec<Box<dyn Migration<C::Backend>>>> {
    let mut known: Vec<Box<dyn Migration<C::Backend>>> = MigrationSource::<C::Backend>::migrations(&C::SOURCE).map_err(fail)?;
    known.sort_by_key(|m| number(&m.name().version()));
    Ok(known)
}

fn status_of<C: Migrates>(harness: &mut AsyncMigrationHarness<C>) -> StoreResult<Vec<MigrationStatus>>
where
    AsyncMigrationHarness<C>: MigrationHarness<C::Backend>,
{
    let applied: Vec<i64> = harness.applied_migrations().map_err(fail)?.iter().map(number).collect();
    let mut all: Vec<MigrationStatus> = known::<C>()?
        .iter()
        .map(|m| {
            let number = number(&m.name().version());
            MigrationStatus { number, name: m.name().to_string(), applied: applied.contains(&number), known: true }
        })
        .collect();
    for number in applied {
        if !all.iter().any(|m| m.number == number) {
            all.push(MigrationStatus { number, name: number.to_string(), applied: true, known: false });
        }
    }
    all.sort_by_key(|m| m.number);
    Ok(all)
}

fn migrate_to<C: Migrates>(conn: C, target: Option<i64>) -> StoreResult<Vec<String>>
where
    AsyncMigrationHarness<C>: MigrationHarness<C::Backend>,
{
    let mut harness = AsyncMigrationHarness::new(conn);
    let status = status_of(&mut harness)?;
    refuse_newer(&status)?;
    let newest = status.last().map_or(0, |m| m.number);
    let target = target.unwrap_or(newest);
    if target != 0 && !status.iter().any(|m| m.number == target) {
        return Err(StoreError::Schema(format!("there is no migration {target}; `db list` shows what there is (0 to {newest})")));
    }
    let known = known::<C>()?;
    let has = |n: i64| status.iter().any(|m| m.number == n && m.applied);
    let step = |way: &str, name: &dyn std::fmt::Display, e: Failure| {
        StoreError::Schema(format!(
            "migration {name} {way} failed: {e}; put right what it names and run `cloud-manager db migrate` again: it goes on from there"
        ))
    };
    let mut done = Vec::new();
    for migration in known.iter().filter(|m| number(&m.name().version()) <= target && !has(number(&m.name().version()))) {
        harness.run_migration(migration).map_err(|e| step("up", &migration.name(), e))?;
        done.push(format!("up {}", migration.name()));
    }
    for migration in known.iter().rev().filter(|m| number(&m.name().version()) > target && has(number(&m.name().version()))) {
        harness.revert_migration(migration).map_err(|e| step("down", &migration.name(), e))?;
        done.push(format!("down {}", migration.name()));
    }
    Ok(done)
}

/// What the database has and what this binary knows.
pub async fn migration_status(config: &StoreConfig) -> StoreResult<Vec<MigrationStatus>> {
    let conn = single(config).await?;
    let status = blocking(move || match conn {
        Single::Sqlite(conn) => status_of(&mut AsyncMigrationHarness::new(conn)),
        Single::Postgres(conn) => status_of(&mut AsyncMigrationHarness::new(*conn)),
        Single::Mysql(conn) => status_of(&mut AsyncMigrationHarness::new(*conn)),
    });
    status.await.map_err(|e| e.at(&config.describe()))
}

/// Migrates to number `target` (up or down; 0 = empty), or to the newest. Gives what was run, in order.
pub async fn migrate(config: &StoreConfig, target: Option<i64>) -> StoreResult<Vec<String>> {
    // Held until the end; those of servers end with the connection.
    let _lock = match config.sqlite_path().map(Path::to_path_buf) {
        Some(path) => Some(blocking(move || lock_file(&path)).await?),
        None => None,
    };
    let mut conn = single(config).await?;
    let done = async {
        match &mut conn {
            Single::Sqlite(_) => {}
            Single::Postgres(conn) => lock_postgres(conn).await?,
            Single::Mysql(conn) => lock_mysql(conn).await?,
        }
        blocking(move || match conn {
            Single::Sqlite(conn) => migrate_to(conn, target),
            Single::Postgres(conn) => migrate_to(*conn, target),
            Single::Mysql(conn) => migrate_to(*conn, target),
        })
        .await
    };
    done.await.map_err(|e| e.at(&config.describe()))
}

/// Fails unless the database has exactly the migrations this binary knows.
pub(crate) async fn require_current(config: &StoreConfig) -> StoreResult<()> {
    let status = migration_status(config).await?;
    let current = refuse_newer(&status).and_then(|()| match status.iter().filter(|m| !m.applied).count() {
        0 => Ok(()),
        n => Err(StoreError::Schema(format!("the database lacks {n} migration(s); run: cloud-manager db migrate"))),
    });
    current.map_err(|e| e.at(&config.describe()))
}

fn refuse_newer(status: &[MigrationStatus]) -> StoreResult<()> {
    match status.iter().find(|m| !m.known) {
        Some(m) => Err(StoreError::Schema(format!(
            "the database has migration {}, which this binary does not know: it was written by a newer cloud-manager; run that version, or restore a backup",
            m.number
        ))),
        None => Ok(()),
    }
}

/// One migrator at a time.
fn lock_file(database: &Path) -> StoreResult<File> {
    let path: PathBuf = database.with_extension("migrate.lock");
    let fail = |e: std::io::Error| StoreError::Unavailable(format!("{}: {e}; check that the directory exists and may be written", path.display()));
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
    file.lock().map_err(fail)?;
    Ok(file)
}

fn busy() -> StoreError {
    StoreError::Contended(format!("another migration has been running for {PATIENCE} s; wait for its end, or end its connection"))
}

async fn lock_postgres(conn: &mut postgres::Conn) -> StoreResult<()> {
    let lock = format!("SET lock_timeout = '{PATIENCE}s'; SELECT pg_advisory_lock({ADVISORY_KEY}); SET lock_timeout = 0");
    match conn.batch_execute(&lock).await.map_err(StoreError::from) {
        Err(StoreError::Contended(_)) => Err(busy()),
        other => other,
    }
}

#[derive(QueryableByName)]
struct Got {
    #[diesel(sql_type = Nullable<BigInt>)]
    got: Option<i64>,
}

/// Such a lock counts for the whole server, so it carries the database's name; Galera does not share it: migrate on the one writer.
async fn lock_mysql(conn: &mut mysql::Conn) -> StoreResult<()> {
    let lock = format!("SELECT CAST(GET_LOCK(CONCAT('cm-migrate-', SHA1(DATABASE())), {PATIENCE}) AS SIGNED) AS got");
    let got: Got = diesel::sql_query(lock).get_result(conn).await?;
    if got.got == Some(1) { Ok(()) } else { Err(busy()) }
}

/// The harness blocks, so it runs on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> StoreResult<T> + Send + 'static) -> StoreResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| StoreError::Unavailable(e.to_string()))?
}
