//! A configuration of files, variables and flags, and what comes of it.

use crate::config::{ConfigError, Loaded, Sources};
use std::path::PathBuf;

pub struct Setup {
    pub dir: tempfile::TempDir,
    ini: Vec<PathBuf>,
    environment: Vec<(String, String)>,
    flags: Vec<(String, String, String)>,
}

impl Setup {
    pub fn new() -> Self {
        Setup { dir: tempfile::tempdir().unwrap(), ini: Vec::new(), environment: Vec::new(), flags: Vec::new() }
    }

    pub fn file(self, text: &str) -> Self {
        std::fs::write(self.path(), text).unwrap();
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        self.flags.push((flag.into(), key.into(), value.into()));
        self
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("c.toml")
    }

    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let file = Some(self.path()).filter(|p| p.exists());
        Loaded::from(Sources { ini: self.ini.clone(), file, environment: self.environment.clone(), flags: self.flags.clone() })
    }

    /// One of the product's INI files; the later wins.
    pub fn ini(mut self, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        self.ini.push(path);
        self
    }

    pub fn notices(&self) -> Vec<String> {
        let dir = format!("{}/", self.dir.path().display());
        self.load().unwrap().notices.iter().map(|n| format!("{}: {}", n.place, n.why).replace(&dir, "")).collect()
    }

    /// The error, with the directory taken off.
    pub fn error(&self) -> String {
        self.load().unwrap_err().to_string().replace(&format!("{}/", self.dir.path().display()), "")
    }
}
