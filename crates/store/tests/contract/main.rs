//! The contract of a store, on a real database.

mod concurrency;
mod deadlines;
mod model;
mod property;
mod schema;
mod secrets;

use schemas::{DynObject, Time};
use serde_json::json;
use std::{path::Path, time::Duration};
use store::{KeyRing, SqlStore, StoreConfig, migrate};

pub fn at(seconds: i64) -> Time {
    Time(1_800_000_000_000_000).plus_seconds(seconds)
}

pub fn keys() -> KeyRing {
    KeyRing::parse(&format!("k1:{}", "ab".repeat(32))).unwrap()
}

pub fn config(dir: &Path) -> StoreConfig {
    // A busy machine may take its time; the tests of deadlines set their own.
    StoreConfig { deadline: Duration::from_secs(60), ..StoreConfig::sqlite(dir.join("db")) }
}

pub async fn open(dir: &Path) -> SqlStore {
    migrate(&config(dir), None).await.unwrap();
    SqlStore::open(&config(dir), keys()).await.unwrap()
}

pub fn object(kind: &str, name: &str, spec: serde_json::Value) -> DynObject {
    let mut object = DynObject::new(kind, name, spec);
    object.metadata.uid = format!("{kind}-{name}");
    object
}

pub fn host(name: &str) -> DynObject {
    object("Host", name, json!({}))
}
