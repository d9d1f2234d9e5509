//! Write transactions per second: updates of different objects by the write rule.

use crate::{
    Failure,
    site::{Database, Place},
};
use schemas::{DynObject, Time};
use serde_json::json;
use std::time::{Duration, Instant};
use store::{Guard, Op, Store};

const SECONDS: u64 = 3;

pub async fn per_second(database: Database, writers: usize) -> Result<u64, Failure> {
    let place = Place::new(database)?;
    let store = place.store().await?;
    let until = Instant::now() + Duration::from_secs(SECONDS);
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut object = DynObject::new("Host", format!("h{writer}"), json!({"title": "x".repeat(1_000)}));
            object.metadata.uid = format!("00000000-0000-0000-0000-{writer:012}");
            let mut last = store.commit(Guard::Open, Time(0), vec![Op::Create(object)]).await?.last()?.clone();
            let mut done = 0u64;
            while Instant::now() < until {
                let expected = last.metadata.revision();
                last = store.commit(Guard::Open, Time(0), vec![Op::Update { object: last, expected }]).await?.last()?.clone();
                done += 1;
            }
            Ok::<u64, Failure>(done)
        }));
    }
    let mut total = 0;
    for task in tasks {
        total += task.await??;
    }
    Ok(total / SECONDS)
}
