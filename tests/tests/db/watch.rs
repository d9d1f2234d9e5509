//! The change feed on each database: each change once and in order, also over restarts and compaction.

use crate::{at, eventually, host, open, patient};
use engine::Feed;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use store::{Change, ChangeOp, Guard, ListQuery, Op, SqlStore, Store, StoreConfig, StoreError};
use test_databases::{Kind, Options, Server};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const CHANGES: i64 = 900;

/// Makes changes until there are [`CHANGES`]: objects come, change and go. Restarts cost it nothing but time.
async fn work(store: SqlStore) {
    let mut n = 0;
    loop {
        let current = eventually("a revision", || store.revision()).await.current;
        if current >= CHANGES {
            return;
        }
        n += 1;
        let name = format!("h{}", n % 17);
        let op = match eventually("a read", || store.get("Host", &name)).await {
            None => Op::Create(host(&name)),
            Some(old) if n % 5 == 0 => Op::Delete { kind: "Host".into(), name, expected: old.metadata.revision() },
            Some(mut object) => {
                let expected = object.metadata.revision();
                object.spec = json!({"n": n});
                Op::Update { object, expected }
            }
        };
        match store.commit(Guard::Open, at(n), vec![op]).await {
            // It is read again anyway, so what became of it is seen.
            Ok(_) | Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_) | StoreError::Contended(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// One who reads a feed from its newest revision at the time, or from 0, to [`CHANGES`].
struct Follower {
    from: i64,
    /// The last revision it has seen.
    at: watch::Receiver<i64>,
    seen: JoinHandle<Vec<Change>>,
}

impl Follower {
    fn start(feed: Arc<Feed>, from: i64) -> Self {
        let (tell, at) = watch::channel(from);
        Follower { from, at, seen: tokio::spawn(follow(feed, from, tell)) }
    }
}

async fn follow(feed: Arc<Feed>, from: i64, tell: watch::Sender<i64>) -> Vec<Change> {
    let (mut seen, mut last, mut newest) = (Vec::new(), from, feed.subscribe());
    while last < CHANGES {
        let more = match feed.after(last, 10).await {
            Ok(more) => more,
            Err(error @ StoreError::Compacted { .. }) => panic!("{error}"),
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if more.is_empty() {
            let waited = tokio::time::timeout(Duration::from_secs(60), newest.changed()).await;
            waited.unwrap_or_else(|_| panic!("the feed stands still at {}; seen {last} of {CHANGES}", feed.newest())).unwrap();
        }
        for change in more {
            last = change.change.revision;
            seen.push(change.change.clone());
        }
        tell.send_replace(last);
    }
    seen
}

fn replay(changes: &[Change]) -> BTreeMap<String, (String, serde_json::Value)> {
    let mut state = BTreeMap::new();
    for change in changes {
        let object = &change.object;
        match change.op {
            ChangeOp::Deleted => drop(state.remove(&object.metadata.name)),
            _ => drop(state.insert(object.metadata.name.clone(), (object.metadata.resource_version.clone(), object.spec.clone()))),
        }
    }
    state
}

async fn each_change_once_and_in_order(config: StoreConfig, server: Option<Server>) {
    let (writer, watched) = (open(&config).await, Arc::new(open(&config).await));
    let stop = CancellationToken::new();
    // A small ring, so that slow readers go to the database.
    let (feed, mut tail) = Feed::with_ring(watched.clone(), stop.clone(), 32).await.unwrap();
    let mut followers = vec![Follower::start(feed.clone(), 0)];
    let working = tokio::spawn(work(writer.clone()));
    let (mut restarts, mut tails) = (0, Vec::new());
    for mark in [200, 400, 600] {
        feed.subscribe().wait_for(|newest| *newest >= mark).await.unwrap();
        if let Some(server) = &server {
            tokio::task::block_in_place(|| {
                server.kill();
                server.start_again();
            });
            restarts += 1;
        }
        // Everybody here gets past this first; who comes from before it is told.
        let compacted = mark - 150;
        for follower in &mut followers {
            follower.at.wait_for(|at| *at >= compacted).await.expect("a follower ended");
        }
        while eventually("compaction", || writer.compact(compacted)).await > 0 {}
        assert!(matches!(eventually_compacted(&watched, compacted - 1).await, StoreError::Compacted { .. }));
        // One who begins here, with a feed of its own, as another process would.
        let store = Arc::new(eventually("a store", || SqlStore::open(&config, crate::keys())).await);
        let (feed, tail) = eventually("a feed", || Feed::start(store.clone(), stop.clone())).await;
        let from = feed.newest();
        followers.push(Follower::start(feed, from));
        tails.push(tail);
    }
    working.await.unwrap();
    let first = followers.remove(0);
    let seen = tokio::select! {
        seen = first.seen => seen.unwrap(),
        ended = &mut tail => panic!("the feed ended: {ended:?}"),
    };
    tails.push(tail);
    let current = writer.revision().await.unwrap();
    assert_eq!(seen.iter().map(|c| c.revision).collect::<Vec<_>>(), (1..=current.current).collect::<Vec<_>>(), "each once and in order");
    let kept = writer.changes(current.compacted, 10_000).await.unwrap();
    assert_eq!(seen[usize::try_from(current.compacted).unwrap()..], kept, "the feed and the table differ");
    let listed = writer.list("Host", ListQuery::default()).await.unwrap().items;
    let table: BTreeMap<_, _> =
        listed.into_iter().map(|o| (o.metadata.name.clone(), (o.metadata.resource_version.clone(), o.spec.clone()))).collect();
    assert_eq!(replay(&seen), table);
    for Follower { from, seen: following, .. } in followers {
        assert_eq!(following.await.unwrap(), seen[usize::try_from(from).unwrap()..], "from {from}");
    }
    stop.cancel();
    for tail in tails {
        tail.await.unwrap().unwrap();
    }
    assert_eq!(restarts, if server.is_some() { 3 } else { 0 });
}

async fn eventually_compacted(store: &SqlStore, after: i64) -> StoreError {
    eventually("an answer", || async {
        match store.changes(after, 1).await {
            Err(error @ StoreError::Compacted { .. }) => Ok(error),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_watcher_sees_each_change_once_and_in_order_over_compaction() {
    let dir = tempfile::tempdir().unwrap();
    each_change_once_and_in_order(StoreConfig { deadline: Duration::from_secs(60), ..StoreConfig::sqlite(dir.path().join("db")) }, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_a_watcher_sees_each_change_once_and_in_order_over_restarts_and_compaction() {
    let Some(server) = Server::start(Kind::Postgres, Options::default()) else { return };
    each_change_once_and_in_order(patient(&server.url(&server.create_database())), Some(server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb_a_watcher_sees_each_change_once_and_in_order_over_restarts_and_compaction() {
    let Some(server) = Server::start(Kind::Mariadb, Options::default()) else { return };
    each_change_once_and_in_order(patient(&server.url(&server.create_database())), Some(server)).await;
}
