//! Single values and the places they come from.

use super::{load::ConfigError, parameters::nearest};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File {
        /// Its path.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// A parameter of one of the product's INI files.
    Parameter {
        /// The file's path.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// `[section] key`.
        name: String,
    },
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Parameter { path, line, name } => write!(f, "{}:{line} {name}", path.display()),
            Origin::Variable(name) => write!(f, "env {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The keys there are, `section.key`.
pub(super) struct Keys(BTreeSet<String>);

impl Keys {
    /// Reads them off the defaults.
    pub(super) fn of(defaults: &Value) -> Self {
        let sections = defaults.as_object().into_iter().flatten();
        Keys(sections.flat_map(|(section, keys)| keys.as_object().into_iter().flatten().map(move |(key, _)| format!("{section}.{key}"))).collect())
    }

    fn sections(&self) -> BTreeSet<&str> {
        self.0.iter().filter_map(|k| k.split_once('.')).map(|(section, _)| section).collect()
    }

    /// Whether a key is known; the error says which ones are.
    pub(super) fn check(&self, key: &str, origin: &Origin) -> Result<(), ConfigError> {
        let empty_section = key.strip_suffix('.').is_some_and(|section| self.sections().contains(section));
        if self.0.contains(key) || empty_section {
            return Ok(());
        }
        let key = key.trim_end_matches('.');
        let section = key.split('.').next().unwrap_or_default();
        let within: Vec<&str> = self.0.iter().filter_map(|k| k.strip_prefix(section)?.strip_prefix('.')).collect();
        let hint = if within.is_empty() {
            let sections: Vec<&str> = self.sections().into_iter().collect();
            format!("there is no section '{section}'; there are {}{}", sections.join(", "), meant(section, &sections))
        } else if key == section {
            format!("it is a section; write [{section}] and its keys below")
        } else {
            let name = key.rsplit('.').next().unwrap_or_default();
            format!("[{section}] has {}{}", within.join(", "), meant(name, &within))
        };
        let end = if hint.ends_with('?') { "" } else { "." };
        Err(ConfigError::at(origin, format!("unknown key {key}: {hint}{end}")))
    }
}

fn meant(word: &str, names: &[&str]) -> String {
    nearest(word, names.iter().copied()).map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// The lines at which a TOML text sets its keys. Every key is checked.
pub(super) fn toml_lines(path: &Path, text: &str, keys: &Keys) -> Result<BTreeMap<String, Origin>, ConfigError> {
    let line = |offset: usize| text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
    let origin = |offset: usize| Origin::File { path: path.into(), line: line(offset) };
    // Only `message`: the full text of the error shows the line, which may hold a password.
    let table = DeTable::parse(text).map_err(|e| {
        let place = origin(e.span().map_or(0, |s| s.start));
        ConfigError::at(&place, format!("this is not TOML: {}.", e.message()))
    })?;
    let mut found = Vec::new();
    collect("", table.get_ref(), &mut found);
    let mut lines = BTreeMap::new();
    for (key, offset) in found {
        let origin = origin(offset);
        keys.check(&key, &origin)?;
        lines.insert(key, origin);
    }
    Ok(lines)
}

fn collect(prefix: &str, table: &DeTable<'_>, found: &mut Vec<(String, usize)>) {
    for (name, value) in table.iter() {
        let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => collect(&key, inner, found),
            // `[section]` with nothing below: still worth a check of its name.
            DeValue::Table(_) if prefix.is_empty() => found.push((format!("{key}."), name.span().start)),
            _ => found.push((key, name.span().start)),
        }
    }
}

/// `CLOUD_MANAGER_<SECTION>__<KEY>` of these variables, with their values.
pub(super) fn variables(environment: &[(String, String)], keys: &Keys) -> Result<Vec<(String, String, Origin)>, ConfigError> {
    let mut found = Vec::new();
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix("CLOUD_MANAGER_") else { continue };
        let origin = Origin::Variable(name.clone());
        match rest.split_once("__") {
            Some((section, key)) => {
                let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
                keys.check(&key, &origin)?;
                found.push((key, value.clone(), origin));
            }
            // A single underscore is the likely slip; silence would leave the default in force.
            None => {
                let rest = rest.to_lowercase();
                let slip = keys.0.iter().find(|k| k.replace('.', "_") == rest);
                if let Some(key) = slip {
                    let right = key.to_uppercase().replace('.', "__");
                    return Err(ConfigError::at(&origin, format!("two underscores part section and key: CLOUD_MANAGER_{right}.")));
                }
            }
        }
    }
    Ok(found)
}

/// `OS_*` variables and the keys of `[openstack]` they stand for.
const OPENSTACK: [(&str, &str); 15] = [
    ("OS_CLOUD", "cloud"),
    ("OS_CLIENT_CONFIG_FILE", "clouds_yaml"),
    ("OS_AUTH_URL", "auth_url"),
    ("OS_USERNAME", "username"),
    ("OS_PASSWORD", "password"),
    ("OS_USER_DOMAIN_NAME", "user_domain_name"),
    ("OS_PROJECT_NAME", "project_name"),
    ("OS_PROJECT_DOMAIN_NAME", "project_domain_name"),
    ("OS_APPLICATION_CREDENTIAL_ID", "application_credential_id"),
    ("OS_APPLICATION_CREDENTIAL_SECRET", "application_credential_secret"),
    ("OS_REGION_NAME", "region"),
    ("OS_INTERFACE", "interface"),
    ("OS_CACERT", "ca_file"),
    ("OS_COMPUTE_ENDPOINT_OVERRIDE", "compute_endpoint_override"),
    ("OS_PLACEMENT_ENDPOINT_OVERRIDE", "placement_endpoint_override"),
];

/// The `OS_*` variables as keys of `[openstack]`.
pub(super) fn openstack_variables(environment: &[(String, String)]) -> Vec<(String, String, Origin)> {
    let set = |name: &str| environment.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.clone());
    OPENSTACK.iter().filter_map(|(name, key)| Some((format!("openstack.{key}"), set(name)?, Origin::Variable(name.to_string())))).collect()
}
