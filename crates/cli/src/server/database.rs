//! Opening the database, and `db`.

use crate::{
    args::{DbCommand, ServerArgs},
    config::{self, Config},
    output,
};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use store::{DataDirLock, KeyRing, MigrationStatus, SqlStore, StoreConfig, migrate, migration_status};

/// Where things are kept that must not go back with a restored database, if nothing else is said and it is no file.
const STATE_DIR: &str = "/var/lib/cloud-manager";

/// How to reach the database.
pub(super) fn store_config(config: &Config) -> anyhow::Result<StoreConfig> {
    let place = StoreConfig::parse(&config.database.url).context("database.url")?;
    Ok(StoreConfig { outbox: config.webhook.rule(), ..place })
}

pub(super) fn directory_of(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// The directory of what is kept outside the database.
pub(super) fn state_dir(config: &Config) -> anyhow::Result<PathBuf> {
    Ok(match (&config.controller.state_dir, store_config(config)?.sqlite_path()) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, Some(path)) => directory_of(path),
        (None, None) => PathBuf::from(STATE_DIR),
    })
}

/// What the state file is named after: the SQLite file, or what stands for it.
pub(super) fn state_base(config: &Config) -> anyhow::Result<PathBuf> {
    let store = store_config(config)?;
    let name = store.sqlite_path().and_then(Path::file_name).unwrap_or("cloud-manager.db".as_ref());
    Ok(state_dir(config)?.join(name))
}

/// Where the keys are that seal Credentials.
pub(super) fn key_file(config: &Config) -> anyhow::Result<PathBuf> {
    match &config.keys.credential_key_file {
        Some(file) => Ok(PathBuf::from(file)),
        None => Ok(state_dir(config)?.join("credential.key")),
    }
}

/// The lock on an embedded database (S14); other databases are shared.
pub(super) fn lock(config: &Config) -> anyhow::Result<Option<DataDirLock>> {
    let store = store_config(config)?;
    Ok(store.sqlite_path().map(|path| DataDirLock::take(&directory_of(path))).transpose()?)
}

/// Makes the directories, so that a first start needs no preparation.
pub(super) fn prepare_directories(config: &Config) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let store = store_config(config)?;
    for dir in store.sqlite_path().map(directory_of).into_iter().chain([state_dir(config)?]).filter(|dir| !dir.exists()) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.with_context(|| format!("{} cannot be made; make it, or set another database.url or controller.state_dir", dir.display()))?;
    }
    Ok(())
}

/// Opens the database. With `may_migrate` the schema of a SQLite file that is behind is brought up, after a backup;
/// that of a server is shared with other processes, and brought up by `db migrate` only.
pub(super) async fn open(config: &Config, may_migrate: bool) -> anyhow::Result<SqlStore> {
    let store_config = store_config(config)?;
    if let Some(path) = store_config.sqlite_path().filter(|_| may_migrate) {
        let pending = migration_status(&store_config).await?.iter().filter(|m| !m.applied).count();
        if pending > 0 {
            backup(path)?;
            for done in migrate(&store_config, None).await? {
                tracing::info!(migration = done, "migrated");
            }
        }
    }
    let key_file = key_file(config)?;
    let is_new = !key_file.exists();
    let keys = KeyRing::load_or_create(&key_file)?;
    let store = SqlStore::open(&store_config, keys).await?;
    check_keys(&store, &key_file, is_new).await?;
    Ok(store)
}

/// Names Credentials that cannot be opened. A key file that was made just now, beside a database that other keys
/// sealed, is a file that was forgotten to be copied: it goes away again, before anything is sealed with it.
async fn check_keys(store: &SqlStore, key_file: &Path, is_new: bool) -> anyhow::Result<()> {
    let lost = store.unopenable().await?;
    if is_new && !lost.is_empty() {
        std::fs::remove_file(key_file).with_context(|| format!("{} was made just now and cannot be removed", key_file.display()))?;
        let ids: Vec<String> = store.sealed_by().await?.into_keys().collect();
        bail!(
            "there is no key file {}, and the database holds Credentials sealed with {}: copy the key file there from the other controller or from its backup",
            key_file.display(),
            ids.join(", ")
        );
    }
    for (name, why) in lost {
        tracing::error!(credential = name, "{why}; until then its power devices are unreadable, and nothing is fenced through them");
    }
    Ok(())
}

/// Copies an existing database before its schema is changed.
fn backup(path: &Path) -> anyhow::Result<()> {
    if std::fs::metadata(path).map_or(0, |m| m.len()) == 0 {
        return Ok(());
    }
    let mut copy = path.as_os_str().to_owned();
    copy.push(".before-migration");
    std::fs::copy(path, &copy).with_context(|| format!("no backup could be made at {}", Path::new(&copy).display()))?;
    Ok(())
}

/// `cloud-manager db …`.
pub(super) async fn command(command: DbCommand) -> anyhow::Result<()> {
    let args: &ServerArgs = match &command {
        DbCommand::Migrate { server, .. } | DbCommand::List(server) | DbCommand::Status(server) => server,
        DbCommand::Backup(args) => &args.server,
    };
    let config = config::load(args)?.config;
    let store_config = store_config(&config)?;
    if store_config.sqlite_path().is_some() {
        prepare_directories(&config)?;
    }
    match command {
        DbCommand::Migrate { migration, .. } => {
            let done = migrate(&store_config, migration.map(i64::from)).await?;
            for line in &done {
                output::data(line);
            }
            output::note(&format!("{} migration(s) run on {store_config}", done.len()));
        }
        DbCommand::List(_) => {
            for m in migration_status(&store_config).await? {
                output::data(&format!("{:4}  {:8}  {}", m.number, word(&m), m.name));
            }
        }
        DbCommand::Status(_) => {
            let all = migration_status(&store_config).await?;
            let current = all.iter().filter(|m| m.applied).map(|m| m.number).max().unwrap_or(0);
            let pending = all.iter().filter(|m| !m.applied).count();
            let unknown = all.iter().filter(|m| !m.known).count();
            output::data(&format!("current {current}, pending {pending}, unknown to this binary {unknown}"));
        }
        DbCommand::Backup(args) => return super::backup::run(args).await,
    }
    Ok(())
}

fn word(m: &MigrationStatus) -> &'static str {
    match (m.applied, m.known) {
        (true, true) => "applied",
        (true, false) => "unknown",
        (false, _) => "pending",
    }
}
