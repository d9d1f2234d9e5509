//! Credential data at rest.

use crate::{at, keys, site::on_each_database};
use secrecy::{ExposeSecret, SecretString};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use store::{Guard, KeyRing, Op, SqlStore, Store, StoreError};

fn put(name: &str, password: &str) -> Op {
    Op::PutSecret { name: name.into(), data: BTreeMap::from([("password".into(), SecretString::from(password.to_string()))]) }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.flat_map(|e| if e.path().is_dir() { files(&e.path()) } else { vec![e.path()] }).filter(|p| p.is_file()).collect()
}

async fn password(store: &SqlStore, name: &str) -> Result<String, StoreError> {
    Ok(store.secret(name).await?.unwrap()["password"].expose_secret().to_string())
}

on_each_database! {
    async fn a_secret_is_in_no_file_no_debug_output_and_no_error(site) {
        let store = site.open().await;
        let op = put("bmc", "hunter2-hunter2");
        assert!(!format!("{op:?}").contains("hunter2"));
        store.commit(Guard::Open, at(0), vec![op]).await.unwrap();
        assert_eq!(password(&store, "bmc").await.unwrap(), "hunter2-hunter2");
        drop(store);
        let looked_at = files(site.dir()).iter().filter(|path| {
            // What a server removes meanwhile held nothing.
            let bytes = std::fs::read(path).unwrap_or_default();
            assert!(!bytes.windows(7).any(|w| w == b"hunter2"), "{}", path.display());
            !bytes.is_empty()
        }).count();
        assert!(looked_at > 0);
        assert!(!format!("{:?}", keys()).contains("abab"));
    }

    async fn a_new_first_key_seals_and_the_old_one_still_opens_until_it_is_gone(site) {
        site.open().await.commit(Guard::Open, at(0), vec![put("old", "one")]).await.unwrap();
        let (k1, k2) = (format!("k1:{}", "ab".repeat(32)), format!("k2:{}", "cd".repeat(32)));
        let with = |text: String| {
            let config = site.config();
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

    async fn a_wrong_key_of_the_right_name_opens_nothing(site) {
        site.open().await.commit(Guard::Open, at(0), vec![put("bmc", "one")]).await.unwrap();
        let other = SqlStore::open(&site.config(), KeyRing::parse(&format!("k1:{}", "ee".repeat(32))).unwrap()).await.unwrap();
        let Err(StoreError::Key(why)) = password(&other, "bmc").await else { panic!("opened with another key") };
        assert!(why.contains("Credential/bmc") && why.contains("restore the key file"), "{why}");
    }
}
