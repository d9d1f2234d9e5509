//! The lock on a SQLite data directory (S14): one process at a time.

use crate::{StoreError, StoreResult};
use std::{fs::File, path::Path};

/// Held as long as this value lives; the kernel lets go of it when the process dies.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Takes the lock or says who might hold it.
    pub fn take(dir: &Path) -> StoreResult<DataDirLock> {
        let path = dir.join("cloud-manager.lock");
        let open = || File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file =
            open().map_err(|e| StoreError::Unavailable(format!("{}: {e}; check that the directory exists and may be written", path.display())))?;
        file.try_lock().map_err(|e| {
            StoreError::Unavailable(format!(
                "{}: {e}: another cloud-manager uses this data directory; stop it, or give another --data-dir",
                path.display()
            ))
        })?;
        Ok(DataDirLock { _file: file })
    }
}
