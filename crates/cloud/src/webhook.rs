//! Telling others what happened: one signed POST to one URL.
//!
//! The signature is HMAC-SHA256 (RFC 2104) over the time and the body: who has the secret can tell that the body came from
//! here, and when. A redirect is not followed: it would carry the body, and its signature, elsewhere.

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, StatusCode, Url};
use schemas::Time;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The letter's id: the same for every delivery of it.
pub const ID_HEADER: &str = "x-cloud-manager-id";
/// When it was sent, in whole seconds since 1970, UTC.
pub const TIMESTAMP_HEADER: &str = "x-cloud-manager-timestamp";
/// `sha256=` and the hex digits of the HMAC-SHA256 over `TIMESTAMP.BODY`.
pub const SIGNATURE_HEADER: &str = "x-cloud-manager-signature";

/// For the connection alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read, for the log.
const ANSWER_BYTES: usize = 2_048;
/// Characters of an answer that are kept.
const ANSWER_CHARS: usize = 200;

/// Where to, and how.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// `http://` or `https://`.
    pub url: String,
    /// Key of the signature; never logged.
    pub secret: SecretString,
    /// Longest time for one delivery, from the connection to the answer.
    pub timeout: Duration,
    /// PEM file with further certificate authorities.
    pub ca_file: Option<PathBuf>,
}

/// What became of a delivery. There is no "failed, so it did not arrive".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The receiver has it: it answered 2xx.
    Taken,
    /// The receiver does not want it, and says so (4xx, but for those that pass by themselves; 3xx). With status and text.
    Refused(String),
    /// It may or may not have arrived.
    Unknown(String),
}

/// Somebody who is told.
#[async_trait]
pub trait Receiver: Send + Sync + 'static {
    /// Delivers one body, once. `now` is the machine's time.
    async fn deliver(&self, id: &str, body: &str, now: Time) -> Receipt;
}

/// A URL that takes signed bodies.
pub struct Webhook {
    client: Client,
    url: Url,
    secret: SecretString,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path may hold a token.
        write!(f, "Webhook({})", self.url.host_str().unwrap_or_default())
    }
}

impl Webhook {
    /// Makes the client; nothing is sent.
    ///
    /// # Errors
    /// What is wrong with the URL or the CA file, in a sentence.
    pub fn new(config: WebhookConfig) -> Result<Webhook, String> {
        let url = Url::parse(&config.url).map_err(|e| format!("the URL cannot be read: {e}; write https://HOST/PATH"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("the URL is neither http:// nor https://; write https://HOST/PATH".into());
        }
        let mut builder = Client::builder()
            .user_agent(concat!("cloud-manager/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            // Whether to try again is decided by who reads the outbox, in its order.
            .retry(reqwest::retry::never())
            .tls_built_in_webpki_certs(false);
        for certificate in authorities(config.ca_file.as_deref())? {
            builder = builder.add_root_certificate(certificate);
        }
        let client = builder.build().map_err(|e| format!("TLS cannot be set up: {e}"))?;
        Ok(Webhook { client, url, secret: config.secret })
    }

    /// Where it goes, without what a URL may hide (user, password, path and query).
    pub fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

fn authorities(file: Option<&Path>) -> Result<Vec<reqwest::Certificate>, String> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let pem = std::fs::read(file).map_err(|e| format!("the CA file {} cannot be read: {e}", file.display()))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(format!("the CA file {} holds no certificate in PEM", file.display())),
        Err(e) => Err(format!("the CA file {} is not PEM: {e}", file.display())),
    }
}

/// What [`SIGNATURE_HEADER`] says of a body that is sent at `timestamp`.
pub fn signature(secret: &SecretString, timestamp: &str, body: &str) -> String {
    // HMAC takes a key of any length (RFC 2104), so the other arm is never taken; an empty word convinces nobody.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return String::new() };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256={digits}")
}

#[async_trait]
impl Receiver for Webhook {
    async fn deliver(&self, id: &str, body: &str, now: Time) -> Receipt {
        let timestamp = now.0.div_euclid(1_000_000).to_string();
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header(ID_HEADER, id)
            .header(SIGNATURE_HEADER, signature(&self.secret, &timestamp, body))
            .header(TIMESTAMP_HEADER, timestamp)
            .body(body.to_owned());
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Receipt::Unknown(told(error)),
        };
        let status = response.status();
        if status.is_success() {
            return Receipt::Taken;
        }
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text.extend_from_slice(&chunk);
            if text.len() >= ANSWER_BYTES {
                break;
            }
        }
        let said: String = String::from_utf8_lossy(&text).chars().filter(|c| !c.is_control()).take(ANSWER_CHARS).collect();
        let said = format!("{status} {said}").trim_end().to_owned();
        if is_for_good(status) { Receipt::Refused(said) } else { Receipt::Unknown(said) }
    }
}

/// 408, 425 and 429 pass by themselves (RFC 9110, RFC 8470, RFC 6585), and so may anything that is the server's fault. A
/// redirect that is not followed will be there the next time as well.
fn is_for_good(status: StatusCode) -> bool {
    status.is_redirection() || (status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429))
}

/// An error with its causes, without the URL: its path may hold a token.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = if error.is_timeout() { format!("timed out: {error}") } else { error.to_string() };
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_openssl_makes() {
        // printf '%s' '1800000000.{"id":"x"}' | openssl dgst -sha256 -hmac correct-horse-battery
        let secret = SecretString::from("correct-horse-battery");
        assert_eq!(signature(&secret, "1800000000", r#"{"id":"x"}"#), "sha256=158ae82348210a100cdc9b9b5be6ab80f60819a30884f86e3edc6569be2b80f5");
        assert_ne!(signature(&secret, "1800000000", "a"), signature(&secret, "1800000001", "a"));
        assert_ne!(signature(&secret, "1800000000", "a"), signature(&SecretString::from("another"), "1800000000", "a"));
    }

    #[test]
    fn what_passes_by_itself_is_not_refused_for_good() {
        for (status, good) in
            [(301, true), (400, true), (401, true), (404, true), (410, true), (408, false), (425, false), (429, false), (500, false), (503, false)]
        {
            assert_eq!(is_for_good(StatusCode::from_u16(status).unwrap()), good, "{status}");
        }
    }

    #[test]
    fn a_url_that_is_none_is_named_and_nothing_shows_the_secret_or_the_path() {
        let config = |url: &str| WebhookConfig {
            url: url.into(),
            secret: SecretString::from("correct-horse-battery"),
            timeout: Duration::from_secs(1),
            ca_file: None,
        };
        for wrong in ["", "hook.example", "ftp://hook.example/x", "/hook"] {
            let error = Webhook::new(config(wrong)).unwrap_err();
            assert!(error.contains("https://HOST/PATH"), "{wrong}: {error}");
        }
        let hook = Webhook::new(config("https://user:pw@hook.example:8443/token?key=1")).unwrap();
        assert_eq!(hook.place(), "https://hook.example:8443");
        assert_eq!(format!("{hook:?}"), "Webhook(hook.example)");
        let missing = WebhookConfig { ca_file: Some("/nowhere/ca.pem".into()), ..config("https://hook.example/") };
        assert!(Webhook::new(missing).unwrap_err().contains("/nowhere/ca.pem cannot be read"));
    }
}
