//! Which way: drain, rebuild, or wait and say what is missing.

use crate::{
    Env, Intent, Next, Step, attestation,
    contract::{PowerCommand, wait},
    facts::{HostFacts, ServiceFacts},
    liveness::{Liveness, but_for_power, liveness},
    proof::{self, EvidenceBody, Gap},
    remediation::channels,
};
use schemas::v1::{Action, Cause, EvacuationMode, EvacuationPath, EvacuationSpec, EvacuationStatus, PowerState, reasons};

/// From the power-off on, "up but power off" and "forced down" are of our making.
pub(super) fn is_fenced_by_us(status: &EvacuationStatus, env: &Env) -> bool {
    // Also one that was only asked to shut down is not left alone any more, in whatever epoch it is.
    let asked = |i: &Intent| matches!(i.action, Step::Power { command: PowerCommand::SoftOff, .. }) && !i.never_left();
    let begun = status.fences > 0 || env.intents.iter().any(|i| i.owner_uid == env.owner_uid && asked(i));
    begun || env.evidence.latch.as_ref().is_some_and(|l| l.by_uid == env.owner_uid)
}

/// Whether a host reports again before anything was done to it. Less is asked than for [`Liveness::Alive`]: what follows is
/// that nothing is done.
pub(super) fn is_back(service: &ServiceFacts, status: &EvacuationStatus, facts: &HostFacts, env: &Env) -> bool {
    !is_fenced_by_us(status, env) && service.up && reported_since(facts, status.started_at)
}

/// Whether a host that was only switched off so far, and is not fenced, lives again while nobody is on it: nothing more is asked
/// of it. `Err`: that may be, and what is waited for; what is not known must not mean more force (S1).
pub(super) fn lives_for_nobody(service: &ServiceFacts, status: &EvacuationStatus, facts: &HostFacts, evidence: &EvidenceBody) -> Result<bool, Next> {
    let only_switched_off = status.fences > 0 && evidence.latch.is_none();
    if !only_switched_off || !service.up || proof::state_of(&facts.links) == PowerState::Off {
        return Ok(false);
    }
    match facts.guests.seen() {
        None => Err(wait(reasons::NOVA_UNREADABLE, format!("guests cannot be listed: {}", facts.guests.why()), 3)),
        Some(guests) if !guests.is_empty() => Ok(false),
        Some(_) if reported_since(facts, evidence.last_command_at) => Ok(true),
        Some(_) => Err(wait(reasons::IN_DOUBT, "it was switched off, no guest is on it, and Nova calls it up; it is looked at again", 1)),
    }
}

/// Whether another channel calls a host alive that nobody asked to be evacuated, before anything was done to it: who, in words.
/// `Err`: what its policy demands of them is missing.
pub(super) fn alive_elsewhere(spec: &EvacuationSpec, status: &EvacuationStatus, facts: &HostFacts, env: &Env) -> Result<Option<String>, Next> {
    if spec.cause != Cause::Automatic || is_fenced_by_us(status, env) {
        return Ok(None);
    }
    channels::objection(&facts.channels, &spec.evidence.clone().unwrap_or_default(), Action::Fence, env.now)
}

/// The path of this pass. `Auto` decides anew on every pass, until the host is fenced for this evacuation.
pub(super) fn choose(spec: &EvacuationSpec, status: &EvacuationStatus, facts: &HostFacts, env: &Env) -> Result<EvacuationPath, Next> {
    if is_fenced_by_us(status, env) {
        return Ok(EvacuationPath::Rebuild);
    }
    match spec.mode {
        EvacuationMode::LiveMigrate => Ok(EvacuationPath::Drain),
        EvacuationMode::Rebuild => Ok(EvacuationPath::Rebuild),
        EvacuationMode::Auto => match liveness(facts, env.policy.nova_report_interval_seconds) {
            // A host may have died just after the report that speaks for it: one more is waited for, else the
            // first call to it would hang in Nova (I21).
            Liveness::Alive if !reported_since(facts, status.started_at) => {
                Err(wait(reasons::IN_DOUBT, "its nova-compute is up; one more report of it is waited for before it counts as alive", 1))
            }
            Liveness::Alive => Ok(EvacuationPath::Drain),
            Liveness::Dead => Ok(EvacuationPath::Rebuild),
            // All that is in doubt is its power, of which a person has spoken.
            Liveness::InDoubt(_) if is_silent(facts, env) && attested(spec, facts, env).is_some() => Ok(EvacuationPath::Rebuild),
            Liveness::InDoubt(why) => {
                let mut message = format!(
                    "neither alive nor dead: {why}. To rebuild its guests whatever it is, evacuate with mode Rebuild: that fences it first; to move them while it lives, with mode LiveMigrate"
                );
                if is_silent(facts, env) {
                    message = format!("{message}. {}", attestation::way_out(spec, &facts.host, env.evidence.epoch));
                }
                Err(wait(reasons::IN_DOUBT, message, 1))
            }
        },
    }
}

fn is_silent(facts: &HostFacts, env: &Env) -> bool {
    but_for_power(facts, env.policy.nova_report_interval_seconds) == Liveness::Dead
}

/// The attestation that stands in for a proof that is impossible.
pub(super) fn attested<'a>(spec: &EvacuationSpec, facts: &HostFacts, env: &'a Env) -> Option<&'a attestation::Attested> {
    let max_age = env.policy.proof_max_age_seconds;
    let impossible = matches!(proof::proven_off(&env.evidence, facts, env.now, max_age), Err(Gap::NoVerifiedLink | Gap::Unreadable(_)));
    (impossible && attestation::is_accepted(spec)).then(|| attestation::stands(&env.evidence, facts, env.now, max_age).ok())?
}

/// Whether the service row moved between two reads since `start`.
fn reported_since(facts: &HostFacts, start: Option<schemas::Time>) -> bool {
    let mut since = facts.beats.iter().filter(|b| start.is_none_or(|s| b.at >= s));
    let first = since.next();
    since.any(|b| first.is_some_and(|f| f.updated_at != b.updated_at))
}
