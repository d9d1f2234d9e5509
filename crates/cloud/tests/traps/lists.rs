//! Lists that are whole or an error, and what is absent.

use crate::support::*;
use cloud::{CloudError, Compute, Placement};
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, ResponseTemplate};

fn page(ids: &[&str], next: Option<&str>) -> ResponseTemplate {
    let rows: Vec<Value> = ids.iter().map(|id| json!({"id": id, "status": "ACTIVE", "OS-EXT-SRV-ATTR:host": "c1"})).collect();
    let mut body = json!({"servers": rows});
    if let Some(marker) = next {
        // An internal host again, which must not be followed.
        let href = format!("http://nova.internal.invalid:8774/v2.1/servers/detail?all_tenants=1&limit=2&marker={marker}");
        body["servers_links"] = json!([{"rel": "next", "href": href}]);
    }
    ResponseTemplate::new(200).set_body_json(body)
}

#[tokio::test]
async fn every_page_is_read_at_our_own_address_with_the_filters_kept() {
    let (server, cloud) = cloud_with("2.93").await;
    let first = Mock::given(method("GET")).and(path(SERVERS)).and(query_param_is_missing("marker"));
    first
        .and(query_param("host", "c1"))
        .and(header("openstack-api-version", "compute 2.73"))
        .respond_with(page(&["a", "b"], Some("b")))
        .mount(&server)
        .await;
    let second = Mock::given(method("GET")).and(path(SERVERS)).and(query_param("marker", "b")).and(query_param("all_tenants", "1"));
    second.and(query_param("host", "c1")).and(query_param("limit", "2")).respond_with(page(&["c"], None)).mount(&server).await;
    let ids: Vec<String> = cloud.servers(Some("c1")).await.unwrap().into_iter().map(|s| s.id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[tokio::test]
async fn half_a_list_is_no_list() {
    let (server, cloud) = cloud_with("2.93").await;
    Mock::given(method("GET")).and(path(SERVERS)).and(query_param_is_missing("marker")).respond_with(page(&["a"], Some("a"))).mount(&server).await;
    Mock::given(method("GET")).and(path(SERVERS)).and(query_param("marker", "a")).respond_with(ResponseTemplate::new(500)).mount(&server).await;
    assert!(matches!(cloud.servers(None).await, Err(CloudError::Unknown { .. })));
    // A body that breaks off, and one that is not a list at all.
    for body in [r#"{"servers": [{"id": "a""#, "<html>welcome</html>", r#"{"servers": null}"#, "[]", ""] {
        reset(&server).await;
        answer(&server, "GET", SERVERS, ResponseTemplate::new(200).set_body_raw(body, "application/json")).await;
        let error = cloud.servers(None).await.unwrap_err();
        assert!(matches!(error, CloudError::Unknown { .. }), "{body}: {error}");
    }
}

#[tokio::test]
async fn pages_that_go_round_in_circles_end() {
    let (server, cloud) = cloud_with("2.93").await;
    answer(&server, "GET", SERVERS, page(&["a"], Some("a"))).await;
    let error = cloud.servers(None).await.unwrap_err();
    assert!(error.to_string().contains("circles"), "{error}");
}

#[tokio::test]
async fn an_odd_server_breaks_no_list_but_one_without_an_id_makes_it_unknown() {
    let (server, cloud) = cloud_with("2.93").await;
    let odd = json!({"servers": [
        {"id": "a", "status": "SOMETHING_NEW", "OS-EXT-SRV-ATTR:host": "c1", "OS-EXT-AZ:availability_zone": null, "flavor": "?"},
        {"id": "stub", "status": "UNKNOWN", "created": "2026-01-01T00:00:00Z"},
        {"id": "b", "status": "ACTIVE", "OS-EXT-SRV-ATTR:host": "c1", "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:power_state": 1},
    ]});
    answer(&server, "GET", SERVERS, ResponseTemplate::new(200).set_body_json(odd)).await;
    let found: Vec<(String, String)> = cloud.servers(None).await.unwrap().into_iter().map(|s| (s.id, s.status)).collect();
    let expected = [("a", "SOMETHING_NEW"), ("stub", "UNKNOWN"), ("b", "ACTIVE")].map(|(i, s)| (i.to_owned(), s.to_owned()));
    assert_eq!(found, expected);
    reset(&server).await;
    let lost = json!({"servers": [{"id": "a"}, {"name": "who am I"}]});
    answer(&server, "GET", SERVERS, ResponseTemplate::new(200).set_body_json(lost)).await;
    let error = cloud.servers(Some("c1")).await.unwrap_err();
    assert!(matches!(&error, CloudError::Unknown { detail, .. } if detail.contains("server 2") && detail.contains("who am I")), "{error}");
}

#[tokio::test]
async fn absent_is_only_what_nova_itself_says_is_not_there() {
    let (server, cloud) = cloud_with("2.93").await;
    let fault = json!({"itemNotFound": {"code": 404, "message": "Instance gone could not be found."}});
    answer(&server, "GET", "/compute/v2.1/servers/gone", ResponseTemplate::new(404).set_body_json(fault)).await;
    answer(&server, "GET", "/compute/v2.1/servers/proxy", ResponseTemplate::new(404).set_body_string("<html>no such page</html>")).await;
    assert_eq!(cloud.server("gone").await.unwrap(), None);
    assert!(cloud.server("proxy").await.is_err());
    let reached = count(&server, "GET", "/compute/v2.1/servers/").await;
    assert!(cloud.server("..").await.is_err() && cloud.server("").await.is_err());
    assert_eq!(count(&server, "GET", "/compute/v2.1/servers/").await, reached);
}

#[tokio::test]
async fn a_provider_is_whole_or_absent_or_an_error() {
    let (server, cloud) = cloud_with("2.93").await;
    let list = |rows: Value| ResponseTemplate::new(200).set_body_json(json!({"resource_providers": rows}));
    let base = "/placement/resource_providers";
    Mock::given(method("GET")).and(path(base)).and(query_param("uuid", "none")).respond_with(list(json!([]))).mount(&server).await;
    Mock::given(method("GET"))
        .and(path(base))
        .and(query_param("uuid", "p1"))
        .and(header("openstack-api-version", "placement 1.36"))
        .respond_with(list(json!([{"uuid": "p1"}])))
        .mount(&server)
        .await;
    let part = |name: &str| format!("{base}/p1/{name}");
    let inventories = json!({"inventories": {"VCPU": {"total": 10, "reserved": 1, "allocation_ratio": 1.1}, "ODD": {"total": "many"}}});
    answer(&server, "GET", &part("inventories"), ResponseTemplate::new(200).set_body_json(inventories)).await;
    answer(&server, "GET", &part("usages"), ResponseTemplate::new(200).set_body_json(json!({"usages": {"VCPU": 2}}))).await;
    answer(&server, "GET", &part("traits"), ResponseTemplate::new(200).set_body_json(json!({"traits": ["COMPUTE_STATUS_DISABLED"]}))).await;
    assert_eq!(cloud.provider("none").await.unwrap(), None);
    // Allocations are missing still: not "nobody".
    assert!(cloud.provider("p1").await.is_err());
    answer(&server, "GET", &part("allocations"), ResponseTemplate::new(200).set_body_json(json!({"allocations": {"s1": {}}}))).await;
    let provider = cloud.provider("p1").await.unwrap().unwrap();
    assert_eq!((provider.free("VCPU"), provider.free("ODD")), (Some(9 * 1100 / 1000 - 2), None));
    assert_eq!((provider.traits, provider.consumers), (vec!["COMPUTE_STATUS_DISABLED".to_owned()], vec!["s1".to_owned()]));
    answer(&server, "GET", "/placement/allocations/s1", ResponseTemplate::new(200).set_body_json(json!({"allocations": {"p1": {}}}))).await;
    assert_eq!(cloud.providers_of("s1").await.unwrap(), ["p1"]);
}
