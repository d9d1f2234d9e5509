//! `keys`: the file with the keys that seal Credentials, and sealing anew after a rotation.

use super::database;
use crate::{
    args::KeysCommand,
    config,
    output::{self, Failure, Table},
};
use std::{collections::BTreeMap, path::Path};
use store::{KeyFile, KeyRing, SqlStore};

/// `cloud-manager keys …`.
pub(super) async fn run(command: KeysCommand) -> anyhow::Result<()> {
    let config = config::load(command.server())?.config;
    let path = database::key_file(&config)?;
    if !path.exists() {
        let message = format!(
            "there is no key file {}; a server makes it at its first start, and of a pair the second gets a copy of the first one's",
            path.display()
        );
        return Err(Failure::usage(message).into());
    }
    let open = async || SqlStore::open(&database::store_config(&config)?, KeyRing::load(&path)?).await.map_err(anyhow::Error::from);
    match command {
        KeysCommand::List(_) => list(&path, &open().await?.sealed_by().await?),
        KeysCommand::Add(_) => {
            let id = KeyFile::read(&path)?.add()?;
            output::data(&id);
            output::note(&format!("Key {id} is in {} and opens; it does not seal yet.", path.display()));
            output::note(&format!("Copy the file to every other server of this database, then run: cloud-manager keys rotate {id}"));
            Ok(())
        }
        KeysCommand::Rotate { id, .. } => rotate(&path, id, &open().await?).await,
        KeysCommand::Prune { ids, .. } => prune(&path, ids, &open().await?.sealed_by().await?),
    }
}

fn list(path: &Path, sealed: &BTreeMap<String, Vec<String>>) -> anyhow::Result<()> {
    let ids = KeyFile::read(path)?.ids();
    let mut table = Table::new(["KEY", "USE", "CREDENTIALS"]);
    let count = |id: &String| sealed.get(id).map_or(0, Vec::len).to_string();
    for (n, id) in ids.iter().enumerate() {
        table.row([id.clone(), if n == 0 { "seals and opens" } else { "opens" }.into(), count(id)]);
    }
    for id in sealed.keys().filter(|id| !ids.contains(id)) {
        table.row([id.clone(), "MISSING".into(), count(id)]);
        output::note(&format!("Key {id} sealed {}, and is not in {}: put its line there.", sealed[id].join(", "), path.display()));
    }
    output::data(&table.render());
    Ok(())
}

/// Makes a key the first one, then seals everything with it. May be repeated after an interruption.
async fn rotate(path: &Path, id: String, store: &SqlStore) -> anyhow::Result<()> {
    let file = KeyFile::read(path)?;
    if file.ids().first() == Some(&id) {
        drop(file);
    } else {
        file.promote(&id)?;
        output::note(&format!("Key {id} now seals. Running servers on this machine notice by themselves; copy the file to the others."));
    }
    // This process's own ring follows the file when it seals.
    let resealed = store.reseal().await?;
    output::data(&format!("{} Credential(s) sealed anew with {id}", resealed.done.len()));
    if resealed.failed.is_empty() {
        output::note("When all servers have this file, the old keys can go: cloud-manager keys prune");
        return Ok(());
    }
    for (name, why) in &resealed.failed {
        output::note(&format!("Credential {name} stays as it is: {why}"));
    }
    Err(anyhow::anyhow!(
        "{} Credential(s) could not be opened; put the missing keys back, or apply these Credentials anew, then run this again",
        resealed.failed.len()
    ))
}

/// Takes out keys that nothing is sealed with.
fn prune(path: &Path, wanted: Vec<String>, sealed: &BTreeMap<String, Vec<String>>) -> anyhow::Result<()> {
    let ids = KeyFile::read(path)?.ids();
    let used = |id: &String| sealed.get(id).filter(|names| !names.is_empty());
    let named = !wanted.is_empty();
    let candidates = if named { wanted } else { ids.iter().skip(1).filter(|id| used(id).is_none()).cloned().collect() };
    for id in &candidates {
        if let Some(names) = used(id) {
            let message = format!("key {id} is kept: it still seals {}; run cloud-manager keys rotate first", names.join(", "));
            return Err(Failure::new(::client::Exit::Safety, message).into());
        }
    }
    for id in &candidates {
        KeyFile::read(path)?.remove(id)?;
        output::data(&format!("{id} removed"));
    }
    if candidates.is_empty() {
        output::note("There is no key to remove: each one is in use.");
    }
    for (id, names) in sealed.iter().filter(|(id, _)| !named && ids.iter().skip(1).any(|i| i == *id)) {
        output::note(&format!("Key {id} is kept: it still seals {}; cloud-manager keys rotate seals them anew.", names.join(", ")));
    }
    Ok(())
}
