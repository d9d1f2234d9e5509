//! How late a change reaches those who watch: written at one API server, watched at another.

use crate::{
    Failure,
    http::Connection,
    site::{Database, Role, Site},
};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const CHANGES: usize = 200;
/// Pause between changes.
const PAUSE: Duration = Duration::from_millis(50);

pub struct Late {
    pub median_ms: f64,
    pub p99_ms: f64,
}

/// From sending a write to the moment a watcher has its line, over all writes and watchers.
pub async fn late(database: Database, watchers: usize) -> Result<Late, Failure> {
    let site = Site::new(20, 200, database).await?;
    let (written, watched) = (site.start(Role::ApiServer).await?, site.start(Role::ApiServer).await?);
    let (told, mut heard) = mpsc::unbounded_channel::<(usize, Instant)>();
    for _ in 0..watchers {
        let mut connection = Connection::open(watched.api).await?;
        connection.stream("/v1/credentials?watch=1&sendInitialEvents=true", &site.token).await?;
        let told = told.clone();
        // It ends when the server closes the stream.
        tokio::spawn(async move {
            while let Ok(line) = connection.line().await {
                let number = line.split("\"name\":\"w-").nth(1).and_then(|rest| rest.split('"').next()).and_then(|n| n.parse().ok());
                if let Some(number) = number {
                    let _ = told.send((number, Instant::now()));
                }
            }
        });
    }
    let mut writer = Connection::open(written.api).await?;
    let mut sent = Vec::new();
    for number in 0..CHANGES {
        tokio::time::sleep(PAUSE).await;
        let body = json!({"metadata": {"name": format!("w-{number}")}, "spec": {"data": {"username": "u"}}}).to_string();
        sent.push(Instant::now());
        let (status, said) = writer.post("/v1/credentials", &site.token, &body).await?;
        if status != 201 {
            return Err(format!("POST answered {status}: {}", String::from_utf8_lossy(&said)).into());
        }
    }
    let mut times = Vec::new();
    while times.len() < CHANGES * watchers {
        let next = tokio::time::timeout(Duration::from_secs(30), heard.recv()).await;
        let (number, at) =
            next.map_err(|_| format!("only {} of {} changes were heard of", times.len(), CHANGES * watchers))?.ok_or("all watchers ended")?;
        times.push((at - sent[number]).as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(Late { median_ms: times[times.len() / 2], p99_ms: times[times.len() * 99 / 100] })
}
