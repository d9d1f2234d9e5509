//! Conditions: total functions of what was decided.

use crate::Next;
use schemas::{
    Condition, ConditionStatus, Conditions, Time,
    v1::{Waiting, reasons},
};

/// The wait that a status shows; `since` is kept while the reason stays.
pub fn waiting(next: &Next, old: Option<&Waiting>, now: Time) -> Option<Waiting> {
    let Next::Wait { reason, message, .. } = next else { return None };
    let since = old.filter(|w| w.reason == *reason).and_then(|w| w.since).unwrap_or(now);
    Some(Waiting { reason: (*reason).into(), message: message.clone(), since: Some(since) })
}

/// Waits in which nothing moves until someone does something.
pub fn is_stalled(reason: &str) -> bool {
    matches!(
        reason,
        reasons::NO_VERIFIED_LINK
            | reasons::FOREIGN
            | reasons::GUEST_CANNOT_MOVE
            | reasons::NEEDS_HUMAN
            | reasons::NO_STANDBY
            | reasons::FENCE_FORBIDDEN
            | reasons::RESTORED
            | reasons::NOT_FOUND
    )
}

/// Ready, Reconciling, Stalled and Paused, the same for every reconciled kind.
pub fn common(conditions: &mut Vec<Condition>, next: &Next, generation: i64, now: Time) {
    use ConditionStatus::{False, True};
    let mut set = |kind: &str, status: ConditionStatus, reason: &str, message: &str| conditions.set(kind, status, reason, message, generation, now);
    match next {
        Next::Settled { .. } | Next::Finished => {
            set("Ready", True, reasons::AS_DESIRED, "");
            set("Reconciling", False, reasons::AS_DESIRED, "");
            set("Stalled", False, reasons::AS_DESIRED, "");
            set("Paused", False, reasons::AS_DESIRED, "");
        }
        Next::Step(step) => {
            set("Ready", False, reasons::PROGRESSING, &step.name());
            set("Reconciling", True, reasons::PROGRESSING, &step.name());
            set("Stalled", False, reasons::PROGRESSING, "");
            set("Paused", False, reasons::PROGRESSING, "");
        }
        Next::Wait { reason, message, .. } => {
            let stalled = is_stalled(reason);
            let paused = *reason == reasons::FROZEN;
            let ready = if matches!(*reason, reasons::NOVA_UNREADABLE | reasons::VANISHED) { ConditionStatus::Unknown } else { False };
            set("Ready", ready, reason, message);
            set("Reconciling", (!stalled && !paused).into(), reason, message);
            set("Stalled", stalled.into(), reason, message);
            set("Paused", paused.into(), reason, message);
        }
    }
}
