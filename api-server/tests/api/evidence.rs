use crate::fixture::{Api, api};
use engine::{Clock, SystemClock};
use reqwest::Method;
use schemas::Time;
use serde_json::{Value, json};

fn now() -> Time {
    SystemClock.now()
}

fn seen(host: &str, seconds_ago: i64) -> Value {
    json!({"host": host, "channel": "storage-heartbeat", "says": "Alive", "observedAt": now().plus_seconds(-seconds_ago), "ttlSeconds": 60, "detail": "lease renewed"})
}

async fn known(api: &Api, host: &str) -> Vec<Value> {
    api.get(&format!("/v1/hosts/{host}/evidence")).await.gives(200).body["items"].as_array().unwrap().clone()
}

async fn notes(api: &Api, kind: &str, name: &str) -> Vec<(String, String)> {
    let events = api.get(&format!("/v1/{kind}/{name}/events")).await.gives(200);
    let text = |e: &Value, key: &str| e["spec"][key].as_str().unwrap().to_string();
    events.body["items"].as_array().unwrap().iter().map(|e| (text(e, "reason"), text(e, "note"))).collect()
}

#[tokio::test]
async fn evidence_is_taken_with_the_name_of_its_sender_and_can_be_read() {
    let api = api().await;
    api.host("c1").await;
    let answer = api.post("/v1/evidence", seen("c1", 5)).await.gives(202);
    assert_eq!(answer.body, json!({"taken": 1, "ignored": []}));
    let [item] = known(&api, "c1").await.try_into().unwrap();
    assert_eq!(
        (&item["says"], &item["by"], &item["channel"], &item["detail"]),
        (&json!("Alive"), &json!("admin"), &json!("storage-heartbeat"), &json!("lease renewed"))
    );
    assert!(item["receivedAt"].is_string());
    api.get("/v1/hosts/nowhere/evidence").await.fails(404, "not-found");
    api.get("/v1/evidence").await.fails(405, "method-not-allowed");
}

#[tokio::test]
async fn who_may_not_write_sends_no_evidence_and_states_nothing() {
    let api = api().await;
    api.host("c1").await;
    api.registry.ensure_defaults(&Default::default(), now()).await.unwrap();
    for token in ["reader", "member", "system-reader"] {
        let post = |path: &str| api.anonymous(Method::POST, path).header("x-auth-token", token);
        let refused = api.send(post("/v1/evidence").json(&seen("c1", 1))).await.fails(403, "forbidden");
        assert!(refused.message().contains("cloud-manager:evidence:create"), "{}", refused.message());
        let refused = api.send(post("/v1/fenceattestations").json(&json!({}))).await.fails(403, "forbidden");
        assert!(refused.message().contains("cloud-manager:fenceattestations:create"), "{}", refused.message());
        let told = notes(&api, "clusterpolicies", "default").await;
        assert!(told.contains(&("AttestationRefused".into(), format!("{token} may not state that a host is dead"))), "{told:?}");
    }
    api.send(api.anonymous(Method::POST, "/v1/evidence").json(&seen("c1", 1))).await.gives(401);
    api.send(api.anonymous(Method::POST, "/v1/evidence").header("x-auth-token", "forged").json(&seen("c1", 1))).await.gives(401);
    assert!(known(&api, "c1").await.is_empty());
}

#[tokio::test]
async fn stale_evidence_and_evidence_of_the_future_change_nothing_and_say_why() {
    let api = api().await;
    api.host("c1").await;
    let stale = api.post("/v1/evidence", seen("c1", 61)).await.fails(400, "invalid");
    assert_eq!(
        (&stale.body["errors"][0]["causes"][0]["field"], &stale.body["errors"][0]["causes"][0]["reason"]),
        (&json!("observedAt"), &json!("Stale"))
    );
    assert!(stale.message().contains("stale evidence changes nothing"), "{}", stale.message());
    let future = api.post("/v1/evidence", seen("c1", -90)).await.fails(400, "invalid");
    assert!(future.message().contains("in the future"), "{}", future.message());
    api.post("/v1/evidence", seen("c1", -30)).await.gives(202);
    assert_eq!(known(&api, "c1").await.len(), 1);
}

#[tokio::test]
async fn a_replay_is_ignored_and_the_answer_says_so() {
    let api = api().await;
    api.host("c1").await;
    let (older, newer) =
        (seen("c1", 20), json!({"host": "c1", "channel": "storage-heartbeat", "says": "Silent", "observedAt": now(), "ttlSeconds": 60}));
    api.post("/v1/evidence", newer.clone()).await.gives(202);
    for replay in [older, newer] {
        let answer = api.post("/v1/evidence", replay).await.gives(202);
        assert_eq!((&answer.body["taken"], &answer.body["ignored"][0]["reason"]), (&json!(0), &json!("OlderThanKnown")));
    }
    assert_eq!(known(&api, "c1").await[0]["says"], "Silent");
}

#[tokio::test]
async fn of_a_list_all_are_taken_or_none_and_each_fault_is_named() {
    let api = api().await;
    api.host("c1").await;
    api.host("c2").await;
    let mut bad = seen("c2", 1);
    bad["channel"] = json!("two words");
    let answer = api.post("/v1/evidence", json!([seen("c1", 1), seen("nowhere", 1), bad])).await.fails(400, "invalid");
    let fields: Vec<&str> = answer.body["errors"][0]["causes"].as_array().unwrap().iter().map(|c| c["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["[1].host", "[2].channel"]);
    assert!(known(&api, "c1").await.is_empty());
    assert_eq!(api.post("/v1/evidence", json!([seen("c1", 1), seen("c2", 1)])).await.gives(202).body["taken"], 2);
    assert_eq!(api.post("/v1/evidence", json!([])).await.gives(202).body["taken"], 0);
    let many: Vec<Value> = (0..1_001).map(|_| seen("c1", 1)).collect();
    assert!(api.post("/v1/evidence", json!(many)).await.fails(400, "invalid").message().contains("at most 1000"));
    for (field, value) in [
        ("says", json!("Dead")),
        ("ttlSeconds", json!(3_601)),
        ("ttlSeconds", json!(0)),
        ("observedAt", json!("now")),
        ("detail", json!("x".repeat(1_001))),
    ] {
        let mut wrong = seen("c1", 1);
        wrong[field] = value;
        let answer = api.post("/v1/evidence", wrong).await.fails(400, "invalid");
        assert_eq!(answer.body["errors"][0]["causes"][0]["field"], field, "{}", answer.text);
    }
    let mut order = seen("c1", 1);
    order["evacuate"] = json!(true);
    api.post("/v1/evidence", order).await.fails(400, "unknown-field");
    api.post("/v1/evidence", json!("alive")).await.fails(400, "invalid");
}

fn statement(host: &str, epoch: i64, seconds: i64) -> Value {
    json!({"metadata": {"generateName": "attest-", "annotations": {"cloud-manager/created-by": "somebody-else"}},
        "spec": {"hostRef": {"name": host}, "powerEpoch": epoch, "statement": "burnt, I pulled its cables", "expiresAt": now().plus_seconds(seconds)}})
}

#[tokio::test]
async fn a_statement_is_kept_with_who_made_it_and_one_that_is_refused_leaves_an_event() {
    let api = api().await;
    api.host("c1").await;
    for (body, status, code) in
        [(statement("c1", 2, 600), 409, "wrong-epoch"), (statement("c1", 1, -1), 400, "invalid"), (statement("c1", 1, 90_000), 400, "invalid")]
    {
        api.post("/v1/fenceattestations", body).await.fails(status, code);
    }
    let told = notes(&api, "hosts", "c1").await;
    assert_eq!(told.iter().filter(|(reason, _)| reason == "AttestationRefused").count(), 3, "{told:?}");
    assert!(told.iter().any(|(_, note)| note.contains("of admin") && note.contains("power epoch 1")), "{told:?}");

    let made = api.post("/v1/fenceattestations", statement("c1", 1, 600)).await.gives(202);
    assert_eq!((&made.body["status"]["by"], &made.body["spec"]["cancel"]), (&json!("admin"), &json!("No")));
    api.post("/v1/fenceattestations", statement("c1", 1, 700)).await.fails(409, "attestation-in-force");
    let name = made.body["metadata"]["name"].as_str().unwrap();
    let path = format!("/v1/fenceattestations/{name}");
    api.patch(&path, json!({"spec": {"powerEpoch": 2}})).await.fails(400, "immutable-field");
    let forged = api.patch(&path, json!({"status": {"by": "nobody"}})).await;
    assert!(forged.status >= 400 || forged.body["status"]["by"] == "admin", "{}", forged.text);
    assert_eq!(api.get(&path).await.body["status"]["by"], "admin");
    api.patch(&path, json!({"spec": {"cancel": "Requested"}})).await.gives(200);
}

#[tokio::test]
async fn what_a_policy_asks_for_is_not_for_clients_to_say() {
    let api = api().await;
    api.host("c1").await;
    let spec = json!({"hostRef": {"name": "c1"}, "evidence": {"attestation": "Accepted"}});
    let refused = api.post("/v1/evacuations", json!({"metadata": {"name": "e"}, "spec": spec})).await.fails(400, "invalid");
    assert_eq!(refused.body["errors"][0]["causes"][0]["field"], "spec.evidence");
}
