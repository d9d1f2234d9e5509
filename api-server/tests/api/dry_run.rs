use crate::fixture::{Answer, Api, api};
use engine::{Clock, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};

async fn revision(api: &Api) -> i64 {
    api.registry.store().revision().await.unwrap().current
}

/// An answer to something that was tried out.
#[track_caller]
fn dry(answer: Answer) -> Answer {
    assert_eq!(answer.header("x-dry-run"), "All", "{}", answer.text);
    answer
}

#[tokio::test]
async fn every_write_can_be_tried_out_and_answers_as_it_would() {
    let api = api().await;
    let host = api.host("c1").await;
    let before = revision(&api).await;
    let made = dry(api.post("/v1/hosts?dryRun=All", json!({"metadata": {"name": "c2"}})).await.gives(201));
    assert_eq!((&made.body["spec"]["power"], made.header("etag")), (&json!("Unmanaged"), ""));
    assert!(made.body["metadata"]["resourceVersion"].is_null());
    let mut body = host.body.clone();
    body["spec"]["title"] = json!("t");
    let put = dry(api.put("/v1/hosts/c1?dryRun=All", &body).await.gives(200));
    assert_eq!((&put.body["spec"]["title"], &put.body["metadata"]["generation"]), (&json!("t"), &json!(2)));
    dry(api.patch("/v1/hosts/c1?dryRun=All", json!({"spec": {"title": "t"}})).await.gives(200));
    dry(api.apply("/v1/hosts/c1?dryRun=All", "a", "spec: {title: t}\n").await.gives(200));
    dry(api.apply("/v1/hosts/c3?dryRun=All", "a", "spec: {title: t}\n").await.gives(201));
    dry(api.post("/v1/hosts/c1/actions/drain?dryRun=All", json!({})).await.gives(202));
    dry(api.delete("/v1/hosts/c1?dryRun=All").await.gives(204));
    let operation = json!({"metadata": {"name": "d"}, "spec": {"hostRef": {"name": "c1"}, "type": "Drain"}});
    dry(api.post("/v1/hostoperations?dryRun=All", operation).await.gives(202));
    let observation = json!({"host": "c1", "channel": "san", "says": "Silent", "observedAt": schemas::Time(0), "ttlSeconds": 60});
    dry(api.post("/v1/evidence?dryRun=All", observation).await.fails(400, "invalid"));
    assert_eq!(revision(&api).await, before);
    assert_eq!(api.get("/v1/hosts/c1").await.gives(200).body, host.body);
    assert_eq!(api.get("/v1/hosts").await.gives(200).body["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(api.get("/v1/tasks").await.gives(200).body["tasks"], json!([]));
    assert_eq!(api.get("/v1/hosts/c1").await.header("x-dry-run"), "");
}

#[tokio::test]
async fn what_is_tried_out_is_refused_as_it_would_be_and_nobody_is_told() {
    let api = api().await;
    api.post("/v1/hosts", json!({"metadata": {"name": "c1"}, "spec": {"power": "On"}})).await.gives(201);
    api.apply("/v1/hosts/c1", "gitops", "spec: {title: a}\n").await.gives(200);
    let off = |name: &str| json!({"metadata": {"name": name}, "spec": {"hostRef": {"name": "c1"}, "type": "PowerOff"}});
    dry(api.post("/v1/hostoperations?dryRun=All", off("a")).await.fails(409, "contradicts-spec"));
    dry(api.post("/v1/hosts?dryRun=All", json!({"metadata": {"name": "c1"}})).await.fails(409, "already-exists"));
    dry(api.post("/v1/hosts?dryRun=All", json!({"metadata": {"name": "c2"}, "spec": {"powr": "On"}})).await.fails(400, "unknown-field"));
    dry(api.apply("/v1/hosts/c1?dryRun=All", "ops", "spec: {title: b}\n").await.fails(409, "field-conflict"));
    dry(api.delete("/v1/hosts/c9?dryRun=All").await.fails(404, "not-found"));
    let (seen, until) = ("I pulled both cables in rack A1.", SystemClock.now().plus_seconds(600));
    let spec = json!({"hostRef": {"name": "c1"}, "powerEpoch": 9, "statement": seen, "expiresAt": until});
    let statement = json!({"metadata": {"name": "a"}, "spec": spec});
    dry(api.post("/v1/fenceattestations?dryRun=All", statement.clone()).await.fails(409, "wrong-epoch"));
    let reader = api.anonymous(Method::POST, "/v1/fenceattestations?dryRun=All").header("x-auth-token", "system-reader");
    api.send(reader.json(&statement)).await.fails(403, "forbidden");
    assert_eq!(api.get("/v1/events").await.gives(200).body["items"], json!([]));
    api.post("/v1/hostoperations", off("a")).await.fails(409, "contradicts-spec");
    let told: Value = api.get("/v1/events").await.gives(200).body;
    assert_eq!(told["items"].as_array().map(Vec::len), Some(1), "in earnest it is told: {told}");
}

#[tokio::test]
async fn all_is_the_only_way_to_try_something_out() {
    let api = api().await;
    for query in ["dryRun=true", "dryRun=", "dryRun=all", "dryRun"] {
        let refused = api.post(&format!("/v1/hosts?{query}"), json!({"metadata": {"name": "c1"}})).await.fails(400, "invalid");
        assert!(refused.message().contains("dryRun") && refused.message().contains("All"), "{}", refused.message());
    }
    api.get("/v1/hosts?dryRun=All").await.fails(400, "unknown-parameter");
    api.get("/v1/hosts/c1").await.fails(404, "not-found");
}
