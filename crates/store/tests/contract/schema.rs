//! Migrations, and databases that this binary does not fit.

use crate::{
    at, host, keys, object,
    site::{Site, on_each_database},
};
use serde_json::json;
use store::{DataDirLock, Guard, ListQuery, Op, SqlStore, Store, StoreError, migrate, migration_status};
use test_databases::Kind;

on_each_database! {
    async fn up_down_and_up_again_gives_the_same_schema_and_down_leaves_nothing(site) {
        let newest = migrate(&site.config(), None).await.unwrap();
        assert!(!newest.is_empty() && newest.iter().all(|step| step.starts_with("up ")), "{newest:?}");
        let first = site.schema();
        assert!(first.iter().any(|p| p.contains("resources")));
        let down = migrate(&site.config(), Some(0)).await.unwrap();
        assert!(down.iter().all(|step| step.starts_with("down ")) && down.len() == newest.len(), "{down:?}");
        assert_eq!(site.schema(), Vec::<String>::new());
        migrate(&site.config(), None).await.unwrap();
        assert_eq!(site.schema(), first);
        assert_eq!(migrate(&site.config(), None).await.unwrap(), Vec::<String>::new(), "there is nothing more to do");
    }

    async fn every_step_down_and_up_again_gives_the_same_schema_also_with_data_in_it(site) {
        let numbers: Vec<i64> = migration_status(&site.config()).await.unwrap().iter().map(|m| m.number).collect();
        for number in &numbers {
            migrate(&site.config(), Some(*number)).await.unwrap();
            let up = site.schema();
            migrate(&site.config(), Some(number - 1)).await.unwrap();
            migrate(&site.config(), Some(*number)).await.unwrap();
            assert_eq!(site.schema(), up, "migration {number}");
        }
        let store = site.open().await;
        store.commit(Guard::Open, at(0), vec![Op::Create(host("a"))]).await.unwrap();
        drop(store);
        migrate(&site.config(), Some(0)).await.unwrap();
        assert_eq!(site.open().await.revision().await.unwrap().current, 0);
    }

    async fn a_schema_that_is_newer_than_the_binary_is_neither_opened_nor_migrated(site) {
        drop(site.open().await);
        site.raw("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')");
        for error in [SqlStore::open(&site.config(), keys()).await.err(), migrate(&site.config(), None).await.err()] {
            let Some(StoreError::Schema(why)) = error else { panic!("{error:?}") };
            assert!(why.contains("9999") && why.contains("newer") && why.contains("restore a backup"), "{why}");
        }
        let status = migration_status(&site.config()).await.unwrap();
        assert!(status.iter().any(|m| m.number == 9_999 && m.applied && !m.known));
    }

    async fn a_database_that_lacks_migrations_is_not_opened_and_the_error_says_what_to_run(site) {
        let Some(StoreError::Schema(why)) = SqlStore::open(&site.config(), keys()).await.err() else { panic!() };
        assert!(why.contains("db migrate"), "{why}");
    }

    async fn a_migration_number_that_is_not_there_is_named(site) {
        let Err(StoreError::Schema(why)) = migrate(&site.config(), Some(77)).await else { panic!() };
        assert!(why.contains("77") && why.contains("db list"), "{why}");
    }

    async fn of_several_that_migrate_at_once_one_does_it_and_the_others_find_it_done(site) {
        let all: Vec<_> = (0..4).map(|_| {
            let config = site.config();
            tokio::spawn(async move { migrate(&config, None).await.unwrap().len() })
        }).collect();
        let mut ran = 0;
        for one in all {
            ran += one.await.unwrap();
        }
        assert_eq!(ran, migration_status(&site.config()).await.unwrap().len());
    }

    async fn names_are_compared_byte_by_byte_and_listed_in_that_order(site) {
        let store = site.open().await;
        let names = ["B", "a", "b", "b-1", "\u{e9}", "a ", "A", "\u{e4}"];
        store.commit(Guard::Open, at(0), names.iter().map(|n| Op::Create(object("Host", n, json!({"text": "\u{1f4a1} \u{e9} \\ '"})))).collect()).await.unwrap();
        let listed: Vec<String> = store.list("Host", ListQuery::default()).await.unwrap().items.into_iter().map(|o| o.metadata.name).collect();
        let mut sorted = names.to_vec();
        sorted.sort_unstable();
        assert_eq!(listed, sorted);
        let after: ListQuery = ListQuery { after: Some("a".into()), limit: 2, ..Default::default() };
        let page = store.list("Host", after).await.unwrap();
        assert_eq!(page.items.iter().map(|o| o.metadata.name.as_str()).collect::<Vec<_>>(), ["a ", "b"]);
        assert_eq!(page.remaining, 3);
        assert_eq!(store.get("Host", "a").await.unwrap().unwrap().spec["text"], "\u{1f4a1} \u{e9} \\ '");
        assert_eq!(store.get("host", "a").await.unwrap(), None);
    }

    async fn an_object_of_a_megabyte_is_kept_whole(site) {
        let store = site.open().await;
        let big = "x".repeat(1 << 20);
        store.commit(Guard::Open, at(0), vec![Op::Create(object("Host", "big", json!({"text": big})))]).await.unwrap();
        assert_eq!(store.get("Host", "big").await.unwrap().unwrap().spec["text"].as_str().map(str::len), Some(1 << 20));
        assert_eq!(store.changes(0, 10).await.unwrap()[0].object.spec["text"].as_str().map(str::len), Some(1 << 20));
    }

    async fn a_reader_that_compaction_overtakes_is_told_and_never_sees_a_hole(site) {
        let (writer, reader) = (site.open().await, site.open().await);
        let (tell, mut newest) = tokio::sync::watch::channel(0);
        let compactor = tokio::spawn(async move {
            for round in 0..12 {
                let many = (0..100).map(|n| Op::Create(host(&format!("h{round}-{n}")))).collect();
                let committed = writer.commit(Guard::Open, at(0), many).await.unwrap().revision;
                // The first time the reader is told too late for certain, then it runs with the compaction.
                if round > 0 {
                    tell.send_replace(committed);
                }
                while writer.compact(committed - 30).await.unwrap() > 0 {}
                tell.send_replace(committed);
            }
        });
        let (mut last, mut told, mut seen) = (0, 0, 0);
        while last < 1_200 {
            // It does not ask without need: a reader that never rests can starve the server's other processes on a busy machine.
            newest.wait_for(|newest| *newest > last).await.expect("the writer fell over");
            match reader.changes(last, 7).await {
                Ok(changes) => {
                    for change in changes {
                        assert_eq!(change.revision, last + 1, "a hole");
                        last = change.revision;
                        seen += 1;
                    }
                }
                Err(StoreError::Compacted { asked, compacted }) => {
                    assert!(asked == last && compacted > last);
                    last = compacted;
                    told += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        compactor.await.unwrap();
        assert!(told > 0 && seen > 0, "told {told} times, saw {seen} changes");
    }

    async fn compacting_more_than_there_is_removes_nothing_that_readers_are_not_told_of(site) {
        let store = site.open().await;
        for n in 0..3 {
            store.commit(Guard::Open, at(0), vec![Op::Create(host(&format!("h{n}")))]).await.unwrap();
        }
        assert_eq!(store.compact(100).await.unwrap(), 0);
        assert_eq!(store.changes(0, 10).await.unwrap().len(), 3);
        assert_eq!(store.compact(2).await.unwrap(), 2);
        assert!(matches!(store.changes(1, 10).await, Err(StoreError::Compacted { asked: 1, compacted: 2 })));
        assert_eq!(store.changes(2, 10).await.unwrap().len(), 1);
    }

    async fn compaction_takes_at_most_five_hundred_rows_at_a_time_and_ends(site) {
        let store = site.open().await;
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_migration_that_stopped_half_way_is_ended_by_running_it_again() {
    let Some(site) = Site::server(Kind::Mariadb) else { return };
    // Something of that name that is not ours: the tables are made, the last rows fail, and MySQL takes nothing back.
    site.raw("CREATE TABLE leases (other BIGINT)");
    let Err(StoreError::Schema(why)) = migrate(&site.config(), None).await else { panic!("it went through") };
    assert!(why.contains("0001") && why.contains("run `cloud-manager db migrate` again"), "{why}");
    assert!(site.schema().iter().any(|line| line.contains("resources")));
    let error = SqlStore::open(&site.config(), keys()).await.err();
    assert!(matches!(&error, Some(StoreError::Schema(why)) if why.contains("lacks ")), "{error:?}");
    site.raw("DROP TABLE leases");
    let store = site.open().await;
    assert_eq!(store.commit(Guard::Open, at(0), vec![Op::Create(host("a"))]).await.unwrap().revision, 1);
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
