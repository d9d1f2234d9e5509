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
        .and(header("openstack-api-version", "compute 2.93"))
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

#[tokio::test]
async fn server_groups_are_read_by_offset_until_there_are_no_more() {
    let (server, cloud) = cloud_with("2.93").await;
    let groups = "/compute/v2.1/os-server-groups";
    let page = |rows: Value| ResponseTemplate::new(200).set_body_json(json!({"server_groups": rows}));
    let apart = json!({"id": "g1", "name": "web", "policy": "anti-affinity", "rules": {"max_server_per_host": 2}, "members": ["s1", "s2"]});
    let together = json!({"id": "g2", "name": "db", "policy": "affinity", "rules": {}, "members": []});
    for (offset, rows) in [("0", json!([apart])), ("1", json!([together])), ("2", json!([]))] {
        let at = Mock::given(method("GET")).and(path(groups)).and(query_param("offset", offset)).and(query_param("all_projects", "True"));
        at.and(header("openstack-api-version", "compute 2.64")).respond_with(page(rows)).mount(&server).await;
    }
    let found = cloud.server_groups().await.unwrap();
    let told: Vec<(&str, &str, i64, usize)> = found.iter().map(|g| (g.id.as_str(), g.policy.as_str(), g.max_per_host, g.members.len())).collect();
    assert_eq!(told, [("g1", "anti-affinity", 2, 2), ("g2", "affinity", 1, 0)]);
    reset(&server).await;
    answer(&server, "GET", groups, page(json!([{"id": "g1", "members": ["s1"]}]))).await;
    assert!(matches!(cloud.server_groups().await, Err(CloudError::Unknown { .. })), "a group without a policy could be the one that forbids");
}

#[tokio::test]
async fn the_room_of_all_hosts_is_one_read_and_nested_providers_are_no_hosts() {
    let (server, cloud) = cloud_with("2.93").await;
    let summaries = json!({
        "p1": {"resources": {"MEMORY_MB": {"capacity": 1000, "used": 400}, "VCPU": {"capacity": "?", "used": 0}}, "traits": ["COMPUTE_NODE"], "parent_provider_uuid": null},
        "child": {"resources": {"VGPU": {"capacity": 4, "used": 0}}, "traits": [], "parent_provider_uuid": "p1"},
    });
    let candidates = Mock::given(method("GET")).and(path("/placement/allocation_candidates"));
    candidates
        .and(query_param("resources", "MEMORY_MB:1"))
        .and(query_param("required", "!COMPUTE_STATUS_DISABLED"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"allocation_requests": [], "provider_summaries": summaries})))
        .mount(&server)
        .await;
    let [room] = cloud.rooms().await.unwrap().try_into().unwrap();
    assert_eq!((room.provider.as_str(), room.traits.len()), ("p1", 1));
    let memory = room.resources["MEMORY_MB"];
    assert_eq!((memory.capacity, memory.used, room.resources.contains_key("VCPU")), (1000, 400, false));
    reset(&server).await;
    answer(&server, "GET", "/placement/allocation_candidates", ResponseTemplate::new(200).set_body_json(json!({"provider_summaries": []}))).await;
    assert!(matches!(cloud.rooms().await, Err(CloudError::Unknown { .. })));
}
