//! The document against the official schema of OpenAPI, and the server against the document: schemathesis makes up requests that
//! the document allows, and many that it forbids.

use crate::fixture::{Api, api_with};
use ::store::{Guard, Op};
use api_server::ApiConfig;
use engine::{Clock, SystemClock};
use planner::remediation::{Input, Looked, Observer};
use serde_json::json;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Output,
};
use tokio::process::Command;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api");
const SEED: &str = "1";

/// The folder of Python programs; `None` (and said so) if they cannot be installed.
async fn programs() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tools/schemathesis.sh");
    let found = Command::new("sh").arg(script).output().await.unwrap();
    if found.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&found.stdout).trim()));
    }
    let why = format!("schemathesis cannot be had: {}", String::from_utf8_lossy(&found.stderr).trim());
    assert!(std::env::var_os("REQUIRE_REAL_PEERS").is_none(), "REQUIRE_REAL_PEERS is set, but {why}");
    eprintln!("SKIPPED: {why}");
    None
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server that knows what a controller would have told it, and some objects.
async fn site() -> Api {
    let api = api_with(ApiConfig::default()).await;
    let now = SystemClock.now();
    api.registry.ensure_defaults(&Default::default(), now).await.unwrap();
    let observer = Observer { conductor_up: true, computes_up: 0, unread: None };
    let input = Input { hosts: vec![], policies: vec![], domains: vec![], observer, now, led_since: now, frozen: false, halted: None };
    let kept = Looked::of(&input).observation(now).unwrap();
    api.registry.store().commit(Guard::Open, now, vec![Op::PutObservation(kept)]).await.unwrap();
    for host in ["c1", "c2"] {
        api.host(host).await;
    }
    api.post("/v1/hostoperations", json!({"metadata": {"name": "o1"}, "spec": {"hostRef": {"name": "c1"}, "type": "Disable"}})).await.gives(202);
    api
}

#[tokio::test]
async fn the_document_is_openapi_and_its_examples_are_what_it_says() {
    let Some(programs) = programs().await else { return };
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let linted = Command::new(programs.join("python")).arg(Path::new(HERE).join("openapi.py")).arg(document).output().await.unwrap();
    assert!(linted.status.success(), "{}", text(&linted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_document_allows_is_answered_as_it_says_and_what_it_forbids_is_refused() {
    let Some(programs) = programs().await else { return };
    let api = site().await;
    let dir = tempfile::tempdir().unwrap();
    let mut st = Command::new(programs.join("st"));
    st.arg("--config-file").arg(Path::new(HERE).join("schemathesis.toml"));
    st.args(["run", "--no-color", "--checks", "all", "--continue-on-failure", "--seed", SEED, "--url", &api.base]);
    st.arg(format!("{}/v1/openapi.json", api.base)).current_dir(dir.path()).kill_on_drop(true);
    st.env("PYTHONPATH", HERE).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
    let output = st.output().await.unwrap();
    let told = text(&output);
    assert!(output.status.success(), "{told}");
    let summary = told.find("= SUMMARY =").map_or(told.as_str(), |at| &told[at..]);
    // Past the test runner, which would show it for a failure only: how many cases there were is worth knowing.
    std::io::stderr().write_all(format!("schemathesis\n{summary}\n").as_bytes()).unwrap();
}
