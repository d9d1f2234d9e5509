//! Credential data at rest: AES-256-GCM-SIV, key from a file of mode 0600.

use crate::{StoreError, StoreResult};
use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use std::{collections::BTreeMap, io::Write, os::unix::fs::{OpenOptionsExt, PermissionsExt}, path::Path};
use zeroize::Zeroizing;

/// Keys by id; the first line of the file is the one that seals.
pub struct KeyRing {
    sealing: String,
    keys: BTreeMap<String, Zeroizing<[u8; 32]>>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing {{ sealing: {:?}, keys: {} }}", self.sealing, self.keys.len())
    }
}

/// A sealed secret.
pub(crate) struct Sealed {
    pub key_id: String,
    pub nonce: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

impl KeyRing {
    /// Reads the key file, or makes one with a new key. Lines are `id:64 hex digits`.
    /// Refuses a file that others may read.
    pub fn load_or_create(path: &Path) -> StoreResult<KeyRing> {
        let fail = |why: String| StoreError::Key(format!("key file {}: {why}", path.display()));
        if !path.try_exists().map_err(|e| fail(e.to_string()))? {
            create(path).map_err(|e| fail(format!("{e}; check that its directory exists and may be written")))?;
        }
        let mode = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(fail(format!("its mode is {:o}, so others can read it; run: chmod 600 {}", mode & 0o777, path.display())));
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?);
        Self::parse(&text).map_err(fail)
    }

    /// Parses the text of a key file.
    pub fn parse(text: &str) -> Result<KeyRing, String> {
        let (mut sealing, mut keys) = (None, BTreeMap::new());
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
            let wrong = || format!("line {}: write id:64-hex-digits", number + 1);
            let (id, hex) = line.trim().split_once(':').ok_or_else(wrong)?;
            let mut key = Zeroizing::new([0u8; 32]);
            if id.is_empty() || hex.len() != 64 || !hex.is_ascii() {
                return Err(wrong());
            }
            for (i, byte) in key.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
            }
            if keys.contains_key(id) {
                return Err(format!("line {}: there are two keys of the id {id:?}; give each its own", number + 1));
            }
            sealing.get_or_insert_with(|| id.to_string());
            keys.insert(id.to_string(), key);
        }
        sealing.map(|sealing| KeyRing { sealing, keys }).ok_or_else(|| "it holds no key".into())
    }

    fn cipher(&self, id: &str) -> StoreResult<Aes256GcmSiv> {
        let missing = || StoreError::Key(format!("key {id:?} is not in the key file; put the line with this id back"));
        let key = self.keys.get(id).ok_or_else(missing)?;
        Aes256GcmSiv::new_from_slice(key.as_ref()).map_err(|_| missing())
    }

    pub(crate) fn seal(&self, name: &str, data: &BTreeMap<String, SecretString>) -> StoreResult<Sealed> {
        let plain: BTreeMap<&str, &str> = data.iter().map(|(k, v)| (k.as_str(), v.expose_secret())).collect();
        let plain = Zeroizing::new(serde_json::to_vec(&plain).map_err(|e| StoreError::Key(e.to_string()))?);
        let mut nonce = [0u8; 12];
        rand::rng().fill_bytes(&mut nonce);
        let aad = aad(name);
        let payload = Payload { msg: &plain, aad: aad.as_bytes() };
        let failed = |_| StoreError::Key(format!("the data of Credential/{name} could not be sealed"));
        let ciphertext = self.cipher(&self.sealing)?.encrypt(&Nonce::from(nonce), payload).map_err(failed)?;
        Ok(Sealed { key_id: self.sealing.clone(), nonce: nonce.to_vec(), ciphertext })
    }

    pub(crate) fn open(&self, name: &str, sealed: &Sealed) -> StoreResult<BTreeMap<String, SecretString>> {
        let failed = || StoreError::Key(format!("the data of Credential/{name} cannot be opened with key {:?}; restore the key file that wrote it", sealed.key_id));
        let nonce: [u8; 12] = sealed.nonce.as_slice().try_into().map_err(|_| failed())?;
        let aad = aad(name);
        let payload = Payload { msg: &sealed.ciphertext, aad: aad.as_bytes() };
        let plain = Zeroizing::new(self.cipher(&sealed.key_id)?.decrypt(&Nonce::from(nonce), payload).map_err(|_| failed())?);
        serde_json::from_slice(&plain).map_err(|_| failed())
    }
}

/// Makes a key file whole or not at all: written beside its place, and linked there unless someone was faster.
fn create(path: &Path) -> std::io::Result<()> {
    let mut key = Zeroizing::new([0u8; 32]);
    rand::rng().fill_bytes(key.as_mut());
    let hex: Zeroizing<String> = Zeroizing::new(key.iter().map(|b| format!("{b:02x}")).collect());
    let draft = path.with_extension(format!("{}.new", uuid::Uuid::new_v4()));
    let written = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
        writeln!(file, "k1:{}", hex.as_str())?;
        file.sync_all()
    });
    let placed = written.and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    match placed {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        _ => removed,
    }
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
    fn a_broken_key_line_is_named_and_not_shown() {
        let error = KeyRing::parse("k1:xyz").unwrap_err();
        assert!(error.contains("line 1") && !error.contains("xyz"), "{error}");
    }
}
