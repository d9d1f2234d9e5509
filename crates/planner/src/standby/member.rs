//! Where a member stands that no evacuation has.

use super::{Member, operations, rest};
use crate::{Env, Fact, facts::ServiceFacts, proof::state_of, service};
use schemas::{
    Object,
    v1::{Host, IdleState, MemberState, PowerState, PowerWish, Schedulable, StandbyPool, reasons},
};

/// A member, judged.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    pub state: MemberState,
    pub reason: &'static str,
    pub message: String,
    /// It can be woken now.
    pub free: bool,
    /// It takes guests, or holds some, as far as anybody can tell.
    pub in_service: bool,
    /// It holds guests.
    pub holds_guests: bool,
}

/// Whether a host has to be looked at itself, because it is not at rest as far as its status tells.
pub fn wants_look(host: &Object<Host>, idle: IdleState, leased: bool) -> bool {
    let status = &host.status;
    let disabled = status.nova.as_ref().is_some_and(|n| n.status == "disabled");
    let power = match idle {
        IdleState::PoweredOff => status.power.state == PowerState::Off,
        IdleState::Disabled => status.power.state != PowerState::Off && status.nova.as_ref().is_some_and(|n| n.state == "up"),
    };
    leased || !disabled || !power || status.guests.total != Some(0)
}

/// What Nova says of the host: by the look, or by its status.
pub(super) fn service_of(member: &Member) -> Option<ServiceFacts> {
    if let Some(look) = &member.look {
        return look.facts.service.seen().cloned();
    }
    let nova = member.host.status.nova.as_ref().filter(|n| n.status != "unknown" && n.state != "unknown")?;
    Some(ServiceFacts {
        id: nova.service_id.clone(),
        zone: nova.zone.clone(),
        enabled: nova.status == "enabled",
        up: nova.state == "up",
        forced_down: nova.forced_down,
        disabled_reason: nova.disabled_reason.clone(),
        updated_at: String::new(),
    })
}

pub(super) fn power_of(member: &Member) -> PowerState {
    member.look.as_ref().map_or(member.host.status.power.state, |look| state_of(&look.facts.links))
}

fn guests_of(member: &Member) -> Option<i64> {
    match &member.look {
        Some(look) => look.facts.guests.seen().map(|g| g.len() as i64),
        None => member.host.status.guests.total,
    }
}

fn has_verified_link(member: &Member) -> bool {
    match &member.look {
        Some(look) => look.facts.links.iter().any(|l| l.verified),
        None => member.host.status.power.links.iter().any(|l| l.verified),
    }
}

/// What speaks against waking it that waiting does not mend; `None`: nothing.
pub(super) fn unfit(member: &Member, env: &Env) -> Option<(&'static str, String)> {
    let (name, spec, status) = (member.name(), &member.host.spec, &member.host.status);
    if spec.power != PowerWish::Unmanaged || spec.schedulable != Schedulable::Unmanaged {
        let message = format!(
            "Host {name} declares power: {:?}, schedulable: {:?}; a standby host has both Unmanaged, since its pool decides about them",
            spec.power, spec.schedulable
        );
        return Some((reasons::DECLARED_OTHERWISE, message));
    }
    if status.fence.is_some() || member.look.as_ref().is_some_and(|l| l.fenced) {
        return Some((reasons::FENCED, format!("it is fenced; `power on {name}` or `enable {name}` brings it back")));
    }
    if let Some(look) = &member.look
        && matches!(look.facts.service, Fact::Absent(_))
    {
        return Some((reasons::VANISHED, "Nova has no nova-compute service of this name".into()));
    }
    let service = service_of(member)?;
    if let Some(uuid) = service::foreign(&service, &env.cluster_uuid) {
        return Some((reasons::FOREIGN, format!("its Nova service carries the mark of another Cloud Manager ({uuid})")));
    }
    if service.forced_down {
        return Some((reasons::IN_DOUBT, "its Nova service is forced down; find out by whom, and clear that".into()));
    }
    if !service.enabled && !service::is_ours(&service, &env.cluster_uuid) {
        let why = service.disabled_reason.as_deref().filter(|r| !r.is_empty()).unwrap_or("no reason given");
        let message =
            format!("it was disabled in Nova by somebody else ({why}); enable it there if it may be used, and the pool keeps it from then on");
        return Some((reasons::DISABLED_BY_OTHERS, message));
    }
    None
}

/// Judges a member that no evacuation has and that has not failed. `pools`: all other pools there are.
pub(super) fn judge(member: &Member, pool: &Object<StandbyPool>, pools: &[String], env: &Env) -> Judged {
    let service = service_of(member);
    let guests = guests_of(member);
    let in_service = service.as_ref().is_none_or(|s| s.enabled) || guests != Some(0);
    let holds_guests = guests.is_some_and(|n| n > 0);
    let is = |state, reason, message: String, free| Judged { state, reason, message, free, in_service, holds_guests };
    let unusable = |reason, message: String| is(MemberState::Unusable, reason, message, false);
    let (name, mine) = (member.name(), &pool.metadata.name);
    let mark = member.host.status.standby.as_ref().map(|s| s.pool.as_str());
    if let Some(other) = mark.filter(|m| m != mine && pools.iter().any(|p| p == m)) {
        let message = format!("{name} is a member of StandbyPools {other} and {mine}, and {other} has it; take it out of one of them");
        return unusable(reasons::STANDBY_CONFLICT, message);
    }
    if let Some((reason, message)) = unfit(member, env) {
        return unusable(reason, message);
    }
    if let Some(evacuation) = &member.open_evacuation {
        return is(MemberState::Busy, reasons::CLAIMED, format!("Evacuation/{evacuation} works on it"), false);
    }
    if let Some(operation) = operations::open(member) {
        let own = operations::is_owned(operation, &env.owner_uid);
        let state = if own { MemberState::Settling } else { MemberState::Busy };
        return is(state, reasons::CLAIMED, format!("HostOperation/{} works on it", operation.metadata.name), false);
    }
    if let Some((drill, _)) = &member.drill {
        return is(MemberState::Busy, reasons::CLAIMED, format!("FenceDrill/{drill} tests it"), false);
    }
    let (Some(service), Some(guests)) = (service, guests) else {
        return unusable(reasons::NOVA_UNREADABLE, "its service or its guests cannot be read".into());
    };
    if guests > 0 {
        let message =
            format!("{guests} guest(s) are on it: it stays as it is. Move them away, or make it a normal host by taking it out of the pool");
        return is(MemberState::InUse, "", message, false);
    }
    let power = power_of(member);
    let needs_link = power == PowerState::Off || pool.spec.idle_state == IdleState::PoweredOff;
    if needs_link && !has_verified_link(member) {
        return unusable(reasons::NO_VERIFIED_LINK, format!("it has no verified power link; run `initialise {name}`"));
    }
    if !service.up && power == PowerState::Unknown {
        return unusable(reasons::POWER_UNREADABLE, "its service is down and its power cannot be read; make its BMC reachable".into());
    }
    if !service.up && power == PowerState::On {
        let message =
            format!("its power reads on and its nova-compute is down; look at its console, or `power off {name}` and take it out of the pool");
        return unusable(reasons::SERVICE_DOWN, message);
    }
    if mark != Some(mine) {
        return is(MemberState::Settling, reasons::PROGRESSING, "it joins the pool".into(), false);
    }
    let wanted = match pool.spec.idle_state {
        IdleState::PoweredOff => power == PowerState::Off,
        IdleState::Disabled => power != PowerState::Off,
    };
    match (wanted, rest::on_its_way(member)) {
        (true, _) if !service.enabled => is(MemberState::Idle, "", String::new(), true),
        // It may last until a person has settled it, so it is told.
        (_, Some(why)) => is(MemberState::InUse, "", format!("no guest is on it, and it stays as it is: {why}"), !service.enabled),
        _ if service.enabled => is(MemberState::Settling, reasons::PROGRESSING, "it is empty and still takes guests".into(), false),
        _ => is(MemberState::Settling, reasons::PROGRESSING, format!("it is empty, and its power reads {power:?}"), true),
    }
}
