//! What `/readyz`, the guests and the evacuation plan of a host, and `diff` with `explain` look at.

use api_server::{Check, GuestView, Health, Readiness};
use async_trait::async_trait;
use controller::World;
use engine::{Clock, Foreseen, Standing, SystemClock};
use schemas::{
    DynObject,
    v1::{ClusterPolicy, ClusterPolicySpec, Operations},
};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use store::{CONTROLLER_LEASE, LeaseRow, SqlStore, Store};
use tokio::sync::watch;

/// How this process fares.
pub(super) struct NodeHealth {
    pub store: Arc<SqlStore>,
    /// False once the change feed ended.
    pub feed_alive: Arc<AtomicBool>,
    /// How this process stands, if it is a controller.
    pub standing: Option<watch::Receiver<Standing>>,
}

/// Who leads as this process sees it, and why it does not lead itself.
fn told(standing: Option<&Standing>, row: Option<&LeaseRow>) -> String {
    let holder = row.map(|r| r.holder.as_str()).filter(|h| !h.is_empty());
    let leader = match (row, holder) {
        (None, _) => "who leads cannot be read".to_string(),
        (Some(_), None) => "no controller leads: nothing is reconciled".to_string(),
        (Some(row), Some(holder)) => format!("{holder} leads (token {})", row.token),
    };
    match standing {
        None | Some(Standing::Starting) => leader,
        Some(Standing::Leading { token }) if row.is_some_and(|r| r.token == *token) => format!("this process leads (token {token})"),
        Some(Standing::Leading { token }) => format!("{leader}; this process led under token {token}, and does not act any longer"),
        Some(Standing::Unable(why)) => format!("{leader}; this process would stand by, but {why}"),
        Some(Standing::Waiting { still, patience, .. }) if still.as_secs() >= 2 => {
            format!("{leader}, but has been silent for {} s: this process takes over after {} s", still.as_secs(), patience.as_secs_f32())
        }
        Some(Standing::Waiting { .. }) => format!("{leader}; this process stands by"),
    }
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
        let standing = self.standing.as_ref().map(|s| s.borrow().clone());
        let controller = check("controller", true, told(standing.as_ref(), row.as_ref()));
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
    async fn guests(&self, host: &str) -> Result<Value, String> {
        self.world.guest_view(host, &policy(&self.store).await).await
    }

    async fn evacuation_plan(&self, host: &str) -> Result<Value, String> {
        self.world.plan_view(host, &policy(&self.store).await).await
    }

    async fn foresee(&self, object: &DynObject) -> Result<Value, String> {
        let next = self.world.foresee(self.store.as_ref(), object.clone(), SystemClock.now()).await.map_err(|error| {
            // It may name files and servers: the log is for that.
            tracing::warn!(%error, object = object.id(), "what would be done cannot be told");
            "the database could not be read; try again, or see the server's log"
        })?;
        Ok(match next {
            None | Some(Foreseen::Nothing) => json!({"next": "Nothing"}),
            Some(Foreseen::Step(step)) => json!({"next": "Step", "step": step.name(), "disruptive": step.is_disruptive()}),
            Some(Foreseen::Wait { reason, message }) => json!({"next": "Wait", "reason": reason, "message": message}),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn readiness_says_who_leads_and_why_this_process_does_not() {
        let row = LeaseRow { holder: "one".into(), token: 4, ..LeaseRow::default() };
        let free = LeaseRow { token: 4, ..LeaseRow::default() };
        let waiting = |seconds| Standing::Waiting {
            holder: "one".into(),
            token: 4,
            still: Duration::from_secs(seconds),
            patience: Duration::from_millis(7_500),
        };
        for (standing, row, want) in [
            (None, Some(&row), "one leads (token 4)"),
            (None, Some(&free), "no controller leads: nothing is reconciled"),
            (None, None, "who leads cannot be read"),
            (Some(Standing::Leading { token: 4 }), Some(&row), "this process leads (token 4)"),
            (Some(Standing::Leading { token: 3 }), Some(&row), "one leads (token 4); this process led under token 3, and does not act any longer"),
            (Some(waiting(0)), Some(&row), "one leads (token 4); this process stands by"),
            (Some(waiting(5)), Some(&row), "one leads (token 4), but has been silent for 5 s: this process takes over after 7.5 s"),
            (
                Some(Standing::Unable("the lease cannot be read: gone".into())),
                None,
                "who leads cannot be read; this process would stand by, but the lease cannot be read: gone",
            ),
        ] {
            assert_eq!(told(standing.as_ref(), row), want);
        }
    }
}
