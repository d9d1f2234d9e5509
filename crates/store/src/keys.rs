//! Credential data at rest: AES-256-GCM-SIV, keys from a file of mode 0600.

use crate::{StoreError, StoreResult, audit, keyfile};
use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};
use zeroize::Zeroizing;

/// Keys by id; the first line of the file is the one that seals, all open.
///
/// A ring of a file looks at the file again before it seals and before it says that a key is missing, so that
/// a running process follows a rotation by itself. A file that makes no sense leaves the keys it had.
pub struct KeyRing {
    file: Option<PathBuf>,
    ring: RwLock<Ring>,
}

#[derive(Clone)]
struct Ring {
    sealing: String,
    keys: BTreeMap<String, Zeroizing<[u8; 32]>>,
    stamp: Option<Stamp>,
}

/// What tells one version of a file from the next: inode, length, time of change.
type Stamp = (u64, u64, i64, i64);

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ring = self.ring();
        write!(f, "KeyRing {{ sealing: {:?}, keys: {} }}", ring.sealing, ring.keys.len())
    }
}

/// A sealed secret.
pub(crate) struct Sealed {
    pub key_id: String,
    pub nonce: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

fn at(path: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::Key(format!("key file {}: {why}", path.display()))
}

/// Reads a key file whole; refuses one that others may read.
pub(crate) fn read(path: &Path) -> StoreResult<(Zeroizing<String>, Stamp)> {
    let fail = |e: std::io::Error| at(path, e);
    let meta = std::fs::metadata(path).map_err(fail)?;
    let mode = meta.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(at(path, format!("its mode is {:o}, so others can read it; run: chmod 600 {}", mode & 0o777, path.display())));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(fail)?);
    Ok((text, (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())))
}

impl KeyRing {
    /// Reads the key file, or makes one with a new key. Lines are `id:64 hex digits`.
    /// Refuses a file that others may read.
    pub fn load_or_create(path: &Path) -> StoreResult<KeyRing> {
        if !path.try_exists().map_err(|e| at(path, e))? {
            keyfile::create(path).map_err(|e| at(path, format!("{e}; check that its directory exists and may be written")))?;
        }
        Self::load(path)
    }

    /// Reads the key file, which must be there. Refuses a file that others may read.
    pub fn load(path: &Path) -> StoreResult<KeyRing> {
        let (text, stamp) = read(path)?;
        let ring = Ring { stamp: Some(stamp), ..parse(&text).map_err(|why| at(path, why))? };
        Ok(KeyRing { file: Some(path.into()), ring: RwLock::new(ring) })
    }

    /// Parses the text of a key file.
    pub fn parse(text: &str) -> Result<KeyRing, String> {
        Ok(KeyRing { file: None, ring: RwLock::new(parse(text)?) })
    }

    /// The id of the key that seals.
    pub fn sealing(&self) -> String {
        self.refreshed().sealing
    }

    /// A ring of a file that cannot be used: it opens and seals nothing, so that the rest can be looked at.
    pub fn none(path: &Path) -> KeyRing {
        let ring = Ring { sealing: String::new(), keys: BTreeMap::new(), stamp: None };
        KeyRing { file: Some(path.into()), ring: RwLock::new(ring) }
    }

    /// The ids of all keys.
    pub fn ids(&self) -> Vec<String> {
        self.ring().keys.into_keys().collect()
    }

    fn ring(&self) -> Ring {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the file's keys if it changed since it was last read. A broken file changes nothing but the log.
    fn refreshed(&self) -> Ring {
        let current = self.ring();
        let Some(path) = &self.file else { return current };
        let changed = std::fs::metadata(path).is_ok_and(|m| current.stamp != Some((m.ino(), m.len(), m.mtime(), m.mtime_nsec())));
        if !changed {
            return current;
        }
        let read = read(path).and_then(|(text, stamp)| Ok(Ring { stamp: Some(stamp), ..parse(&text).map_err(|why| at(path, why))? }));
        match read {
            Ok(ring) => {
                tracing::info!(file = %path.display(), sealing = ring.sealing, keys = ring.keys.len(), "the key file changed and was read again");
                *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring.clone();
                ring
            }
            Err(error) => {
                tracing::error!(%error, "the key file changed and cannot be used: the keys that were read before stay in force");
                current
            }
        }
    }

    /// Where a key would have to be.
    fn place(&self) -> String {
        self.file.as_ref().map_or("the key file".into(), |f| format!("the key file {}", f.display()))
    }

    fn missing(&self, id: &str) -> String {
        format!(
            "key {id:?} is not in {}; put the line that begins with \"{id}:\" there (from the other controller, or from the backup of its key file)",
            self.place()
        )
    }

    /// The key that audit records are written with, and its id.
    pub(crate) fn audit_key(&self) -> StoreResult<(String, Zeroizing<[u8; 32]>)> {
        let ring = self.refreshed();
        let key =
            ring.keys.get(&ring.sealing).ok_or_else(|| StoreError::Key(format!("the audit cannot be written: {}", self.missing(&ring.sealing))))?;
        let derived = audit::derived(key)?;
        Ok((ring.sealing, derived))
    }

    /// The key that an audit record was written with.
    pub(crate) fn audit_key_of(&self, id: &str) -> StoreResult<Zeroizing<[u8; 32]>> {
        let known = |ring: Ring| ring.keys.get(id).map(|key| audit::derived(key));
        let missing = || StoreError::Key(format!("it cannot be told whether it was changed: {}", self.missing(id)));
        known(self.ring()).or_else(|| known(self.refreshed())).ok_or_else(missing)?
    }

    pub(crate) fn seal(&self, name: &str, data: &BTreeMap<String, SecretString>) -> StoreResult<Sealed> {
        let ring = self.refreshed();
        let plain: BTreeMap<&str, &str> = data.iter().map(|(k, v)| (k.as_str(), v.expose_secret())).collect();
        let plain = Zeroizing::new(serde_json::to_vec(&plain).map_err(|e| StoreError::Key(e.to_string()))?);
        let mut nonce = [0u8; 12];
        rand::rng().fill_bytes(&mut nonce);
        let aad = aad(name);
        let payload = Payload { msg: &plain, aad: aad.as_bytes() };
        let failed = || StoreError::Key(format!("the data of Credential/{name} could not be sealed"));
        let cipher = ring.cipher(&ring.sealing).ok_or_else(failed)?;
        let ciphertext = cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| failed())?;
        Ok(Sealed { key_id: ring.sealing.clone(), nonce: nonce.to_vec(), ciphertext })
    }

    pub(crate) fn open(&self, name: &str, sealed: &Sealed) -> StoreResult<BTreeMap<String, SecretString>> {
        let what = format!("the data of Credential/{name} cannot be opened");
        let missing = || StoreError::Key(format!("{what}: {}", self.missing(&sealed.key_id)));
        let cipher = self.ring().cipher(&sealed.key_id).or_else(|| self.refreshed().cipher(&sealed.key_id)).ok_or_else(missing)?;
        let failed = || {
            let place = self.place();
            StoreError::Key(format!(
                "{what} with key {:?} of {place}: it was sealed with another key of the same id; restore the key file that wrote it",
                sealed.key_id
            ))
        };
        let nonce: [u8; 12] = sealed.nonce.as_slice().try_into().map_err(|_| failed())?;
        let aad = aad(name);
        let payload = Payload { msg: &sealed.ciphertext, aad: aad.as_bytes() };
        let plain = Zeroizing::new(cipher.decrypt(&Nonce::from(nonce), payload).map_err(|_| failed())?);
        serde_json::from_slice(&plain).map_err(|_| failed())
    }
}

impl Ring {
    fn cipher(&self, id: &str) -> Option<Aes256GcmSiv> {
        Aes256GcmSiv::new_from_slice(self.keys.get(id)?.as_ref()).ok()
    }
}

/// One line of a key file: its id and its key.
pub(crate) fn line(text: &str, number: usize) -> Result<(&str, Zeroizing<[u8; 32]>), String> {
    let wrong = || format!("line {number}: write id:64-hex-digits");
    let (id, hex) = text.trim().split_once(':').ok_or_else(wrong)?;
    let mut key = Zeroizing::new([0u8; 32]);
    if id.is_empty() || hex.len() != 64 || !hex.is_ascii() {
        return Err(wrong());
    }
    for (i, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
    }
    Ok((id, key))
}

/// Whether a line of a key file holds a key.
pub(crate) fn is_key(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn parse(text: &str) -> Result<Ring, String> {
    let (mut sealing, mut keys) = (None, BTreeMap::new());
    for (number, text) in text.lines().enumerate().filter(|(_, l)| is_key(l)) {
        let (id, key) = line(text, number + 1)?;
        if keys.contains_key(id) {
            return Err(format!("line {}: there are two keys of the id {id:?}; give each its own", number + 1));
        }
        sealing.get_or_insert_with(|| id.to_string());
        keys.insert(id.to_string(), key);
    }
    sealing.map(|sealing| Ring { sealing, keys, stamp: None }).ok_or_else(|| "it holds no key".into())
}

/// Binds a ciphertext to its place, so that rows cannot be swapped.
fn aad(name: &str) -> String {
    format!("secrets\0{name}\0data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> KeyRing {
        KeyRing::parse(&format!("new:{}\nold:{}\n", "ab".repeat(32), "cd".repeat(32))).unwrap()
    }

    #[test]
    fn a_secret_opens_under_its_own_name_only() {
        let data = BTreeMap::from([("password".to_string(), SecretString::from("s3cret"))]);
        let sealed = ring().seal("a", &data).unwrap();
        assert_eq!(ring().open("a", &sealed).unwrap()["password"].expose_secret(), "s3cret");
        assert!(ring().open("b", &sealed).is_err());
        assert!(!String::from_utf8_lossy(&sealed.ciphertext).contains("s3cret"));
    }

    #[test]
    fn a_key_file_is_made_with_mode_0600_and_refused_when_others_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        KeyRing::load_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = KeyRing::load_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn of_several_that_make_the_key_file_at_once_all_read_the_same_key_and_no_draft_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let makers: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || KeyRing::load_or_create(&path).unwrap().seal("a", &BTreeMap::new()).unwrap())
            })
            .collect();
        let sealed: Vec<Sealed> = makers.into_iter().map(|m| m.join().unwrap()).collect();
        let ring = KeyRing::load_or_create(&path).unwrap();
        assert!(sealed.iter().all(|s| ring.open("a", s).is_ok()), "two keys were made");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_file_that_cannot_be_made_names_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let error = KeyRing::load_or_create(&dir.path().join("nowhere/key")).unwrap_err().to_string();
        assert!(error.contains("nowhere/key") && error.contains("directory"), "{error}");
    }

    #[test]
    fn two_keys_of_one_id_are_refused_and_not_shown() {
        let error = KeyRing::parse(&format!("k1:{}\nk1:{}\n", "ab".repeat(32), "cd".repeat(32))).unwrap_err();
        assert!(error.contains("line 2") && error.contains("k1") && !error.contains("cdcd"), "{error}");
        assert!(KeyRing::parse("# nothing\n\n").unwrap_err().contains("no key"));
    }

    #[test]
    fn a_running_ring_follows_its_file_and_keeps_its_keys_when_the_file_breaks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let ring = KeyRing::load_or_create(&path).unwrap();
        let before = ring.seal("a", &BTreeMap::new()).unwrap();
        let id = keyfile::KeyFile::read(&path).unwrap().add().unwrap();
        keyfile::KeyFile::read(&path).unwrap().promote(&id).unwrap();
        let after = ring.seal("a", &BTreeMap::new()).unwrap();
        assert_eq!(after.key_id, id);
        assert!(ring.open("a", &before).is_ok() && ring.open("a", &after).is_ok());
        std::fs::write(&path, "nonsense").unwrap();
        assert_eq!(ring.seal("a", &BTreeMap::new()).unwrap().key_id, id);
    }

    #[test]
    fn a_missing_key_is_told_by_its_id_and_the_file_it_belongs_to() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let sealed = KeyRing::load_or_create(&one).unwrap().seal("bmc", &BTreeMap::new()).unwrap();
        let error = KeyRing::load_or_create(&other).unwrap().open("bmc", &sealed).unwrap_err().to_string();
        assert!(error.contains(&sealed.key_id) && error.contains(&other.display().to_string()) && error.contains("Credential/bmc"), "{error}");
    }

    #[test]
    fn a_broken_key_line_is_named_and_not_shown() {
        let error = KeyRing::parse("k1:xyz").unwrap_err();
        assert!(error.contains("line 1") && !error.contains("xyz"), "{error}");
    }
}
