//! The server's configuration: defaults, then the product's INI files, then a TOML file, then the environment, then flags.
//!
//! [`Config`] is the one list of keys, `parameters` the one of the product's. Every value knows where it came from; an unknown key or a
//! wrong value is an error that names the file and line, the variable or the flag.

mod ini;
mod layers;
mod load;
mod parameters;
mod policy;
mod product;
mod reload;
#[cfg(test)]
mod tests;
mod webhook;

pub use load::{ConfigError, Loaded, Sources};
pub use policy::{Policy, Remediation};
pub use product::told;
pub use reload::Changes;
pub use webhook::Webhook;

use crate::args::ServerArgs;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Where the file is looked for if none is named.
pub const DEFAULT_FILE: &str = "/etc/cloud-manager/cloud-manager.toml";
/// The product's files, read if they are there and no other is named; the later wins.
pub const PRODUCT_FILES: [&str; 2] = ["/etc/aos/aos.conf", "/etc/aos/cloud_manager.conf"];

/// Everything that can be configured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The HTTP API.
    pub api: Api,
    /// The database.
    pub database: Database,
    /// The controller.
    pub controller: Controller,
    /// What ClusterPolicy `default` begins with.
    pub policy: Policy,
    /// What RemediationPolicy `default` begins with.
    pub remediation: Remediation,
    /// The OpenStack cloud that is controlled.
    pub openstack: OpenStack,
    /// Where else people are told what happened.
    pub webhook: Webhook,
    /// Keys for secrets at rest.
    pub keys: Keys,
    /// The log.
    pub log: Log,
}

/// `[api]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Address and port of the API.
    pub listen: String,
    /// File with the certificate to speak HTTPS with, and those that lead to an authority, in PEM; empty: HTTP. Read again when it
    /// changes.
    #[serde(deserialize_with = "optional")]
    pub tls_cert_file: Option<String>,
    /// File with its private key, in PEM, not encrypted. Read again when it changes.
    #[serde(deserialize_with = "optional")]
    pub tls_key_file: Option<String>,
    /// Addresses of proxies whose `Forwarded` and `X-Forwarded-*` headers are believed, with commas between; empty: nobody's.
    #[serde(deserialize_with = "optional")]
    pub trusted_proxies: Option<String>,
    /// URL under which clients reach the API, for links; empty: as the request says.
    #[serde(deserialize_with = "optional")]
    pub public_endpoint: Option<String>,
    /// Status of `GET /`: 300 as Keystone answers, or 200 for what takes 300 for a failure.
    #[serde(deserialize_with = "number")]
    pub root_status: u64,
    /// Address and port of `/metrics`; empty: none.
    #[serde(deserialize_with = "optional")]
    pub metrics_listen: Option<String>,
    /// Watches one user may have open.
    pub max_watches_per_user: usize,
    /// Requests a second that one user may send besides watches, twice as many at once after a pause; a service ten times as much;
    /// 0: no limit.
    #[serde(deserialize_with = "number")]
    pub requests_per_second: u64,
    /// YAML file with rules of who may what, in place of those in code; empty: those in code. Read again when it changes.
    #[serde(deserialize_with = "optional")]
    pub policy_file: Option<String>,
    /// Whether denied and failed requests, and writes that can disrupt nothing, are recorded in the audit, and `audit_file` is
    /// written. What may disrupt is always recorded.
    #[serde(deserialize_with = "switch")]
    pub audit_enabled: bool,
    /// Whether all reads are recorded; else only those of Credentials, FenceAttestations and the audit.
    #[serde(deserialize_with = "switch")]
    pub audit_reads: bool,
    /// File that gets every audit record as a line of JSON; empty: none does.
    #[serde(deserialize_with = "optional")]
    pub audit_file: Option<String>,
}

impl Api {
    /// The proxies that are believed.
    ///
    /// # Errors
    /// The first text that is no address.
    pub fn proxies(&self) -> Result<Vec<IpAddr>, &str> {
        let words = self.trusted_proxies.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(|word| word.parse().map_err(|_| word)).collect()
    }
}

impl Default for Api {
    fn default() -> Self {
        Api {
            listen: "127.0.0.1:9362".into(),
            tls_cert_file: None,
            tls_key_file: None,
            trusted_proxies: None,
            public_endpoint: None,
            root_status: 300,
            metrics_listen: Some("127.0.0.1:9363".into()),
            max_watches_per_user: 20,
            requests_per_second: 20,
            policy_file: None,
            audit_enabled: true,
            audit_reads: false,
            audit_file: None,
        }
    }
}

/// `[database]`
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// URL of the database: `sqlite:///path`, `postgresql://user:password@host/name` or `mysql://user:password@host/name`,
    /// also in SQLAlchemy's spelling. A host other than this one must show a valid certificate (`sslmode=verify-full`,
    /// `sslrootcert=FILE` or `ssl_ca=FILE`), unless `sslmode` says `require` or `disable`. A password in it is never shown.
    pub url: String,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("url", &load::without_password(&self.url)).finish()
    }
}

impl Default for Database {
    fn default() -> Self {
        Database { url: "sqlite:///var/lib/cloud-manager/cloud-manager.db".into() }
    }
}

/// `[controller]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// How often hosts are compared with Nova's compute services, in seconds.
    #[serde(deserialize_with = "number")]
    pub node_sync_interval_seconds: u64,
    /// How often every object is looked at without cause, in seconds.
    #[serde(deserialize_with = "number")]
    pub resync_seconds: u64,
    /// How long leadership lasts without renewal, in milliseconds.
    #[serde(deserialize_with = "number")]
    pub lease_millis: u64,
    /// A leader that could not renew for this long stops, in milliseconds; less than the lease.
    #[serde(deserialize_with = "number")]
    pub renew_deadline_millis: u64,
    /// Pause between tries to renew or to take over, in milliseconds; less than the deadline.
    #[serde(deserialize_with = "number")]
    pub retry_millis: u64,
    /// Directory of what is kept outside the database (how far history went, the credential key);
    /// empty: beside the SQLite file, with another database /var/lib/cloud-manager.
    #[serde(deserialize_with = "optional")]
    pub state_dir: Option<String>,
    /// How much of what was decided over all hosts, and on what, is kept for `replay` in `controller.state_dir`, in megabytes;
    /// 0: nothing.
    #[serde(deserialize_with = "number")]
    pub record_decisions_mb: u64,
    /// Days that audit records are kept; 0: for ever.
    #[serde(deserialize_with = "number")]
    pub audit_days: u64,
}

impl Default for Controller {
    fn default() -> Self {
        Controller {
            node_sync_interval_seconds: 60,
            resync_seconds: 300,
            lease_millis: 6_000,
            renew_deadline_millis: 4_000,
            retry_millis: 1_000,
            state_dir: None,
            record_decisions_mb: 64,
            audit_days: 365,
        }
    }
}

/// `[openstack]`. With none of it set, the `OS_*` variables are taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenStack {
    /// Name of a cloud in clouds.yaml; the rest of the login then comes from there.
    #[serde(deserialize_with = "optional")]
    pub cloud: Option<String>,
    /// Path of clouds.yaml; empty: the usual places.
    #[serde(deserialize_with = "optional")]
    pub clouds_yaml: Option<String>,
    /// URL of Keystone.
    #[serde(deserialize_with = "optional")]
    pub auth_url: Option<String>,
    /// User.
    #[serde(deserialize_with = "optional")]
    pub username: Option<String>,
    /// Password.
    #[serde(deserialize_with = "secret", serialize_with = "hidden")]
    pub password: Option<SecretString>,
    /// Domain of the user.
    #[serde(deserialize_with = "optional")]
    pub user_domain_name: Option<String>,
    /// Project.
    #[serde(deserialize_with = "optional")]
    pub project_name: Option<String>,
    /// Domain of the project.
    #[serde(deserialize_with = "optional")]
    pub project_domain_name: Option<String>,
    /// Id of an application credential, in place of user and password.
    #[serde(deserialize_with = "optional")]
    pub application_credential_id: Option<String>,
    /// Its secret.
    #[serde(deserialize_with = "secret", serialize_with = "hidden")]
    pub application_credential_secret: Option<SecretString>,
    /// Region in the catalogue; empty: any.
    #[serde(deserialize_with = "optional")]
    pub region: Option<String>,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// PEM file with further certificate authorities.
    #[serde(deserialize_with = "optional")]
    pub ca_file: Option<String>,
    /// URL of Nova; empty: the catalogue's.
    #[serde(deserialize_with = "optional")]
    pub compute_endpoint_override: Option<String>,
    /// URL of Placement; empty: the catalogue's.
    #[serde(deserialize_with = "optional")]
    pub placement_endpoint_override: Option<String>,
}

impl Default for OpenStack {
    fn default() -> Self {
        OpenStack {
            cloud: None,
            clouds_yaml: None,
            auth_url: None,
            username: None,
            password: None,
            user_domain_name: None,
            project_name: None,
            project_domain_name: None,
            application_credential_id: None,
            application_credential_secret: None,
            region: None,
            interface: "public".into(),
            ca_file: None,
            compute_endpoint_override: None,
            placement_endpoint_override: None,
        }
    }
}

/// `[keys]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// File with the key that encrypts Credential data; empty: `credential.key` in `controller.state_dir`.
    #[serde(deserialize_with = "optional")]
    pub credential_key_file: Option<String>,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter per target.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".into(), format: LogFormat::Text }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Keys whose value is never shown.
pub(crate) const SECRETS: [&str; 3] = ["openstack.password", "openstack.application_credential_secret", "webhook.secret"];

/// Loads the configuration of this process.
///
/// # Errors
/// [`ConfigError`] names the place of what is wrong.
pub fn load(args: &ServerArgs) -> Result<Loaded, ConfigError> {
    let file = match &args.config {
        Some(path) => Some(path.clone()),
        None => Some(Path::new(DEFAULT_FILE).to_path_buf()).filter(|p| p.exists()),
    };
    let ini = product_files(args)?;
    let flags = [
        ("--listen", "api.listen", &args.listen),
        ("--metrics-listen", "api.metrics_listen", &args.metrics_listen),
        ("--database-url", "database.url", &args.database_url),
        ("--log-level", "log.level", &args.log_level),
        ("--log-format", "log.format", &args.log_format),
    ];
    let given = flags.into_iter().filter_map(|(flag, key, value)| Some((flag.to_string(), key.to_string(), value.clone()?)));
    let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    Loaded::from(Sources { ini, file, environment: environment.collect(), flags: given.collect() })
}

/// The INI files to read, in order. As with oslo.config, naming any takes the place of the default ones.
fn product_files(args: &ServerArgs) -> Result<Vec<PathBuf>, ConfigError> {
    if args.config_file.is_empty() && args.config_dir.is_empty() {
        // A file that is there and cannot be looked at is an error, not an absent file.
        let is_there = |path: &PathBuf| !std::fs::metadata(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        return Ok(PRODUCT_FILES.iter().map(PathBuf::from).filter(is_there).collect());
    }
    let mut files = args.config_file.clone();
    for dir in &args.config_dir {
        let entries = std::fs::read_dir(dir).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>());
        let mut found = entries.map_err(|e| ConfigError::of(dir, format!("this directory cannot be read: {e}.")))?;
        found.retain(|path| path.extension().is_some_and(|e| e == "conf"));
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// An empty text is no value.
fn optional<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(d)?.filter(|text| !text.is_empty()))
}

/// A number, also if it is written as text, as in the environment.
fn number<'de, D: serde::Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    struct Visitor;
    impl serde::de::Visitor<'_> for Visitor {
        type Value = u64;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number of at least 0")
        }
        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<u64, E> {
            Ok(value)
        }
        fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<u64, E> {
            u64::try_from(value).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
        }
        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<u64, E> {
            value.trim().parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(value), &self))
        }
    }
    d.deserialize_any(Visitor)
}

/// A truth value, also if it is written as text, as in the environment and in INI files.
fn switch<'de, D: serde::Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    struct Visitor;
    impl serde::de::Visitor<'_> for Visitor {
        type Value = bool;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("true or false")
        }
        fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<bool, E> {
            Ok(value)
        }
        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<bool, E> {
            match value.trim().to_ascii_lowercase().as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(E::invalid_value(serde::de::Unexpected::Str(value), &self)),
            }
        }
    }
    d.deserialize_any(Visitor)
}

/// A number that may be left out; an empty text is none.
fn optional_number<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Option<u64>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number of at least 0, or nothing")
        }
        fn visit_none<E: serde::de::Error>(self) -> Result<Option<u64>, E> {
            Ok(None)
        }
        fn visit_unit<E: serde::de::Error>(self) -> Result<Option<u64>, E> {
            Ok(None)
        }
        fn visit_some<S: serde::Deserializer<'de>>(self, value: S) -> Result<Option<u64>, S::Error> {
            value.deserialize_any(self)
        }
        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Option<u64>, E> {
            Ok(Some(value))
        }
        fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Option<u64>, E> {
            u64::try_from(value).map(Some).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
        }
        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Option<u64>, E> {
            match value.trim() {
                "" => Ok(None),
                text => text.parse().map(Some).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(value), &self)),
            }
        }
    }
    d.deserialize_option(Visitor)
}

fn secret<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<SecretString>, D::Error> {
    Ok(optional(d)?.map(SecretString::from))
}

/// Secrets are never serialised, so that no dump can show them.
fn hidden<S: serde::Serializer>(_: &Option<SecretString>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_none()
}
