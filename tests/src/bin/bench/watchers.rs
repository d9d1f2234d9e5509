//! How late a change reaches those who watch: written at one API server, watched at another.

use crate::{
    Failure,
    http::Connection,
    site::{Database, Process, Role, Site},
};
use serde_json::json;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinSet};

const CHANGES: usize = 200;
/// Pause between changes.
const PAUSE: Duration = Duration::from_millis(50);

pub const CROWD: usize = 500;
pub const CROWD_HOSTS: usize = 5_000;
const CROWD_CHANGES: usize = 1_000;
const CROWD_PAUSE: Duration = Duration::from_millis(10);

pub struct Late {
    pub median_ms: f64,
    pub p99_ms: f64,
}

/// From sending a write to the moment a watcher has its line, over all writes and watchers.
pub async fn late(database: Database, watchers: usize) -> Result<Late, Failure> {
    let site = Site::new(20, 200, database).await?;
    let (written, watched) = (site.start(Role::ApiServer).await?, site.start(Role::ApiServer).await?);
    let heard = listen(&watched, "/v1/credentials?watch=1&sendInitialEvents=true", watchers).await?;
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
    all_heard(heard, &sent, watchers).await
}

/// Many who watch many hosts, each of them all changes, at one process that also takes the writes; and its memory then, in MB.
pub async fn crowd(database: Database) -> Result<(Late, f64), Failure> {
    let site = Site::new(CROWD_HOSTS, CROWD_HOSTS, database).await?;
    let process = site.start(Role::Run).await?;
    process.wait_for_hosts(CROWD_HOSTS).await?;
    let heard = listen(&process, "/v1/hosts?watch=1&sendInitialEvents=false", CROWD).await?;
    // At a pace of its own, so that a write that is late does not slow down those behind it.
    let (begun, mut sent, mut writes) = (tokio::time::Instant::now(), Vec::new(), JoinSet::new());
    for number in 0..CROWD_CHANGES {
        tokio::time::sleep_until(begun + CROWD_PAUSE * u32::try_from(number)?).await;
        let (api, token) = (process.api, site.token.clone());
        sent.push(Instant::now());
        writes.spawn(async move {
            let body = json!({"spec": {"title": format!("w-{number}")}}).to_string();
            let host = number % (CROWD_HOSTS - 1) + 1;
            let (status, said) = Connection::open(api).await?.patch(&format!("/v1/hosts/compute-{host:04}"), &token, &body).await?;
            if status == 200 { Ok(()) } else { Err(Failure::from(format!("PATCH answered {status}: {}", String::from_utf8_lossy(&said)))) }
        });
    }
    while let Some(written) = writes.join_next().await {
        written??;
    }
    let late = all_heard(heard, &sent, CROWD).await?;
    Ok((late, process.memory_mb()?))
}

/// Opens so many watches. What comes is the number after a first `"w-` of a line, and when.
async fn listen(process: &Process, path: &str, watchers: usize) -> Result<mpsc::UnboundedReceiver<(usize, Instant)>, Failure> {
    let (told, heard) = mpsc::unbounded_channel();
    for _ in 0..watchers {
        let mut connection = Connection::open(process.api).await?;
        connection.stream(path, &process.token).await?;
        let told = told.clone();
        // It ends when the server closes the stream.
        tokio::spawn(async move {
            let mut known = HashSet::new();
            while let Ok(line) = connection.line().await {
                let number = line.split("\"w-").nth(1).and_then(|rest| rest.split('"').next()).and_then(|n| n.parse().ok());
                // A controller writes the status of what was changed: that is another change.
                if let Some(number) = number.filter(|n| known.insert(*n)) {
                    let _ = told.send((number, Instant::now()));
                }
            }
        });
    }
    Ok(heard)
}

/// Each watcher hears of each write, or it is an error.
async fn all_heard(mut heard: mpsc::UnboundedReceiver<(usize, Instant)>, sent: &[Instant], watchers: usize) -> Result<Late, Failure> {
    let (all, mut times) = (sent.len() * watchers, Vec::new());
    while times.len() < all {
        let next = tokio::time::timeout(Duration::from_secs(30), heard.recv()).await;
        let (number, at) = next.map_err(|_| format!("only {} of {all} changes were heard of", times.len()))?.ok_or("all watchers ended")?;
        times.push((at - sent[number]).as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(Late { median_ms: times[times.len() / 2], p99_ms: times[times.len() * 99 / 100] })
}
