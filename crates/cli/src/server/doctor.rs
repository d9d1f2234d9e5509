//! `doctor`: after a database went back in time, says what may have happened and lets acts go on (S14).

use super::database;
use crate::{args::DoctorArgs, config, output};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use store::{Level, ListQuery, Revision, SqlStore, Store};

/// How far history went, outside the database: a restore does not turn it back.
#[derive(Clone, Debug)]
pub(super) struct StateFile {
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    cluster_uuid: String,
    highest_revision: i64,
}

impl StateFile {
    pub(super) fn beside(database: &Path) -> StateFile {
        StateFile { path: database.with_extension("state.json") }
    }

    fn read(&self) -> anyhow::Result<Option<State>> {
        match std::fs::read(&self.path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).with_context(|| format!("{} makes no sense", self.path.display()))?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| self.path.display().to_string()),
        }
    }

    /// Why all acts have to be frozen, if they have to.
    pub(super) fn check(&self, now: &Revision) -> Option<String> {
        let way_out = "acts are frozen until `cloud-manager doctor --accept` was run";
        match self.read() {
            Ok(None) => None,
            Ok(Some(state)) if state.cluster_uuid != now.cluster_uuid => {
                Some(format!("the database's cluster uuid is {}, it was {}: {way_out}", now.cluster_uuid, state.cluster_uuid))
            }
            Ok(Some(state)) if state.highest_revision > now.current => Some(format!(
                "the database is at revision {}, it was at {}: it was restored or lost commits; {way_out}",
                now.current, state.highest_revision
            )),
            Ok(Some(_)) => None,
            Err(error) => Some(format!("{error:#}: {way_out}")),
        }
    }

    /// Replaces the file in one step.
    pub(super) fn write(&self, now: &Revision) -> anyhow::Result<()> {
        let state = State { cluster_uuid: now.cluster_uuid.clone(), highest_revision: now.current };
        let temporary = self.path.with_extension("json.new");
        std::fs::write(&temporary, serde_json::to_vec(&state)?)?;
        std::fs::rename(&temporary, &self.path)?;
        Ok(())
    }
}

/// `cloud-manager doctor [--accept]`.
pub(super) async fn run(args: DoctorArgs) -> anyhow::Result<()> {
    let config = config::load(&args.server)?.config;
    let place = database::store_config(&config)?;
    if let Some(path) = place.sqlite_path().filter(|p| !p.exists()) {
        bail!("there is no database at {}; check database.url", path.display());
    }
    let found = SqlStore::inspect(&place).await?;
    output::data(&format!("{} {}", found.backend, found.version));
    for note in found.notes.iter().filter(|n| n.level != Level::Ok) {
        output::data(&format!("  {}: {}; {}", if note.level == Level::Fail { "FAIL" } else { "warn" }, note.what, note.way_out));
    }
    let store = database::open(&config, false).await?;
    let (state, revision) = (StateFile::beside(&database::state_base(&config)?), store.revision().await?);
    output::data(&format!("{place} at revision {}, cluster {}", revision.current, revision.cluster_uuid));
    let open = store.list("Operation", ListQuery { open_only: true, ..Default::default() }).await?.items;
    output::data(&format!("{} call(s) may have happened and are not settled:", open.len()));
    for operation in &open {
        let text = |pointer: &str| operation.spec.pointer(pointer).and_then(|v| v.as_str()).unwrap_or("?").to_string();
        output::data(&format!("  {}  {} on {} for {} at {}", operation.metadata.name, text("/step"), text("/host"), text("/owner"), text("/issuedAt")));
    }
    match (state.check(&revision), args.accept) {
        (None, _) => output::data("history did not go back: nothing is frozen"),
        (Some(why), false) => {
            output::data(&why);
            output::data("Calls made after the backup are not in this database. Look in Nova for evacuations and live migrations under way,");
            output::data("and at the power of hosts that were being worked on; then run: cloud-manager doctor --accept");
            bail!("acts are frozen");
        }
        (Some(_), true) => {
            state.write(&revision)?;
            output::data("accepted: a running controller goes on within a few seconds");
        }
    }
    Ok(())
}
