//! What a host needs next.

use super::status;
use crate::{
    ClaimWish, Decision, Env, EventDraft, Fact, Next, Rank,
    contract::wait,
    drain::{self, How},
    empty::{self, Gate},
    facts::{HostFacts, ServiceFacts},
    hold, power,
    proof::{self, state_of},
    service,
    settle::{Settled, settle_all},
};
use schemas::{
    Object, Time,
    v1::{self, GuestsOnPowerOff, HostStatus, PowerState, PowerWish, Schedulable, reasons},
};

/// Seconds until a settled host is looked at again.
const RESYNC: i64 = 300;
/// A declared power-off stays fulfilled until a sign of life, however old its proof; only requests to Nova need a fresh one.
const ANY_AGE: i64 = i64::MAX / 2_000;

type HostObject = Object<v1::Host>;

/// Decides the next step for a host.
pub fn decide(host: &HostObject, facts: &HostFacts, env: &Env) -> Decision<HostStatus> {
    let mut env = env.clone();
    env.evidence = proof::take_in(&env, facts);
    let settled = settle_all(&env, facts);
    let mut status = host.status.clone();
    // Only a pass that comes to the gate keeps the memory of the first one (S9).
    let empty_since = status.empty_since.take();
    let mut run = Run { host, facts, env: &env, status, empty_since, evidence: env.evidence.clone(), events: Vec::new(), claim: ClaimWish::Keep };
    let next = run.next(&settled);
    let next = hold::apply(next, facts, &env);
    let Run { mut status, mut evidence, mut events, claim, .. } = run;
    if let Next::Step(crate::Step::Power { .. }) = &next {
        proof::command_sent(&mut evidence, env.now);
    }
    status::fill(&mut status, host, facts, &env, &evidence, &next);
    if host.status.power.state != status.power.state && host.status.power.state != PowerState::Unknown && status.power.state != PowerState::Unknown {
        events.push(EventDraft { warning: false, reason: "PowerChanged", note: format!("power reads {:?}", status.power.state) });
    }
    Decision { settle: settled.settlements, events, claim, ..Decision::new(status, evidence, next) }
}

struct Run<'a> {
    host: &'a HostObject,
    facts: &'a HostFacts,
    env: &'a Env,
    status: HostStatus,
    /// When the gate's first pass held.
    empty_since: Option<Time>,
    evidence: proof::EvidenceBody,
    events: Vec<EventDraft>,
    claim: ClaimWish,
}

impl Run<'_> {
    fn next(&mut self, settled: &Settled) -> Next {
        if let Fact::Absent(_) = self.facts.service {
            self.release();
            return wait(
                reasons::VANISHED,
                "Nova has no nova-compute service of this name any longer; delete the Host if it is gone for good",
                RESYNC,
            );
        }
        if let Some(owner) = self.env.claimed_by_other() {
            return wait(reasons::CLAIMED, format!("{owner} works on this host"), 30);
        }
        let Some(service) = self.facts.service.seen() else {
            return wait(reasons::NOVA_UNREADABLE, format!("Nova cannot be read: {}", self.facts.service.why()), 10);
        };
        if let Some(latch) = &self.evidence.latch {
            let message = format!(
                "{} fenced this host in epoch {}; `power on {}` or `enable {}` brings it back",
                latch.by, latch.epoch, self.facts.host, self.facts.host
            );
            return wait(reasons::FENCED, message, 60);
        }
        if let Some((reason, message)) = settled.blocking() {
            return wait(reason, message, 2);
        }
        if let Some(step) = drain::finish(self.facts, self.env, settled) {
            self.claim = ClaimWish::Take { rank: Rank::Host as i64, purpose: "drain".into(), max: None };
            return Next::Step(step);
        }
        if let Some(other) = self.env.open_on_host.first() {
            return wait(reasons::CLAIMED, format!("{other} is about to work on this host"), 5);
        }
        match self.host.spec.power {
            PowerWish::Off => self.power_off(service, settled),
            PowerWish::On => self.power_on(service, settled),
            PowerWish::Unmanaged => self.scheduling(service, settled),
        }
    }

    fn release(&mut self) {
        self.claim = if self.env.claim.is_some() { ClaimWish::Release } else { ClaimWish::Keep };
        self.status.soft_off_at = None;
    }

    /// Nothing disruptive while frozen, halted, or under another controller's mark.
    fn held(&self, service: &ServiceFacts, settled: &Settled) -> Option<Next> {
        if let Some(why) = &self.env.halted {
            return Some(wait(reasons::RESTORED, why.clone(), 60));
        }
        if self.env.frozen() {
            return Some(settled.frozen(self.env, 60));
        }
        self.foreign(service)
    }

    fn foreign(&self, service: &ServiceFacts) -> Option<Next> {
        service::foreign(service, &self.env.cluster_uuid).map(service::held_by)
    }

    fn power_off(&mut self, service: &ServiceFacts, settled: &Settled) -> Next {
        let reads_off = state_of(&self.facts.links) == PowerState::Off;
        if reads_off && !service.enabled && proof::proven_off(&self.env.evidence, self.facts, self.env.now, ANY_AGE).is_ok() {
            self.release();
            return Next::Settled { recheck: RESYNC };
        }
        if let Some(held) = self.held(service, settled) {
            return held;
        }
        if state_of(&self.facts.links) == PowerState::Unknown && self.facts.links.iter().any(|l| l.state.is_unknown()) {
            // Nothing is begun that could not be ended, and what cannot be read may be off.
            let blind: Vec<String> =
                self.facts.links.iter().filter(|l| l.state.is_unknown()).map(|l| format!("{}: {}", l.name, l.state.why())).collect();
            return power::unreadable(&blind.join("; "));
        }
        let Some(guests) = self.facts.guests.seen() else {
            return wait(reasons::NOVA_UNREADABLE, format!("guests cannot be listed: {}", self.facts.guests.why()), 5);
        };
        let running = guests.iter().filter(|g| g.may_run()).count();
        if reads_off && running > 0 {
            let message = format!(
                "power reads off, but Nova shows {running} guest(s) as running here; `evacuate {}` brings them back elsewhere",
                self.facts.host
            );
            return wait(drain::BLOCKED, message, 10);
        }
        if reads_off && service.enabled && service.up {
            return wait(reasons::WAITING_FOR_POWER, "power reads off; Nova has not noticed yet", 3);
        }
        self.claim = ClaimWish::Take { rank: Rank::Host as i64, purpose: "drain".into(), max: Some(self.env.policy.max_hosts_draining) };
        if service.enabled {
            self.status.soft_off_at = None;
            self.evidence.disabled_for_power_off = true;
            return Next::Step(service::disable(service, &self.env.cluster_uuid, "declared off"));
        }
        let how = match self.host.spec.guests_on_power_off {
            GuestsOnPowerOff::LiveMigrate => How::LiveMigrate,
            GuestsOnPowerOff::Stop => How::Stop,
            GuestsOnPowerOff::Wait => How::Wait,
        };
        self.status.guests.blocked.clear();
        match drain::drain(self.facts, self.env, settled, how, self.host.spec.stopped_guests) {
            drain::Verdict::Step(step) => {
                self.status.soft_off_at = None;
                return Next::Step(step);
            }
            drain::Verdict::Moving(message) => {
                self.status.soft_off_at = None;
                return wait(reasons::WAITING_FOR_MOVES, message, 2);
            }
            drain::Verdict::Blocked(blocked) => {
                self.status.soft_off_at = None;
                let message = format!("the power-off waits for {} guest(s): {}", blocked.len(), blocked[0]);
                self.status.guests.blocked = blocked;
                return wait(drain::BLOCKED, message, 10);
            }
            drain::Verdict::Unknown(why) => return wait(reasons::NOVA_UNREADABLE, format!("Nova cannot be read: {why}"), 5),
            drain::Verdict::Drained => {}
        }
        self.empty_then_off()
    }

    fn empty_then_off(&mut self) -> Next {
        // Once the power-off was sent the service falls silent; what counts from then on is power.
        let (gate, since) = empty::gate(self.facts, self.env, self.empty_since);
        self.status.empty_since = since;
        match gate {
            Gate::Not(why) => return wait(reasons::PROVING_EMPTY, format!("not proven empty: {why}"), 3),
            Gate::SecondPass(left) => {
                return wait(
                    reasons::PROVING_EMPTY,
                    "no guest runs here; a second look 30 s after the first makes sure that none is on its way",
                    left,
                );
            }
            Gate::Empty => {}
        }
        let timeout = self.host.spec.soft_off_timeout_seconds.unwrap_or(self.env.policy.soft_off_timeout_seconds);
        match power::off(self.facts, self.env, Some(self.status.soft_off_at), timeout) {
            power::Verdict::There => {
                self.events.push(EventDraft {
                    warning: false,
                    reason: "PoweredOff",
                    note: "drained, proven empty, and powered off as declared".into(),
                });
                self.release();
                Next::Settled { recheck: RESYNC }
            }
            power::Verdict::Next(next) => {
                if matches!(&next, Next::Step(crate::Step::Power { command: crate::contract::PowerCommand::SoftOff, .. })) {
                    self.status.soft_off_at = Some(self.env.now);
                }
                next
            }
        }
    }

    fn power_on(&mut self, service: &ServiceFacts, settled: &Settled) -> Next {
        match power::on(self.facts, self.env) {
            power::Verdict::There => self.scheduling(service, settled),
            power::Verdict::Next(next) => {
                if let Some(why) = &self.env.halted {
                    return wait(reasons::RESTORED, why.clone(), 60);
                }
                // Another Cloud Manager may have fenced it, and be rebuilding its guests (S14).
                if let Some(foreign) = self.foreign(service) {
                    return foreign;
                }
                if matches!(next, Next::Step(_)) {
                    self.claim = ClaimWish::Take { rank: Rank::Host as i64, purpose: "power".into(), max: None };
                }
                next
            }
        }
    }

    /// Scheduling as declared; and what the declared power-off had disabled is enabled again (S12).
    fn scheduling(&mut self, service: &ServiceFacts, settled: &Settled) -> Next {
        let ours = service::is_ours(service, &self.env.cluster_uuid);
        if service.enabled || !ours {
            self.evidence.disabled_for_power_off = false;
        }
        // Nova calls a service up for a minute after its host was switched off.
        let reads_on = state_of(&self.facts.links) == PowerState::On;
        // A standby host is enabled by its pool alone.
        let standby = self.host.status.standby.is_some();
        let restore = self.evidence.disabled_for_power_off
            && ours
            && service.up
            && reads_on
            && !standby
            && self.host.spec.schedulable == Schedulable::Unmanaged;
        let wanted = match self.host.spec.schedulable {
            Schedulable::Enabled => Some(true),
            Schedulable::Disabled => Some(false),
            Schedulable::Unmanaged if restore => Some(true),
            Schedulable::Unmanaged => None,
        };
        let step = match wanted {
            Some(true) if !service.enabled => {
                if !service.up || state_of(&self.facts.links) == PowerState::Off {
                    self.release();
                    return wait(reasons::SERVICE_DOWN, "its nova-compute is down, or its power reads off; it is enabled once it reports", 5);
                }
                service::enable(service)
            }
            Some(false) if service.enabled => service::disable(service, &self.env.cluster_uuid, "declared not schedulable"),
            _ => {
                self.release();
                return Next::Settled { recheck: RESYNC };
            }
        };
        if let Some(held) = self.held(service, settled) {
            return held;
        }
        self.claim = ClaimWish::Take { rank: Rank::Host as i64, purpose: "scheduling".into(), max: None };
        Next::Step(step)
    }
}
