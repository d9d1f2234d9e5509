//! The key file as something to change: keys come and go, the file stays whole, private and its owner's.

use crate::{StoreError, StoreResult, keys};
use rand::RngCore;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// A key file that is being changed. Only one process at a time holds one of the same directory.
pub struct KeyFile {
    path: PathBuf,
    /// All lines, comments too.
    lines: Vec<Zeroizing<String>>,
    _turn: File,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyFile {{ path: {:?}, ids: {:?} }}", self.path, self.ids())
    }
}

/// A new key as a line, and its id. The id is taken from a hash of the key, so that two files never have one id for two keys.
fn new_line() -> (String, Zeroizing<String>) {
    let mut key = Zeroizing::new([0u8; 32]);
    rand::rng().fill_bytes(key.as_mut());
    let mut hash = Sha256::new();
    hash.update(b"key id");
    hash.update(key.as_ref());
    let id: String = std::iter::once("k".to_string()).chain(hash.finalize().iter().take(4).map(|b| format!("{b:02x}"))).collect();
    let hex: Zeroizing<String> = Zeroizing::new(key.iter().map(|b| format!("{b:02x}")).collect());
    let line = Zeroizing::new(format!("{id}:{}", hex.as_str()));
    (id, line)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn draft_of(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.new", uuid::Uuid::new_v4()))
}

fn write_draft(draft: &Path, text: &str) -> std::io::Result<File> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(file)
}

/// Makes a key file whole or not at all: written beside its place, and linked there unless someone was faster.
pub(crate) fn create(path: &Path) -> std::io::Result<()> {
    let (_, line) = new_line();
    let text = Zeroizing::new(format!("{}\n", line.as_str()));
    let draft = draft_of(path);
    let placed = write_draft(&draft, &text).and_then(|_| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    match placed {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        _ => removed,
    }
}

impl KeyFile {
    /// Reads a key file, to change it. Waits for another process that is changing it.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or a line makes no sense.
    pub fn read(path: &Path) -> StoreResult<KeyFile> {
        let fail = |e: std::io::Error| StoreError::Key(format!("key file {}: {e}", path.display()));
        let turn = File::open(parent(path)).map_err(fail)?;
        turn.lock().map_err(fail)?;
        keys::KeyRing::load(path)?;
        let (text, _) = keys::read(path)?;
        Ok(KeyFile { path: path.into(), lines: text.lines().map(|l| Zeroizing::new(l.to_string())).collect(), _turn: turn })
    }

    /// Ids in the order of the file; the first seals.
    pub fn ids(&self) -> Vec<String> {
        let keys = self.lines.iter().filter(|l| keys::is_key(l));
        keys.filter_map(|l| l.trim().split_once(':').map(|(id, _)| id.to_string())).collect()
    }

    /// Adds a new key at the end: it opens, and does not seal yet. Gives its id.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(mut self) -> StoreResult<String> {
        let (id, line) = new_line();
        self.lines.push(line);
        self.write()?;
        Ok(id)
    }

    /// Puts a key at the front: from now on it seals.
    ///
    /// # Errors
    /// There is no such key, or the file cannot be written.
    pub fn promote(mut self, id: &str) -> StoreResult<()> {
        let line = self.take(id)?;
        let front = self.lines.iter().position(|l| keys::is_key(l)).unwrap_or(self.lines.len());
        self.lines.insert(front, line);
        self.write()
    }

    /// Takes a key out. Whoever calls has made sure that nothing is sealed with it.
    ///
    /// # Errors
    /// There is no such key, it is the one that seals, or the file cannot be written.
    pub fn remove(mut self, id: &str) -> StoreResult<()> {
        if self.ids().first().is_some_and(|sealing| sealing == id) {
            return Err(StoreError::Key(format!("key {id:?} seals new data; make another one the sealing key first: cloud-manager keys rotate KEY")));
        }
        self.take(id)?;
        self.write()
    }

    fn take(&mut self, id: &str) -> StoreResult<Zeroizing<String>> {
        match self.lines.iter().position(|l| keys::is_key(l) && l.trim().split_once(':').is_some_and(|(i, _)| i == id)) {
            Some(at) => Ok(self.lines.remove(at)),
            None => Err(StoreError::Key(format!("key file {}: there is no key {id:?}; there are {}", self.path.display(), self.ids().join(", ")))),
        }
    }

    /// Replaces the file in one step; mode 0600, owner and group as before.
    fn write(&self) -> StoreResult<()> {
        let mut text = Zeroizing::new(String::new());
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        let draft = draft_of(&self.path);
        let replace = || -> std::io::Result<()> {
            let owner = std::fs::metadata(&self.path)?;
            let file = write_draft(&draft, &text)?;
            let mine = file.metadata()?;
            if (mine.uid(), mine.gid()) != (owner.uid(), owner.gid()) {
                std::os::unix::fs::chown(&draft, Some(owner.uid()), Some(owner.gid()))?;
            }
            std::fs::rename(&draft, &self.path)?;
            File::open(parent(&self.path))?.sync_all()
        };
        replace().map_err(|e| {
            let _ = std::fs::remove_file(&draft);
            StoreError::Key(format!("key file {}: it cannot be replaced: {e}; run this as its owner or as root", self.path.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn made() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credential.key");
        create(&path).unwrap();
        (dir, path)
    }

    fn ids(path: &Path) -> Vec<String> {
        KeyFile::read(path).unwrap().ids()
    }

    #[test]
    fn a_new_key_opens_first_and_seals_when_it_is_promoted() {
        let (_dir, path) = made();
        let old = ids(&path)[0].clone();
        let new = KeyFile::read(&path).unwrap().add().unwrap();
        assert_eq!(ids(&path), [old.clone(), new.clone()]);
        KeyFile::read(&path).unwrap().promote(&new).unwrap();
        assert_eq!(ids(&path), [new.clone(), old.clone()]);
        KeyFile::read(&path).unwrap().remove(&old).unwrap();
        assert_eq!(ids(&path), [new]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn the_sealing_key_is_not_removed_and_an_unknown_one_is_named() {
        let (_dir, path) = made();
        let id = ids(&path)[0].clone();
        assert!(KeyFile::read(&path).unwrap().remove(&id).unwrap_err().to_string().contains("keys rotate"));
        assert!(KeyFile::read(&path).unwrap().promote("nine").unwrap_err().to_string().contains(&id));
    }

    #[test]
    fn comments_stay_and_a_file_that_others_can_read_is_not_changed() {
        let (_dir, path) = made();
        let text = format!("# of rack a\n{}", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, text).unwrap();
        let new = KeyFile::read(&path).unwrap().add().unwrap();
        KeyFile::read(&path).unwrap().promote(&new).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with(&format!("# of rack a\n{new}:")));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(KeyFile::read(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn two_files_never_give_two_keys_one_id() {
        let ids: std::collections::BTreeSet<String> = (0..64).map(|_| new_line().0).collect();
        assert_eq!(ids.len(), 64);
    }
}
