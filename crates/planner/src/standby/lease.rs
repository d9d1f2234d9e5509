//! What becomes of leases: waking a member step by step, in service, and back.

use super::{
    Member,
    member::{Judged, unfit},
    operations::{self, Fate},
    pool::Run,
    rest::{self, Rest},
};
use crate::{
    Env, Fact,
    liveness::{Liveness, liveness},
    proof::state_of,
};
use schemas::v1::{HostOperationType, LeaseState, MemberState, PowerState, StandbyLease, reasons};

/// What comes next for a lease that is waking.
#[derive(Clone, Debug, PartialEq)]
enum Turn {
    /// Nova, Placement and the trait agree.
    Ready,
    /// This operation.
    Operate(HostOperationType),
    /// Something to wait for.
    Wait(String),
    /// It did not come up.
    Failed(String),
    /// It is not to be woken, as its own state says.
    Unfit(&'static str, String),
}

/// Power on → its service beats → enable → the trait is gone. Each is looked at before the next is begun.
fn wake(lease: &StandbyLease, member: &Member, timeout: i64, env: &Env) -> Turn {
    if let Some((reason, message)) = unfit(member, env) {
        return Turn::Unfit(reason, message);
    }
    if let Fate::Failed(reason, message) = operations::fate(member, &lease.operation) {
        return Turn::Failed(format!("HostOperation/{} ended with {reason}: {message}", lease.operation));
    }
    let turn = step(member, env);
    let waited = lease.since.map_or(0, |at| env.seconds_since(at));
    match turn {
        Turn::Wait(what) if waited >= timeout => Turn::Failed(format!("it was not ready after {timeout} s: {what}")),
        other => other,
    }
}

fn step(member: &Member, env: &Env) -> Turn {
    use HostOperationType::{Enable, PowerOn};
    if let Some(evacuation) = &member.open_evacuation {
        return Turn::Wait(format!("Evacuation/{evacuation} works on it"));
    }
    if let Some(open) = operations::open(member) {
        let what = match operations::fate(member, &open.metadata.name) {
            Fate::Open(what) => what,
            _ => String::new(),
        };
        return Turn::Wait(format!("HostOperation/{} works on it ({what})", open.metadata.name));
    }
    let Some(facts) = member.look.as_ref().map(|l| &l.facts) else { return Turn::Wait("it was not looked at".into()) };
    let Some(service) = facts.service.seen() else { return Turn::Wait(format!("Nova cannot be read: {}", facts.service.why())) };
    match state_of(&facts.links) {
        PowerState::Off => return Turn::Operate(PowerOn),
        PowerState::Unknown if !facts.links.is_empty() => return Turn::Wait("its power cannot be read".into()),
        _ => {}
    }
    if service.enabled {
        return match &facts.provider {
            _ if !service.up => Turn::Wait("it is enabled, and its nova-compute is down".into()),
            Fact::Seen(provider, _) if provider.disabled_trait => {
                Turn::Wait("it is enabled, and Placement still shows the trait COMPUTE_STATUS_DISABLED; its nova-compute takes it away".into())
            }
            Fact::Seen(..) => Turn::Ready,
            other => Turn::Wait(format!("Placement cannot be read: {}", other.why())),
        };
    }
    match alive(member, env) {
        Ok(()) => Turn::Operate(Enable),
        Err(why) => Turn::Wait(why),
    }
}

/// Whether its nova-compute reports, by reads of after the last power command alone (S2).
pub(super) fn alive(member: &Member, env: &Env) -> Result<(), String> {
    let Some(facts) = member.look.as_ref().map(|l| &l.facts) else { return Err("it was not looked at".into()) };
    match liveness(facts, env.policy.nova_report_interval_seconds) {
        Liveness::Alive => Ok(()),
        Liveness::Dead => Err("waiting for its nova-compute to report".into()),
        Liveness::InDoubt(why) => Err(format!("waiting for its nova-compute to report: {why}")),
    }
}

impl<'a> Run<'a> {
    /// Every lease, one step further.
    pub(super) fn walk_leases(&mut self, held: bool) {
        let timeout = self.pool.spec.wake_timeout_seconds.unwrap_or(self.env.policy.standby_wake_timeout_seconds);
        for mut lease in std::mem::take(&mut self.status.leased) {
            let Some(member) = self.member(&lease.host) else {
                let note = format!("{} left the pool while it served Evacuation/{}: it is a normal host now", lease.host, lease.evacuation);
                self.tell(true, "StandbyReleased", note);
                continue;
            };
            if !lease.over && self.seen.over.contains(&lease.evacuation_uid) {
                lease.over = true;
                self.evacuation_ended(&mut lease, member);
            }
            if held {
                // The clock of the time-out stands still as well.
                if lease.state == LeaseState::Waking && lease.since.is_none_or(|at| self.env.seconds_since(at) >= 60) {
                    lease.since = Some(self.env.now);
                }
                self.status.leased.push(lease);
                continue;
            }
            if let Some(lease) = self.walk(lease, member, timeout) {
                self.status.leased.push(lease);
            }
        }
    }

    fn evacuation_ended(&mut self, lease: &mut StandbyLease, member: &Member) {
        if lease.state == LeaseState::Waking {
            (lease.state, lease.since) = (LeaseState::Returning, Some(self.env.now));
            return;
        }
        if let Some(shown) = self.status.members.iter_mut().find(|m| m.host == lease.host) {
            shown.empty_since = shown.empty_since.map(|_| self.env.now);
        }
        if let Err(why) = rest::vacant(member) {
            let note = format!(
                "Evacuation/{} has ended, and {} stays in service: {why}. It goes back once it is empty; to keep it, take it out of the pool",
                lease.evacuation, lease.host
            );
            self.tell(true, "StandbyInService", note);
        }
    }

    /// A lease after this pass; `None`: it has ended.
    fn walk(&mut self, mut lease: StandbyLease, member: &'a Member, timeout: i64) -> Option<StandbyLease> {
        let host = lease.host.clone();
        if lease.state == LeaseState::Waking {
            match wake(&lease, member, timeout, self.env) {
                Turn::Ready => {
                    (lease.state, lease.since) = (LeaseState::Ready, Some(self.env.now));
                    self.tell(true, "StandbyReady", format!("{host} takes guests of Evacuation/{}", lease.evacuation));
                }
                Turn::Operate(what) => lease.operation = self.operate(member, what),
                Turn::Wait(what) => self.busy = Some(format!("{host} is being woken for Evacuation/{}: {what}", lease.evacuation)),
                Turn::Unfit(reason, message) => {
                    self.also.extend(operations::cancel(member, &lease.operation));
                    self.tell(true, reason, format!("{host} is not woken for Evacuation/{} after all: {message}", lease.evacuation));
                    return None;
                }
                Turn::Failed(message) => {
                    self.also.extend(operations::cancel(member, &lease.operation));
                    let message = format!("woken for Evacuation/{}: {message}", lease.evacuation);
                    self.fail(&host, reasons::WAKE_FAILED, message.clone());
                    let failed = Judged {
                        state: MemberState::Failed,
                        reason: reasons::WAKE_FAILED,
                        message,
                        free: false,
                        ..self.judged[member.name()].clone()
                    };
                    self.judged.insert(member.name(), failed);
                    return None;
                }
            }
            return Some(lease);
        }
        if lease.state == LeaseState::Ready {
            // It died in service and was fenced: it is nobody's standby before it is back.
            if let Some((reason, message)) = unfit(member, self.env).filter(|(reason, _)| *reason == reasons::FENCED) {
                self.tell(true, reason, format!("{host}, which served Evacuation/{}: {message}", lease.evacuation));
                return None;
            }
            if !lease.over || !self.is_long_empty(&host) {
                return Some(lease);
            }
            (lease.state, lease.since) = (LeaseState::Returning, Some(self.env.now));
        }
        match rest::next(member, self.pool.spec.idle_state, self.env) {
            Rest::There => {
                self.tell(false, "StandbyReturned", format!("{host}, which served Evacuation/{}, is back in the pool", lease.evacuation));
                return None;
            }
            Rest::Operate(what) => lease.operation = self.operate(member, what),
            Rest::Wait(_, what) => self.busy = Some(what),
        }
        Some(lease)
    }
}
