use crate::fixture::{Api, api, api_with, telling};
use api_server::ApiConfig;
use schemas::{DynObject, Time, kinds};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use store::{Guard, Op, Store};

async fn hosts(api: &Api, count: usize) {
    for i in 0..count {
        let rack = if i % 2 == 0 { "a" } else { "b" };
        api.post("/v1/hosts", json!({"metadata": {"name": format!("c{i:02}"), "labels": {"rack": rack}}})).await.gives(201);
    }
}

fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].as_str().unwrap().to_string()).collect()
}

/// Follows `next` links to the end.
async fn all_pages(api: &Api, first: &str) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut path) = (Vec::new(), 0, first.to_string());
    loop {
        let page = api.get(&path).await.gives(200);
        found.extend(names(&page.body));
        pages += 1;
        let next = page.body["links"].as_array().unwrap().iter().find(|l| l["rel"] == "next").map(|l| l["href"].as_str().unwrap().to_string());
        assert_eq!(page.header("link"), next.as_ref().map(|n| format!("<{n}>; rel=\"next\"")).unwrap_or_default());
        assert_eq!(page.body["metadata"]["continue"].is_string(), next.is_some());
        match next {
            Some(next) => path = next.strip_prefix(&api.base).unwrap().to_string(),
            None => return (found, pages),
        }
    }
}

#[tokio::test]
async fn an_empty_list_is_200() {
    let api = api().await;
    let list = api.get("/v1/hosts").await.gives(200);
    assert_eq!((&list.body["kind"], &list.body["items"], &list.body["apiVersion"]), (&json!("HostList"), &json!([]), &json!("cloud-manager/v1")));
    assert_eq!(list.body["links"][0]["href"], format!("{}/v1/hosts", api.base));
}

#[tokio::test]
async fn pages_give_every_object_once_and_end() {
    let api = api().await;
    hosts(&api, 11).await;
    let expected: Vec<String> = (0..11).map(|i| format!("c{i:02}")).collect();
    assert_eq!(all_pages(&api, "/v1/hosts?limit=4").await, (expected.clone(), 3));
    assert_eq!(all_pages(&api, "/v1/hosts?limit=11").await, (expected, 1));
    let racks = all_pages(&api, "/v1/hosts?limit=2&labelSelector=rack%20in%20(b)").await;
    assert_eq!(racks, (["c01", "c03", "c05", "c07", "c09"].map(String::from).to_vec(), 3));
    let first = api.get("/v1/hosts?limit=4").await.gives(200);
    assert_eq!(first.body["metadata"]["remainingItemCount"], 7);
}

#[tokio::test]
async fn an_object_in_a_list_is_the_object_itself() {
    let api = api().await;
    hosts(&api, 3).await;
    let list = api.get("/v1/hosts").await.gives(200).body;
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    for item in items {
        let name = item["metadata"]["name"].as_str().unwrap();
        assert_eq!(*item, api.get(&format!("/v1/hosts/{name}")).await.gives(200).body, "{name}");
    }
}

#[tokio::test]
async fn every_page_carries_the_first_pages_revision() {
    let api = api().await;
    hosts(&api, 4).await;
    let first = api.get("/v1/hosts?limit=2").await.gives(200);
    api.host("zz").await;
    let token = first.body["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("/v1/hosts?limit=2&continue={token}")).await.gives(200);
    assert_eq!(second.rv(), first.rv());
}

#[tokio::test]
async fn a_marker_loop_ends_and_a_vanished_marker_is_fine() {
    let api = api().await;
    hosts(&api, 5).await;
    let (mut seen, mut marker) = (BTreeSet::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/hosts?limit=2&marker={marker}")).await.gives(200);
        let page = names(&page.body);
        let Some(last) = page.last() else { break };
        marker = last.clone();
        assert!(page.into_iter().all(|name| seen.insert(name)));
        api.delete(&format!("/v1/hosts/{marker}")).await.gives(204);
    }
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn a_page_begins_after_the_later_of_marker_and_token() {
    let api = api().await;
    hosts(&api, 5).await;
    let first = api.get("/v1/hosts?limit=2").await.gives(200);
    let token = first.body["metadata"]["continue"].as_str().unwrap();
    for (marker, expected) in [("c00", vec!["c02", "c03"]), ("c03", vec!["c04"]), ("c04", vec![])] {
        assert_eq!(names(&api.get(&format!("/v1/hosts?limit=2&continue={token}&marker={marker}")).await.gives(200).body), expected, "{marker}");
    }
}

#[tokio::test]
async fn limits_are_checked_and_clipped() {
    let api = api().await;
    hosts(&api, 2).await;
    for bad in ["0", "-1", "x"] {
        api.get(&format!("/v1/hosts?limit={bad}")).await.fails(400, "invalid");
    }
    api.get("/v1/hosts?limit=100000").await.gives(200);
}

#[tokio::test]
async fn a_continue_token_is_bound_to_its_list() {
    let api = api().await;
    hosts(&api, 4).await;
    let first = api.get("/v1/hosts?limit=2").await.gives(200);
    let token = first.body["metadata"]["continue"].as_str().unwrap();
    for path in ["/v1/powerdevices?", "/v1/hosts?labelSelector=rack%3Da&", "/v1/hosts?name=neq:c9&"] {
        api.get(&format!("{path}continue={token}")).await.fails(400, "invalid");
    }
    api.get("/v1/hosts?continue=abc").await.fails(400, "invalid");
    let newest = api.host("new").await.rv();
    api.registry.store().compact(newest).await.unwrap();
    let expired = api.get(&format!("/v1/hosts?limit=2&continue={token}")).await.fails(410, "continue-expired");
    let fresh = expired.body["errors"][0]["continue"].as_str().unwrap();
    assert_eq!(names(&api.get(&format!("/v1/hosts?limit=2&continue={fresh}")).await.gives(200).body), ["c02", "c03"]);
}

#[tokio::test]
async fn objects_are_selected_by_declared_fields_only() {
    let api = api().await;
    hosts(&api, 3).await;
    for (name, host) in [("a", "c00"), ("b", "c01")] {
        api.post("/v1/evacuations", json!({"metadata": {"name": name}, "spec": {"hostRef": {"name": host}}})).await.gives(202);
    }
    let select = async |path: &str| names(&api.get(path).await.gives(200).body);
    assert_eq!(select("/v1/evacuations?fieldSelector=spec.hostRef.name%3Dc01").await, ["b"]);
    assert_eq!(select("/v1/hosts?fieldSelector=metadata.name%3Dc02").await, ["c02"]);
    assert!(select("/v1/hosts?fieldSelector=metadata.name%3Dc02&labelSelector=rack%3Db").await.is_empty());
    let wrong = api.get("/v1/hosts?fieldSelector=spec.power%3DOn").await.fails(400, "invalid");
    assert!(wrong.message().contains("metadata.name"));
    api.get("/v1/hosts?labelSelector=a%20b").await.fails(400, "invalid");
}

#[tokio::test]
async fn objects_are_filtered_as_other_openstack_services_do_it() {
    let api = api().await;
    hosts(&api, 4).await;
    let select = async |path: &str| names(&api.get(path).await.gives(200).body);
    assert_eq!(select("/v1/hosts?name=c02").await, ["c02"]);
    assert_eq!(select("/v1/hosts?name=in:c03,c01,nothing").await, ["c01", "c03"]);
    assert_eq!(select("/v1/hosts?name=neq:c01&limit=2").await, ["c00", "c02"]);
    assert_eq!(all_pages(&api, "/v1/hosts?name=neq:c01&limit=2").await.0, ["c00", "c02", "c03"]);
    assert_eq!(select("/v1/hosts?status.conditions.Ready=Unknown&name=nin:c00,c01").await, ["c02", "c03"]);
    assert!(select("/v1/hosts?status.power.state=On").await.is_empty());
    api.get("/v1/hosts?spec.owner=x").await.fails(400, "invalid");
    api.get("/v1/hosts?name=in:").await.fails(400, "invalid");
}

#[tokio::test]
async fn a_version_is_waited_for_and_then_given_up() {
    let api = api_with(ApiConfig { revision_wait: Duration::from_millis(300), ..ApiConfig::default() }).await;
    let newest = api.host("c1").await.rv();
    assert_eq!(names(&api.get(&format!("/v1/hosts?resourceVersion={newest}")).await.gives(200).body), ["c1"]);
    api.get("/v1/hosts?resourceVersion=0").await.gives(200);
    for path in ["/v1/hosts", "/v1/hosts/c1"] {
        let late = api.get(&format!("{path}?resourceVersion=999")).await.fails(504, "timeout");
        assert_eq!(late.header("retry-after"), "1");
    }
    let patient = api_with(ApiConfig::default()).await;
    let wanted = patient.host("c1").await.rv() + 1;
    let wait = format!("/v1/hosts?resourceVersion={wanted}");
    let (list, _) = tokio::join!(patient.get(&wait), patient.host("c2"));
    assert_eq!(names(&list.gives(200).body), ["c1", "c2"]);
}

#[tokio::test]
async fn events_are_found_by_what_they_regard() {
    let api = api().await;
    hosts(&api, 2).await;
    let kind = kinds::find("Host").unwrap();
    let mut series = Vec::new();
    for (i, host) in ["c00", "c01", "c01"].iter().enumerate() {
        let object = api.registry.find(kind, host).await.unwrap();
        let telling = telling(&format!("n{i}"), &object);
        series.push(telling.series());
        api.faults.commit(Guard::Open, Time(i as i64), vec![Op::Tell(telling)]).await.unwrap();
    }
    assert_eq!(names(&api.get("/v1/events").await.gives(200).body), [series[2].as_str(), &series[1], &series[0]]);
    assert_eq!(names(&api.get("/v1/events?fieldSelector=spec.regarding%3DHost/c01&limit=1").await.gives(200).body), [series[2].as_str()]);
    assert_eq!(names(&api.get("/v1/hosts/c00/events").await.gives(200).body), [series[0].as_str()]);
    assert_eq!(api.get(&format!("/v1/events/{}", series[1])).await.gives(200).body["spec"]["regarding"], "Host/c01");
    api.get("/v1/events/e9").await.fails(404, "not-found");
    assert!(names(&api.get("/v1/events?fieldSelector=spec.regarding%3DHost/gone").await.gives(200).body).is_empty());
}

#[tokio::test]
async fn the_lease_is_an_object() {
    let api = api().await;
    let seen = api.faults.lease("controller").await.unwrap();
    api.faults.lease_take("controller", "node-a", &seen, 6_000, Time(1)).await.unwrap().unwrap();
    let lease = api.get("/v1/leases/controller").await.gives(200);
    assert_eq!((&lease.body["spec"]["holder"], &lease.body["spec"]["token"]), (&json!("node-a"), &json!(1)));
    assert_eq!(names(&api.get("/v1/leases").await.gives(200).body), ["controller"]);
    api.get("/v1/leases/other").await.fails(404, "not-found");
}

#[tokio::test]
async fn operations_are_found_by_their_owner() {
    let api = api().await;
    for (name, owner) in [("o1", "Host/c1"), ("o2", "Host/c2")] {
        let mut object = DynObject::new("Operation", name, json!({"owner": owner, "ownerUid": "u", "host": "c1", "step": "PowerOff", "attempt": 1}));
        object.metadata.uid = format!("uid-{name}");
        api.faults.commit(Guard::Open, Time(0), vec![Op::Create(object)]).await.unwrap();
    }
    assert_eq!(names(&api.get("/v1/operations?fieldSelector=spec.owner%3DHost/c2").await.gives(200).body), ["o2"]);
    assert_eq!(names(&api.get("/v1/operations?fieldSelector=spec.host%3Dc1").await.gives(200).body), ["o1", "o2"]);
}

#[tokio::test]
async fn a_list_comes_in_the_order_of_a_column_page_by_page() {
    let api = api().await;
    for (name, power, domain) in [("c3", "On", "r2"), ("c1", "Off", "r1"), ("c2", "On", "r10"), ("c4", "Off", "")] {
        let spec = if domain.is_empty() { json!({"power": power}) } else { json!({"power": power, "failureDomain": domain}) };
        if !domain.is_empty() {
            api.post("/v1/failuredomains", json!({"metadata": {"name": domain}, "spec": {"type": "Rack"}})).await.gives(201);
        }
        api.post("/v1/hosts", json!({"metadata": {"name": name}, "spec": spec})).await.gives(201);
    }
    for (sort, want) in [
        ("name", ["c1", "c2", "c3", "c4"]),
        ("-name", ["c4", "c3", "c2", "c1"]),
        ("want", ["c1", "c4", "c2", "c3"]),
        ("-WANT", ["c3", "c2", "c4", "c1"]),
        ("domain", ["c4", "c1", "c2", "c3"]),
    ] {
        assert_eq!(names(&api.get(&format!("/v1/hosts?sort={sort}")).await.gives(200).body), want, "{sort}");
        assert_eq!(all_pages(&api, &format!("/v1/hosts?sort={sort}&limit=1")).await, (want.map(String::from).to_vec(), 4), "{sort}");
    }
    let first = api.get("/v1/hosts?sort=want&limit=1").await.gives(200);
    assert_eq!(first.body["metadata"]["remainingItemCount"], 3);
    let token = first.body["metadata"]["continue"].as_str().unwrap();
    api.get(&format!("/v1/hosts?sort=-want&continue={token}")).await.fails(400, "invalid");
    for (query, want) in [("sort=powr", "known are name, ready"), ("sort=want&marker=c1", "marker"), ("sort=name&watch=1", "lists only")] {
        let refused = api.get(&format!("/v1/hosts?{query}")).await.fails(400, "invalid");
        assert!(refused.message().contains(want), "{}", refused.message());
    }
    for own_order in ["/v1/events?sort=age", "/v1/auditrecords?sort=action", "/v1/leases?sort=token"] {
        api.get(own_order).await.fails(400, "invalid");
    }
}
