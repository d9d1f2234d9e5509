//! The contract of a store, on each real database.

mod audit;
mod concurrency;
mod deadlines;
mod outbox;
mod rekey;
mod schema;
mod secrets;
mod site;

use schemas::{DynObject, Time};
use serde_json::json;
use store::KeyRing;

pub fn at(seconds: i64) -> Time {
    Time(1_800_000_000_000_000).plus_seconds(seconds)
}

pub fn keys() -> KeyRing {
    KeyRing::parse(&format!("k1:{}", "ab".repeat(32))).unwrap()
}

pub fn object(kind: &str, name: &str, spec: serde_json::Value) -> DynObject {
    let mut object = DynObject::new(kind, name, spec);
    object.metadata.uid = format!("{kind}-{name}");
    object
}

pub fn host(name: &str) -> DynObject {
    object("Host", name, json!({}))
}
