//! Key rotation and backup of a real database, while others write.

use schemas::{DynObject, Time};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, sync::Arc};
use store::{Guard, KeyFile, KeyRing, Op, SqlStore, Store, StoreConfig, StoreError};

async fn open(dir: &Path, keys: &str) -> SqlStore {
    let config = StoreConfig::sqlite(dir.join("cm.db"));
    store::migrate(&config, None).await.unwrap();
    SqlStore::open(&config, KeyRing::load_or_create(&dir.join(keys)).unwrap()).await.unwrap()
}

fn data(password: &str) -> BTreeMap<String, SecretString> {
    BTreeMap::from([("password".to_string(), SecretString::from(password))])
}

async fn put(store: &SqlStore, name: &str, password: &str) {
    store.commit(Guard::Open, Time(1), vec![Op::PutSecret { name: name.into(), data: data(password) }]).await.unwrap();
}

async fn password(store: &SqlStore, name: &str) -> String {
    store.secret(name).await.unwrap().unwrap()["password"].expose_secret().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_sealed_anew_while_others_write_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path(), "key").await);
    for n in 0..20 {
        put(&store, &format!("c{n}"), &format!("p{n}")).await;
    }
    let file = dir.path().join("key");
    let new = KeyFile::read(&file).unwrap().add().unwrap();
    KeyFile::read(&file).unwrap().promote(&new).unwrap();
    // Another process writes one of them again and again meanwhile.
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 0..30 {
                put(&store, "c7", &format!("newer-{n}")).await;
            }
        }
    });
    let resealed = store.reseal().await.unwrap();
    writer.await.unwrap();
    assert!(resealed.failed.is_empty() && resealed.done.len() >= 19, "{resealed:?}");
    let by_key = store.sealed_by().await.unwrap();
    assert_eq!(by_key.keys().collect::<Vec<_>>(), [&new]);
    for n in (0..20).filter(|n| *n != 7) {
        assert_eq!(password(&store, &format!("c{n}")).await, format!("p{n}"));
    }
    assert_eq!(password(&store, "c7").await, "newer-29");
    assert!(store.reseal().await.unwrap().done.is_empty());
}

#[tokio::test]
async fn what_a_missing_key_sealed_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    put(&open(dir.path(), "one").await, "bmc", "p").await;
    let other = open(dir.path(), "other").await;
    let lost = other.unopenable().await.unwrap();
    assert!(lost.len() == 1 && lost[0].0 == "bmc" && lost[0].1.contains("other"), "{lost:?}");
    assert_eq!(other.reseal().await.unwrap().failed.len(), 1);
    assert_eq!(password(&open(dir.path(), "one").await, "bmc").await, "p");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_whole_while_others_write_and_is_never_written_over_something() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig::sqlite(dir.path().join("cm.db"));
    let store = Arc::new(open(dir.path(), "key").await);
    let object = |n: i64| {
        let mut object = DynObject::new("FailureDomain", format!("o{n}"), json!({"n": n}));
        object.metadata.uid = format!("u{n}");
        object
    };
    store.commit(Guard::Open, Time(1), vec![Op::Create(object(0))]).await.unwrap();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 1..60 {
                store.commit(Guard::Open, Time(1), vec![Op::Create(object(n))]).await.unwrap();
            }
        }
    });
    let target = dir.path().join("copy/backup.db");
    std::fs::create_dir(dir.path().join("copy")).unwrap();
    store::backup(&config, &target).await.unwrap();
    writer.await.unwrap();
    assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = SqlStore::open(&StoreConfig::sqlite(&target), KeyRing::load(&dir.path().join("key")).unwrap()).await.unwrap();
    let (revision, whole) = (copy.revision().await.unwrap(), store.revision().await.unwrap());
    assert_eq!((revision.cluster_uuid.as_str(), whole.current), (whole.cluster_uuid.as_str(), 60));
    // History up to the copy's own revision, without a hole.
    let changes = copy.changes(0, 1_000).await.unwrap();
    assert_eq!(changes.iter().map(|c| c.revision).collect::<Vec<_>>(), (1..=revision.current).collect::<Vec<_>>());
    let again = store::backup(&config, &target).await.unwrap_err();
    assert!(matches!(&again, StoreError::Unavailable(why) if why.contains("not overwritten")), "{again}");
    assert!(store::backup(&config, &dir.path().join("nowhere/b.db")).await.unwrap_err().to_string().contains("nowhere"));
    // A backup that fails leaves nothing that could be taken for one.
    let empty = StoreConfig::sqlite(dir.path().join("copy"));
    assert!(store::backup(&empty, &dir.path().join("left.db")).await.is_err());
    assert!(!dir.path().join("left.db").exists());
}
