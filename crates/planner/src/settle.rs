//! Settling intents by looking at the world: what may have happened is looked at before it is repeated (S6, S7, S8).

use crate::{
    Env, Fact, Intent, Next, Settlement, Step,
    contract::wait,
    facts::{HostFacts, Move},
};
use schemas::{
    Time,
    v1::{OperationState, reasons},
};

/// A lost evacuation is repeated at the earliest so many seconds after the call's end of life (S7).
pub const REPEAT_AFTER_SECONDS: i64 = 60;

/// A move whose record does not end so many seconds after the call's end of life is for a person: Nova has no time-out, and
/// work that died with a nova-compute leaves its record as it is. A rebuild takes seconds, copying memory may take long.
const STUCK_SECONDS: [(&str, i64); 2] = [("evacuation", 900), ("live-migration", 3_600)];

/// A guest that Nova is busy with, though it shows no record of the request so many seconds after the call's end of life, is
/// for a person: the message to the conductor was lost, and nothing resets the guest.
const NO_RECORD_SECONDS: i64 = 900;

/// Evidence of a request that left no trace.
pub const LOST: &str = "no record appeared";
/// Evidence of a request whose guest Nova does not know any longer.
pub const GONE: &str = "the guest is gone";

/// Where an open intent stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It can be closed.
    Close(OperationState, String),
    /// It goes on, or nobody can tell yet.
    Open {
        /// Stable word.
        reason: &'static str,
        /// For people.
        message: String,
        /// A person has to look at it.
        needs_human: bool,
    },
}

fn open(reason: &'static str, message: impl Into<String>) -> Standing {
    Standing::Open { reason, message: message.into(), needs_human: false }
}

fn human(message: impl Into<String>) -> Standing {
    Standing::Open { reason: reasons::NEEDS_HUMAN, message: message.into(), needs_human: true }
}

fn closed(state: OperationState, evidence: impl Into<String>) -> Standing {
    Standing::Close(state, evidence.into())
}

/// Judges one open intent.
pub fn standing(intent: &Intent, facts: &HostFacts, now: Time) -> Standing {
    let may_still_act = intent.state != OperationState::Accepted && intent.past_end_of_life < 0;
    if may_still_act {
        let left = -intent.past_end_of_life;
        return open(reasons::SETTLING, format!("{} may have been sent; it is looked at in {left} s", intent.step));
    }
    // A list may be shared and some seconds old: it tells what came of a call only if it was read after the call could act.
    let told = |at: Time| match intent.state {
        OperationState::Accepted => at > intent.issued_at,
        _ => now.seconds_since(at) <= intent.past_end_of_life,
    };
    let stale = || open(reasons::SETTLING, format!("{} is settled by a look that is younger than it", intent.step));
    match &intent.action {
        // Targets, not toggles: what came of the command is told by readings after it.
        Step::Power { .. } => closed(OperationState::Observed, "past its end of life; the power links tell what came of it"),
        Step::NovaService { enabled, forced_down, .. } => match &facts.service {
            Fact::Seen(_, at) | Fact::Absent(at) if !told(*at) => stale(),
            Fact::Seen(s, _) if enabled.is_none_or(|e| e == s.enabled) && forced_down.is_none_or(|f| f == s.forced_down) => {
                closed(OperationState::Observed, "Nova shows the change")
            }
            Fact::Seen(..) => closed(OperationState::Failed, "Nova does not show the change"),
            Fact::Absent(_) => closed(OperationState::Failed, "Nova has no such service"),
            Fact::Unknown(why) => open(reasons::NOVA_UNREADABLE, format!("{} cannot be settled: {why}", intent.step)),
        },
        Step::StopGuest { server } => match facts.guest(server) {
            Fact::Seen(_, at) | Fact::Absent(at) if !told(at) => stale(),
            Fact::Seen(g, _) if !g.may_run() => closed(OperationState::Observed, "the guest is stopped"),
            Fact::Seen(g, _) if g.task_state.is_none() && intent.past_end_of_life >= 0 => closed(OperationState::Failed, "the guest still runs"),
            Fact::Seen(..) => open(reasons::WAITING_FOR_MOVES, "the guest is being shut down"),
            Fact::Absent(_) => closed(OperationState::Observed, GONE),
            Fact::Unknown(why) => open(reasons::NOVA_UNREADABLE, format!("{} cannot be settled: {why}", intent.step)),
        },
        Step::LiveMigrate { server, records_before } => migration(intent, facts, server, records_before, "live-migration", (told, stale)),
        Step::ColdMigrate { server, records_before } => migration(intent, facts, server, records_before, "migration", (told, stale)),
        Step::ConfirmResize { server, record } => match (&facts.moves, facts.guest(server)) {
            (_, Fact::Absent(at)) if told(at) => closed(OperationState::Observed, GONE),
            (Fact::Seen(_, at), _) if !told(*at) => stale(),
            (Fact::Seen(moves, _), _) => confirmation(intent, moves.iter().find(|m| m.id == *record)),
            _ => open(reasons::NOVA_UNREADABLE, format!("{} cannot be settled: migration records: {}", intent.step, facts.moves.why())),
        },
        Step::Evacuate { server, records_before, .. } => migration(intent, facts, server, records_before, "evacuation", (told, stale)),
    }
}

/// What became of a confirmation, as the record that it confirms tells it.
fn confirmation(intent: &Intent, record: Option<&Move>) -> Standing {
    match record {
        Some(m) if m.status == "confirmed" => closed(OperationState::Observed, format!("record {} is confirmed", m.id)),
        Some(m) if m.is_final() => closed(OperationState::Failed, format!("record {} is {}", m.id, m.status)),
        // Nova sets `confirming` before it answers.
        Some(m) if m.status == "finished" && intent.past_end_of_life >= 0 => {
            closed(OperationState::Failed, format!("record {} is still finished", m.id))
        }
        Some(m) => open(reasons::WAITING_FOR_MOVES, format!("record {} of server {} is {}", m.id, m.server, m.status)),
        None => open(reasons::SETTLING, format!("{}: Nova does not list that record", intent.step)),
    }
}

/// Records of the guest that were not there before the request: ours to adopt (S7).
fn new_records<'a>(moves: &'a [Move], server: &str, before: &[i64], kind: &str) -> Vec<&'a Move> {
    moves.iter().filter(|m| m.server == server && m.kind == kind && !before.contains(&m.id)).collect()
}

/// The record that an intent adopted, if there is one.
pub fn adopted<'a>(intent: &Intent, facts: &'a HostFacts) -> Option<&'a Move> {
    let (server, before, kind) = match &intent.action {
        Step::LiveMigrate { server, records_before } => (server, records_before, "live-migration"),
        Step::ColdMigrate { server, records_before } => (server, records_before, "migration"),
        Step::Evacuate { server, records_before, .. } => (server, records_before, "evacuation"),
        _ => return None,
    };
    let moves = facts.moves.seen()?;
    let ours = new_records(moves, server, before, kind);
    ours.iter().find(|m| !m.is_final()).or(ours.first()).copied()
}

fn migration(
    intent: &Intent,
    facts: &HostFacts,
    server: &str,
    before: &[i64],
    kind: &str,
    (told, stale): (impl Fn(Time) -> bool, impl Fn() -> Standing),
) -> Standing {
    let guest = match facts.guest(server) {
        Fact::Seen(_, at) | Fact::Absent(at) if !told(at) => return stale(),
        Fact::Seen(guest, _) => guest,
        Fact::Absent(_) => return closed(OperationState::Observed, GONE),
        Fact::Unknown(why) => return open(reasons::NOVA_UNREADABLE, format!("{} cannot be settled: {why}", intent.step)),
    };
    let moves = match &facts.moves {
        Fact::Seen(_, at) if !told(*at) => return stale(),
        Fact::Seen(moves, _) => moves,
        _ => return open(reasons::NOVA_UNREADABLE, format!("{} cannot be settled: migration records: {}", intent.step, facts.moves.why())),
    };
    let ours = new_records(moves, server, before, kind);
    let left_host = guest.host.as_deref().is_some_and(|h| h != facts.host);
    if let Some(running) = ours.iter().find(|m| !m.is_final()) {
        let to = running.destination.as_deref().unwrap_or("a host yet to be chosen");
        let message = format!("Nova's record {} is {} to {to}", running.id, running.status);
        if facts.died_with_its_destination(running) && !left_host {
            return closed(OperationState::Failed, format!("{message}, which is proven off (S6)"));
        }
        let silent = |host: &str| host != facts.host && facts.others_up.seen().is_some_and(|up| !up.iter().any(|u| u == host));
        if running.destination.as_deref().is_some_and(silent) {
            return human(format!(
                "{message}, whose nova-compute is down: Nova does not end it by itself; bring {to} back, or settle it in Nova (S6)"
            ));
        }
        if STUCK_SECONDS.iter().any(|(k, most)| *k == kind && intent.past_end_of_life > *most) {
            return human(format!("{message} for long; look at it in Nova: what died with a nova-compute is not ended by itself (S6)"));
        }
        return open(reasons::WAITING_FOR_MOVES, message);
    }
    if let Some(done) = ours.iter().find(|m| !m.has_failed()) {
        if left_host && guest.task_state.is_none() {
            return closed(
                OperationState::Observed,
                format!("record {} is {}; the guest is on {}", done.id, done.status, guest.host.as_deref().unwrap_or("?")),
            );
        }
        if intent.past_end_of_life > REPEAT_AFTER_SECONDS * 5 {
            return human(format!(
                "record {} is {}, but Nova still shows the guest on {} with task_state {}; look at it in Nova",
                done.id,
                done.status,
                facts.host,
                guest.task_state.as_deref().unwrap_or("none")
            ));
        }
        return open(reasons::WAITING_FOR_MOVES, format!("record {} is {}; Nova is finishing", done.id, done.status));
    }
    if let Some(failed) = ours.first() {
        let why = guest.fault.clone().unwrap_or_else(|| "Nova gives no reason".into());
        return closed(OperationState::Failed, format!("record {} is {}: {why}", failed.id, failed.status));
    }
    // No record of ours.
    if left_host && guest.task_state.is_none() {
        return closed(OperationState::Observed, "the guest is on another host");
    }
    if intent.past_end_of_life < REPEAT_AFTER_SECONDS {
        return open(reasons::SETTLING, "the request may have been sent; no record of it yet");
    }
    match (kind, intent.state) {
        // Nova took it and shows no record: a retry follows only error or failed, never a time-out (S6).
        ("evacuation", OperationState::Accepted) => {
            human(format!("Nova took the evacuation ({}), but shows no record of it; look at the server's actions in Nova", intent.evidence))
        }
        _ if guest.task_state.is_some() => {
            let task = guest.task_state.as_deref().unwrap_or_default();
            let message = format!("no record of the request, but Nova is busy with the guest ({task})");
            if intent.past_end_of_life > NO_RECORD_SECONDS {
                return human(format!("{message} for long; if no conductor works on it, reset the guest's state in Nova"));
            }
            open(reasons::SETTLING, message)
        }
        _ => closed(OperationState::Failed, LOST),
    }
}

/// Why an object does nothing while the cluster is frozen: reason and message. It is paused once nothing that it began is under
/// way; `settlements` are those that this pass closes.
pub fn frozen(env: &Env, settlements: &[Settlement]) -> (&'static str, String) {
    let closed = |i: &Intent| settlements.iter().any(|s| s.intent == i.name);
    let own: Vec<&str> = env.open().filter(|i| i.owner_uid == env.owner_uid && !closed(i)).map(|i| i.step.as_str()).collect();
    match own.first() {
        None => (reasons::FROZEN, "ClusterPolicy default has operations: Frozen; `thaw` goes on".into()),
        Some(first) => (
            reasons::PAUSING,
            format!(
                "ClusterPolicy default has operations: Frozen; {} call(s) under way are settled first, such as {first}; nothing new is begun",
                own.len()
            ),
        ),
    }
}

/// Judges all open intents on the host.
pub struct Settled {
    /// Those that can be closed.
    pub settlements: Vec<Settlement>,
    /// Those that stay open, with why.
    pub open: Vec<(Intent, Standing)>,
}

/// See [`Settled`].
pub fn settle_all(env: &Env, facts: &HostFacts) -> Settled {
    let mut done = Settled { settlements: Vec::new(), open: Vec::new() };
    for intent in env.open() {
        match standing(intent, facts, env.now) {
            Standing::Close(state, evidence) => done.settlements.push(Settlement { intent: intent.name.clone(), state, evidence }),
            other => done.open.push((intent.clone(), other)),
        }
    }
    done
}

impl Settled {
    /// The wait of an object while the cluster is frozen, see [`frozen`].
    pub fn frozen(&self, env: &Env, recheck: i64) -> Next {
        let (reason, message) = frozen(env, &self.settlements);
        wait(reason, message, if reason == reasons::PAUSING { recheck.min(2) } else { recheck })
    }

    /// Settlement of an intent, if it is closed now.
    pub fn of(&self, intent: &str) -> Option<&Settlement> {
        self.settlements.iter().find(|s| s.intent == intent)
    }

    /// Open intents that are not moves of guests: nothing new is done to the host before they are settled.
    pub fn blocking(&self) -> Option<(&'static str, String)> {
        self.open.iter().find_map(|(intent, standing)| match (&intent.action, standing) {
            (Step::Power { .. } | Step::NovaService { .. }, Standing::Open { reason, message, .. }) => Some((*reason, message.clone())),
            _ => None,
        })
    }

    /// Open moves and shutdowns of guests.
    pub fn moving(&self) -> impl Iterator<Item = (&Intent, &Standing)> {
        self.open.iter().filter(|(i, _)| i.action.server().is_some()).map(|(i, s)| (i, s))
    }
}
