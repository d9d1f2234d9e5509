//! How far history went, outside the database (S14): a restore does not turn it back.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use store::Revision;

const WAY_OUT: &str = "acts are frozen until `cloud-manager doctor --accept` was run";

/// The file beside the database.
#[derive(Clone, Debug)]
pub(in crate::server) struct StateFile {
    path: PathBuf,
    /// What the file held when history was first seen to have gone back: should the file be impossible to write, it is
    /// remembered here.
    seen: Arc<Mutex<Option<State>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    cluster_uuid: String,
    highest_revision: i64,
    /// History went back, and nobody has accepted that yet. Kept, since history grows again while acts are frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    went_back: Option<String>,
}

impl StateFile {
    pub(in crate::server) fn beside(database: &Path) -> StateFile {
        StateFile { path: database.with_extension("state.json"), seen: Arc::default() }
    }

    fn read(&self) -> anyhow::Result<Option<State>> {
        match std::fs::read(&self.path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).with_context(|| format!("{} makes no sense", self.path.display()))?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| self.path.display().to_string()),
        }
    }

    /// Why all acts have to be frozen, if they have to. Once found, it is written down, and holds until it is accepted.
    pub(in crate::server) fn check(&self, now: &Revision) -> Option<String> {
        let why = self.look(now)?;
        // Of a file that makes no sense nothing is kept: it stays as it is until somebody accepts.
        if let Ok(Some(state)) = self.read() {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(state.clone());
            if state.went_back.is_none() {
                let kept = State { went_back: Some(why.clone()), ..state };
                match self.put(&kept) {
                    Ok(()) => *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept),
                    Err(error) => {
                        tracing::error!(%error, "it cannot be written down that history went back; this process remembers it while it runs")
                    }
                }
            }
        }
        Some(why)
    }

    /// As `check`, and writes nothing.
    pub(in crate::server) fn look(&self, now: &Revision) -> Option<String> {
        let state = match self.read() {
            Ok(None) => return None,
            Ok(Some(state)) => state,
            Err(error) => return Some(format!("{error:#}: {WAY_OUT}")),
        };
        if let Some(why) = &state.went_back {
            return Some(why.clone());
        }
        if state.cluster_uuid != now.cluster_uuid {
            return Some(format!("the database's cluster uuid is {}, it was {}: {WAY_OUT}", now.cluster_uuid, state.cluster_uuid));
        }
        let unchanged = self.seen.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(&state);
        if state.highest_revision > now.current || unchanged {
            return Some(format!(
                "the database is at revision {}, it was at {}: it was restored or lost commits; {WAY_OUT}",
                now.current, state.highest_revision
            ));
        }
        None
    }

    /// Writes down how far history went: all is well, or somebody has accepted.
    pub(in crate::server) fn write(&self, now: &Revision) -> anyhow::Result<()> {
        self.put(&State { cluster_uuid: now.cluster_uuid.clone(), highest_revision: now.current, went_back: None })?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// Replaces the file in one step; several processes may do so.
    fn put(&self, state: &State) -> anyhow::Result<()> {
        let temporary = self.path.with_extension(format!("json.{}.new", std::process::id()));
        std::fs::write(&temporary, serde_json::to_vec(state)?).with_context(|| temporary.display().to_string())?;
        std::fs::rename(&temporary, &self.path).with_context(|| self.path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(current: i64) -> Revision {
        Revision { current, compacted: 0, cluster_uuid: "c".into() }
    }

    fn file() -> (tempfile::TempDir, StateFile) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateFile::beside(&dir.path().join("cm.db"));
        (dir, state)
    }

    #[test]
    fn history_that_went_back_stays_frozen_although_it_grows_again_until_it_is_accepted() {
        let (dir, state) = file();
        assert_eq!(state.check(&at(1)), None);
        state.write(&at(9)).unwrap();
        assert!(state.check(&at(5)).unwrap().contains("at revision 5, it was at 9"));
        // Status writes go on while acts are frozen, in this process and in the next.
        assert!(state.check(&at(10)).is_some());
        let next = StateFile::beside(&dir.path().join("cm.db"));
        assert!(next.check(&at(100)).unwrap().contains("doctor --accept"));
        next.write(&at(100)).unwrap();
        assert_eq!((state.check(&at(101)), next.check(&at(101))), (None, None));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn another_cluster_or_a_broken_file_freezes() {
        let (dir, state) = file();
        state.write(&Revision { cluster_uuid: "other".into(), ..at(1) }).unwrap();
        assert!(state.check(&at(5)).unwrap().contains("it was other"));
        std::fs::write(dir.path().join("cm.state.json"), "{").unwrap();
        assert!(state.check(&at(5)).unwrap().contains("makes no sense"));
    }

    #[test]
    fn a_file_that_cannot_be_written_does_not_thaw_what_this_process_froze() {
        let (dir, state) = file();
        state.write(&at(9)).unwrap();
        // Where its draft would be is a directory.
        let draft = dir.path().join(format!("cm.state.json.{}.new", std::process::id()));
        std::fs::create_dir(&draft).unwrap();
        assert!(state.check(&at(5)).is_some());
        assert!(state.check(&at(10)).is_some());
        assert!(!std::fs::read_to_string(dir.path().join("cm.state.json")).unwrap().contains("wentBack"));
        std::fs::remove_dir(&draft).unwrap();
        state.write(&at(10)).unwrap();
        assert_eq!(state.check(&at(11)), None);
    }
}
