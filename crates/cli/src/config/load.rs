//! Laying the layers over each other, and showing the result.

use super::{
    Config, SECRETS,
    layers::{Keys, Origin, openstack_variables, toml_lines, variables},
    product::{self, Notice},
};
use figment::{
    Figment,
    error::Kind,
    providers::{Format, Serialized},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// figment's own TOML provider would bring a second TOML crate.
struct Toml;

impl Format for Toml {
    type Error = toml::de::Error;
    const NAME: &'static str = "TOML";
    fn from_str<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Self::Error> {
        toml::from_str(text)
    }
}

/// What is wrong with the configuration, beginning with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn at(origin: &Origin, message: impl fmt::Display) -> Self {
        ConfigError(format!("{origin}: {message}"))
    }

    pub(super) fn of(path: &Path, message: impl fmt::Display) -> Self {
        ConfigError(format!("{}: {message}", path.display()))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Everything a configuration is made of, besides the defaults.
#[derive(Default)]
pub struct Sources {
    /// The product's INI files; all must exist, the later wins.
    pub ini: Vec<PathBuf>,
    /// The TOML file; must exist.
    pub file: Option<PathBuf>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Flag, key and value.
    pub flags: Vec<(String, String, String)>,
}

/// A configuration, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// What the INI files hold that has no effect, and why.
    pub notices: Vec<Notice>,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Reads and checks all layers.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn from(sources: Sources) -> Result<Loaded, ConfigError> {
        let defaults = serde_json::to_value(Config::default()).unwrap_or(Value::Null);
        let keys = Keys::of(&defaults);
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        let mut origins = BTreeMap::new();
        let product = product::read(&sources.ini)?;
        for (key, value, origin) in product.values {
            figment = figment.merge(Serialized::default(&key, value));
            origins.insert(key, origin);
        }
        if let Some(path) = &sources.file {
            let text = std::fs::read_to_string(path).map_err(|e| ConfigError::of(path, format!("cannot be read: {e}.")))?;
            origins.extend(toml_lines(path, &text, &keys)?);
            figment = figment.merge(Toml::string(&text));
        }
        let mut values = variables(&sources.environment, &keys)?;
        values.extend(sources.flags.into_iter().map(|(flag, key, value)| (key, value, Origin::Flag(flag))));
        let openstack = |key: &String| key.starts_with("openstack.");
        if !origins.keys().any(openstack) && !values.iter().any(|(key, ..)| openstack(key)) {
            values.splice(0..0, openstack_variables(&sources.environment));
        }
        for (key, value, origin) in values {
            figment = figment.merge(Serialized::default(&key, value));
            origins.insert(key, origin);
        }
        let config: Config = figment.extract().map_err(|e| wrong_value(e, &origins))?;
        let loaded = Loaded { config, notices: product.notices, origins };
        loaded.check()?;
        Ok(loaded)
    }

    /// Where a value came from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    /// Checks what the types cannot say.
    fn check(&self) -> Result<(), ConfigError> {
        let fail = |key: &str, message: String| Err(ConfigError::at(self.origin(key), format!("{key}: {message}")));
        let Config { api, database, controller, openstack, log, .. } = &self.config;
        for (key, value) in [("api.listen", Some(&api.listen)), ("api.metrics_listen", api.metrics_listen.as_ref())] {
            if let Some(value) = value.filter(|v| v.parse::<SocketAddr>().is_err()) {
                return fail(key, format!("'{value}' is no address with a port; write 127.0.0.1:9362 or [::]:9362."));
            }
        }
        if let Some(url) = api.public_endpoint.as_ref().filter(|u| !u.starts_with("http://") && !u.starts_with("https://")) {
            return fail("api.public_endpoint", format!("'{url}' is no URL; write http://HOST:PORT or https://HOST:PORT."));
        }
        if ![200, 300].contains(&api.root_status) {
            return fail("api.root_status", format!("{} is not known; write 300 or 200.", api.root_status));
        }
        if let Err(word) = api.proxies() {
            return fail(
                "api.trusted_proxies",
                format!("'{word}' is no IP address; write addresses with commas between, such as 10.0.0.5, fd00::5."),
            );
        }
        match (&api.tls_cert_file, &api.tls_key_file) {
            (Some(_), None) => {
                return fail("api.tls_key_file", "it is empty, and a certificate is of no use without its key; name both or none.".into());
            }
            (None, Some(_)) => {
                return fail("api.tls_cert_file", "it is empty, and a key is of no use without its certificate; name both or none.".into());
            }
            _ => {}
        }
        if api.max_watches_per_user == 0 {
            return fail("api.max_watches_per_user", "0 lets nobody watch; write 1 or more.".into());
        }
        if api.requests_per_second > 1_000_000 {
            return fail("api.requests_per_second", format!("{} is out of range; use 0 (no limit) to 1000000.", api.requests_per_second));
        }
        if !database.url.contains(':') {
            return fail("database.url", "it is no URL; write sqlite:///PATH.".into());
        }
        for (key, value) in [
            ("controller.node_sync_interval_seconds", controller.node_sync_interval_seconds),
            ("controller.resync_seconds", controller.resync_seconds),
            ("controller.retry_millis", controller.retry_millis),
        ] {
            if value == 0 {
                return fail(key, "0 would never rest; use 1 or more.".into());
            }
        }
        if controller.record_decisions_mb > 100_000 {
            let message = format!("{} is out of range; use 0 (nothing is recorded) to 100000.", controller.record_decisions_mb);
            return fail("controller.record_decisions_mb", message);
        }
        if controller.audit_days > 36_500 {
            return fail("controller.audit_days", format!("{} is out of range; use 0 (for ever) to 36500.", controller.audit_days));
        }
        if controller.renew_deadline_millis >= controller.lease_millis {
            let limit = controller.lease_millis;
            return fail("controller.renew_deadline_millis", format!("it must be less than controller.lease_millis ({limit}), or two could lead."));
        }
        if controller.retry_millis >= controller.renew_deadline_millis {
            let limit = controller.renew_deadline_millis;
            return fail("controller.retry_millis", format!("it must be less than controller.renew_deadline_millis ({limit})."));
        }
        if !matches!(openstack.interface.as_str(), "public" | "internal" | "admin") {
            return fail("openstack.interface", format!("'{}' is not known; use public, internal or admin.", openstack.interface));
        }
        if let Some((key, message)) = self.config.policy.wrong().or_else(|| self.config.remediation.wrong()).or_else(|| self.config.webhook.wrong()) {
            return fail(key, message);
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log.level) {
            return fail("log.level", format!("it is no filter ({error}); use error, warn, info, debug or trace."));
        }
        if log.level.trim().is_empty() {
            return fail("log.level", "it is empty; use error, warn, info, debug or trace.".into());
        }
        Ok(())
    }

    /// Every value and its origin, as TOML with comments. Secrets are `***`.
    pub fn dump(&self) -> String {
        let shown = serde_json::to_value(&self.config).unwrap_or(Value::Null);
        let secret_set = |key: &str| match key {
            "openstack.password" => self.config.openstack.password.is_some(),
            "webhook.secret" => self.config.webhook.secret.is_some(),
            _ => self.config.openstack.application_credential_secret.is_some(),
        };
        let mut out = String::new();
        for (section, keys) in shown.as_object().into_iter().flatten() {
            let object = match section.as_str() {
                "policy" => Some("ClusterPolicy"),
                "remediation" => Some("RemediationPolicy"),
                _ => None,
            };
            if let Some(kind) = object {
                let get = format!("cloud-manager get {} default -o yaml", kind.to_lowercase());
                out.push_str(&format!("# Only for making {kind} default; once it is there, it alone counts: {get}\n"));
            }
            out.push_str(&format!("[{section}]\n"));
            let mut lines = Vec::new();
            for (name, value) in keys.as_object().into_iter().flatten() {
                let key = format!("{section}.{name}");
                let text = match value {
                    _ if SECRETS.contains(&key.as_str()) => if secret_set(&key) { "\"***\"" } else { "\"\"" }.to_string(),
                    Value::Null => "\"\"".into(),
                    Value::String(text) => Value::from(without_password(text)).to_string(),
                    other => other.to_string(),
                };
                lines.push((format!("{name} = {text}"), self.origin(&key)));
            }
            let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
            for (line, origin) in lines {
                out.push_str(&format!("{line:<width$}  # {origin}\n"));
            }
            out.push('\n');
        }
        if !self.notices.is_empty() {
            out.push_str("# Of the INI files, without effect:\n");
            self.notices.iter().for_each(|n| out.push_str(&format!("# {}: {}\n", n.place, n.why)));
        }
        out
    }
}

/// `scheme://user:password@host` with the password hidden.
pub(crate) fn without_password(text: &str) -> String {
    let hidden = || {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (login, host) = authority.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{host}{path}"))
    };
    hidden().unwrap_or_else(|| text.to_string())
}

fn wrong_value(error: figment::Error, origins: &BTreeMap<String, Origin>) -> ConfigError {
    let key = error.path.join(".");
    let message = match &error.kind {
        _ if SECRETS.contains(&key.as_str()) => "must be a text in quotes".to_string(),
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => format!("found {actual}, expected {expected}"),
        Kind::UnknownVariant(found, known) => format!("'{found}' is not known; use {}", known.join(" or ")),
        other => other.to_string(),
    };
    ConfigError::at(origins.get(&key).unwrap_or(&Origin::Default), format!("{key}: {message}."))
}
