//! Who may what, asked of a running server: every line of `access.table`, and a file of rules that changes under it.

use crate::fixture::{Api, api, api_with};
use api_server::ApiConfig;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

const TABLE: &str = include_str!("access.table");
const TOKENS: [&str; 6] = ["admin", "operator", "system-reader", "service", "member", "unscoped"];

async fn ask(api: &Api, token: &str, method: &str, path: &str, content_type: &str) -> crate::fixture::Answer {
    let mut request = api.anonymous(Method::from_bytes(method.as_bytes()).unwrap(), path);
    if !token.is_empty() {
        request = request.header("x-auth-token", token);
    }
    if content_type != "-" {
        request = request.header("content-type", content_type);
    }
    // A watch is not waited for; its head is enough.
    let response = request.send().await.unwrap();
    if response.headers().get("content-type").is_some_and(|t| t == "application/json;stream=watch") {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        return crate::fixture::Answer { status, headers, body: serde_json::Value::Null, text: String::new() };
    }
    crate::fixture::Answer::of(response).await
}

#[tokio::test]
async fn every_request_is_answered_to_those_in_the_table_and_refused_to_all_others() {
    let api = api().await;
    let mut asked = 0;
    for line in TABLE.lines().filter(|l| !l.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [method, path, content_type, rule, may] = words[..] else { panic!("{line}") };
        let may: Vec<&str> = may.split(',').collect();
        for token in TOKENS {
            let answer = ask(&api, token, method, path, content_type).await;
            let refused = matches!(answer.status, 401 | 403);
            assert_eq!(!refused, may.contains(&token), "{token}: {line}: {} {}", answer.status, answer.text);
            if refused && token != "unscoped" {
                assert_eq!((answer.code(), answer.body["errors"][0]["rule"].as_str()), ("forbidden", Some(rule)), "{line}");
            }
            asked += 1;
        }
        let nobody = ask(&api, "", method, path, content_type).await;
        assert_eq!(nobody.status == 401, rule != "open", "{line}: {}", nobody.text);
    }
    assert!(asked > 500, "{asked}");
}

#[tokio::test]
async fn what_is_judged_is_the_path_as_the_handler_reads_it() {
    let api = api().await;
    for path in ["/v1/%63redentials", "/v1/credential%73/x", "/v1/%63%72%65dentials?watch=true"] {
        let answer = api.get_as("system-reader", path).await.fails(403, "forbidden");
        assert!(answer.message().contains("cloud-manager:credentials:"), "{}", answer.text);
    }
    let request = api.anonymous(Method::POST, "/v1/hosts/x/actions/evacu%61te").header("x-auth-token", "system-reader");
    assert!(api.send(request).await.fails(403, "forbidden").message().contains("cloud-manager:hosts:evacuate"));
    api.get_as("member", "/v1/nothings").await.fails(403, "forbidden");
    api.get_as("system-reader", "/v1/nothings").await.fails(404, "kind-not-found");
}

#[tokio::test]
async fn a_token_is_told_who_it_is_and_what_it_may() {
    let api = api().await;
    let who = api.get_as("system-reader", "/v1/whoami").await.gives(200).body;
    assert_eq!(
        (&who["user"]["name"], &who["scope"]["type"], &who["personas"]),
        (&json!("system-reader"), &json!("System"), &json!(["observer", "tenant"]))
    );
    let allowed = |who: &serde_json::Value, rule: &str| who["allowed"].as_array().unwrap().contains(&json!(rule));
    assert!(allowed(&who, "cloud-manager:hosts:list") && !allowed(&who, "cloud-manager:hosts:evacuate"));
    let who = api.get_as("unscoped", "/v1/whoami").await.gives(200).body;
    assert_eq!(
        (&who["scope"]["type"], &who["allowed"]),
        (&json!("None"), &json!(["cloud-manager:whoami:get", "cloud-manager:access-reviews:create"]))
    );
    api.anonymous(Method::GET, "/v1/whoami").send().await.map(|r| assert_eq!(r.status(), 401)).unwrap();
}

#[tokio::test]
async fn a_review_says_whether_it_is_allowed_and_by_which_rule() {
    let api = api().await;
    let review = async |token: &str, body: serde_json::Value| {
        api.send(api.anonymous(Method::POST, "/v1/access-reviews").header("x-auth-token", token).json(&body)).await
    };
    let answer = review("operator", json!({"verb": "evacuate", "kind": "Host", "name": "c1"})).await.gives(200).body;
    assert_eq!(
        (&answer["allowed"], &answer["rule"], &answer["check"]),
        (&json!(true), &json!("cloud-manager:hosts:evacuate"), &json!("rule:operator"))
    );
    let answer = review("operator", json!({"verb": "create", "kind": "credentials"})).await.gives(200).body;
    assert_eq!((&answer["allowed"], &answer["rule"]), (&json!(false), &json!("cloud-manager:credentials:create")));
    let answer = review("member", json!({"verb": "get", "kind": "decisions"})).await.gives(200).body;
    assert_eq!(answer["allowed"], json!(false));
    let answer = review("unscoped", json!({"verb": "get", "kind": "Host"})).await.gives(200).body;
    assert_eq!((&answer["allowed"], &answer["scopesWanted"]), (&json!(false), &json!(["system", "project"])));
    for (body, field, says) in [
        (json!({"verb": "explode", "kind": "Host"}), "verb", "evacuate"),
        (json!({"verb": "get", "kind": "Nothing"}), "kind", "/v1/kinds"),
        (json!({"verb": "get", "kind": 7}), "kind", "string"),
    ] {
        let answer = review("member", body).await.fails(400, "invalid");
        assert_eq!(answer.body["errors"][0]["causes"][0]["field"], field, "{}", answer.text);
        assert!(answer.message().contains(says), "{}", answer.text);
    }
    review("member", json!({"verb": "get", "kind": "Host", "host": "c1"})).await.fails(400, "unknown-field");
}

#[tokio::test]
async fn a_file_of_rules_counts_as_soon_as_it_changes_and_a_broken_one_leaves_the_old_in_force_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    let write = |text: &str| {
        let draft = dir.path().join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(&draft, &path).unwrap();
    };
    write("observer: \"role:reader\"\n");
    let config = ApiConfig { policy_file: Some(path.clone()), policy_recheck: Duration::from_millis(20), ..ApiConfig::default() };
    let api = api_with(config).await;
    api.post("/v1/clusterpolicies", json!({"metadata": {"name": "default"}})).await.gives(201);
    let until = async |token: &str, status: u16| {
        let gives = async {
            while api.get_as(token, "/v1/hosts").await.status != status {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(crate::fixture::PATIENCE, gives).await.unwrap_or_else(|_| panic!("{token} is never answered {status}"));
    };
    until("reader", 200).await;
    write("observer: \"role:member\"\n");
    until("reader", 403).await;
    until("member", 200).await;
    write("observer: \"role:member or\"\n");
    let told = async {
        loop {
            let events = api.get("/v1/clusterpolicies/default/events").await.gives(200).body;
            if let Some(event) = events["items"].as_array().unwrap().iter().find(|e| e["spec"]["reason"] == "PolicyFileInvalid") {
                return event["spec"]["note"].as_str().unwrap().to_string();
            }
        }
    };
    let note = tokio::time::timeout(crate::fixture::PATIENCE, told).await.expect("nobody is told");
    assert!(note.contains("line 1") && note.contains("observer"), "{note}");
    api.get_as("member", "/v1/hosts").await.gives(200);
    api.get_as("reader", "/v1/hosts").await.fails(403, "forbidden");
}
