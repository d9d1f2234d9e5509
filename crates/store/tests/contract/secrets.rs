//! Credential data at rest.

use crate::{at, config, keys, open};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use store::{Guard, KeyRing, Op, SqlStore, Store, StoreError};

fn put(name: &str, password: &str) -> Op {
    Op::PutSecret { name: name.into(), data: BTreeMap::from([("password".into(), SecretString::from(password.to_string()))]) }
}

async fn password(store: &SqlStore, name: &str) -> Result<String, StoreError> {
    Ok(store.secret(name).await?.unwrap()["password"].expose_secret().to_string())
}

#[tokio::test]
async fn a_secret_is_in_no_file_no_debug_output_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let op = put("bmc", "hunter2-hunter2");
    assert!(!format!("{op:?}").contains("hunter2"));
    store.commit(Guard::Open, at(0), vec![op]).await.unwrap();
    assert_eq!(password(&store, "bmc").await.unwrap(), "hunter2-hunter2");
    drop(store);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|w| w == b"hunter2"));
    }
    assert!(!format!("{:?}", keys()).contains("abab"));
}

#[tokio::test]
async fn a_new_first_key_seals_and_the_old_one_still_opens_until_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.commit(Guard::Open, at(0), vec![put("old", "one")]).await.unwrap();
    let (k1, k2) = (format!("k1:{}", "ab".repeat(32)), format!("k2:{}", "cd".repeat(32)));
    let with = |text: String| {
        let config = config(dir.path());
        async move { SqlStore::open(&config, KeyRing::parse(&text).unwrap()).await.unwrap() }
    };
    let both = with(format!("{k2}\n{k1}\n")).await;
    both.commit(Guard::Open, at(0), vec![put("new", "two")]).await.unwrap();
    assert_eq!(password(&both, "old").await.unwrap(), "one");
    let newer = with(k2).await;
    assert_eq!(password(&newer, "new").await.unwrap(), "two");
    let Err(StoreError::Key(why)) = password(&newer, "old").await else { panic!("opened without its key") };
    assert!(why.contains("k1") && !why.contains("abab"), "{why}");
}

#[tokio::test]
async fn a_wrong_key_of_the_right_name_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.commit(Guard::Open, at(0), vec![put("bmc", "one")]).await.unwrap();
    let other = SqlStore::open(&config(dir.path()), KeyRing::parse(&format!("k1:{}", "ee".repeat(32))).unwrap()).await.unwrap();
    let Err(StoreError::Key(why)) = password(&other, "bmc").await else { panic!("opened with another key") };
    assert!(why.contains("Credential/bmc") && why.contains("restore the key file"), "{why}");
}
