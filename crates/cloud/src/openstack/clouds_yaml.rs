//! `clouds.yaml`, as openstacksdk describes it, with the `secure.yaml` beside it.

use super::config::{ConfigError, Fields, Source};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use yaml_serde::Value;

/// Fields that are secrets: only a string will do, as `0123` without quotes would lose its zero.
const SECRETS: [&str; 2] = ["password", "application_credential_secret"];

pub(super) fn read(path: Option<&Path>, cloud: &str) -> Result<Fields, ConfigError> {
    let file = find(path)?;
    let mut root = parse(&file)?;
    if let Some(secure) = ["secure.yaml", "secure.yml"].iter().map(|n| file.with_file_name(n)).find(|p| p.is_file()) {
        overlay(&mut root, parse(&secure)?);
    }
    let known = root
        .get("clouds")
        .and_then(Value::as_mapping)
        .ok_or_else(|| ConfigError::File { file: file.clone(), detail: "has no mapping `clouds`".to_owned() })?;
    let Some(entry) = known.get(cloud).filter(|e| e.is_mapping()) else {
        let names = known.keys().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
        return Err(ConfigError::File { file, detail: format!("has no cloud \"{cloud}\"; it has: {names}") });
    };

    let mut values = HashMap::new();
    let mut flatten = |part: &Value| -> Result<(), ConfigError> {
        for (key, value) in part.as_mapping().into_iter().flatten() {
            let Some(key) = key.as_str() else { continue };
            let text = match value {
                Value::String(s) => s.clone(),
                Value::Bool(_) | Value::Number(_) if SECRETS.contains(&key) => {
                    return Err(ConfigError::Invalid {
                        name: format!("clouds.{cloud}.auth.{key}"),
                        file: Some(file.clone()),
                        detail: "write it in quotes, so that it is read as it stands".to_owned(),
                    });
                }
                Value::Bool(b) => b.to_string(),
                Value::Number(n) => n.to_string(),
                _ => continue, // nested settings of other tools, and nulls
            };
            if !text.is_empty() {
                values.insert(key.to_owned(), text);
            }
        }
        Ok(())
    };
    flatten(entry)?;
    if let Some(auth) = entry.get("auth") {
        flatten(auth)?;
    }
    if let Some(old) = values.remove("endpoint_type") {
        values.entry("interface".to_owned()).or_insert(old);
    }
    // `regions: [one]` stands for `region_name: one`; with several the choice is the operator's.
    if !values.contains_key("region_name")
        && let Some(regions) = entry.get("regions").and_then(Value::as_sequence)
    {
        let names: Vec<&str> = regions.iter().filter_map(|r| r.as_str().or_else(|| r.get("name").and_then(Value::as_str))).collect();
        match names.as_slice() {
            [] => {}
            [one] => drop(values.insert("region_name".to_owned(), (*one).to_owned())),
            many => {
                return Err(ConfigError::Invalid {
                    name: format!("clouds.{cloud}.region_name"),
                    file: Some(file.clone()),
                    detail: format!("choose one of the regions {}", many.join(", ")),
                });
            }
        }
    }
    Ok(Fields { values, source: Source::Yaml { file, cloud: cloud.to_owned() } })
}

fn find(path: Option<&Path>) -> Result<PathBuf, ConfigError> {
    if let Some(given) = path {
        return Ok(given.to_owned());
    }
    let home =
        std::env::var_os("XDG_CONFIG_HOME").filter(|v| !v.is_empty()).map(PathBuf::from).or_else(|| std::env::home_dir().map(|h| h.join(".config")));
    let dirs = [Some(PathBuf::from(".")), home.map(|h| h.join("openstack")), Some(PathBuf::from("/etc/openstack"))];
    let places: Vec<PathBuf> = dirs.into_iter().flatten().flat_map(|d| [d.join("clouds.yaml"), d.join("clouds.yml")]).collect();
    places.iter().find(|p| p.is_file()).cloned().ok_or_else(|| ConfigError::File {
        file: PathBuf::from("clouds.yaml"),
        detail: format!("not found; looked for {}", places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")),
    })
}

fn parse(file: &Path) -> Result<Value, ConfigError> {
    let wrong = |detail: String| ConfigError::File { file: file.to_owned(), detail };
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    // Only the place of an error is told: its text could quote a secret.
    yaml_serde::from_str(&text).map_err(|e| match e.location() {
        Some(at) => wrong(format!("not valid YAML at line {}, column {}", at.line(), at.column())),
        None => wrong("not valid YAML".to_owned()),
    })
}

/// `over` wins; mappings are merged key by key.
fn overlay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Mapping(under), Value::Mapping(over)) => {
            for (key, value) in over {
                match under.get_mut(&key) {
                    Some(slot) => overlay(slot, value),
                    None => drop(under.insert(key, value)),
                }
            }
        }
        (_, Value::Null) => {}
        (under, over) => *under = over,
    }
}

#[cfg(test)]
mod tests {
    use crate::openstack::{CloudConfig, ConfigError, Credentials, Domain, Named};

    const CLOUDS: &str = "
clouds:
  lab:
    auth_type: v3password
    auth:
      auth_url: https://keystone:5000
      username: admin
      user_domain_id: ldap
      project_name: ops
      project_domain_name: Ops
    regions: [east]
    interface: internal
    cacert: /ca.pem
    compute_api_version: 2.88
  other: {auth: {auth_url: 'https://k'}}
";

    fn with(clouds: &str, secure: Option<&str>, cloud: &str) -> (tempfile::TempDir, Result<CloudConfig, ConfigError>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("clouds.yaml");
        std::fs::write(&file, clouds).unwrap();
        if let Some(secure) = secure {
            std::fs::write(dir.path().join("secure.yaml"), secure).unwrap();
        }
        let config = CloudConfig::from_clouds_yaml(Some(&file), cloud);
        (dir, config)
    }

    #[test]
    fn v3password_with_domain_ids_and_a_secure_yaml_is_understood() {
        let (_dir, config) = with(CLOUDS, Some("clouds: {lab: {auth: {password: hunter2}}}"), "lab");
        let config = config.unwrap();
        assert_eq!((config.region.as_deref(), config.interface.as_str()), (Some("east"), "internal"));
        assert_eq!(config.ca_file.as_deref(), Some(std::path::Path::new("/ca.pem")));
        let Credentials::Password { user, project, .. } = &config.auth.credentials else { panic!("not a password") };
        assert_eq!(user, &Named::Name { name: "admin".into(), domain: Domain::Id("ldap".into()) });
        assert_eq!(project, &Named::Name { name: "ops".into(), domain: Domain::Name("Ops".into()) });
    }

    #[test]
    fn a_missing_key_is_named_with_its_file() {
        let (dir, config) = with(CLOUDS, None, "lab");
        let message = config.unwrap_err().to_string();
        assert!(message.contains("clouds.lab.auth.password"), "{message}");
        assert!(message.contains(&dir.path().join("clouds.yaml").display().to_string()), "{message}");
    }

    #[test]
    fn an_unknown_cloud_is_answered_with_the_known_ones() {
        let (_dir, config) = with(CLOUDS, None, "prod");
        let message = config.unwrap_err().to_string();
        assert!(message.contains("no cloud \"prod\"; it has: lab, other"), "{message}");
    }

    #[test]
    fn a_syntax_error_names_the_line_and_shows_no_text() {
        let (_dir, config) = with("clouds:\n  lab:\n    auth: {password: hunter2\n  x: [\n", None, "lab");
        let message = config.unwrap_err().to_string();
        assert!(message.contains("line") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_password_without_quotes_that_is_a_number_is_refused() {
        let (_dir, config) = with(CLOUDS, Some("clouds: {lab: {auth: {password: 12345}}}"), "lab");
        let message = config.unwrap_err().to_string();
        assert!(message.contains("quotes") && !message.contains("12345"), "{message}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = CloudConfig::from_clouds_yaml(Some(std::path::Path::new("/nonexistent/clouds.yaml")), "lab").unwrap_err();
        assert!(error.to_string().contains("/nonexistent/clouds.yaml"), "{error}");
    }
}
