//! Getting guests off a live host, one step at a time: running ones first.

use crate::{
    Env, Intent, Step,
    facts::{Guest, HostFacts},
    service,
    settle::{self, Settled, Standing},
};
use schemas::v1::{OperationState, StoppedGuests, reasons};

/// What happens to running guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Live migration; what cannot move blocks.
    LiveMigrate,
    /// Live migration; what cannot move is shut down.
    LiveMigrateElseStop,
    /// Shut down.
    Stop,
    /// Nothing: wait until they are gone.
    Wait,
}

/// Where a drain stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Do this.
    Step(Step),
    /// Moves are under way.
    Moving(String),
    /// Guests hold it, each with its reason.
    Blocked(Vec<String>),
    /// Nothing can be said.
    Unknown(String),
    /// No guest runs here, none is leaving, and with `ColdMigrate` none is left.
    Drained,
}

/// Failed tries after which a guest counts as one that cannot move.
const TRIES: usize = 3;
/// Pause after the first failed try, in seconds; doubles with each further one.
const PAUSE_SECONDS: i64 = 30;
/// Longest pause, in seconds.
const LONGEST_PAUSE_SECONDS: i64 = 900;

enum Fate {
    Moving(String),
    Try(Step),
    Later(String),
    Blocked(String),
}

/// Decides the next step of a drain.
pub fn drain(facts: &HostFacts, env: &Env, settled: &Settled, how: How, stopped: StoppedGuests) -> Verdict {
    let Some(guests) = facts.guests.seen() else { return Verdict::Unknown(format!("guests: {}", facts.guests.why())) };
    if facts.moves.seen().is_none() {
        return Verdict::Unknown(format!("migration records: {}", facts.moves.why()));
    }
    let (mut moving, mut blocked, mut candidates, mut in_flight, mut stuck) = (Vec::new(), Vec::new(), Vec::new(), 0, 0);
    if let Some(step) = finish(facts, env, settled) {
        return Verdict::Step(step);
    }
    let concerns = |g: &&Guest| g.may_run() || stopped == StoppedGuests::ColdMigrate;
    for (intent, standing) in settled.moving().filter(|(i, _)| !matches!(i.action, Step::ConfirmResize { .. })) {
        in_flight += 1;
        let Standing::Open { message, needs_human, .. } = standing else { continue };
        stuck += i64::from(*needs_human);
        if !guests.iter().filter(concerns).any(|g| Some(g.id.as_str()) == intent.action.server()) {
            let list = if *needs_human { &mut blocked } else { &mut moving };
            list.push(format!("{}: {message}", facts.label(intent.action.server().unwrap_or_default())));
        }
    }
    let (running, parked): (Vec<&Guest>, Vec<&Guest>) = guests.iter().filter(concerns).partition(|g| g.may_run());
    for guest in running.into_iter().chain(parked) {
        match fate(guest, facts, env, settled, how) {
            Fate::Moving(message) => moving.push(message),
            Fate::Try(step) => candidates.push((step, guest.label())),
            Fate::Later(message) | Fate::Blocked(message) => blocked.push(message),
        }
    }
    let most = env.policy.max_per_host;
    match candidates.first() {
        Some((step, _)) if in_flight < most => return Verdict::Step(step.clone()),
        // Places that only a person can free are not waited for in silence.
        Some(_) if stuck > 0 && stuck == in_flight => {
            let waits = |label: &String| format!("{label}: it has no place among those that move (maxPerHost {most}) before that is settled");
            blocked.extend(candidates.iter().map(|(_, label)| waits(label)));
        }
        Some(_) => return Verdict::Moving(format!("{in_flight} guests are moving; the others follow (maxPerHost {most})")),
        None => {}
    }
    if !moving.is_empty() {
        return Verdict::Moving(shorten(&moving));
    }
    if !blocked.is_empty() {
        blocked.truncate(20);
        return Verdict::Blocked(blocked);
    }
    Verdict::Drained
}

/// The confirmation that ends a cold migration of ours (or one that we inherited), once the guest has arrived. Whatever is
/// wanted of the host by then: until it is confirmed the guest is held in `VERIFY_RESIZE`.
pub fn finish(facts: &HostFacts, env: &Env, settled: &Settled) -> Option<Step> {
    let source = facts.service.seen().filter(|s| s.up && service::foreign(s, &env.cluster_uuid).is_none());
    // It is the source's nova-compute that does it.
    source.filter(|_| env.halted.is_none())?;
    let ours = settled.moving().filter(|(i, _)| matches!(i.action, Step::ColdMigrate { .. }));
    ours.filter_map(|(intent, _)| {
        let record = settle::adopted(intent, facts).filter(|r| r.status == "finished" && r.source.as_deref() == Some(&facts.host))?;
        let guest = facts.guest(&record.server).seen().cloned()?;
        let arrived = guest.vm_state == "resized"
            && guest.task_state.is_none()
            && guest.host == record.destination
            && guest.host.as_deref() != Some(&facts.host);
        let step = Step::ConfirmResize { server: guest.id.clone(), record: record.id };
        let sent = settled.open.iter().any(|(i, _)| i.step == step.name());
        match attempt(step, &guest, env) {
            Fate::Try(step) if arrived && !sent => Some(step),
            _ => None,
        }
    })
    .next()
}

fn shorten(messages: &[String]) -> String {
    match messages {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first}; {} more moving", rest.len()),
        [] => String::new(),
    }
}

fn fate(guest: &Guest, facts: &HostFacts, env: &Env, settled: &Settled, how: How) -> Fate {
    let label = guest.label();
    if let Some((_, standing)) = settled.moving().find(|(i, _)| i.action.server() == Some(&guest.id)) {
        return match standing {
            Standing::Open { message, needs_human: false, .. } => Fate::Moving(format!("{label}: {message}")),
            Standing::Open { message, .. } => Fate::Blocked(format!("{label}: {message}")),
            Standing::Close(..) => Fate::Moving(format!("{label} is being settled")),
        };
    }
    let moves = facts.moves.seen().map(Vec::as_slice).unwrap_or_default();
    if let Some(other) = moves.iter().find(|m| m.server == guest.id && !m.is_final()) {
        return Fate::Moving(format!("{label}: Nova's record {} ({}) is {}", other.id, other.kind, other.status));
    }
    if let Some(task) = &guest.task_state {
        return Fate::Moving(format!("{label}: Nova is busy with it ({task})"));
    }
    let migrate =
        Step::LiveMigrate { server: guest.id.clone(), records_before: moves.iter().filter(|m| m.server == guest.id).map(|m| m.id).collect() };
    if !guest.may_run() {
        let records_before = moves.iter().filter(|m| m.server == guest.id).map(|m| m.id).collect();
        return match guest.vm_state.as_str() {
            "stopped" => attempt(Step::ColdMigrate { server: guest.id.clone(), records_before }, guest, env),
            state => Fate::Blocked(format!(
                "{label} is {state}, which cannot be cold-migrated; resolve that in Nova, or let such guests stay (stoppedGuests: Leave)"
            )),
        };
    }
    let stop = Step::StopGuest { server: guest.id.clone() };
    let movable = matches!(guest.vm_state.as_str(), "active" | "paused");
    match how {
        How::Wait => Fate::Blocked(format!("{label} runs here; move or stop it (guestsOnPowerOff is Wait)")),
        How::Stop => attempt(stop, guest, env),
        How::LiveMigrate if !movable => Fate::Blocked(format!("{label} is {}, which cannot be live-migrated; resolve that in Nova", guest.vm_state)),
        How::LiveMigrate => attempt(migrate, guest, env),
        How::LiveMigrateElseStop => {
            let failed = env.tries(&migrate.name()).filter(|i| is_failure(i)).count();
            if movable && failed < TRIES { attempt(migrate, guest, env) } else { attempt(stop, guest, env) }
        }
    }
}

/// What never left says nothing about the guest.
fn is_failure(intent: &Intent) -> bool {
    matches!(intent.state, OperationState::Failed | OperationState::Refused) && !intent.never_left()
}

/// Tries again after a pause that doubles; says why the last try failed.
fn attempt(step: Step, guest: &Guest, env: &Env) -> Fate {
    let name = step.name();
    let failures: Vec<_> = env.tries(&name).filter(|i| is_failure(i)).collect();
    let Some(last) = failures.iter().max_by_key(|i| i.attempt) else { return Fate::Try(step) };
    let pause = (PAUSE_SECONDS << (failures.len() - 1).min(10)).min(LONGEST_PAUSE_SECONDS);
    let since = env.seconds_since(last.closed_at.unwrap_or(last.issued_at));
    if since >= pause {
        return Fate::Try(step);
    }
    let again = if failures.len() < TRIES { "it is tried again" } else { "it is tried again from time to time; move or stop it yourself" };
    Fate::Later(format!("{}: {} failed: {}; {again}", guest.label(), name.split('/').next().unwrap_or_default(), last.evidence))
}

/// The reason of a blocked drain.
pub const BLOCKED: &str = reasons::GUEST_CANNOT_MOVE;
