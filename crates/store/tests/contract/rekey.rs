//! Key rotation while others write.

use crate::site::{Site, on_each_database};
use schemas::Time;
use secrecy::{ExposeSecret, SecretString};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use store::{Guard, KeyFile, KeyRing, Op, SqlStore, Store};

/// A store whose keys are in that file, as of another process.
async fn open(site: &Site, file: &Path) -> SqlStore {
    store::migrate(&site.config(), None).await.unwrap();
    SqlStore::open(&site.config(), KeyRing::load_or_create(file).unwrap()).await.unwrap()
}

async fn put(store: &SqlStore, name: &str, password: &str) {
    let data = BTreeMap::from([("password".to_string(), SecretString::from(password))]);
    store.commit(Guard::Open, Time(1), vec![Op::PutSecret { name: name.into(), data }]).await.unwrap();
}

async fn password(store: &SqlStore, name: &str) -> String {
    store.secret(name).await.unwrap().unwrap()["password"].expose_secret().to_string()
}

on_each_database! {
    async fn everything_is_sealed_anew_while_others_write_and_nothing_is_lost(site) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let store = open(&site, &file).await;
        for n in 0..20 {
            put(&store, &format!("c{n}"), &format!("p{n}")).await;
        }
        let new = KeyFile::read(&file).unwrap().add().unwrap();
        KeyFile::read(&file).unwrap().promote(&new).unwrap();
        // Another process writes one of them again and again meanwhile.
        let other = Arc::new(open(&site, &file).await);
        let writer = tokio::spawn(async move {
            for n in 0..30 {
                put(&other, "c7", &format!("newer-{n}")).await;
            }
        });
        let resealed = store.reseal().await.unwrap();
        writer.await.unwrap();
        assert!(resealed.failed.is_empty() && resealed.done.len() >= 19, "{resealed:?}");
        assert_eq!(store.sealed_by().await.unwrap().keys().collect::<Vec<_>>(), [&new]);
        for n in (0..20).filter(|n| *n != 7) {
            assert_eq!(password(&store, &format!("c{n}")).await, format!("p{n}"));
        }
        assert_eq!(password(&store, "c7").await, "newer-29");
        assert!(store.reseal().await.unwrap().done.is_empty());
    }

    async fn what_a_missing_key_sealed_is_named_and_left_alone(site) {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        put(&open(&site, &one).await, "bmc", "p").await;
        let stranger = open(&site, &other).await;
        let lost = stranger.unopenable().await.unwrap();
        assert!(lost.len() == 1 && lost[0].0 == "bmc" && lost[0].1.contains(&other.display().to_string()), "{lost:?}");
        assert_eq!(stranger.reseal().await.unwrap().failed.len(), 1);
        assert_eq!(password(&open(&site, &one).await, "bmc").await, "p");
    }
}
