//! The life of one controller process: it ends at a chosen call, as a kill would end it.

use simulator::SimHooks;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// Where a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Before the effect of its n-th call, from 1.
    Before(u64),
    /// After the effect of its n-th call, before the answer.
    After(u64),
}

/// Counts calls, and dies at one of them. From then on no call of this process has an effect or returns.
#[derive(Default)]
pub struct Life {
    death: Option<Death>,
    /// Count only calls that change something.
    changing_only: bool,
    calls: AtomicU64,
    dead: AtomicBool,
    died: Notify,
}

impl Life {
    /// A process that dies at a call; counted are all calls, or only those that change something.
    pub fn ends(death: Death, changing_only: bool) -> Self {
        Life { death: Some(death), changing_only, ..Life::default() }
    }

    /// Ends it now.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.died.notify_one();
    }

    /// Waits for its end.
    pub async fn end(&self) {
        self.died.notified().await;
    }

    fn counts(&self, call: &str) -> bool {
        !self.changing_only
            || matches!(call, "update service" | "evacuate" | "live-migrate" | "cold-migrate" | "confirm resize" | "start" | "stop" | "power set")
    }
}

impl SimHooks for Life {
    fn before(&self, call: &str) {
        if !self.counts(call) {
            return;
        }
        let n = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if self.death == Some(Death::Before(n)) {
            self.kill();
        }
    }

    fn after(&self, call: &str) {
        if self.counts(call) && self.death == Some(Death::After(self.calls.load(Ordering::SeqCst))) {
            self.kill();
        }
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }
}
