//! What an answer, or none, says about what happened.

use crate::support::*;
use cloud::openstack::{CallObserver, OpenStack};
use cloud::{CloudError, Compute, Identity, ServiceChange};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

#[tokio::test]
async fn a_read_waits_as_asked_and_tells_when_that_is_too_long() {
    let (server, cloud) = cloud_with("2.93").await;
    let busy = |status, after: &str| ResponseTemplate::new(status).insert_header("retry-after", after);
    let services = "/compute/v2.1/os-services";
    Mock::given(method("GET")).and(path(services)).respond_with(busy(503, "0")).up_to_n_times(1).mount(&server).await;
    Mock::given(method("GET")).and(path(services)).respond_with(busy(429, "0")).up_to_n_times(1).mount(&server).await;
    answer(&server, "GET", services, ResponseTemplate::new(200).set_body_json(json!({"services": []}))).await;
    assert_eq!(cloud.services().await.unwrap(), []);
    assert_eq!(count(&server, "GET", services).await, 3);

    answer(&server, "GET", "/compute/v2.1/os-aggregates", busy(429, "120")).await;
    let error = cloud.aggregates().await.unwrap_err();
    assert!(matches!(error, CloudError::NotSent { retry_after: Some(after), .. } if after.as_secs() == 120), "{error}");
    assert_eq!(count(&server, "GET", "/compute/v2.1/os-aggregates").await, 1);
}

#[tokio::test]
async fn a_change_is_never_sent_twice_and_a_500_says_nothing_about_it() {
    let (server, cloud) = cloud_with("2.93").await;
    let fault = json!({"computeFault": {"code": 500, "message": "Unexpected API Error."}});
    let broken = |status| ResponseTemplate::new(status).insert_header("x-openstack-request-id", REQUEST_ID).set_body_json(fault.clone());
    for status in [500, 502, 503, 504, 408] {
        reset(&server).await;
        answer(&server, "POST", ACTION, broken(status)).await;
        let error = cloud.evacuate("s1", "c2", false).await.unwrap_err();
        assert!(error.may_have_acted(), "{status}: {error}");
        assert_eq!(error.request_id(), Some(REQUEST_ID));
        assert!(error.to_string().contains("Unexpected API Error."), "{error}");
        assert_eq!(count(&server, "POST", ACTION).await, 1);
    }
}

#[tokio::test]
async fn a_refusal_keeps_status_words_and_request_id() {
    let (server, cloud) = cloud_with("2.93").await;
    let fault = json!({"badRequest": {"code": 400, "message": "Compute service of c1 is still in use."}});
    answer(&server, "POST", ACTION, ResponseTemplate::new(400).insert_header("x-compute-request-id", REQUEST_ID).set_body_json(fault)).await;
    let error = cloud.evacuate("s1", "c2", false).await.unwrap_err();
    let expected = CloudError::Refused {
        what: "nova: evacuation of server s1 to c2".into(),
        status: 400,
        detail: "Compute service of c1 is still in use.".into(),
        request_id: Some(REQUEST_ID.into()),
    };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_change_that_gets_no_answer_in_time_may_have_acted() {
    let (server, _) = cloud_with("2.93").await;
    answer(&server, "POST", ACTION, ResponseTemplate::new(202).set_delay(Duration::from_secs(60))).await;
    let mut config = config(&format!("{}/identity", server.uri()));
    config.timeouts.call = Duration::from_millis(500);
    let cloud = OpenStack::connect(config).await.unwrap();
    cloud.max_microversion().await.unwrap();
    let error = cloud.start("s1").await.unwrap_err();
    assert!(error.may_have_acted() && error.to_string().contains("timed out"), "{error}");
    assert_eq!(count(&server, "POST", ACTION).await, 1);
}

#[tokio::test]
async fn a_change_that_cannot_leave_at_once_does_not_leave_at_all() {
    let server = MockServer::start().await;
    answer(&server, "POST", "/identity/v3/auth/tokens", token("late", json!([])).set_delay(Duration::from_secs(60))).await;
    answer(&server, "POST", ACTION, ResponseTemplate::new(202)).await;
    let mut config = config(&format!("{}/identity", server.uri()));
    config.timeouts.change_start = Duration::from_millis(100);
    let error = OpenStack::connect(config).await.unwrap().start("s1").await.unwrap_err();
    assert!(matches!(error, CloudError::NotSent { .. }), "{error}");
    assert_eq!(count(&server, "POST", ACTION).await, 0);
}

#[tokio::test]
async fn a_change_whose_microversion_could_not_be_learnt_was_not_sent() {
    let (server, _) = cloud_with("2.93").await;
    let mut config = config(&format!("{}/identity", server.uri()));
    config.compute_endpoint = Some(format!("{}/broken", server.uri()));
    answer(&server, "GET", "/broken/v2.1/", ResponseTemplate::new(500)).await;
    let cloud = OpenStack::connect(config).await.unwrap();
    let error = cloud.evacuate("s1", "c2", false).await.unwrap_err();
    assert!(!error.may_have_acted() && error.to_string().contains("evacuation of server s1"), "{error}");
    assert_eq!(count(&server, "POST", "/broken/v2.1/servers/s1/action").await, 0);
}

#[tokio::test]
async fn a_refused_connection_is_not_sent_and_names_the_address() {
    // Bound and not listening: the port stays ours and refuses.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead = format!("http://{}", socket.local_addr().unwrap());
    // Keystone down: the client is made all the same, and each call says so.
    let cloud = OpenStack::connect(config(&dead)).await.unwrap();
    let error = cloud.services().await.unwrap_err();
    assert!(matches!(error, CloudError::NotSent { .. }) && error.to_string().contains(&dead), "{error}");
    assert!(matches!(cloud.validate("t", false).await, Err(CloudError::NotSent { .. })));
    // Nova down.
    let (server, _) = cloud_with("2.93").await;
    let mut config = config(&format!("{}/identity", server.uri()));
    config.compute_endpoint = Some(dead);
    let error = OpenStack::connect(config).await.unwrap().max_microversion().await.unwrap_err();
    assert!(matches!(error, CloudError::NotSent { .. }), "{error}");
}

#[tokio::test]
async fn a_cold_migration_names_a_host_only_where_nova_takes_one() {
    let (server, cloud) = cloud_with("2.93").await;
    let answers = |version: &str, body: serde_json::Value, status| {
        let on = Mock::given(method("POST")).and(path(ACTION)).and(header("openstack-api-version", version)).and(body_json(body));
        on.respond_with(ResponseTemplate::new(status)).expect(1)
    };
    answers("compute 2.56", json!({"migrate": {"host": "c2"}}), 202).mount(&server).await;
    answers("compute 2.56", json!({"migrate": null}), 202).mount(&server).await;
    answers("compute 2.53", json!({"confirmResize": null}), 204).mount(&server).await;
    cloud.cold_migrate("s1", Some("c2")).await.unwrap();
    cloud.cold_migrate("s1", None).await.unwrap();
    cloud.confirm_resize("s1").await.unwrap();

    let (server, old) = cloud_with("2.53").await;
    let error = old.cold_migrate("s1", Some("c2")).await.unwrap_err();
    assert!(error.to_string().contains("needs Nova API 2.56"), "{error}");
    assert_eq!(count(&server, "POST", ACTION).await, 0);
    answers("compute 2.53", json!({"migrate": null}), 202).mount(&server).await;
    old.cold_migrate("s1", None).await.unwrap();
}

#[tokio::test]
async fn evacuation_takes_the_microversion_that_does_what_was_asked() {
    let (server, cloud) = cloud_with("2.93").await;
    let at = |version: &str| Mock::given(method("POST")).and(path(ACTION)).and(header("openstack-api-version", version));
    at("compute 2.93").and(body_json(json!({"evacuate": {"host": "c2"}}))).respond_with(ResponseTemplate::new(200)).expect(1).mount(&server).await;
    cloud.evacuate("s1", "c2", false).await.unwrap();
    let error = cloud.evacuate("s1", "c2", true).await.unwrap_err();
    assert!(matches!(&error, CloudError::Refused { status: 400, detail, .. } if detail.contains("2.95")), "{error}");

    let (server, cloud) = cloud_with("2.96").await;
    let at = |version: &str| Mock::given(method("POST")).and(path(ACTION)).and(header("openstack-api-version", version));
    at("compute 2.94").respond_with(ResponseTemplate::new(200)).expect(1).mount(&server).await;
    at("compute 2.95").respond_with(ResponseTemplate::new(200)).expect(1).mount(&server).await;
    at("compute 2.93")
        .and(body_json(json!({"os-migrateLive": {"host": null, "block_migration": "auto"}})))
        .respond_with(ResponseTemplate::new(202))
        .expect(1)
        .mount(&server)
        .await;
    cloud.evacuate("s1", "c2", false).await.unwrap();
    cloud.evacuate("s1", "c2", true).await.unwrap();
    cloud.live_migrate("s1", None).await.unwrap();
}

#[tokio::test]
async fn disable_and_force_down_go_in_one_put() {
    let (server, cloud) = cloud_with("2.93").await;
    let body = json!({"status": "disabled", "disabled_reason": "cloud-manager x: dead", "forced_down": true});
    let row = json!({"service": {"id": "v1", "binary": "nova-compute", "host": "c1", "status": "disabled", "state": "down", "forced_down": true}});
    Mock::given(method("PUT"))
        .and(path("/compute/v2.1/os-services/v1"))
        .and(header("openstack-api-version", "compute 2.69"))
        .and(body_json(body))
        .respond_with(ResponseTemplate::new(200).set_body_json(row))
        .expect(1)
        .mount(&server)
        .await;
    let change = ServiceChange { enabled: Some(false), disabled_reason: Some("cloud-manager x: dead".into()), forced_down: Some(true) };
    let after = cloud.update_service("v1", &change).await.unwrap();
    assert_eq!((after.enabled, after.up, after.forced_down), (Some(false), Some(false), true));
    // What Nova would refuse, or what names no service, is not sent.
    assert_eq!(cloud.update_service("v1", &ServiceChange::default()).await.unwrap_err().status(), Some(400));
    assert_eq!(cloud.update_service("", &change).await.unwrap_err().status(), Some(400));
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_our_token() {
    let (server, cloud) = cloud_with("2.93").await;
    let elsewhere = MockServer::start().await;
    let to = format!("{}/taken", elsewhere.uri());
    answer(&server, "POST", ACTION, ResponseTemplate::new(307).insert_header("location", to.as_str())).await;
    let error = cloud.start("s1").await.unwrap_err();
    assert!(error.may_have_acted() && error.to_string().contains(&to), "{error}");
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[derive(Default)]
struct Seen(Mutex<Vec<(&'static str, &'static str, &'static str)>>);

impl CallObserver for Seen {
    fn call(&self, service: &'static str, kind: &'static str, result: &'static str, _: u64) {
        self.0.lock().unwrap().push((service, kind, result));
    }
}

#[tokio::test]
async fn every_request_is_told_to_the_observer() {
    let (server, _) = cloud_with("2.93").await;
    answer(&server, "POST", ACTION, ResponseTemplate::new(409)).await;
    let seen = Arc::new(Seen::default());
    let cloud = OpenStack::connect_with(config(&format!("{}/identity", server.uri())), Some(seen.clone())).await.unwrap();
    assert_eq!(cloud.stop("s1").await.unwrap_err().status(), Some(409));
    let told = seen.0.lock().unwrap().clone();
    assert_eq!(told, [("keystone", "token", "ok"), ("nova", "versions", "ok"), ("nova", "stop", "refused")]);
}
