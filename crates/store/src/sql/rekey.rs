//! Which key sealed what, and replacing what another key sealed.

use super::Conn;
use crate::{StoreResult, keys::Sealed, schema::secrets};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// Key and Credential of everything that is sealed, by Credential.
pub(crate) async fn all(c: &mut Conn) -> StoreResult<Vec<(String, String)>> {
    Ok(secrets::table.order(secrets::name).select((secrets::key_id, secrets::name)).load(c).await?)
}

/// Writes `new` over `seen`; false if something else is there by now. One statement, so a transaction of its own.
pub(crate) async fn replace(c: &mut Conn, name: &str, seen: &Sealed, new: &Sealed) -> StoreResult<bool> {
    let row = secrets::table.find(name).filter(secrets::key_id.eq(&seen.key_id)).filter(secrets::nonce.eq(&seen.nonce));
    let set = (secrets::key_id.eq(&new.key_id), secrets::nonce.eq(&new.nonce), secrets::ciphertext.eq(&new.ciphertext));
    Ok(diesel::update(row).set(set).execute(c).await? == 1)
}
