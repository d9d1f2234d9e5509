//! `attest`: what a person is told before it is believed, and what is sent.

mod common;

use common::{bodies, host, list, object, ok, on, run};
use schemas::Time;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

const STATEMENT: &str = "burnt, I pulled its cables";

async fn site() -> MockServer {
    let server = MockServer::start().await;
    let links = json!([{"name": "c1-bmc", "state": "Unknown", "verified": true, "error": "no answer"}]);
    on(&server, "GET", "/v1/hosts/c1", ok(&host("c1", json!({}), json!({"epoch": 4, "power": {"state": "Unknown", "links": links}})))).await;
    on(&server, "GET", "/v1/hosts/c1/guests", ok(&json!({"guests": [{"id": "g", "name": "web", "vmState": "active"}]}))).await;
    let created = |request: &wiremock::Request| {
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        body["metadata"]["resourceVersion"] = "9".into();
        ResponseTemplate::new(201).set_body_json(body)
    };
    Mock::given(method("POST")).and(path("/v1/fenceattestations")).respond_with(created).mount(&server).await;
    server
}

#[tokio::test]
async fn without_a_terminal_it_needs_yes_and_says_what_it_allows_first() {
    let server = site().await;
    let ran = run(&server, &["attest", "c1", "--statement", STATEMENT]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    for told in [
        "HOST c1 IS DEAD AND STAYS SO",
        "It is in power epoch 4",
        "1 guest (1 active)",
        "STARTED ON OTHER HOSTS",
        "c1-bmc (Unknown, verified)",
        "--yes",
    ] {
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
    assert!(bodies(&server, "POST").await.is_empty());
}

#[tokio::test]
async fn it_is_about_the_present_epoch_unless_told_otherwise_and_for_an_hour() {
    let server = site().await;
    let ran = run(&server, &["attest", "c1", "--statement", STATEMENT, "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("fenceattestation/attest-c1-") && ran.err.contains("It counts for power epoch 4"), "{ran:?}");
    let ran = run(&server, &["attest", "c1", "--statement", STATEMENT, "--yes", "--epoch", "3", "--expires-in", "10m"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let sent = bodies(&server, "POST").await;
    let of = |n: usize| (sent[n]["spec"]["powerEpoch"].as_i64().unwrap(), Time::parse(sent[n]["spec"]["expiresAt"].as_str().unwrap()).unwrap());
    assert_eq!((of(0).0, of(1).0), (4, 3));
    let apart = of(0).1.seconds_since(of(1).1);
    assert!((2_900..=3_000).contains(&apart), "{apart} s");
    assert_eq!((&sent[0]["spec"]["statement"], &sent[0]["spec"]["hostRef"]["name"]), (&json!(STATEMENT), &json!("c1")));
}

#[tokio::test]
async fn it_is_withdrawn_by_cancel_and_shown_with_its_host() {
    let server = site().await;
    let open = object("FenceAttestation", "fa", json!({"hostRef": {"name": "c1"}, "cancel": "No"}), json!({"by": "ann"}));
    on(&server, "GET", "/v1/fenceattestations/fa", ok(&open)).await;
    on(&server, "GET", "/v1/fenceattestations", ok(&list(std::slice::from_ref(&open)))).await;
    on(&server, "PUT", "/v1/fenceattestations/fa", ok(&open)).await;
    let ran = run(&server, &["cancel", "fa", "fa"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(bodies(&server, "PUT").await[0]["spec"]["cancel"], "Requested");
    let ran = run(&server, &["describe", "host", "c1"]).await;
    assert!(ran.out.contains("Open on this host: FenceAttestation fa"), "{ran:?}");
}
