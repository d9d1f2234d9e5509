//! The verbs of the API, and Keystone.

mod common;

use client::{Access, AuthOptions, Client, Deleted, Environment, Error, Exit, Options, Query};
use common::*;
use serde_json::json;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_partial_json, header, method, path, query_param, query_param_is_missing},
};

fn access(server: &MockServer) -> Access {
    let uri = server.uri();
    let variables = [("OS_AUTH_URL", uri.as_str()), ("OS_USERNAME", "u"), ("OS_PASSWORD", "hunter2"), ("OS_PROJECT_NAME", "p")];
    AuthOptions::default().resolve(&Environment::new(&variables, "/nowhere")).unwrap()
}

fn token(value: &str, catalogue: serde_json::Value) -> ResponseTemplate {
    ResponseTemplate::new(201).insert_header("x-subject-token", value).set_body_json(json!({"token": {"catalog": catalogue}}))
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_request_repeated() {
    let server = MockServer::start().await;
    let login = Mock::given(method("POST")).and(path("/v3/auth/tokens"));
    let login = login.and(body_partial_json(json!({"auth": {"identity": {"password": {"user": {"name": "u", "password": "hunter2"}}}}})));
    login.respond_with(token("old", json!([]))).up_to_n_times(1).mount(&server).await;
    Mock::given(method("POST")).and(path("/v3/auth/tokens")).respond_with(token("new", json!([]))).expect(1).mount(&server).await;
    Mock::given(header("x-auth-token", "old")).respond_with(error(401, "", "no")).expect(1).mount(&server).await;
    Mock::given(header("x-auth-token", "new")).respond_with(ResponseTemplate::new(200).set_body_json(host("c1", 1, "On"))).mount(&server).await;
    let client = Client::connect(Options { endpoint: Some((server.uri(), "--endpoint")), access: access(&server) }).await.unwrap();
    assert_eq!(client.get("hosts", "c1").await.unwrap().metadata.name, "c1");
    client.get("hosts", "c1").await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_refused_twice_is_an_authentication_error() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/v3/auth/tokens")).respond_with(token("t", json!([]))).expect(2).mount(&server).await;
    Mock::given(method("GET")).respond_with(error(401, "", "The request you have made requires authentication.")).expect(2).mount(&server).await;
    let client = Client::connect(Options { endpoint: Some((server.uri(), "--endpoint")), access: access(&server) }).await.unwrap();
    let e = client.get("hosts", "c1").await.unwrap_err();
    assert_eq!(e.exit(), Exit::Auth);
    assert!(e.to_string().contains("same Keystone"), "{e}");
}

#[tokio::test]
async fn keystone_refusing_the_login_names_no_secret() {
    let server = MockServer::start().await;
    let refusal = ResponseTemplate::new(401).set_body_json(json!({"error": {"message": "Invalid user or password."}}));
    Mock::given(path("/v3/auth/tokens")).respond_with(refusal).mount(&server).await;
    let client = Client::connect(Options { endpoint: Some((server.uri(), "--endpoint")), access: access(&server) }).await.unwrap();
    let e = client.get("hosts", "c1").await.unwrap_err();
    assert_eq!(e.exit(), Exit::Auth);
    assert!(e.to_string().contains("Invalid user or password.") && !e.to_string().contains("hunter2"), "{e}");
    assert!(!format!("{client:?} {e:?}").contains("hunter2"));
}

#[tokio::test]
async fn the_endpoint_comes_from_the_catalogue_and_else_is_the_default() {
    let server = MockServer::start().await;
    let catalogue = json!([{"type": "cloud-manager", "endpoints": [{"interface": "public", "region": "r", "url": "http://api.example:9362/v1"}]}]);
    Mock::given(path("/v3/auth/tokens")).respond_with(token("t", catalogue)).up_to_n_times(1).mount(&server).await;
    Mock::given(path("/v3/auth/tokens")).respond_with(token("t", json!([]))).mount(&server).await;
    let endpoint = async || Client::connect(Options { endpoint: None, access: access(&server) }).await.unwrap().endpoint().to_string();
    assert_eq!(endpoint().await, "http://api.example:9362");
    assert_eq!(endpoint().await, "http://127.0.0.1:9362");
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page() {
    let server = MockServer::start().await;
    let mut first = list(7, &[host("c1", 1, "On")]);
    first["metadata"]["continue"] = "next+/=".into();
    let pages = Mock::given(method("GET")).and(path("/v1/hosts")).and(query_param("labelSelector", "rack in (a,b)"));
    pages.and(query_param_is_missing("continue")).respond_with(ResponseTemplate::new(200).set_body_json(first)).mount(&server).await;
    let second = list(9, &[host("c2", 2, "On")]);
    Mock::given(query_param("continue", "next+/=")).respond_with(ResponseTemplate::new(200).set_body_json(second)).mount(&server).await;
    let all = connect(&server).await.list("hosts", &Query::all().labels(Some("rack in (a,b)"))).await.unwrap();
    assert_eq!(all.items.iter().map(|o| o.metadata.name.as_str()).collect::<Vec<_>>(), ["c1", "c2"]);
    assert_eq!(all.resource_version, "7", "a watch begins at the first page's revision");
}

#[tokio::test]
async fn an_answer_of_a_newer_server_is_still_understood() {
    let server = MockServer::start().await;
    let mut newer = host("c1", 1, "On");
    newer["metadata"]["managedFields"] = json!([]);
    newer["extra"] = json!(1);
    newer["spec"]["later"] = json!("x");
    Mock::given(path("/v1/hosts/c1")).respond_with(ResponseTemplate::new(200).set_body_json(newer)).mount(&server).await;
    assert_eq!(connect(&server).await.get("hosts", "c1").await.unwrap().spec["later"], "x");
}

#[tokio::test]
async fn a_task_is_read_in_the_earlier_clients_words() {
    let server = MockServer::start().await;
    let view = json!({"id": "u1", "state": "STARTED", "result": null, "object": {"kind": "Evacuation", "name": "ev1", "href": "x"}});
    Mock::given(path("/v1/tasks/u1")).respond_with(ResponseTemplate::new(200).set_body_json(view)).mount(&server).await;
    let task = connect(&server).await.get("tasks", "u1").await.unwrap();
    assert_eq!((task.metadata.name.as_str(), &task.spec["object"], &task.status["state"]), ("u1", &json!("Evacuation/ev1"), &json!("STARTED")));
}

#[tokio::test]
async fn deleting_tells_whether_the_object_is_gone_or_going() {
    let server = MockServer::start().await;
    Mock::given(method("DELETE")).and(path("/v1/hosts/a")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    Mock::given(method("DELETE"))
        .and(path("/v1/hosts/b"))
        .respond_with(ResponseTemplate::new(202).set_body_json(host("b", 4, "On")))
        .mount(&server)
        .await;
    let client = connect(&server).await;
    assert_eq!(client.delete("hosts", "a").await.unwrap(), Deleted::Gone);
    assert!(matches!(client.delete("hosts", "b").await.unwrap(), Deleted::Finalizing(o) if o.metadata.name == "b"));
}

#[tokio::test]
async fn a_busy_server_is_asked_again_for_reads_and_never_for_writes() {
    let server = MockServer::start().await;
    let busy = || error(503, "unavailable", "busy").insert_header("retry-after", "0");
    Mock::given(method("GET")).respond_with(busy()).up_to_n_times(2).expect(2).mount(&server).await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_json(host("c1", 1, "On"))).mount(&server).await;
    Mock::given(method("POST")).respond_with(busy()).expect(1).mount(&server).await;
    let client = connect(&server).await;
    client.get("hosts", "c1").await.unwrap();
    assert_eq!(client.create("hosts", &host("c1", 1, "On")).await.unwrap_err().status(), Some(503));
}

#[tokio::test]
async fn who_sent_too_much_was_not_heard_so_a_write_is_sent_again_as_well() {
    let server = MockServer::start().await;
    let too_much = error(429, "rate-limited", "too much").insert_header("retry-after", "0");
    Mock::given(method("POST")).respond_with(too_much).up_to_n_times(2).expect(2).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(201).set_body_json(host("c1", 1, "On"))).mount(&server).await;
    connect(&server).await.create("hosts", &host("c1", 1, "On")).await.unwrap();
}

#[tokio::test]
async fn an_action_gives_its_task_and_warnings_are_kept() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(202).set_body_json(json!({"task_id": "t1"})).insert_header("warning", r#"299 - "the cluster is frozen""#);
    Mock::given(method("POST")).and(path("/v1/hosts/c1/actions/evacuate")).respond_with(answer).mount(&server).await;
    let client = connect(&server).await;
    assert_eq!(client.post_action("c1", "evacuate", &json!({})).await.unwrap(), "t1");
    assert_eq!(client.take_warnings(), ["the cluster is frozen"]);
    assert!(client.take_warnings().is_empty());
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_address_and_nothing_happened() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::connect(Options { endpoint: Some((format!("http://{address}"), "--endpoint")), access: nobody() }).await.unwrap();
    let e = client.create("hosts", &json!({})).await.unwrap_err();
    assert!(matches!(&e, Error::Unreachable { may_have_happened: false, .. }), "{e:?}");
    assert!(e.to_string().contains(&address.to_string()), "{e}");
    assert_eq!(e.exit(), Exit::Internal);
}
