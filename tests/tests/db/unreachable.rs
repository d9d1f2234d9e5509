//! A database that hangs, dies in the middle, or answers no more: what the caller is told, and what is true afterwards.

use crate::{
    at, eventually, host, open, patient,
    proxy::{Mood, Proxy},
};
use std::time::Duration;
use store::{Guard, Op, SqlStore, Store, StoreConfig, StoreError, migrate};
use test_databases::{Kind, Options, PASSWORD, Server, USER, shared};

async fn behind_a_proxy(kind: Kind, deadline: Duration) -> Option<(Proxy, SqlStore)> {
    let server = shared(kind)?;
    let name = server.create_database();
    migrate(&patient(&server.url(&name)), None).await.unwrap();
    let proxy = Proxy::start(server.port()).await;
    let url = server.url_with(&format!("{USER}:{PASSWORD}"), &proxy.addr.to_string(), &name);
    let store = SqlStore::open(&StoreConfig { deadline, ..patient(&url) }, crate::keys()).await.unwrap();
    Some((proxy, store))
}

async fn create(store: &SqlStore, name: &str) -> Result<i64, StoreError> {
    store.commit(Guard::Open, at(0), vec![Op::Create(host(name))]).await.map(|c| c.revision)
}

async fn the_answer_to_a_commit_is_lost(kind: Kind) {
    let Some((proxy, store)) = behind_a_proxy(kind, Duration::from_secs(60)).await else { return };
    for (n, (mood, there)) in [(Mood::LoseAnswer, true), (Mood::LoseCommit, false), (Mood::LoseAnswer, true)].into_iter().enumerate() {
        let name = format!("h{n}");
        proxy.set(mood);
        let result = create(&store, &name).await;
        let Err(error @ StoreError::OutcomeUnknown(_)) = result else { panic!("{mood:?}: {result:?}") };
        assert!(!error.is_retryable(), "it is looked up before it is repeated");
        assert!(error.to_string().contains(&format!("{USER}@127.0.0.1")) && !error.to_string().contains(PASSWORD), "{error}");
        assert_eq!(store.get("Host", &name).await.unwrap().is_some(), there, "{mood:?}");
    }
    assert_eq!(*proxy.struck.lock().unwrap(), 3);
    assert_eq!(create(&store, "after").await.unwrap(), 3, "the store goes on with new connections");
    assert_eq!(store.changes(0, 10).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_a_commit_without_an_answer_is_of_unknown_outcome_and_never_repeated() {
    the_answer_to_a_commit_is_lost(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb_a_commit_without_an_answer_is_of_unknown_outcome_and_never_repeated() {
    the_answer_to_a_commit_is_lost(Kind::Mariadb).await;
}

async fn it_hangs(kind: Kind) {
    let Some((proxy, store)) = behind_a_proxy(kind, Duration::from_secs(3)).await else { return };
    create(&store, "before").await.unwrap();
    proxy.set(Mood::Swallow);
    for _ in 0..2 {
        let (read, write) = tokio::join!(store.get("Host", "before"), create(&store, "meanwhile"));
        let Err(error @ StoreError::Unavailable(_)) = read else { panic!("{read:?}") };
        assert!(error.to_string().contains("no answer within 3 s") && error.to_string().contains("check that it runs"), "{error}");
        // No COMMIT was sent, so the outcome is known.
        let Err(error @ StoreError::Unavailable(_)) = write else { panic!("{write:?}") };
        assert!(error.to_string().contains("nothing was written"), "{error}");
    }
    proxy.set(Mood::Pass);
    let found = eventually("the store goes on", || store.get("Host", "before")).await;
    assert!(found.is_some());
    assert_eq!(store.get("Host", "meanwhile").await.unwrap(), None);
    assert_eq!(eventually("a write goes through", || create(&store, "after")).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_hangs_is_an_error_within_the_deadline_and_used_again_when_it_answers() {
    it_hangs(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_that_hangs_is_an_error_within_the_deadline_and_used_again_when_it_answers() {
    it_hangs(Kind::Mariadb).await;
}

async fn it_is_restarted(kind: Kind) {
    let Some(server) = Server::start(kind, Options::default()) else { return };
    let config = StoreConfig { deadline: Duration::from_secs(10), ..patient(&server.url(&server.create_database())) };
    let store = open(&config).await;
    create(&store, "a").await.unwrap();
    // As many connections in the pool as there can be.
    let reads: Vec<_> = (0..32)
        .map(|_| {
            tokio::spawn({
                let store = store.clone();
                async move { store.get("Host", "a").await.unwrap() }
            })
        })
        .collect();
    for read in reads {
        read.await.unwrap();
    }
    server.kill();
    let error = store.get("Host", "a").await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("check that it runs") || why.contains("the connection broke")), "{error}");
    let error = create(&store, "b").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    server.start_again();
    // Not one call pays for the dead connections.
    assert!(store.get("Host", "a").await.unwrap().is_some());
    assert_eq!(create(&store, "b").await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_postgresql_that_was_restarted_cost_no_call() {
    it_is_restarted(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_mariadb_that_was_restarted_cost_no_call() {
    it_is_restarted(Kind::Mariadb).await;
}

async fn callers_leave(kind: Kind) {
    let Some((_, store)) = behind_a_proxy(kind, Duration::from_secs(60)).await else { return };
    for n in 0..20 {
        create(&store, &format!("h{n}")).await.unwrap();
    }
    // Calls broken off at any moment must not leave their answers to the next caller.
    for n in 0..200u64 {
        let name = format!("h{}", n % 20);
        let limit = Duration::from_micros(n * 20);
        let _ = tokio::time::timeout(limit, store.get("Host", &name)).await;
        let _ = tokio::time::timeout(limit, store.changes(0, 3)).await;
        let other = format!("h{}", (n + 7) % 20);
        assert_eq!(store.get("Host", &other).await.unwrap().unwrap().metadata.name, other);
        assert_eq!(store.revision().await.unwrap().current, 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_nobody_gets_the_answer_to_a_call_that_was_broken_off() {
    callers_leave(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb_nobody_gets_the_answer_to_a_call_that_was_broken_off() {
    callers_leave(Kind::Mariadb).await;
}
