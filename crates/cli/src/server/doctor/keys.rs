//! The key file, and whether it opens every Credential.

use super::report::Report;
use std::path::Path;
use store::{KeyFile, KeyRing, SqlStore};

const COPY: &str = "Of a pair, copy it from the other controller (mode 0600, owner as there); else restore it from its backup";

/// Reads the key file. Without one the rest can still be looked at.
pub(super) fn load(path: &Path, report: &mut Report) -> KeyRing {
    match KeyRing::load(path) {
        Ok(ring) => ring,
        // Whether that is bad depends on the database.
        Err(_) if !path.exists() => KeyRing::none(path),
        Err(error) => {
            report.fail("keys", error.to_string(), COPY);
            KeyRing::none(path)
        }
    }
}

/// Compares the file with what the database was sealed with.
pub(super) async fn sealed(store: &SqlStore, path: &Path, report: &mut Report) {
    if !path.exists() {
        return match store.sealed_by().await {
            Ok(sealed) if sealed.is_empty() => report.warn(
                "keys",
                format!("there is no key file {} yet, and nothing is sealed", path.display()),
                "A server makes it at its first start",
            ),
            Ok(sealed) => {
                let ids: Vec<String> = sealed.into_keys().collect();
                let what = format!("there is no key file {}, and Credentials are sealed with {}", path.display(), ids.join(", "));
                report.fail("keys", what, COPY);
            }
            Err(error) => report.fail("keys", error.to_string(), ""),
        };
    }
    let Ok(ids) = KeyFile::read(path).map(|file| file.ids()) else { return };
    let (sealed, lost) = match (store.sealed_by().await, store.unopenable().await) {
        (Ok(sealed), Ok(lost)) => (sealed, lost),
        (Err(error), _) | (_, Err(error)) => return report.fail("keys", error.to_string(), ""),
    };
    for (id, names) in sealed.iter().filter(|(id, _)| !ids.contains(id)) {
        let what = format!("key {id} sealed {}, and is not in {}", names.join(", "), path.display());
        report.fail("keys", what, format!("Put the line that begins with \"{id}:\" there, from the other controller or from its backup"));
    }
    for (name, why) in lost.iter().filter(|(name, _)| sealed.iter().any(|(id, names)| ids.contains(id) && names.contains(name))) {
        report.fail("keys", why.clone(), format!("Or apply Credential {name} anew"));
    }
    if lost.is_empty() {
        let count: usize = sealed.values().map(Vec::len).sum();
        report.ok("keys", format!("{} opens all {count} Credential(s); keys {}, the first seals", path.display(), ids.join(", ")));
    }
    let old: Vec<&str> = sealed.keys().filter(|id| ids.contains(id) && Some(*id) != ids.first()).map(String::as_str).collect();
    if !old.is_empty() {
        let what = format!("Credentials are still sealed with {}", old.join(", "));
        report.warn("keys", what, format!("cloud-manager keys rotate {}", ids.first().map_or("", String::as_str)));
    }
}
