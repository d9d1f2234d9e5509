//! The rules in force: a file that changes is read again, and one that is wrong leaves those that were in force before.

use super::set::{MAX_FILE, Policy};
use crate::{
    context::Ctx,
    stamp::{Stamp, stamp},
};
use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// What the Event is called that tells of a file which cannot be used.
const REASON: &str = "PolicyFileInvalid";

/// The rules in force.
pub(crate) struct Policies {
    file: Option<PathBuf>,
    current: RwLock<Arc<Policy>>,
    /// Of the version that was looked at last, good or bad; none: the file was not there.
    seen: Mutex<Option<Stamp>>,
}

/// Reads a file of rules; all that is wrong with it in one text.
pub(crate) fn read(path: &Path) -> Result<(Policy, Stamp), String> {
    let at = |why: String| format!("{}: {why}", path.display());
    let fail = |e: std::io::Error| at(format!("it cannot be read: {e}"));
    let file = std::fs::File::open(path).map_err(fail)?;
    let stamp = stamp(&file.metadata().map_err(fail)?);
    let mut text = String::new();
    // One byte more than is taken, so that what is too long is noticed.
    file.take(MAX_FILE as u64 + 1).read_to_string(&mut text).map_err(fail)?;
    let policy = Policy::read(&text).map_err(|wrong| at(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    Ok((policy, stamp))
}

impl Policies {
    /// The table's rules with those of a file over them, which must be there and right.
    ///
    /// # Errors
    /// All that is wrong with the file.
    pub fn open(file: Option<PathBuf>) -> Result<Policies, String> {
        let (policy, seen) = match &file {
            Some(path) => read(path).map(|(policy, stamp)| (policy, Some(stamp)))?,
            None => (Policy::default(), None),
        };
        if let Some(path) = &file {
            warn(path, &policy);
        }
        Ok(Policies { file, current: RwLock::new(Arc::new(policy)), seen: Mutex::new(seen) })
    }

    /// The rules in force.
    pub fn current(&self) -> Arc<Policy> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the file's rules if it changed since it was last looked at; what is wrong with it is told once for each change.
    fn refresh(&self) -> Result<(), String> {
        let Some(path) = &self.file else { return Ok(()) };
        let now = std::fs::metadata(path).ok().as_ref().map(stamp);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == now {
                return Ok(());
            }
            *seen = now;
        }
        let (policy, _) = read(path)?;
        warn(path, &policy);
        tracing::info!(file = %path.display(), "the policy file changed and was read again");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
        Ok(())
    }
}

fn warn(path: &Path, policy: &Policy) {
    for warning in &policy.warnings {
        tracing::warn!(file = %path.display(), "{warning}");
    }
}

/// Looks at the file again and again, until the server stops.
pub(crate) async fn follow(ctx: Ctx) {
    if ctx.policies.file.is_none() {
        return;
    }
    loop {
        tokio::select! {
            () = ctx.stop.cancelled() => return,
            () = tokio::time::sleep(ctx.config.policy_recheck) => {}
        }
        let Err(error) = ctx.policies.refresh() else { continue };
        tracing::error!(%error, "the policy file cannot be used: the rules that were in force before stay; correct it, `cloud-manager policy check` tells what is wrong");
        if let Ok(Some(cluster)) = ctx.registry.store().get("ClusterPolicy", "default").await {
            let note = format!("the policy file cannot be used, and the rules that were in force before stay: {error}");
            ctx.recorder().record(&cluster, true, REASON, &note).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_breaks_keeps_the_rules_that_were_in_force_and_one_that_is_mended_counts_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.yaml");
        let write = |text: &str| {
            // Replaced as a whole, as careful editors do: each version is an inode of its own.
            let draft = dir.path().join("draft");
            std::fs::write(&draft, text).unwrap();
            std::fs::rename(&draft, &path).unwrap();
        };
        let error = Policies::open(Some(path.clone())).err().unwrap();
        assert!(error.contains("policy.yaml") && error.contains("cannot be read"), "{error}");
        write("service: \"role:one\"");
        let policies = Policies::open(Some(path.clone())).unwrap();
        let service = || policies.current().check_of("service");
        assert_eq!((policies.refresh(), service()), (Ok(()), "role:one".into()));
        write("service: \"role:two\"");
        assert_eq!((policies.refresh(), service()), (Ok(()), "role:two".into()));
        write("service: \"role:three or\"");
        let error = policies.refresh().unwrap_err();
        assert!(error.contains("line 1") && error.contains("service"), "{error}");
        assert_eq!((policies.refresh(), service()), (Ok(()), "role:two".into()), "told once");
        std::fs::remove_file(&path).unwrap();
        assert!(policies.refresh().unwrap_err().contains("cannot be read"));
        assert_eq!(service(), "role:two");
        write("service: \"role:four\"");
        assert_eq!((policies.refresh(), service()), (Ok(()), "role:four".into()));
    }
}
