//! Waits that people have to hear of: told once, when an object enters one, in the transaction that writes it.

use crate::Recorder;
use planner::{Next, status::is_stalled};
use schemas::{DynObject, v1::reasons};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use store::Op;
use tokio::time::Instant;

/// An object that goes back and forth between two waits is told of again after so long.
const AGAIN: Duration = Duration::from_secs(300);
/// Memories that are kept before old ones are thrown away.
const MANY: usize = 1_000;

/// What was told within the last minutes, by uid and reason. Only a damper: what an object waits for stands in its status.
/// A new leader remembers nothing: of a wait that it enters anew it tells once more.
#[derive(Default)]
pub(crate) struct Entered(Mutex<HashMap<(String, &'static str), Instant>>);

impl Entered {
    /// The telling of a wait that the object enters by this decision. `told` says whether the decision tells of the reason
    /// itself.
    pub(crate) fn op(&self, recorder: &Recorder, raw: &DynObject, next: &Next, told: impl Fn(&str) -> bool) -> Option<Op> {
        let Next::Wait { reason, message, .. } = next else { return None };
        let warning = is_told(&raw.kind, reason)?;
        if raw.status["waiting"]["reason"] == **reason || told(reason) {
            return None;
        }
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = memory.get(&(raw.metadata.uid.clone(), *reason)).is_some_and(|at| at.elapsed() < AGAIN);
        (!lately).then(|| recorder.op(raw, warning, reason, message))
    }

    /// It was committed.
    pub(crate) fn committed(&self, raw: &DynObject, next: &Next) {
        let Next::Wait { reason, .. } = next else { return };
        if is_told(&raw.kind, reason).is_none() || raw.status["waiting"]["reason"] == **reason {
            return;
        }
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= MANY {
            memory.retain(|_, at| at.elapsed() < AGAIN);
        }
        memory
            .entry((raw.metadata.uid.clone(), *reason))
            .and_modify(|at| {
                if at.elapsed() >= AGAIN {
                    *at = Instant::now()
                }
            })
            .or_insert_with(Instant::now);
    }
}

/// Whether people hear that an object of this kind waits for this reason, and if so whether as a warning. Of hosts only what
/// is their own matter: what holds all of them is told on the RemediationPolicy, and a thousand hosts would say it a thousand
/// times. Pools and drills tell for themselves.
fn is_told(kind: &str, reason: &str) -> Option<bool> {
    match kind {
        "HostOperation" | "Evacuation" => match reason {
            _ if is_stalled(reason) => Some(true),
            reasons::NOVA_UNREADABLE
            | reasons::POWER_UNREADABLE
            | reasons::VANISHED
            | reasons::EX_LEADER_POWER
            | reasons::NO_DESTINATION
            | reasons::EVACUATION_DENIED
            | reasons::MOVE_IN_FLIGHT
            | reasons::GUESTS_RUNNING
            | reasons::FROZEN => Some(true),
            // Somebody else's turn: nothing is wrong.
            reasons::CLAIMED | reasons::DRAIN_LIMIT => Some(false),
            _ => None,
        },
        "Host" => matches!(reason, reasons::NEEDS_HUMAN | reasons::FOREIGN | reasons::GUEST_CANNOT_MOVE | reasons::FENCE_FORBIDDEN).then_some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metrics, SystemClock};
    use planner::contract::wait;
    use serde_json::json;
    use std::sync::Arc;
    use store::{KeyRing, SqlStore, StoreConfig};

    struct Case {
        recorder: Recorder,
        entered: Entered,
        _dir: tempfile::TempDir,
    }

    impl Case {
        async fn new() -> Case {
            let dir = tempfile::tempdir().unwrap();
            let config = StoreConfig { deadline: Duration::from_secs(60), ..StoreConfig::sqlite(dir.path().join("db")) };
            store::migrate(&config, None).await.unwrap();
            let store = SqlStore::open(&config, KeyRing::parse(&format!("k:{}", "07".repeat(32))).unwrap()).await.unwrap();
            let recorder = Recorder::new(Arc::new(store), Arc::new(SystemClock), "test", Metrics::default());
            Case { recorder, entered: Entered::default(), _dir: dir }
        }

        /// What is told when an object that waited for `before` comes to wait for `now`; then that is committed.
        fn told(&self, kind: &str, before: &str, now: &'static str) -> Option<bool> {
            let mut raw = DynObject::new(kind, "x", json!({}));
            raw.metadata.uid = "u".into();
            raw.status = json!({"waiting": {"reason": before}});
            let next = wait(now, "why", 5);
            let op = self.entered.op(&self.recorder, &raw, &next, |_| false);
            self.entered.committed(&raw, &next);
            op.map(|op| matches!(op, Op::Tell(t) if t.warning && t.reason == now && t.note == "why"))
        }
    }

    #[tokio::test]
    async fn a_wait_is_told_when_it_is_entered_and_not_at_each_recheck() {
        let case = Case::new().await;
        assert_eq!(case.told("Evacuation", reasons::PROVING_OFF, reasons::NEEDS_HUMAN), Some(true));
        assert_eq!(case.told("Evacuation", reasons::NEEDS_HUMAN, reasons::NEEDS_HUMAN), None);
        assert_eq!(case.told("Evacuation", reasons::NEEDS_HUMAN, reasons::PROVING_OFF), None, "that is how it goes");
        assert_eq!(case.told("HostOperation", "", reasons::CLAIMED), Some(false), "told, and no warning");
        assert_eq!(case.told("Host", "", reasons::NOVA_UNREADABLE), None, "told on the policy");
        assert_eq!(case.told("StandbyPool", "", reasons::NEEDS_HUMAN), None, "it tells for itself");
    }

    #[tokio::test]
    async fn an_object_that_goes_back_and_forth_is_told_of_once_in_a_while() {
        let case = Case::new().await;
        tokio::time::pause();
        let round = || {
            [
                case.told("Evacuation", reasons::REPLANNING, reasons::NO_DESTINATION),
                case.told("Evacuation", reasons::NO_DESTINATION, reasons::REPLANNING),
            ]
        };
        assert_eq!(round(), [Some(true), None]);
        for _ in 0..5 {
            assert_eq!(round(), [None, None]);
            tokio::time::advance(Duration::from_secs(20)).await;
        }
        tokio::time::advance(AGAIN).await;
        assert_eq!(round(), [Some(true), None]);
        assert_eq!(round(), [None, None]);
    }

    #[tokio::test]
    async fn what_was_not_committed_is_told_again_and_what_a_decision_tells_itself_is_not_told_twice() {
        let case = Case::new().await;
        let mut raw = DynObject::new("Evacuation", "x", json!({}));
        raw.metadata.uid = "u".into();
        let next = wait(reasons::NEEDS_HUMAN, "why", 5);
        for _ in 0..2 {
            assert!(case.entered.op(&case.recorder, &raw, &next, |_| false).is_some());
        }
        assert!(case.entered.op(&case.recorder, &raw, &next, |reason| reason == reasons::NEEDS_HUMAN).is_none());
    }
}
