use crate::fixture::{api, api_with};
use api_server::ApiConfig;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn the_root_lists_versions_with_300_and_without_a_token() {
    let api = api().await;
    let root = api.send(api.anonymous(Method::GET, "/")).await.gives(300);
    let version = &root.body["versions"][0];
    assert_eq!((&version["id"], &version["status"], &version["max_version"]), (&json!("v1.0"), &json!("CURRENT"), &json!("1.0")));
    assert_eq!(version["links"][0]["href"], format!("{}/v1/", api.base));
    assert_eq!(root.header("location"), format!("{}/v1/", api.base));
    let members: Vec<&str> = version.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["id", "status", "min_version", "max_version", "links"]);
}

#[tokio::test]
async fn the_root_can_be_200_and_links_follow_the_public_endpoint() {
    let config = ApiConfig { root_status: 200, public_endpoint: Some("https://cloud.example/power/v1/".into()), ..ApiConfig::default() };
    let api = api_with(config).await;
    let root = api.send(api.anonymous(Method::GET, "/")).await.gives(200);
    assert_eq!(root.body["versions"][0]["links"][0]["href"], "https://cloud.example/power/v1/");
}

#[tokio::test]
async fn links_keep_https_behind_a_trusted_proxy_only() {
    let trusting = ApiConfig { trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..ApiConfig::default() };
    for (config, headers, expected) in [
        (trusting.clone(), ("x-forwarded-proto", "https"), Some("https://api.example/v1/")),
        (trusting.clone(), ("forwarded", "for=1.2.3.4;proto=https;host=api.example"), Some("https://api.example/v1/")),
        (trusting, ("x-forwarded-host", "evil@example"), None),
        (ApiConfig::default(), ("x-forwarded-proto", "https"), None),
    ] {
        let api = api_with(config).await;
        let request = api.anonymous(Method::GET, "/v1").header(headers.0, headers.1);
        let request = if headers.0 == "x-forwarded-proto" { request.header("x-forwarded-host", "api.example") } else { request };
        let answer = api.send(request).await.gives(200);
        let href = answer.body["version"]["links"][0]["href"].as_str().unwrap();
        match expected {
            Some(expected) => assert_eq!(href, expected, "{headers:?}"),
            None => assert!(href.starts_with("http://") && !href.contains("example:") && !href.contains("evil"), "{headers:?}: {href}"),
        }
    }
}

#[tokio::test]
async fn both_forms_of_the_version_url_answer_without_a_token() {
    let api = api().await;
    for path in ["/v1", "/v1/"] {
        let answer = api.send(api.anonymous(Method::GET, path)).await.gives(200);
        assert_eq!(answer.body["version"]["id"], "v1.0");
    }
}

#[tokio::test]
async fn info_is_exactly_as_documented() {
    let api = api().await;
    assert_eq!(api.send(api.anonymous(Method::GET, "/v1/info")).await.gives(200).body, json!({"info": {"version": "2.0"}}));
}

#[tokio::test]
async fn a_version_is_negotiated_and_said_on_every_answer() {
    let api = api().await;
    let ask = async |version: &str, path: &str| api.send(api.request(Method::GET, path).header("openstack-api-version", version)).await;
    for good in ["cloud-manager 1.0", "cloud-manager latest", "compute 2.93"] {
        let answer = ask(good, "/v1/hosts").await.gives(200);
        assert_eq!(answer.header("openstack-api-version"), "cloud-manager 1.0");
        assert!(answer.header("vary").contains("OpenStack-API-Version"));
    }
    ask("cloud-manager x", "/v1/hosts").await.fails(400, "microversion-malformed");
    let high = ask("cloud-manager 1.99", "/v1/hosts").await.fails(406, "microversion-unsupported");
    assert_eq!((&high.body["errors"][0]["min_version"], &high.body["errors"][0]["max_version"]), (&json!("1.0"), &json!("1.0")));
    ask("cloud-manager 1.99", "/v1").await.gives(200);
}

#[tokio::test]
async fn kinds_and_schemas_are_served_to_those_who_may_read() {
    let api = api().await;
    let kinds = api.get("/v1/kinds").await.gives(200);
    let host = kinds.body["kinds"].as_array().unwrap().iter().find(|k| k["kind"] == "Host").unwrap();
    assert_eq!((&host["plural"], &host["oneShot"], &host["readOnly"]), (&json!("hosts"), &json!(false), &json!(false)));
    assert!(host["columns"].as_array().unwrap().iter().any(|c| c["name"] == "POWER" && c["from"]["path"] == "/status/power/state"));
    for kind in kinds.body["kinds"].as_array().unwrap() {
        let schema = api.get(&format!("/v1/schemas/{}", kind["kind"].as_str().unwrap())).await.gives(200);
        assert_eq!(schema.body["title"], kind["kind"]);
    }
    api.get("/v1/schemas/Nope").await.fails(404, "kind-not-found");
    api.get_as("reader", "/v1/kinds").await.fails(403, "forbidden");
}

#[tokio::test]
async fn health_is_told_as_text_as_json_and_by_status() {
    let api = api().await;
    let text = api.send(api.anonymous(Method::GET, "/healthcheck")).await.gives(200);
    assert_eq!((text.text.as_str(), text.header("content-type")), ("OK", "text/plain; charset=utf-8"));
    let json = api.send(api.anonymous(Method::GET, "/healthcheck").header("accept", "application/json")).await.gives(200);
    assert_eq!(json.body["reasons"], json!(["OK"]));
    api.send(api.anonymous(Method::HEAD, "/healthcheck")).await.gives(204);
    api.send(api.anonymous(Method::GET, "/livez")).await.gives(200);
    let ready = api.send(api.anonymous(Method::GET, "/readyz")).await.gives(200);
    assert_eq!((&ready.body["ok"], &ready.body["token"]), (&json!(true), &json!(3)));
}

#[tokio::test]
async fn readiness_has_details_for_this_machine_and_readers_only() {
    let api = api().await;
    let far = |r: reqwest::RequestBuilder| r.header("x-forwarded-for", "192.0.2.1");
    let bare = api.send(far(api.anonymous(Method::GET, "/readyz"))).await.gives(200);
    assert_eq!(bare.body, json!({"ok": true}));
    assert_eq!(api.send(far(api.request(Method::GET, "/readyz"))).await.gives(200).body["leader"], "a");
}

#[tokio::test]
async fn a_database_that_is_down_is_503_and_tells_nothing_of_itself() {
    let api = api().await;
    api.faults.fail(|_, _| Some(store::StoreError::Unavailable("/var/lib/secret.db is locked".into())));
    let health = api.send(api.anonymous(Method::GET, "/healthcheck")).await.gives(503);
    assert!(!health.text.contains("secret"));
    let list = api.get("/v1/hosts").await.fails(503, "unavailable");
    assert!(list.header("retry-after").parse::<u32>().is_ok());
    assert!(!list.text.contains("secret"));
}

#[tokio::test]
async fn metrics_are_scraped_on_an_address_of_their_own() {
    let api = api().await;
    api.get("/v1/hosts").await.gives(200);
    let handle = api_server::serve_metrics(([127, 0, 0, 1], 0).into(), api.metrics.clone(), api.stop.clone()).await.unwrap();
    let scraped = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("http://{}/metrics", handle.addr)).send().await.unwrap();
    assert!(scraped.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = scraped.text().await.unwrap();
    assert!(text.contains("cloud_manager_http_requests_total{method=\"GET\",status=\"200\"} 1"), "{text}");
    api.get("/metrics").await.fails(404, "not-found");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let api = api().await;
    let taken = api.base.trim_start_matches("http://").parse().unwrap();
    let error = api_server::serve_metrics(taken, api.metrics.clone(), api.stop.clone()).await.unwrap_err().to_string();
    assert!(error.contains(&taken.to_string()) && error.contains("stop what listens there"), "{error}");
}
