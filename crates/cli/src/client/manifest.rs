//! Manifests: files with objects, and where they are.

use crate::output::Failure;
use std::{
    io::Read,
    path::{Path, PathBuf},
};

pub use schemas::manifest::{Document, Manifest, parse};

/// Reads files, directories (their `.yaml`, `.yml` and `.json` files by name) and `-`.
///
/// # Errors
/// Only if a path cannot be read, or holds nothing: a wrong document is an error of its own.
pub fn read(paths: &[String]) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for path in paths {
        let before = documents.len();
        if path == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|e| Failure::usage(format!("standard input cannot be read: {e}")))?;
            documents.extend(parse("standard input", &text));
        } else {
            for file in files(Path::new(path))? {
                let name = file.display().to_string();
                let text = std::fs::read_to_string(&file).map_err(|e| Failure::usage(format!("{name} cannot be read: {e}")))?;
                documents.extend(parse(&name, &text));
            }
        }
        if documents.len() == before {
            return Err(Failure::usage(format!("{path} holds no object")));
        }
    }
    Ok(documents)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let unreadable = |e: std::io::Error| Failure::usage(format!("{} cannot be read: {e}", path.display()));
    let entries = std::fs::read_dir(path).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let is_manifest = |p: &PathBuf| p.extension().and_then(|e| e.to_str()).is_some_and(|e| matches!(e, "yaml" | "yml" | "json")) && p.is_file();
    let mut found: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).filter(is_manifest).collect();
    found.sort();
    if found.is_empty() { Err(Failure::usage(format!("{} holds no .yaml, .yml or .json file", path.display()))) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: cloud-manager/v1\nkind: Host\n";

    #[test]
    fn a_directory_without_manifests_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        assert!(read(std::slice::from_ref(&path)).err().unwrap().message.contains("holds no .yaml"));
        std::fs::write(dir.path().join("a.yaml"), "# nothing\n").unwrap();
        assert!(read(std::slice::from_ref(&path)).err().unwrap().message.contains("holds no object"));
        std::fs::write(dir.path().join("b.txt"), "not read").unwrap();
        std::fs::write(dir.path().join("a.yaml"), format!("{HEAD}metadata: {{name: a}}\n")).unwrap();
        assert_eq!(read(&[path]).unwrap().len(), 1);
    }
}
