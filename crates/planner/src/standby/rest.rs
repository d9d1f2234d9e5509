//! Putting an empty member back to how the pool keeps idle ones.

use super::{Member, operations};
use crate::{Env, empty::no_stranger, proof::state_of};
use schemas::{
    Conditions,
    v1::{HostOperationType, IdleState, PowerState, reasons},
};

/// A power-off that failed is tried again after so many seconds.
const AGAIN_SECONDS: i64 = 120;

/// What is missing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rest {
    /// Nothing.
    There,
    /// This operation.
    Operate(HostOperationType),
    /// Something to wait for.
    Wait(&'static str, String),
}

/// Whether nothing is on the host and nothing on its way to it, as far as all of it could be read. What is disabled and
/// powered off because of that goes through the gate of S9 again.
pub(super) fn vacant(member: &Member) -> Result<(), String> {
    let Some(look) = &member.look else { return Err("it was not looked at".into()) };
    let facts = &look.facts;
    let guests = facts.guests.seen().ok_or_else(|| format!("its guests cannot be listed: {}", facts.guests.why()))?;
    if let Some(guest) = guests.first() {
        let more = if guests.len() > 1 { format!(" and {} more", guests.len() - 1) } else { String::new() };
        return Err(format!("{}{more} on it", guest.label()));
    }
    facts.moves.seen().ok_or_else(|| format!("migration records cannot be read: {}", facts.moves.why()))?;
    facts.provider.seen().ok_or_else(|| format!("Placement cannot be read: {}", facts.provider.why()))?;
    on_its_way(member).map_or(Ok(()), Err)
}

/// What may be on a member without guests, or is on its way to it or from it, as it was read.
pub(super) fn on_its_way(member: &Member) -> Option<String> {
    let facts = &member.look.as_ref()?.facts;
    let moves = facts.moves.seen()?;
    if let Some(open) = moves.iter().find(|m| !m.is_final()) {
        return Some(format!("Nova's record {} ({} of server {}) is {}", open.id, open.kind, open.server, open.status));
    }
    no_stranger(facts.provider.seen()?, moves, &facts.host).err()
}

/// The next operation of a member that is to be put back.
pub(super) fn next(member: &Member, idle: IdleState, env: &Env) -> Rest {
    let Some(look) = &member.look else { return Rest::There };
    if let Some(operation) = operations::open(member) {
        return Rest::Wait(reasons::PROGRESSING, format!("HostOperation/{} works on {}", operation.metadata.name, member.name()));
    }
    let Some(service) = look.facts.service.seen() else {
        return Rest::Wait(reasons::NOVA_UNREADABLE, format!("Nova cannot be read: {}", look.facts.service.why()));
    };
    let power = state_of(&look.facts.links);
    let off = idle == IdleState::PoweredOff;
    if !service.enabled && (!off || power == PowerState::Off) {
        return Rest::There;
    }
    // Nothing is begun that could not be ended.
    if off && power == PowerState::Unknown {
        return Rest::Wait(reasons::POWER_UNREADABLE, format!("power of {} cannot be read", member.name()));
    }
    if let Err(why) = vacant(member) {
        return Rest::Wait(reasons::GUESTS_RUNNING, format!("{} is not put back: {why}", member.name()));
    }
    if service.enabled {
        return Rest::Operate(HostOperationType::Disable);
    }
    power_off(member, env)
}

/// Its operating system is asked first; a hard power-off follows only if that did not help.
pub(super) fn power_off(member: &Member, env: &Env) -> Rest {
    use HostOperationType::{PowerOff, SoftOff};
    let ours = |prefix: &str, name: &str| name.starts_with(&format!("{prefix}-softoff-")) || name.starts_with(&format!("{prefix}-poweroff-"));
    let last = member.operations.iter().rev().find(|o| ours("standby", &o.metadata.name) || ours("drill", &o.metadata.name));
    let ended = last.and_then(|o| Some((o, o.status.finished_at?)));
    let Some((last, at)) = ended.filter(|(o, _)| !o.status.conditions.is_true("Succeeded")) else { return Rest::Operate(SoftOff) };
    let (reason, message) = last.status.conditions.find("Succeeded").map(|c| (c.reason.as_str(), c.message.as_str())).unwrap_or_default();
    if last.spec.r#type == SoftOff && reason == reasons::FAILED {
        return Rest::Operate(PowerOff);
    }
    match AGAIN_SECONDS - env.seconds_since(at) {
        left if left > 0 => Rest::Wait(reasons::RETRYING, format!("HostOperation/{} failed: {message}", last.metadata.name)),
        _ => Rest::Operate(SoftOff),
    }
}
