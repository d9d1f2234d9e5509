//! The Git checkout that a directory is in, as `git` tells of it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::Command;

/// A checkout.
pub struct Checkout {
    folder: PathBuf,
    /// The commit that is checked out.
    pub commit: String,
}

/// How two commits stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It is the other one, or comes after it.
    NotOlder,
    /// It comes before the other one.
    Older,
    /// Neither comes after the other, or the checkout does not know the other one.
    Unrelated,
}

impl Checkout {
    /// The checkout that a path is in; `None`: it is in none.
    ///
    /// # Errors
    /// `git` is not there, or does not say which commit it is.
    pub async fn of(path: &Path) -> Result<Option<Checkout>, String> {
        let folder = if path.is_dir() { path.to_path_buf() } else { path.parent().map(Path::to_path_buf).unwrap_or_default() };
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        if !std::path::absolute(&folder).is_ok_and(|whole| whole.ancestors().any(|above| above.join(".git").exists())) {
            return Ok(None);
        }
        let commit = git(&folder, &["rev-parse", "--verify", "HEAD"]).await?;
        Ok(Some(Checkout { folder, commit }))
    }

    /// Files below the folder that are not as they were committed; at most a few.
    pub async fn changed(&self) -> Result<Vec<String>, String> {
        let said = git(&self.folder, &["status", "--porcelain", "--untracked-files=normal", "--", "."]).await?;
        Ok(said.lines().take(5).map(|line| line.get(3..).unwrap_or(line).to_string()).collect())
    }

    /// How the commit stands to another one.
    pub async fn age(&self, other: &str) -> Age {
        let is_ancestor = async |a: &str, b: &str| git(&self.folder, &["merge-base", "--is-ancestor", a, b]).await.is_ok();
        // It goes to a command line: nothing but the id of a commit.
        if other.is_empty() || !other.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Age::Unrelated;
        }
        if is_ancestor(other, &self.commit).await {
            Age::NotOlder
        } else if is_ancestor(&self.commit, other).await {
            Age::Older
        } else {
            Age::Unrelated
        }
    }
}

async fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments).stdin(Stdio::null()).env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0");
    let done = command.output().await.map_err(|e| format!("git cannot be run to find the commit of {}: {e}", folder.display()))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_string());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().replace('\n', " ");
    Err(format!("git {} in {} failed: {said}", arguments[0], folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn commit(folder: &Path, text: &str) -> Checkout {
        std::fs::write(folder.join("a.yaml"), text).unwrap();
        git(folder, &["add", "."]).await.unwrap();
        let who = ["-c", "user.name=n", "-c", "user.email=n@example.org"];
        let all = [&who[..], &["commit", "-q", "-m", text]].concat();
        git(folder, &all).await.unwrap();
        Checkout::of(folder).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_checkout_tells_its_commit_what_is_changed_and_what_is_older() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(Checkout::of(folder).await.unwrap().is_none());
        git(folder, &["init", "-q"]).await.unwrap();
        assert!(Checkout::of(folder).await.is_err(), "nothing is committed yet");
        let first = commit(folder, "one").await;
        let second = commit(folder, "two").await;
        assert_eq!(second.age(&first.commit).await, Age::NotOlder);
        assert_eq!(second.age(&second.commit).await, Age::NotOlder);
        assert_eq!(first.age(&second.commit).await, Age::Older);
        for odd in ["", "HEAD", "--all", "0123456789"] {
            assert_eq!(second.age(odd).await, Age::Unrelated, "{odd}");
        }
        assert!(second.changed().await.unwrap().is_empty());
        std::fs::write(folder.join("a.yaml"), "three").unwrap();
        std::fs::write(folder.join("b.yaml"), "new").unwrap();
        assert_eq!(second.changed().await.unwrap(), ["a.yaml", "b.yaml"]);
    }
}
