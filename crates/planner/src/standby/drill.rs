//! What a drill does next: each host's links are read twice; then, for standby hosts, off, on, and back.

use super::{
    DrillSeen, Member, lease,
    member::{power_of, unfit},
    operations::{self, Fate},
    rest::{self, Rest},
};
use crate::{Also, Decision, Env, EventDraft, Next, contract::wait, facts::LinkFacts, proof::EvidenceBody, proof::PROOF_GAP_SECONDS, status};
use schemas::{
    ConditionStatus, Conditions, Object,
    v1::{Cancel, DrillDepth, DrillHost, DrillOutcome, DrillStep, FenceDrill, FenceDrillStatus, HostOperationType, IdleState, PowerState, reasons},
};

/// Hosts that are read at the same time.
const AT_ONCE: usize = 16;
/// Longest time that links may take to answer twice, in seconds.
const READ_SECONDS: i64 = 60;
/// Seconds between looks.
const LOOK: i64 = 3;

/// Hosts that are tested now: several are read, but one at a time is powered off and on.
pub fn unfinished(drill: &Object<FenceDrill>, hosts: &[String]) -> Vec<String> {
    let at_once = if drill.spec.depth == DrillDepth::Read { AT_ONCE } else { 1 };
    let ended =
        |host: &&String| drill.status.hosts.iter().any(|h| h.host == **host && !matches!(h.outcome, DrillOutcome::Pending | DrillOutcome::Testing));
    hosts.iter().filter(|h| !ended(h)).take(at_once).cloned().collect()
}

/// What comes next for one host.
enum Turn {
    Wait(&'static str, String),
    Step(DrillStep),
    Ended(DrillOutcome, &'static str, String),
}

/// Decides what a drill does next. `Err`: it could not be read, and why.
pub fn decide(drill: &Object<FenceDrill>, seen: &Result<DrillSeen, String>, env: &Env) -> Decision<FenceDrillStatus> {
    let mut status = drill.status.clone();
    if status.finished_at.is_some() {
        return Decision::new(status, EvidenceBody::default(), Next::Finished);
    }
    let (generation, now) = (drill.metadata.generation, env.now);
    status.started_at = status.started_at.or(Some(now));
    let mut run = Run { drill, env, status, also: Vec::new() };
    let next = match seen {
        Err(why) => wait(reasons::RETRYING, format!("the drill's hosts could not be read: {why}"), LOOK),
        Ok(seen) => run.next(seen),
    };
    let Run { mut status, also, .. } = run;
    let mut events = Vec::new();
    if matches!(next, Next::Finished) {
        let (ok, reason, message) = verdict(drill, &status);
        status.finished_at = Some(now);
        status.progress = message.clone();
        status.conditions.set("Succeeded", ok.into(), reason, &message, generation, now);
        if reason == reasons::CANCELLED {
            status.conditions.set("Cancelled", ConditionStatus::True, reason, "", generation, now);
        }
        events.push(EventDraft { warning: !ok, reason, note: message });
    } else {
        status.conditions.set("Succeeded", ConditionStatus::Unknown, reasons::PROGRESSING, "", generation, now);
        status.progress = summary(&status.hosts);
    }
    status.observed_generation = generation;
    status.waiting = status::waiting(&next, drill.status.waiting.as_ref(), now);
    status::common(&mut status.conditions, &next, generation, now);
    Decision { events, also, ..Decision::new(status, EvidenceBody::default(), next) }
}

fn summary(hosts: &[DrillHost]) -> String {
    let count = |o: DrillOutcome| hosts.iter().filter(|h| h.outcome == o).count();
    let mut text = format!("{} of {} passed", count(DrillOutcome::Passed), hosts.len());
    for (outcome, word) in [(DrillOutcome::Testing, "under way"), (DrillOutcome::Failed, "failed"), (DrillOutcome::Refused, "refused")] {
        if count(outcome) > 0 {
            text += &format!(", {} {word}", count(outcome));
        }
    }
    text
}

fn verdict(drill: &Object<FenceDrill>, status: &FenceDrillStatus) -> (bool, &'static str, String) {
    if drill.spec.cancel == Cancel::Requested {
        return (false, reasons::CANCELLED, format!("cancelled; {}", summary(&status.hosts)));
    }
    let of = |o: DrillOutcome| status.hosts.iter().find(|h| h.outcome == o);
    let told = |h: &DrillHost| format!("{}; {}: {}", summary(&status.hosts), h.host, h.message);
    match (of(DrillOutcome::Failed), of(DrillOutcome::Refused)) {
        _ if status.hosts.is_empty() => {
            (false, reasons::NOT_FOUND, "there is no host to test: the StandbyPool is not there, or has no members".into())
        }
        (Some(failed), _) => (false, reasons::DRILL_FAILED, told(failed)),
        (None, Some(refused)) => (false, reasons::REFUSED, told(refused)),
        (None, None) => (true, reasons::SUCCEEDED, summary(&status.hosts)),
    }
}

struct Run<'a> {
    drill: &'a Object<FenceDrill>,
    env: &'a Env,
    status: FenceDrillStatus,
    also: Vec<Also>,
}

impl Run<'_> {
    fn next(&mut self, seen: &DrillSeen) -> Next {
        if self.drill.spec.cancel == Cancel::Requested {
            return self.cancelled(seen);
        }
        if let Some(why) = &self.env.halted {
            return wait(reasons::RESTORED, why.clone(), 60);
        }
        let cycle = self.drill.spec.depth == DrillDepth::Cycle;
        if cycle && self.env.frozen() {
            return wait(reasons::FROZEN, "ClusterPolicy default has operations: Frozen; `thaw` goes on", 10);
        }
        if let Some(elder) = seen.elder.as_ref().filter(|_| cycle) {
            return wait(reasons::CLAIMED, format!("FenceDrill/{elder} goes first: one host at a time is powered off and on"), 10);
        }
        for host in &seen.hosts {
            if !self.status.hosts.iter().any(|h| h.host == *host) {
                self.status.hosts.push(DrillHost { host: host.clone(), ..DrillHost::default() });
            }
        }
        let mut waits = None;
        for name in unfinished(self.drill, &seen.hosts) {
            let Some(mut tested) = self.status.hosts.iter().find(|h| h.host == name).cloned() else { continue };
            if tested.outcome == DrillOutcome::Pending {
                (tested.outcome, tested.since) = (DrillOutcome::Testing, Some(self.env.now));
            }
            let idle = seen.idle.get(&name).copied().unwrap_or_default();
            match self.turn(&mut tested, seen.members.get(&name), idle) {
                Turn::Wait(reason, message) => {
                    (tested.reason, tested.message) = (reason.into(), message.clone());
                    waits = waits.or(Some((reason, format!("{name}: {message}"))));
                }
                Turn::Step(step) => {
                    (tested.step, tested.since, tested.operation) = (step, Some(self.env.now), String::new());
                    (tested.reason, tested.message) = (reasons::PROGRESSING.into(), String::new());
                    waits = waits.or(Some((reasons::PROGRESSING, format!("{name}: {step:?}"))));
                }
                Turn::Ended(outcome, reason, message) => (tested.outcome, tested.reason, tested.message) = (outcome, reason.into(), message),
            }
            if let Some(known) = self.status.hosts.iter_mut().find(|h| h.host == name) {
                *known = tested;
            }
        }
        match waits {
            Some((reason, message)) => wait(reason, message, LOOK),
            None if self.status.hosts.iter().any(|h| matches!(h.outcome, DrillOutcome::Pending | DrillOutcome::Testing)) => {
                wait(reasons::PROGRESSING, summary(&self.status.hosts), 0)
            }
            None => Next::Finished,
        }
    }

    /// What was made is cancelled as well, and waited for.
    fn cancelled(&mut self, seen: &DrillSeen) -> Next {
        for (host, member) in &seen.members {
            let Some(tested) = self.status.hosts.iter().find(|h| h.host == *host) else { continue };
            if let Fate::Open(what) = operations::fate(member, &tested.operation) {
                self.also.extend(operations::cancel(member, &tested.operation));
                return wait(reasons::SETTLING, format!("cancelled; HostOperation/{} is being settled ({what})", tested.operation), LOOK);
            }
        }
        Next::Finished
    }

    fn turn(&mut self, tested: &mut DrillHost, member: Option<&Member>, idle: IdleState) -> Turn {
        let Some(member) = member else {
            return Turn::Ended(DrillOutcome::Refused, reasons::NOT_FOUND, "there is no such Host; `get hosts` lists them".into());
        };
        let cycle = self.drill.spec.depth == DrillDepth::Cycle;
        // What its pool began ends by itself.
        if let Some(other) = operations::open_of_others(member, &self.env.owner_uid).filter(|o| cycle && !o.metadata.owner_references.is_empty()) {
            return Turn::Wait(reasons::CLAIMED, format!("HostOperation/{} works on it", other.metadata.name));
        }
        if cycle && let Some((reason, message)) = self.refusal(member, tested.step) {
            return Turn::Ended(DrillOutcome::Refused, reason, message);
        }
        let limit = self.env.policy.standby_wake_timeout_seconds;
        let late = tested.since.is_some_and(|at| self.env.seconds_since(at) >= limit);
        let turn = match tested.step {
            DrillStep::Read => self.read(tested, member),
            DrillStep::Off => self.operate(tested, member, HostOperationType::PowerOff, DrillStep::On),
            DrillStep::On => self.operate(tested, member, HostOperationType::PowerOn, DrillStep::Report),
            DrillStep::Report => match lease::alive(member, self.env) {
                Ok(()) => Turn::Step(DrillStep::Back),
                Err(why) => Turn::Wait(reasons::SERVICE_DOWN, why),
            },
            DrillStep::Back => self.back(tested, member, idle),
        };
        match turn {
            Turn::Wait(_, message) if late && tested.step != DrillStep::Read => {
                self.also.extend(operations::cancel(member, &tested.operation));
                Turn::Ended(DrillOutcome::Failed, reasons::DRILL_FAILED, format!("{:?} took longer than {limit} s: {message}", tested.step))
            }
            other => other,
        }
    }

    /// Only an idle standby host is powered off: no guest, no lease, nothing else at work.
    fn refusal(&self, member: &Member, step: DrillStep) -> Option<(&'static str, String)> {
        let name = member.name();
        let Some(mark) = &member.host.status.standby else {
            return Some((reasons::NO_STANDBY_MEMBER, format!("{name} is no member of a StandbyPool; a drill powers only standby hosts off")));
        };
        if let Some(evacuation) = &mark.evacuation {
            return Some((reasons::STANDBY_LEASED, format!("{name} serves Evacuation/{evacuation}")));
        }
        if let Some(evacuation) = &member.open_evacuation {
            return Some((reasons::CLAIMED, format!("Evacuation/{evacuation} works on {name}")));
        }
        if let Some(other) = operations::open_of_others(member, &self.env.owner_uid) {
            return Some((reasons::CLAIMED, format!("HostOperation/{} works on {name}", other.metadata.name)));
        }
        if let Some(refusal) = unfit(member, self.env) {
            return Some(refusal);
        }
        let facts = &member.look.as_ref()?.facts;
        if let Some(guest) = facts.guests.seen().and_then(|g| g.first()) {
            return Some((reasons::GUESTS_RUNNING, format!("{} is on {name}", guest.label())));
        }
        let enabled = facts.service.seen().is_some_and(|s| s.enabled);
        (enabled && step < DrillStep::Back).then(|| (reasons::CLAIMED, format!("{name} takes guests: it is not idle yet")))
    }

    /// Every verified link answers twice, so far apart that it is no echo.
    fn read(&self, tested: &mut DrillHost, member: &Member) -> Turn {
        let links = member.look.as_ref().map(|l| l.facts.links.as_slice()).unwrap_or_default();
        let verified: Vec<&LinkFacts> = links.iter().filter(|l| l.verified).collect();
        if verified.is_empty() {
            let message = format!("no power link of it is verified; run `initialise {}`", member.name());
            return Turn::Ended(DrillOutcome::Failed, reasons::NO_VERIFIED_LINK, message);
        }
        let silent: Vec<String> = verified.iter().filter(|l| l.state.seen().is_none()).map(|l| format!("{}: {}", l.name, l.state.why())).collect();
        let waited = tested.since.map_or(0, |at| self.env.seconds_since(at));
        if !silent.is_empty() {
            let message = silent.join("; ");
            return match waited >= READ_SECONDS {
                true => Turn::Ended(DrillOutcome::Failed, reasons::POWER_UNREADABLE, format!("it cannot be read through {message}")),
                false => Turn::Wait(reasons::POWER_UNREADABLE, message),
            };
        }
        let off = verified.iter().all(|l| l.state.seen() == Some(&PowerState::Off));
        let Some(first) = tested.read_at else {
            (tested.read_at, tested.was_off) = (Some(self.env.now), off);
            return Turn::Wait(reasons::PROGRESSING, "its links answered; they are read once more".into());
        };
        if self.env.seconds_since(first) < PROOF_GAP_SECONDS {
            return Turn::Wait(reasons::PROGRESSING, "its links answered; they are read once more".into());
        }
        tested.was_off &= off;
        if self.drill.spec.depth == DrillDepth::Read {
            let names: Vec<&str> = verified.iter().map(|l| l.name.as_str()).collect();
            return Turn::Ended(DrillOutcome::Passed, reasons::SUCCEEDED, format!("answered twice: {}", names.join(", ")));
        }
        Turn::Step(if tested.was_off { DrillStep::On } else { DrillStep::Off })
    }

    /// Makes the operation, waits for it, and goes on to `then`.
    fn operate(&mut self, tested: &mut DrillHost, member: &Member, what: HostOperationType, then: DrillStep) -> Turn {
        if tested.operation.is_empty() {
            if member.look.as_ref().is_none_or(|l| l.facts.guests.seen().is_none() || l.facts.service.seen().is_none()) {
                return Turn::Wait(reasons::NOVA_UNREADABLE, "its service or its guests cannot be read".into());
            }
            self.create(tested, member, what);
            return Turn::Wait(reasons::PROGRESSING, format!("{what:?} is begun"));
        }
        match operations::fate(member, &tested.operation) {
            Fate::Open(what) => Turn::Wait(reasons::PROGRESSING, format!("HostOperation/{}: {what}", tested.operation)),
            Fate::Done => Turn::Step(then),
            Fate::Gone => Turn::Ended(DrillOutcome::Failed, reasons::NOT_FOUND, format!("HostOperation/{} is gone", tested.operation)),
            Fate::Failed(reason, message) => {
                let refused = reason == reasons::GUESTS_RUNNING;
                let outcome = if refused { DrillOutcome::Refused } else { DrillOutcome::Failed };
                let word = if refused { reasons::GUESTS_RUNNING } else { reasons::DRILL_FAILED };
                Turn::Ended(outcome, word, format!("HostOperation/{} ended with {reason}: {message}", tested.operation))
            }
        }
    }

    fn create(&mut self, tested: &mut DrillHost, member: &Member, what: HostOperationType) {
        let (name, create) = operations::create(member, "drill", what);
        self.also.push(Also::Unchanged { kind: "Host", name: member.name().into(), version: member.host.metadata.revision() });
        self.also.push(create);
        tested.operation = name;
    }

    fn back(&mut self, tested: &mut DrillHost, member: &Member, idle: IdleState) -> Turn {
        let passed = || {
            let message = if tested.was_off { "it read off" } else { "it was powered off" };
            Turn::Ended(DrillOutcome::Passed, reasons::SUCCEEDED, format!("{message}, came up, reported, and is back as it was"))
        };
        if idle == IdleState::Disabled {
            return passed();
        }
        let was_made = !tested.operation.is_empty();
        match operations::fate(member, &tested.operation) {
            Fate::Open(what) => return Turn::Wait(reasons::PROGRESSING, format!("HostOperation/{}: {what}", tested.operation)),
            Fate::Done if power_of(member) == PowerState::Off => return passed(),
            Fate::Failed(reason, message) if reason != reasons::FAILED => {
                let message = format!("HostOperation/{} ended with {reason}: {message}", tested.operation);
                return Turn::Ended(DrillOutcome::Failed, reasons::DRILL_FAILED, message);
            }
            Fate::Done | Fate::Gone | Fate::Failed(..) => {}
        }
        if power_of(member) == PowerState::Off && was_made {
            return passed();
        }
        match rest::power_off(member, self.env) {
            Rest::Operate(what) => {
                self.create(tested, member, what);
                Turn::Wait(reasons::PROGRESSING, format!("{what:?} is begun"))
            }
            Rest::Wait(reason, message) => Turn::Wait(reason, message),
            Rest::There => passed(),
        }
    }
}
