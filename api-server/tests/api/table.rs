//! Objects as rows of a table.

use crate::fixture::{Answer, Api, api};
use reqwest::Method;
use serde_json::{Value, json};

async fn table(api: &Api, path: &str) -> Answer {
    api.send(api.request(Method::GET, path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;q=0.5")).await
}

fn column<'a>(table: &'a Value, row: usize, name: &str) -> &'a Value {
    let columns = table["columnDefinitions"].as_array().unwrap();
    &table["rows"][row]["cells"][columns.iter().position(|c| c["name"] == name).unwrap()]
}

#[tokio::test]
async fn a_list_and_an_object_come_as_rows_when_asked_for() {
    let api = api().await;
    api.host("c1").await;
    api.post("/v1/hosts", json!({"metadata": {"name": "c2"}, "spec": {"power": "On"}})).await.gives(201);
    let list = table(&api, "/v1/hosts?limit=1").await.gives(200);
    assert_eq!((list.header("content-type"), list.header("vary")), ("application/json;as=Table", "OpenStack-API-Version, Accept"));
    assert_eq!((&list.body["kind"], list.body["rows"].as_array().unwrap().len()), (&json!("Table"), 1));
    let next = list.body["metadata"]["continue"].as_str().unwrap();
    let page = table(&api, &format!("/v1/hosts?limit=1&continue={next}")).await.gives(200);
    assert_eq!(
        (column(&page.body, 0, "NAME"), column(&page.body, 0, "WANT"), column(&page.body, 0, "GUESTS")),
        (&json!("c2"), &json!("On"), &Value::Null)
    );
    assert_eq!(page.body["rows"][0]["object"]["metadata"]["name"], "c2");
    let columns = page.body["columnDefinitions"].as_array().unwrap();
    let of = |name: &str| columns.iter().find(|c| c["name"] == name).unwrap();
    assert_eq!((&of("GUESTS")["type"], &of("WANT")["priority"], &of("NAME")["format"]), (&json!("integer"), &json!(1), &json!("name")));
    let one = table(&api, "/v1/hosts/c2").await.gives(200);
    assert_eq!(column(&one.body, 0, "NAME"), "c2");
    assert!(one.header("etag").starts_with('"'));
}

#[tokio::test]
async fn a_watch_tells_rows_when_asked_for() {
    let api = api().await;
    api.host("c1").await;
    let request = api.request(Method::GET, "/v1/hosts?watch=1&resourceVersion=0").header("accept", "application/json;as=Table");
    let mut watch = api.watch_with(request).await;
    let line = watch.next().await.unwrap();
    assert_eq!((&line["type"], &line["object"]["kind"], column(&line["object"], 0, "NAME")), (&json!("ADDED"), &json!("Table"), &json!("c1")));
}

#[tokio::test]
async fn a_form_that_is_not_there_is_406_and_names_those_that_are() {
    let api = api().await;
    for path in ["/v1/hosts", "/v1/hosts?watch=1"] {
        let answer = api.send(api.request(Method::GET, path).header("accept", "text/html, application/xml;q=0.9")).await.fails(406, "not-acceptable");
        assert!(answer.message().contains("application/json;as=Table"));
    }
    for accept in ["*/*", "application/*", "text/html, */*;q=0.1", ""] {
        let list = api.send(api.request(Method::GET, "/v1/hosts").header("accept", accept)).await.gives(200);
        assert_eq!(list.body["kind"], "HostList", "{accept}");
    }
}
