//! A watcher sees each change once and in order.

use crate::{
    at, host,
    store::{Hurt, open},
};
use ::store::{Guard, Op, SqlStore, Store, StoreError};
use engine::Feed;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

async fn feed(store: &Arc<SqlStore>, ring: usize) -> Arc<Feed> {
    Feed::with_ring(store.clone(), CancellationToken::new(), ring).await.unwrap().0
}

/// Creates, changes and deletes `Host/{name}-n`; each round is three revisions.
async fn write(store: Arc<SqlStore>, name: String, rounds: usize) {
    for n in 0..rounds {
        let made = store.commit(Guard::Open, at(0), vec![Op::Create(host(&format!("{name}-{n}")))]).await.unwrap();
        let object = made.last().unwrap().clone();
        let expected = object.metadata.revision();
        let changed = store.commit(Guard::Open, at(1), vec![Op::Update { object, expected }]).await.unwrap();
        let object = changed.last().unwrap().clone();
        let delete = Op::Delete { kind: object.kind.clone(), name: object.metadata.name.clone(), expected: object.metadata.revision() };
        store.commit(Guard::Open, at(2), vec![delete]).await.unwrap();
    }
}

/// Reads from `from` to `to` as a watcher does, `limit` changes at a time; gives the revisions in the order they came.
async fn watch(feed: &Feed, from: i64, to: i64, limit: usize) -> Vec<i64> {
    let (mut seen, mut last, mut newest) = (Vec::new(), from, feed.subscribe());
    while last < to {
        let changes = feed.after(last, limit).await.unwrap();
        assert!(changes.len() <= limit);
        if changes.is_empty() {
            newest.changed().await.unwrap();
        }
        for change in changes {
            last = change.change.revision;
            assert_eq!(change.object().metadata.revision(), last);
            seen.push(last);
        }
    }
    seen
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), work).await.expect("it should not take so long")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_of_two_processes_see_every_change_of_concurrent_writers_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [open(dir.path()).await, open(dir.path()).await];
    // A ring smaller than what is written: those who fall behind it read from the database.
    let feeds = [feed(&stores[0], 16).await, feed(&stores[1], 1_000).await];
    let total = 4 * 8 * 3;
    let mut watchers = tokio::task::JoinSet::new();
    for (n, limit) in [1, 3, 200, 1, 7, 200].into_iter().enumerate() {
        let feed = feeds[n % 2].clone();
        watchers.spawn(async move { watch(&feed, 0, total, limit).await });
    }
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..4 {
        writers.spawn(write(stores[n % 2].clone(), format!("w{n}"), 8));
    }
    while let Some(done) = soon(writers.join_next()).await {
        done.unwrap();
    }
    while let Some(seen) = soon(watchers.join_next()).await {
        assert_eq!(seen.unwrap(), (1..=total).collect::<Vec<_>>());
    }
    // One that comes late, and finds only the end of it in the ring.
    assert_eq!(soon(watch(&feeds[0], 5, total, 10)).await, (6..=total).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_waits_is_woken_by_a_commit_of_this_process_and_finds_one_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, theirs) = (open(dir.path()).await, open(dir.path()).await);
    let feed = feed(&mine, 100).await;
    for (n, store) in [mine, theirs].iter().enumerate() {
        let revision = n as i64 + 1;
        let waiting = tokio::spawn({
            let feed = feed.clone();
            async move { feed.reached(revision).await }
        });
        store.commit(Guard::Open, at(0), vec![Op::Create(host(&format!("h{n}")))]).await.unwrap();
        soon(waiting).await.unwrap();
        assert_eq!(feed.newest(), revision);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_history_that_was_compacted_is_told_so_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let feed = feed(&store, 4).await;
    write(store.clone(), "h".into(), 5).await;
    soon(feed.reached(15)).await;
    store.compact(10).await.unwrap();
    assert!(matches!(feed.after(5, 10).await, Err(StoreError::Compacted { asked: 5, compacted: 10 })));
    assert_eq!(soon(watch(&feed, 10, 15, 2)).await, [11, 12, 13, 14, 15]);
    assert_eq!(soon(watch(&feed, 13, 15, 2)).await, [14, 15], "those whom the ring serves notice nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_a_watcher_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let seen = {
        let store = open(dir.path()).await;
        let feed = feed(&store, 100).await;
        write(store.clone(), "before".into(), 2).await;
        soon(watch(&feed, 0, 4, 10)).await
    };
    let store = open(dir.path()).await;
    let feed = feed(&store, 100).await;
    let went_on = tokio::spawn({
        let feed = feed.clone();
        let last = *seen.last().unwrap();
        async move { watch(&feed, last, 9, 10).await }
    });
    write(store.clone(), "after".into(), 1).await;
    let all: Vec<i64> = seen.into_iter().chain(soon(went_on).await.unwrap()).collect();
    assert_eq!(all, (1..=9).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_not_there_yet_is_given_and_nothing_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let feed = feed(&store, 100).await;
    for revision in [0, 1, 1_000] {
        assert!(feed.after(revision, 10).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_in_history_ends_the_feed_and_so_does_history_that_went_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let hurt = Hurt::new(store.clone());
    let (_feed, task) = Feed::start(hurt.clone(), CancellationToken::new()).await.unwrap();
    hurt.hole.store(2, Ordering::SeqCst);
    write(store.clone(), "h".into(), 1).await;
    let Err(StoreError::Corrupt(why)) = soon(task).await.unwrap() else { panic!("the hole was not noticed") };
    assert!(why.contains("jumps from revision 1 to 3"), "{why}");

    let hurt = Hurt::new(store);
    let (_feed, task) = Feed::start(hurt.clone(), CancellationToken::new()).await.unwrap();
    hurt.back.store(2, Ordering::SeqCst);
    let Err(StoreError::Corrupt(why)) = soon(task).await.unwrap() else { panic!("the restored database was not noticed") };
    assert!(why.contains("went back from revision 3 to 1"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_told_to_stop_ends_without_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let (_feed, task) = Feed::start(open(dir.path()).await, stop.clone()).await.unwrap();
    stop.cancel();
    soon(task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_tells_the_labels_that_the_object_had_before_if_they_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let labelled = |value: &str| {
        let mut object = host("h");
        object.metadata.labels.insert("rack".into(), value.into());
        object
    };
    store.commit(Guard::Open, at(0), vec![Op::Create(labelled("one"))]).await.unwrap();
    let feed = feed(&store, 100).await;
    store.commit(Guard::Open, at(1), vec![Op::Update { object: labelled("two"), expected: 1 }]).await.unwrap();
    store.commit(Guard::Open, at(2), vec![Op::Delete { kind: "Host".into(), name: "h".into(), expected: 2 }]).await.unwrap();
    soon(feed.reached(3)).await;
    let before: Vec<Option<String>> = feed.after(1, 10).await.unwrap().iter().map(|c| c.labels_before.as_ref().map(|l| l["rack"].clone())).collect();
    assert_eq!(before, [Some("one".into()), Some("two".into())]);
    let from_the_database = &feed.after(0, 1).await.unwrap()[0];
    assert_eq!(from_the_database.labels_before, None, "not known, which is not none");
}
