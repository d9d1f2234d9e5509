use crate::fixture::{api, api_with};
use api_server::ApiConfig;
use reqwest::Method;
use schemas::{Time, kinds};
use serde_json::{Value, json};
use store::{Guard, Op, Store};

#[tokio::test]
async fn an_evacuation_is_202_with_a_task_that_can_be_followed() {
    let api = api().await;
    api.host("c1").await;
    let made = api.send(api.request(Method::POST, "/v1/hosts/c1/actions/evacuate")).await.gives(202);
    let id = made.body["task_id"].as_str().unwrap();
    assert_eq!(made.body, json!({"task_id": id}));
    assert_eq!(made.header("location"), format!("{}/v1/tasks/{id}", api.base));
    let task = api.get(&format!("/v1/tasks/{id}")).await.gives(200);
    assert_eq!((&task.body["id"], &task.body["state"], &task.body["result"]), (&json!(id), &json!("PENDING"), &Value::Null));
    let href = task.body["object"]["href"].as_str().unwrap().strip_prefix(&api.base).unwrap();
    let object = api.get(href).await.gives(200);
    let spec = json!({"hostRef": {"name": "c1"}, "mode": "Auto", "fence": "IfNeeded", "localDisks": "Refuse", "cause": "Manual", "cancel": "No"});
    assert_eq!(object.body["spec"], spec);
    let name = object.body["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("ev-c1-") && name.len() == 12, "{name}");
}

#[tokio::test]
async fn the_same_action_again_is_the_task_under_way_and_another_is_409_with_its_id() {
    let api = api().await;
    api.host("c1").await;
    let first = api.post("/v1/hosts/c1/actions/shutdown", json!({"allow_off_vm": true})).await.gives(202);
    let again = api.post("/v1/hosts/c1/actions/shutdown", json!({"allow_off_vm": true})).await.gives(202);
    assert_eq!(first.body, again.body);
    let other = api.post("/v1/hosts/c1/actions/shutdown", json!({})).await.fails(409, "operation-in-progress");
    assert_eq!(other.body["task_id"], first.body["task_id"]);
    let operations = api.get("/v1/hostoperations").await.gives(200);
    assert_eq!(operations.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(operations.body["items"][0]["spec"]["allowOffVm"], "Allow");
}

#[tokio::test]
async fn bodies_may_be_absent_empty_or_without_a_type_and_say_nothing_unknown() {
    let api = api().await;
    for (i, request) in [
        (1, api.request(Method::POST, "/v1/hosts/h1/actions/shutdown")),
        (2, api.request(Method::POST, "/v1/hosts/h2/actions/shutdown").body("{}")),
        (3, api.request(Method::POST, "/v1/hosts/h3/actions/shutdown").json(&json!({"allow_off_vm": false}))),
        (4, api.request(Method::POST, "/v1/hosts/h4/actions/shutdown").header("content-type", "text/plain").body("{\"allow_off_vm\": null}")),
    ] {
        api.host(&format!("h{i}")).await;
        api.send(request).await.gives(202);
    }
    api.host("c1").await;
    let unknown = api.post("/v1/hosts/c1/actions/shutdown", json!({"force": true})).await.fails(400, "unknown-field");
    assert_eq!(unknown.body["errors"][0]["causes"][0]["field"], "force");
    api.post("/v1/hosts/c1/actions/evacuate", json!({"allow_off_vm": true})).await.fails(400, "unknown-field");
    api.post("/v1/hosts/c1/actions/shutdown", json!({"allow_off_vm": "yes"})).await.fails(400, "invalid");
    api.send(api.request(Method::POST, "/v1/hosts/c1/actions/shutdown").body("{")).await.fails(400, "malformed");
    assert!(api.registry.open_on_host("c1").await.unwrap().is_empty());
}

#[tokio::test]
async fn every_action_makes_its_operation() {
    let api = api().await;
    for (i, (verb, kind)) in [
        ("power-on", "PowerOn"),
        ("power-off", "PowerOff"),
        ("soft-off", "SoftOff"),
        ("enable", "Enable"),
        ("disable", "Disable"),
        ("drain", "Drain"),
        ("initialise", "Initialise"),
        ("shutdown", "Shutdown"),
    ]
    .iter()
    .enumerate()
    {
        api.host(&format!("h{i}")).await;
        let made = api.post(&format!("/v1/hosts/h{i}/actions/{verb}"), json!({})).await.gives(202);
        let object = api.faults.get_by_uid(made.body["task_id"].as_str().unwrap()).await.unwrap().unwrap();
        assert_eq!((&object.spec["type"], object.spec["runningGuests"].as_str()), (&json!(kind), Some("Refuse")), "{verb}");
    }
}

#[tokio::test]
async fn unknown_hosts_and_verbs_are_404_and_what_contradicts_the_spec_is_409() {
    let api = api().await;
    api.host("c1").await;
    api.post("/v1/hosts/c9/actions/evacuate", json!({})).await.fails(404, "not-found");
    assert!(api.post("/v1/hosts/c1/actions/explode", json!({})).await.fails(404, "not-found").message().contains("evacuate"));
    api.patch("/v1/hosts/c1", json!({"spec": {"power": "On", "evacuation": "Denied"}})).await.gives(200);
    let contradiction = api.post("/v1/hosts/c1/actions/power-off", json!({})).await.fails(409, "contradicts-spec");
    assert_eq!(contradiction.body["errors"][0]["causes"][0]["field"], "spec.power");
    api.post("/v1/hosts/c1/actions/evacuate", json!({})).await.fails(409, "evacuation-denied");
}

#[tokio::test]
async fn the_status_of_actions_can_be_200() {
    let api = api_with(ApiConfig { legacy_action_status: 200, ..ApiConfig::default() }).await;
    api.host("c1").await;
    api.post("/v1/hosts/c1/actions/evacuate", json!({})).await.gives(200);
}

#[tokio::test]
async fn a_task_tells_how_its_object_ended() {
    let api = api().await;
    api.host("c1").await;
    let id = api.post("/v1/hosts/c1/actions/drain", json!({})).await.gives(202).body["task_id"].as_str().unwrap().to_string();
    let mut object = api.registry.find(kinds::find("HostOperation").unwrap(), &id).await.unwrap();
    object.status = json!({"finishedAt": "2026-01-01T00:00:00Z", "conditions": [{"type": "Succeeded", "status": "False", "reason": "NoValidHost", "message": "m"}]});
    let expected = object.metadata.revision();
    api.faults.commit(Guard::Open, Time(0), vec![Op::Update { object, expected }]).await.unwrap();
    let task = api.get(&format!("/v1/tasks/{id}")).await.gives(200);
    assert_eq!((&task.body["state"], &task.body["result"]), (&json!("FAILURE"), &json!({"reason": "NoValidHost", "message": "m"})));
}

#[tokio::test]
async fn tasks_are_listed_under_both_names_page_by_page() {
    let api = api().await;
    for i in 0..3 {
        api.host(&format!("c{i}")).await;
        api.post(&format!("/v1/hosts/c{i}/actions/{}", if i == 0 { "evacuate" } else { "drain" }), json!({})).await.gives(202);
    }
    let first = api.get("/v1/tasks?limit=2").await.gives(200);
    let token = first.body["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("/v1/tasks?limit=2&continue={token}")).await.gives(200);
    let ids = |body: &Value| body["tasks"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap().to_string()).collect::<Vec<_>>();
    let (a, b) = (ids(&first.body), ids(&second.body));
    assert_eq!((a.len(), b.len()), (2, 1));
    assert!(!a.contains(&b[0]));
    assert_eq!(first.body["items"][0]["metadata"]["name"], a[0]);
    assert_eq!(first.body["items"][0]["status"]["state"], "PENDING");
    api.get("/v1/tasks/0b1c8e3e-0d0c-4a5b-9a52-3c7f3a1d2e4f").await.fails(404, "not-found");
    let host = api.get("/v1/hosts/c0").await.body["metadata"]["uid"].as_str().unwrap().to_string();
    api.get(&format!("/v1/tasks/{host}")).await.fails(404, "not-found");
}

#[tokio::test]
async fn guests_that_are_not_known_are_503_and_never_an_empty_list() {
    let api = api().await;
    api.host("c1").await;
    api.host("dark").await;
    assert_eq!(api.get("/v1/hosts/c1/guests").await.gives(200).body["guests"][0]["id"], "g1");
    let dark = api.get("/v1/hosts/dark/guests").await.fails(503, "unavailable");
    assert!(dark.message().contains("Nova has not been read yet"));
    api.get("/v1/hosts/c9/guests").await.fails(404, "not-found");
    assert_eq!(api.get("/v1/hosts/c1/evacuation-plan").await.gives(200).body["items"][0]["destination"], "c2");
    let untold = api.get("/v1/hosts/dark/evacuation-plan").await.fails(503, "unavailable");
    assert!(untold.message().contains("other hosts cannot be read"), "{}", untold.message());
    api.get("/v1/hosts/c9/evacuation-plan").await.fails(404, "not-found");
}
