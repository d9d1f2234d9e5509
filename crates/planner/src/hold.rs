//! The hold of S8: a host with an ex-leader's unsettled power command is not returned to service.
//!
//! A controller that was paused between its last look at the lease and the sending may still send that one call when it
//! goes on. What the power links read until then proves nothing of it, so the memory of it outlives its intent.

use crate::{
    Env, Next, Step,
    contract::{PowerCommand, wait},
    facts::HostFacts,
    proof::EvidenceBody,
};
use schemas::{Time, v1::reasons};
use serde::{Deserialize, Serialize};

/// How long a host is held, in seconds, unless that process is seen gone (S8).
pub const HOLD_SECONDS: i64 = 600;

/// A power command of an earlier leader that was open when we came, and may still arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Lease token of that leader.
    pub token: i64,
    /// Name of the Operation.
    pub intent: String,
    /// Since when; each leader counts from when it came.
    pub since: Time,
}

/// Brings the hold up to the open intents: the newest leader's counts, and it ends by itself.
pub(crate) fn take_in(body: &mut EvidenceBody, env: &Env) {
    if body.hold.as_ref().is_some_and(|hold| env.seconds_since(hold.since) >= HOLD_SECONDS) {
        body.hold = None;
    }
    let power = env.open().filter(|i| matches!(i.action, Step::Power { .. }));
    for (intent, token) in power.filter_map(|i| Some((i, i.ex_leader?))) {
        if body.hold.as_ref().is_none_or(|known| known.token < token) {
            body.hold = Some(Hold { token, intent: intent.name.clone(), since: env.now });
        }
    }
}

/// Whether a step makes the host, or helps to make it, one that guests are placed on.
fn returns_to_service(step: &Step, facts: &HostFacts) -> bool {
    match step {
        Step::NovaService { enabled, forced_down, .. } => *enabled == Some(true) || *forced_down == Some(false),
        // With its Nova service held down, power alone brings nothing back.
        Step::Power { command: PowerCommand::On, .. } => facts.service.seen().is_none_or(|s| s.enabled && !s.forced_down),
        _ => false,
    }
}

/// Replaces a step that would return the host to service by a wait, while it is held.
pub(crate) fn apply(next: Next, facts: &HostFacts, env: &Env) -> Next {
    let (Next::Step(step), Some(hold)) = (&next, &env.evidence.hold) else { return next };
    if !returns_to_service(step, facts) {
        return next;
    }
    let left = (HOLD_SECONDS - env.seconds_since(hold.since)).max(1);
    let message = format!(
        "{} of an earlier controller (token {}) may still reach the power of {}, because its process was not seen gone: {} follows in {left} s. \
         If that process has ended, say so: a HostOperation Enable or PowerOn with formerLeader: Gone",
        hold.intent,
        hold.token,
        facts.host,
        step.name()
    );
    wait(reasons::EX_LEADER_POWER, message, left.min(10))
}
