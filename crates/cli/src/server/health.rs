//! What `/readyz` and `/v1/hosts/{h}/guests` look at.

use api_server::{Check, GuestView, Health, Readiness};
use async_trait::async_trait;
use controller::World;
use schemas::v1::{ClusterPolicy, ClusterPolicySpec, Operations};
use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
use store::{CONTROLLER_LEASE, SqlStore, Store};

/// How this process fares.
pub(super) struct NodeHealth {
    pub store: Arc<SqlStore>,
    /// False once the change feed ended.
    pub feed_alive: Arc<AtomicBool>,
}

pub(super) async fn policy(store: &SqlStore) -> ClusterPolicySpec {
    let found = store.get("ClusterPolicy", "default").await.ok().flatten();
    found.and_then(|o| o.typed::<ClusterPolicy>().ok()).map(|p| p.spec).unwrap_or_default()
}

#[async_trait]
impl Health for NodeHealth {
    async fn ready(&self) -> Readiness {
        let lease = self.store.lease(CONTROLLER_LEASE).await;
        let feed = self.feed_alive.load(Ordering::SeqCst);
        let check = |name: &str, ok: bool, message: String| Check { name: name.into(), ok, message };
        let database = match &lease {
            Ok(_) => check("database", true, "answers".into()),
            Err(error) => check("database", false, error.to_string()),
        };
        let feed = check("feed", feed, if feed { "follows the history" } else { "ended; restart this process" }.into());
        let row = lease.ok();
        let leader = row.as_ref().map(|r| r.holder.clone()).filter(|h| !h.is_empty());
        let controller = match &leader {
            Some(holder) => check("controller", true, format!("{holder} leads")),
            None => check("controller", true, "no controller leads: nothing is reconciled".into()),
        };
        Readiness {
            ok: database.ok && feed.ok,
            checks: vec![database, feed, controller],
            leader,
            token: row.map(|r| r.token),
            frozen: Some(policy(&self.store).await.operations == Operations::Frozen),
        }
    }
}

/// Guests, read from Nova when asked for.
pub(super) struct NovaGuests {
    pub world: Arc<World>,
    pub store: Arc<SqlStore>,
}

#[async_trait]
impl GuestView for NovaGuests {
    async fn guests(&self, host: &str) -> Result<serde_json::Value, String> {
        self.world.guest_view(host, &policy(&self.store).await).await
    }
}
