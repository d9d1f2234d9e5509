//! Our own token and its catalogue: the authentication behind the session.
//!
//! This is an osauth `AuthType`, not osauth's `Password`: that one knows no domain ids, fails on a
//! catalogue with `"region": null`, does not renew a token that was revoked, fetches tokens that live
//! under ten minutes anew for every call, loses the reason of a failure, and shows the password in `Debug`.

use super::config::{AppCredential, Auth, Credentials, Domain, Named};
use super::http::{self, Failure};
use super::{CallObserver, decode};
use async_trait::async_trait;
use openstack::auth::AuthType;
use openstack::{EndpointFilters, Error, ErrorKind};
use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// A token is renewed this long before it ends, or when a tenth of its life is left if that is less.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// A URL that can be asked over HTTP.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("\"{text}\" is not a URL: {e}"))?;
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
        return Err(format!("\"{text}\" is not an http or https URL"));
    }
    Ok(url)
}

/// Keystone's v3 root, whatever the configured URL ends in.
pub(super) fn v3_root(text: &str) -> Result<Url, String> {
    let mut url = http_url(text)?;
    url.set_query(None);
    let mut kept: Vec<String> = url.path_segments().into_iter().flatten().filter(|s| !s.is_empty()).map(str::to_owned).collect();
    if kept.last().is_some_and(|last| ["v3", "v2.0"].contains(&last.as_str())) {
        kept.pop();
    }
    kept.push("v3".to_owned());
    url.set_path(&kept.join("/"));
    Ok(url)
}

/// One endpoint of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    service: String,
    interface: String,
    region: Option<String>,
    url: String,
}

/// A token we hold.
pub(super) struct Token {
    value: SecretString,
    good_until: Instant,
    catalog: Vec<Endpoint>,
    /// Counts the tokens of this process: tells one from the next.
    pub(super) number: u64,
}

impl Token {
    pub(super) fn secret(&self) -> &SecretString {
        &self.value
    }
}

#[derive(Default)]
struct Cache {
    token: Option<Arc<Token>>,
    issued: u64,
}

/// Keystone with our credentials.
pub(super) struct Keystone {
    pub(super) root: Url,
    credentials: RwLock<Credentials>,
    connect: Client,
    observer: Option<Arc<dyn CallObserver>>,
    cache: RwLock<Cache>,
    /// Held while a token is fetched, so that many callers make one request.
    fetching: tokio::sync::Mutex<()>,
    call_limit: Duration,
}

impl Keystone {
    pub(super) fn new(auth: &Auth, client: Client, call_limit: Duration, observer: Option<Arc<dyn CallObserver>>) -> Result<Keystone, String> {
        Ok(Keystone {
            root: v3_root(&auth.url)?,
            credentials: RwLock::new(auth.credentials.clone()),
            connect: client,
            observer,
            cache: RwLock::default(),
            fetching: tokio::sync::Mutex::new(()),
            call_limit,
        })
    }

    /// Logs in with these from now on; the token in use is dropped.
    pub(super) fn replace(&self, credentials: Credentials) {
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = credentials;
        self.cache.write().unwrap_or_else(PoisonError::into_inner).token = None;
    }

    fn cached(&self) -> Option<Arc<Token>> {
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        cache.token.clone().filter(|t| t.good_until > Instant::now())
    }

    /// A token that should be good, fetched if need be. Every failure is of a call that was not sent.
    pub(super) async fn token(&self, deadline: Instant, what: &str) -> Result<Arc<Token>, Failure> {
        if let Some(token) = self.cached() {
            return Ok(token);
        }
        let late = |_| Failure::not_sent(what, format!("no token from Keystone at {} in time", self.root)).transient(None);
        let _one = tokio::time::timeout_at(deadline, self.fetching.lock()).await.map_err(late)?;
        if let Some(token) = self.cached() {
            return Ok(token);
        }
        let token = Arc::new(self.fetch(deadline, what).await?);
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        cache.issued = token.number;
        cache.token = Some(token.clone());
        Ok(token)
    }

    /// Drops a token that was turned away, unless it was replaced meanwhile.
    pub(super) fn forget(&self, refused: &Token) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.token.as_ref().is_some_and(|t| t.number == refused.number) {
            cache.token = None;
        }
    }

    /// The public URL of Keystone in the last catalogue seen.
    pub(super) fn public_endpoint(&self, region: Option<&str>) -> Option<String> {
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        let catalog = &cache.token.as_ref()?.catalog;
        let found =
            catalog.iter().find(|e| e.service == "identity" && e.interface == "public" && region.is_none_or(|r| e.region.as_deref() == Some(r)))?;
        Some(found.url.trim_end_matches('/').to_owned())
    }

    async fn fetch(&self, deadline: Instant, what: &str) -> Result<Token, Failure> {
        let mut url = self.root.clone();
        url.set_path(&format!("{}/auth/tokens", self.root.path().trim_end_matches('/')));
        let started = Instant::now();
        let left = deadline.saturating_duration_since(started).min(self.call_limit);
        let request = self.connect.post(url).json(&self.body()).timeout(left);
        let result = async {
            let where_ = format!("no token from Keystone at {}", self.root);
            let answer = match http::exchange(request).await {
                Ok(answer) => answer,
                Err(lost) => return Err(Failure::not_sent(what, format!("{where_}: {}", lost.detail)).transient(None)),
            };
            let fault = answer.fault_text();
            match answer.status {
                200..=299 => {}
                401 => {
                    let who = "; check user, domain, project and password, or the application credential";
                    return Err(Failure::not_sent(what, format!("{where_}: it does not accept our credentials ({fault}){who}")));
                }
                429 | 500..=599 => {
                    let failure = Failure::not_sent(what, format!("{where_}: it answered {}: {fault}", answer.status));
                    return Err(failure.transient(answer.retry_after));
                }
                other => return Err(Failure::not_sent(what, format!("{where_}: it answered {other}: {fault}"))),
            }
            self.read(&answer).ok_or_else(|| Failure::not_sent(what, format!("{where_}: its answer has no token, or no `expires_at`")))
        }
        .await;
        if let Some(observer) = &self.observer {
            let word = if result.is_ok() { "ok" } else { "not_sent" };
            observer.call("keystone", "token", word, millis(started));
        }
        result
    }

    fn read(&self, answer: &http::Answer) -> Option<Token> {
        let value = answer.header("x-subject-token").filter(|v| !v.is_empty())?;
        let body: Value = serde_json::from_slice(answer.body.as_deref().ok()?).ok()?;
        let token = body.get("token")?;
        let ends = schemas::Time::parse(token.get("expires_at")?.as_str()?).ok()?;
        // Its life is measured between Keystone's own two times, so that a clock that differs does no harm.
        let begins = token.get("issued_at").and_then(Value::as_str).and_then(|t| schemas::Time::parse(t).ok());
        let begins = begins.unwrap_or_else(|| schemas::Time(jiff::Timestamp::now().as_microsecond()));
        let life = Duration::from_secs(u64::try_from(ends.seconds_since(begins)).unwrap_or(0));
        let number = self.cache.read().unwrap_or_else(PoisonError::into_inner).issued + 1;
        Some(Token {
            value: value.into(),
            good_until: Instant::now() + life.saturating_sub(RENEW_BEFORE.min(life / 10)),
            catalog: catalog(token),
            number,
        })
    }

    fn body(&self) -> Value {
        match &*self.credentials.read().unwrap_or_else(PoisonError::into_inner) {
            Credentials::Password { user, password, project } => {
                let mut user = named(user);
                user["password"] = json!(password.expose_secret());
                json!({"auth": {
                    "identity": {"methods": ["password"], "password": {"user": user}},
                    "scope": {"project": named(project)},
                }})
            }
            Credentials::ApplicationCredential { credential, secret } => {
                let mut body = match credential {
                    AppCredential::Id(id) => json!({"id": id}),
                    AppCredential::Name { name, user } => json!({"name": name, "user": named(user)}),
                };
                body["secret"] = json!(secret.expose_secret());
                // No scope: the credential fixes it, and Keystone refuses one.
                json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": body}}})
            }
        }
    }
}

fn named(what: &Named) -> Value {
    match what {
        Named::Id(id) => json!({"id": id}),
        Named::Name { name, domain: Domain::Id(id) } => json!({"name": name, "domain": {"id": id}}),
        Named::Name { name, domain: Domain::Name(of) } => json!({"name": name, "domain": {"name": of}}),
    }
}

/// Odd entries are left out: an endpoint that is then missed is named when it is needed.
fn catalog(token: &Value) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for service in token.get("catalog").and_then(Value::as_array).into_iter().flatten() {
        for endpoint in service.get("endpoints").and_then(Value::as_array).into_iter().flatten() {
            if let (Some(kind), Some(interface), Some(url)) =
                (decode::text(service, "type"), decode::text(endpoint, "interface"), decode::text(endpoint, "url"))
            {
                let region = decode::text(endpoint, "region_id").or_else(|| decode::text(endpoint, "region"));
                found.push(Endpoint { service: kind, interface, region, url });
            }
        }
    }
    found
}

pub(super) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What the session holds: shares the token, shows nothing.
#[derive(Clone)]
pub(super) struct SessionAuth(pub(super) Arc<Keystone>);

impl std::fmt::Debug for SessionAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionAuth({})", self.0.root)
    }
}

impl SessionAuth {
    async fn current(&self) -> Result<Arc<Token>, Error> {
        let deadline = Instant::now() + self.0.call_limit;
        self.0.token(deadline, "session").await.map_err(|f| Error::new(ErrorKind::AuthenticationFailed, f.error.to_string()))
    }
}

#[async_trait]
impl AuthType for SessionAuth {
    async fn authenticate(&self, _: &Client, request: RequestBuilder) -> Result<RequestBuilder, Error> {
        let token = self.current().await?;
        let mut value = reqwest::header::HeaderValue::from_str(token.value.expose_secret())
            .map_err(|_| Error::new(ErrorKind::InvalidResponse, "Keystone's token cannot be a header"))?;
        value.set_sensitive(true);
        Ok(request.header("x-auth-token", value))
    }

    async fn get_endpoint(&self, _: &Client, service: &str, filters: &EndpointFilters) -> Result<Url, Error> {
        let token = self.current().await?;
        let of_service: Vec<&Endpoint> = token.catalog.iter().filter(|e| e.service == service).collect();
        let fits = |e: &&&Endpoint| {
            filters.interfaces.iter().any(|i| *i == e.interface) && filters.region.as_ref().is_none_or(|r| e.region.as_ref() == Some(r))
        };
        let Some(found) = of_service.iter().find(fits) else {
            let wanted = format!(
                "interface {}, region {}",
                filters.interfaces.iter().map(ToString::to_string).collect::<Vec<_>>().join("|"),
                filters.region.as_deref().unwrap_or("any")
            );
            let there = of_service
                .iter()
                .map(|e| format!("{} in {}", e.interface, e.region.as_deref().unwrap_or("no region")))
                .collect::<Vec<_>>()
                .join(", ");
            let there = if there.is_empty() { "none at all".to_owned() } else { there };
            return Err(Error::new(ErrorKind::EndpointNotFound, format!("the catalogue has no {service} endpoint with {wanted}; it has: {there}")));
        };
        http_url(&found.url).map_err(|e| Error::new(ErrorKind::InvalidResponse, format!("the catalogue's {service} endpoint: {e}")))
    }

    /// Nothing to do before the first call: the process must start while Keystone is down.
    async fn refresh(&self, _: &Client) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keystones_root_is_found_whatever_the_url_ends_in() {
        for (given, root) in [
            ("http://k:5000", "http://k:5000/v3"),
            ("http://k:5000/", "http://k:5000/v3"),
            ("http://k:5000/v3/", "http://k:5000/v3"),
            ("https://k/identity/v2.0", "https://k/identity/v3"),
            ("https://k/identity/v3", "https://k/identity/v3"),
        ] {
            assert_eq!(v3_root(given).unwrap().as_str(), root);
        }
        assert!(v3_root("keystone:5000").is_err());
    }

    #[test]
    fn an_odd_catalogue_entry_takes_no_other_with_it() {
        let token = json!({"catalog": [
            {"type": "compute", "endpoints": [{"interface": "public", "region": null, "region_id": null, "url": "http://n"}, {"interface": 7}]},
            {"endpoints": [{"interface": "public", "url": "http://x"}]},
            "nonsense",
        ]});
        let only = Endpoint { service: "compute".into(), interface: "public".into(), region: None, url: "http://n".into() };
        assert_eq!(catalog(&token), [only]);
    }
}
