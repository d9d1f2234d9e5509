//! A backup of a SQLite database, while others write.

use schemas::{DynObject, Time};
use serde_json::json;
use std::{os::unix::fs::PermissionsExt, sync::Arc};
use store::{Guard, KeyRing, Op, SqlStore, Store, StoreConfig, StoreError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_whole_while_others_write_and_is_never_written_over_something() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig::sqlite(dir.path().join("cm.db"));
    store::migrate(&config, None).await.unwrap();
    let keys = KeyRing::load_or_create(&dir.path().join("key")).unwrap();
    let store = Arc::new(SqlStore::open(&config, keys).await.unwrap());
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
