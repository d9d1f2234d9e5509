//! What a host's status says, from facts alone.

use crate::{
    Env, Fact, Next,
    facts::HostFacts,
    liveness::liveness,
    proof::{self, EvidenceBody},
    status,
};
use schemas::{
    ConditionStatus, Conditions, Object,
    v1::{self, FenceStatus, GuestSummary, HostClaim, HostStatus, LinkState, NovaStatus, PowerState, reasons},
};

/// Fills the status in.
pub fn fill(s: &mut HostStatus, host: &Object<v1::Host>, facts: &HostFacts, env: &Env, evidence: &EvidenceBody, next: &Next) {
    let generation = host.metadata.generation;
    s.observed_generation = generation;
    s.waiting = status::waiting(next, host.status.waiting.as_ref(), env.now);
    nova(s, facts, env);
    power(s, facts);
    guests(s, facts);
    s.epoch = evidence.epoch;
    s.fence = evidence.latch.as_ref().map(|l| FenceStatus { epoch: l.epoch, by: l.by.clone(), disabled_by_us: l.disabled_by_us });
    s.claim =
        env.claim.as_ref().filter(|(_, uid, _)| *uid != env.owner_uid).map(|(owner, ..)| HostClaim { owner: owner.clone(), purpose: String::new() });
    status::common(&mut s.conditions, next, generation, env.now);
    let attested = evidence.latch.as_ref().and_then(|l| l.attested.clone());
    let (nova, power, fence, now) = (s.nova.clone(), s.power.state, s.fence.clone(), env.now);
    let mut set = |kind: &str, status: ConditionStatus, reason: &str, message: &str| s.conditions.set(kind, status, reason, message, generation, now);
    match &facts.service {
        Fact::Seen(x, _) => set("Reachable", x.up.into(), if x.up { "ServiceUp" } else { reasons::SERVICE_DOWN }, "nova-compute as Nova reports it"),
        Fact::Absent(_) => set("Reachable", ConditionStatus::Unknown, reasons::VANISHED, ""),
        Fact::Unknown(why) => set("Reachable", ConditionStatus::Unknown, reasons::NOVA_UNREADABLE, why),
    }
    match power {
        PowerState::On => set("PoweredOn", ConditionStatus::True, "ReadsOn", ""),
        PowerState::Off => set("PoweredOn", ConditionStatus::False, "ReadsOff", ""),
        PowerState::Unknown => set("PoweredOn", ConditionStatus::Unknown, reasons::POWER_UNREADABLE, ""),
    }
    match &fence {
        Some(f) => {
            let (level, by) = attested.map_or(("PowerOffObserved", String::new()), |a| ("AttestedByHuman", format!(", on {a}")));
            set("Fenced", ConditionStatus::True, level, &format!("by {} in epoch {}{by}", f.by, f.epoch));
        }
        None => set("Fenced", ConditionStatus::False, "NotFenced", ""),
    }
    let schedulable = nova.as_ref().map_or(ConditionStatus::Unknown, |n| (n.status == "enabled" && n.state == "up").into());
    set("Schedulable", schedulable, "AsNovaReports", "");
}

fn nova(s: &mut HostStatus, facts: &HostFacts, env: &Env) {
    let word = |yes: bool, a: &str, b: &str| if yes { a.to_string() } else { b.to_string() };
    match &facts.service {
        Fact::Seen(x, _) => {
            s.nova = Some(NovaStatus {
                service_id: x.id.clone(),
                state: word(x.up, "up", "down"),
                status: word(x.enabled, "enabled", "disabled"),
                forced_down: x.forced_down,
                disabled_reason: x.disabled_reason.clone(),
                zone: x.zone.clone(),
                liveness: liveness(facts, env.policy.nova_report_interval_seconds).word().into(),
            });
        }
        Fact::Absent(_) => s.nova = None,
        Fact::Unknown(_) => {
            if let Some(nova) = &mut s.nova {
                nova.state = "unknown".into();
                nova.status = "unknown".into();
                nova.liveness = "InDoubt".into();
            }
        }
    }
}

fn power(s: &mut HostStatus, facts: &HostFacts) {
    s.power.state = proof::state_of(&facts.links);
    s.power.links = facts
        .links
        .iter()
        .map(|l| LinkState {
            name: l.name.clone(),
            state: l.state.seen().copied().unwrap_or(PowerState::Unknown),
            verified: l.verified,
            error: l.state.is_unknown().then(|| l.state.why().to_string()),
        })
        .collect();
}

fn guests(s: &mut HostStatus, facts: &HostFacts) {
    let blocked = std::mem::take(&mut s.guests.blocked);
    let Some(guests) = facts.guests.seen() else {
        s.guests = GuestSummary { total: None, ..s.guests.clone() };
        return;
    };
    let count = |f: &dyn Fn(&str) -> bool| guests.iter().filter(|g| f(&g.vm_state)).count() as i64;
    s.guests = GuestSummary {
        total: Some(guests.len() as i64),
        running: count(&|v| v == "active"),
        stopped: count(&|v| v == "stopped"),
        error: count(&|v| v == "error"),
        other: count(&|v| !matches!(v, "active" | "stopped" | "error")),
        blocked,
    };
}
