//! A running server, and someone who talks to it.

use crate::store::Faulty;
use ::store::{KeyRing, SqlStore, StoreConfig, Telling};
use api_server::{ApiConfig, Backends, Check, GuestView, Handle, Health, Readiness, serve};
use async_trait::async_trait;
use cloud::{CloudError, CloudResult, Identity, TokenInfo};
use engine::{Clock, Feed, Metrics, SystemClock};
use registry::Registry;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header::HeaderMap};
use schemas::{DynObject, Time};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Anything that takes this long will not come any more.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Tokens are words: `admin`, `operator`, `service`, `system-reader`, `reader`, `member`, `unscoped`, `brief`; `down` gets no answer.
#[derive(Default)]
pub struct Keystone {
    pub revoked: Mutex<HashSet<String>>,
}

#[async_trait]
impl Identity for Keystone {
    async fn validate(&self, token: &str, _: bool) -> CloudResult<Option<TokenInfo>> {
        if token == "down" {
            return Err(CloudError::NotSent { what: "keystone".into(), detail: "connection refused".into(), retry_after: None });
        }
        if self.revoked.lock().unwrap().contains(token) {
            return Ok(None);
        }
        let (project, system, roles, seconds): (_, _, &[&str], _) = match token {
            "admin" => (Some("p"), false, &["admin", "manager", "member", "reader"], 3_600),
            "brief" => (Some("p"), false, &["admin"], 1),
            "system-reader" => (None, true, &["reader"], 3_600),
            "reader" => (Some("p"), false, &["reader"], 3_600),
            "member" => (Some("p"), false, &["member", "reader"], 3_600),
            "operator" => (Some("p"), false, &["cloud-operator"], 3_600),
            "service" => (Some("p"), false, &["service"], 3_600),
            "unscoped" => (None, false, &[], 3_600),
            "expired" => (Some("p"), false, &["admin"], -1),
            _ => return Ok(None),
        };
        Ok(Some(TokenInfo {
            user_id: format!("id-of-{token}"),
            user_name: token.into(),
            project_id: project.map(Into::into),
            system_scope: system,
            is_admin_project: false,
            roles: roles.iter().map(ToString::to_string).collect(),
            expires_at: SystemClock.now().plus_seconds(seconds),
            access_rules: None,
        }))
    }

    fn public_url(&self) -> String {
        "http://keystone.example:5000/v3".into()
    }
}

/// Hosts are words as well.
struct Guests;

#[async_trait]
impl GuestView for Guests {
    async fn guests(&self, host: &str) -> Result<Value, String> {
        match host {
            "boom" => panic!("a fault on purpose"),
            "slow" => std::future::pending().await,
            "dark" => Err("Nova has not been read yet".into()),
            _ => Ok(json!({"guests": [{"id": "g1", "name": "web"}], "observedAt": Time(0)})),
        }
    }

    async fn foresee(&self, object: &DynObject) -> Result<Value, String> {
        match object.metadata.name.as_str() {
            "dark" => Err("Nova has not been read yet".into()),
            _ if object.spec["power"] == "Off" => Ok(json!({"next": "Step", "step": "Power/SoftOff/l1", "disruptive": true})),
            _ => Ok(json!({"next": "Nothing"})),
        }
    }

    async fn evacuation_plan(&self, host: &str) -> Result<Value, String> {
        match host {
            "dark" => Err("other hosts cannot be read: no answer".into()),
            _ => Ok(json!({"hostRef": {"name": host}, "hosts": 2, "items": [{"id": "g1", "name": "web", "priority": 5, "destination": "c2"}]})),
        }
    }
}

struct Well;

#[async_trait]
impl Health for Well {
    async fn ready(&self) -> Readiness {
        let checks = vec![Check { name: "database".into(), ok: true, message: "revision 7".into() }];
        Readiness { ok: true, checks, leader: Some("a".into()), token: Some(3), frozen: Some(false) }
    }
}

pub struct Api {
    pub base: String,
    pub registry: Registry,
    pub faults: Arc<Faulty>,
    pub keystone: Arc<Keystone>,
    pub metrics: Metrics,
    pub stop: CancellationToken,
    pub handle: Option<Handle>,
    http: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer, read.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    pub async fn of(response: Response) -> Answer {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Code of the error, without the service's name.
    pub fn code(&self) -> &str {
        self.body["errors"][0]["code"].as_str().unwrap_or_default().trim_start_matches("cloud-manager.")
    }

    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    pub fn rv(&self) -> i64 {
        self.body["metadata"]["resourceVersion"].as_str().unwrap_or_default().parse().unwrap_or(-1)
    }

    #[track_caller]
    pub fn gives(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    #[track_caller]
    pub fn fails(self, status: u16, code: &str) -> Answer {
        let answer = self.gives(status);
        assert_eq!(answer.code(), code, "{}", answer.text);
        assert!(answer.header("content-type").starts_with("application/json"));
        assert!(!answer.message().is_empty() && answer.message() == answer.body["errors"][0]["detail"]);
        assert_eq!(answer.body["errors"][0]["request_id"], answer.header("x-openstack-request-id"));
        answer
    }
}

pub async fn api() -> Api {
    api_with(ApiConfig::default()).await
}

pub async fn api_with(config: ApiConfig) -> Api {
    api_after(config, async |_| {}).await
}

/// `before` writes before the change feed begins.
pub async fn api_after(config: ApiConfig, before: impl AsyncFnOnce(&Registry)) -> Api {
    let dir = tempfile::tempdir().unwrap();
    // A busy machine may take its time.
    let database = StoreConfig { deadline: std::time::Duration::from_secs(60), ..StoreConfig::sqlite(dir.path().join("db")) };
    ::store::migrate(&database, None).await.unwrap();
    let keys = KeyRing::parse(&format!("k:{}", "00".repeat(32))).unwrap();
    let faults = Faulty::new(SqlStore::open(&database, keys).await.unwrap());
    let registry = Registry::new(faults.clone());
    before(&registry).await;
    let stop = CancellationToken::new();
    let (feed, _) = Feed::start(faults.clone(), stop.clone()).await.unwrap();
    let (keystone, metrics) = (Arc::new(Keystone::default()), Metrics::default());
    let backends = Backends {
        registry: registry.clone(),
        feed,
        audit: faults.sql(),
        identity: keystone.clone(),
        guests: Arc::new(Guests),
        health: Arc::new(Well),
        metrics: metrics.clone(),
        clock: Arc::new(SystemClock),
    };
    // Any free port, of this machine's address unless another is asked for.
    let listen = if config.listen == ApiConfig::default().listen { ([127, 0, 0, 1], 0).into() } else { config.listen };
    let (config, scheme) = (ApiConfig { listen, ..config.clone() }, if config.tls.is_some() { "https" } else { "http" });
    let handle = serve(config, backends, stop.clone()).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build().unwrap();
    Api { base: format!("{scheme}://{}", handle.addr), registry, faults, keystone, metrics, stop, handle: Some(handle), http, _dir: dir }
}

impl Api {
    /// A request as admin.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).header("x-auth-token", "admin")
    }

    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.send(self.anonymous(Method::GET, path).header("x-auth-token", token)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        let request = self.request(Method::PATCH, path).header("content-type", "application/merge-patch+json");
        self.send(request.body(body.to_string())).await
    }

    /// Applies YAML under a manager's name; `path` may have a query.
    pub async fn apply(&self, path: &str, manager: &str, yaml: &str) -> Answer {
        let path = format!("{path}{}fieldManager={manager}", if path.contains('?') { '&' } else { '?' });
        self.send(self.request(Method::PATCH, &path).header("content-type", "application/apply-patch+yaml").body(yaml.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::of(request.send().await.unwrap()).await
    }

    /// Makes a host.
    pub async fn host(&self, name: &str) -> Answer {
        self.post("/v1/hosts", json!({"metadata": {"name": name}})).await.gives(201)
    }

    pub async fn watch(&self, query: &str) -> Lines {
        self.watch_as("admin", query).await
    }

    pub async fn watch_as(&self, token: &str, query: &str) -> Lines {
        self.watch_with(self.anonymous(Method::GET, &format!("/v1/{query}")).header("x-auth-token", token)).await
    }

    pub async fn watch_with(&self, request: RequestBuilder) -> Lines {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.unwrap());
        assert_eq!(response.headers()["content-type"], "application/json;stream=watch");
        Lines { response, buffer: Vec::new() }
    }
}

/// The lines of a watch.
pub struct Lines {
    response: Response,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next line; `None` when the server has ended the stream cleanly.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("the watch is silent");
            match chunk.expect("the watch broke off") {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return None,
            }
        }
    }

    /// The next line that is no bookmark: its type, the object's name, its revision.
    pub async fn event(&mut self) -> (String, String, i64) {
        loop {
            let line = self.next().await.expect("the watch has ended");
            if line["type"] != "BOOKMARK" {
                return (line["type"].as_str().unwrap().into(), line["object"]["metadata"]["name"].as_str().unwrap().into(), rv(&line));
            }
        }
    }

    /// Reads to the bookmark that ends the initial objects; gives their names and the bookmark's revision.
    pub async fn initial(&mut self) -> (Vec<String>, i64) {
        let mut names = Vec::new();
        loop {
            let line = self.next().await.expect("the watch has ended");
            match line["type"].as_str().unwrap() {
                "ADDED" => names.push(line["object"]["metadata"]["name"].as_str().unwrap().to_string()),
                "BOOKMARK" if line["object"]["metadata"]["annotations"]["cloud-manager/initial-events-end"] == "true" => return (names, rv(&line)),
                other => panic!("{other} before the initial objects were told"),
            }
        }
    }
}

pub fn rv(line: &Value) -> i64 {
    line["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

pub fn telling(note: &str, regarding: &DynObject) -> Telling {
    let (regarding, regarding_uid) = (regarding.id(), regarding.metadata.uid.clone());
    Telling { regarding, regarding_uid, warning: false, reason: "Seen".into(), note: note.into(), reporter: "test".into() }
}
