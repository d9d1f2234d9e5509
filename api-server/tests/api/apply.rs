use crate::fixture::{Api, api};
use reqwest::Method;
use serde_json::{Value, json};

const HOST: &str = "apiVersion: cloud-manager/v1\nkind: Host\n";

fn power(power: &str) -> String {
    format!("{HOST}metadata: {{name: c1}}\nspec:\n  power: {power}\n")
}

/// Managers and their operations.
fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.map(|m| format!("{} {}", m["manager"].as_str().unwrap(), m["operation"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn an_apply_creates_changes_and_then_writes_nothing() {
    let api = api().await;
    let made = api.apply("/v1/hosts/c1", "gitops", &power("On")).await.gives(201);
    assert_eq!(made.header("location"), format!("{}/v1/hosts/c1", api.base));
    assert_eq!(made.body["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:spec": {"f:power": {}}}));
    let mut watch = api.watch(&format!("hosts?watch=1&resourceVersion={}", made.rv())).await;
    let same = api.apply("/v1/hosts/c1", "gitops", &power("On")).await.gives(200);
    assert_eq!((same.rv(), same.header("etag")), (made.rv(), made.header("etag")));
    let json = json!({"spec": {"power": "Off"}}).to_string();
    let request = api.request(Method::PATCH, "/v1/hosts/c1?fieldManager=gitops").header("content-type", "application/apply-patch+json");
    let changed = api.send(request.body(json)).await.gives(200);
    assert_eq!((changed.body["spec"]["power"].as_str(), changed.header("location")), (Some("Off"), ""));
    assert_eq!(watch.event().await, ("MODIFIED".into(), "c1".into(), changed.rv()), "the apply that changed nothing was not told");
    let by_uid = format!("/v1/hosts/{}", made.body["metadata"]["uid"].as_str().unwrap());
    api.apply(&by_uid, "gitops", "spec: {power: 'Off'}\nmetadata: {name: c1}\n").await.gives(200);
    api.apply("/v1/hosts/0b1c8e3e-0d0c-4a5b-9a52-3c7f3a1d2e4f", "gitops", "spec: {}\n").await.fails(404, "not-found");
}

#[tokio::test]
async fn a_conflict_is_409_with_field_owner_and_ways_out() {
    let api = api().await;
    api.apply("/v1/hosts/c1", "gitops", &power("On")).await.gives(201);
    let refused = api.apply("/v1/hosts/c1", "ops", &power("'Off'")).await.fails(409, "field-conflict");
    assert!(refused.message().contains("Host/c1") && refused.message().contains("force=true"), "{}", refused.message());
    let cause = &refused.body["errors"][0]["causes"][0];
    assert_eq!(
        (&cause["field"], &cause["manager"], &cause["operation"], &cause["value"], &cause["reason"]),
        (&json!("spec.power"), &json!("gitops"), &json!("Apply"), &json!("text"), &json!("FieldConflict"))
    );
    assert_eq!(refused.body["errors"][0]["resource"]["name"], "c1");
    assert_eq!(api.get("/v1/hosts/c1").await.body["spec"]["power"], "On");
    let taken = api.apply("/v1/hosts/c1?force=true", "ops", &power("'Off'")).await.gives(200);
    assert_eq!((managers(&taken.body), &taken.body["spec"]["power"]), (vec!["ops Apply".to_string()], &json!("Off")));
}

#[tokio::test]
async fn a_manager_is_asked_for_and_has_a_name_that_can_be_printed() {
    let api = api().await;
    let apply = |query: &str| {
        let request = api.request(Method::PATCH, &format!("/v1/hosts/c1{query}"));
        api.send(request.header("content-type", "application/apply-patch+yaml").body(power("On")))
    };
    for query in ["", "?fieldManager=", "?fieldManager=a%0Ab", &format!("?fieldManager={}", "x".repeat(129)), "?fieldManager=a&force=maybe"] {
        let refused = apply(query).await.fails(400, "invalid");
        assert!(refused.message().contains("fieldManager") || refused.message().contains("force"), "{}", refused.message());
    }
    api.get("/v1/hosts/c1").await.fails(404, "not-found");
    apply("?fieldManager=Rack%20team").await.gives(201);
    let patch = |query: &str| {
        let request = api.request(Method::PATCH, &format!("/v1/hosts/c1{query}")).header("content-type", "application/merge-patch+json");
        api.send(request.body("{}"))
    };
    assert!(patch("?force=true").await.fails(400, "invalid").message().contains("goes with an apply only"));
}

#[tokio::test]
async fn what_is_written_plainly_belongs_to_the_manager_or_the_program_that_wrote_it() {
    let api = api().await;
    let body = json!({"metadata": {"name": "c1"}, "spec": {"title": "a"}});
    let post = api.request(Method::POST, "/v1/hosts").header("user-agent", "curl/8.5.0 (x86)").json(&body);
    let made = api.send(post).await.gives(201);
    assert_eq!(managers(&made.body), ["curl Update"]);
    let patch = |query: &str, body: Value| {
        let request = api.request(Method::PATCH, &format!("/v1/hosts/c1{query}")).header("content-type", "application/merge-patch+json");
        api.send(request.body(body.to_string()))
    };
    let patched = patch("?fieldManager=ops", json!({"spec": {"power": "On"}})).await.gives(200);
    assert_eq!(managers(&patched.body), ["curl Update", "ops Update"]);
    let mut body = patched.body.clone();
    body["spec"]["title"] = json!("b");
    let put = api.put("/v1/hosts/c1", &body).await.gives(200);
    assert_eq!(managers(&put.body), ["ops Update", "unknown Update"], "a client without a name, and a title that is curl's no longer");
    body = put.body;
    body["metadata"]["managedFields"][0]["manager"] = json!("me");
    let forged = api.put("/v1/hosts/c1", &body).await.fails(400, "immutable-field");
    assert!(forged.message().contains("metadata.managedFields"));
    let conflict = api.apply("/v1/hosts/c1", "gitops", &power("'Off'")).await.fails(409, "field-conflict");
    assert_eq!(conflict.body["errors"][0]["causes"][0]["operation"], "Update");
}

#[tokio::test]
async fn an_apply_can_be_bound_to_a_version() {
    let api = api().await;
    let made = api.apply("/v1/hosts/c1", "gitops", &power("On")).await.gives(201);
    let tag = made.header("etag").to_string();
    let apply = |path: &str, tag: &str, body: String| {
        let request = api.request(Method::PATCH, path).header("content-type", "application/apply-patch+yaml").header("if-match", tag);
        api.send(request.body(body))
    };
    apply("/v1/hosts/c1?fieldManager=gitops", &tag, power("'Off'")).await.gives(200);
    apply("/v1/hosts/c1?fieldManager=gitops", &tag, power("On")).await.fails(412, "precondition-failed");
    let missing = apply("/v1/hosts/c9?fieldManager=gitops", "*", "spec: {}\n".into()).await.fails(412, "precondition-failed");
    assert!(missing.message().contains("leave If-Match out"));
    let stale = format!("{HOST}metadata: {{name: c1, resourceVersion: '{}'}}\nspec: {{}}\n", made.rv());
    api.apply("/v1/hosts/c1", "gitops", &stale).await.fails(409, "conflict");
}

#[tokio::test]
async fn status_is_nothing_that_an_apply_writes() {
    let api = api().await;
    let body = format!("{}status: {{power: {{state: 'Off'}}}}\n", power("On"));
    let made = api.apply("/v1/hosts/c1", "gitops", &body).await.gives(201);
    assert_eq!(made.body["status"], json!({}));
}

#[tokio::test]
async fn bodies_that_are_no_object_in_yaml_are_refused_with_their_line() {
    let api = api().await;
    let bomb = |n: usize| {
        let mut text = String::from("x0: &x0 [a, a, a, a, a, a, a, a, a]\n");
        for n in 1..n {
            text.push_str(&format!("x{n}: &x{n} [{}]\n", vec![format!("*x{}", n - 1); 9].join(", ")));
        }
        text
    };
    for (body, want) in [
        ("spec: {power: On, power: 'Off'}\n".to_string(), "duplicate key \"power\""),
        ("spec: [\n".into(), "line"),
        (bomb(10), "aliases"),
        (format!("spec: {}{}\n", "[".repeat(70), "]".repeat(70)), "nested deeper"),
        ("spec: {power: !x On}\n".into(), "tags"),
        ("spec: {}\n---\nspec: {}\n".into(), "document"),
    ] {
        let refused = api.apply("/v1/hosts/c1", "gitops", &body).await.fails(400, "malformed");
        assert!(refused.message().contains(want), "{}", refused.message());
    }
    let request = || api.request(Method::PATCH, "/v1/hosts/c1?fieldManager=a").header("content-type", "application/apply-patch+yaml");
    let binary = api.send(request().body(vec![b's', 0xff, 0xfe])).await.fails(400, "malformed");
    assert!(binary.message().contains("UTF-8"));
    api.send(request().body("x".repeat(3 * 1024 * 1024 + 1))).await.fails(413, "too-large");
    for empty in ["", "# nothing\n", "- 1\n", "text\n"] {
        api.apply("/v1/hosts/c1", "gitops", empty).await.fails(400, "invalid");
    }
    for wrong in ["kind: PowerLink\n", "apiVersion: v2\n", "metadata: {name: c2}\n", "metadata: {generateName: c}\n", "spec: {powr: On}\n"] {
        api.apply("/v1/hosts/c1", "gitops", wrong).await.gives(400);
    }
    api.get("/v1/hosts/c1").await.fails(404, "not-found");
}

#[tokio::test]
async fn what_is_done_once_and_what_only_a_person_can_state_is_not_taken_from_gitops() {
    let api = api().await;
    api.host("c1").await;
    for (plural, spec) in [
        ("hostoperations", "{hostRef: {name: c1}, type: Drain}"),
        ("evacuations", "{hostRef: {name: c1}}"),
        ("fenceattestations", "{hostRef: {name: c1}, powerEpoch: 1, statement: it is dead}"),
        ("fencedrills", "{hosts: [c1]}"),
    ] {
        let refused = api.apply(&format!("/v1/{plural}/x"), "gitops", &format!("spec: {spec}\n")).await.fails(409, "not-from-gitops");
        assert!(refused.message().contains("by hand"), "{}", refused.message());
    }
    let post = json!({"metadata": {"name": "d"}, "spec": {"hostRef": {"name": "c1"}, "type": "Drain"}});
    api.post("/v1/hostoperations?fieldManager=gitops", post).await.fails(409, "not-from-gitops");
    api.apply("/v1/hostoperations/d", "ops", "spec: {hostRef: {name: c1}, type: Drain}\n").await.gives(202);
    api.apply("/v1/hostoperations/d", "ops", "spec: {hostRef: {name: c1}, type: Drain}\n").await.gives(200);
    let reader = api.anonymous(Method::PATCH, "/v1/hosts/c2?fieldManager=a").header("x-auth-token", "system-reader");
    api.send(reader.header("content-type", "application/apply-patch+yaml").body("spec: {}\n")).await.fails(403, "forbidden");
}

#[tokio::test]
async fn the_data_of_a_credential_that_is_applied_is_in_no_answer() {
    let api: Api = api().await;
    let sent = |password: &str| format!("spec: {{data: {{username: root, password: {password}}}}}\n");
    let made = api.apply("/v1/credentials/cred", "a", &sent("hunter2")).await.gives(201);
    let conflict = api.apply("/v1/credentials/cred", "b", &sent("hunter3")).await.fails(409, "field-conflict");
    let batch = api.request(Method::POST, "/v1/apply?fieldManager=b").header("content-type", "application/yaml");
    let body = format!("apiVersion: cloud-manager/v1\nkind: Credential\nmetadata: {{name: cred}}\n{}", sent("hunter4"));
    let batch = api.send(batch.body(body)).await.fails(409, "field-conflict");
    let read = api.get("/v1/credentials/cred").await.gives(200);
    for text in [&made.text, &conflict.text, &batch.text, &read.text] {
        assert!(!text.contains("hunter"), "{text}");
    }
    assert_eq!(conflict.body["errors"][0]["causes"][0]["field"], "spec.data");
}
