//! What a standby keeps warm, so that a takeover need not wait for the first look: memory of service rows (S2) and
//! rarely changing lists. It reads Nova, never a BMC, and writes nothing.

use crate::World;
use engine::{Feed, FeedChange, Live};
use std::{sync::Arc, time::Duration};
use store::{StoreError, StoreResult};
use tokio_util::sync::CancellationToken;

/// Longest pause between looks at Nova's services: two of Nova's usual report intervals (S2).
const SERVICES: Duration = Duration::from_secs(20);
/// Changes taken in at once.
const BATCH: usize = 200;

/// Up to which revision others' writes were taken in; `None`: not begun.
#[derive(Default)]
pub(crate) struct Followed(tokio::sync::Mutex<Option<i64>>);

impl World {
    /// Takes in what the feed has shown since the last time; gives the revision up to which everything was taken in.
    pub(crate) async fn follow(&self, feed: &Feed) -> StoreResult<i64> {
        let mut followed = self.followed.0.lock().await;
        let mut at = match *followed {
            Some(at) => at,
            // Nothing is remembered from before.
            None => feed.newest(),
        };
        loop {
            let changes = match feed.after(at, BATCH).await {
                Ok(changes) => changes,
                Err(StoreError::Compacted { .. }) => {
                    // What was written meanwhile is not known any longer: all that moved may be of somebody's making.
                    at = feed.newest();
                    self.forget_services().await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            *followed = Some(at);
            let Some(last) = changes.last() else { return Ok(at) };
            at = last.change.revision;
            for change in &changes {
                self.absorb(change).await;
            }
            *followed = Some(at);
        }
    }

    /// A write of a Nova service row, by whoever leads, moves the row; that is no sign of life (S2, S5). Its intent is written
    /// before the call and closed after it: what was read in between is forgotten with the second.
    async fn absorb(&self, change: &FeedChange) {
        let object = change.object();
        if object.kind == "Operation"
            && object.spec["action"]["type"] == "novaService"
            && let Some(service) = object.spec["action"]["serviceId"].as_str()
        {
            self.service_written(service).await;
        }
    }

    /// One look at what a leader's first decisions need. What cannot be read now is read by them.
    async fn look(&self, lists: bool) {
        let services = self.services(0).await.map(drop);
        let others = async {
            if lists {
                self.hypervisors(0).await?;
                self.all_guests(0).await?;
            }
            Ok(())
        };
        if let Err(error) = services.and(others.await) {
            tracing::debug!(%error, "the standby could not read Nova");
        }
    }
}

/// Keeps `world` warm until `stop`: follows the feed, and looks at Nova every `interval` (at its services more often, if
/// that is long). For a controller that does not lead.
pub async fn stand_by(world: Arc<World>, feed: Arc<Feed>, interval: Live, stop: CancellationToken) {
    let looks = async {
        let mut lists_at: Option<tokio::time::Instant> = None;
        loop {
            let interval = interval.get();
            let lists = lists_at.is_none_or(|at| at.elapsed() >= interval);
            if lists {
                lists_at = Some(tokio::time::Instant::now());
            }
            world.look(lists).await;
            tokio::time::sleep(interval.min(SERVICES)).await;
        }
    };
    let follows = async {
        let mut newest = feed.subscribe();
        loop {
            if let Err(error) = world.follow(&feed).await {
                tracing::warn!(%error, "the standby could not read the history; it tries again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            } else if newest.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = looks => {}
        () = follows => {}
    }
}
