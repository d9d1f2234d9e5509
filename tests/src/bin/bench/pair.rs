//! How long a pair is without a leader.

use crate::{
    Failure,
    site::{Database, Process, Role, Site},
};
use std::time::{Duration, Instant};
use store::{CONTROLLER_LEASE, LeaseRow, SqlStore, Store};

/// Changes of leader of each kind.
pub const RUNS: usize = 3;

pub struct Took {
    pub after_kill: Duration,
    pub planned: Duration,
}

/// From the signal to the leader until the lease row names another holder; the longest of [`RUNS`].
pub async fn changes_of_leader(database: Database) -> Result<Took, Failure> {
    let site = Site::new(20, 200, database).await?;
    let store = site.place.store().await?;
    let mut leader = site.start(Role::Controller).await?;
    let mut row = led(&store, &LeaseRow::default()).await?;
    let mut took = Took { after_kill: Duration::ZERO, planned: Duration::ZERO };
    for run in 0..2 * RUNS {
        let standby = site.start(Role::Controller).await?;
        // Long enough to have read the cloud and to be warm.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let begun = Instant::now();
        let slot = if run < RUNS { &mut took.after_kill } else { &mut took.planned };
        end(&leader, run < RUNS)?;
        row = led(&store, &row).await?;
        *slot = begun.elapsed().max(*slot);
        leader = standby;
    }
    Ok(took)
}

fn end(leader: &Process, kill: bool) -> Result<(), Failure> {
    if kill { leader.kill() } else { leader.terminate() }
}

/// Waits until somebody leads under a newer token than `before`.
async fn led(store: &SqlStore, before: &LeaseRow) -> Result<LeaseRow, Failure> {
    let begun = Instant::now();
    loop {
        let row = store.lease(CONTROLLER_LEASE).await?;
        if row.token > before.token && !row.holder.is_empty() {
            return Ok(row);
        }
        if begun.elapsed() > Duration::from_secs(60) {
            return Err("nobody leads after 60 s".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
