use crate::fixture::{Api, api};
use serde_json::{Value, json};

/// Reason and note of what was told of an object.
async fn told(api: &Api, path: &str) -> Vec<(String, String)> {
    let events = api.get(&format!("{path}/events")).await.gives(200);
    let text = |e: &Value, key: &str| e["spec"][key].as_str().unwrap().to_string();
    let all = events.body["items"].as_array().unwrap().iter().map(|e| (text(e, "reason"), text(e, "note")));
    all.filter(|(reason, _)| reason == "WriteRefused").collect()
}

fn operation(name: &str, host: &str, kind: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"hostRef": {"name": host}, "type": kind}})
}

#[tokio::test]
async fn an_operation_that_contradicts_the_spec_is_told_on_its_host_and_counted() {
    let api = api().await;
    api.host("c1").await;
    api.patch("/v1/hosts/c1", json!({"spec": {"power": "On"}})).await.gives(200);
    api.post("/v1/hostoperations", operation("off", "c1", "PowerOff")).await.fails(409, "contradicts-spec");
    let told = told(&api, "/v1/hosts/c1").await;
    assert_eq!(told.len(), 1, "{told:?}");
    let note = &told[0].1;
    assert!(
        note.contains("admin") && note.contains("HostOperation/off") && note.contains("contradicts-spec") && note.contains("spec.power"),
        "{note}"
    );
    let text = api.metrics.text();
    assert!(text.contains("cloud_manager_refused_writes_total{kind=\"HostOperation\",code=\"contradicts-spec\"} 1"), "{text}");
    assert!(text.contains("cloud_manager_told_total{kind=\"Host\",type=\"Warning\",reason=\"WriteRefused\"} 1"), "{text}");
}

#[tokio::test]
async fn a_client_in_a_loop_is_told_of_once_and_counted_each_time() {
    let api = api().await;
    api.host("c1").await;
    api.patch("/v1/hosts/c1", json!({"spec": {"power": "On"}})).await.gives(200);
    for n in 0..20 {
        api.post("/v1/hostoperations", operation(&format!("off-{n}"), "c1", "PowerOff")).await.fails(409, "contradicts-spec");
    }
    assert_eq!(told(&api, "/v1/hosts/c1").await.len(), 1);
    let text = api.metrics.text();
    assert!(text.contains("cloud_manager_refused_writes_total{kind=\"HostOperation\",code=\"contradicts-spec\"} 20"), "{text}");
}

#[tokio::test]
async fn a_change_and_a_deletion_that_are_turned_down_are_told_on_what_they_were_about() {
    let api = api().await;
    for host in ["c1", "c2"] {
        api.host(host).await;
    }
    let pool = |name: &str, member: &str| json!({"metadata": {"name": name}, "spec": {"members": [member], "size": 1}});
    api.post("/v1/standbypools", pool("one", "c1")).await.gives(201);
    api.post("/v1/standbypools", pool("two", "c2")).await.gives(201);
    api.patch("/v1/standbypools/two", json!({"spec": {"members": ["c1"]}})).await.fails(409, "member-taken");
    assert_eq!(told(&api, "/v1/standbypools/two").await.len(), 1);
    // What is not there yet has no events: it is told on the object that stands against it.
    api.post("/v1/standbypools", pool("three", "c1")).await.fails(409, "member-taken");
    assert_eq!(told(&api, "/v1/standbypools/one").await.len(), 1);
    // A field that is wrong by itself endangers nothing.
    api.post("/v1/standbypools", json!({"metadata": {"name": "four"}, "spec": {"size": "x"}})).await.gives(400);
    assert_eq!(told(&api, "/v1/standbypools/one").await.len(), 1);
}
