//! Which guest of the plan is sent next: by priority, group after group, and members of one server group one at a time.

use super::{
    guests::{LEAVES_STOPPED, disk_survives, may_run_on, refuse, would_start},
    planning::{plan, say},
};
use crate::{
    Also, Env, Fact, Step, attestation,
    facts::{GroupRule, Guest, HostFacts},
    settle::Settled,
};
use schemas::{
    Object,
    v1::{Action, Cause, EvacuationKind, EvacuationSpec, EvacuationStatus, GuestMove, GuestOutcome, Level, LocalDisks, reasons},
};

/// A guest for which a request can be made.
pub(super) struct Ready {
    /// Its place in the status.
    pub index: usize,
    /// As it was read.
    pub guest: Guest,
    /// The only host that may be named (S6).
    pub only: Option<String>,
    /// It has a destination that stands.
    pub stands: bool,
}

/// What comes of one look at the guests.
pub(super) struct Sending {
    /// The next request.
    pub step: Option<Step>,
    /// The plan that it is made by, if that is new.
    pub plan: Option<Also>,
    /// It goes by a person's word that the host is dead.
    pub by_attestation: bool,
}

/// Plans for the guests that are ready, and gives the next one to send, with its step.
pub(super) fn next(ev: &Object<EvacuationKind>, status: &mut EvacuationStatus, facts: &HostFacts, env: &Env, settled: &Settled) -> Sending {
    let mut ready = ready(&mut status.guests, &ev.spec, facts, env, settled);
    let plan = if ready.is_empty() { None } else { plan(ev, status, &mut ready, facts, env) };
    let Some(records) = facts.moves.seen() else { return Sending { step: None, plan, by_attestation: false } };
    for Ready { index, guest, .. } in ready.iter().filter(|r| r.stands) {
        let moves = &mut status.guests;
        if let Some(why) = held_by_group(&moves[*index], moves, env) {
            say(&mut moves[*index], reasons::GROUP_PAUSE, why);
            continue;
        }
        if let Some(why) = beside(guest, moves, facts) {
            say(&mut moves[*index], reasons::WAITING_FOR_MOVES, why);
            continue;
        }
        let m = &mut moves[*index];
        let by_attestation = match word_for(guest, &ev.spec, facts, env) {
            Ok(asked) => asked,
            Err((reason, why)) => {
                say(m, reason, why);
                continue;
            }
        };
        let destination = m.planned.clone();
        m.outcome = GuestOutcome::Moving;
        say(m, reasons::PROGRESSING, format!("being rebuilt on {destination}"));
        m.attempts += 1;
        m.destination = destination.clone();
        m.sent_at = Some(env.now);
        m.record = None;
        let step = Step::Evacuate {
            server: m.id.clone(),
            destination,
            leave_stopped: m.leave_stopped || would_start(m, guest),
            records_before: records.iter().filter(|r| r.server == m.id).map(|r| r.id).collect(),
        };
        return Sending { step: Some(step), plan, by_attestation };
    }
    Sending { step: None, plan, by_attestation: false }
}

/// The guests for which a request can be made now. The others are told why not.
pub(super) fn ready(moves: &mut [GuestMove], spec: &EvacuationSpec, facts: &HostFacts, env: &Env, settled: &Settled) -> Vec<Ready> {
    let mut ready = Vec::new();
    for (index, m) in moves.iter_mut().enumerate().filter(|(_, m)| m.outcome == GuestOutcome::Pending) {
        let guest = match facts.guest(&m.id) {
            // The proof speaks of this host only: a guest anywhere else is none of ours.
            Fact::Seen(guest, _) if guest.host.as_deref() == Some(&facts.host) => guest,
            Fact::Seen(guest, _) => {
                say(m, reasons::MOVE_IN_FLIGHT, format!("Nova shows it on {}, and is busy with it", guest.host.as_deref().unwrap_or("no host")));
                continue;
            }
            other => {
                say(m, reasons::NOVA_UNREADABLE, format!("it cannot be read: {}", other.why()));
                continue;
            }
        };
        if settled.moving().any(|(i, _)| i.action.server() == Some(&m.id)) {
            continue;
        }
        if ended_just_now(&m.id, env) {
            m.reason = reasons::RETRYING.into();
            if m.message.is_empty() {
                m.message = "the last try ended a moment ago".into();
            }
            continue;
        }
        refuse(m, &guest, "", spec, facts, env);
        if m.outcome != GuestOutcome::Pending {
            continue;
        }
        if let Some(why) = untold(m, &guest, spec, facts) {
            say(m, reasons::NOVA_UNREADABLE, why);
            continue;
        }
        let only = may_run_on(&guest, facts).map(String::from);
        ready.push(Ready { index, guest, only, stands: false });
    }
    ready
}

/// What nobody can tell of a guest, and without which nothing is asked for it (S1).
fn untold(m: &GuestMove, guest: &Guest, spec: &EvacuationSpec, facts: &HostFacts) -> Option<String> {
    if spec.local_disks == LocalDisks::Refuse && disk_survives(guest, facts).is_none() {
        return Some(format!("whether its disk outlives the host cannot be told: {}", facts.disks.why()));
    }
    if facts.groups.seen().is_none() {
        return Some(format!("server groups cannot be read: {}", facts.groups.why()));
    }
    if facts.others.seen().is_none() {
        return Some(format!("what other evacuations move cannot be told: {}", facts.others.why()));
    }
    if m.leave_stopped && facts.microversion.seen().is_none() {
        return Some(format!(
            "whether Nova can leave it stopped ({}.{}) cannot be told: {}",
            LEAVES_STOPPED.0,
            LEAVES_STOPPED.1,
            facts.microversion.why()
        ));
    }
    None
}

/// Whether a guest goes by a person's word, because its disk may die with the host and its policy asks for that. `Err`: that word
/// is missing. Guests that wait for one that nobody has given hold no others up; where anything about it is in doubt they do (S1).
fn word_for(guest: &Guest, spec: &EvacuationSpec, facts: &HostFacts, env: &Env) -> Result<bool, (&'static str, String)> {
    let Some(rule) = spec.evidence.as_ref().filter(|_| spec.cause == Cause::Automatic) else { return Ok(false) };
    let survives = disk_survives(guest, facts);
    if rule.demanded(Action::EvacuateLocalDisks) != Level::Attested || survives == Some(true) {
        return Ok(false);
    }
    if survives.is_none() {
        return Err((reasons::NOVA_UNREADABLE, format!("whether its disk outlives the host cannot be told: {}", facts.disks.why())));
    }
    match (attestation::stands(&env.evidence, facts, env.now, env.policy.proof_max_age_seconds), &facts.attestation) {
        (Ok(_), _) => Ok(true),
        (Err(_), Fact::Absent(_)) => {
            let message = format!(
                "its disk may be lost, and {} of the RemediationPolicy asks for a person's word: `cloud-manager attest {}` (its power epoch is {})",
                rule.asks(Action::EvacuateLocalDisks),
                facts.host,
                env.evidence.epoch
            );
            Err((reasons::EVIDENCE_MISSING, message))
        }
        (Err(_), Fact::Unknown(why)) => Err((reasons::NOVA_UNREADABLE, format!("FenceAttestations cannot be read: {why}"))),
        (Err(_), Fact::Seen(..)) => {
            Err((reasons::PROVING_OFF, "a person states that the host is dead; it is looked at again whether anything speaks against it".into()))
        }
    }
}

/// Whether guests of a higher priority go first still, or the pause after them lasts. Those for which there is no host, with
/// which Nova is busy, or for which a person's word is missing, do not hold the others up; one that cannot be read does (S1).
fn held_by_group(m: &GuestMove, moves: &[GuestMove], env: &Env) -> Option<String> {
    let higher = || moves.iter().filter(|h| h.priority > m.priority);
    let hopeless = [reasons::NO_DESTINATION, reasons::MOVE_IN_FLIGHT, reasons::EVIDENCE_MISSING];
    let under_way = |h: &&GuestMove| match h.outcome {
        GuestOutcome::Moving => true,
        GuestOutcome::Pending => !hopeless.contains(&h.reason.as_str()),
        _ => false,
    };
    if let Some(h) = higher().find(under_way) {
        return Some(format!("guests of priority {} go first", h.priority));
    }
    let left = |h: &GuestMove| {
        let group = || moves.iter().filter(|g| g.priority == h.priority);
        let pause = group().filter_map(|g| g.pause_seconds).max().unwrap_or(env.policy.group_pause_seconds);
        Some(pause - env.seconds_since(h.finished_at?))
    };
    let moved = higher().filter(|h| h.outcome == GuestOutcome::Moved);
    let (left, priority) = moved.filter_map(|h| Some((left(h)?, h.priority))).max()?;
    (left > 0).then(|| format!("pause after the guests of priority {priority}; {left} s are left"))
}

/// Whether another member of an anti-affinity group of this guest is being moved: two at once can meet on one host, and Nova
/// finds out too late (recovery 4.5).
fn beside(guest: &Guest, moves: &[GuestMove], facts: &HostFacts) -> Option<String> {
    let apart = |g: &&crate::facts::GroupFacts| matches!(g.rule, GroupRule::AntiAffinity(_));
    let mut groups = facts.groups_of(&guest.id).filter(apart);
    let others = facts.others.seen().map(Vec::as_slice).unwrap_or_default();
    let moving = |id: &str| {
        let mine = moves.iter().any(|m| m.id == id && m.outcome == GuestOutcome::Moving);
        id != guest.id && (mine || others.iter().any(|o| o.sent && o.guest == id))
    };
    groups.find(|g| g.members.iter().any(|(id, _)| moving(id))).map(|g| format!("another member of its server group {} is being moved", g.name))
}

/// Whether a try for this guest ended so little ago that Nova may not show yet what it did to the guest: a stopped one
/// turns into ERROR, and a retry would then start it (S6).
fn ended_just_now(server: &str, env: &Env) -> bool {
    const SETTLE_SECONDS: i64 = 4;
    let mut tries = env.intents.iter().filter(|i| i.owner_uid == env.owner_uid && i.action.server() == Some(server));
    tries.any(|i| i.state.is_open() || i.closed_at.is_some_and(|at| env.seconds_since(at) < SETTLE_SECONDS))
}
