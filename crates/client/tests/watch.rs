//! Watches: nothing is missed, nothing is told twice.

mod common;

use client::{Event, Query, Watch};
use common::*;
use serde_json::json;
use std::time::Duration;
use wiremock::{MockServer, ResponseTemplate};

async fn watch(server: &MockServer) -> Watch {
    let short = Duration::from_millis(2);
    connect(server).await.watch("hosts", Query::all()).with_backoff(short, short)
}

/// The next events that are not about the connection, as `Added c1@3`.
async fn told(watch: &mut Watch, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        let event = tokio::time::timeout(Duration::from_secs(20), watch.next()).await.expect("an event in time").unwrap();
        let (word, object) = match event {
            Event::Added(o) => ("Added", o),
            Event::Modified(o) => ("Modified", o),
            Event::Deleted(o) => ("Deleted", o),
            Event::Synced => {
                told.push("Synced".into());
                continue;
            }
            Event::Trouble(_) => continue,
        };
        told.push(format!("{word} {}@{}", object.metadata.name, object.metadata.resource_version));
    }
    told
}

#[tokio::test]
async fn a_watch_tells_what_is_there_and_then_each_change() {
    let server = MockServer::start().await;
    serve_lists(&server, &[list(5, &[host("c1", 3, "On")])]).await;
    let stream = lines(&[
        json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "6"}}}),
        json!({"type": "MODIFIED", "object": host("c1", 7, "Off")}),
        json!({"type": "ADDED", "object": host("c2", 8, "On")}),
        json!({"type": "DELETED", "object": host("c1", 9, "Off")}),
    ]);
    serve_watch(&server, 5, stream).await;
    // The stream ended: it goes on from the last revision.
    serve_watch(&server, 9, lines(&[json!({"type": "ADDED", "object": host("c3", 10, "On")})])).await;
    serve_watch(&server, 10, ResponseTemplate::new(500)).await;
    let mut watch = watch(&server).await;
    let want = ["Added c1@3", "Synced", "Modified c1@7", "Added c2@8", "Deleted c1@9", "Added c3@10"];
    assert_eq!(told(&mut watch, want.len()).await, want);
}

#[tokio::test]
async fn a_watch_that_is_too_old_lists_anew_and_tells_only_what_differs() {
    let server = MockServer::start().await;
    let before = list(5, &[host("c1", 3, "On"), host("c2", 4, "On"), host("c4", 5, "On")]);
    let mut remade = host("c4", 18, "On");
    remade["metadata"]["uid"] = "another".into();
    let after = list(20, &[host("c1", 3, "On"), host("c3", 12, "On"), remade]);
    serve_lists(&server, &[before, after]).await;
    serve_watch(&server, 5, error(410, "expired", "Revision 5 is compacted away.")).await;
    serve_watch(&server, 20, lines(&[json!({"type": "MODIFIED", "object": host("c3", 21, "Off")})])).await;
    serve_watch(&server, 21, ResponseTemplate::new(500)).await;
    let mut watch = watch(&server).await;
    let want = ["Added c1@3", "Added c2@4", "Added c4@5", "Synced", "Added c3@12", "Deleted c4@5", "Added c4@18", "Deleted c2@4", "Modified c3@21"];
    assert_eq!(told(&mut watch, want.len()).await, want);
}

#[tokio::test]
async fn an_error_410_inside_the_stream_lists_anew_too() {
    let server = MockServer::start().await;
    serve_lists(&server, &[list(5, &[]), list(9, &[host("c1", 9, "On")])]).await;
    serve_watch(&server, 5, lines(&[json!({"type": "ERROR", "object": {"error": {"code": 410, "message": "too slow"}}})])).await;
    serve_watch(&server, 9, ResponseTemplate::new(500)).await;
    let mut watch = watch(&server).await;
    assert_eq!(told(&mut watch, 2).await, ["Synced", "Added c1@9"]);
}

#[tokio::test]
async fn a_lost_connection_is_told_and_a_refusal_ends_the_watch() {
    let server = MockServer::start().await;
    serve_lists(&server, &[list(5, &[])]).await;
    serve_watch(&server, 5, error(500, "internal", "broken").set_body_string("")).await;
    let mut watch = watch(&server).await;
    assert_eq!(watch.next().await.unwrap(), Event::Synced);
    assert!(matches!(watch.next().await.unwrap(), Event::Trouble(_)));
    server.reset().await;
    serve_watch(&server, 5, error(403, "forbidden", "You may not watch hosts.")).await;
    let refusal = loop {
        match watch.next().await {
            Ok(Event::Trouble(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(e) => break e,
        }
    };
    assert_eq!(refusal.to_string(), "You may not watch hosts.");
}
