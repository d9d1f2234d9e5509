//! One decision over all hosts.

use super::{
    allowed::{host_allowed, switched_off_by, worth_it},
    budget::{self, Footing, Impact},
    channels,
    choice::{Choice, Unclear},
    domains::{Chain, Count, Domains},
    input::{HostRow, Input, PolicyRow},
    mass::Mass,
    returning,
    states::{End, Look, walk},
    verdict::{Answer, Begin, DomainVerdict, HostVerdict, PolicyVerdict},
};
use schemas::{
    ConditionStatus,
    v1::{Availability, AvailabilityState, PowerState, PowerWish, Watching, reasons},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// What becomes of all of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdicts {
    /// Of hosts whose policy is due, and of those of which nobody can tell whose they are.
    pub hosts: Vec<HostVerdict>,
    /// Of the policies that are due.
    pub policies: Vec<PolicyVerdict>,
    /// Of all failure domains.
    pub domains: Vec<DomainVerdict>,
}

/// A host in this pass.
struct Standing<'a> {
    row: &'a HostRow,
    policy: Result<&'a PolicyRow, Unclear>,
    now: Availability,
    /// The failure domains it is in; `None`: it names none.
    chain: Option<Result<Chain<'a>, String>>,
}

/// Decides for the policies that are due, and for their hosts. Hosts of which nobody can tell whose they are get told so.
pub fn pass(input: &Input) -> Verdicts {
    let choice = Choice::of(&input.policies);
    let mut domains = Domains::of(&input.domains);
    let all: Vec<Standing> = input
        .hosts
        .iter()
        .map(|row| {
            let policy = choice.for_host(&row.host);
            let now = stand(row, policy.as_ref().ok().copied(), row.up.seen().copied(), input);
            let chain = domains.of_host(&row.host.spec);
            Standing { row, policy, now, chain }
        })
        .collect();
    let mut impact: BTreeMap<&str, Impact> = BTreeMap::new();
    let mut mass = Mass::default();
    // A spare that takes no guests is missed by nobody.
    for host in all.iter().filter(|host| host.row.spare().is_none()) {
        let state = host.now.state;
        let (down, known) = budget::counts(host.row, state, is_off(host.row));
        let its: Vec<&str> = match &host.policy {
            Ok(policy) => vec![policy.policy.metadata.name.as_str()],
            Err(unclear) => unclear.may_be(),
        };
        for name in its {
            let impact = impact.entry(name).or_default();
            impact.covered += i64::from(host.policy.is_ok());
            impact.unhealthy += i64::from(down);
            impact.known += i64::from(known);
        }
        mass.count(host.row, host.policy.as_ref().ok().copied(), &host.now, input);
        let expected = matches!(state, AvailabilityState::Unknown | AvailabilityState::Up | AvailabilityState::Suspect | AvailabilityState::Down);
        let heard = host.row.up.seen() == Some(&true);
        let (expected, heard) = (i64::from(expected), i64::from(expected && heard));
        domains.count(&host.row.host.spec, Count { hosts: 1, down: i64::from(down), known: i64::from(known), expected, heard });
    }
    let impact: BTreeMap<String, Impact> = impact.into_iter().map(|(name, impact)| (name.to_string(), impact)).collect();
    let impact_of = |policy: &PolicyRow| impact.get(&policy.policy.metadata.name).copied().unwrap_or_default();
    let mut footings: BTreeMap<&str, Footing> = BTreeMap::new();
    for policy in &input.policies {
        let name = policy.policy.metadata.name.as_str();
        let its = all.iter().filter(|host| host.policy.as_ref().is_ok_and(|p| p.policy.metadata.name == name));
        let chains = its.filter_map(|host| host.chain.as_ref()?.as_ref().ok());
        footings.insert(name, Footing::of(policy, impact_of(policy), &mass, chains, &domains, input));
    }
    let recovering_of = |policy: &PolicyRow| {
        let name = &policy.policy.metadata.name;
        let its = all.iter().filter(|host| host.policy.as_ref().is_ok_and(|p| p.policy.metadata.name == *name));
        let busy = its.filter(|host| matches!(host.now.state, AvailabilityState::Restarting | AvailabilityState::Recovering));
        i64::try_from(busy.count()).unwrap_or(i64::MAX)
    };
    let recovering: BTreeMap<&str, i64> = input.policies.iter().map(|p| (p.policy.metadata.name.as_str(), recovering_of(p))).collect();
    let slots = |p: &PolicyRow| {
        let name = p.policy.metadata.name.as_str();
        let parallel = p.policy.spec.evacuation.max_parallel_hosts.map(|max| (max - recovering[name]).max(0));
        Slots { rate: footings[name].left, parallel }
    };
    let mut left: BTreeMap<&str, Slots> = input.policies.iter().map(|p| (p.policy.metadata.name.as_str(), slots(p))).collect();
    // Those of a policy that is not due keep what was last said of them.
    let due = all.into_iter().filter(|host| host.policy.as_ref().map_or(true, |p| p.due));
    let hosts = due.map(|host| match host.policy {
        Ok(policy) => {
            let name = policy.policy.metadata.name.as_str();
            judge(host, policy, &footings[name], &domains, left.entry(name).or_default(), input)
        }
        Err(unclear) => verdict(host.row, None, host.now, unclear.into()),
    });
    let hosts = hosts.collect();
    let policies = input.policies.iter().filter(|p| p.due).map(|p| {
        let Impact { covered, unhealthy, .. } = impact_of(p);
        let footing = footings.remove(p.policy.metadata.name.as_str());
        let budget_left = (budget::limit(p, impact_of(p)) - unhealthy).max(0);
        let (begins, storms, mass_silence, allowed, told) = match footing {
            Some(Footing { begins, storms, mass_silence, allowed, told, .. }) => (begins, storms, mass_silence, allowed, told),
            None => (Vec::new(), Vec::new(), None, Answer::no(reasons::NOT_WATCHED, ""), Vec::new()),
        };
        let recovering = recovering[p.policy.metadata.name.as_str()];
        PolicyVerdict {
            policy: p.policy.metadata.name.clone(),
            covered,
            unhealthy,
            budget_left,
            recovering,
            begins,
            storms,
            mass_silence,
            allowed,
            told,
        }
    });
    let policies = policies.collect();
    let of_domain = |(name, broken): (&str, Option<&String>)| {
        let count = domains.of_domain(name);
        DomainVerdict { domain: name.into(), hosts: count.hosts, down: count.down, broken: broken.cloned() }
    };
    Verdicts { hosts, policies, domains: domains.all().map(of_domain).collect() }
}

fn verdict(row: &HostRow, policy: Option<&PolicyRow>, availability: Availability, allowed: Answer) -> HostVerdict {
    HostVerdict {
        host: row.host.metadata.name.clone(),
        policy: policy.map(|p| p.policy.metadata.name.clone()),
        availability,
        allowed,
        begin: None,
        cancel: None,
        count_guests: false,
    }
}

/// What becomes of a host whose policy is clear. `left` is what the policy's limits leave for it and those after it.
fn judge(host: Standing, policy: &PolicyRow, footing: &Footing, domains: &Domains, left: &mut Slots, input: &Input) -> HostVerdict {
    let Standing { row, mut now, chain, .. } = host;
    now.evidence = channels::tiers(row, &policy.policy.spec.evidence, input.now);
    let first = returning::first(row, policy, &now);
    let allowed = host_allowed(row, policy, &now, first, footing, input.now);
    if now.state != AvailabilityState::Down {
        reserve(row, policy, chain.as_ref(), footing, left, input);
        let cancel = (returning::is_late(policy, &now, input) && row.operation_ended.is_none()).then(|| now.operation.clone()).flatten();
        let begin = returns(row, policy, &now, footing);
        return HostVerdict { cancel, begin, ..verdict(row, Some(policy), now, allowed) };
    }
    let allowed = within_domains(allowed, policy, chain.as_ref(), footing, false, input);
    let allowed = within_cell(allowed, &row.host.metadata.name, chain.as_ref(), domains);
    if !allowed.is_yes() {
        // Hosts that are not heard may be what keeps it: the slot stays its own.
        reserve(row, policy, chain.as_ref(), footing, left, input);
        return verdict(row, Some(policy), now, allowed);
    }
    let name = &policy.policy.metadata.name;
    let allowed = match left.take(row, first, now.operation.is_some()) {
        Ok(()) => worth_it(row, first, allowed),
        Err(reasons::PARALLEL_LIMIT) => {
            let message = format!(
                "others are being recovered, and evacuation.maxParallelHosts of RemediationPolicy {name} allows no more at the same time; it goes on when one of them has ended"
            );
            Answer::no(reasons::PARALLEL_LIMIT, message)
        }
        Err(reason) => Answer::no(reason, format!("others are begun first; see limits.maxBeginsPerHour of RemediationPolicy {name}")),
    };
    // Also without a slot: those that come first may turn out to be empty.
    let count_guests = first == Begin::Evacuate && row.up.seen() == Some(&false) && row.guests.seen().is_none();
    let begin = allowed.is_yes().then_some(first);
    HostVerdict { begin, count_guests, ..verdict(row, Some(policy), now, allowed) }
}

/// How a host is brought back, if it is.
fn returns(row: &HostRow, policy: &PolicyRow, now: &Availability, footing: &Footing) -> Option<Begin> {
    let recovered = now.state == AvailabilityState::Recovered && footing.held.is_none();
    recovered.then(|| returning::wish(row, policy, now).ok()).flatten()
}

/// What the limits of its failure domains leave of an answer.
fn within_domains(
    allowed: Answer,
    policy: &PolicyRow,
    chain: Option<&Result<Chain, String>>,
    footing: &Footing,
    known_only: bool,
    input: &Input,
) -> Answer {
    if !allowed.is_yes() || policy.policy.spec.limits.per_failure_domain.is_empty() {
        return allowed;
    }
    match chain {
        None => allowed,
        Some(Err(why)) => Answer::no(reasons::NOT_FOUND, why),
        Some(Ok(chain)) => footing.of_domains(policy, chain, known_only, input).unwrap_or(allowed),
    }
}

/// What a cell of which nobody is heard leaves of an answer.
fn within_cell<'a>(allowed: Answer, host: &str, chain: Option<&Result<Chain<'a>, String>>, domains: &Domains<'a>) -> Answer {
    let Some(cell) = chain.and_then(|c| domains.silent_cell(c.as_ref().ok()?)).filter(|_| allowed.is_yes()) else { return allowed };
    let message = format!(
        "no nova-compute of FailureDomain {cell} was up in the same read: the silence may be the cell's, not the hosts'; look at its conductor, message queue and database, or `evacuate {host}` by hand"
    );
    Answer { status: ConditionStatus::Unknown, reason: reasons::OBSERVER_IN_DOUBT, message }
}

/// Whether it is known that nothing is begun for a host in this pass, whatever could not be read.
fn surely_nothing(row: &HostRow, what: Begin) -> bool {
    matches!(row.up, crate::Fact::Absent(_)) || row.up.seen() == Some(&true) || (what == Begin::Evacuate && row.guests.seen() == Some(&0))
}

/// What the limits on begins leave for the hosts of a policy, one after the other; `None`: there is no such limit.
#[derive(Clone, Copy, Debug, Default)]
struct Slots {
    /// How much more may be begun within this hour.
    rate: Option<i64>,
    /// How many more may be recovered at the same time.
    parallel: Option<i64>,
}

impl Slots {
    /// Takes what a begin needs, or says which limit leaves nothing. `is_part`: it is part of an earlier begin, which the rate has
    /// counted. A host of which something is unknown keeps its slot: with less knowledge no other host comes into its place (S1).
    fn take(&mut self, row: &HostRow, what: Begin, is_part: bool) -> Result<(), &'static str> {
        if surely_nothing(row, what) {
            return Ok(());
        }
        if !is_part && self.rate == Some(0) {
            return Err(reasons::RATE_LIMIT);
        }
        if self.parallel == Some(0) {
            return Err(reasons::PARALLEL_LIMIT);
        }
        if !is_part {
            self.rate = self.rate.map(|left| left - 1);
        }
        self.parallel = self.parallel.map(|left| left - 1);
        Ok(())
    }
}

/// Keeps a slot for a host for which something would be begun if what cannot be read were at its worst.
fn reserve(row: &HostRow, policy: &PolicyRow, chain: Option<&Result<Chain, String>>, footing: &Footing, left: &mut Slots, input: &Input) {
    if left.rate.is_none() && left.parallel.is_none() {
        return;
    }
    let up = if row.up.is_unknown() { Some(false) } else { row.up.seen().copied() };
    let worst = stand(row, Some(policy), up, input);
    let what = returning::first(row, policy, &worst);
    let allowed = host_allowed(row, policy, &worst, what, footing, input.now);
    let allowed = within_domains(allowed, policy, chain, footing, true, input);
    if worst.state == AvailabilityState::Down && allowed.is_yes() {
        // Where nothing is left there is nothing to keep.
        left.take(row, what, worst.operation.is_some()).ok();
    }
}

/// Whether it is off as its spec declares it, or as somebody commanded.
fn is_off(row: &HostRow) -> bool {
    let status = &row.host.status;
    let declared =
        row.host.spec.power == PowerWish::Off && status.power.state == PowerState::Off && status.waiting.is_none() && status.fence.is_none();
    declared || switched_off_by(row).is_some()
}

/// Where a host stands after this pass, if Nova says so of its service.
fn stand(row: &HostRow, policy: Option<&PolicyRow>, up: Option<bool>, input: &Input) -> Availability {
    let status = &row.host.status;
    let old = status.availability.clone().unwrap_or_default();
    let Some(policy) = policy.filter(|p| p.due) else { return old };
    // Looks before a time in which nobody watched are not in a row with those after it.
    if policy.policy.spec.detection.mode == Watching::Off {
        return Availability { confirmations: 0, ..old };
    }
    let old = returning::forget(policy, old, input);
    // Nobody's word is taken while those who look are in doubt.
    let up = up.filter(|_| input.observer.doubt().is_none());
    let own = format!("Evacuation/{}", old.evacuation.as_deref().unwrap_or_default());
    let look = Look {
        detection: &policy.policy.spec.detection,
        up,
        off: is_off(row) && up != Some(true),
        fenced: status.fence.is_some(),
        fenced_by_other: status.fence.as_ref().is_some_and(|fence| fence.by != own),
        evacuation: row.ended.as_deref().map(End::of),
        operation: row.operation_ended.as_deref().map(End::of),
        late: returning::is_late(policy, &old, input),
        too_often: returning::is_too_often(policy, &old) && returning::may_be(row, policy, &old).is_ok(),
        old: &old,
    };
    walk(&look, input.now)
}
