//! What a restart or a return asks for that no person asked for.

use super::decide::{Run, Turn};
use crate::{
    Intent, Next, Step,
    contract::{PowerCommand, wait},
    evacuation::guests::may_run_on,
    facts::ServiceFacts,
    liveness::{Liveness, liveness},
    remediation::{Begin, channels},
};
use schemas::v1::{Action, Cause, HostOperationType, OperationState, reasons};

impl Run<'_> {
    pub(super) fn is_automatic(&self) -> bool {
        self.op.spec.cause == Cause::Automatic
    }

    /// Whether a host is being switched off and on, and its power-off may have been sent, or its operating system been asked to shut
    /// down: left there it would stay off.
    pub(super) fn is_halfway(&self) -> bool {
        let power = |i: &&Intent| i.owner_uid == self.env.owner_uid && matches!(i.action, Step::Power { .. });
        let off = |i: &&Intent| power(i) && matches!(i.action, Step::Power { command: PowerCommand::ForceOff, .. });
        let noted = self.status.steps.iter().any(|s| s == "off");
        match self.op.spec.r#type {
            HostOperationType::PowerCycle => noted || self.env.intents.iter().any(|i| power(&i) && !i.never_left()),
            // One that was refused is decided anew, with what comes before it.
            HostOperationType::Initialise => noted && self.env.intents.iter().rfind(off).is_none_or(|i| i.state != OperationState::Refused),
            _ => false,
        }
    }

    /// What has to hold for an operation that nobody asked for. `None`: it does.
    pub(super) fn before_automatic(&self, service: &ServiceFacts) -> Option<Turn> {
        match self.op.spec.r#type {
            // Back in service there is nothing left that a policy could forbid.
            HostOperationType::PowerOn | HostOperationType::Enable if service.enabled && !service.forced_down => self.one_fence(),
            HostOperationType::PowerOn => self.one_fence().or_else(|| self.return_held_by_policy(Begin::PowerOn)),
            HostOperationType::Enable => self.one_fence().or_else(|| self.return_held_by_policy(Begin::Enable)),
            HostOperationType::PowerCycle if self.is_halfway() => None,
            HostOperationType::PowerCycle => self.dead_still(service).or_else(|| self.restart_held_by_policy()),
            _ => None,
        }
    }

    /// It releases one fence: that of the evacuation it follows (S10).
    fn one_fence(&self) -> Option<Turn> {
        match &self.evidence.latch {
            None => Some(Turn::Succeeded("the host is not fenced any longer".into())),
            Some(latch) if self.op.spec.returns_from.as_ref() == Some(&latch.by) => None,
            Some(latch) => Some(Turn::Failed(reasons::FENCED, format!("{} has fenced the host since; a person brings it back", latch.by))),
        }
    }

    /// Before it is switched off it has to be dead, as before an evacuation fences it (S2), and no guest may be on its way: Nova
    /// may start guests when it boots, and one that has arrived elsewhere would run twice (S6).
    fn dead_still(&self, service: &ServiceFacts) -> Option<Turn> {
        let back = || Turn::Failed(reasons::HOST_RETURNED, "the host reports again; it was not switched off".into());
        match liveness(self.facts, self.env.policy.nova_report_interval_seconds) {
            Liveness::Dead => {}
            Liveness::Alive => return Some(back()),
            Liveness::InDoubt(_) if service.up => return Some(back()),
            Liveness::InDoubt(why) => return Some(Turn::Next(wait(reasons::IN_DOUBT, format!("neither alive nor dead: {why}"), 1))),
        }
        // What was begun on one look is not done on that look alone: it may have waited since, and a channel have spoken.
        let rule = self.facts.holding.seen().map(|holding| holding.spec.evidence.clone()).or(self.op.spec.evidence.clone()).unwrap_or_default();
        match channels::objection(&self.facts.channels, &rule, Action::Restart, self.env.now) {
            Ok(None) => {}
            Ok(Some(who)) => return Some(Turn::Failed(reasons::ALIVE_ELSEWHERE, format!("{who}; it was not switched off"))),
            Err(next) => return Some(Turn::Next(next)),
        }
        let unread = [("guests", self.facts.guests.why()), ("migration records", self.facts.moves.why())];
        if let Some((what, why)) = unread.into_iter().find(|(_, why)| !why.is_empty()) {
            return Some(Turn::Next(wait(reasons::NOVA_UNREADABLE, format!("{what} cannot be read: {why}"), 3)));
        }
        let where_to = self.guest_elsewhere()?;
        let message = format!("booting the host might start a guest that runs elsewhere; its evacuation settles that first (S6): {where_to}");
        Some(Turn::Failed(reasons::MOVE_IN_FLIGHT, message))
    }

    /// A guest that may run, or come to run, on another host although Nova shows it here.
    fn guest_elsewhere(&self) -> Option<String> {
        // A record that is `finished` waits for its user, with the guest at its destination.
        let open = self.facts.moves.seen().into_iter().flatten().find(|m| !m.is_final() && m.status != "finished");
        if let Some(open) = open {
            return Some(format!("Nova's {} record {} of server {} is {}", open.kind, open.id, open.server, open.status));
        }
        self.facts.guests.seen().into_iter().flatten().find_map(|guest| {
            if guest.task_state.as_deref() == Some("migrating") {
                return Some(format!("{} is migrating, and no record says where to", guest.label()));
            }
            may_run_on(guest, self.facts).map(|there| format!("{} may be running on {there}", guest.label()))
        })
    }

    /// Enables the service only after Nova has called it up for `spec.steadySeconds`.
    pub(super) fn once_steady(&mut self, next: Next) -> Next {
        let up = self.facts.service.seen().is_some_and(|s| s.up);
        self.status.up_since = up.then(|| self.status.up_since.unwrap_or(self.env.now));
        let enables = matches!(next, Next::Step(Step::NovaService { enabled: Some(true), .. }));
        let steady = self.op.spec.steady_seconds;
        let left = steady - self.status.up_since.map_or(0, |since| self.env.seconds_since(since));
        if !enables || left <= 0 {
            return next;
        }
        wait(reasons::PROVING_UP, format!("its service has to be up for {steady} s before it is enabled"), left.min(5))
    }
}
