//! What a host operation needs next.

use super::returning;
use crate::{
    Also, ClaimWish, Decision, Env, EventDraft, Next, Rank, Step,
    contract::{PowerCommand, wait},
    drain::{self, How},
    empty::{self, Gate},
    facts::{HostFacts, ServiceFacts},
    fencing, hold, power, proof, service,
    settle::{Settled, Standing, settle_all},
    status,
};
use schemas::{
    ConditionStatus, Conditions, Object, Time,
    v1::{self, Cancel, HostOperationStatus, HostOperationType, OffVm, RunningGuests, reasons},
};

pub(super) struct Run<'a> {
    pub op: &'a Object<v1::HostOperation>,
    pub facts: &'a HostFacts,
    pub env: &'a Env,
    pub status: HostOperationStatus,
    /// When the gate's first pass held.
    pub empty_since: Option<Time>,
    pub evidence: proof::EvidenceBody,
    pub also: Vec<Also>,
    pub claim: ClaimWish,
    pub events: Vec<EventDraft>,
}

/// Where an operation stands.
pub(super) enum Turn {
    Next(Next),
    Succeeded(String),
    Failed(&'static str, String),
    Cancelled,
}

/// Decides the next step of a host operation.
pub fn decide(op: &Object<v1::HostOperation>, facts: &HostFacts, env: &Env) -> Decision<HostOperationStatus> {
    let mut status = op.status.clone();
    if op.status.finished_at.is_some() {
        return Decision::new(status, env.evidence.clone(), Next::Finished);
    }
    let mut env = env.clone();
    env.evidence = proof::take_in(&env, facts);
    if op.spec.former_leader == v1::FormerLeader::Gone {
        // Stated by whoever created the operation (S8).
        env.evidence.hold = None;
    }
    let settled = settle_all(&env, facts);
    status.started_at = status.started_at.or(Some(env.now));
    fencing::refresh(&mut status.fencing, facts, env.evidence.epoch);
    // Only a pass that comes to the gate keeps the memory of the first one (S9).
    let empty_since = status.empty_since.take();
    let mut run = Run {
        op,
        facts,
        env: &env,
        status,
        empty_since,
        evidence: env.evidence.clone(),
        also: Vec::new(),
        claim: ClaimWish::Keep,
        events: Vec::new(),
    };
    let turn = run.turn(&settled);
    let Run { mut status, mut evidence, also, mut claim, mut events, .. } = run;
    let generation = op.metadata.generation;
    let mut end = |status: &mut HostOperationStatus, ok: bool, reason: &'static str, message: &str| {
        status.finished_at = Some(env.now);
        status.progress = message.into();
        status.conditions.set("Succeeded", ok.into(), reason, message, generation, env.now);
        events.push(EventDraft { warning: !ok, reason, note: format!("{:?}: {message}", op.spec.r#type) });
        claim = ClaimWish::Release;
        Next::Finished
    };
    let next = match turn {
        // What is half done while frozen ends, and nothing is taken away for it.
        Turn::Next(Next::Step(step)) if env.frozen() && step.is_disruptive() => settled.frozen(&env, 30),
        Turn::Next(next) => hold::apply(next, facts, &env),
        Turn::Succeeded(message) => end(&mut status, true, reasons::SUCCEEDED, &message),
        Turn::Failed(reason, message) => end(&mut status, false, reason, &message),
        Turn::Cancelled => {
            status.conditions.set("Cancelled", ConditionStatus::True, reasons::CANCELLED, "", generation, env.now);
            end(&mut status, false, reasons::CANCELLED, "cancelled; what was begun has been settled")
        }
    };
    if let Next::Step(Step::Power { .. }) = &next {
        proof::command_sent(&mut evidence, env.now);
    }
    status.observed_generation = generation;
    status.waiting = status::waiting(&next, op.status.waiting.as_ref(), env.now);
    status::common(&mut status.conditions, &next, generation, env.now);
    if status.finished_at.is_none() {
        status.conditions.set("Succeeded", ConditionStatus::Unknown, reasons::PROGRESSING, "", generation, env.now);
        status.progress = match &next {
            Next::Step(step) => step.name(),
            Next::Wait { reason, .. } => (*reason).into(),
            _ => status.progress,
        };
    }
    Decision { settle: settled.settlements, events, claim, also, ..Decision::new(status, evidence, next) }
}

impl Run<'_> {
    fn turn(&mut self, settled: &Settled) -> Turn {
        use HostOperationType::*;
        if self.op.spec.cancel == Cancel::Requested {
            // What only a person can settle is not waited for: its intent stays open on the host.
            let waits = |standing: &Standing| matches!(standing, Standing::Open { needs_human: false, .. });
            let mine = settled.open.iter().find(|(i, standing)| i.owner_uid == self.env.owner_uid && waits(standing));
            if self.env.claimed_by_other().is_none()
                && let Some(step) = drain::finish(self.facts, self.env, settled)
            {
                self.claim = ClaimWish::Take { rank: Rank::HostOperation as i64, purpose: "operation".into(), max: None };
                return Turn::Next(Next::Step(step));
            }
            if mine.is_none()
                && let Some(next) = self.give_power_back()
            {
                return Turn::Next(next);
            }
            return match mine {
                None => Turn::Cancelled,
                Some((intent, _)) => Turn::Next(wait(reasons::SETTLING, format!("cancelled; {} is being settled", intent.step), 2)),
            };
        }
        if let Some((owner, uid, rank)) = &self.env.claim
            && *uid != self.env.owner_uid
            && *rank >= Rank::HostOperation as i64
        {
            return Turn::Next(wait(reasons::CLAIMED, format!("{owner} works on this host"), 5));
        }
        let Some(service) = self.facts.service.seen() else {
            return Turn::Next(match &self.facts.service {
                crate::Fact::Absent(_) => wait(reasons::VANISHED, "Nova has no nova-compute service of this name", 30),
                other => wait(reasons::NOVA_UNREADABLE, format!("Nova cannot be read: {}", other.why()), 5),
            });
        };
        if let Some(why) = &self.env.halted {
            return Turn::Next(wait(reasons::RESTORED, why.clone(), 60));
        }
        let kind = self.op.spec.r#type;
        let disruptive = !matches!(kind, PowerOn | Enable) || self.is_automatic();
        if self.env.frozen() && disruptive && !self.is_halfway() {
            return Turn::Next(settled.frozen(self.env, 30));
        }
        // Also bringing it back is not ours: the other one may be rebuilding its guests (S14).
        if let Some(uuid) = service::foreign(service, &self.env.cluster_uuid) {
            return Turn::Next(service::held_by(uuid));
        }
        if let Some((reason, message)) = settled.blocking() {
            return Turn::Next(wait(reason, message, 2));
        }
        // A StandbyPool or a FenceDrill is nobody who may bring a fenced host back.
        let by_person = self.op.metadata.owner_references.is_empty();
        if self.evidence.latch.is_some() && !(by_person && matches!(kind, PowerOn | Enable)) {
            return Turn::Failed(
                reasons::FENCED,
                format!("the host is fenced; `power on {0}` or `enable {0}` brings it back first", self.facts.host),
            );
        }
        if self.is_automatic()
            && let Some(turn) = self.before_automatic(service)
        {
            return turn;
        }
        let max = matches!(kind, Drain | Shutdown).then_some(self.env.policy.max_hosts_draining);
        let purpose = if max.is_some() { "drain" } else { "operation" };
        self.claim = ClaimWish::Take { rank: Rank::HostOperation as i64, purpose: purpose.into(), max };
        match kind {
            PowerOn => self.power_on(),
            Enable => self.enable(service),
            Disable => match service.enabled {
                true => Turn::Next(Next::Step(service::disable(service, &self.env.cluster_uuid, &self.on_behalf()))),
                false => Turn::Succeeded("the Nova service is disabled".into()),
            },
            PowerOff => self.power_off(service, None),
            SoftOff => self.power_off(service, Some(self.status.soft_off_at)),
            PowerCycle => self.power_cycle(service),
            Drain => self
                .drain(service, settled, How::LiveMigrate)
                .unwrap_or_else(|| Turn::Succeeded("drained; the Nova service stays disabled until Enable".into())),
            Shutdown => self.shutdown(service, settled),
            Initialise => self.initialise(service),
        }
    }

    /// Who wanted it disabled.
    fn on_behalf(&self) -> String {
        let owner = self.op.metadata.owner_references.first();
        owner.map_or("disabled by an operator".into(), |o| format!("standby of {}/{}", o.kind, o.name))
    }

    fn power_on(&mut self) -> Turn {
        if let Some(latch) = self.evidence.latch.clone() {
            return match returning::next(self.facts, self.env, &latch, true) {
                Some(next) => Turn::Next(self.once_steady(next)),
                None => {
                    self.evidence.latch = None;
                    Turn::Succeeded("the host is back".into())
                }
            };
        }
        match power::on(self.facts, self.env) {
            power::Verdict::There => Turn::Succeeded("power reads on".into()),
            power::Verdict::Next(next) => Turn::Next(next),
        }
    }

    fn enable(&mut self, service: &ServiceFacts) -> Turn {
        if let Some(latch) = self.evidence.latch.clone() {
            if let Some(next) = returning::next(self.facts, self.env, &latch, false) {
                return Turn::Next(self.once_steady(next));
            }
            self.evidence.latch = None;
            // Who disabled it before it was fenced decides when it is enabled.
            if self.is_automatic() {
                return Turn::Succeeded("the host is back".into());
            }
        }
        if !service.enabled {
            let next = self.once_steady(Next::Step(service::enable(service)));
            return Turn::Next(next);
        }
        Turn::Succeeded("the Nova service is enabled".into())
    }

    /// Off without draining. With `runningGuests: Refuse` the host must be proven empty first (S9, S12).
    fn power_off(&mut self, service: &ServiceFacts, soft: Option<Option<Time>>) -> Turn {
        if self.op.spec.running_guests == RunningGuests::Refuse
            && let Some(turn) = self.require_empty(service)
        {
            return turn;
        }
        let timeout = self.env.policy.soft_off_timeout_seconds;
        if let Some(Some(sent)) = soft
            && self.env.seconds_since(sent) >= timeout
            && proof::state_of(&self.facts.links) == v1::PowerState::On
        {
            return Turn::Failed(reasons::FAILED, format!("the operating system did not shut down within {timeout} s; use PowerOff"));
        }
        // Whoever asks for a soft power-off never gets a hard one.
        let op = self.op;
        let verdict = match op.spec.fencing.as_ref().filter(|_| op.spec.r#type == HostOperationType::PowerCycle) {
            Some(rule) => {
                let (verdict, told) = fencing::off(rule, self.facts, self.env, &mut self.status.fencing);
                self.events.extend(told);
                verdict
            }
            None => power::off(self.facts, self.env, soft, power::NEVER),
        };
        match verdict {
            power::Verdict::There => Turn::Succeeded("power is proven off".into()),
            power::Verdict::Next(next) => {
                self.note_soft_off(&next);
                Turn::Next(next)
            }
        }
    }

    fn note_soft_off(&mut self, next: &Next) {
        if matches!(next, Next::Step(Step::Power { command: PowerCommand::SoftOff, .. })) {
            self.status.soft_off_at = Some(self.env.now);
        }
    }

    fn require_empty(&mut self, service: &ServiceFacts) -> Option<Turn> {
        let Some(guests) = self.facts.guests.seen() else {
            return Some(Turn::Next(wait(reasons::NOVA_UNREADABLE, format!("guests cannot be listed: {}", self.facts.guests.why()), 5)));
        };
        let running: Vec<String> = guests.iter().filter(|g| g.may_run()).map(|g| g.label()).collect();
        if !running.is_empty() {
            let (named, others) = running.split_at(running.len().min(3));
            let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            let message = format!(
                "{} guest(s) run on the host ({}{more}); `drain {}` first, or set runningGuests: Kill",
                running.len(),
                named.join(", "),
                self.facts.host
            );
            return Some(Turn::Failed(reasons::GUESTS_RUNNING, message));
        }
        if service.enabled {
            self.evidence.disabled_for_power_off = true;
            return Some(Turn::Next(Next::Step(service::disable(service, &self.env.cluster_uuid, "to be powered off"))));
        }
        self.gate()
    }

    /// `None`: both passes of S9 hold.
    fn gate(&mut self) -> Option<Turn> {
        let (gate, since) = empty::gate(self.facts, self.env, self.empty_since);
        self.status.empty_since = since;
        Some(Turn::Next(match gate {
            Gate::Empty => return None,
            Gate::Not(why) => wait(reasons::PROVING_EMPTY, format!("not proven empty: {why}"), 3),
            Gate::SecondPass(left) => {
                wait(reasons::PROVING_EMPTY, "no guest runs here; a second look 30 s after the first makes sure that none is on its way", left)
            }
        }))
    }

    fn power_cycle(&mut self, service: &ServiceFacts) -> Turn {
        if !self.status.steps.iter().any(|s| s == "off") {
            match self.power_off(service, None) {
                Turn::Succeeded(_) => self.status.steps.push("off".into()),
                other => return other,
            }
        }
        match power::on(self.facts, self.env) {
            power::Verdict::There => Turn::Succeeded("power was proven off and reads on again".into()),
            power::Verdict::Next(next) => Turn::Next(next),
        }
    }

    /// `None`: drained.
    fn drain(&mut self, service: &ServiceFacts, settled: &Settled, how: How) -> Option<Turn> {
        if service.enabled {
            self.status.soft_off_at = None;
            return Some(Turn::Next(Next::Step(service::disable(service, &self.env.cluster_uuid, "drained"))));
        }
        self.status.left.clear();
        let verdict = drain::drain(self.facts, self.env, settled, how, self.op.spec.stopped_guests);
        if matches!(verdict, drain::Verdict::Step(_) | drain::Verdict::Moving(_) | drain::Verdict::Blocked(_)) {
            self.status.soft_off_at = None;
        }
        Some(match verdict {
            drain::Verdict::Step(step) => Turn::Next(Next::Step(step)),
            drain::Verdict::Moving(message) => Turn::Next(wait(reasons::WAITING_FOR_MOVES, message, 2)),
            drain::Verdict::Unknown(why) => Turn::Next(wait(reasons::NOVA_UNREADABLE, format!("Nova cannot be read: {why}"), 5)),
            drain::Verdict::Drained => return None,
            drain::Verdict::Blocked(blocked) => {
                let message = format!("{} guest(s) hold it: {}", blocked.len(), blocked[0]);
                self.status.left = blocked;
                Turn::Next(wait(drain::BLOCKED, message, 10))
            }
        })
    }

    fn shutdown(&mut self, service: &ServiceFacts, settled: &Settled) -> Turn {
        let how = match self.op.spec.allow_off_vm {
            OffVm::Forbid => How::LiveMigrate,
            OffVm::Allow => How::LiveMigrateElseStop,
        };
        // On its way down nothing can be migrated off it any longer.
        let going_down = self.status.soft_off_at.is_some() && proof::state_of(&self.facts.links) != v1::PowerState::On;
        if !going_down && let Some(turn) = self.drain(service, settled, how) {
            return turn;
        }
        if let Some(turn) = self.gate() {
            return turn;
        }
        match power::off(self.facts, self.env, Some(self.status.soft_off_at), self.env.policy.soft_off_timeout_seconds) {
            power::Verdict::There => Turn::Succeeded("drained, proven empty, and proven off".into()),
            power::Verdict::Next(next) => {
                self.note_soft_off(&next);
                Turn::Next(next)
            }
        }
    }
}
