//! The change feed: one tailer per process reads history, everyone else reads from its ring.
//!
//! Readers pull by revision, so a slow one holds nobody up: when the ring has moved on it reads
//! from the database, and when the database has compacted it is told so.

use schemas::DynObject;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};
use store::{Change, ChangeOp, ListQuery, Store, StoreError, StoreResult};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Changes kept in memory; whoever is further behind reads from the database.
const RING: usize = 512;
/// Changes read at once.
const BATCH: i64 = 500;
/// Longest pause between polls; local commits wake the tailer at once.
const POLL: Duration = Duration::from_millis(500);
/// The same where other processes write too: what they change is told within it.
const SHARED_POLL: Duration = Duration::from_millis(40);

/// A change, and what a selector needs to know about the object before it.
#[derive(Clone, Debug)]
pub struct FeedChange {
    /// The change.
    pub change: Change,
    /// Labels before it; `None` if not known (then an object that is not selected now may have been before).
    pub labels_before: Option<BTreeMap<String, String>>,
    /// The object as it is sent to those who watch.
    text: OnceLock<Box<[u8]>>,
}

type Labels = HashMap<(String, String), BTreeMap<String, String>>;

struct Ring {
    changes: VecDeque<Arc<FeedChange>>,
    size: usize,
    labels: Labels,
    /// Up to this revision `labels` may be newer than the change: they were listed after it.
    listed_at: i64,
}

/// See the module's text.
pub struct Feed {
    store: Arc<dyn Store>,
    ring: RwLock<Ring>,
    newest: watch::Sender<i64>,
}

impl Feed {
    /// Reads the present state and tails history from there until `stop`. The returned task ends with an error if
    /// history has a hole, which means that someone bypassed the write rule or data was lost.
    pub async fn start(store: Arc<dyn Store>, stop: CancellationToken) -> StoreResult<(Arc<Feed>, tokio::task::JoinHandle<StoreResult<()>>)> {
        Self::with_ring(store, stop, RING).await
    }

    /// As [`Feed::start`], with so many changes kept in memory.
    pub async fn with_ring(
        store: Arc<dyn Store>,
        stop: CancellationToken,
        size: usize,
    ) -> StoreResult<(Arc<Feed>, tokio::task::JoinHandle<StoreResult<()>>)> {
        let from = store.revision().await?.current;
        let mut labels = Labels::new();
        for kind in schemas::kinds::KINDS {
            for object in store.list(kind.kind, ListQuery::default()).await?.items {
                if !object.metadata.labels.is_empty() {
                    labels.insert((object.kind, object.metadata.name), object.metadata.labels);
                }
            }
        }
        let listed_at = store.revision().await?.current;
        let ring = RwLock::new(Ring { changes: VecDeque::new(), size, labels, listed_at });
        let feed = Arc::new(Feed { store, ring, newest: watch::channel(from).0 });
        let task = tokio::spawn(feed.clone().tail(from, stop));
        Ok((feed, task))
    }

    async fn tail(self: Arc<Self>, from: i64, stop: CancellationToken) -> StoreResult<()> {
        let mut last = from;
        let mut commits = self.store.commits();
        let poll = if self.store.is_shared() { SHARED_POLL } else { POLL };
        let mut compared = tokio::time::Instant::now();
        while !stop.is_cancelled() {
            match self.store.changes(last, BATCH).await {
                Ok(changes) if changes.is_empty() => {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => break,
                        _ = commits.changed() => {}
                        () = tokio::time::sleep(poll) => if compared.elapsed() >= POLL {
                            self.same_history(last).await?;
                            compared = tokio::time::Instant::now();
                        },
                    }
                }
                Ok(changes) => {
                    for change in changes {
                        if change.revision != last + 1 {
                            return Err(StoreError::Corrupt(format!("history jumps from revision {last} to {}", change.revision)));
                        }
                        last = change.revision;
                        self.push(change);
                    }
                    self.newest.send_replace(last);
                }
                Err(error @ StoreError::Compacted { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the change feed cannot read; it tries again");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
        Ok(())
    }

    /// A database whose newest revision is older than what was read from it was restored: what was told is not true any longer (S14).
    async fn same_history(&self, last: i64) -> StoreResult<()> {
        match self.store.revision().await {
            Ok(row) if row.current < last => Err(StoreError::Corrupt(format!("history went back from revision {last} to {}", row.current))),
            // What cannot be read now is read again.
            _ => Ok(()),
        }
    }

    fn push(&self, change: Change) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let key = (change.object.kind.clone(), change.object.metadata.name.clone());
        let before = match change.op {
            ChangeOp::Deleted => ring.labels.remove(&key),
            _ if change.object.metadata.labels.is_empty() => ring.labels.remove(&key),
            _ => ring.labels.insert(key, change.object.metadata.labels.clone()),
        };
        let labels_before = (change.revision > ring.listed_at).then(|| before.unwrap_or_default());
        ring.changes.push_back(Arc::new(FeedChange::new(change, labels_before)));
        while ring.changes.len() > ring.size {
            ring.changes.pop_front();
        }
    }

    /// Newest revision that readers can see.
    pub fn newest(&self) -> i64 {
        *self.newest.borrow()
    }

    /// Wakes up when [`Feed::newest`] grows.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.newest.subscribe()
    }

    /// Waits until the feed has reached `revision`.
    pub async fn reached(&self, revision: i64) {
        // The sender lives as long as this feed, so the wait ends only by the value.
        let _ = self.subscribe().wait_for(|newest| *newest >= revision).await;
    }

    /// Changes after `revision`, oldest first, at most `limit`; empty if there are none yet.
    /// Fails with [`StoreError::Compacted`] if some are gone: list again, then watch from there.
    pub async fn after(&self, revision: i64, limit: usize) -> StoreResult<Vec<Arc<FeedChange>>> {
        if revision >= self.newest() {
            return Ok(Vec::new());
        }
        {
            let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
            if ring.changes.front().is_some_and(|first| first.change.revision <= revision + 1) {
                let skip = ring.changes.partition_point(|c| c.change.revision <= revision);
                return Ok(ring.changes.iter().skip(skip).take(limit).cloned().collect());
            }
        }
        let limit = i64::try_from(limit).unwrap_or(BATCH);
        let newest = self.newest();
        let changes = self.store.changes(revision, limit).await?;
        let known = changes.into_iter().filter(|c| c.revision <= newest);
        Ok(known.map(|change| Arc::new(FeedChange::new(change, None))).collect())
    }
}

impl FeedChange {
    fn new(change: Change, labels_before: Option<BTreeMap<String, String>>) -> FeedChange {
        FeedChange { change, labels_before, text: OnceLock::new() }
    }

    /// The object as it is sent, written by the first who asks: many watch, and all are sent the same.
    pub fn text(&self, write: impl FnOnce(&DynObject) -> Vec<u8>) -> &[u8] {
        self.text.get_or_init(|| write(self.object()).into())
    }

    /// The object after the change.
    pub fn object(&self) -> &DynObject {
        &self.change.object
    }
}
