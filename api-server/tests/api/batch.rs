use crate::fixture::{Answer, Api, api};
use reqwest::Method;
use serde_json::{Value, json};

const SITE: &str = "\
# Power of c1, in the wrong order.
apiVersion: cloud-manager/v1
kind: PowerLink
metadata: {name: l1}
spec: {hostRef: {name: c1}, deviceRef: {name: bmc1}}
---
apiVersion: cloud-manager/v1
kind: Host
metadata: {name: c1}
spec: {failureDomain: rack}
---
apiVersion: cloud-manager/v1
kind: PowerDevice
metadata: {name: bmc1}
spec: {type: BMC, protocol: IPMI, endpoint: {host: 10.0.0.1}, credentialRef: {name: cred}}
---
apiVersion: cloud-manager/v1
kind: FailureDomain
metadata: {name: rack}
spec: {type: Rack}
";

impl Api {
    async fn batch(&self, query: &str, body: &str) -> Answer {
        let request = self.request(Method::POST, &format!("/v1/apply?fieldManager=gitops{query}")).header("content-type", "application/yaml");
        self.send(request.body(body.to_string())).await
    }

    async fn revision(&self) -> i64 {
        self.registry.store().revision().await.unwrap().current
    }
}

fn results(answer: &Answer) -> Vec<&str> {
    answer.body["items"].as_array().into_iter().flatten().map(|i| i["result"].as_str().unwrap_or_default()).collect()
}

#[tokio::test]
async fn many_manifests_are_applied_in_their_order_and_a_second_time_nothing_is_written() {
    for query in ["", "&atomic=All"] {
        let api = api().await;
        let done = api.batch(query, SITE).await.gives(200);
        assert_eq!(results(&done), ["created"; 4], "{}", done.text);
        let item = &done.body["items"][1];
        assert_eq!((&item["kind"], &item["name"], &item["place"]), (&json!("Host"), &json!("c1"), &json!("the body, document 2, line 7")));
        let host = api.get("/v1/hosts/c1").await.gives(200);
        assert_eq!((&item["resourceVersion"], &item["uid"]), (&host.body["metadata"]["resourceVersion"], &host.body["metadata"]["uid"]));
        assert_eq!(host.body["metadata"]["managedFields"][0]["manager"], "gitops");
        let before = api.revision().await;
        assert_eq!(results(&api.batch(query, SITE).await.gives(200)), ["unchanged"; 4]);
        assert_eq!(api.revision().await, before);
        let changed = SITE.replace("10.0.0.1", "10.0.0.2");
        assert_eq!(results(&api.batch(query, &changed).await.gives(200)), ["unchanged", "unchanged", "configured", "unchanged"]);
    }
}

#[tokio::test]
async fn if_one_manifest_does_not_pass_none_is_applied_and_each_is_told_of() {
    let api = api().await;
    api.apply("/v1/hosts/c9", "ops", "spec: {power: On}\n").await.gives(201);
    let before = api.revision().await;
    let head = "---\napiVersion: cloud-manager/v1\nkind: Host\n";
    let conflict = format!("{SITE}{head}metadata: {{name: c9}}\nspec: {{power: 'Off'}}\n");
    let refused = api.batch("", &conflict).await.fails(409, "field-conflict");
    assert_eq!(results(&refused), ["", "", "", "", "conflict"]);
    assert_eq!(refused.body["items"][0]["wouldBe"], "created");
    let cause = &refused.body["errors"][0]["causes"][0];
    assert_eq!((&cause["object"], &cause["field"], &cause["manager"]), (&json!("Host/c9"), &json!("spec.power"), &json!("ops")));
    let broken = format!("{conflict}{head}metadata: {{name: c8}}\nspec: {{powr: 'Off'}}\n---\nkind: [\n---\nkind: Hots\n");
    let refused = api.batch("", &broken).await.fails(400, "invalid");
    assert_eq!(results(&refused)[4..], ["conflict", "invalid", "invalid", "invalid"]);
    assert!(refused.message().starts_with("Nothing was applied: 4 of 8 objects cannot be. The first, Host/c8: "), "{}", refused.message());
    assert_eq!(refused.body["items"][5]["causes"][0]["field"], "spec.powr");
    let alone = api.batch("", "kind: Host\n").await.fails(400, "invalid");
    assert_eq!(alone.message().matches("document 1").count(), 1, "{}", alone.message());
    assert!(refused.body["items"][6]["message"].as_str().unwrap().contains("line"), "{}", refused.text);
    assert_eq!(api.revision().await, before);
    let forced = api.batch("&force=true", &conflict).await.gives(200);
    assert_eq!(results(&forced)[4..], ["configured"]);
}

#[tokio::test]
async fn a_batch_is_tried_out_without_a_write() {
    let api = api().await;
    let tried = api.batch("&dryRun=All", SITE).await.gives(200);
    assert_eq!((results(&tried), tried.header("x-dry-run")), (vec!["created"; 4], "All"));
    assert!(tried.body["items"][0]["resourceVersion"].is_null());
    let link = SITE.replace("name: l1", "name: l2");
    let taken = api.batch("&dryRun=All", &format!("{SITE}---\n{}", link.split("---").next().unwrap())).await.fails(409, "conflict");
    assert_eq!(taken.header("x-dry-run"), "All");
    assert!(taken.message().contains("port"), "two of one batch stand against each other: {}", taken.message());
    assert_eq!(api.revision().await, 0);
    assert_eq!(api.get("/v1/events").await.body["items"], json!([]));
}

#[tokio::test]
async fn a_batch_may_be_json_or_what_get_has_written() {
    let api = api().await;
    let host = |name: &str| json!({"apiVersion": "cloud-manager/v1", "kind": "Host", "metadata": {"name": name}});
    let list = json!({"apiVersion": "cloud-manager/v1", "kind": "HostList", "metadata": {}, "items": [host("c3")]});
    for (body, count) in [(host("c1"), 1), (json!([host("c1"), host("c2")]), 2), (list, 1)] {
        let done = api.post("/v1/apply?fieldManager=a", body).await.gives(200);
        assert_eq!(results(&done).len(), count, "{}", done.text);
    }
    let read: Value = api.get("/v1/hosts").await.gives(200).body;
    assert_eq!(results(&api.post("/v1/apply?fieldManager=b", read).await.gives(200)), ["configured"; 3]);
}

#[tokio::test]
async fn batches_that_make_no_sense_are_refused() {
    let api = api().await;
    for (query, body, want) in [
        ("", "".to_string(), "holds no object"),
        ("", "# nothing\n---\n".into(), "holds no object"),
        ("&atomic=1", SITE.into(), "atomic"),
        ("&dryRun=1", SITE.into(), "dryRun"),
        ("&atomic=All", (0..201).map(|n| format!("---\nkind: Host\nmetadata: {{name: c{n}}}\n")).collect(), "at most 200"),
        ("", "---\na: 1\n".repeat(2_001), "at most 2000"),
        ("", "---\n".repeat(300_000), "at most 2000"),
        ("", format!("{SITE}---\n{SITE}"), "twice"),
        ("", "apiVersion: cloud-manager/v1\nkind: Host\nmetadata: {name: c1}\nspec: {power: On, power: 'Off'}\n".into(), "duplicate key"),
        ("", "apiVersion: cloud-manager/v1\nkind: FenceAttestation\nmetadata: {name: a}\nspec: {}\n".into(), "attest HOST"),
    ] {
        let refused = api.batch(query, &body).await;
        assert!(matches!(refused.status, 400 | 409) && refused.text.contains(want), "{want}: {}", refused.text);
    }
    let request = |path: &str, media: &str| api.request(Method::POST, path).header("content-type", media).body(SITE);
    let nobody = api.send(request("/v1/apply", "application/yaml")).await.fails(400, "invalid");
    assert!(nobody.message().contains("fieldManager"));
    api.send(request("/v1/apply?fieldManager=a", "text/plain")).await.fails(415, "unsupported-media-type");
    let reader = api.anonymous(Method::POST, "/v1/apply?fieldManager=a").header("x-auth-token", "system-reader");
    api.send(reader.header("content-type", "application/yaml").body(SITE)).await.fails(403, "forbidden");
    assert_eq!(api.revision().await, 0);
}

#[tokio::test]
async fn a_database_that_fails_in_the_middle_is_told_of_and_nothing_is_built_on_it() {
    let api = api().await;
    let mut commits = 0;
    api.faults.fail(move |call, _| {
        commits += i32::from(call == "commit");
        (call == "commit" && commits == 2).then(|| store::StoreError::OutcomeUnknown("late".into()))
    });
    let done = api.batch("", SITE).await.gives(200);
    // In the order PowerDevice, FailureDomain, Host, PowerLink.
    assert_eq!(results(&done), ["failed", "failed", "created", "failed"], "{}", done.text);
    assert_eq!(done.body["items"][3]["code"], "cloud-manager.outcome-unknown");
    assert_eq!(done.body["items"][1]["code"], "cloud-manager.unavailable");
    api.faults.fail(|_, _| None);
    assert_eq!(results(&api.batch("", SITE).await.gives(200)), ["created", "created", "unchanged", "created"]);
    api.faults.fail(|call, _| (call == "commit").then(|| store::StoreError::OutcomeUnknown("late".into())));
    let changed = SITE.replace("10.0.0.1", "10.0.0.2");
    let whole = api.batch("&atomic=All", &changed).await.fails(504, "outcome-unknown");
    assert_eq!(whole.body["items"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn each_manifest_is_asked_for_by_the_rules_of_its_kind_and_making_it_by_the_rule_to_create() {
    let api = api().await;
    let as_operator = async |body: &str| {
        let request = api.anonymous(Method::POST, "/v1/apply?fieldManager=ops").header("x-auth-token", "operator");
        Answer::of(request.header("content-type", "application/yaml").body(body.to_string()).send().await.unwrap()).await
    };
    let host = "apiVersion: cloud-manager/v1\nkind: Host\nmetadata: {name: c1}\nspec: {power: 'On'}\n";
    let credential = "apiVersion: cloud-manager/v1\nkind: Credential\nmetadata: {name: cred}\nspec: {source: Inline}\n";
    let rules = |answer: &Answer| answer.body["items"].to_string();
    let refused = as_operator(host).await;
    assert!(refused.status >= 400 && rules(&refused).contains("cloud-manager:hosts:create"), "{}", refused.text);
    api.apply("/v1/hosts/c1", "gitops", "kind: Host\nmetadata: {name: c1}\nspec: {title: rack 1}\n").await.gives(201);
    let both = as_operator(&format!("{host}---\n{credential}")).await;
    assert!(both.status >= 400 && rules(&both).contains("cloud-manager:credentials:apply"), "{}", both.text);
    assert!(api.get("/v1/hosts/c1").await.gives(200).body["spec"]["power"] != "On", "nothing of it was written");
    assert_eq!(results(&as_operator(host).await.gives(200)), ["configured"]);
    let request = api.anonymous(Method::PATCH, "/v1/hosts/c2?fieldManager=ops").header("x-auth-token", "operator");
    let one = request.header("content-type", "application/apply-patch+yaml").body(host.replace("c1", "c2")).send().await.unwrap();
    Answer::of(one).await.fails(403, "forbidden");
}
