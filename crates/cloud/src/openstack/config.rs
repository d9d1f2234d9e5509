//! Where the cloud is and who we are there: from `OS_*` variables or a `clouds.yaml`.
//!
//! Read here and not by osauth, whose reader rejects `auth_type: v3password` and silently ignores
//! `user_domain_id`.

use secrecy::SecretString;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is wrong with the configuration, with the variable or key and the file.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Something needed is not given.
    #[error("{missing} is not set{}; set it, or name a cloud of a clouds.yaml", within(.file))]
    Missing {
        /// Variables or keys, any of which would do.
        missing: String,
        /// The file that lacks it; `None`: the environment.
        file: Option<PathBuf>,
    },
    /// Something given cannot be used.
    #[error("{name}{}: {detail}", within(.file))]
    Invalid {
        /// Variable, key or field.
        name: String,
        /// The file it stands in; `None`: the environment, or the configuration given.
        file: Option<PathBuf>,
        /// Why, and what would do.
        detail: String,
    },
    /// A file could not be found, read or parsed.
    #[error("{}: {detail}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why, with the line if it is a syntax error.
        detail: String,
    },
}

fn within(file: &Option<PathBuf>) -> String {
    file.as_ref().map(|f| format!(" in {}", f.display())).unwrap_or_default()
}

/// By id, or by name within a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// Keystone's id; needs no domain.
    Id(String),
    /// A name, unique within its domain.
    Name {
        /// The name.
        name: String,
        /// Its domain.
        domain: Domain,
    },
}

/// A Keystone domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// How we prove who we are. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// User and password, scoped to a project (Nova's admin policies do not take system scope).
    Password {
        /// The user.
        user: Named,
        /// Its password.
        password: SecretString,
        /// The project the token is for.
        project: Named,
    },
    /// An application credential; its project is fixed by Keystone.
    ApplicationCredential {
        /// By id, or by name together with the user that owns it.
        credential: AppCredential,
        /// Its secret.
        secret: SecretString,
    },
}

/// Which application credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppCredential {
    /// By id.
    Id(String),
    /// By name, unique for its user.
    Name {
        /// The name.
        name: String,
        /// The user that owns it.
        user: Named,
    },
}

/// Keystone and our credentials there.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Keystone's URL, with or without `/v3`.
    pub url: String,
    /// Our credentials.
    pub credentials: Credentials,
}

/// Limits of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS; default 5 s.
    pub connect: Duration,
    /// End of life of a changing call, its token included, and of each try of a read; default 20 s (S8).
    pub call: Duration,
    /// A changing call leaves this machine within this time of being asked for, or not at all: half of it to
    /// have token, endpoint and microversion, half to connect. Default 1 s, so that a caller that looked at its
    /// lease just before still holds it then (S8). Reads go before every change and keep those at hand; a change
    /// that finds them missing and slow is `NotSent`.
    pub change_start: Duration,
    /// A read with its retries; default 30 s. Each page of a list is one read.
    pub read_total: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(20),
            change_start: Duration::from_secs(1),
            read_total: Duration::from_secs(30),
        }
    }
}

/// Everything needed to reach a cloud. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct CloudConfig {
    /// Keystone and our credentials.
    pub auth: Auth,
    /// Only endpoints of this region; `None`: of any.
    pub region: Option<String>,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// PEM file with certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Nova's URL, instead of the catalogue's.
    pub compute_endpoint: Option<String>,
    /// Placement's URL, instead of the catalogue's.
    pub placement_endpoint: Option<String>,
    /// Keystone's URL as clients should see it; `None`: the catalogue's public one, or `auth.url` until there was a token.
    pub public_auth_url: Option<String>,
    /// Limits of calls.
    pub timeouts: Timeouts,
}

impl CloudConfig {
    /// From given credentials: any region, public interface, no extra CA, default limits.
    pub fn new(auth: Auth) -> CloudConfig {
        CloudConfig {
            auth,
            region: None,
            interface: "public".to_owned(),
            ca_file: None,
            compute_endpoint: None,
            placement_endpoint: None,
            public_auth_url: None,
            timeouts: Timeouts::default(),
        }
    }

    /// From `OS_*` variables as python-openstackclient knows them. With `OS_CLOUD` the cloud of that name is
    /// read from `OS_CLIENT_CONFIG_FILE` or the usual places. An empty variable counts as not set.
    ///
    /// # Errors
    /// Names the variable that is missing or cannot be used.
    pub fn from_env(env: &HashMap<String, String>) -> Result<CloudConfig, ConfigError> {
        let given = |name: &str| env.get(name).map(String::as_str).filter(|v| !v.is_empty());
        if let Some(cloud) = given("OS_CLOUD") {
            return CloudConfig::from_clouds_yaml(given("OS_CLIENT_CONFIG_FILE").map(Path::new), cloud);
        }
        let mut values = HashMap::new();
        for (name, value) in env {
            if let Some(key) = name.strip_prefix("OS_").filter(|_| !value.is_empty()) {
                values.insert(key.to_ascii_lowercase(), value.clone());
            }
        }
        if let Some(old) = values.remove("endpoint_type") {
            values.entry("interface".to_owned()).or_insert(old);
        }
        Fields { values, source: Source::Env }.config()
    }

    /// A cloud of a `clouds.yaml`: of the file given, else of the first found of `./clouds.yaml`,
    /// `~/.config/openstack/clouds.yaml`, `/etc/openstack/clouds.yaml`; with the `secure.yaml` beside it laid over.
    ///
    /// # Errors
    /// Names the file and the key.
    pub fn from_clouds_yaml(path: Option<&Path>, cloud: &str) -> Result<CloudConfig, ConfigError> {
        super::clouds_yaml::read(path, cloud)?.config()
    }
}

/// Where fields came from, to name them in errors.
pub(super) enum Source {
    Env,
    Yaml { file: PathBuf, cloud: String },
}

/// Flat fields under their `clouds.yaml` names, whatever they came from.
pub(super) struct Fields {
    pub(super) values: HashMap<String, String>,
    pub(super) source: Source,
}

impl Fields {
    fn get(&self, key: &str) -> Option<String> {
        self.values.get(key).cloned()
    }

    fn label(&self, key: &str) -> String {
        match &self.source {
            Source::Env => format!("OS_{}", key.to_ascii_uppercase()),
            Source::Yaml { cloud, .. } => {
                let top = ["region_name", "interface", "cacert", "verify", "insecure", "auth_type"].contains(&key) || key.ends_with("_override");
                format!("clouds.{cloud}.{}{key}", if top { "" } else { "auth." })
            }
        }
    }

    fn file(&self) -> Option<PathBuf> {
        match &self.source {
            Source::Env => None,
            Source::Yaml { file, .. } => Some(file.clone()),
        }
    }

    fn missing(&self, keys: &[&str]) -> ConfigError {
        ConfigError::Missing { missing: keys.iter().map(|k| self.label(k)).collect::<Vec<_>>().join(" or "), file: self.file() }
    }

    fn invalid(&self, key: &str, detail: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { name: self.label(key), file: self.file(), detail: detail.into() }
    }

    fn need(&self, key: &str) -> Result<String, ConfigError> {
        self.get(key).ok_or_else(|| self.missing(&[key]))
    }

    /// Without a domain it is the one with id `default`, as for python-openstackclient.
    fn domain(&self, of: &str) -> Domain {
        let id = self.get(&format!("{of}_domain_id")).map(Domain::Id);
        let name = || self.get(&format!("{of}_domain_name")).map(Domain::Name);
        let fallback = || self.get("default_domain_id").or_else(|| self.get("default_domain")).map(Domain::Id);
        let fallback_name = || self.get("default_domain_name").map(Domain::Name);
        id.or_else(name).or_else(fallback).or_else(fallback_name).unwrap_or_else(|| Domain::Id("default".to_owned()))
    }

    fn user(&self) -> Result<Named, ConfigError> {
        match (self.get("user_id"), self.get("username")) {
            (Some(id), _) => Ok(Named::Id(id)),
            (None, Some(name)) => Ok(Named::Name { name, domain: self.domain("user") }),
            (None, None) => Err(self.missing(&["username", "user_id"])),
        }
    }

    fn project(&self) -> Result<Named, ConfigError> {
        if let Some(id) = self.get("project_id").or_else(|| self.get("tenant_id")) {
            return Ok(Named::Id(id));
        }
        match self.get("project_name").or_else(|| self.get("tenant_name")) {
            Some(name) => Ok(Named::Name { name, domain: self.domain("project") }),
            None => Err(self.missing(&["project_name", "project_id"])),
        }
    }

    fn credentials(&self) -> Result<Credentials, ConfigError> {
        for key in ["system_scope", "trust_id"] {
            if self.get(key).is_some() {
                return Err(self.invalid(key, "not supported: Nova's evacuate needs a token of a project; give project_name instead"));
            }
        }
        let app = self.get("application_credential_id").is_some() || self.get("application_credential_name").is_some();
        let kind = self.get("auth_type").unwrap_or_else(|| if app { "v3applicationcredential" } else { "password" }.to_owned());
        match kind.as_str() {
            "password" | "v3password" => {
                Ok(Credentials::Password { user: self.user()?, password: self.need("password")?.into(), project: self.project()? })
            }
            "v3applicationcredential" | "applicationcredential" => Ok(Credentials::ApplicationCredential {
                credential: match (self.get("application_credential_id"), self.get("application_credential_name")) {
                    (Some(id), _) => AppCredential::Id(id),
                    (None, Some(name)) => AppCredential::Name { name, user: self.user()? },
                    (None, None) => {
                        return Err(self.missing(&["application_credential_id", "application_credential_name"]));
                    }
                },
                secret: self.need("application_credential_secret")?.into(),
            }),
            other => Err(self.invalid("auth_type", format!("\"{other}\" is not supported; use v3password or v3applicationcredential"))),
        }
    }

    /// Checks and puts together.
    pub(super) fn config(self) -> Result<CloudConfig, ConfigError> {
        let url = self.need("auth_url")?;
        for (key, unsafe_words) in [("verify", ["false", "no", "0"]), ("insecure", ["true", "yes", "1"])] {
            if self.get(key).is_some_and(|v| unsafe_words.contains(&v.to_ascii_lowercase().as_str())) {
                return Err(self.invalid(key, "unverified TLS is not supported; give the cloud's CA certificate as cacert"));
            }
        }
        let interface = match self.get("interface").map(|i| i.to_ascii_lowercase()).as_deref() {
            None | Some("public" | "publicurl") => "public",
            Some("internal" | "internalurl") => "internal",
            Some("admin" | "adminurl") => "admin",
            Some(other) => {
                return Err(self.invalid("interface", format!("\"{other}\" is not one of public, internal, admin")));
            }
        };
        for (key, value) in [
            ("auth_url", Some(url.clone())),
            ("compute_endpoint_override", self.get("compute_endpoint_override")),
            ("placement_endpoint_override", self.get("placement_endpoint_override")),
        ] {
            if let Some(value) = value {
                super::keystone::http_url(&value).map_err(|detail| self.invalid(key, detail))?;
            }
        }
        Ok(CloudConfig {
            region: self.get("region_name"),
            interface: interface.to_owned(),
            ca_file: self.get("cacert").map(PathBuf::from),
            compute_endpoint: self.get("compute_endpoint_override"),
            placement_endpoint: self.get("placement_endpoint_override"),
            ..CloudConfig::new(Auth { url, credentials: self.credentials()? })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    const PASSWORD: [(&str, &str); 5] = [
        ("OS_AUTH_URL", "http://keystone:5000/v3"),
        ("OS_USERNAME", "admin"),
        ("OS_PASSWORD", "hunter2"),
        ("OS_PROJECT_NAME", "admin"),
        ("OS_USER_DOMAIN_ID", "d1"),
    ];

    #[test]
    fn a_user_domain_id_is_kept_and_debug_hides_the_password() {
        let config = CloudConfig::from_env(&env(&PASSWORD)).unwrap();
        let Credentials::Password { user, project, .. } = &config.auth.credentials else { panic!("not a password") };
        assert_eq!(user, &Named::Name { name: "admin".into(), domain: Domain::Id("d1".into()) });
        assert_eq!(project, &Named::Name { name: "admin".into(), domain: Domain::Id("default".into()) });
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn each_missing_variable_is_named() {
        for (left_out, named) in [
            ("OS_AUTH_URL", "OS_AUTH_URL"),
            ("OS_USERNAME", "OS_USERNAME or OS_USER_ID"),
            ("OS_PASSWORD", "OS_PASSWORD"),
            ("OS_PROJECT_NAME", "OS_PROJECT_NAME or OS_PROJECT_ID"),
        ] {
            let mut given = env(&PASSWORD);
            given.insert(left_out.to_owned(), String::new());
            let error = CloudConfig::from_env(&given).unwrap_err();
            assert_eq!(error, ConfigError::Missing { missing: named.into(), file: None });
        }
    }

    #[test]
    fn application_credentials_go_by_id_or_by_name_and_user() {
        let by_id = [("OS_AUTH_URL", "http://k"), ("OS_APPLICATION_CREDENTIAL_ID", "abc"), ("OS_APPLICATION_CREDENTIAL_SECRET", "s3cret")];
        let config = CloudConfig::from_env(&env(&by_id)).unwrap();
        assert!(matches!(&config.auth.credentials, Credentials::ApplicationCredential { credential: AppCredential::Id(id), .. } if id == "abc"));
        assert!(!format!("{config:?}").contains("s3cret"));
        let by_name = [("OS_AUTH_URL", "http://k"), ("OS_APPLICATION_CREDENTIAL_NAME", "cm"), ("OS_APPLICATION_CREDENTIAL_SECRET", "s3cret")];
        let error = CloudConfig::from_env(&env(&by_name)).unwrap_err();
        assert!(error.to_string().contains("OS_USERNAME or OS_USER_ID"), "{error}");
    }

    #[test]
    fn unverified_tls_other_login_kinds_and_bad_interfaces_are_refused_by_name() {
        for (name, value) in [
            ("OS_INSECURE", "true"),
            ("OS_AUTH_TYPE", "v3oidcpassword"),
            ("OS_INTERFACE", "private"),
            ("OS_SYSTEM_SCOPE", "all"),
            ("OS_AUTH_URL", "ftp://k"),
        ] {
            let mut given = env(&PASSWORD);
            given.insert(name.to_owned(), value.to_owned());
            let error = CloudConfig::from_env(&given).unwrap_err();
            assert!(matches!(error, ConfigError::Invalid { .. }), "{name}: {error}");
        }
    }
}
