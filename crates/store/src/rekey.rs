//! Which key sealed what, and sealing anew after a rotation. Off the revision counter, as secrets are.

use crate::{SqlStore, StoreError, StoreResult, conn::with_conn, dialect::write_transaction, keys::Sealed, schema::secrets};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
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
        let rows: Vec<(String, String)> = self
            .reading(async { Ok(with_conn!(self.db, c => secrets::table.order(secrets::name).select((secrets::key_id, secrets::name)).load(c).await?)) })
            .await?;
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
        let (db, writer, keys, name) = (self.db.clone(), self.writer.clone(), self.keys.clone(), name.to_string());
        self.writing(async move {
            loop {
                let found = with_conn!(db, c => secrets::table
                    .find(&name)
                    .select((secrets::key_id, secrets::nonce, secrets::ciphertext))
                    .first::<(String, Vec<u8>, Vec<u8>)>(c)
                    .await
                    .optional()?);
                let Some((key_id, nonce, ciphertext)) = found else { return Ok(()) };
                let old = Sealed { key_id, nonce, ciphertext };
                let new = keys.seal(&name, &keys.open(&name, &old)?)?;
                // Written only over what was read: data that was changed meanwhile is looked at again.
                let row = name.clone();
                let _turn = writer.lock().await;
                let changed: StoreResult<usize> = with_conn!(db, conn => write_transaction!(conn, async move |c| {
                    let seen = secrets::table.find(row).filter(secrets::key_id.eq(old.key_id)).filter(secrets::nonce.eq(old.nonce));
                    let set = (secrets::key_id.eq(new.key_id), secrets::nonce.eq(new.nonce), secrets::ciphertext.eq(new.ciphertext));
                    Ok(diesel::update(seen).set(set).execute(c).await?)
                }));
                if changed? == 1 {
                    return Ok(());
                }
            }
        })
        .await
    }
}
