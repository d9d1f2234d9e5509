//! On a real OpenStack with real IPMI BMCs (`tests/openstack/lab`). Runs when CLOUD_MANAGER_TEST_LAB names the lab script.

use cloud::openstack::{CloudConfig, OpenStack};
use engine::SystemClock;
use serde_json::json;
use std::{collections::HashMap, process::Command, sync::Arc, time::Duration};
use workspace_tests::{Rig, condition, waits_for};

fn lab() -> Option<String> {
    let lab = std::env::var("CLOUD_MANAGER_TEST_LAB").ok();
    if lab.is_none() {
        eprintln!("SKIPPED: CLOUD_MANAGER_TEST_LAB is not set; `make lab` runs this on a real OpenStack");
    }
    lab
}

fn run(lab: &str, args: &[&str]) -> String {
    let out = Command::new(lab).args(args).output().expect("the lab script");
    assert!(out.status.success(), "{lab} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

async fn rig() -> Rig {
    let env: HashMap<String, String> = std::env::vars().collect();
    let cloud = OpenStack::connect(CloudConfig::from_env(&env).expect("OS_* variables")).await.expect("a session");
    let rig = Rig::start(Arc::new(cloud), Arc::new(power::Drivers::new()), Arc::new(SystemClock), Duration::from_secs(3)).await;
    rig.patch("ClusterPolicy", "default", json!({"novaReportIntervalSeconds": 3, "guestDisks": "Shared"})).await;
    rig
}

async fn bmc(rig: &Rig, host: &str, port: i64) {
    let name = format!("bmc-{host}");
    let endpoint = json!({"host": "127.0.0.1", "port": port});
    rig.create("PowerDevice", &name, json!({"type": "BMC", "protocol": "IPMI", "endpoint": endpoint, "credentialRef": {"name": "lab"}})).await;
    rig.create("PowerLink", &name, json!({"hostRef": {"name": host}, "deviceRef": {"name": name}})).await;
    rig.create("HostOperation", &format!("init-{host}"), json!({"hostRef": {"name": host}, "type": "Initialise", "method": "Attestation"})).await;
    rig.wait("HostOperation", &format!("init-{host}"), "verified", Duration::from_secs(60), |o| condition(o, "Succeeded") == "True").await;
}

async fn wired(lab: &str) -> Rig {
    let rig = rig().await;
    rig.create("Credential", "lab", json!({"data": {"username": "admin", "password": "labpass"}})).await;
    for host in ["c1", "c2", "c3"] {
        rig.wait("Host", host, "known", Duration::from_secs(60), |_| true).await;
        let port = run(lab, &["bmc", host]).split([':', ' ']).nth(1).and_then(|p| p.parse().ok()).expect("a port");
        bmc(&rig, host, port).await;
    }
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_declared_off_is_drained_and_powered_off_and_comes_back() {
    let Some(lab) = lab() else { return };
    let rig = wired(&lab).await;
    run(&lab, &["boot", "drain1", "c1", "64"]);
    run(&lab, &["boot", "drain2", "c1", "64"]);
    rig.patch("Host", "c1", json!({"power": "Off"})).await;
    let host = rig.wait("Host", "c1", "off", Duration::from_secs(240), |o| condition(o, "Ready") == "True" && o.status["power"]["state"] == "Off").await;
    assert_eq!(host.status["nova"]["status"], "disabled");
    assert_eq!(host.status["guests"]["total"], 0);
    rig.patch("Host", "c1", json!({"power": "On"})).await;
    rig.wait("Host", "c1", "back", Duration::from_secs(240), |o| condition(o, "Ready") == "True" && o.status["nova"]["status"] == "enabled" && o.status["nova"]["state"] == "up").await;
    assert!(run(&lab, &["guests"]).contains("no guest ever ran twice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_host_is_fenced_and_its_guests_are_rebuilt_once() {
    let Some(lab) = lab() else { return };
    let rig = wired(&lab).await;
    for i in 0..3 {
        run(&lab, &["boot", &format!("evac{i}"), "c1", "64"]);
    }
    run(&lab, &["host-kill", "c1"]);
    rig.create("Evacuation", "ev", json!({"hostRef": {"name": "c1"}})).await;
    let done = rig.wait("Evacuation", "ev", "ended", Duration::from_secs(240), |o| !o.status["finishedAt"].is_null()).await;
    assert_eq!(condition(&done, "Succeeded"), "True", "{:#}", done.status);
    let host = rig.wait("Host", "c1", "fenced", Duration::from_secs(30), |o| waits_for(o) == "FencedAwaitingReturn").await;
    assert_eq!(host.status["power"]["state"], "Off");
    rig.create("HostOperation", "on", json!({"hostRef": {"name": "c1"}, "type": "PowerOn"})).await;
    let back = rig.wait("HostOperation", "on", "ended", Duration::from_secs(240), |o| !o.status["finishedAt"].is_null()).await;
    assert_eq!(condition(&back, "Succeeded"), "True", "{:#}", back.status);
    rig.wait("Host", "c1", "back", Duration::from_secs(60), |o| o.status["nova"]["status"] == "enabled" && o.status["nova"]["state"] == "up").await;
    assert!(run(&lab, &["guests"]).contains("no guest ever ran twice"));
}
