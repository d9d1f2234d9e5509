//! A cloud of a few fixed answers.

use cloud::openstack::{Auth, CloudConfig, Credentials, Domain, Named, OpenStack};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub const REQUEST_ID: &str = "req-5a1f0d2e-0000-4000-8000-000000000001";

pub fn config(keystone: &str) -> CloudConfig {
    let domain = Domain::Id("default".into());
    let mut config = CloudConfig::new(Auth {
        url: keystone.to_owned(),
        credentials: Credentials::Password {
            user: Named::Name { name: "admin".into(), domain: domain.clone() },
            password: "hunter2".into(),
            project: Named::Name { name: "admin".into(), domain },
        },
    });
    config.region = Some("RegionOne".into());
    // A slow machine must not fail a test that is about something else.
    config.timeouts.change_start = std::time::Duration::from_secs(20);
    config
}

pub fn endpoint(region: Value, url: &str) -> Value {
    json!({"interface": "public", "region": region, "region_id": region, "url": url})
}

pub fn token_body(catalog: Value) -> Value {
    json!({"token": {
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "expires_at": "2026-01-01T01:00:00.000000Z",
        "user": {"id": "u1", "name": "admin"},
        "catalog": catalog,
    }})
}

pub fn token(value: &str, catalog: Value) -> ResponseTemplate {
    ResponseTemplate::new(201).insert_header("x-subject-token", value).set_body_json(token_body(catalog))
}

/// Keystone (on `/identity`) that gives `good`, and Nova (on `/compute`) that has microversions up to `max`.
pub async fn cloud_with(max: &str) -> (MockServer, OpenStack) {
    let server = MockServer::start().await;
    basics(&server, max).await;
    let cloud = OpenStack::connect(config(&format!("{}/identity", server.uri()))).await.unwrap();
    (server, cloud)
}

/// Forgets everything and everyone that came before.
pub async fn reset(server: &MockServer) {
    server.reset().await;
    basics(server, "2.93").await;
}

pub async fn basics(server: &MockServer, max: &str) {
    let nova = format!("{}/compute/v2.1", server.uri());
    let placement = format!("{}/placement", server.uri());
    let region = json!("RegionOne");
    let catalog = json!([
        {"type": "compute", "endpoints": [endpoint(region.clone(), &nova)]},
        {"type": "placement", "endpoints": [endpoint(region, &placement)]},
    ]);
    Mock::given(method("POST")).and(path("/identity/v3/auth/tokens")).respond_with(token("good", catalog)).mount(server).await;
    versions(server, max).await;
}

pub async fn versions(server: &MockServer, max: &str) {
    // The `self` link names a host that does not exist: whoever follows it fails.
    let root = json!({"version": {"id": "v2.1", "status": "CURRENT", "version": max, "min_version": "2.1",
        "links": [{"rel": "self", "href": "http://nova.internal.invalid:8774/v2.1/"}]}});
    Mock::given(method("GET")).and(path("/compute/v2.1/")).respond_with(ResponseTemplate::new(200).set_body_json(root)).mount(server).await;
}

pub async fn answer(server: &MockServer, verb: &str, at: &str, with: ResponseTemplate) {
    Mock::given(method(verb)).and(path(at)).respond_with(with).mount(server).await;
}

pub async fn count(server: &MockServer, verb: &str, at: &str) -> usize {
    let all = server.received_requests().await.unwrap();
    all.iter().filter(|r| r.method.as_str() == verb && r.url.path() == at).count()
}

pub const SERVERS: &str = "/compute/v2.1/servers/detail";
pub const ACTION: &str = "/compute/v2.1/servers/s1/action";
