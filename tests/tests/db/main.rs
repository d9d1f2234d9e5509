//! The store on real databases that fail: killed, restarted, hanging, read-only, out of reach.

mod crash;
mod proxy;
mod troubles;
mod unreachable;
mod watch;

use schemas::{DynObject, Time};
use serde_json::json;
use std::time::Duration;
use store::{KeyRing, SqlStore, StoreConfig, migrate};

pub fn at(seconds: i64) -> Time {
    Time(1_800_000_000_000_000).plus_seconds(seconds)
}

pub fn keys() -> KeyRing {
    KeyRing::parse(&format!("k1:{}", "ab".repeat(32))).expect("a key")
}

pub fn host(name: &str) -> DynObject {
    let mut object = DynObject::new("Host", name, json!({}));
    object.metadata.uid = format!("Host-{name}");
    object
}

/// A busy machine may take its time; the tests of deadlines set their own.
pub fn patient(url: &str) -> StoreConfig {
    StoreConfig { deadline: Duration::from_secs(60), ..StoreConfig::parse(url).expect("a URL") }
}

/// Migrates and opens.
pub async fn open(config: &StoreConfig) -> SqlStore {
    migrate(&StoreConfig { deadline: Duration::from_secs(60), ..config.clone() }, None).await.expect("migrations");
    SqlStore::open(config, keys()).await.expect("a store")
}

/// Tries until it works; a database that was just started may need a moment.
pub async fn eventually<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(what: &str, mut work: impl FnMut() -> F) -> T {
    let since = std::time::Instant::now();
    loop {
        match work().await {
            Ok(value) => return value,
            Err(error) => assert!(since.elapsed() < Duration::from_secs(120), "{what}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
