//! get, describe, apply, delete, wait, watch: what people see and what scripts get.

mod common;

use common::*;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, query_param},
};

fn waiting_host() -> Value {
    let status = json!({"observedGeneration": 1, "power": {"state": "On", "links": [{"name": "c1-bmc", "state": "On", "verified": false}]},
        "waiting": {"reason": "NoVerifiedPowerLink", "message": "No power link of c1 is verified."},
        "conditions": [{"type": "Ready", "status": "False", "reason": "NoVerifiedPowerLink", "message": "No power link of c1 is verified.",
                        "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    host("c1", json!({"power": "Off"}), status)
}

#[tokio::test]
async fn get_prints_a_table_names_json_and_yaml() {
    let server = MockServer::start().await;
    on(&server, "GET", "/v1/hosts", ok(&list(&[waiting_host()]))).await;
    on(&server, "GET", "/v1/hosts/c1", ok(&waiting_host())).await;
    let table = run(&server, &["get", "ho"]).await;
    assert_eq!(table.code, 0, "{table:?}");
    let lines: Vec<&str> = table.out.lines().collect();
    assert!(lines[0].starts_with("NAME  READY  REASON"), "{table:?}");
    assert!(lines[1].starts_with("c1    False  NoVerifiedPowerLink  On"), "{table:?}");
    assert!(run(&server, &["get", "hosts", "-o", "wide"]).await.out.contains("EPOCH"));
    assert_eq!(run(&server, &["get", "hosts", "-o", "name"]).await.out, "host/c1\n");
    let json: Value = serde_json::from_str(&run(&server, &["get", "host", "c1", "-o", "json"]).await.out).unwrap();
    assert_eq!(json["metadata"]["name"], "c1");
    assert!(run(&server, &["get", "host", "c1", "-o", "yaml"]).await.out.contains("\n  power: Off\n"));
}

#[tokio::test]
async fn get_prints_columns_as_other_openstack_clients_do() {
    let server = MockServer::start().await;
    on(&server, "GET", "/v1/hosts", ok(&list(&[waiting_host()]))).await;
    let out = async |words: &[&str]| run(&server, words).await.out;
    assert_eq!(out(&["get", "hosts", "-f", "value", "-c", "NAME", "-c", "power"]).await, "c1 On\n");
    assert_eq!(out(&["get", "hosts", "-f", "csv", "-c", "NAME", "-c", "READY"]).await, "NAME,READY\nc1,False\n");
    assert_eq!(out(&["get", "hosts", "-c", "READY", "-c", "NAME"]).await, "READY  NAME\nFalse  c1\n");
    let json: Value = serde_json::from_str(&out(&["get", "hosts", "-f", "json", "-c", "NAME"]).await).unwrap();
    assert_eq!(json, json!([{"NAME": "c1"}]));
    let wrong = run(&server, &["get", "hosts", "-f", "value", "-c", "colour"]).await;
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("there is no column 'colour'; there are NAME, READY"), "{wrong:?}");
}

#[tokio::test]
async fn each_failure_has_its_exit_code_and_its_sentence() {
    let server = MockServer::start().await;
    on(&server, "GET", "/v1/hosts/gone", error(404, "not-found", "There is no Host 'gone'.")).await;
    on(&server, "GET", "/v1/hosts/secret", error(403, "forbidden", "You may not read hosts.")).await;
    let gone = run(&server, &["get", "host", "gone"]).await;
    assert_eq!((gone.code, gone.err.as_str(), gone.out.as_str()), (3, "error: There is no Host 'gone'.\n", ""));
    assert_eq!(run(&server, &["get", "host", "secret"]).await.code, 4);
    let kind = run(&server, &["get", "hots"]).await;
    assert_eq!(kind.code, 2);
    assert!(kind.err.contains("there is no kind 'hots'; there are hosts"), "{kind:?}");
    assert_eq!(run(&server, &["gte"]).await.code, 2);
}

#[tokio::test]
async fn guests_are_listed_and_a_list_that_is_missing_is_no_empty_one() {
    let server = MockServer::start().await;
    let guest =
        json!({"id": "u1", "name": "web", "vmState": "active", "taskState": null, "powerState": "running", "priority": 5, "bootFromVolume": true});
    on(&server, "GET", "/v1/hosts/c1/guests", ok(&json!({"guests": [guest], "observedAt": "2026-01-01T00:00:00Z"}))).await;
    on(&server, "GET", "/v1/hosts/c2/guests", ok(&json!({}))).await;
    let shown = run(&server, &["get", "guests", "c1"]).await;
    assert_eq!(shown.out.lines().nth(1), Some("web   u1  active  -     running  5"), "{shown:?}");
    assert!(shown.err.contains("2026-01-01"), "{shown:?}");
    let missing = run(&server, &["get", "guests", "c2"]).await;
    assert_eq!(missing.code, 10);
    assert!(missing.err.contains("not known"), "{missing:?}");
}

#[tokio::test]
async fn describe_begins_with_why_and_what_to_do() {
    let server = MockServer::start().await;
    on(&server, "GET", "/v1/hosts/c1", ok(&waiting_host())).await;
    let operation = object(
        "HostOperation",
        "drain-c1",
        json!({"hostRef": {"name": "c1"}, "type": "Drain"}),
        json!({"observedGeneration": 1, "waiting": {"reason": "DrainLimit", "message": "2 of 2 hosts are being drained."}}),
    );
    Mock::given(method("GET"))
        .and(path("/v1/hostoperations"))
        .and(query_param("fieldSelector", "spec.hostRef.name=c1"))
        .respond_with(ok(&list(&[operation])))
        .mount(&server)
        .await;
    on(&server, "GET", "/v1/evacuations", ok(&list(&[]))).await;
    let call = object(
        "Operation",
        "op1",
        json!({"owner": "HostOperation/drain-c1", "host": "c1", "step": "LiveMigrate/u1", "attempt": 1}),
        json!({"state": "Unknown"}),
    );
    let settled =
        object("Operation", "op0", json!({"owner": "Host/c1", "host": "c1", "step": "Disable", "attempt": 1}), json!({"state": "Observed"}));
    for (owner, items) in [("Host/c1", vec![settled]), ("HostOperation/drain-c1", vec![call])] {
        let mock = Mock::given(method("GET")).and(path("/v1/operations")).and(query_param("fieldSelector", format!("spec.owner={owner}")));
        mock.respond_with(ok(&list(&items))).mount(&server).await;
    }
    let event =
        object("Event", "e1", json!({"regarding": "Host/c1", "type": "Warning", "reason": "Refused", "count": 3, "note": "No way."}), json!({}));
    Mock::given(path("/v1/events"))
        .and(query_param("fieldSelector", "spec.regarding=Host/c1"))
        .respond_with(ok(&list(&[event])))
        .mount(&server)
        .await;
    let ran = run(&server, &["describe", "host", "c1"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[2], "Why it stands where it stands:", "{}", ran.out);
    assert!(lines[3].contains("(NoVerifiedPowerLink): No power link of c1 is verified."), "{}", ran.out);
    assert!(lines[5].contains("cloud-manager initialise c1"), "{}", ran.out);
    assert!(ran.out.contains("Open on this host: HostOperation drain-c1\n  It waits (DrainLimit)"), "{}", ran.out);
    assert!(ran.out.contains("LiveMigrate/u1") && !ran.out.contains("Observed"), "{}", ran.out);
    assert!(ran.out.contains("No way."), "{}", ran.out);
}

#[tokio::test]
async fn describe_shows_what_it_can_read_when_the_rest_cannot_be_read() {
    let server = MockServer::start().await;
    on(&server, "GET", "/v1/hosts/c1", ok(&waiting_host())).await;
    let ran = run(&server, &["describe", "host", "c1"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("NoVerifiedPowerLink") && ran.out.contains("Events could not be read"), "{}", ran.out);
}

const HOST: &str = "apiVersion: cloud-manager/v1\nkind: Host\nmetadata: {name: c1}\nspec: {power: On}\n";

fn result(kind: &str, name: &str, result: &str) -> Value {
    json!({"kind": kind, "name": name, "result": result, "place": "the body"})
}

async fn apply(server: &MockServer, words: &[&str], input: &str) -> Ran {
    run_with(words, input, &[("CLOUD_MANAGER_ENDPOINT", &server.uri())]).await
}

#[tokio::test]
async fn apply_sends_all_files_at_once_and_tells_what_became_of_each_object() {
    let server = MockServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("b.yaml"), HOST).unwrap();
    std::fs::write(
        dir.path().join("a.json"),
        r#"{"apiVersion": "cloud-manager/v1", "kind": "FailureDomain", "metadata": {"name": "r1"}, "spec": {"type": "Rack"}}"#,
    )
    .unwrap();
    let answer = json!({"items": [result("FailureDomain", "r1", "created"), result("Host", "c1", "unchanged")]});
    on(&server, "POST", "/v1/apply", ok(&answer)).await;
    let path = dir.path().display().to_string();
    let ran = apply(&server, &["apply", "-f", &path], "").await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "failuredomain/r1 created\nhost/c1 unchanged\n"), "{ran:?}");
    let items = bodies(&server, "POST").await[0]["items"].clone();
    assert_eq!((&items[0]["metadata"]["name"], &items[1]["spec"]["power"]), (&json!("r1"), &json!("On")));
    let query = server.received_requests().await.unwrap()[0].url.query().unwrap().to_string();
    assert_eq!(query, "fieldManager=cloud-manager");
    let ran = apply(&server, &["apply", "-f", &path, "--dry-run", "--force-conflicts", "--field-manager", "me"], "").await;
    assert_eq!((ran.code, ran.out.lines().next()), (0, Some("failuredomain/r1 created (dry run)")), "{ran:?}");
    let query = server.received_requests().await.unwrap()[1].url.query().unwrap().to_string();
    assert_eq!(query, "fieldManager=me&force=true&dryRun=All");
}

#[tokio::test]
async fn a_document_that_cannot_be_read_keeps_all_from_being_sent() {
    let server = MockServer::start().await;
    let wrong = format!("{HOST}---\nkind: Host\n bad: [\n---\nkind: Hots\n");
    let ran = apply(&server, &["apply", "-f", "-"], &wrong).await;
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(ran.err.starts_with("error: standard input, document 2, line"), "{ran:?}");
    assert!(ran.err.contains("\nerror: standard input, document 3, line 9") && ran.err.contains("Nothing was sent"), "{ran:?}");
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_the_server_refuses_is_told_with_the_file_that_says_it() {
    let server = MockServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("h.yaml"), HOST).unwrap();
    let mut item = result("Host", "c1", "conflict");
    item["message"] = "Host/c1: spec.power is ops's.".into();
    item["code"] = "cloud-manager.field-conflict".into();
    let body = json!({"error": {"code": 409, "message": "Nothing was applied: 1 of 1 objects cannot be."},
                      "errors": [{"code": "cloud-manager.field-conflict", "status": 409}], "items": [item]});
    on(&server, "POST", "/v1/apply", ResponseTemplate::new(409).set_body_json(body)).await;
    let ran = apply(&server, &["apply", "-f", &dir.path().display().to_string()], "").await;
    assert_eq!((ran.code, ran.out.as_str()), (5, ""), "{ran:?}");
    assert!(ran.err.contains("h.yaml, document 1, line 1: host/c1: spec.power is ops's.\n"), "{ran:?}");
    assert!(ran.err.contains("\nerror: Nothing was applied: 1 of 1"), "{ran:?}");
}

#[tokio::test]
async fn a_credential_that_fails_shows_no_secret() {
    let server = MockServer::start().await;
    // A server that is careless enough to repeat what it was given.
    let said = "invalid value hunter2-long: bad; and hunter2";
    let mut item = result("Credential", "k", "invalid");
    item["message"] = said.into();
    let manifest = "apiVersion: cloud-manager/v1\nkind: Credential\nmetadata: {name: k}\nspec: {data: {username: root, password: hunter2-long, other: hunter2}}\n";
    for answer in [ResponseTemplate::new(200).set_body_json(json!({"items": [item]})), error(400, "invalid", said)] {
        server.reset().await;
        on(&server, "POST", "/v1/apply", answer).await;
        let ran = apply(&server, &["apply", "-f", "-"], manifest).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(!format!("{ran:?}").contains("hunter2") && ran.err.contains("invalid value ***: bad"), "{ran:?}");
    }
}

#[tokio::test]
async fn what_is_declared_no_longer_is_shown_and_asked_for_before_it_goes() {
    let server = MockServer::start().await;
    let mut kept = result("Host", "c9", "kept");
    kept["message"] = "Host is among spec.protectKinds".into();
    let answer = json!({"items": [result("Host", "c1", "unchanged")], "pruned": [result("FailureDomain", "r9", "deleted"), kept]});
    on(&server, "POST", "/v1/apply", ok(&answer)).await;
    let words = ["apply", "-f", "-", "--applyset", "site", "--prune"];
    let ran = apply(&server, &words, HOST).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("they will be deleted:\n  failuredomain/r9\n") && ran.err.contains("--yes"), "{ran:?}");
    let queries = async || server.received_requests().await.unwrap().iter().map(|r| r.url.query().unwrap().to_string()).collect::<Vec<_>>();
    assert_eq!(queries().await, ["fieldManager=cloud-manager&dryRun=All&applySet=site&prune=All"]);
    let ran = apply(&server, &[&words[..], &["--yes", "--max-deletes", "7"]].concat(), HOST).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "host/c1 unchanged\nfailuredomain/r9 deleted\n"), "{ran:?}");
    assert!(ran.err.contains("host/c9 kept: Host is among"), "{ran:?}");
    assert_eq!(queries().await.last().unwrap(), "fieldManager=cloud-manager&applySet=site&prune=All&maxDeletes=7");
    assert_eq!(apply(&server, &["prune", "-f", "-"], HOST).await.code, 2, "the set must be named");
}

#[tokio::test]
async fn diff_ends_as_kubectls_does() {
    let server = MockServer::start().await;
    on(&server, "POST", "/v1/diff", ok(&json!({"items": [result("Host", "c1", "unchanged")]}))).await;
    let same = apply(&server, &["diff", "-f", "-"], HOST).await;
    assert_eq!((same.code, same.out.as_str()), (0, ""), "{same:?}");
    server.reset().await;
    let mut item = result("Host", "c1", "configured");
    (item["live"], item["merged"]) = (waiting_host(), waiting_host());
    item["merged"]["spec"]["power"] = "On".into();
    on(&server, "POST", "/v1/diff", ok(&json!({"items": [item]}))).await;
    let differs = apply(&server, &["diff", "-f", "-"], HOST).await;
    assert_eq!(differs.code, 1, "{differs:?}");
    assert!(
        differs.out.starts_with("--- live/host/c1\n+++ declared/host/c1\n") && differs.out.ends_with("-  power: Off\n+  power: On\n"),
        "{differs:?}"
    );
    server.reset().await;
    on(&server, "POST", "/v1/diff", error(503, "unavailable", "The database cannot be used now.")).await;
    assert!(apply(&server, &["diff", "-f", "-"], HOST).await.code > 1);
}

#[tokio::test]
async fn edit_sends_what_the_editor_left_and_shows_what_was_refused() {
    let server = MockServer::start().await;
    on(&server, "GET", "/v1/hosts/c1", ok(&waiting_host())).await;
    Mock::given(method("PUT")).respond_with(error(400, "invalid", "spec.power: is \"Of\".")).up_to_n_times(1).mount(&server).await;
    Mock::given(method("PUT")).respond_with(ok(&waiting_host())).mount(&server).await;
    let dir = tempfile::tempdir().unwrap();
    // The first time it makes a mistake, the second time it sees the reason and mends it.
    let script = dir.path().join("editor");
    let text = "#!/bin/sh\nif grep -q '^# spec.power' \"$1\"; then sed -i 's/power: .*/power: On/' \"$1\"; else sed -i \"s/power: .*/power: Of/\" \"$1\"; fi\n";
    std::fs::write(&script, text).unwrap();
    let editor = format!("sh {}", script.display());
    let path = std::env::var("PATH").unwrap();
    let environment = |editor| [("CLOUD_MANAGER_ENDPOINT", server.uri()), ("EDITOR", editor), ("PATH", path.clone())];
    let edit = async |editor: String| {
        let environment = environment(editor);
        let pairs: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
        run_with(&["edit", "host", "c1"], "", &pairs).await
    };
    let ran = edit(editor).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "host/c1 edited\n"), "{ran:?}");
    let sent = bodies(&server, "PUT").await;
    assert_eq!((sent.len(), &sent[1]["spec"]["power"], &sent[1]["metadata"]["resourceVersion"]), (2, &json!("On"), &json!("5")));
    let ran = edit("true".into()).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, "host/c1 stays as it is.\n"), "{ran:?}");
    assert_eq!(edit("false".into()).await.code, 2);
    assert_eq!(bodies(&server, "PUT").await.len(), 2);
}

#[tokio::test]
async fn delete_takes_names_and_files_and_tells_what_still_cleans_up() {
    let server = MockServer::start().await;
    on(&server, "DELETE", "/v1/powerlinks/l1", ResponseTemplate::new(204)).await;
    let mut going = object("PowerDevice", "d1", json!({}), json!({}));
    going["metadata"]["finalizers"] = json!(["cloud-manager/power"]);
    on(&server, "DELETE", "/v1/powerdevices/d1", ResponseTemplate::new(202).set_body_json(going)).await;
    on(&server, "DELETE", "/v1/hosts/x", error(404, "not-found", "There is no Host 'x'.")).await;
    let files = "apiVersion: cloud-manager/v1\nkind: PowerDevice\nmetadata: {name: d1}\n---\napiVersion: cloud-manager/v1\nkind: PowerLink\nmetadata: {name: l1}\n";
    let ran = run_with(&["delete", "-f", "-"], files, &[("CLOUD_MANAGER_ENDPOINT", &server.uri())]).await;
    assert_eq!(ran.out, "powerlink/l1 deleted\npowerdevice/d1 is being deleted; first cloud-manager/power cleans up\n", "{ran:?}");
    assert_eq!(run(&server, &["delete", "host", "x"]).await.code, 3);
    assert_eq!(run(&server, &["delete", "host", "x", "--ignore-not-found"]).await.code, 0);
}

fn condition(status: &str) -> Value {
    json!({"conditions": [{"type": "Ready", "status": status, "reason": "Progressing", "message": "Two guests are on their way.", "observedGeneration": 1}]})
}

#[tokio::test]
async fn wait_ends_when_the_condition_comes() {
    let server = MockServer::start().await;
    let mut changed = host("c1", json!({}), condition("True"));
    changed["metadata"]["resourceVersion"] = "6".into();
    let stream = format!("{}\n", json!({"type": "MODIFIED", "object": changed}));
    let watch = Mock::given(path("/v1/hosts"))
        .and(query_param("watch", "1"))
        .and(query_param("fieldSelector", "metadata.name=c1"))
        .and(query_param("resourceVersion", "5"));
    watch.respond_with(ResponseTemplate::new(200).set_body_raw(stream, "application/json")).with_priority(1).mount(&server).await;
    on(&server, "GET", "/v1/hosts", ok(&list(&[host("c1", json!({}), condition("False"))]))).await;
    let ran = run(&server, &["wait", "host", "c1", "--for=condition=Ready", "--timeout", "30s"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let now = run(&server, &["wait", "host", "c1", "--for=condition=Ready=False"]).await;
    assert_eq!(now.code, 0, "{now:?}");
}

#[tokio::test]
async fn wait_that_takes_too_long_tells_the_reason() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(30));
    Mock::given(path("/v1/hosts")).and(query_param("watch", "1")).respond_with(slow).with_priority(1).mount(&server).await;
    on(&server, "GET", "/v1/hosts", ok(&list(&[host("c1", json!({}), condition("False"))]))).await;
    let ran = run(&server, &["wait", "host", "c1", "--for=condition=Ready", "--timeout", "1s"]).await;
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.err.contains("Ready is False (Progressing): Two guests are on their way."), "{ran:?}");
}

#[tokio::test]
async fn waiting_for_what_is_not_there_does_not_wait() {
    let server = MockServer::start().await;
    on(&server, "GET", "/v1/hosts", ok(&list(&[]))).await;
    assert_eq!(run(&server, &["wait", "host", "c1", "--for=condition=Ready"]).await.code, 3);
    assert_eq!(run(&server, &["wait", "host", "c1", "--for=delete"]).await.code, 0);
}

#[tokio::test]
async fn a_watch_prints_each_change_until_it_may_not_go_on() {
    let server = MockServer::start().await;
    let mut changed = waiting_host();
    changed["metadata"]["resourceVersion"] = "6".into();
    let stream = format!("{}\n", json!({"type": "DELETED", "object": changed}));
    for (revision, answer) in [("5", ResponseTemplate::new(200).set_body_raw(stream, "application/json")), ("6", error(403, "forbidden", "Enough."))]
    {
        let watch = Mock::given(path("/v1/hosts")).and(query_param("watch", "1")).and(query_param("resourceVersion", revision));
        watch.respond_with(answer).with_priority(1).mount(&server).await;
    }
    on(&server, "GET", "/v1/hosts", ok(&list(&[waiting_host()]))).await;
    let ran = run(&server, &["watch", "hosts"]).await;
    assert_eq!(ran.code, 4, "{ran:?}");
    let events: Vec<&str> = ran.out.lines().map(|l| l.split_whitespace().next().unwrap()).collect();
    assert_eq!(events, ["EVENT", "ADDED", "DELETED"], "{ran:?}");
    let json = run(&server, &["watch", "hosts", "-o", "json"]).await.out;
    let last: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["object"]["metadata"]["name"]), (&json!("DELETED"), &json!("c1")));
}

#[tokio::test]
async fn explain_reads_the_schema_of_the_server() {
    let server = MockServer::start().await;
    let schema = (schemas::kinds::find("host").unwrap().schema)();
    on(&server, "GET", "/v1/schemas/Host", ok(&schema)).await;
    let ran = run(&server, &["explain", "host.spec.power"]).await;
    assert!(ran.out.starts_with("Host.spec.power  <word>"), "{ran:?}");
}
