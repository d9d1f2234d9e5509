use crate::fixture::{api, api_with};
use api_server::ApiConfig;
use reqwest::Method;
use serde_json::json;
use std::{collections::HashSet, time::Duration};

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let api = api().await;
    let mut seen = HashSet::new();
    let global = "req-0b1c8e3e-0d0c-4a5b-9a52-3c7f3a1d2e4f";
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/v1/hosts"),
        (Method::GET, "/nowhere"),
        (Method::POST, "/v1"),
        (Method::GET, "/healthcheck"),
        (Method::POST, "/v1/hosts"),
    ] {
        let answer = api.send(api.request(method, path).header("x-openstack-request-id", global)).await;
        let id = answer.header("x-openstack-request-id").to_string();
        assert!(id.strip_prefix("req-").is_some_and(schemas::field::is_uuid), "{path}: {id}");
        assert_ne!(id, global);
        assert!(seen.insert(id));
    }
}

#[tokio::test]
async fn paths_that_are_not_there_are_json() {
    let api = api().await;
    for path in ["/nowhere", "/v2", "/v1/hosts/c1/nope", "/v1/hosts/", "/v1/hosts/c1/actions/evacuate/x"] {
        api.get(path).await.fails(404, "not-found");
    }
    let kind = api.get("/v1/flavors").await.fails(404, "kind-not-found");
    assert!(kind.message().contains("hosts"));
    let missing = api.get("/v1/hosts/c9").await.fails(404, "not-found");
    assert_eq!(missing.body["errors"][0]["resource"], json!({"kind": "Host", "name": "c9"}));
}

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_are_right() {
    let api = api().await;
    for (method, path, allow) in [
        (Method::DELETE, "/v1/hosts", "GET,HEAD,POST"),
        (Method::OPTIONS, "/v1/hosts/c1", "GET,HEAD,PUT,PATCH,DELETE"),
        (Method::POST, "/v1/info", "GET,HEAD"),
        (Method::GET, "/v1/hosts/c1/actions/evacuate", "POST"),
        (Method::POST, "/v1/operations", "GET,HEAD"),
        (Method::DELETE, "/v1/leases/controller", "GET,HEAD"),
        (Method::POST, "/v1/tasks", "GET,HEAD"),
        (Method::GET, "/v1/apply", "POST"),
    ] {
        let answer = api.send(api.request(method.clone(), path)).await.fails(405, "method-not-allowed");
        assert_eq!(answer.header("allow").replace(' ', ""), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let api = api().await;
    api.host("c1").await;
    let get = api.get("/v1/hosts/c1").await.gives(200);
    let head = api.send(api.request(Method::HEAD, "/v1/hosts/c1")).await.gives(200);
    assert_eq!((head.text.as_str(), head.header("etag")), ("", get.header("etag")));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(api.send(api.request(Method::HEAD, "/v1/hosts/c9")).await.gives(404).text, "");
}

#[tokio::test]
async fn an_unknown_query_parameter_is_named() {
    let api = api().await;
    for path in ["/v1/hosts?limits=1", "/v1/hosts/c1?pretty=1", "/v1/kinds?x=1"] {
        api.get(path).await.fails(400, "unknown-parameter");
    }
    let pretty = api.post("/v1/hosts?pretty=1", json!({"metadata": {"name": "c1"}})).await.fails(400, "unknown-parameter");
    assert!(pretty.message().contains("pretty") && pretty.message().contains("dryRun"));
    api.get("/v1/hosts/c1").await.gives(404);
}

#[tokio::test]
async fn a_body_of_the_wrong_type_is_415() {
    let api = api().await;
    let body = json!({"metadata": {"name": "c1"}}).to_string();
    for content_type in ["text/plain", "application/x-yaml", "application/json-patch+json"] {
        api.send(api.request(Method::POST, "/v1/hosts").header("content-type", content_type).body(body.clone()))
            .await
            .fails(415, "unsupported-media-type");
    }
    api.send(api.request(Method::POST, "/v1/hosts").body(body.clone())).await.fails(415, "unsupported-media-type");
    api.send(api.request(Method::POST, "/v1/hosts").header("content-type", "application/json; charset=utf-8").body(body)).await.gives(201);
    let patch = api.send(api.request(Method::PATCH, "/v1/hosts/c1").json(&json!({}))).await.fails(415, "unsupported-media-type");
    assert_eq!(patch.header("accept-patch"), "application/apply-patch+yaml, application/apply-patch+json, application/merge-patch+json");
}

#[tokio::test]
async fn a_body_that_is_too_large_too_deep_or_broken_is_refused() {
    let api = api().await;
    let post = |body: String| api.request(Method::POST, "/v1/hosts").header("content-type", "application/json").body(body);
    api.send(post(" ".repeat(3 * 1024 * 1024 + 1))).await.fails(413, "too-large");
    api.send(post("[".repeat(100_000))).await.fails(400, "malformed");
    api.send(post(format!("{}{}", "[".repeat(65), "]".repeat(65)))).await.fails(400, "malformed");
    let broken = api.send(post("{\"metadata\": }".into())).await.fails(400, "malformed");
    assert!(broken.message().contains("line 1"), "{}", broken.message());
    let twice = api.send(post(r#"{"metadata": {"name": "c1"}, "spec": {"power": "On", "power": "Off"}}"#.into())).await.fails(400, "malformed");
    assert!(twice.message().contains("duplicate key \"power\""), "{}", twice.message());
    api.send(post(String::new())).await.fails(400, "malformed");
    api.send(post("[]".into())).await.fails(400, "invalid");
    let large = json!({"metadata": {"name": "c1"}, "spec": {"title": "x".repeat(600 * 1024)}});
    api.post("/v1/hosts", large).await.fails(400, "invalid");
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let api = api().await;
    api.send(api.request(Method::GET, "/v1/hosts").header("x-filler", "x".repeat(40 * 1024))).await.fails(431, "headers-too-large");
}

#[tokio::test]
async fn a_panic_is_a_500_in_json_and_the_server_lives_on() {
    let api = api().await;
    api.host("boom").await;
    let answer = api.get("/v1/hosts/boom/guests").await.fails(500, "internal");
    assert!(!answer.text.contains("on purpose"));
    api.get("/v1/hosts").await.gives(200);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_504() {
    let api = api_with(ApiConfig { request_timeout: Duration::from_millis(200), ..ApiConfig::default() }).await;
    api.host("slow").await;
    api.get("/v1/hosts/slow/guests").await.fails(504, "timeout");
}

#[tokio::test]
async fn a_write_whose_outcome_is_not_known_says_to_look_first() {
    let api = api().await;
    api.faults.fail(|call, _| (call == "commit").then(|| store::StoreError::OutcomeUnknown("late".into())));
    let answer = api.post("/v1/hosts", json!({"metadata": {"name": "c1"}})).await.fails(504, "outcome-unknown");
    assert!(answer.message().contains("read the object before you repeat it"));
    assert_eq!((answer.header("retry-after"), &answer.body["errors"][0]["retryable"]), ("", &json!(false)));
}

#[tokio::test]
async fn who_sends_too_much_is_told_when_to_come_again_and_others_are_not_held_up() {
    let rate = api_server::Rate { per_second: 1, burst: 3 };
    let api = api_with(ApiConfig { rate: Some(rate), ..ApiConfig::default() }).await;
    for _ in 0..3 {
        api.get("/v1/hosts").await.gives(200);
    }
    let refused = async {
        loop {
            let answer = api.get("/v1/hosts").await;
            if answer.status == 429 {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(crate::fixture::PATIENCE, refused).await.expect("nobody is refused").fails(429, "rate-limited");
    assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1, "{}", answer.text);
    assert!(answer.message().contains("api.requests_per_second"), "{}", answer.message());
    api.get_as("system-reader", "/v1/hosts").await.gives(200);
    api.anonymous(reqwest::Method::GET, "/healthcheck").send().await.map(|r| assert_eq!(r.status(), 200)).unwrap();
}

#[tokio::test]
async fn a_kind_that_controllers_write_says_so_whatever_else_is_wrong_with_the_request() {
    let api = api().await;
    for (method, path) in [
        (Method::POST, "/v1/events"),
        (Method::POST, "/v1/events?limit=1"),
        (Method::OPTIONS, "/v1/events"),
        (Method::PUT, "/v1/leases/controller?x=1"),
        (Method::PATCH, "/v1/auditrecords/ar-1?watch=1"),
        (Method::DELETE, "/v1/operations/x?x=1"),
        (Method::TRACE, "/v1/operations/x"),
    ] {
        let answer = api.send(api.request(method.clone(), path)).await.fails(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), "GET,HEAD", "{method} {path}");
    }
    let hosts = api.send(api.request(Method::OPTIONS, "/v1/hosts")).await.fails(405, "method-not-allowed");
    assert!(hosts.header("allow").contains("POST"), "{}", hosts.header("allow"));
}

#[tokio::test]
async fn a_list_is_not_taken_for_an_object() {
    let api = api().await;
    for body in [json!({"metadata": ["c1"]}), json!({"metadata": {"name": "c1"}, "spec": []}), json!(["cloud-manager/v1", "Host", {"name": "c1"}])] {
        api.post("/v1/hosts", body).await.fails(400, "invalid");
    }
}
