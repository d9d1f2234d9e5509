//! Feed, lease and queue on a real database.

mod feed;
mod lease;
mod queue;
mod store;

use schemas::{DynObject, Time};
use serde_json::json;

pub fn at(seconds: i64) -> Time {
    Time(1_800_000_000_000_000).plus_seconds(seconds)
}

pub fn host(name: &str) -> DynObject {
    let mut object = DynObject::new("Host", name, json!({}));
    object.metadata.uid = format!("uid-{name}");
    object
}
