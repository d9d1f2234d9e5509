use crate::fixture::{Lines, PATIENCE, api, api_after, api_with, rv};
use api_server::ApiConfig;
use registry::Registry;
use reqwest::Method;
use schemas::{DynObject, Time, kinds};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};
use store::{ChangeOp, Store, StoreError};

fn event(kind: &str, name: &str, revision: i64) -> (String, String, i64) {
    (kind.into(), name.into(), revision)
}

async fn make(registry: &Registry, name: &str) -> i64 {
    let kind = kinds::find("Host").unwrap();
    let made = registry.create(kind, DynObject::new("Host", name, json!({})), None, Time(1)).await.unwrap();
    made.object.metadata.revision()
}

#[tokio::test]
async fn a_watch_begins_with_all_there_is_and_then_tells_changes() {
    let api = api().await;
    api.host("c1").await;
    let second = api.host("c2").await.rv();
    let mut watch = api.watch("hosts?watch=1").await;
    assert_eq!(watch.initial().await, (vec!["c1".to_string(), "c2".to_string()], second));
    let made = api.host("c3").await.rv();
    let changed = api.patch("/v1/hosts/c1", json!({"spec": {"power": "On"}})).await.rv();
    api.delete("/v1/hosts/c2").await.gives(204);
    assert_eq!(watch.event().await, event("ADDED", "c3", made));
    assert_eq!(watch.event().await, event("MODIFIED", "c1", changed));
    assert_eq!(watch.event().await, event("DELETED", "c2", changed + 1));
}

#[tokio::test]
async fn a_watch_from_a_revision_tells_what_came_after_it_and_only_of_its_kind() {
    let api = api().await;
    let first = api.host("c1").await.rv();
    api.post("/v1/credentials", json!({"metadata": {"name": "x"}, "spec": {"data": {"username": "u"}}})).await.gives(201);
    let third = api.host("c2").await.rv();
    let mut watch = api.watch(&format!("hosts?watch=1&resourceVersion={first}")).await;
    assert_eq!(watch.event().await, event("ADDED", "c2", third));
}

#[tokio::test]
async fn list_then_watch_misses_nothing_and_repeats_nothing() {
    let api = api().await;
    api.host("c1").await;
    let list = api.get("/v1/hosts").await.gives(200);
    let made = api.host("c2").await.rv();
    let mut watch = api.watch(&format!("hosts?watch=true&resourceVersion={}", list.rv())).await;
    assert_eq!(watch.event().await, event("ADDED", "c2", made));
}

/// Reads until `last` was told; checks order, and that nothing is told twice.
async fn read_until(watch: &mut Lines, last: i64, mut told: i64, known: &mut BTreeMap<String, i64>) -> Vec<i64> {
    let mut seen = Vec::new();
    while told < last {
        let line = watch.next().await.expect("the watch has ended");
        let revision = rv(&line);
        if line["type"] == "BOOKMARK" {
            assert!(revision >= told);
            told = revision;
            continue;
        }
        assert!(revision > told, "{revision} after {told}: {line}");
        told = revision;
        seen.push(revision);
        let name = line["object"]["metadata"]["name"].as_str().unwrap().to_string();
        match line["type"].as_str().unwrap() {
            "ADDED" => assert!(known.insert(name, revision).is_none(), "{line}"),
            "MODIFIED" => assert!(known.insert(name, revision).is_some(), "{line}"),
            "DELETED" => assert!(known.remove(&name).is_some(), "{line}"),
            other => panic!("{other}"),
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_sees_each_change_once_and_in_order_while_many_write() {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 15;
    let api = api_with(ApiConfig { bookmark: Duration::from_millis(20), ..ApiConfig::default() }).await;
    let write = |writer: usize| {
        let api = &api;
        async move {
            for round in 0..ROUNDS {
                let name = format!("w{writer}-{round}");
                api.host(&name).await;
                api.patch(&format!("/v1/hosts/{name}"), json!({"spec": {"title": "t"}})).await.gives(200);
                if round % 3 == 0 {
                    api.delete(&format!("/v1/hosts/{name}")).await.gives(204);
                }
            }
        }
    };
    let mut from_start = api.watch("hosts?watch=1").await;
    from_start.initial().await;
    // One more begins in the middle of it, from what is there at that moment.
    let middle = async {
        while api.registry.store().revision().await.unwrap().current < 30 {
            tokio::task::yield_now().await;
        }
        let mut watch = api.watch("hosts?watch=1").await;
        let mut known = BTreeMap::new();
        let start = loop {
            let line = watch.next().await.unwrap();
            if line["type"] == "BOOKMARK" {
                break rv(&line);
            }
            assert!(known.insert(line["object"]["metadata"]["name"].as_str().unwrap().to_string(), rv(&line)).is_none());
        };
        (watch, known, start)
    };
    let (_, (mut late, mut late_known, start)) = tokio::join!(futures::future::join_all((0..WRITERS).map(write)), middle);

    let newest = api.registry.store().revision().await.unwrap().current;
    let (mut known, mut expected) = (BTreeMap::new(), Vec::new());
    for change in api.registry.store().changes(0, 100_000).await.unwrap() {
        expected.push(change.revision);
        match change.op {
            ChangeOp::Deleted => known.remove(&change.object.metadata.name),
            _ => known.insert(change.object.metadata.name.clone(), change.revision),
        };
    }
    assert_eq!(expected.len(), WRITERS * (2 * ROUNDS + ROUNDS.div_ceil(3)));
    let mut early_known = BTreeMap::new();
    assert_eq!(read_until(&mut from_start, newest, 0, &mut early_known).await, expected);
    assert_eq!(early_known, known);
    read_until(&mut late, newest, start, &mut late_known).await;
    assert_eq!(late_known, known);
}

#[tokio::test]
async fn leaving_a_selector_is_a_deletion_at_the_revision_of_leaving() {
    let api = api().await;
    api.post("/v1/hosts", json!({"metadata": {"name": "c1", "labels": {"rack": "a"}}})).await.gives(201);
    let start = api.host("c2").await.rv();
    for query in ["hosts?watch=1&labelSelector=rack%3Da".to_string(), format!("hosts?watch=1&labelSelector=rack%3Da&resourceVersion={start}")] {
        let mut watch = api.watch(&query).await;
        if !query.contains("resourceVersion") {
            assert_eq!(watch.initial().await.0, ["c1"]);
        }
        api.patch("/v1/hosts/c2", json!({"spec": {"title": query}})).await.gives(200);
        let left = api.patch("/v1/hosts/c1", json!({"metadata": {"labels": {"rack": "b"}}})).await.rv();
        api.patch("/v1/hosts/c1", json!({"metadata": {"labels": {"row": "1"}}})).await.gives(200);
        let back = api.patch("/v1/hosts/c1", json!({"metadata": {"labels": {"rack": "a", "row": null}}})).await.rv();
        let entered = api.patch("/v1/hosts/c2", json!({"metadata": {"labels": {"rack": "a"}}})).await.rv();
        let gone = api.patch("/v1/hosts/c2", json!({"metadata": {"labels": {"rack": null}}})).await.rv();
        if query.contains("resourceVersion") {
            // The other watch's changes come first.
            while watch.event().await != event("DELETED", "c1", left) {}
        } else {
            assert_eq!(watch.event().await, event("DELETED", "c1", left));
        }
        assert_eq!(watch.event().await, event("ADDED", "c1", back));
        assert_eq!(watch.event().await, event("ADDED", "c2", entered));
        assert_eq!(watch.event().await, event("DELETED", "c2", gone));
    }
}

#[tokio::test]
async fn an_object_that_is_not_selected_is_not_told_of_even_when_it_goes() {
    let api = api().await;
    api.host("c1").await;
    let mut watch = api.watch("hosts?watch=1&fieldSelector=metadata.name%3Dc2").await;
    assert!(watch.initial().await.0.is_empty());
    api.patch("/v1/hosts/c1", json!({"spec": {"title": "x"}})).await.gives(200);
    api.delete("/v1/hosts/c1").await.gives(204);
    let made = api.host("c2").await.rv();
    assert_eq!(watch.event().await, event("ADDED", "c2", made));
}

#[tokio::test]
async fn bookmarks_come_by_themselves_and_move_on_with_other_kinds() {
    let api = api_with(ApiConfig { bookmark: Duration::from_millis(30), ..ApiConfig::default() }).await;
    let mut watch = api.watch("powerdevices?watch=1").await;
    watch.initial().await;
    let newest = api.host("c1").await.rv();
    loop {
        let line = watch.next().await.unwrap();
        assert_eq!(line["type"], "BOOKMARK");
        assert_eq!(line["object"]["kind"], "PowerDevice");
        if rv(&line) == newest {
            break;
        }
    }
}

#[tokio::test]
async fn a_revision_that_was_compacted_away_is_410_before_the_stream_begins() {
    let api = api_after(ApiConfig::default(), async |registry| {
        for i in 0..5 {
            make(registry, &format!("c{i}")).await;
        }
        registry.store().compact(3).await.unwrap();
    })
    .await;
    let old = api.get("/v1/hosts?watch=1&resourceVersion=2").await.fails(410, "expired");
    assert!(old.message().contains("List again"));
    let mut watch = api.watch("hosts?watch=1&resourceVersion=3").await;
    assert_eq!(watch.event().await, event("ADDED", "c3", 4));
}

#[tokio::test]
async fn history_that_goes_while_a_stream_is_open_ends_it_with_an_error_in_it() {
    let api = api_after(ApiConfig::default(), async |registry| {
        for i in 0..5 {
            make(registry, &format!("c{i}")).await;
        }
    })
    .await;
    let mut calls = 0;
    api.faults.fail(move |call, after| {
        calls += i32::from(call == "changes" && after == 1);
        (call == "changes" && after == 1 && calls > 1).then_some(StoreError::Compacted { asked: 1, compacted: 4 })
    });
    let mut watch = api.watch("hosts?watch=1&resourceVersion=1").await;
    let line = watch.next().await.unwrap();
    assert_eq!((&line["type"], &line["object"]["error"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(line["object"]["errors"][0]["code"], "cloud-manager.expired");
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_revision_from_elsewhere_is_400() {
    let api = api().await;
    api.host("c1").await;
    api.get("/v1/hosts?watch=1&resourceVersion=999").await.fails(400, "resource-version-unknown");
    api.get("/v1/hosts?watch=1&resourceVersion=x").await.fails(400, "invalid");
    api.get("/v1/hosts?watch=1&limit=5").await.fails(400, "invalid");
    api.get("/v1/hosts?watch=maybe").await.fails(400, "invalid");
    api.get("/v1/hosts?timeoutSeconds=5").await.fails(400, "invalid");
    api.get("/v1/events?watch=1").await.fails(400, "invalid");
}

#[tokio::test]
async fn a_watch_can_begin_now_or_with_everything_as_asked() {
    let api = api().await;
    api.host("c1").await;
    let mut from_now = api.watch("hosts?watch=1&sendInitialEvents=false").await;
    let made = api.host("c2").await.rv();
    assert_eq!(from_now.event().await, event("ADDED", "c2", made));
    let mut whole = api.watch(&format!("hosts?watch=1&resourceVersion={made}&sendInitialEvents=true&allowWatchBookmarks=true")).await;
    assert_eq!(whole.initial().await, (vec!["c1".to_string(), "c2".to_string()], made));
}

#[tokio::test]
async fn stopping_the_server_ends_streams_cleanly() {
    let mut api = api().await;
    let mut watch = api.watch("hosts?watch=1").await;
    watch.initial().await;
    api.stop.cancel();
    assert_eq!(watch.next().await, None);
    let task = api.handle.take().unwrap().task;
    tokio::time::timeout(PATIENCE, task).await.expect("the server does not stop").unwrap();
    assert!(api.request(Method::GET, "/v1").send().await.is_err());
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_over() {
    let api = api().await;
    let mut watch = api.watch("hosts?watch=1&timeoutSeconds=1").await;
    watch.initial().await;
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_watch_ends_with_its_token() {
    let api = api().await;
    let mut watch = api.watch_as("brief", "hosts?watch=1").await;
    watch.initial().await;
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_revoked_token_ends_its_watches_and_a_silent_keystone_does_not() {
    let config =
        ApiConfig { token_cache_seconds: 0, watch_recheck: Duration::from_millis(30), bookmark: Duration::from_millis(30), ..ApiConfig::default() };
    let api = api_with(config).await;
    let mut watch = api.watch_as("system-reader", "hosts?watch=1").await;
    watch.initial().await;
    for _ in 0..3 {
        assert_eq!(watch.next().await.unwrap()["type"], "BOOKMARK");
    }
    api.keystone.revoked.lock().unwrap().insert("system-reader".into());
    while watch.next().await.is_some() {}
}

#[tokio::test]
async fn a_user_may_open_only_so_many_watches_and_a_closed_one_counts_no_more() {
    let api = api_with(ApiConfig { max_watches_per_user: 2, max_watches: 3, bookmark: Duration::from_millis(20), ..ApiConfig::default() }).await;
    let open = async || api.watch("hosts?watch=1").await;
    let (first, _second) = (open().await, open().await);
    let refused = api.get("/v1/hosts?watch=1").await.fails(429, "rate-limited");
    assert!(refused.header("retry-after").parse::<u32>().is_ok());
    let _other = api.watch_as("system-reader", "hosts?watch=1").await;
    api.get_as("brief", "/v1/hosts?watch=1").await.fails(429, "rate-limited");
    assert_eq!(api.metrics.watches.get(), 3);
    drop(first);
    let free = async {
        while api.metrics.watches.get() > 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("the closed watch is still counted");
    open().await;
}

#[tokio::test]
async fn a_change_of_leader_is_a_change_of_the_lease() {
    let api = api().await;
    let mut watch = api.watch("leases?watch=1").await;
    assert_eq!(watch.initial().await.0, ["controller"]);
    let seen = api.faults.lease("controller").await.unwrap();
    api.faults.lease_take("controller", "node-a", &seen, 6_000, Time(1)).await.unwrap().unwrap();
    let line = watch.next().await.unwrap();
    assert_eq!((&line["type"], &line["object"]["spec"]["holder"]), (&json!("MODIFIED"), &json!("node-a")));
}

#[tokio::test]
async fn many_objects_are_all_told_at_the_beginning() {
    let api = api_after(ApiConfig::default(), async |registry| {
        for i in 0..150 {
            make(registry, &format!("c{i:03}")).await;
        }
    })
    .await;
    let (names, revision) = api.watch("hosts?watch=1").await.initial().await;
    assert_eq!((names.len(), names.iter().collect::<HashSet<_>>().len(), revision), (150, 150, 150));
}
