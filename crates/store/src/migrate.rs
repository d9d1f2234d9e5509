//! Migrations: the same numbers for every database, up and down, under a lock.

use crate::{StoreConfig, StoreError, StoreResult, conn::{Backend, single}};
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel_async::AsyncMigrationHarness;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::{fs::File, path::PathBuf};

const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

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

fn number(version: &MigrationVersion<'_>) -> i64 {
    version.to_string().trim_start_matches('0').parse().unwrap_or(0)
}

type Harness = AsyncMigrationHarness<crate::dialect::SqliteConn>;

fn status_of(harness: &mut Harness) -> StoreResult<Vec<MigrationStatus>> {
    let fail = |e: Box<dyn std::error::Error + Send + Sync>| StoreError::Schema(e.to_string());
    let applied: Vec<i64> = harness.applied_migrations().map_err(fail)?.iter().map(number).collect();
    let known: Vec<Box<dyn Migration<Backend>>> = MigrationSource::<Backend>::migrations(&SQLITE).map_err(fail)?;
    let mut all: Vec<MigrationStatus> = known
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

/// What the database has and what this binary knows.
pub async fn migration_status(config: &StoreConfig) -> StoreResult<Vec<MigrationStatus>> {
    let conn = single(config).await?;
    blocking(move || status_of(&mut Harness::new(conn))).await
}

/// Migrates to number `target` (up or down; 0 = empty), or to the newest. Gives what was run, in order.
pub async fn migrate(config: &StoreConfig, target: Option<i64>) -> StoreResult<Vec<String>> {
    let _lock = lock(config)?;
    let conn = single(config).await?;
    blocking(move || {
        let mut harness = Harness::new(conn);
        let status = status_of(&mut harness)?;
        refuse_newer(&status)?;
        let newest = status.last().map_or(0, |m| m.number);
        let target = target.unwrap_or(newest);
        if target != 0 && !status.iter().any(|m| m.number == target) {
            return Err(StoreError::Schema(format!("there is no migration {target}; `db list` shows what there is (0 to {newest})")));
        }
        let fail = |e: Box<dyn std::error::Error + Send + Sync>| StoreError::Schema(e.to_string());
        let mut known: Vec<Box<dyn Migration<Backend>>> = MigrationSource::<Backend>::migrations(&SQLITE).map_err(fail)?;
        known.sort_by_key(|m| number(&m.name().version()));
        let has = |n: i64| status.iter().any(|m| m.number == n && m.applied);
        let mut done = Vec::new();
        for migration in known.iter().filter(|m| number(&m.name().version()) <= target && !has(number(&m.name().version()))) {
            harness.run_migration(migration).map_err(fail)?;
            done.push(format!("up {}", migration.name()));
        }
        for migration in known.iter().rev().filter(|m| number(&m.name().version()) > target && has(number(&m.name().version()))) {
            harness.revert_migration(migration).map_err(fail)?;
            done.push(format!("down {}", migration.name()));
        }
        Ok(done)
    })
    .await
}

/// Fails unless the database has exactly the migrations this binary knows.
pub(crate) async fn require_current(config: &StoreConfig) -> StoreResult<()> {
    let status = migration_status(config).await?;
    refuse_newer(&status)?;
    match status.iter().filter(|m| !m.applied).count() {
        0 => Ok(()),
        n => Err(StoreError::Schema(format!("the database lacks {n} migration(s); run: cloud-manager db migrate"))),
    }
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
fn lock(config: &StoreConfig) -> StoreResult<File> {
    let path: PathBuf = config.path.with_extension("migrate.lock");
    let fail = |e: std::io::Error| StoreError::Unavailable(format!("{}: {e}; check that the directory exists and may be written", path.display()));
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
    file.lock().map_err(fail)?;
    Ok(file)
}

/// The harness blocks, so it runs on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> StoreResult<T> + Send + 'static) -> StoreResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| StoreError::Unavailable(e.to_string()))?
}
