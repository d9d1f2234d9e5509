//! A pretended API for the tests.

#![allow(dead_code)]

use client::{Access, AuthOptions, Client, Environment, Options};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

pub fn nobody() -> Access {
    AuthOptions::default().resolve(&Environment::default()).unwrap()
}

pub async fn connect(server: &MockServer) -> Client {
    Client::connect(Options { endpoint: Some((server.uri(), "--endpoint")), access: nobody() }).await.unwrap()
}

pub fn host(name: &str, revision: i64, power: &str) -> Value {
    json!({"apiVersion": "cloud-manager/v1", "kind": "Host",
           "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1, "resourceVersion": revision.to_string()},
           "spec": {"power": power}, "status": {}})
}

pub fn list(revision: i64, items: &[Value]) -> Value {
    json!({"apiVersion": "cloud-manager/v1", "kind": "HostList", "metadata": {"resourceVersion": revision.to_string()}, "items": items})
}

pub fn error(status: u16, code: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({
        "error": {"code": status, "title": "t", "message": message},
        "errors": [{"code": format!("cloud-manager.{code}"), "status": status, "detail": message}]}))
}

/// The lists that are given one after the other, then the last for ever.
pub async fn serve_lists(server: &MockServer, lists: &[Value]) {
    for (i, body) in lists.iter().enumerate() {
        let mock = Mock::given(matchers::method("GET")).and(matchers::path("/v1/hosts")).and(matchers::query_param_is_missing("watch"));
        let mock = mock.respond_with(ResponseTemplate::new(200).set_body_json(body)).with_priority(i as u8 + 1);
        if i + 1 < lists.len() { mock.up_to_n_times(1).mount(server).await } else { mock.mount(server).await }
    }
}

/// What a watch from this revision answers.
pub async fn serve_watch(server: &MockServer, revision: i64, answer: ResponseTemplate) {
    let mock = Mock::given(matchers::method("GET")).and(matchers::path("/v1/hosts")).and(matchers::query_param("watch", "1"));
    mock.and(matchers::query_param("resourceVersion", revision.to_string())).respond_with(answer).mount(server).await;
}

pub fn lines(messages: &[Value]) -> ResponseTemplate {
    let text: String = messages.iter().map(|m| format!("{m}\n")).collect();
    ResponseTemplate::new(200).set_body_raw(text, "application/json;stream=watch")
}
