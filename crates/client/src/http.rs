//! The client itself: one HTTP connection pool, one token, the verbs of the API.

use crate::{
    Access, ApiError, DEFAULT_ENDPOINT, Error, Query, SERVICE_TYPE, Watch,
    address::{normalise, object_path},
    auth::{Auth, Session, keystone_catalogue, keystone_endpoint},
};
use reqwest::{Method, Response, header::HeaderValue};
use schemas::{DynObject, METADATA_KEYS};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::{
    error::Error as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long one request may take; the server's own limit is 30 s.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(35);
/// Objects per page of a list; the server's default.
const PAGE: usize = 500;
/// The newest microversion this client knows.
const MICROVERSION: &str = "cloud-manager 1.0";

/// Where the API is and who asks.
#[derive(Clone, Debug)]
pub struct Options {
    /// The URL, and by what it was given, which is said when it cannot be reached; else the catalogue's, else [`DEFAULT_ENDPOINT`].
    pub endpoint: Option<(String, &'static str)>,
    /// Who asks, and how TLS is checked.
    pub access: Access,
}

/// A client of the API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    keystone: reqwest::Client,
    endpoint: String,
    /// Where the endpoint came from, said when it cannot be reached.
    origin: &'static str,
    auth: Auth,
    token: tokio::sync::Mutex<Option<SecretString>>,
    warnings: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// All pages of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    /// Revision of the first page: a watch from here misses nothing.
    pub resource_version: String,
    /// The objects, by name.
    pub items: Vec<DynObject>,
}

/// What became of an object that was deleted.
#[derive(Clone, Debug, PartialEq)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// It goes when its finalizers have run.
    Finalizing(Box<DynObject>),
}

impl Client {
    /// A client for what the options say. Logs in to Keystone only if the endpoint has to be looked
    /// up in the catalogue; else at the first request.
    ///
    /// # Errors
    /// A wrong URL or CA file ([`Error::Usage`]), or Keystone's refusal.
    pub async fn connect(options: Options) -> Result<Client, Error> {
        let Options { endpoint, access } = options;
        let keystone_url = match &access.auth {
            Auth::Keystone(k) => Some(k.auth_url.clone()),
            Auth::Token { auth_url, .. } => auth_url.clone(),
            Auth::None => None,
        };
        let keystone = build(keystone_url.as_deref().unwrap_or(DEFAULT_ENDPOINT), &access)?;
        let given = endpoint.or_else(|| access.endpoint.clone().map(|e| (e, "cloud_manager_endpoint_override of clouds.yaml")));
        let mut token = None;
        let (endpoint, origin) = match (given, &access.auth) {
            (Some(given), _) => given,
            (None, auth) => {
                let catalogue = match auth {
                    Auth::Keystone(k) => {
                        let Session { token: fresh, catalogue } = k.login(&keystone).await?;
                        token = Some(fresh);
                        catalogue
                    }
                    Auth::Token { token, auth_url: Some(url) } => keystone_catalogue(&keystone, url, token).await?,
                    _ => Value::Null,
                };
                match keystone_endpoint(&catalogue, SERVICE_TYPE, &access.interface, access.region.as_deref()) {
                    Some(url) => (url, "Keystone's catalogue"),
                    None => (
                        DEFAULT_ENDPOINT.into(),
                        "the default: no --endpoint, no CLOUD_MANAGER_ENDPOINT, no service cloud-manager in Keystone's catalogue",
                    ),
                }
            }
        };
        let endpoint = normalise(&endpoint)?;
        let http = build(&endpoint, &access)?;
        let warnings = Mutex::default();
        let inner = Inner { http, keystone, endpoint, origin, auth: access.auth, token: tokio::sync::Mutex::new(token), warnings };
        Ok(Client { inner: Arc::new(inner) })
    }

    /// Where the API is, without a trailing slash.
    pub fn endpoint(&self) -> &str {
        &self.inner.endpoint
    }

    /// Warnings that the server sent (`Warning: 299 - "…"`) since this was last called.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads one object.
    pub async fn get(&self, plural: &str, name: &str) -> Result<DynObject, Error> {
        let path = object_path(plural, name)?;
        let mut answer = self.json(Method::GET, &path, &[], None).await?;
        // A single task is answered in the words of the product's earlier clients.
        if plural == "tasks" && answer["metadata"].is_null() {
            let object = ["kind", "name"].map(|key| answer["object"][key].as_str().unwrap_or_default()).join("/");
            answer = json!({"kind": "Task", "metadata": {"name": answer["id"], "uid": answer["id"]}, "spec": {"object": object},
                            "status": {"state": answer["state"], "result": answer["result"]}});
        }
        self.object(&path, answer)
    }

    /// Reads all pages of a list.
    pub async fn list(&self, plural: &str, query: &Query) -> Result<List, Error> {
        let mut restarted = false;
        'whole: loop {
            let mut list = List::default();
            let mut token: Option<String> = None;
            loop {
                let mut parameters = query.parameters();
                parameters.push(("limit", PAGE.to_string()));
                parameters.extend(token.iter().map(|t| ("continue", t.clone())));
                let path = format!("/v1/{plural}");
                let page = match self.json(Method::GET, &path, &parameters, None).await {
                    // The listing took longer than a `continue` token lives: begin anew, once.
                    Err(e) if e.status() == Some(410) && token.is_some() && !restarted => {
                        restarted = true;
                        continue 'whole;
                    }
                    other => other?,
                };
                let Some(items) = page["items"].as_array() else {
                    return Err(self.nonsense(&path, "the list has no 'items'"));
                };
                if token.is_none() {
                    list.resource_version = page["metadata"]["resourceVersion"].as_str().unwrap_or_default().into();
                }
                for item in items {
                    list.items.push(self.object(&path, item.clone())?);
                }
                match page["metadata"]["continue"].as_str().filter(|t| !t.is_empty()) {
                    Some(next) => token = Some(next.into()),
                    None => return Ok(list),
                }
            }
        }
    }

    /// Reads one page of a list.
    pub async fn list_page(&self, plural: &str, query: &Query) -> Result<List, Error> {
        let mut parameters = query.parameters();
        parameters.extend(query.page_parameters());
        let path = format!("/v1/{plural}");
        let page = self.json(Method::GET, &path, &parameters, None).await?;
        let Some(items) = page["items"].as_array() else {
            return Err(self.nonsense(&path, "the list has no 'items'"));
        };
        let items = items.iter().map(|item| self.object(&path, item.clone())).collect::<Result<Vec<_>, _>>()?;
        Ok(List { resource_version: page["metadata"]["resourceVersion"].as_str().unwrap_or_default().into(), items })
    }

    /// Creates an object. For one-shot kinds a repeat with the same name and spec gives the existing one.
    pub async fn create(&self, plural: &str, body: &Value) -> Result<DynObject, Error> {
        let path = format!("/v1/{plural}");
        let answer = self.json(Method::POST, &path, &[], Some(body)).await?;
        self.object(&path, answer)
    }

    /// Replaces an object. `body.metadata.resourceVersion` must be that of the object it was made from.
    pub async fn update(&self, plural: &str, name: &str, body: &Value) -> Result<DynObject, Error> {
        let path = object_path(plural, name)?;
        let answer = self.json(Method::PUT, &path, &[], Some(body)).await?;
        self.object(&path, answer)
    }

    /// Deletes an object.
    pub async fn delete(&self, plural: &str, name: &str) -> Result<Deleted, Error> {
        let path = object_path(plural, name)?;
        let answer = self.json(Method::DELETE, &path, &[], None).await?;
        if answer["metadata"].is_object() { Ok(Deleted::Finalizing(Box::new(self.object(&path, answer)?))) } else { Ok(Deleted::Gone) }
    }

    /// Starts one of the documented host actions (`evacuate`, `shutdown`, `power-on`, …) and gives the task's id.
    pub async fn post_action(&self, host: &str, verb: &str, body: &Value) -> Result<String, Error> {
        let path = format!("{}/actions/{verb}", object_path("hosts", host)?);
        let answer = self.json(Method::POST, &path, &[], Some(body)).await?;
        let id = answer["task_id"].as_str().map(str::to_string);
        id.ok_or_else(|| self.nonsense(&path, "the answer has no 'task_id'"))
    }

    /// The guests that Nova shows on a host: `{"guests": […], "observedAt": …}`.
    pub async fn guests(&self, host: &str) -> Result<Value, Error> {
        self.get_raw(&format!("{}/guests", object_path("hosts", host)?)).await
    }

    /// What would become of a host's guests if it were dead now: the spec of an EvacuationPlan.
    pub async fn evacuation_plan(&self, host: &str) -> Result<Value, Error> {
        self.get_raw(&format!("{}/evacuation-plan", object_path("hosts", host)?)).await
    }

    /// What would be decided now, of one host or of the whole cloud, and why not more; under the policies that there are, or with
    /// `policies` laid over them. Nothing is written.
    pub async fn decisions(&self, host: Option<&str>, policies: &[Value]) -> Result<Value, Error> {
        let parameters: Vec<(&str, String)> = host.map(|h| ("host", h.to_string())).into_iter().collect();
        match policies {
            [] => self.json(Method::GET, "/v1/decisions", &parameters, None).await,
            some => self.json(Method::POST, "/v1/decisions", &parameters, Some(&json!({"policies": some}))).await,
        }
    }

    /// Reads any path below the endpoint as JSON.
    pub async fn get_raw(&self, path: &str) -> Result<Value, Error> {
        self.json(Method::GET, path, &[], None).await
    }

    /// Posts JSON to any path below the endpoint.
    pub async fn post_raw(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.json(Method::POST, path, &[], Some(body)).await
    }

    /// Follows a list of objects: first what is there, then each change.
    pub fn watch(&self, plural: &str, query: Query) -> Watch {
        Watch::new(self.clone(), plural, query)
    }

    /// Opens the stream of changes after a revision. The answer is a success.
    pub(crate) async fn open_watch(&self, plural: &str, query: &Query, revision: &str) -> Result<Response, Error> {
        let mut parameters = query.parameters();
        parameters.push(("watch", "1".into()));
        parameters.push(("resourceVersion", revision.into()));
        let path = format!("/v1/{plural}");
        let send = self.send(Method::GET, &path, &parameters, None, None);
        match tokio::time::timeout(TIMEOUT, send).await {
            Ok(answer) => self.checked(answer?).await,
            Err(_) => Err(Error::Timeout { what: format!("the watch of {plural}"), seconds: TIMEOUT.as_secs(), may_have_happened: false }),
        }
    }

    /// Turns an answer into an object, leaving out metadata that a newer server may have added.
    pub(crate) fn object(&self, path: &str, mut value: Value) -> Result<DynObject, Error> {
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.retain(|key, _| METADATA_KEYS.contains(&key.as_str()));
        }
        if value["metadata"]["name"].as_str().is_none_or(str::is_empty) {
            return Err(self.nonsense(path, "it is no object with a name"));
        }
        let version = value["apiVersion"].as_str().unwrap_or(schemas::API_VERSION);
        let kind = value["kind"].as_str().unwrap_or_default();
        let known = json!({"apiVersion": version, "kind": kind, "metadata": value["metadata"],
                           "spec": part(&value["spec"]), "status": part(&value["status"])});
        serde_json::from_value(known).map_err(|_| self.nonsense(path, "its metadata cannot be read"))
    }

    fn nonsense(&self, path: &str, message: &str) -> Error {
        Error::Answer { url: format!("{}{path}", self.inner.endpoint), message: message.into() }
    }

    /// One call with a JSON answer; `Null` if the answer is empty.
    pub(crate) async fn json(&self, method: Method, path: &str, parameters: &[(&str, String)], body: Option<&Value>) -> Result<Value, Error> {
        let reads = method == Method::GET;
        let answer = self.send(method.clone(), path, parameters, body, Some(TIMEOUT)).await?;
        let answer = self.checked(answer).await?;
        let url = format!("{}{path}", self.inner.endpoint);
        let text = answer.text().await.map_err(|e| network_error(&url, &format!("{method} {path}"), e, !reads))?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|_| self.nonsense(path, "it is not JSON"))
    }

    /// Passes a success on, makes an error of everything else.
    async fn checked(&self, answer: Response) -> Result<Response, Error> {
        let status = answer.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        if (300..400).contains(&status) {
            let to = answer.headers().get("location").and_then(|l| l.to_str().ok()).unwrap_or("nowhere").to_string();
            return Err(Error::Usage(format!(
                "{} sends us on to {to} (status {status}); give --endpoint with the right address.",
                self.inner.endpoint
            )));
        }
        let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_string();
        let request_id = header("x-openstack-request-id");
        let body = answer.text().await.unwrap_or_default();
        let mut error = ApiError::parse(status, &request_id, &body);
        if status == 401 {
            error.message.push_str(match &self.inner.auth {
                Auth::None => " Nothing to log in with was given: use --os-cloud, the OS_* variables or OS_TOKEN.",
                Auth::Token { .. } => " The given token is not accepted (any longer): get a new one.",
                Auth::Keystone(_) => " A fresh token of Keystone was not accepted: do the API and this client use the same Keystone?",
            });
        }
        Err(Error::Api(Box::new(error)))
    }

    /// Sends a request, with a token, renewed once if it is refused. Reads are repeated twice at most
    /// when the server asks to come back in a few seconds.
    async fn send(
        &self,
        method: Method,
        path: &str,
        parameters: &[(&str, String)],
        body: Option<&Value>,
        limit: Option<Duration>,
    ) -> Result<Response, Error> {
        let (mut renewed, mut repeats) = (false, 0);
        loop {
            let token = self.token().await?;
            let url = format!("{}{path}", self.inner.endpoint);
            let mut request = self.inner.http.request(method.clone(), &url).header("openstack-api-version", MICROVERSION);
            if !parameters.is_empty() {
                request = request.query(parameters);
            }
            if let Some(token) = &token {
                request = request.header("x-auth-token", secret_header(token)?);
            }
            if let Some(limit) = limit {
                request = request.timeout(limit);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let reads = method == Method::GET;
            let answer = request.send().await.map_err(|e| {
                // Without a connection nothing was sent.
                let may_have_happened = !reads && !e.is_connect();
                let whence = format!("{} ({})", self.inner.endpoint, self.inner.origin);
                network_error(&whence, &format!("{method} {path}"), e, may_have_happened)
            })?;
            let warnings = answer.headers().get_all("warning").iter().filter_map(|w| w.to_str().ok()).map(warning_text);
            self.inner.warnings.lock().unwrap_or_else(PoisonError::into_inner).extend(warnings);
            match answer.status().as_u16() {
                401 if !renewed && matches!(self.inner.auth, Auth::Keystone(_)) => {
                    renewed = true;
                    self.forget(token.as_ref()).await;
                }
                // Whoever sends too much was not heard at all, so that what was to be written was not.
                status @ (429 | 503) if (reads || status == 429) && repeats < 2 => match retry_after(&answer) {
                    Some(seconds) if seconds <= 5 => {
                        repeats += 1;
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                    }
                    _ => return Ok(answer),
                },
                _ => return Ok(answer),
            }
        }
    }

    async fn token(&self) -> Result<Option<SecretString>, Error> {
        let keystone = match &self.inner.auth {
            Auth::None => return Ok(None),
            Auth::Token { token, .. } => return Ok(Some(token.clone())),
            Auth::Keystone(keystone) => keystone,
        };
        // Held over the login, so that many requests at once log in once.
        let mut kept = self.inner.token.lock().await;
        if kept.is_none() {
            *kept = Some(keystone.login(&self.inner.keystone).await?.token);
        }
        Ok(kept.clone())
    }

    /// Drops the kept token unless another request has renewed it already.
    async fn forget(&self, refused: Option<&SecretString>) {
        let mut kept = self.inner.token.lock().await;
        let same = matches!((kept.as_ref(), refused), (Some(a), Some(b)) if a.expose_secret() == b.expose_secret());
        if same {
            *kept = None;
        }
    }
}

fn part(value: &Value) -> Value {
    if value.is_object() { value.clone() } else { json!({}) }
}

fn build(url: &str, access: &Access) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("cloud-manager/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        // X-Auth-Token must not be carried to another server.
        .redirect(reqwest::redirect::Policy::none())
        .danger_accept_invalid_certs(access.insecure);
    let host = reqwest::Url::parse(url).ok().and_then(|u| u.host_str().map(str::to_string)).unwrap_or_default();
    if matches!(host.as_str(), "127.0.0.1" | "localhost" | "[::1]") {
        builder = builder.no_proxy();
    }
    if let Some(path) = &access.ca_file {
        let wrong = |e: &dyn std::fmt::Display| Error::Usage(format!("CA file {} cannot be used: {e}.", path.display()));
        let pem = std::fs::read(path).map_err(|e| wrong(&e))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| wrong(&e))?;
        if certificates.is_empty() {
            return Err(wrong(&"it holds no PEM certificate"));
        }
        builder = certificates.into_iter().fold(builder, |b, c| b.add_root_certificate(c));
    }
    builder.build().map_err(|e| Error::Usage(format!("TLS cannot be set up: {}.", deepest(&e))))
}

/// A token as a header that no log shows.
pub(crate) fn secret_header(token: &SecretString) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(token.expose_secret()).map_err(|_| Error::Usage("The token holds characters that no token has.".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `299 - "text"` → `text`.
fn warning_text(header: &str) -> String {
    let quoted = header.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map(|(text, _)| text);
    quoted.unwrap_or(header).to_string()
}

fn retry_after(answer: &Response) -> Option<u64> {
    answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()
}

/// What the network said, without reqwest's wrapping.
fn deepest(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut text = None;
    while let Some(inner) = source {
        text = Some(inner.to_string());
        source = inner.source();
    }
    text.unwrap_or_else(|| error.to_string())
}

/// Makes an error of a request that got no whole answer.
pub(crate) fn network_error(url: &str, what: &str, error: reqwest::Error, may_have_happened: bool) -> Error {
    let error = error.without_url();
    if error.is_timeout() {
        Error::Timeout { what: format!("{what} to {url}"), seconds: TIMEOUT.as_secs(), may_have_happened }
    } else {
        Error::Unreachable { url: url.into(), message: deepest(&error), may_have_happened }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_warning_header_is_found() {
        assert_eq!(warning_text(r#"299 - "spec.x is old""#), "spec.x is old");
        assert_eq!(warning_text("odd"), "odd");
    }
}
