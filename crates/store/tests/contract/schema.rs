//! Migrations, and databases that this binary does not fit.

use crate::{at, config, host, keys, open};
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query, sql_types::Text};
use std::path::Path;
use store::{DataDirLock, Guard, Op, SqlStore, Store, StoreError, migrate, migration_status};

#[derive(QueryableByName, Debug, PartialEq)]
struct Part {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    sql: String,
}

fn raw(dir: &Path) -> SqliteConnection {
    SqliteConnection::establish(&config(dir).path.to_string_lossy()).unwrap()
}

fn dump(dir: &Path) -> Vec<Part> {
    let sql = "SELECT name, coalesce(sql, '') AS sql FROM sqlite_master WHERE name NOT LIKE '__diesel%' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    sql_query(sql).load(&mut raw(dir)).unwrap()
}

#[tokio::test]
async fn up_down_and_up_again_gives_the_same_schema_and_down_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let newest = migrate(&config(dir.path()), None).await.unwrap();
    assert!(!newest.is_empty() && newest.iter().all(|step| step.starts_with("up ")), "{newest:?}");
    let first = dump(dir.path());
    assert!(first.iter().any(|p| p.name == "resources"));
    let down = migrate(&config(dir.path()), Some(0)).await.unwrap();
    assert!(down.iter().all(|step| step.starts_with("down ")) && down.len() == newest.len(), "{down:?}");
    assert_eq!(dump(dir.path()), []);
    migrate(&config(dir.path()), None).await.unwrap();
    assert_eq!(dump(dir.path()), first);
    assert_eq!(migrate(&config(dir.path()), None).await.unwrap(), Vec::<String>::new(), "there is nothing more to do");
}

#[tokio::test]
async fn every_step_down_and_up_again_gives_the_same_schema_also_with_data_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let numbers: Vec<i64> = migration_status(&config(dir.path())).await.unwrap().iter().map(|m| m.number).collect();
    for number in &numbers {
        migrate(&config(dir.path()), Some(*number)).await.unwrap();
        let up = dump(dir.path());
        migrate(&config(dir.path()), Some(number - 1)).await.unwrap();
        migrate(&config(dir.path()), Some(*number)).await.unwrap();
        assert_eq!(dump(dir.path()), up, "migration {number}");
    }
    let store = open(dir.path()).await;
    store.commit(Guard::Open, at(0), vec![Op::Create(host("a"))]).await.unwrap();
    drop(store);
    migrate(&config(dir.path()), Some(0)).await.unwrap();
    assert_eq!(open(dir.path()).await.revision().await.unwrap().current, 0);
}

#[tokio::test]
async fn a_schema_that_is_newer_than_the_binary_is_neither_opened_nor_migrated() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await);
    raw(dir.path()).batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')").unwrap();
    for error in [SqlStore::open(&config(dir.path()), keys()).await.err(), migrate(&config(dir.path()), None).await.err()] {
        let Some(StoreError::Schema(why)) = error else { panic!("{error:?}") };
        assert!(why.contains("9999") && why.contains("newer") && why.contains("restore a backup"), "{why}");
    }
    let status = migration_status(&config(dir.path())).await.unwrap();
    assert!(status.iter().any(|m| m.number == 9_999 && m.applied && !m.known));
}

#[tokio::test]
async fn a_database_that_lacks_migrations_is_not_opened_and_the_error_says_what_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let Some(StoreError::Schema(why)) = SqlStore::open(&config(dir.path()), keys()).await.err() else { panic!() };
    assert!(why.contains("db migrate"), "{why}");
}

#[tokio::test]
async fn a_migration_number_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let Err(StoreError::Schema(why)) = migrate(&config(dir.path()), Some(77)).await else { panic!() };
    assert!(why.contains("77") && why.contains("db list"), "{why}");
}

#[tokio::test]
async fn a_data_directory_is_used_by_one_process_and_free_again_when_that_one_ends() {
    let dir = tempfile::tempdir().unwrap();
    let held = DataDirLock::take(dir.path()).unwrap();
    let why = DataDirLock::take(dir.path()).unwrap_err().to_string();
    assert!(why.contains("another cloud-manager") && why.contains("--data-dir"), "{why}");
    drop(held);
    DataDirLock::take(dir.path()).unwrap();
    let missing = DataDirLock::take(&dir.path().join("nowhere")).unwrap_err().to_string();
    assert!(missing.contains("nowhere"), "{missing}");
}

#[tokio::test]
async fn compacting_more_than_there_is_removes_nothing_that_readers_are_not_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for n in 0..3 {
        store.commit(Guard::Open, at(0), vec![Op::Create(host(&format!("h{n}")))]).await.unwrap();
    }
    assert_eq!(store.compact(100).await.unwrap(), 0);
    assert_eq!(store.changes(0, 10).await.unwrap().len(), 3);
    assert_eq!(store.compact(2).await.unwrap(), 2);
    assert!(matches!(store.changes(1, 10).await, Err(StoreError::Compacted { asked: 1, compacted: 2 })));
    assert_eq!(store.changes(2, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn compaction_takes_at_most_five_hundred_rows_at_a_time_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let many = (0..1_100).map(|n| Op::Create(host(&format!("h{n}")))).collect();
    store.commit(Guard::Open, at(0), many).await.unwrap();
    let mut removed = Vec::new();
    loop {
        match store.compact(1_050).await.unwrap() {
            0 => break,
            n => removed.push(n),
        }
    }
    assert_eq!(removed, [500, 500, 50]);
    assert_eq!(store.changes(1_050, 100).await.unwrap().len(), 50);
}
