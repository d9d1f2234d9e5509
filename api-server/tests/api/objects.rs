use crate::fixture::api;
use reqwest::Method;
use schemas::Time;
use serde_json::{Value, json};

#[tokio::test]
async fn a_created_object_has_a_location_an_etag_and_can_be_read_by_name_and_uid() {
    let api = api().await;
    let made = api.host("c1").await;
    assert_eq!(made.header("location"), format!("{}/v1/hosts/c1", api.base));
    assert_eq!(made.header("etag"), format!("\"{}\"", made.rv()));
    assert_eq!(made.body["metadata"]["annotations"]["cloud-manager/created-by"], "admin");
    let by_name = api.get("/v1/hosts/c1").await.gives(200);
    let by_uid = api.get(&format!("/v1/hosts/{}", made.body["metadata"]["uid"].as_str().unwrap())).await.gives(200);
    assert_eq!((&by_name.body, &by_uid.body), (&made.body, &made.body));
    assert_eq!(api.get("/v1/hosts/c1/status").await.gives(200).body, made.body);
}

#[tokio::test]
async fn creating_twice_is_409_and_deleting_twice_404() {
    let api = api().await;
    api.host("c1").await;
    let twice = api.post("/v1/hosts", json!({"metadata": {"name": "c1"}})).await.fails(409, "already-exists");
    assert!(twice.message().contains("Host/c1"));
    assert_eq!(api.delete("/v1/hosts/c1").await.gives(204).text, "");
    api.delete("/v1/hosts/c1").await.fails(404, "not-found");
}

#[tokio::test]
async fn a_one_shot_object_is_202_and_its_exact_repeat_200() {
    let api = api().await;
    api.host("c1").await;
    let body = json!({"metadata": {"name": "d"}, "spec": {"hostRef": {"name": "c1"}, "type": "Drain"}});
    let first = api.post("/v1/hostoperations", body.clone()).await.gives(202);
    assert!(first.header("location").ends_with("/v1/hostoperations/d"));
    let again = api.post("/v1/hostoperations", body).await.gives(200);
    assert_eq!(again.body["metadata"]["uid"], first.body["metadata"]["uid"]);
    let other = json!({"metadata": {"name": "d"}, "spec": {"hostRef": {"name": "c1"}, "type": "Disable"}});
    api.post("/v1/hostoperations", other).await.fails(409, "already-exists");
    let rival = json!({"metadata": {"name": "e"}, "spec": {"hostRef": {"name": "c1"}, "type": "Disable"}});
    let rival = api.post("/v1/hostoperations", rival).await.fails(409, "operation-in-progress");
    assert_eq!(rival.body["task_id"], first.body["metadata"]["uid"]);
}

#[tokio::test]
async fn a_name_is_made_when_only_its_beginning_is_given() {
    let api = api().await;
    let made = api.post("/v1/hosts", json!({"metadata": {"generateName": "rack1-"}})).await.gives(201);
    let name = made.body["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("rack1-") && name.len() == 14, "{name}");
    let given = api.post("/v1/hosts", json!({"metadata": {"generateName": "x-", "name": "c1"}})).await.gives(201);
    assert_eq!(given.body["metadata"]["name"], "c1");
    api.post("/v1/hosts", json!({"metadata": {"generateName": 7}})).await.fails(400, "invalid");
    api.post("/v1/hosts", json!({"metadata": {"generateName": "", "name": ""}})).await.fails(400, "invalid");
}

#[tokio::test]
async fn unknown_and_wrong_fields_are_causes_with_their_paths() {
    let api = api().await;
    let unknown = api.post("/v1/hosts", json!({"metadata": {"name": "c1"}, "spec": {"powr": "On"}})).await.fails(400, "unknown-field");
    assert_eq!(unknown.body["errors"][0]["causes"][0]["reason"], "UnknownField");
    let wrong =
        api.post("/v1/hosts", json!({"metadata": {"name": "c1"}, "spec": {"power": "Off", "schedulable": "Enabled"}})).await.fails(400, "invalid");
    assert_eq!(wrong.body["errors"][0]["causes"][0]["field"], "spec.schedulable");
    let link = json!({"metadata": {"name": "o"}, "spec": {"hostRef": {"name": "c9"}, "type": "Drain"}});
    assert!(api.post("/v1/hostoperations", link).await.fails(400, "invalid").message().contains("c9"));
    api.post("/v1/hosts", json!({"kind": "Credential", "metadata": {"name": "c1"}})).await.fails(400, "invalid");
}

#[tokio::test]
async fn an_update_needs_a_version_and_it_must_be_current() {
    let api = api().await;
    let made = api.host("c1").await;
    let mut body = made.body.clone();
    body["spec"]["power"] = json!("On");
    let updated = api.put("/v1/hosts/c1", &body).await.gives(200);
    assert_eq!(updated.header("etag"), format!("\"{}\"", updated.rv()));
    let stale = api.put("/v1/hosts/c1", &body).await.fails(409, "conflict");
    assert_eq!(stale.body["errors"][0]["resource"]["resourceVersion"], updated.rv().to_string());
    body["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    api.put("/v1/hosts/c1", &body).await.fails(400, "resource-version-required");
    api.put("/v1/hosts/c2", &body).await.fails(404, "not-found");
}

#[tokio::test]
async fn if_match_guards_writes_and_if_none_match_saves_reads() {
    let api = api().await;
    let made = api.host("c1").await;
    let tag = made.header("etag").to_string();
    let mut body = made.body.clone();
    body["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    body["spec"]["title"] = json!("one");
    let put = |tag: &str| api.request(Method::PUT, "/v1/hosts/c1").header("if-match", tag).json(&body);
    api.send(put(&tag)).await.gives(200);
    let lost = api.send(put(&tag)).await.fails(412, "precondition-failed");
    assert_eq!(lost.body["errors"][0]["resource"]["resourceVersion"], (made.rv() + 1).to_string());
    api.send(api.request(Method::DELETE, "/v1/hosts/c1").header("if-match", &tag)).await.fails(412, "precondition-failed");
    let current = api.get("/v1/hosts/c1").await.gives(200).header("etag").to_string();
    let same = api.send(api.request(Method::GET, "/v1/hosts/c1").header("if-none-match", &current)).await.gives(304);
    assert_eq!((same.text.as_str(), same.header("etag")), ("", current.as_str()));
    api.send(api.request(Method::GET, "/v1/hosts/c1").header("if-none-match", &tag)).await.gives(200);
    // No version, and no condition either: an unreadable header must not let the write through.
    let unreadable = || reqwest::header::HeaderValue::from_bytes(b"\"\xfc\"").unwrap();
    api.send(api.request(Method::DELETE, "/v1/hosts/c1").header("if-match", unreadable())).await.fails(412, "precondition-failed");
    let apply = api.request(Method::PATCH, "/v1/hosts/c1?fieldManager=m").header("content-type", "application/apply-patch+json");
    api.send(apply.header("if-match", unreadable()).body("{}")).await.fails(412, "precondition-failed");
    api.send(api.request(Method::DELETE, "/v1/hosts/c1").header("if-match", &current)).await.gives(204);
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names_and_nothing_else() {
    let api = api().await;
    api.post("/v1/hosts", json!({"metadata": {"name": "c1", "labels": {"rack": "a", "row": "1"}}, "spec": {"title": "t"}})).await.gives(201);
    let patched = api.patch("/v1/hosts/c1", json!({"metadata": {"labels": {"rack": null}}, "spec": {"power": "On"}})).await.gives(200);
    assert_eq!(patched.body["metadata"]["labels"], json!({"row": "1"}));
    assert_eq!((&patched.body["spec"]["title"], &patched.body["spec"]["power"]), (&json!("t"), &json!("On")));
    let same = api.patch("/v1/hosts/c1", json!({"spec": {"power": "On"}})).await.gives(200);
    assert_eq!(same.rv(), patched.rv());
    api.patch("/v1/hosts/c1", json!({"metadata": {"resourceVersion": "1"}, "spec": {"power": "Off"}})).await.fails(409, "conflict");
    api.patch("/v1/hosts/c1", json!({"spec": {"powr": "Off"}})).await.fails(400, "unknown-field");
    api.patch("/v1/hosts/c1", json!({"metadata": {"name": "c2"}})).await.fails(400, "immutable-field");
    api.patch("/v1/hosts/c1", json!([1])).await.fails(400, "invalid");
}

#[tokio::test]
async fn patches_without_a_version_all_land_when_they_race() {
    let api = api().await;
    api.host("c1").await;
    let patches = (0..3).map(|i| api.patch("/v1/hosts/c1", json!({"metadata": {"labels": {format!("l{i}"): "x"}}})));
    for answer in futures::future::join_all(patches).await {
        answer.gives(200);
    }
    assert_eq!(api.get("/v1/hosts/c1").await.body["metadata"]["labels"], json!({"l0": "x", "l1": "x", "l2": "x"}));
}

#[tokio::test]
async fn status_is_not_a_clients_to_write() {
    let api = api().await;
    let mut body = api.host("c1").await.body;
    body["status"] = json!({"power": {"state": "Off"}});
    let put = api.put("/v1/hosts/c1", &body).await.gives(200);
    assert_eq!(put.body["status"], json!({}));
    api.put("/v1/hosts/c1/status", &body).await.fails(405, "method-not-allowed");
}

#[tokio::test]
async fn a_delete_can_be_bound_to_uid_and_version() {
    let api = api().await;
    let made = api.host("c1").await;
    let delete = |body: Value| api.request(Method::DELETE, "/v1/hosts/c1").json(&body);
    api.send(delete(json!({"preconditions": {"uid": "0b1c8e3e-0d0c-4a5b-9a52-3c7f3a1d2e4f"}}))).await.fails(412, "precondition-failed");
    api.send(delete(json!({"preconditions": {"resourceVersion": "99"}}))).await.fails(412, "precondition-failed");
    api.send(delete(json!({"preconditions": {"resourceVersion": "x"}}))).await.fails(400, "invalid");
    api.send(delete(json!({"propagationPolicy": "Orphan"}))).await.fails(400, "unknown-field");
    api.send(delete(json!({"preconditions": {"uid": made.body["metadata"]["uid"], "resourceVersion": made.rv().to_string()}}))).await.gives(204);
}

#[tokio::test]
async fn a_deletion_without_a_version_holds_though_a_controller_writes_in_between() {
    let api = api().await;
    let version = api.host("c1").await.rv();
    let between = |times: usize| {
        let mut left = times;
        move |call: &str, _| {
            let hit = call == "commit" && left > 0;
            left -= usize::from(hit);
            hit.then(|| ::store::StoreError::Conflict { what: "Host/c1".into(), current: 9 })
        }
    };
    api.faults.fail(between(1));
    api.send(api.request(Method::DELETE, "/v1/hosts/c1").header("if-match", format!("\"{version}\""))).await.fails(409, "conflict");
    api.faults.fail(between(2));
    api.delete("/v1/hosts/c1").await.gives(204);
}

#[tokio::test]
async fn deleting_what_still_works_is_202_with_the_object() {
    let api = api().await;
    api.host("c1").await;
    api.post("/v1/evacuations", json!({"metadata": {"name": "e"}, "spec": {"hostRef": {"name": "c1"}}})).await.gives(202);
    let deleted = api.delete("/v1/evacuations/e").await.gives(202);
    assert_eq!(deleted.body["spec"]["cancel"], "Requested");
    assert!(deleted.body["metadata"]["deletionTimestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn what_is_referenced_or_protected_is_refused_with_the_reason() {
    let api = api().await;
    api.post("/v1/credentials", json!({"metadata": {"name": "cred"}, "spec": {"data": {"username": "u", "password": "hunter2"}}})).await.gives(201);
    let device = json!({"metadata": {"name": "bmc1"}, "spec": {"type": "BMC", "protocol": "IPMI", "endpoint": {"host": "10.0.0.1"}, "credentialRef": {"name": "cred"}}});
    api.post("/v1/powerdevices", device).await.gives(201);
    let refused = api.delete("/v1/credentials/cred").await.fails(409, "referenced");
    assert!(refused.message().contains("PowerDevice/bmc1"));
}

#[tokio::test]
async fn the_data_of_a_credential_is_in_no_answer() {
    let api = api().await;
    let mut watch = api.watch("credentials?watch=1").await;
    watch.initial().await;
    let made = api
        .post("/v1/credentials", json!({"metadata": {"name": "cred"}, "spec": {"data": {"username": "root", "password": "hunter2"}}}))
        .await
        .gives(201);
    let patched = api.patch("/v1/credentials/cred", json!({"spec": {"data": {"username": "root", "password": "hunter3"}}})).await.gives(200);
    assert_ne!(made.body["status"]["fingerprint"], patched.body["status"]["fingerprint"]);
    let (one, all) = (api.get("/v1/credentials/cred").await.gives(200), api.get("/v1/credentials").await.gives(200));
    let wrong = api.post("/v1/credentials", json!({"metadata": {"name": "x"}, "spec": {"data": {"password": ["hunter4"]}}})).await.gives(400);
    let lines = format!("{:?} {:?}", watch.next().await, watch.next().await);
    for text in [&made.text, &patched.text, &one.text, &all.text, &wrong.text, &lines] {
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[tokio::test]
async fn times_are_utc_with_a_z() {
    let api = api().await;
    let made = api.host("c1").await;
    let text = made.body["metadata"]["creationTimestamp"].as_str().unwrap();
    assert!(text.ends_with('Z') && Time::parse(text).is_ok(), "{text}");
}
