//! The plan of an evacuation: made before the first request, and made again when the world no longer fits it.

use super::sending::Ready;
use crate::{
    Also, Env, Fact,
    facts::{Destination, HostFacts},
    placement::{self, Seat, Site, Wish},
};
use schemas::{
    Object, Time,
    meta::Ref,
    v1::{EvacuationKind, EvacuationPlanSpec, EvacuationPlanStatus, EvacuationStatus, GuestMove, GuestOutcome, PlanInForce, PlanItem, reasons},
};
use std::collections::BTreeMap;

/// A plan follows the one before it at the earliest after so many seconds.
const REPLAN_SECONDS: i64 = 5;

/// What is promised of each host.
type Taken = BTreeMap<String, BTreeMap<String, i64>>;

/// Gives every guest that is ready a destination, or the reason why it has none. A new plan, if the one in force does not stand.
pub(super) fn plan(ev: &Object<EvacuationKind>, status: &mut EvacuationStatus, ready: &mut [Ready], facts: &HostFacts, env: &Env) -> Option<Also> {
    let destinations = facts.destinations.seen()?;
    let (mut taken, full) = promised(&status.guests, facts);
    let mut going = on_their_way(&status.guests, facts);
    // A request that left no record is repeated to where it went, whatever there is now (S7), but never past the only host that
    // may be named (S6).
    for r in ready.iter_mut().filter(|r| r.only.is_none()) {
        let m = &mut status.guests[r.index];
        if !m.destination.is_empty() {
            r.stands = true;
            take(&mut taken, &m.destination, &r.guest.needs);
            going.insert(m.id.clone(), m.destination.clone());
            m.planned.clone_from(&m.destination);
        }
    }
    let open: Vec<usize> = (0..ready.len()).filter(|i| !ready[*i].stands).collect();
    let hosts: Vec<Destination> = destinations.iter().filter(|d| !full.contains(&d.host)).cloned().collect();
    let site = Site { hosts: &hosts, taken: &taken, groups: facts.groups.seen().map_or(&[], Vec::as_slice), going: &going };
    let zone = facts.service.seen().map(|s| s.zone.clone()).unwrap_or_default();
    let wish = |i: &usize| {
        let (r, m) = (&ready[*i], &status.guests[ready[*i].index]);
        Wish { guest: &r.guest, priority: m.priority, home: &facts.host, zone: &zone, not: &m.failed_destinations, only: r.only.as_deref() }
    };
    let wishes: Vec<Wish<'_>> = open.iter().map(wish).collect();
    let planned: Vec<&str> = open.iter().map(|i| status.guests[ready[*i].index].planned.as_str()).collect();
    let stands = placement::still_stand(&wishes, &planned, &site);
    if stands.iter().all(|s| *s) {
        open.iter().for_each(|i| ready[*i].stands = true);
        return None;
    }
    let wait = status.plan.as_ref().map_or(0, |p| REPLAN_SECONDS - env.seconds_since(p.at));
    let seats = placement::plan(&wishes, &site);
    let as_planned = seats.iter().zip(&planned).all(|(seat, planned)| seat.host().unwrap_or_default() == *planned);
    if wait > 0 && !as_planned {
        for (i, stands) in open.iter().zip(stands) {
            ready[*i].stands = stands;
            if !stands {
                say(
                    &mut status.guests[ready[*i].index],
                    reasons::REPLANNING,
                    format!("the plan does not fit any longer; the next one is due in {wait} s"),
                );
            }
        }
        return None;
    }
    for (i, seat) in open.into_iter().zip(seats) {
        let r = &mut ready[i];
        let m = &mut status.guests[r.index];
        r.stands = seat.host().is_some();
        match seat {
            Seat::On(host) => m.planned = host,
            Seat::Nowhere(why) => {
                m.planned = String::new();
                let message = match &r.only {
                    Some(d) => format!(
                        "it may be running on {d}, where an earlier move of it was broken off, and {d} cannot take it now (disabled, down or full): look for it there"
                    ),
                    None => why,
                };
                say(m, reasons::NO_DESTINATION, message);
            }
        }
    }
    (!as_planned || status.plan.is_none()).then(|| new_plan(ev, status, facts, env.now))
}

pub(super) fn say(m: &mut GuestMove, reason: &str, message: String) {
    m.reason = reason.into();
    m.message = message;
}

fn new_plan(ev: &Object<EvacuationKind>, status: &mut EvacuationStatus, facts: &HostFacts, now: Time) -> Also {
    let number = status.plan.as_ref().map_or(0, |p| p.number) + 1;
    // Names of evacuations are used again, and can be as long as names may be.
    let base: String = ev.metadata.name.chars().take(200).collect();
    let uid: String = ev.metadata.uid.chars().take(8).collect();
    let name = format!("{base}-{uid}-{number}");
    let spec = spec_of(ev, status, facts, number);
    let placed = spec.items.iter().filter(|i| !i.destination.is_empty()).count() as i64;
    let staying = spec.items.len() as i64 - placed;
    status.plan = Some(PlanInForce { name: name.clone(), number, at: now });
    Also::record::<schemas::v1::EvacuationPlan>(name, &spec, &EvacuationPlanStatus { placed, staying, ..EvacuationPlanStatus::default() })
}

/// The plan as the guests' records have it now.
pub(super) fn spec_of(ev: &Object<EvacuationKind>, status: &EvacuationStatus, facts: &HostFacts, number: i64) -> EvacuationPlanSpec {
    let item = |m: &GuestMove| {
        let destination = match m.outcome {
            GuestOutcome::Moving => m.destination.as_str(),
            GuestOutcome::Pending => m.planned.as_str(),
            _ => "",
        };
        let why = if destination.is_empty() { m.message.clone() } else { String::new() };
        PlanItem { id: m.id.clone(), name: m.name.clone(), priority: m.priority, destination: destination.into(), why }
    };
    let (hosts, room_read_at) = match &facts.destinations {
        Fact::Seen(destinations, at) => (destinations.len() as i64, Some(*at)),
        _ => (0, None),
    };
    EvacuationPlanSpec {
        host_ref: Ref { name: ev.spec.host_ref.name.clone() },
        number,
        room_read_at,
        hosts,
        items: status.guests.iter().filter(|m| m.outcome != GuestOutcome::Moved).map(item).collect(),
    }
}

fn take(taken: &mut Taken, host: &str, needs: &BTreeMap<String, i64>) {
    let host = taken.entry(host.into()).or_default();
    for (class, need) in needs {
        let of = host.entry(class.clone()).or_default();
        *of = of.saturating_add(*need);
    }
}

/// What requests under way will take, per destination, and what those took that ended after the room was read; also what
/// other evacuations move, or plan to. And the destinations of guests whose needs cannot be read: what is left there is not
/// known, so nothing more is sent.
fn promised(moves: &[GuestMove], facts: &HostFacts) -> (Taken, Vec<String>) {
    let read_at = match &facts.destinations {
        Fact::Seen(_, at) => *at,
        _ => Time::default(),
    };
    let counts = |m: &&GuestMove| match m.outcome {
        GuestOutcome::Moving => true,
        GuestOutcome::Moved => m.finished_at.is_some_and(|at| at >= read_at),
        _ => false,
    };
    let (mut taken, mut full) = (Taken::new(), Vec::new());
    for m in moves.iter().filter(counts).filter(|m| !m.destination.is_empty()) {
        match facts.guest(&m.id) {
            Fact::Seen(guest, _) => take(&mut taken, &m.destination, &guest.needs),
            Fact::Absent(_) => {}
            Fact::Unknown(_) => full.push(m.destination.clone()),
        }
    }
    for other in facts.others.seen().into_iter().flatten() {
        take(&mut taken, &other.destination, &other.needs);
    }
    (taken, full)
}

/// Where guests are going, or went a moment ago, while Nova's list of servers may not show them there yet.
fn on_their_way(moves: &[GuestMove], facts: &HostFacts) -> BTreeMap<String, String> {
    let mine = moves.iter().filter(|m| matches!(m.outcome, GuestOutcome::Moving | GuestOutcome::Moved) && !m.destination.is_empty());
    let others = facts.others.seen().into_iter().flatten().map(|o| (o.guest.clone(), o.destination.clone()));
    mine.map(|m| (m.id.clone(), m.destination.clone())).chain(others).collect()
}
