//! The audit: what was done, denied and read, by whom, and never a secret.

use crate::fixture::{Answer, Api, PATIENCE, api, api_with};
use ::store::{AuditLog, StoreError};
use api_server::ApiConfig;
use reqwest::Method;
use serde_json::{Value, json};

async fn records(api: &Api, selector: &str) -> Vec<Value> {
    let answer = api.get(&format!("/v1/auditrecords?fieldSelector={selector}")).await.gives(200);
    let mut items = answer.body["items"].as_array().unwrap().clone();
    items.reverse();
    items
}

/// Waits for a record that is written after the answer was given.
async fn wait_for(api: &Api, selector: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = async {
        loop {
            if let Some(record) = records(api, selector).await.into_iter().find(|r| wanted(r)) {
                return record;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no such record: {selector}"))
}

async fn as_user(api: &Api, token: &str, method: Method, path: &str, body: &Value) -> Answer {
    api.send(api.anonymous(method, path).header("x-auth-token", token).json(body)).await
}

fn attachment<'a>(record: &'a Value, name: &str) -> &'a Value {
    let all = record["spec"]["record"]["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|a| a["name"] == name).map_or(&Value::Null, |a| &a["content"])
}

async fn is_whole(api: &Api) {
    assert_eq!(api.faults.sql().audit_verify().await.unwrap().findings, []);
}

#[tokio::test]
async fn each_write_is_recorded_with_who_what_and_which_fields() {
    let api = api().await;
    let made = api.host("c1").await;
    let request = made.header("x-openstack-request-id").to_string();
    let mut host = made.body.clone();
    host["spec"]["power"] = json!("On");
    host["metadata"]["labels"] = json!({"rack": "r1"});
    api.put("/v1/hosts/c1", &host).await.gives(200);
    as_user(&api, "operator", Method::POST, "/v1/hosts/c1/actions/drain", &json!({})).await.gives(202);
    let all = records(&api, "spec.target%3DHost/c1").await;
    let words: Vec<(&str, &str, &str)> = all
        .iter()
        .map(|r| (r["spec"]["initiator"].as_str().unwrap(), r["spec"]["action"].as_str().unwrap(), r["spec"]["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(words, [("id-of-admin", "create", "success"), ("id-of-admin", "update", "success"), ("id-of-operator", "create", "success")]);
    let record = &all[0]["spec"]["record"];
    assert_eq!(
        (&record["initiator"]["name"], &record["initiator"]["request_id"], &record["initiator"]["project_id"]),
        (&json!("admin"), &json!(request), &json!("p"))
    );
    assert_eq!((&record["target"]["typeURI"], &record["target"]["id"]), (&json!("compute/node"), &made.body["metadata"]["uid"]));
    assert_eq!((&record["requestPath"], &record["initiator"]["host"]["address"]), (&json!("/v1/hosts"), &json!("127.0.0.1")));
    assert_eq!(attachment(&all[0], "bodySha256").as_str().map(str::len), Some(64));
    assert_eq!(attachment(&all[1], "fields"), &json!(["metadata.labels.rack", "spec.power"]));
    assert_eq!((&all[2]["spec"]["host"], &all[2]["spec"]["record"]["requestPath"]), (&json!("c1"), &json!("/v1/hosts/c1/actions/drain")));
    api.patch("/v1/hosts/c1", json!({"metadata": {"labels": {"rack": "r1"}}})).await.gives(200);
    assert_eq!(records(&api, "spec.target%3DHost/c1").await.len(), 3, "what changes nothing is no change");
    let one = api.get(&format!("/v1/auditrecords/{}", all[0]["metadata"]["name"].as_str().unwrap())).await.gives(200);
    assert_eq!(one.body["spec"], all[0]["spec"]);
    is_whole(&api).await;
}

#[tokio::test]
async fn a_secret_is_in_no_record_and_that_it_was_changed_is() {
    let api = api().await;
    let body = json!({"metadata": {"name": "bmc"}, "spec": {"data": {"username": "root", "password": "hunter2hunter2"}}});
    let made = api.post("/v1/credentials", body).await.gives(201);
    let mut changed = made.body.clone();
    changed["spec"]["data"] = json!({"username": "root", "password": "hunter3hunter3"});
    api.put("/v1/credentials/bmc", &changed).await.gives(200);
    api.delete("/v1/credentials/bmc").await.gives(204);
    let all = records(&api, "spec.target%3DCredential/bmc").await;
    let actions: Vec<&str> = all.iter().filter_map(|r| r["spec"]["action"].as_str()).filter(|a| !a.starts_with("read")).collect();
    assert_eq!(actions, ["create", "update", "delete"]);
    assert!(attachment(&all[1], "fields").as_array().unwrap().contains(&json!("spec.data")), "{all:?}");
    let text = api.get("/v1/auditrecords").await.gives(200).text;
    assert!(!text.contains("hunter"), "{text}");
}

#[tokio::test]
async fn what_was_denied_and_what_failed_is_recorded_and_plain_reads_are_not() {
    let api = api().await;
    api.host("c1").await;
    api.get("/v1/hosts/c1").await.gives(200);
    api.get_as("member", "/v1/hosts/c1").await.fails(403, "forbidden");
    api.send(api.anonymous(Method::DELETE, "/v1/hosts/c1").header("x-auth-token", "nonsense")).await.gives(401);
    as_user(&api, "system-reader", Method::POST, "/v1/hosts/c1/actions/evacuate", &json!({})).await.fails(403, "forbidden");
    api.post("/v1/hosts", json!({"metadata": {"name": "c1"}})).await.fails(409, "already-exists");
    let reason = |r: &Value| r["spec"]["record"]["reason"]["reasonCode"].as_str().unwrap_or_default().to_string();
    let denied = wait_for(&api, "spec.initiator%3Did-of-member", |_| true).await;
    assert_eq!((&denied["spec"]["action"], &denied["spec"]["target"], reason(&denied)), (&json!("read"), &json!("Host/c1"), "403".into()));
    let unknown = wait_for(&api, "spec.initiator%3Dunknown", |_| true).await;
    assert_eq!((&unknown["spec"]["action"], &unknown["spec"]["outcome"], reason(&unknown)), (&json!("delete"), &json!("failure"), "401".into()));
    wait_for(&api, "spec.action%3Dupdate/evacuate", |r| r["spec"]["outcome"] == "failure" && r["spec"]["initiator"] == "id-of-system-reader").await;
    let failed = wait_for(&api, "spec.outcome%3Dfailure", |r| r["spec"]["initiator"] == "id-of-admin").await;
    assert_eq!((&failed["spec"]["target"], reason(&failed)), (&json!("Host/*"), "409".into()));
    assert!(records(&api, "spec.target%3DHost/c1").await.iter().all(|r| r["spec"]["initiator"] != "id-of-admin" || r["spec"]["action"] == "create"));
    is_whole(&api).await;
}

#[tokio::test]
async fn reads_of_credentials_attestations_and_the_audit_are_recorded_and_all_reads_if_asked_for() {
    let api = api().await;
    api.get_as("system-reader", "/v1/hosts").await.gives(200);
    api.get_as("system-reader", "/v1/fenceattestations").await.gives(200);
    wait_for(&api, "spec.initiator%3Did-of-system-reader", |r| r["spec"]["target"] == "FenceAttestation/*" && r["spec"]["action"] == "read/list")
        .await;
    assert_eq!(records(&api, "spec.initiator%3Did-of-system-reader").await.len(), 1);
    wait_for(&api, "spec.target%3DAuditRecord/*", |r| r["spec"]["initiator"] == "id-of-admin").await;
    let api = api_with(ApiConfig { audit_reads: true, ..ApiConfig::default() }).await;
    api.get_as("system-reader", "/v1/hosts").await.gives(200);
    wait_for(&api, "spec.initiator%3Did-of-system-reader", |r| r["spec"]["target"] == "Host/*").await;
}

#[tokio::test]
async fn the_audit_is_for_auditors_and_nobody_writes_it() {
    let api = api().await;
    api.host("c1").await;
    for token in ["operator", "system-reader", "service", "member"] {
        api.get_as(token, "/v1/auditrecords").await.fails(403, "forbidden");
        api.get_as(token, "/v1/auditrecords/ar-000000000001").await.fails(403, "forbidden");
    }
    api.get("/v1/auditrecords/ar-000000000001").await.gives(200);
    api.get("/v1/auditrecords/ar-000000009999").await.fails(404, "not-found");
    api.get("/v1/auditrecords/nonsense").await.fails(404, "not-found");
    api.post("/v1/auditrecords", json!({"metadata": {"name": "x"}})).await.fails(405, "method-not-allowed");
    api.delete("/v1/auditrecords/ar-000000000001").await.fails(405, "method-not-allowed");
    api.get("/v1/auditrecords?watch=1").await.fails(400, "invalid");
}

#[tokio::test]
async fn records_are_listed_newest_first_and_page_by_page() {
    let api = api().await;
    for n in 0..5 {
        api.host(&format!("c{n}")).await;
    }
    let (mut path, mut seen) = ("/v1/auditrecords?fieldSelector=spec.action%3Dcreate&limit=2".to_string(), Vec::new());
    loop {
        let page = api.get(&path).await.gives(200).body;
        seen.extend(page["items"].as_array().unwrap().iter().map(|r| r["spec"]["target"].as_str().unwrap().to_string()));
        match page["metadata"]["continue"].as_str() {
            Some(token) => path = format!("/v1/auditrecords?fieldSelector=spec.action%3Dcreate&limit=2&continue={token}"),
            None => break,
        }
    }
    assert_eq!(seen, ["Host/c4", "Host/c3", "Host/c2", "Host/c1", "Host/c0"]);
}

#[tokio::test]
async fn a_write_that_did_not_happen_has_no_record_of_success() {
    let api = api().await;
    api.faults.fail(|call, _| (call == "commit").then(|| StoreError::Unavailable("gone".into())));
    api.post("/v1/hosts", json!({"metadata": {"name": "c1"}})).await.fails(503, "unavailable");
    api.faults.fail(|_, _| None);
    assert_eq!(records(&api, "spec.target%3DHost/c1").await, [] as [Value; 0]);
    api.host("c2").await;
    assert_eq!(records(&api, "spec.target%3DHost/c2").await.len(), 1);
}

#[tokio::test]
async fn switched_off_only_what_may_disrupt_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.jsonl");
    let api = api_with(ApiConfig { audit_enabled: false, audit_file: Some(file.clone()), ..ApiConfig::default() }).await;
    api.post("/v1/failuredomains", json!({"metadata": {"name": "r1"}, "spec": {"type": "Rack"}})).await.gives(201);
    api.get_as("member", "/v1/hosts").await.fails(403, "forbidden");
    api.host("c1").await;
    let all = api.get("/v1/auditrecords").await.gives(200).body;
    let targets: Vec<&Value> = all["items"].as_array().unwrap().iter().map(|r| &r["spec"]["target"]).collect();
    assert_eq!(targets, [&json!("Host/c1")]);
    assert!(!file.exists());
}

#[tokio::test]
async fn every_record_comes_to_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.jsonl");
    let api = api_with(ApiConfig { audit_file: Some(file.clone()), ..ApiConfig::default() }).await;
    for n in 0..3 {
        api.host(&format!("c{n}")).await;
    }
    let written = async {
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<Value> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
            if lines.len() >= 3 {
                return lines;
            }
            tokio::task::yield_now().await;
        }
    };
    let lines = tokio::time::timeout(PATIENCE, written).await.expect("the file stays empty");
    let rows = records(&api, "spec.action%3Dcreate").await;
    for (line, row) in lines.iter().zip(&rows) {
        assert_eq!((&line["sequence"], &line["record"], &line["mac"]), (&row["spec"]["sequence"], &row["spec"]["record"], &row["spec"]["mac"]));
    }
}
