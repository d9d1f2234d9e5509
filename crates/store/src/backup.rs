//! A copy of a SQLite database that is in use.

use crate::{
    StoreConfig, StoreError, StoreResult,
    connect::{Single, single},
};
use diesel::{sql_query, sql_types::Text};
use diesel_async::RunQueryDsl;
use std::{fs::File, os::unix::fs::OpenOptionsExt, path::Path};

/// Writes a consistent copy of a SQLite database to `target`, mode 0600, while others go on writing. The copy is one
/// file, complete in itself. Refuses to overwrite; leaves nothing behind when it fails.
///
/// # Errors
/// `target` is there or cannot be written, or the database cannot be read.
pub async fn backup(config: &StoreConfig, target: &Path) -> StoreResult<()> {
    let fail = |e: &dyn std::fmt::Display| StoreError::Unavailable(format!("backup to {}: {e}", target.display()));
    let text = target.to_str().ok_or_else(|| fail(&"its name is not UTF-8"))?.to_string();
    let file = File::options().write(true).create_new(true).mode(0o600).open(target).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => fail(&"it is there already and is not overwritten; give another name"),
        _ => fail(&e),
    })?;
    let copied = async {
        let Single::Sqlite(mut conn) = single(config).await? else {
            return Err(fail(&format!("{config} has tools of its own for that")));
        };
        // VACUUM INTO takes an empty file that is there, reads one snapshot, and needs no pause of the writers.
        sql_query("VACUUM INTO ?").bind::<Text, _>(text).execute(&mut conn).await.map_err(|e| fail(&e))?;
        file.sync_all().map_err(|e| fail(&e))?;
        let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|d| d.sync_all()).map_err(|e| fail(&e))
    }
    .await;
    if copied.is_err() {
        let _ = std::fs::remove_file(target);
    }
    copied
}
