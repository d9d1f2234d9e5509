//! decide: what the answer of the API says to a person.

mod common;

use common::*;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer,
    matchers::{method, path, query_param},
};

fn answer(hosts: Value, more: Value) -> Value {
    let mut body = json!({
        "observedAt": "2026-01-01T00:00:00Z", "ageSeconds": 12, "doubt": null, "laidOver": [], "domains": [],
        "policies": [{"policy": "default", "covered": 5, "unhealthy": 2, "budgetLeft": 0, "begunWithinHour": 1, "storms": [],
                      "allowed": {"status": "False", "reason": "StormLimit", "message": "2 of 5 hosts are down, the limit is 1"}}],
        "hosts": hosts});
    more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
    body
}

fn host_of(name: &str, more: Value) -> Value {
    let mut host = json!({"host": name, "policy": "default", "before": "Suspect", "availability": {"state": "Down", "evidence": ["L0 ServiceSilent"]},
        "nova": {"service": "Down", "why": ""}, "power": "Off", "epoch": 3, "fence": null, "guests": 4, "begin": null, "cancel": null,
        "allowed": {"status": "False", "reason": "StormLimit", "message": "see the policy"}});
    more.as_object().unwrap().iter().for_each(|(key, value)| host[key] = value.clone());
    host
}

#[tokio::test]
async fn the_whole_cloud_is_told_by_policy_and_host_with_numbers_and_reasons() {
    let server = MockServer::start().await;
    let begun =
        host_of("c2", json!({"begin": "Evacuation/auto-c2-1", "allowed": {"status": "True", "reason": "WithinLimits", "message": "it holds"}}));
    on(&server, "GET", "/v1/decisions", ok(&answer(json!([host_of("c1", json!({})), begun]), json!({"unremarkable": 3})))).await;
    let ran = run(&server, &["decide"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for told in [
        "By what the controller saw 12 s ago. Nothing is done.",
        "RemediationPolicy default: begins nothing (StormLimit): 2 of 5 hosts are down, the limit is 1\n  2 of 5 hosts are down or not heard; 0 more may fail; 1 begun within the hour",
        "Host c1: Suspect -> Down (RemediationPolicy default)\n  service Down, power Off, epoch 3, 4 guests\n  evidence of its death: L0 ServiceSilent\n  would begin nothing (StormLimit: see the policy)",
        "WOULD BEGIN Evacuation/auto-c2-1 now (WithinLimits: it holds)",
        "3 hosts are up, or off as they should be",
    ] {
        assert!(ran.out.contains(told), "{told}\n{}", ran.out);
    }
}

#[tokio::test]
async fn one_host_is_told_with_where_its_guests_would_go() {
    let server = MockServer::start().await;
    let plan = json!({"hosts": 2, "items": [{"name": "web", "priority": 5, "destination": "c2"}, {"name": "gpu", "priority": 5, "why": "no host has room"}]});
    let body = answer(json!([host_of("c1", json!({"guests": null}))]), json!({"evacuation": plan}));
    let mock = Mock::given(method("GET")).and(path("/v1/decisions")).and(query_param("host", "c1"));
    mock.respond_with(ok(&body)).mount(&server).await;
    let ran = run(&server, &["decide", "c1"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains("guests not counted") && ran.out.contains("If it were evacuated now, of 2 hosts that could take guests:"),
        "{}",
        ran.out
    );
    assert!(ran.out.lines().any(|l| l.contains("gpu") && l.contains("no host has room")), "{}", ran.out);
    let json = run(&server, &["decide", "c1", "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap(), body);
}

#[tokio::test]
async fn an_old_look_is_told_in_capitals_and_an_unknown_plan_with_its_reason() {
    let server = MockServer::start().await;
    let unknown = host_of("c1", json!({"nova": {"service": "Unknown", "why": "the look is 600 s old"}}));
    let body = answer(json!([unknown]), json!({"doubt": "the look is 600 s old", "evacuation": {"unknown": "no answer"}}));
    on(&server, "GET", "/v1/decisions", ok(&body)).await;
    let ran = run(&server, &["decide", "c1"]).await;
    assert!(ran.out.contains("THIS SAYS NOTHING OF NOW: the look is 600 s old."), "{}", ran.out);
    assert!(ran.out.contains("service Unknown (the look is 600 s old)") && ran.out.contains("Where its guests would go is not known now: no answer"));
}

#[tokio::test]
async fn policies_of_a_file_are_sent_to_be_tried_out_and_nothing_else_is() {
    let server = MockServer::start().await;
    on(&server, "POST", "/v1/decisions", ok(&answer(json!([]), json!({"laidOver": ["default"], "unremarkable": 5})))).await;
    let file =
        "apiVersion: cloud-manager/v1\nkind: RemediationPolicy\nmetadata: {name: default, labels: {x: y}}\nspec: {limits: {maxDownHosts: 9}}\n";
    let environment = [("CLOUD_MANAGER_ENDPOINT", server.uri())];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let ran = run_with(&["decide", "--policy", "-"], file, &environment).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("As if RemediationPolicy default were as given."), "{}", ran.out);
    let sent = json!({"policies": [{"metadata": {"name": "default"}, "spec": {"limits": {"maxDownHosts": 9}}}]});
    assert_eq!(bodies(&server, "POST").await, [sent]);
    let wrong = run_with(&["decide", "--policy", "-"], "apiVersion: cloud-manager/v1\nkind: Host\nmetadata: {name: a}\n", &environment).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("only a RemediationPolicy can be tried out"), "{wrong:?}");
}
