//! The guests of a dead host: who, in which order, how each fared, and which of them stay (S6, S7, S13).

use crate::{
    Env, Fact, Intent, Step,
    facts::{GroupRule, Guest, HostFacts, Move},
    flavor,
    settle::{self, Settled, Standing},
};
use schemas::{
    Time,
    v1::{EvacuationSpec, GuestDisks, GuestMove, GuestOutcome, LocalDisks, OperationState, reasons},
};

/// Nova's microversion that leaves an evacuated guest stopped.
pub(super) const LEAVES_STOPPED: (u32, u32) = (2, 95);

/// Adds guests that Nova shows on the host and that are not on record yet, with what their metadata and GuestPolicies say now,
/// and keeps the order: priority, running first, name. A policy that changes later is for the next recovery.
pub(super) fn enlist(moves: &mut Vec<GuestMove>, guests: &[Guest], facts: &HostFacts, env: &Env) -> Result<(), String> {
    let new: Vec<&Guest> = guests.iter().filter(|g| !moves.iter().any(|m| m.id == g.id)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let Some(rules) = facts.guest_policies.seen() else { return Err(format!("GuestPolicies cannot be read: {}", facts.guest_policies.why())) };
    if rules.ask_for_groups() && facts.groups.seen().is_none() {
        return Err(format!("server groups, which GuestPolicies ask for, cannot be read: {}", facts.groups.why()));
    }
    for guest in new {
        let groups: Vec<&str> = facts.groups_of(&guest.id).flat_map(|g| [g.id.as_str(), g.name.as_str()]).collect();
        let ruling = rules.ruling(guest, &groups, &env.policy);
        moves.push(GuestMove {
            id: guest.id.clone(),
            name: guest.name.clone(),
            priority: ruling.priority,
            pause_seconds: ruling.pause_seconds,
            owner: ruling.owner,
            leave_stopped: ruling.leave_stopped,
            vm_state: guest.vm_state.clone(),
            ..GuestMove::default()
        });
    }
    moves.sort_by(|a, b| {
        let key = |m: &GuestMove| (-m.priority, m.vm_state != "active", m.name.clone(), m.id.clone());
        key(a).cmp(&key(b))
    });
    Ok(())
}

pub(super) fn end(m: &mut GuestMove, outcome: GuestOutcome, reason: &str, message: impl Into<String>, now: Time) {
    if m.outcome != outcome {
        m.finished_at = (outcome != GuestOutcome::Pending).then_some(now);
    }
    m.outcome = outcome;
    m.reason = reason.into();
    m.message = message.into();
}

/// Whether a guest is still to be taken off the host. `Err`: some may be, and why nobody can tell: what is not known must
/// not mean more force (S1).
pub(super) fn is_anyone_left(moves: &[GuestMove], spec: &EvacuationSpec, facts: &HostFacts) -> Result<bool, String> {
    let mut doubt = None;
    for m in moves {
        match m.outcome {
            GuestOutcome::Moved | GuestOutcome::Skipped | GuestOutcome::Failed => {}
            GuestOutcome::Moving | GuestOutcome::NeedsHuman => return Ok(true),
            GuestOutcome::Pending => match (&facts.guest(&m.id), &facts.microversion) {
                (Fact::Unknown(why), _) | (_, Fact::Unknown(why)) => doubt = Some(format!("{} cannot be judged: {why}", m.name)),
                (Fact::Seen(guest, _), _) if spec.local_disks == LocalDisks::Refuse && disk_survives(guest, facts).is_none() => {
                    doubt = Some(format!("{} cannot be judged: {}", m.name, facts.disks.why()));
                }
                _ if facts.groups.seen().is_none() => doubt = Some(format!("{} cannot be judged: server groups: {}", m.name, facts.groups.why())),
                _ => return Ok(true),
            },
        }
    }
    doubt.map_or(Ok(false), Err)
}

/// Whether nothing more will be tried for this guest.
pub(super) fn has_ended(m: &GuestMove) -> bool {
    !matches!(m.outcome, GuestOutcome::Pending | GuestOutcome::Moving)
}

/// Requests of ours for this guest that left, oldest first, each with its state and evidence as of this pass.
fn requests<'a>(m: &GuestMove, env: &'a Env, settled: &'a Settled) -> Vec<(&'a Intent, OperationState, &'a str)> {
    let mine = env.intents.iter().filter(|i| i.owner_uid == env.owner_uid && i.action.server() == Some(&m.id));
    let now = |i: &'a Intent| settled.of(&i.name).map_or((i, i.state, i.evidence.as_str()), |s| (i, s.state, s.evidence.as_str()));
    mine.filter(|i| !i.never_left()).map(now).collect()
}

/// What the intents say of tries and destinations, so that nothing is counted twice and nothing is forgotten.
fn recount(m: &mut GuestMove, requests: &[(&Intent, OperationState, &str)]) {
    let evacuations = requests.iter().filter_map(|(i, state, evidence)| match &i.action {
        Step::Evacuate { destination, .. } => Some((destination, *state, *evidence)),
        _ => None,
    });
    m.attempts = 0;
    m.failed_destinations.clear();
    m.destination.clear();
    for (destination, state, evidence) in evacuations {
        m.attempts += 1;
        // A request that left no record is repeated to the same destination, so that a late twin cannot start the guest elsewhere (S7).
        let failed = matches!(state, OperationState::Failed | OperationState::Refused) && evidence != settle::LOST;
        m.destination = if failed { String::new() } else { destination.clone() };
        if failed && !m.failed_destinations.contains(destination) {
            m.failed_destinations.push(destination.clone());
        }
    }
}

/// Brings a guest's record up to what was seen: settled intents, moves of others, refusals.
/// `dead`: the host is being rebuilt, so a live migration off it will not go on by itself.
pub(super) fn update(m: &mut GuestMove, spec: &EvacuationSpec, facts: &HostFacts, env: &Env, settled: &Settled, dead: bool) {
    let now = env.now;
    if has_ended(m) && m.outcome != GuestOutcome::NeedsHuman {
        return;
    }
    let requests = requests(m, env, settled);
    recount(m, &requests);
    if let Some((intent, standing)) = settled.moving().find(|(i, _)| i.action.server() == Some(&m.id)) {
        m.record = settle::adopted(intent, facts).map(|r| r.id).or(m.record);
        if let Standing::Open { reason, message, needs_human } = standing {
            let broken_off =
                dead && matches!(intent.action, Step::LiveMigrate { .. } | Step::ColdMigrate { .. }) && *reason == reasons::WAITING_FOR_MOVES;
            if broken_off {
                let message = format!("{message}, and its source is dead: the guest may be running there; settle it in Nova (S6)");
                end(m, GuestOutcome::NeedsHuman, reasons::MOVE_IN_FLIGHT, message, now);
            } else {
                let outcome = if *needs_human { GuestOutcome::NeedsHuman } else { GuestOutcome::Moving };
                end(m, outcome, reason, message.clone(), now);
            }
        }
        m.finished_at = None;
        return;
    }
    if m.outcome == GuestOutcome::Moving {
        match requests.last() {
            Some((intent, OperationState::Observed, evidence)) if *evidence != settle::GONE => {
                m.record = settle::adopted(intent, facts).map(|r| r.id).or(m.record);
                return end(m, GuestOutcome::Moved, reasons::SUCCEEDED, *evidence, now);
            }
            Some((intent, _, evidence)) => {
                m.record = settle::adopted(intent, facts).map(|r| r.id).or(m.record);
                end(m, GuestOutcome::Pending, reasons::RETRYING, *evidence, now);
            }
            // Someone else's call, which we had inherited, has ended; or ours never left.
            None => end(m, GuestOutcome::Pending, "", "", now),
        }
    }
    match facts.guest(&m.id) {
        Fact::Absent(_) => end(m, GuestOutcome::Skipped, "Deleted", settle::GONE, now),
        Fact::Seen(guest, _) if guest.host.as_deref().is_some_and(|h| h != facts.host) && guest.task_state.is_none() => {
            end(m, GuestOutcome::Moved, "AlreadyElsewhere", format!("it is on {}", guest.host.as_deref().unwrap_or("?")), now);
        }
        // A live migration refuses nothing by itself; Nova does.
        Fact::Seen(_, _) if !dead => {}
        Fact::Seen(guest, _) => {
            let last = requests.last().map_or("", |(_, _, evidence)| *evidence);
            refuse(m, &guest, last, spec, facts, env);
        }
        Fact::Unknown(_) => {}
    }
}

/// A guest that was shut down and is in ERROR now would be started by an evacuation, unless it is left stopped (2.95).
pub(super) fn would_start(m: &GuestMove, guest: &Guest) -> bool {
    guest.vm_state == "error" && (m.vm_state == "stopped" || guest.power_state == 4)
}

/// Where the guest may be running whatever Nova shows (S6), because a move off this host was broken off after it had begun:
/// * an evacuation that `failed`: Nova starts the guest there *before* it changes `host`. A claim that was refused leaves the
///   guest's state as it was, and what the scheduler refused (`error`) reached no host;
/// * a live migration in `error` that had a destination: a nova-compute that starts again calls a `running` one that,
///   while the hypervisors may have finished it.
///
/// That host may be named: Nova looks for the guest there before it rebuilds it.
pub(crate) fn may_run_on<'a>(guest: &Guest, facts: &'a HostFacts) -> Option<&'a str> {
    let of = |kind: &'static str| facts.moves.seen().into_iter().flatten().filter(move |r| r.server == guest.id && r.kind == kind);
    let from_here = |r: &&Move| r.source.as_deref() == Some(&facts.host);
    let rebuilt = of("evacuation").filter(from_here).find(|r| r.status == "failed").filter(|_| guest.vm_state == "error");
    let moved = of("live-migration").next().filter(from_here).filter(|r| r.status == "error");
    rebuilt.or(moved).and_then(|r| r.destination.as_deref()).filter(|d| *d != facts.host)
}

/// Whether its disk outlives the host (S13); `None` if nobody can tell.
pub(super) fn disk_survives(guest: &Guest, facts: &HostFacts) -> Option<bool> {
    if guest.boot_from_volume && !guest.local_extra_disks {
        return Some(true);
    }
    facts.disks.seen().map(|disks| *disks == GuestDisks::Shared)
}

/// Refusals that hold before any request. `last`: how the last one ended.
pub(super) fn refuse(m: &mut GuestMove, guest: &Guest, last: &str, spec: &EvacuationSpec, facts: &HostFacts, env: &Env) {
    let now = env.now;
    if m.attempts == 0 {
        m.vm_state = guest.vm_state.clone();
    }
    if !m.owner.is_empty() {
        let message = format!("{} brings it back (GuestPolicy owner); nothing is done about it here", m.owner);
        return end(m, GuestOutcome::Skipped, reasons::OWNER_MANAGED, message, now);
    }
    if m.priority == 0 {
        return end(m, GuestOutcome::Skipped, reasons::PRIORITY_ZERO, "recovery priority 0: it is never evacuated", now);
    }
    if !matches!(guest.vm_state.as_str(), "active" | "stopped" | "error") {
        let message = format!(
            "it is {}, which Nova cannot evacuate; resolve that in Nova (paused, suspended, rescued and resized guests come back with their host)",
            guest.vm_state
        );
        return end(m, GuestOutcome::Skipped, reasons::STATE_UNSUITABLE, message, now);
    }
    if let Some(why) = flavor::obstacle(guest) {
        return end(m, GuestOutcome::Skipped, reasons::CANNOT_EVACUATE, format!("{why}: Nova cannot evacuate it; it comes back with its host"), now);
    }
    if m.leave_stopped && facts.microversion.seen().is_some_and(|v| *v < LEAVES_STOPPED) {
        let message =
            "its GuestPolicy wants it left stopped, which needs Nova 2.95: this Nova would start it; change targetState, or evacuate it by hand";
        return end(m, GuestOutcome::Skipped, reasons::CANNOT_EVACUATE, message, now);
    }
    if let Some(group) = facts.groups_of(&guest.id).find(|g| g.rule == GroupRule::Affinity && !g.has_members_off(&facts.host)) {
        let message = format!(
            "server group {} keeps its members on one host (affinity), and that host is dead: Nova finds no host for any of them; they come back with it",
            group.name
        );
        return end(m, GuestOutcome::Skipped, reasons::SERVER_GROUP, message, now);
    }
    if spec.local_disks == LocalDisks::Refuse && disk_survives(guest, facts) == Some(false) {
        let message = "its disk may be on the dead host, and would be lost; declare ClusterPolicy guestDisks: Shared if it is not, or evacuate with localDisks: Rebuild";
        return end(m, GuestOutcome::Skipped, reasons::LOCAL_DISK, message, now);
    }
    // It may be one that is left where it is: until that is known nothing is said of it that could have its host fenced again (S1).
    if m.attempts == 0 && spec.local_disks == LocalDisks::Refuse && disk_survives(guest, facts).is_none() {
        if m.outcome == GuestOutcome::NeedsHuman {
            end(m, GuestOutcome::Pending, "", "", now);
        }
        return;
    }
    let moves = facts.moves.seen().map(Vec::as_slice).unwrap_or_default();
    if let Some(open) = moves.iter().find(|r| r.server == m.id && !r.is_final() && !facts.died_with_its_destination(r)) {
        let to = open.destination.as_deref().unwrap_or("an unknown host");
        let message = format!(
            "Nova's record {} ({}) to {to} is {}: the guest may be starting there; settle it in Nova, or prove {to} off (S6)",
            open.id, open.kind, open.status
        );
        return end(m, GuestOutcome::NeedsHuman, reasons::MOVE_IN_FLIGHT, message, now);
    }
    let explained = moves.iter().any(|r| r.server == m.id && facts.died_with_its_destination(r));
    if guest.task_state.as_deref() == Some("migrating") && !explained {
        return end(
            m,
            GuestOutcome::NeedsHuman,
            reasons::MOVE_IN_FLIGHT,
            "its task_state is migrating and no record says where to; look at it in Nova (S6)",
            now,
        );
    }
    if m.attempts > env.policy.evacuation_retries {
        let there = may_run_on(guest, facts);
        let look = there.map_or(String::new(), |d| format!("; it may be running on {d}: look there before you do anything else with it"));
        return end(m, GuestOutcome::Failed, reasons::FAILED, format!("{} tries failed; the last: {last}{look}", m.attempts), now);
    }
    if would_start(m, guest) && facts.microversion.seen().is_none_or(|v| *v < LEAVES_STOPPED) {
        // NoValidHost turns a stopped guest into ERROR; a retry would start it (S6).
        let why = guest.fault.as_deref().unwrap_or("Nova gives no reason");
        let message = format!("the guest was stopped and is in ERROR now ({why}); evacuating it would start it: decide by hand");
        return end(m, GuestOutcome::NeedsHuman, reasons::NEEDS_HUMAN, message, now);
    }
    if m.outcome == GuestOutcome::NeedsHuman {
        end(m, GuestOutcome::Pending, "", "", now);
    }
}
