//! Bringing a fenced host back (S10): power on → service beats → evacuation records settled →
//! clear forced_down → enable, only if we disabled it.

use crate::{
    Env, Next,
    contract::wait,
    facts::{Beat, HostFacts},
    power,
    proof::Latch,
    service,
};
use schemas::v1::reasons;

/// `None`: the host is back and the latch can go.
pub(super) fn next(facts: &HostFacts, env: &Env, latch: &Latch, may_power_on: bool) -> Option<Next> {
    if let power::Verdict::Next(next) = power::on(facts, env) {
        return Some(match next {
            Next::Step(_) if !may_power_on => wait(reasons::FENCED, format!("the host is off; `power on {}` brings it back", facts.host), 30),
            next => next,
        });
    }
    let Some(service) = facts.service.seen() else {
        return Some(wait(reasons::NOVA_UNREADABLE, format!("Nova cannot be read: {}", facts.service.why()), 5));
    };
    // Forced down, it never looks up; only its row moves (recovery 4.2).
    // What is remembered of before the last power command is of the life that was ended.
    let since = |b: &&Beat| env.evidence.last_command_at.is_none_or(|command| b.at > command);
    let beats = facts.beats.iter().filter(since).any(|b| b.updated_at != service.updated_at);
    if !beats && !service.up {
        return Some(wait(
            reasons::SERVICE_DOWN,
            "waiting for its nova-compute to report; it cleans up guests that were evacuated before it starts any",
            3,
        ));
    }
    let Some(moves) = facts.moves.seen() else {
        return Some(wait(reasons::NOVA_UNREADABLE, format!("migration records cannot be read: {}", facts.moves.why()), 5));
    };
    let from_here = |m: &&crate::facts::Move| m.kind == "evacuation" && m.source.as_deref() == Some(&facts.host);
    if let Some(open) = moves.iter().filter(from_here).find(|m| m.status == "done" || !m.is_final()) {
        let message =
            format!("Nova's evacuation record {} of server {} is {}; nova-compute settles it when it starts", open.id, open.server, open.status);
        return Some(wait(reasons::MOVE_IN_FLIGHT, message, 3));
    }
    if service.forced_down {
        return Some(Next::Step(service::clear_forced_down(service)));
    }
    if !service.enabled && latch.disabled_by_us && service::is_ours(service, &env.cluster_uuid) {
        if !service.up {
            return Some(wait(reasons::SERVICE_DOWN, "waiting until Nova calls its nova-compute up", 2));
        }
        return Some(Next::Step(service::enable(service)));
    }
    None
}
