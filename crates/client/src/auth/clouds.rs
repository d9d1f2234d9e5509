//! `clouds.yaml`, `secure.yaml` and the `OS_*` variables, read as openstacksdk reads them.

use super::{Auth, Environment, Keystone, Method, Scope};
use crate::Error;
use schemas::apply::merge_patch;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Settings of one cloud, under the names of clouds.yaml, and where they came from.
pub(super) struct Settings {
    top: Map<String, Value>,
    auth: Map<String, Value>,
    origin: String,
}

/// `OS_*` variables that stand under `auth:` in clouds.yaml.
const AUTH: [&str; 17] = [
    "auth_url",
    "username",
    "user_id",
    "password",
    "user_domain_name",
    "user_domain_id",
    "project_name",
    "project_id",
    "project_domain_name",
    "project_domain_id",
    "domain_name",
    "domain_id",
    "system_scope",
    "token",
    "application_credential_id",
    "application_credential_name",
    "application_credential_secret",
];
/// Those that stand beside it.
const TOP: [&str; 5] = ["auth_type", "region_name", "interface", "cacert", "insecure"];

/// Reads the `OS_*` variables. Old names (`OS_TENANT_NAME`, `OS_ENDPOINT_TYPE`) count too.
pub(super) fn from_variables(environment: &Environment) -> Settings {
    let read = |names: &[&str]| -> Map<String, Value> {
        let found = names.iter().filter_map(|n| Some((n.to_string(), Value::from(environment.get(&format!("OS_{}", n.to_uppercase()))?))));
        found.collect()
    };
    let (mut top, mut auth) = (read(&TOP), read(&AUTH));
    for (old, new, map) in [("OS_TENANT_NAME", "project_name", &mut auth), ("OS_ENDPOINT_TYPE", "interface", &mut top)] {
        if let (false, Some(value)) = (map.contains_key(new), environment.get(old)) {
            map.insert(new.into(), value.into());
        }
    }
    Settings { top, auth, origin: "the OS_* variables".into() }
}

/// Finds a cloud in clouds.yaml, with `secure.yaml` of the same directory laid over it.
pub(super) fn load(cloud: &str, environment: &Environment) -> Result<Settings, Error> {
    let candidates = candidates(environment);
    let Some(path) = candidates.iter().find(|p| p.is_file()) else {
        let looked: Vec<String> = candidates.iter().map(|p| p.display().to_string()).collect();
        return Err(Error::Usage(format!(
            "Cloud '{cloud}' was asked for, but there is no clouds.yaml: looked for {}. Name the file in OS_CLIENT_CONFIG_FILE.",
            looked.join(", ")
        )));
    };
    let mut file = read_yaml(path)?;
    let secure = path.with_file_name("secure.yaml");
    if secure.is_file() {
        merge_patch(&mut file, &read_yaml(&secure)?);
    }
    let Some(found) = file["clouds"][cloud].as_object() else {
        let known: Vec<&str> = file["clouds"].as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
        return Err(Error::Usage(format!("Cloud '{cloud}' is not in {}; it has: {}.", path.display(), known.join(", "))));
    };
    let mut top = found.clone();
    let auth = top.shift_remove("auth").and_then(|a| a.as_object().cloned()).unwrap_or_default();
    Ok(Settings { top, auth, origin: format!("cloud '{cloud}' of {}", path.display()) })
}

fn candidates(environment: &Environment) -> Vec<PathBuf> {
    if let Some(path) = environment.get("OS_CLIENT_CONFIG_FILE") {
        return vec![PathBuf::from(path)];
    }
    let config = environment.get("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| environment.get("HOME").map(|h| PathBuf::from(h).join(".config")));
    let mut dirs = vec![environment.current_dir.clone()];
    dirs.extend(config.map(|c| c.join("openstack")));
    dirs.push(PathBuf::from("/etc/openstack"));
    dirs.iter().flat_map(|d| ["clouds.yaml", "clouds.yml"].map(|f| d.join(f))).collect()
}

fn read_yaml(path: &std::path::Path) -> Result<Value, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::Usage(format!("{} cannot be read: {e}.", path.display())))?;
    // Into a plain value: its errors name a place, never a value, and the file holds passwords.
    yaml_serde::from_str(&text).map_err(|e| {
        let line = e.location().map(|l| format!(" line {}", l.line())).unwrap_or_default();
        Error::Usage(format!("{}{line} is not YAML; check quotes and indentation.", path.display()))
    })
}

impl Settings {
    /// Whether there is nothing to log in with.
    pub(super) fn is_empty(&self) -> bool {
        self.auth.is_empty() && !self.top.contains_key("auth_type")
    }

    /// A value beside `auth:`. Numbers and the like are taken as they are written.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        scalar(self.top.get(key))
    }

    pub(super) fn auth_url(&self) -> Option<String> {
        self.field("auth_url")
    }

    pub(super) fn insecure(&self) -> bool {
        let no_check = self.top.get("verify") == Some(&Value::Bool(false));
        no_check || self.get("insecure").is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
    }

    fn field(&self, key: &str) -> Option<String> {
        scalar(self.auth.get(key))
    }

    fn need(&self, key: &str) -> Result<String, Error> {
        self.field(key)
            .ok_or_else(|| Error::Usage(format!("{} give no {key} (OS_{}); it is needed to log in to Keystone.", self.origin, key.to_uppercase())))
    }

    fn secret(&self, key: &str) -> Result<SecretString, Error> {
        self.need(key).map(SecretString::from)
    }

    /// Turns the settings into credentials.
    pub(super) fn auth(&self) -> Result<Auth, Error> {
        let kind = self.get("auth_type").unwrap_or_else(|| {
            let guess = if self.auth.contains_key("application_credential_secret") {
                "v3applicationcredential"
            } else if self.auth.contains_key("token") {
                "token"
            } else {
                "password"
            };
            guess.into()
        });
        let domain = |name: &str, id: &str| match (self.field(id), self.field(name)) {
            (Some(id), _) => ("id", id),
            (None, Some(name)) => ("name", name),
            (None, None) => ("id", "default".to_string()),
        };
        let user_domain = domain("user_domain_name", "user_domain_id");
        let method = match kind.as_str() {
            "none" => return Ok(Auth::None),
            "password" | "v3password" => {
                let user = match self.field("user_id") {
                    Some(id) => keystone_user_id(id),
                    None => keystone_user(self.need("username")?, user_domain),
                };
                Method::Password { user, password: self.secret("password")? }
            }
            "token" | "v3token" => Method::Token(self.secret("token")?),
            "v3applicationcredential" => {
                let who = match self.field("application_credential_id") {
                    Some(id) => serde_json::json!({"id": id}),
                    None => {
                        let user = match self.field("user_id") {
                            Some(id) => keystone_user_id(id),
                            None => keystone_user(self.need("username")?, user_domain),
                        };
                        serde_json::json!({"name": self.need("application_credential_name")?, "user": user})
                    }
                };
                Method::ApplicationCredential { who, secret: self.secret("application_credential_secret")? }
            }
            other => {
                let known = "password, token, v3applicationcredential or none";
                return Err(Error::Usage(format!("{} ask for auth_type '{other}', which is not supported; use {known}.", self.origin)));
            }
        };
        let project_domain = domain("project_domain_name", "project_domain_id");
        let scope = if matches!(method, Method::ApplicationCredential { .. }) {
            Scope::Given
        } else if self.field("system_scope").is_some() {
            Scope::System
        } else if let Some(id) = self.field("project_id") {
            Scope::Project(serde_json::json!({"id": id}))
        } else if let Some(name) = self.field("project_name") {
            Scope::Project(serde_json::json!({"name": name, "domain": {project_domain.0: project_domain.1}}))
        } else if let Some(id) = self.field("domain_id") {
            Scope::Domain(serde_json::json!({"id": id}))
        } else if let Some(name) = self.field("domain_name") {
            Scope::Domain(serde_json::json!({"name": name}))
        } else {
            Scope::Given
        };
        Ok(Auth::Keystone(Box::new(Keystone { auth_url: self.need("auth_url")?, method, scope })))
    }
}

fn keystone_user_id(id: String) -> Value {
    serde_json::json!({"id": id})
}

fn keystone_user(name: String, (key, domain): (&str, String)) -> Value {
    serde_json::json!({"name": name, "domain": {key: domain}})
}

fn scalar(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(s) if s.is_empty() => None,
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use secrecy::ExposeSecret;
    use serde_json::json;

    fn keystone(access: Access) -> Keystone {
        match access.auth {
            Auth::Keystone(k) => *k,
            other => panic!("expected Keystone, got {other:?}"),
        }
    }

    #[test]
    fn os_variables_make_a_password_login_scoped_to_the_project() {
        let environment = Environment::new(
            &[
                ("OS_AUTH_URL", "http://k/v3"),
                ("OS_USERNAME", "u"),
                ("OS_PASSWORD", "hunter2"),
                ("OS_PROJECT_NAME", "p"),
                ("OS_USER_DOMAIN_NAME", "Default"),
                ("OS_REGION_NAME", "r1"),
                ("OS_ENDPOINT_TYPE", "internalURL"),
            ],
            "/nowhere",
        );
        let access = AuthOptions::default().resolve(&environment).unwrap();
        assert_eq!((access.region.as_deref(), access.interface.as_str()), (Some("r1"), "internal"));
        let k = keystone(access);
        assert!(!format!("{k:?}").contains("hunter2"));
        assert_eq!(k.scope.body(), Some(json!({"project": {"name": "p", "domain": {"id": "default"}}})));
        let Method::Password { user, password } = k.method else { panic!() };
        assert_eq!(user, json!({"name": "u", "domain": {"name": "Default"}}));
        assert_eq!(password.expose_secret(), "hunter2");
    }

    #[test]
    fn a_cloud_takes_its_secrets_from_secure_yaml_and_wins_over_variables() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("clouds.yaml"),
            "clouds:\n  lab:\n    auth: {auth_url: http://k, username: u, project_name: p}\n    region_name: r2\n    verify: false\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("secure.yaml"), "clouds:\n  lab:\n    auth: {password: 12345}\n").unwrap();
        let environment = Environment::new(&[("OS_USERNAME", "somebody"), ("OS_TOKEN", "stray")], dir.path());
        let options = AuthOptions { cloud: Some("lab".into()), ..Default::default() };
        let access = options.resolve(&environment).unwrap();
        assert!(access.insecure);
        let Method::Password { user, password } = keystone(access).method else { panic!() };
        assert_eq!((&user["name"], password.expose_secret()), (&json!("u"), "12345"));
    }

    #[test]
    fn an_application_credential_carries_its_own_scope() {
        let environment = Environment::new(
            &[
                ("OS_AUTH_URL", "http://k"),
                ("OS_APPLICATION_CREDENTIAL_ID", "id"),
                ("OS_APPLICATION_CREDENTIAL_SECRET", "s"),
                ("OS_PROJECT_NAME", "ignored"),
            ],
            "/nowhere",
        );
        let k = keystone(AuthOptions::default().resolve(&environment).unwrap());
        assert!(matches!(k.method, Method::ApplicationCredential { .. }));
        assert_eq!(k.scope.body(), None);
    }

    #[test]
    fn a_given_token_wins_and_nothing_given_is_nobody() {
        let environment = Environment::new(&[("OS_AUTH_URL", "http://k"), ("OS_PASSWORD", "x")], "/nowhere");
        let options = AuthOptions { token: Some("t".into()), ..Default::default() };
        assert!(matches!(options.resolve(&environment).unwrap().auth, Auth::Token { auth_url: Some(_), .. }));
        let nobody = AuthOptions::default().resolve(&Environment::default()).unwrap();
        assert!(matches!(nobody.auth, Auth::None));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_and_no_secret_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::new(&[], dir.path());
        let ask = |cloud: &str| AuthOptions { cloud: Some(cloud.into()), ..Default::default() }.resolve(&environment).unwrap_err().to_string();
        let file = dir.path().join("clouds.yaml");
        assert!(ask("lab").contains("there is no clouds.yaml"), "{}", ask("lab"));
        std::fs::write(&file, "clouds:\n  prod: {auth: {auth_url: http://k, password: hunter2}}\n").unwrap();
        assert!(ask("lab").contains("it has: prod"), "{}", ask("lab"));
        assert!(ask("prod").contains("username (OS_USERNAME)"), "{}", ask("prod"));
        std::fs::write(&file, "clouds:\n  prod:\n    auth: {password: 'hunter2}\n").unwrap();
        assert!(ask("prod").contains("line"), "{}", ask("prod"));
        assert!(!ask("prod").contains("hunter2"));
    }
}
