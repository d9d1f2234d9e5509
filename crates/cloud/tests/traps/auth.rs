//! Our token, others' tokens, the catalogue.

use crate::support::*;
use cloud::openstack::{CloudConfig, Credentials, OpenStack};
use cloud::{AccessRule, CloudError, Compute, Identity, Placement};
use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

#[tokio::test]
async fn a_revoked_token_is_renewed_once_and_the_call_repeated() {
    let server = MockServer::start().await;
    let catalog = json!([{"type": "compute", "endpoints": [endpoint(json!("RegionOne"), &format!("{}/compute", server.uri()))]}]);
    let keystone = Mock::given(method("POST")).and(path("/v3/auth/tokens"));
    keystone.respond_with(token("revoked", catalog.clone())).up_to_n_times(1).mount(&server).await;
    answer(&server, "POST", "/v3/auth/tokens", token("fresh", catalog)).await;
    Mock::given(method("GET"))
        .and(path("/compute/v2.1/"))
        .and(header("x-auth-token", "revoked"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"version": {"id": "v2.1", "version": "2.93"}})))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path(ACTION))
        .and(header("x-auth-token", "revoked"))
        .respond_with(ResponseTemplate::new(401))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path(ACTION))
        .and(header("x-auth-token", "fresh"))
        .respond_with(ResponseTemplate::new(202).insert_header("x-openstack-request-id", REQUEST_ID))
        .expect(1)
        .mount(&server)
        .await;
    let cloud = OpenStack::connect(config(&server.uri())).await.unwrap();
    let accepted = cloud.stop("s1").await.unwrap();
    assert_eq!(accepted.request_id.as_deref(), Some(REQUEST_ID));
    assert_eq!(count(&server, "POST", "/v3/auth/tokens").await, 2);
}

#[tokio::test]
async fn a_token_that_is_turned_away_again_is_not_sent_and_not_a_loop() {
    let (server, cloud) = cloud_with("2.93").await;
    answer(&server, "POST", ACTION, ResponseTemplate::new(401)).await;
    let error = cloud.evacuate("s1", "c2", false).await.unwrap_err();
    assert!(matches!(error, CloudError::NotSent { .. }), "{error}");
    assert_eq!(count(&server, "POST", ACTION).await, 2);
}

#[tokio::test]
async fn many_first_calls_make_one_token_request() {
    let (server, cloud) = cloud_with("2.93").await;
    answer(&server, "GET", "/compute/v2.1/os-services", ResponseTemplate::new(200).set_body_json(json!({"services": []}))).await;
    let results = futures::future::join_all((0..30).map(|_| cloud.services())).await;
    assert!(results.iter().all(|r| r.as_ref().is_ok_and(Vec::is_empty)));
    assert_eq!(count(&server, "POST", "/identity/v3/auth/tokens").await, 1);
    assert_eq!(count(&server, "GET", "/compute/v2.1/").await, 1);
}

#[tokio::test]
async fn keystone_turning_our_password_away_is_said_plainly_and_never_shows_it() {
    let server = MockServer::start().await;
    let fault = json!({"error": {"code": 401, "message": "The request you have made requires authentication."}});
    answer(&server, "POST", "/v3/auth/tokens", ResponseTemplate::new(401).set_body_json(fault)).await;
    let cloud = OpenStack::connect(config(&server.uri())).await.unwrap();
    let error = cloud.services().await.unwrap_err();
    assert!(matches!(&error, CloudError::NotSent { detail, .. } if detail.contains("does not accept our credentials")), "{error}");
    assert_eq!(count(&server, "POST", "/v3/auth/tokens").await, 1);
    for shown in [format!("{cloud:?}"), format!("{:?}", config(&server.uri())), format!("{error:?}"), error.to_string()] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_null_region_elsewhere_in_the_catalogue_is_no_harm_and_a_missing_endpoint_is_named() {
    let server = MockServer::start().await;
    let catalog = json!([
        {"type": "image", "endpoints": [endpoint(Value::Null, "http://glance")]},
        {"type": "compute", "endpoints": [endpoint(json!("RegionOne"), &format!("{}/compute/v2.1/p1", server.uri()))]},
    ]);
    answer(&server, "POST", "/v3/auth/tokens", token("good", catalog)).await;
    versions(&server, "2.93").await;
    let cloud = OpenStack::connect(config(&server.uri())).await.unwrap();
    assert_eq!(cloud.max_microversion().await.unwrap(), (2, 93));
    let error = cloud.provider("p").await.unwrap_err();
    assert!(matches!(&error, CloudError::NotSent { detail, .. } if detail.contains("no placement endpoint")), "{error}");

    let mut elsewhere = config(&server.uri());
    elsewhere.region = Some("West".into());
    let error = OpenStack::connect(elsewhere).await.unwrap().services().await.unwrap_err();
    assert!(error.to_string().contains("region West; it has: public in RegionOne"), "{error}");
}

#[tokio::test]
async fn a_callers_token_is_valid_invalid_or_not_to_be_told() {
    let (server, cloud) = cloud_with("2.93").await;
    let tokens = "/identity/v3/auth/tokens";
    let subject = |t: &str| {
        Mock::given(method("GET"))
            .and(path(tokens))
            .and(header("x-subject-token", t))
            .and(query_param("nocatalog", ""))
            .and(header("openstack-identity-access-rules", "1.0"))
    };
    let body = json!({"token": {"user": {"id": "u9", "name": "ops"}, "system": {"all": true}, "roles": [{"id": "r", "name": "reader"}], "expires_at": "2026-01-01T01:00:00.000000Z"}});
    subject("theirs").respond_with(ResponseTemplate::new(200).set_body_json(body.clone())).mount(&server).await;
    let mut restricted = body;
    restricted["token"]["application_credential"] = json!({"id": "a", "access_rules": [{"path": "/v1", "method": "GET", "service": "x"}]});
    subject("restricted").respond_with(ResponseTemplate::new(200).set_body_json(restricted)).mount(&server).await;
    let fault = json!({"error": {"code": 404, "message": "Failed to validate token"}});
    subject("bad").respond_with(ResponseTemplate::new(404).set_body_json(fault)).mount(&server).await;
    subject("proxy").respond_with(ResponseTemplate::new(404).set_body_string("nothing here")).mount(&server).await;
    subject("ours-stale").respond_with(ResponseTemplate::new(401)).mount(&server).await;
    subject("broken").respond_with(ResponseTemplate::new(500)).mount(&server).await;

    let info = cloud.validate("theirs", false).await.unwrap().unwrap();
    assert_eq!((info.user_id.as_str(), info.user_name.as_str(), info.project_id, info.system_scope), ("u9", "ops", None, true));
    assert_eq!((info.roles, info.expires_at.to_string()), (vec!["reader".to_owned()], "2026-01-01T01:00:00Z".to_owned()));
    let rule = AccessRule { service: "x".into(), method: "GET".into(), path: "/v1".into() };
    assert_eq!(cloud.validate("restricted", false).await.unwrap().unwrap().access_rules, Some(vec![rule]));
    for invalid in ["bad", "", "line\nbreak"] {
        assert_eq!(cloud.validate(invalid, false).await.unwrap(), None, "{invalid:?}");
    }
    for untold in ["proxy", "ours-stale", "broken"] {
        assert!(cloud.validate(untold, false).await.is_err(), "{untold}");
    }
}

#[tokio::test]
async fn the_public_address_of_keystone_comes_from_the_catalogue() {
    let server = MockServer::start().await;
    let catalog = json!([
        {"type": "identity", "endpoints": [endpoint(json!("RegionOne"), "https://keystone.example.org/v3/")]},
        {"type": "compute", "endpoints": [endpoint(json!("RegionOne"), &format!("{}/compute", server.uri()))]},
    ]);
    answer(&server, "POST", "/v3/auth/tokens", token("good", catalog)).await;
    versions(&server, "2.93").await;
    let cloud = OpenStack::connect(config(&server.uri())).await.unwrap();
    assert_eq!(cloud.public_url(), format!("{}/v3", server.uri()));
    cloud.max_microversion().await.unwrap();
    assert_eq!(cloud.public_url(), "https://keystone.example.org/v3");
}

#[tokio::test]
async fn an_application_credential_is_sent_without_a_scope() {
    let server = MockServer::start().await;
    let is_right = |r: &Request| {
        let expected =
            json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "abc", "secret": "hunter2"}}}});
        serde_json::from_slice::<Value>(&r.body).is_ok_and(|b| b == expected)
    };
    let catalog = json!([{"type": "compute", "endpoints": [endpoint(json!("RegionOne"), &format!("{}/compute", server.uri()))]}]);
    Mock::given(method("POST")).and(path("/v3/auth/tokens")).and(is_right).respond_with(token("good", catalog)).expect(1).mount(&server).await;
    versions(&server, "2.93").await;
    let env = [("OS_AUTH_URL", server.uri()), ("OS_APPLICATION_CREDENTIAL_ID", "abc".into()), ("OS_APPLICATION_CREDENTIAL_SECRET", "hunter2".into())];
    let config = CloudConfig::from_env(&env.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()).unwrap();
    assert_eq!(OpenStack::connect(config).await.unwrap().max_microversion().await.unwrap(), (2, 93));
}

#[tokio::test]
async fn a_changed_login_is_used_from_the_next_call_on_and_another_keystone_is_refused() {
    let server = MockServer::start().await;
    let catalog = json!([{"type": "compute", "endpoints": [endpoint(json!("RegionOne"), &format!("{}/compute", server.uri()))]}]);
    let with = |password: &str| Mock::given(method("POST")).and(path("/v3/auth/tokens")).and(body_string_contains(format!("\"{password}\"")));
    with("newer").respond_with(token("fresh", catalog.clone())).mount(&server).await;
    Mock::given(method("POST")).and(path("/v3/auth/tokens")).respond_with(token("first", catalog)).with_priority(9).mount(&server).await;
    for (given, version) in [("first", "2.90"), ("fresh", "2.93")] {
        let body = json!({"version": {"id": "v2.1", "version": version}});
        let asked = Mock::given(method("GET")).and(path("/compute/v2.1/")).and(header("x-auth-token", given));
        asked.respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&server).await;
    }
    let services = ResponseTemplate::new(200).set_body_json(json!({"services": []}));
    let fresh = Mock::given(method("GET")).and(path("/compute/v2.1/os-services")).and(header("x-auth-token", "fresh"));
    let fresh = fresh.respond_with(services.clone()).expect(1);
    fresh.mount(&server).await;
    let first = Mock::given(method("GET")).and(path("/compute/v2.1/os-services")).and(header("x-auth-token", "first"));
    first.respond_with(services).expect(1).mount(&server).await;
    let mut config: CloudConfig = config(&server.uri());
    let cloud = OpenStack::connect(config.clone()).await.unwrap();
    cloud.services().await.unwrap();
    let Credentials::Password { password, .. } = &mut config.auth.credentials else { panic!("the fixture logs in by password") };
    *password = "newer".into();
    cloud.set_login(&config.auth).unwrap();
    cloud.services().await.unwrap();
    config.auth.url = "http://127.0.0.1:1/v3".into();
    assert!(cloud.set_login(&config.auth).unwrap_err().to_string().contains("restart"));
}

#[tokio::test]
async fn a_checkup_tells_keystones_clock_who_we_are_and_placements_version() {
    let server = MockServer::start().await;
    let catalog = json!([{"type": "placement", "endpoints": [endpoint(json!("RegionOne"), &format!("{}/placement", server.uri()))]}]);
    answer(&server, "POST", "/v3/auth/tokens", token("ours", catalog)).await;
    let in_an_hour = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3_600);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&in_an_hour).unwrap();
    answer(&server, "GET", "/v3", ResponseTemplate::new(200).insert_header("date", date.as_str()).set_body_json(json!({}))).await;
    let ours = json!({"token": {"user": {"id": "u1", "name": "cm"}, "project": {"id": "p1"}, "roles": [{"name": "member"}], "expires_at": "2099-01-01T00:00:00Z"}});
    Mock::given(method("GET"))
        .and(path("/v3/auth/tokens"))
        .and(header("x-subject-token", "ours"))
        .respond_with(ResponseTemplate::new(200).set_body_json(ours))
        .mount(&server)
        .await;
    let versions = json!({"versions": [{"id": "v1.0", "max_version": "1.39", "min_version": "1.0", "status": "CURRENT"}]});
    answer(&server, "GET", "/placement/", ResponseTemplate::new(200).set_body_json(versions)).await;
    let cloud = OpenStack::connect(config(&server.uri())).await.unwrap();
    let ahead = cloud.keystone_ahead_seconds().await.unwrap().unwrap();
    assert!((3_500..=3_602).contains(&ahead), "{ahead}");
    let who = cloud.whoami().await.unwrap().unwrap();
    assert_eq!((who.user_name.as_str(), who.roles.as_slice()), ("cm", &["member".to_string()][..]));
    assert_eq!(cloud.placement_version().await.unwrap(), (1, 39));
}
