//! When a proof of death is impossible, for longer than it takes a BMC to come back: a person is called, loudly (I4).

use crate::{
    Env, EventDraft, Next,
    contract::wait,
    facts::HostFacts,
    liveness::{Liveness, but_for_power},
};
use schemas::v1::{EvacuationStatus, reasons};

/// After so many seconds without a break in which no proof could be had, a person is called. By our own clock (S8).
const GRACE_SECONDS: i64 = 60;

/// Whether an evacuation waits for power that cannot be read, or must not be believed, and for nothing else.
fn is_impossible(next: &Next, facts: &HostFacts, env: &Env) -> bool {
    match next {
        Next::Wait { reason, .. } if matches!(*reason, reasons::POWER_UNREADABLE | reasons::NO_VERIFIED_LINK) => true,
        Next::Wait { reason, .. } if *reason == reasons::IN_DOUBT => but_for_power(facts, env.policy.nova_report_interval_seconds) == Liveness::Dead,
        _ => false,
    }
}

/// Turns a wait for a proof that cannot come into one for a person. The message keeps the cause and the way out; once power can be
/// read again it goes back by itself. `told`: the reason that it waited for before.
pub(super) fn call(next: Next, status: &mut EvacuationStatus, told: Option<&str>, facts: &HostFacts, env: &Env) -> (Next, Option<EventDraft>) {
    if !is_impossible(&next, facts, env) {
        status.proof_impossible_since = None;
        return (next, None);
    }
    let since = *status.proof_impossible_since.get_or_insert(env.now);
    match next {
        Next::Wait { message, recheck, .. } if env.seconds_since(since) >= GRACE_SECONDS => {
            let event = EventDraft { warning: true, reason: reasons::NEEDS_HUMAN, note: message.clone() };
            (wait(reasons::NEEDS_HUMAN, message, recheck), Some(event).filter(|_| told != Some(reasons::NEEDS_HUMAN)))
        }
        other => (other, None),
    }
}
