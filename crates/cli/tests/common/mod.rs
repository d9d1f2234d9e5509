//! Runs the binary against a pretended API.

#![allow(dead_code)]

use serde_json::{Value, json};
use std::process::Stdio;
use tokio::{io::AsyncWriteExt, process::Command};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs `cloud-manager` with these words; no environment but the endpoint, no terminal.
pub async fn run(server: &MockServer, words: &[&str]) -> Ran {
    run_with(words, "", &[("CLOUD_MANAGER_ENDPOINT", &server.uri())]).await
}

pub async fn run_with(words: &[&str], input: &str, environment: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloud-manager"));
    command.args(words).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that does not read its input closes it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), child.wait_with_output()).await.expect("the command ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

pub fn object(kind: &str, name: &str, spec: Value, status: Value) -> Value {
    json!({"apiVersion": "cloud-manager/v1", "kind": kind,
           "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1, "resourceVersion": "5"},
           "spec": spec, "status": status})
}

pub fn host(name: &str, spec: Value, status: Value) -> Value {
    object("Host", name, spec, status)
}

pub fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

pub fn error(status: u16, code: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({
        "error": {"code": status, "title": "t", "message": message},
        "errors": [{"code": format!("cloud-manager.{code}"), "status": status, "detail": message}]}))
}

pub fn list(items: &[Value]) -> Value {
    json!({"metadata": {"resourceVersion": "5"}, "items": items})
}

/// Answers one method and path.
pub async fn on(server: &MockServer, verb: &str, at: &str, answer: ResponseTemplate) {
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

/// The bodies of all requests with this method, in order.
pub async fn bodies(server: &MockServer, verb: &str) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap();
    let of_verb = requests.iter().filter(|r| r.method.as_str() == verb);
    of_verb.map(|r| serde_json::from_slice(&r.body).unwrap_or(Value::Null)).collect()
}
