//! What an evacuation needs next.

mod holding;
mod human;
mod prove;

use super::{guests, path, sending};
use crate::{
    Also, ClaimWish, Decision, Env, EventDraft, Fact, Intent, Next, Rank, Step,
    attestation::{self, Attested},
    contract::{Limit, PowerCommand, wait},
    drain::{self, How},
    facts::{HostFacts, ServiceFacts},
    fencing, power,
    proof::{self, Latch},
    service,
    settle::{Settled, Standing, settle_all},
    status,
};
use schemas::{
    ConditionStatus, Conditions, Object,
    v1::{
        self, Cancel, Cause, EvacuationPath, EvacuationStatus, FencePolicy, Fencing, GuestMove, GuestOutcome, OperationState, StoppedGuests, reasons,
    },
};

/// Times a host is fenced for one evacuation (S5).
const MAX_FENCES: i64 = 2;

enum Turn {
    Next(Next),
    Ended(bool, &'static str, String),
    Cancelled,
}

struct Run<'a> {
    ev: &'a Object<v1::EvacuationKind>,
    facts: &'a HostFacts,
    env: &'a Env,
    status: EvacuationStatus,
    evidence: proof::EvidenceBody,
    events: Vec<EventDraft>,
    claim: ClaimWish,
    limits: Vec<Limit>,
    when_full: Option<(&'static str, String)>,
    also: Vec<Also>,
    /// Why the evidence does not suffice.
    gap: Option<String>,
    /// Proven off in this pass.
    proven: bool,
    /// The attestation that it goes by in this pass.
    attested: Option<Attested>,
}

/// Decides the next step of an evacuation.
pub fn decide(ev: &Object<v1::EvacuationKind>, facts: &HostFacts, env: &Env) -> Decision<EvacuationStatus> {
    let mut status = ev.status.clone();
    if ev.status.finished_at.is_some() {
        return Decision::new(status, env.evidence.clone(), Next::Finished);
    }
    let ev = &holding::as_it_holds(ev, facts);
    let mut env = env.clone();
    holding::set_pace(&mut env.policy, ev);
    env.evidence = proof::take_in(&env, facts);
    let settled = settle_all(&env, facts);
    status.started_at = status.started_at.or(Some(env.now));
    fencing::refresh(&mut status.fencing, facts, env.evidence.epoch);
    let mut run = Run {
        ev,
        facts,
        env: &env,
        status,
        evidence: env.evidence.clone(),
        events: Vec::new(),
        claim: ClaimWish::Keep,
        limits: Vec::new(),
        when_full: None,
        also: Vec::new(),
        gap: None,
        proven: false,
        attested: None,
    };
    let turn = run.turn(&settled);
    let Run { mut status, mut evidence, mut events, mut claim, limits, when_full, mut also, gap, proven, attested, .. } = run;
    let (generation, now) = (ev.metadata.generation, env.now);
    let mut end = |status: &mut EvacuationStatus, ok: bool, reason: &'static str, message: String| {
        status.finished_at = Some(now);
        status.conditions.set("Succeeded", ok.into(), reason, &message, generation, now);
        events.push(EventDraft { warning: !ok, reason, note: message.clone() });
        status.progress = message;
        claim = ClaimWish::Release;
        Next::Finished
    };
    let next = match turn {
        Turn::Next(next) => next,
        Turn::Ended(ok, reason, message) => end(&mut status, ok, reason, message),
        Turn::Cancelled => {
            status.conditions.set("Cancelled", ConditionStatus::True, reasons::CANCELLED, "", generation, now);
            let message = format!("cancelled; {}", summary(&status.guests));
            end(&mut status, false, reasons::CANCELLED, message)
        }
    };
    let told = ev.status.waiting.as_ref().map(|w| w.reason.as_str());
    let (next, event) = human::call(next, &mut status, told, facts, &env);
    events.extend(event);
    if let Next::Step(Step::Power { .. }) = &next {
        proof::command_sent(&mut evidence, now);
    }
    status.observed_generation = generation;
    status.waiting = status::waiting(&next, ev.status.waiting.as_ref(), now);
    status::common(&mut status.conditions, &next, generation, now);
    let by_whom = attested.as_ref().map(|a| format!("L5 Attested: {}, for power epoch {}", a.in_words(), a.epoch)).unwrap_or_default();
    let observed = format!("L3 PowerOff in power epoch {}", evidence.epoch);
    let sufficient = match (&gap, status.path) {
        (Some(why), _) => Some((ConditionStatus::False, "ProofMissing", why.as_str())),
        (None, EvacuationPath::Rebuild) if attested.is_some() => Some((ConditionStatus::True, "Attested", by_whom.as_str())),
        (None, EvacuationPath::Rebuild) if proven => Some((ConditionStatus::True, "PowerOffObserved", observed.as_str())),
        // Not asked in this pass: what was said last stands.
        (None, EvacuationPath::Rebuild) if status.conditions.find("EvidenceSufficient").is_some() => None,
        (None, EvacuationPath::Undecided) => Some((ConditionStatus::Unknown, "Undecided", "")),
        (None, _) => Some((ConditionStatus::Unknown, "NotNeeded", "")),
    };
    if let Some((holds, reason, message)) = sufficient {
        status.conditions.set("EvidenceSufficient", holds, reason, message, generation, now);
    }
    if status.finished_at.is_none() {
        status.conditions.set("Succeeded", ConditionStatus::Unknown, reasons::PROGRESSING, "", generation, now);
        status.progress = match &next {
            Next::Wait { reason, .. } if status.guests.is_empty() => (*reason).into(),
            _ if status.guests.is_empty() => "no guest is moved yet".into(),
            _ => summary(&status.guests),
        };
    }
    if status.finished_at.is_some() {
        attestation::used_up(&mut evidence, &env.owner_uid);
    }
    // Withdrawn before this is written down, it is not gone by.
    let seen = facts.attestation.seen().filter(|a| matches!(next, Next::Step(_)) && attested.as_ref().is_some_and(|by| by.uid == a.uid));
    also.extend(seen.map(|a| Also::Unchanged { kind: "FenceAttestation", name: a.name.clone(), version: a.version }));
    Decision { settle: settled.settlements, events, claim, limits, when_full, also, ..Decision::new(status, evidence, next) }
}

/// `5 of 8 moved, 2 moving, 1 skipped`.
fn summary(guests: &[GuestMove]) -> String {
    if guests.is_empty() {
        return "no guest was moved".into();
    }
    let count = |o: GuestOutcome| guests.iter().filter(|g| g.outcome == o).count();
    let mut text = format!("{} of {} moved", count(GuestOutcome::Moved), guests.len());
    for (outcome, word) in [
        (GuestOutcome::Moving, "moving"),
        (GuestOutcome::Skipped, "skipped"),
        (GuestOutcome::Failed, "failed"),
        (GuestOutcome::NeedsHuman, "need a person"),
    ] {
        if count(outcome) > 0 {
            text += &format!(", {} {word}", count(outcome));
        }
    }
    text
}

impl Run<'_> {
    fn turn(&mut self, settled: &Settled) -> Turn {
        if self.ev.spec.cancel == Cancel::Requested {
            self.update_guests(settled);
            // What only a person can settle is not waited for: its intent stays open on the host.
            let stuck = |i: &Intent| self.status.guests.iter().any(|m| i.action.server() == Some(&m.id) && m.outcome == GuestOutcome::NeedsHuman);
            let mine = settled.open.iter().find(|(i, _)| i.owner_uid == self.env.owner_uid && !stuck(i));
            return match mine {
                Some((intent, _)) => Turn::Next(wait(reasons::SETTLING, format!("cancelled; {} is being settled", intent.step), 2)),
                None => Turn::Cancelled,
            };
        }
        if let Some((owner, uid, rank)) = &self.env.claim
            && *uid != self.env.owner_uid
            && *rank >= Rank::Evacuation as i64
        {
            return Turn::Next(wait(reasons::CLAIMED, format!("{owner} works on this host"), 5));
        }
        let service = match &self.facts.service {
            Fact::Seen(service, _) => service.clone(),
            Fact::Absent(_) => return Turn::Next(wait(reasons::VANISHED, "Nova has no nova-compute service of this name", 30)),
            Fact::Unknown(why) => return Turn::Next(wait(reasons::NOVA_UNREADABLE, format!("Nova cannot be read: {why}"), 3)),
        };
        if let Some(why) = &self.env.halted {
            return Turn::Next(wait(reasons::RESTORED, why.clone(), 60));
        }
        if let Some(uuid) = service::foreign(&service, &self.env.cluster_uuid) {
            return Turn::Next(service::held_by(uuid));
        }
        self.update_guests(settled);
        if self.env.frozen() {
            return Turn::Next(settled.frozen(self.env, 5));
        }
        if let Some((reason, message)) = settled.blocking() {
            return Turn::Next(wait(reason, message, 2));
        }
        if self.ev.spec.cause == Cause::Automatic && path::is_back(&service, &self.status, self.facts, self.env) {
            return Turn::Ended(false, reasons::HOST_RETURNED, "the host reports again; it was not fenced, and nothing was moved".into());
        }
        match path::alive_elsewhere(&self.ev.spec, &self.status, self.facts, self.env) {
            Ok(None) => {}
            Ok(Some(who)) => return Turn::Ended(false, reasons::ALIVE_ELSEWHERE, format!("{who}; it was not fenced, and nothing was moved")),
            Err(next) => return Turn::Next(next),
        }
        if !path::is_fenced_by_us(&self.status, self.env)
            && let Some(turn) = self.held_by_policy()
        {
            return turn;
        }
        match path::choose(&self.ev.spec, &self.status, self.facts, self.env) {
            Err(next) => Turn::Next(next),
            Ok(path) => {
                self.status.path = path;
                if path == EvacuationPath::Drain { self.drain(&service, settled) } else { self.rebuild(&service, settled) }
            }
        }
    }

    fn update_guests(&mut self, settled: &Settled) {
        let mut moves = std::mem::take(&mut self.status.guests);
        for m in &mut moves {
            guests::update(m, &self.ev.spec, self.facts, self.env, settled, self.status.path == EvacuationPath::Rebuild);
        }
        self.status.guests = moves;
    }

    fn take_claim(&mut self, purpose: &str, max: Option<i64>) {
        self.claim = ClaimWish::Take { rank: Rank::Evacuation as i64, purpose: purpose.into(), max };
    }

    // ---- a host that is alive -------------------------------------------------------------

    fn drain(&mut self, service: &ServiceFacts, settled: &Settled) -> Turn {
        self.take_claim("drain", Some(self.env.policy.max_hosts_draining));
        if service.enabled {
            return Turn::Next(Next::Step(service::disable(service, &self.env.cluster_uuid, "evacuated by live migration")));
        }
        self.record_drained();
        match drain::drain(self.facts, self.env, settled, How::LiveMigrate, StoppedGuests::Leave) {
            drain::Verdict::Step(step) => Turn::Next(Next::Step(step)),
            drain::Verdict::Moving(message) => Turn::Next(wait(reasons::WAITING_FOR_MOVES, message, 2)),
            drain::Verdict::Blocked(blocked) => {
                Turn::Next(wait(drain::BLOCKED, format!("{} guest(s) hold it: {}", blocked.len(), blocked.join("; ")), 10))
            }
            drain::Verdict::Unknown(why) => Turn::Next(wait(reasons::NOVA_UNREADABLE, format!("Nova cannot be read: {why}"), 3)),
            drain::Verdict::Drained => Turn::Ended(true, reasons::SUCCEEDED, format!("drained by live migration: {}", summary(&self.status.guests))),
        }
    }

    /// Keeps a record per guest of a drained host as well.
    fn record_drained(&mut self) {
        let Some(guests) = self.facts.guests.seen() else { return };
        let (running, parked): (Vec<_>, Vec<_>) = guests.iter().cloned().partition(|g| g.may_run());
        // A guest that was shut down meanwhile stays where it is, and did not move.
        self.status.guests.retain(|m| !parked.iter().any(|g| g.id == m.id));
        // It is a record only: nothing here depends on what GuestPolicies say.
        guests::enlist(&mut self.status.guests, &running, self.facts, self.env).ok();
        for m in &mut self.status.guests {
            let here = running.iter().any(|g| g.id == m.id);
            let tries: Vec<_> = self.env.intents.iter().filter(|i| i.owner_uid == self.env.owner_uid && i.action.server() == Some(&m.id)).collect();
            m.attempts = tries.len() as i64;
            m.outcome = match (here, tries.iter().any(|i| i.state.is_open())) {
                (_, true) => GuestOutcome::Moving,
                (false, _) => GuestOutcome::Moved,
                (true, false) => GuestOutcome::Pending,
            };
            if m.outcome == GuestOutcome::Moved {
                m.finished_at = m.finished_at.or(Some(self.env.now));
            }
        }
    }

    // ---- a host that is dead, or made so --------------------------------------------------

    fn rebuild(&mut self, service: &ServiceFacts, settled: &Settled) -> Turn {
        self.take_claim("evacuation", None);
        // Once all its guests have come to an end nothing is asked of a host that was fenced for this evacuation, and if it
        // shows life it is not fenced again; without the list nobody can tell (S1).
        if service.forced_down && self.evidence.latch.as_ref().is_some_and(|l| l.by_uid == self.env.owner_uid) {
            if let Err(next) = self.enlist(settled) {
                return Turn::Next(next);
            }
            match guests::is_anyone_left(&self.status.guests, &self.ev.spec, self.facts) {
                Ok(true) => {}
                Ok(false) => return self.end(),
                Err(why) => return Turn::Next(wait(reasons::NOVA_UNREADABLE, why, 3)),
            }
        }
        match path::lives_for_nobody(service, &self.status, self.facts, &self.evidence) {
            Ok(false) => {}
            Ok(true) => return self.end(),
            Err(next) => return Turn::Next(next),
        }
        if let Some(turn) = self.held_by_policy() {
            return turn;
        }
        if let Some(turn) = self.prove_off(settled).or_else(|| self.prove_silent(settled)) {
            return turn;
        }
        let latched = self.evidence.latch.as_ref().is_some_and(|l| l.epoch == self.evidence.epoch);
        if service.enabled || !service.forced_down || !latched {
            return self.fence_in_nova(service);
        }
        if let Err(next) = self.enlist(settled) {
            return Turn::Next(next);
        }
        if let Some(turn) = self.wait_for_attestation() {
            return turn;
        }
        self.send_next(settled)
    }

    /// Takes the guests in that Nova shows on the host.
    fn enlist(&mut self, settled: &Settled) -> Result<(), Next> {
        let Some(guests) = self.facts.guests.seen() else {
            return Err(wait(reasons::NOVA_UNREADABLE, format!("guests cannot be listed: {}", self.facts.guests.why()), 3));
        };
        if self.facts.moves.seen().is_none() {
            return Err(wait(reasons::NOVA_UNREADABLE, format!("migration records cannot be read: {}", self.facts.moves.why()), 3));
        }
        guests::enlist(&mut self.status.guests, guests, self.facts, self.env).map_err(|why| wait(reasons::NOVA_UNREADABLE, why, 3))?;
        self.update_guests(settled);
        Ok(())
    }

    /// Powers it off. `link`: the one that reads on; without, all read off and the service lives.
    fn fence(&mut self, link: Option<&str>, settled: &Settled) -> Turn {
        let host = &self.facts.host;
        if self.ev.spec.fence == FencePolicy::Forbidden {
            let life = link.map_or_else(|| "its service reports".to_string(), |link| format!("power of {host} reads on through {link}"));
            let message = match self.ev.spec.cause {
                Cause::Manual => format!("{life}, and spec.fence is Forbidden; power it off yourself, or evacuate with fence IfNeeded"),
                Cause::Automatic => format!(
                    "{life}, and its RemediationPolicy has evidence.levels.fence: PowerOff, or had when this was begun, so it is never switched off; power it off yourself, or cancel this and `evacuate {host}` by hand"
                ),
            };
            return Turn::Next(wait(reasons::FENCE_FORBIDDEN, message, 10));
        }
        // Life in the middle: accepted requests are waited for before the host is fenced again (S5).
        if let Some((intent, Standing::Open { message, .. })) = settled.moving().next().filter(|_| self.evidence.latch.is_some()) {
            let guest = self.facts.label(intent.action.server().unwrap_or_default());
            return Turn::Next(wait(
                reasons::MOVE_IN_FLIGHT,
                format!("{host} shows life while guests are being rebuilt; no new request: {guest}: {message}"),
                2,
            ));
        }
        // One fence is one epoch; sending the command again within it is not another.
        let new_epoch = self.status.fence_epoch != Some(self.evidence.epoch);
        if new_epoch && self.status.fences >= MAX_FENCES {
            let message = format!(
                "{host} came back to life after it was fenced {MAX_FENCES} times; find out who powers it on, then cancel this evacuation and begin again"
            );
            return Turn::Next(wait(reasons::NEEDS_HUMAN, message, 30));
        }
        let (verdict, told) = match (link, self.fencing()) {
            (Some(_), Ok(rule)) => fencing::off(&rule, self.facts, self.env, &mut self.status.fencing),
            (Some(_), Err(next)) => (power::Verdict::Next(next), None),
            (None, _) => (power::Verdict::Next(power::force_off(self.facts, self.env)), None),
        };
        self.events.extend(told);
        match verdict {
            power::Verdict::There => Turn::Next(wait(reasons::PROVING_OFF, "power reads off; it is read again", 1)),
            power::Verdict::Next(next) => {
                // Asking the operating system is no fence.
                if matches!(next, Next::Step(Step::Power { command: PowerCommand::ForceOff, .. })) && new_epoch {
                    self.status.fences += 1;
                    self.status.fence_epoch = Some(self.evidence.epoch);
                    self.events.push(EventDraft { warning: true, reason: "Fencing", note: format!("{host} is powered off to prove it dead") });
                }
                Turn::Next(next)
            }
        }
    }

    /// How it is switched off.
    fn fencing(&self) -> Result<Fencing, Next> {
        let holds = || match &self.facts.fencing {
            Fact::Unknown(why) => Err(wait(reasons::RETRYING, format!("the RemediationPolicy that holds for the host cannot be read: {why}"), 3)),
            other => Ok(other.seen().cloned().unwrap_or_default()),
        };
        self.ev.spec.fencing.clone().map_or_else(holds, Ok)
    }

    /// The latch is written down before the PUT that it stands for (S10, I21).
    fn fence_in_nova(&mut self, service: &ServiceFacts) -> Turn {
        let ours_before = self.evidence.latch.as_ref().is_some_and(|l| l.disabled_by_us);
        // What an operator disabled through us (Disable, Drain, spec.schedulable) stays disabled on return.
        let disabled_before = self.env.intents.iter().any(|i| {
            let disable = matches!(i.action, Step::NovaService { enabled: Some(false), .. });
            disable && i.owner_uid == self.env.owner_uid && i.state == OperationState::Observed
        });
        let disabled_by_us = ours_before || service.enabled || disabled_before;
        let (by, by_uid) = (self.env.owner.clone(), self.env.owner_uid.clone());
        self.evidence.latch = Some(Latch {
            epoch: self.evidence.epoch,
            by,
            by_uid,
            at: self.env.now,
            disabled_by_us,
            attested: self.attested.as_ref().map(Attested::in_words),
        });
        if !service.enabled && service.forced_down {
            return Turn::Next(wait(reasons::PROGRESSING, "the host is fenced", 0));
        }
        let mut step = service::fence(service, &self.env.cluster_uuid, &format!("fenced by {}", self.env.owner));
        // Who disabled it before keeps the reason; only force down is added.
        if !service.enabled
            && let Step::NovaService { enabled, reason, .. } = &mut step
        {
            (*enabled, *reason) = (None, None);
        }
        Turn::Next(Next::Step(step))
    }

    fn send_next(&mut self, settled: &Settled) -> Turn {
        let moving = settled.moving().filter(|(i, _)| matches!(i.action, Step::Evacuate { .. })).count() as i64;
        if moving < self.env.policy.max_per_host {
            if self.facts.destinations.seen().is_none() && self.status.guests.iter().any(|m| m.outcome == GuestOutcome::Pending) {
                return Turn::Next(wait(
                    reasons::NOVA_UNREADABLE,
                    format!("hosts that could take the guests cannot be read: {}", self.facts.destinations.why()),
                    3,
                ));
            }
            let sending = sending::next(self.ev, &mut self.status, self.facts, self.env, settled);
            self.also.extend(sending.plan);
            if sending.by_attestation
                && self.attested.is_none()
                && let Some(attested) = self.env.evidence.attested.clone()
            {
                self.go_by(attested);
            }
            if let Some(step) = sending.step {
                self.limits = vec![
                    Limit { step_prefix: "Evacuate/", this_host: false, max: self.env.policy.max_evacuations, reason: reasons::EVACUATION_LIMIT },
                    Limit { step_prefix: "Evacuate/", this_host: true, max: self.env.policy.max_per_host, reason: reasons::EVACUATION_LIMIT },
                ];
                // Places that its own guests hold for a person are not waited for in silence.
                let stuck = self.status.guests.iter().find(|m| m.outcome == GuestOutcome::NeedsHuman);
                self.when_full = stuck.map(|m| {
                    let what =
                        "as long as that is not settled it keeps a place (maxEvacuations, maxPerHost of ClusterPolicy default), and none is free";
                    (reasons::NEEDS_HUMAN, format!("{} ({}): {}; {what}", m.name, m.id, m.message))
                });
                return Turn::Next(Next::Step(step));
            }
        }
        // Requests of an earlier evacuation; what becomes of this one's own is told below.
        let own = |m: &GuestMove| matches!(m.outcome, GuestOutcome::Moving | GuestOutcome::NeedsHuman);
        if moving >= self.env.policy.max_per_host && !self.status.guests.iter().any(own) {
            let message = format!(
                "{moving} evacuations of this host are not settled (maxPerHost {}); `get operations` shows them",
                self.env.policy.max_per_host
            );
            return Turn::Next(wait(reasons::EVACUATION_LIMIT, message, 10));
        }
        let guests = &self.status.guests;
        let of = |o: GuestOutcome| guests.iter().find(|m| m.outcome == o);
        if let Some(m) = of(GuestOutcome::Moving) {
            return Turn::Next(wait(reasons::WAITING_FOR_MOVES, format!("{} ({}): {}", m.name, m.id, m.message), 1));
        }
        if let Some(m) = of(GuestOutcome::NeedsHuman) {
            return Turn::Next(wait(reasons::NEEDS_HUMAN, format!("{} ({}): {}", m.name, m.id, m.message), 10));
        }
        if let Some(m) = of(GuestOutcome::Pending) {
            let (reason, recheck) = [
                (reasons::NOVA_UNREADABLE, 10),
                (reasons::MOVE_IN_FLIGHT, 10),
                (reasons::RETRYING, 10),
                (reasons::GROUP_PAUSE, 2),
                (reasons::REPLANNING, 2),
                (reasons::WAITING_FOR_MOVES, 2),
                (reasons::EVIDENCE_MISSING, 5),
                (reasons::PROVING_OFF, 2),
            ]
            .into_iter()
            .find(|(r, _)| m.reason == *r)
            .unwrap_or((reasons::NO_DESTINATION, 10));
            let standby = self.facts.standby.as_ref().filter(|_| reason == reasons::NO_DESTINATION).map_or(String::new(), |s| format!("; {s}"));
            return Turn::Next(wait(reason, format!("{} ({}): {}{standby}", m.name, m.id, m.message), recheck));
        }
        self.end()
    }

    fn end(&self) -> Turn {
        let guests = &self.status.guests;
        let left_behind = [reasons::LOCAL_DISK, reasons::CANNOT_EVACUATE, reasons::SERVER_GROUP];
        let bad = guests.iter().find(|m| m.outcome == GuestOutcome::Failed || left_behind.contains(&m.reason.as_str()));
        match bad {
            Some(m) => Turn::Ended(false, reasons::FAILED, format!("{}; {} ({}): {}", summary(guests), m.name, m.id, m.message)),
            None => Turn::Ended(true, reasons::SUCCEEDED, summary(guests)),
        }
    }
}
