//! What a new configuration changes: at once, or after a restart.

use super::{Config, Loaded, SECRETS};
use secrecy::ExposeSecret;
use serde_json::Value;
use std::collections::BTreeMap;

/// Keys that a running process takes over.
pub(super) const AT_ONCE: [&str; 10] = [
    "log.level",
    "controller.node_sync_interval_seconds",
    "controller.resync_seconds",
    "openstack.username",
    "openstack.password",
    "openstack.user_domain_name",
    "openstack.project_name",
    "openstack.project_domain_name",
    "openstack.application_credential_id",
    "openstack.application_credential_secret",
];

/// The keys that two configurations differ in; their values are not told, some are secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Taken over by the running process.
    pub at_once: Vec<String>,
    /// In force after a restart.
    pub after_restart: Vec<String>,
    /// Of `[policy]` and `[remediation]`: they only count when the objects named `default` are made.
    pub of_no_effect: Vec<String>,
}

impl Changes {
    /// What lies between two configurations.
    pub fn between(old: &Loaded, new: &Loaded) -> Changes {
        let (before, after) = (values(&old.config), values(&new.config));
        let mut changes = Changes::default();
        for (key, value) in &after {
            if before.get(key) == Some(value) {
                continue;
            }
            let list = match key {
                key if AT_ONCE.contains(&key.as_str()) => &mut changes.at_once,
                key if key.starts_with("policy.") || key.starts_with("remediation.") => &mut changes.of_no_effect,
                _ => &mut changes.after_restart,
            };
            list.push(key.clone());
        }
        changes
    }
}

impl Loaded {
    /// A short mark of everything that has to be the same on both controllers of a pair; no secret goes into it.
    pub fn fingerprint(&self) -> String {
        let values = values(&self.config);
        let matters =
            |key: &str| key.starts_with("controller.") || (key.starts_with("openstack.") && !SECRETS.contains(&key) && key != "openstack.ca_file");
        let text: String = values.iter().filter(|(key, _)| matters(key)).map(|(key, value)| format!("{key}={value}\n")).collect();
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string().chars().take(8).collect()
    }
}

/// Every value as text, to compare; never shown.
fn values(config: &Config) -> BTreeMap<String, String> {
    let shown = serde_json::to_value(config).unwrap_or(Value::Null);
    let sections = shown.as_object().into_iter().flatten();
    let mut all: BTreeMap<String, String> = sections
        .flat_map(|(section, keys)| keys.as_object().into_iter().flatten().map(move |(key, value)| (format!("{section}.{key}"), value.to_string())))
        .collect();
    let (openstack, webhook) = (&config.openstack, &config.webhook);
    let secret = |value: &Option<secrecy::SecretString>| value.as_ref().map(|s| s.expose_secret().to_string()).unwrap_or_default();
    for (key, value) in SECRETS.into_iter().zip([&openstack.password, &openstack.application_credential_secret, &webhook.secret]) {
        all.insert(key.into(), secret(value));
    }
    all
}
