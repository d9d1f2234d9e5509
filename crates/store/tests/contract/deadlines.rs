//! A SQLite file that does not answer: an error, never a guess. (For servers: `tests/tests/db`.)

use crate::{at, host, keys, site::Site};
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use std::time::Duration;
use store::{Guard, Op, SqlStore, Store, StoreConfig, StoreError};

/// Another process that holds the write lock.
fn blocker(site: &Site) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(&site.config().sqlite_path().unwrap().to_string_lossy()).unwrap();
    conn.batch_execute("BEGIN IMMEDIATE").unwrap();
    conn
}

async fn hasty(site: &Site, connections: usize) -> SqlStore {
    drop(site.open().await);
    let config = StoreConfig { deadline: Duration::from_millis(300), connections, ..site.config() };
    SqlStore::open(&config, keys()).await.unwrap()
}

#[tokio::test]
async fn a_write_whose_deadline_passes_is_of_unknown_outcome_and_may_land_later() {
    let site = Site::sqlite();
    let store = hasty(&site, 4).await;
    let mut other = blocker(&site);

    let result = store.commit(Guard::Open, at(0), vec![Op::Create(host("late"))]).await;

    let Err(error @ StoreError::OutcomeUnknown(_)) = result else { panic!("{result:?}") };
    assert!(!error.is_retryable(), "it is looked up before it is repeated");
    assert_eq!(store.get("Host", "late").await.unwrap(), None, "readers are not held up");
    let mut told = store.commits();
    other.batch_execute("ROLLBACK").unwrap();
    // It was only slow: it lands, and those who wait for changes are told.
    tokio::time::timeout(Duration::from_secs(20), told.wait_for(|newest| *newest == 1)).await.unwrap().unwrap();
    assert!(store.get("Host", "late").await.unwrap().is_some());
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_half_of_a_transaction() {
    let site = Site::sqlite();
    let store = site.open().await;
    let mut other = blocker(&site);
    let ops = vec![Op::Create(host("a")), Op::Create(host("b"))];
    let call = tokio::time::timeout(Duration::from_millis(50), store.commit(Guard::Open, at(0), ops)).await;
    assert!(call.is_err(), "the caller has left");
    let mut told = store.commits();
    other.batch_execute("ROLLBACK").unwrap();
    tokio::time::timeout(Duration::from_secs(20), told.wait_for(|newest| *newest == 2)).await.unwrap().unwrap();
    assert_eq!(store.changes(0, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_read_that_gets_no_connection_in_time_says_that_the_database_cannot_be_used() {
    let site = Site::sqlite();
    let store = hasty(&site, 1).await;
    let mut other = blocker(&site);
    let writing = tokio::spawn({
        let store = store.clone();
        async move { store.commit(Guard::Open, at(0), vec![Op::Create(host("a"))]).await }
    });
    assert!(matches!(writing.await.unwrap(), Err(StoreError::OutcomeUnknown(_))));

    let read = store.get("Host", "a").await;

    let Err(error @ StoreError::Unavailable(_)) = read else { panic!("{read:?}") };
    assert!(error.is_retryable());
    other.batch_execute("ROLLBACK").unwrap();
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_the_store_lives_on() {
    let site = Site::sqlite();
    let config = StoreConfig { connections: 1, ..site.config() };
    drop(site.open().await);
    let store = SqlStore::open(&config, keys()).await.unwrap();
    let mut other = SqliteConnection::establish(&config.sqlite_path().unwrap().to_string_lossy()).unwrap();
    // A trigger stands in for the disk: it fails the write of the change row.
    other.batch_execute("CREATE TRIGGER full BEFORE INSERT ON changes BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END").unwrap();
    let result = store.commit(Guard::Open, at(0), vec![Op::Create(host("a"))]).await;
    assert!(matches!(&result, Err(StoreError::Unavailable(why)) if why.contains("full")), "{result:?}");
    other.batch_execute("DROP TRIGGER full").unwrap();
    assert_eq!(store.revision().await.unwrap().current, 0, "rollback leaves no trace");
    assert_eq!(store.commit(Guard::Open, at(0), vec![Op::Create(host("a"))]).await.unwrap().revision, 1);
}
