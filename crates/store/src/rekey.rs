//! Which key sealed what, and sealing anew after a rotation. Off the revision counter, as secrets are.

use crate::{SqlStore, StoreError, StoreResult, conn::with_conn};
use std::collections::BTreeMap;

/// What a pass over all sealed data did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Names of Credentials whose data is now sealed with the first key.
    pub done: Vec<String>,
    /// Credentials that cannot be opened, and why; they stay as they are.
    pub failed: Vec<(String, String)>,
}

impl SqlStore {
    /// The ids of the keys that sealed something, and the names of the Credentials.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sealed_by(&self) -> StoreResult<BTreeMap<String, Vec<String>>> {
        let rows = self.reading(async { with_conn!(self.db, c, sql => sql::rekey::all(c).await) }).await?;
        let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, name) in rows {
            by_key.entry(key).or_default().push(name);
        }
        Ok(by_key)
    }

    /// Credentials that this process cannot open, and why.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn unopenable(&self) -> StoreResult<Vec<(String, String)>> {
        let mut failed = Vec::new();
        for name in self.sealed_by().await?.into_values().flatten() {
            match crate::Store::secret(self, &name).await {
                Ok(_) => {}
                Err(StoreError::Key(why)) => failed.push((name, why)),
                Err(other) => return Err(other),
            }
        }
        Ok(failed)
    }

    /// Seals everything that another key sealed with the first key of the file, one transaction each. May be repeated.
    ///
    /// # Errors
    /// The database does not answer; what was done stays done.
    pub async fn reseal(&self) -> StoreResult<Resealed> {
        let sealing = self.keys.sealing();
        let mut result = Resealed::default();
        for (key, names) in self.sealed_by().await? {
            if key == sealing {
                continue;
            }
            for name in names {
                match self.reseal_one(&name).await {
                    Ok(()) => result.done.push(name),
                    Err(StoreError::Key(why)) => result.failed.push((name, why)),
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(result)
    }

    async fn reseal_one(&self, name: &str) -> StoreResult<()> {
        loop {
            let Some(old) = self.reading(async { with_conn!(self.db, c, sql => sql::side::secret(c, name).await) }).await? else { return Ok(()) };
            let new = self.keys.seal(name, &self.keys.open(name, &old)?)?;
            // Written only over what was read: data that was changed meanwhile is looked at again.
            let name = name.to_string();
            let replaced = self
                .writing_once(move |store, sent| async move {
                    with_conn!(store.db, c, sql => {
                        sent.mark();
                        sql::rekey::replace(c, &name, &old, &new).await
                    })
                })
                .await?;
            if replaced {
                return Ok(());
            }
        }
    }
}
