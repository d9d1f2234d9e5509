//! `[webhook]`: where else people are told what happened.

use super::{hidden, number, optional, secret};
use cloud::webhook::WebhookConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::OutboxRule;

/// Characters that a secret has at least: a short one can be guessed from one body and its signature.
const SHORTEST_SECRET: usize = 16;
/// Longest time for one delivery, in seconds: a receiver that thinks longer should take it first, and think then.
const LONGEST_TIMEOUT: u64 = 60;

/// From which type on an Event is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MinType {
    /// All of them.
    Normal,
    /// Warnings only.
    Warning,
}

/// `[webhook]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// URL that takes a POST for each Event; empty: none is told.
    #[serde(deserialize_with = "optional")]
    pub url: Option<String>,
    /// Key of the signature that each POST carries, of at least 16 characters.
    #[serde(deserialize_with = "secret", serialize_with = "hidden")]
    pub secret: Option<SecretString>,
    /// `Normal` or `Warning`: from which type on an Event is delivered.
    pub min_type: MinType,
    /// Reasons of Events that are delivered, parted by commas; empty: all.
    #[serde(deserialize_with = "optional")]
    pub reasons: Option<String>,
    /// Longest time for one delivery, in seconds.
    #[serde(deserialize_with = "number")]
    pub timeout_seconds: u64,
    /// PEM file with further certificate authorities.
    #[serde(deserialize_with = "optional")]
    pub ca_file: Option<String>,
}

impl Default for Webhook {
    fn default() -> Self {
        Webhook { url: None, secret: None, min_type: MinType::Warning, reasons: None, timeout_seconds: 10, ca_file: None }
    }
}

impl Webhook {
    /// Which Events are delivered; `None`: there is nobody to deliver them to.
    pub fn rule(&self) -> Option<OutboxRule> {
        self.url.as_ref()?;
        Some(OutboxRule { warnings_only: self.min_type == MinType::Warning, reasons: self.words().map(String::from).collect() })
    }

    /// Where to, and how; `None`: nowhere.
    pub fn receiver(&self) -> Option<WebhookConfig> {
        Some(WebhookConfig {
            url: self.url.clone()?,
            secret: self.secret.clone()?,
            timeout: Duration::from_secs(self.timeout_seconds),
            ca_file: self.ca_file.as_ref().map(Into::into),
        })
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.reasons.iter().flat_map(|reasons| reasons.split(',')).map(str::trim).filter(|reason| !reason.is_empty())
    }

    /// What is wrong: the key, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        if let Some(bad) =
            self.words().find(|word| !word.starts_with(|c: char| c.is_ascii_uppercase()) || !word.chars().all(|c| c.is_ascii_alphanumeric()))
        {
            let message = format!("'{bad}' is no reason of an Event; write words as `cloud-manager get events` shows them, parted by commas.");
            return Some(("webhook.reasons", message));
        }
        if !(1..=LONGEST_TIMEOUT).contains(&self.timeout_seconds) {
            return Some(("webhook.timeout_seconds", format!("{} is not between 1 and {LONGEST_TIMEOUT}.", self.timeout_seconds)));
        }
        self.url.as_ref()?;
        let length = self.secret.as_ref().map_or(0, |s| s.expose_secret().chars().count());
        if length < SHORTEST_SECRET {
            let message = format!(
                "it has {length} characters, and a receiver must be able to tell our messages from others'; write at least {SHORTEST_SECRET}, such as the output of: openssl rand -hex 32"
            );
            return Some(("webhook.secret", message));
        }
        // The CA file is read where the client is made; it may be put there later than the configuration.
        let made = self.receiver().map(|config| ::cloud::webhook::Webhook::new(WebhookConfig { ca_file: None, ..config }));
        made.and_then(Result::err).map(|why| ("webhook.url", format!("{why}.")))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigError, Loaded, Sources, Webhook};

    fn load(text: &str) -> Result<Loaded, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        Loaded::from(Sources { file: Some(path), ..Sources::default() })
    }

    #[test]
    fn a_webhook_needs_a_url_and_a_secret_and_shows_only_the_one() {
        let section = |more: &str| format!("[webhook]\nurl = \"https://hook.example/x\"\nsecret = \"hunter2-hunter2-hunter2\"\n{more}");
        let loaded = load(&section("min_type = \"Normal\"\nreasons = \"HostDown, Fencing\"\n")).unwrap();
        let dump = loaded.dump();
        assert!(!dump.contains("hunter") && !format!("{:?}", loaded.config).contains("hunter"), "{dump}");
        assert!(dump.contains("[webhook]") && dump.contains("secret = \"***\"") && dump.contains("url = \"https://hook.example/x\""), "{dump}");
        let rule = loaded.config.webhook.rule().unwrap();
        assert_eq!((rule.warnings_only, rule.reasons), (false, vec!["HostDown".to_string(), "Fencing".into()]));
        let rule = load(&section("")).unwrap().config.webhook.rule().unwrap();
        assert_eq!((rule.warnings_only, rule.reasons.len()), (true, 0));
        let plain = Webhook::default();
        assert!(plain.rule().is_none() && plain.receiver().is_none(), "as it comes nobody is told");
        for (text, error) in [
            ("[webhook]\nurl = \"https://hook.example/\"\n".to_string(), "default: webhook.secret: it has 0 characters"),
            ("[webhook]\nurl = \"https://hook.example/\"\nsecret = \"short\"\n".to_string(), "c.toml:3: webhook.secret: it has 5 characters"),
            (
                "[webhook]\nurl = \"hook.example\"\nsecret = \"hunter2-hunter2-hunter2\"\n".to_string(),
                "c.toml:2: webhook.url: the URL cannot be read",
            ),
            (section("min_type = \"Bad\"\n"), "c.toml:4: webhook.min_type: 'Bad' is not known; use Normal or Warning"),
            (section("reasons = \"host down\"\n"), "c.toml:4: webhook.reasons: 'host down' is no reason"),
            (section("timeout_seconds = 0\n"), "c.toml:4: webhook.timeout_seconds: 0 is not between 1 and 60"),
        ] {
            let found = load(&text).unwrap_err().to_string();
            let found = found.find("c.toml").map_or(found.as_str(), |at| &found[at..]);
            assert!(found.starts_with(error) && !found.contains("hunter"), "{found}");
        }
    }
}
