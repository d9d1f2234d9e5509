//! What today's OpenStack clients make of our answers.

use crate::fixture::api;
use std::process::Stdio;
use tokio::process::Command;

const PYTHON: &str = "/usr/bin/python3";

#[tokio::test]
async fn keystoneauth_and_openstacksdk_discover_log_in_again_and_read_errors() {
    let importable = Command::new(PYTHON).args(["-c", "import keystoneauth1, openstack"]).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    if !importable.is_ok_and(|s| s.success()) {
        eprintln!("SKIPPED: {PYTHON} cannot import keystoneauth1 and openstack; install python3-openstacksdk to run this test");
        return;
    }
    let api = api().await;
    api.host("c1").await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/clients.py");
    let output = Command::new(PYTHON).arg(script).arg(&api.base).env("NO_PROXY", "*").kill_on_drop(true).output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.ends_with("all good\n"), "{out}\n{err}");
}
