//! Requests to one BMC: session, limits, and what a failure means.

use super::tls;
use crate::{PowerError, Target, text};
use reqwest::{Client, Method, StatusCode, Url, header};
use schemas::v1::power_device::Scheme;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a request with its answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// For the end of a session, which nobody waits for longer than this.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest body that is read, in bytes.
const LONGEST_BODY: usize = 1024 * 1024;
const ROOT: &str = "/redfish/v1/";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// Makes clients.
#[derive(Default)]
pub(super) struct Clients {
    /// The one that believes the system's certificate authorities: reading these takes long, so it is kept.
    native: Mutex<Option<Client>>,
}

impl Clients {
    fn client(&self, target: &Target) -> Result<Client, PowerError> {
        let endpoint = &target.spec.endpoint;
        let failed = |e: reqwest::Error| PowerError::NotSent(format!("{}: no HTTP client could be made: {e}", name(target)));
        if endpoint.scheme.unwrap_or_default() == Scheme::HTTP {
            return builder().tls_built_in_root_certs(false).build().map_err(failed);
        }
        if let Some(pin) = &endpoint.certificate_sha256 {
            let pin = tls::parse(pin).ok_or_else(|| {
                PowerError::NotSent(format!("{}: spec.endpoint.certificateSha256 is not the 64 hex digits of a SHA-256; correct it", name(target)))
            })?;
            let config = tls::pinned(pin).map_err(|e| PowerError::NotSent(format!("{}: TLS cannot be set up: {e}", name(target))))?;
            return builder().use_preconfigured_tls(config).build().map_err(failed);
        }
        let mut native = self.native.lock().unwrap_or_else(PoisonError::into_inner);
        match &*native {
            Some(client) => Ok(client.clone()),
            None => Ok(native.insert(builder().build().map_err(failed)?).clone()),
        }
    }
}

/// No redirects: they could carry a command, or the password, elsewhere. No proxy: BMCs are on the management network.
/// Idle connections are dropped at once, so that two readings share none.
fn builder() -> reqwest::ClientBuilder {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .pool_idle_timeout(Duration::from_secs(2))
        .user_agent(concat!("cloud-manager/", env!("CARGO_PKG_VERSION")))
}

/// An answer, whatever its status.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    headers: header::HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    /// `None` if it is not JSON.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The status and what the device says about it (DSP0266, error responses).
    pub(super) fn complaint(&self, password: &SecretString) -> String {
        let body = self.json().unwrap_or_default();
        let error = &body["error"];
        let detail = error["@Message.ExtendedInfo"][0]["Message"].as_str().or_else(|| error["message"].as_str()).unwrap_or_default();
        text::clean(&format!("{} {detail}", self.status), password)
    }
}

enum Auth {
    /// No Credential is given.
    None,
    Basic,
    Session {
        token: header::HeaderValue,
        location: Option<Url>,
    },
}

/// Logged in at one BMC. Close it; if it is dropped instead, its end is sent in the background.
pub(super) struct Session {
    client: Client,
    base: Url,
    auth: Auth,
    target: Target,
}

impl Session {
    /// Logs in: a session if the BMC has a session service, else Basic authentication with each request.
    ///
    /// Runs as a task of its own: if the caller goes away meanwhile, the session is ended as soon as it is there.
    pub(super) async fn open(clients: &Clients, target: &Target) -> Result<Self, PowerError> {
        let base = base(target)?;
        let client = clients.client(target)?;
        let session = Self { client, base, auth: Auth::None, target: target.clone() };
        if target.username.is_empty() {
            return Ok(session);
        }
        let device = name(target);
        tokio::spawn(session.log_in()).await.unwrap_or_else(|_| Err(PowerError::Unknown(format!("{device}: logging in was broken off"))))
    }

    async fn log_in(mut self) -> Result<Self, PowerError> {
        let sessions = match self.sessions().await? {
            Some(url) => url,
            None => {
                self.auth = Auth::Basic;
                return Ok(self);
            }
        };
        let login = json!({"UserName": self.target.username, "Password": self.target.password.expose_secret()});
        let reply = self.send(Method::POST, sessions, Some(&login), REQUEST_TIMEOUT).await?;
        match reply.status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => self.auth = Auth::Basic,
            status if status.is_success() => {
                let token = reply.headers.get("x-auth-token").cloned();
                let Some(mut token) = token else {
                    return Err(PowerError::Unknown(format!("{} opened a session without a token (X-Auth-Token)", name(&self.target))));
                };
                token.set_sensitive(true);
                let body = reply.json().unwrap_or_default();
                let location = reply.headers.get(header::LOCATION).and_then(|l| l.to_str().ok()).or_else(|| body["@odata.id"].as_str());
                let location = location.and_then(|l| self.url(l));
                if location.is_none() {
                    tracing::warn!(device = %self.target.device_name, "the BMC does not say where its session is, so it stays open until it expires");
                }
                self.auth = Auth::Session { token, location };
            }
            _ => return Err(self.failed(&reply, "log in")),
        }
        Ok(self)
    }

    /// Where sessions are made; `None` if the service root, which needs no login, knows of none.
    async fn sessions(&self) -> Result<Option<Url>, PowerError> {
        let reply = self.send(Method::GET, self.known(ROOT)?, None, REQUEST_TIMEOUT).await?;
        let root = if reply.status.is_success() { reply.json() } else { None };
        let link = match &root {
            Some(Value::Object(root)) => {
                let link = root.get("Links").and_then(|links| links["Sessions"]["@odata.id"].as_str());
                if link.is_none() && !root.contains_key("SessionService") {
                    return Ok(None);
                }
                link.unwrap_or(SESSIONS)
            }
            _ => SESSIONS,
        };
        self.url(link).map_or_else(|| self.known(SESSIONS).map(Some), |url| Ok(Some(url)))
    }

    /// Ends the session at the BMC, which has few. Failing that, it expires there by itself.
    pub(super) async fn close(mut self) {
        if let Some(end) = self.end() {
            end.await;
        }
    }

    fn end(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let Auth::Session { token, location: Some(location) } = std::mem::replace(&mut self.auth, Auth::None) else { return None };
        let request = self.client.delete(location).header("x-auth-token", token).timeout(CLOSE_TIMEOUT);
        let device = self.target.device_name.clone();
        Some(async move {
            match request.send().await {
                Ok(reply) if reply.status().is_success() => {}
                Ok(reply) => tracing::warn!(device, status = %reply.status(), "the BMC did not end its session"),
                Err(error) => tracing::warn!(device, error = %error.without_url(), "the BMC did not end its session"),
            }
        })
    }

    /// A link that the BMC gave, on the BMC as we know it: behind address translation it may name itself otherwise, and
    /// no token goes anywhere else.
    pub(super) fn url(&self, link: &str) -> Option<Url> {
        let there = self.base.join(link).ok()?;
        let mut url = self.base.clone();
        url.set_path(there.path());
        url.set_query(there.query());
        Some(url)
    }

    fn known(&self, path: &str) -> Result<Url, PowerError> {
        self.url(path).ok_or_else(|| PowerError::NotSent(format!("{}: no address can be made of spec.endpoint.host; correct it", name(&self.target))))
    }

    /// Gets a JSON object. What is not one is unknown, not empty.
    pub(super) async fn get(&self, link: &str) -> Result<Value, PowerError> {
        let device = name(&self.target);
        let shown = text::clean(link, &self.target.password);
        let url = self.url(link).ok_or_else(|| PowerError::Unknown(format!("{device} gave a link that is none: {shown}")))?;
        let reply = self.send(Method::GET, url, None, REQUEST_TIMEOUT).await?;
        if reply.status != StatusCode::OK {
            return Err(self.failed(&reply, &format!("show {shown}")));
        }
        match reply.json() {
            Some(value @ Value::Object(_)) => Ok(value),
            _ => Err(PowerError::Unknown(format!("{device} answered nonsense for {shown}: no JSON object"))),
        }
    }

    /// Sends a command once.
    pub(super) async fn post(&self, url: Url, body: &Value, timeout: Duration) -> Result<Reply, PowerError> {
        self.send(Method::POST, url, Some(body), timeout).await
    }

    /// What a status other than success means for a request that cannot act.
    fn failed(&self, reply: &Reply, what: &str) -> PowerError {
        let device = name(&self.target);
        let said = reply.complaint(&self.target.password);
        match reply.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.turned_away(reply),
            status if status.is_redirection() => {
                PowerError::NotSent(format!("{device} does not {what}, it redirects ({said}); correct spec.endpoint.scheme or port"))
            }
            status if status.is_client_error() => PowerError::NotSent(format!("{device} does not {what}: {said}; is it a Redfish service?")),
            _ => PowerError::Unknown(format!("{device} does not {what}: {said}")),
        }
    }

    /// For 401 and 403.
    pub(super) fn turned_away(&self, reply: &Reply) -> PowerError {
        let (device, user, said) = (name(&self.target), &self.target.username, reply.complaint(&self.target.password));
        PowerError::BadCredentials(if user.is_empty() {
            format!("{device} wants a user and a password ({said}); set spec.credentialRef")
        } else {
            format!("{device} turns the user \"{user}\" away: {said}; correct the Credential, or the user's role on the BMC")
        })
    }

    async fn send(&self, method: Method, url: Url, body: Option<&Value>, timeout: Duration) -> Result<Reply, PowerError> {
        let mut request = self.client.request(method, url).header(header::ACCEPT, "application/json").header("odata-version", "4.0").timeout(timeout);
        request = match &self.auth {
            Auth::None => request,
            Auth::Basic => request.basic_auth(&self.target.username, Some(self.target.password.expose_secret())),
            Auth::Session { token, .. } => request.header("x-auth-token", token),
        };
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|e| self.no_answer(e))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.no_answer(e))? {
            if body.len() + chunk.len() > LONGEST_BODY {
                return Err(PowerError::Unknown(format!("{} sends more than {LONGEST_BODY} bytes; this is not believed", name(&self.target))));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body })
    }

    /// Without a connection nothing was sent; after that, all is open.
    fn no_answer(&self, error: reqwest::Error) -> PowerError {
        let device = name(&self.target);
        let error = error.without_url();
        if let Some(mismatch) = tls::mismatch(&error) {
            return PowerError::NotSent(format!(
                "{device} is not what it was: {mismatch}, not the one in spec.endpoint.certificateSha256; if the new certificate is right, put it there"
            ));
        }
        if tls::about_certificate(&error) {
            return PowerError::NotSent(format!(
                "{device} shows a certificate that is not trusted ({}); put its SHA-256 into spec.endpoint.certificateSha256, or its authority into the system's",
                cause(&error)
            ));
        }
        if error.is_connect() {
            return PowerError::NotSent(format!(
                "{device} cannot be reached ({}); its power state is unknown. Check spec.endpoint and the network",
                cause(&error)
            ));
        }
        PowerError::Unknown(format!("{device} gave no usable answer ({})", cause(&error)))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let (Some(end), Ok(runtime)) = (self.end(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(end);
        }
    }
}

/// The last cause says most; the first ones only say that something failed.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    tls::causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn base(target: &Target) -> Result<Url, PowerError> {
    let endpoint = &target.spec.endpoint;
    let scheme = if endpoint.scheme.unwrap_or_default() == Scheme::HTTP { "http" } else { "https" };
    let host = if endpoint.host.contains(':') && !endpoint.host.starts_with('[') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
    Url::parse(&format!("{scheme}://{host}:{}/", target.spec.port()))
        .ok()
        .filter(|url| url.username().is_empty() && url.path() == "/")
        .ok_or_else(|| PowerError::NotSent(format!("{}: no address can be made of spec.endpoint.host; correct it", name(target))))
}

/// For messages.
pub(super) fn name(target: &Target) -> String {
    format!("PowerDevice {} ({}:{})", target.device_name, target.spec.endpoint.host, target.spec.port())
}
