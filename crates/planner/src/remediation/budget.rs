//! How many hosts may be down before nothing new is begun (I6), what comes after a storm (I7), and how much is begun within an hour.

use super::{
    domains::{Chain, Domains, of_type},
    input::{HostRow, Input, PolicyRow},
    mass::Mass,
    verdict::Answer,
};
use schemas::{
    Conditions, Time,
    v1::{AvailabilityState, Storm, Watching, reasons},
};
use std::collections::BTreeMap;

/// What counts against a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Impact {
    /// Hosts it holds for.
    pub covered: i64,
    /// Of these, hosts that are silent, being recovered, held down, or not heard.
    pub unhealthy: i64,
    /// Of these, hosts of which that is known.
    pub known: i64,
}

/// Whether a host counts, and whether it does by what is known of it. One silent look is enough, whatever state it led to: a
/// storm is one before it is confirmed, and a recovery that was given up leaves its host as dead as it was (I6). A host that is
/// not heard may be down (S1). What a person evacuates counts from the beginning: it is about to be fenced.
pub(super) fn counts(row: &HostRow, state: AvailabilityState, off: bool) -> (bool, bool) {
    use AvailabilityState::*;
    let in_flight = row.open_evacuation.is_some() && !row.is_drained;
    let silent = row.up.seen() == Some(&false) && !off && state != Off;
    let held = matches!(state, Suspect | Down | Restarting | Recovering | Recovered | Returning | Quarantined);
    let known = in_flight || row.host.status.fence.is_some() || held || silent;
    (known || (row.up.is_unknown() && state != Off), known)
}

/// The largest number that may be down.
pub(super) fn limit(policy: &PolicyRow, impact: Impact) -> i64 {
    let limits = &policy.policy.spec.limits;
    let share = limits.max_down_permille.map(|permille| impact.covered.saturating_mul(permille) / 1_000);
    share.map_or(limits.max_down_hosts, |share| share.min(limits.max_down_hosts))
}

/// A limit, and how many hosts count against it.
struct Measured {
    down: i64,
    known: i64,
    limit: i64,
}

/// Where one policy stands.
pub(super) struct Footing {
    /// The answer for all its hosts, apart from limits of failure domains.
    pub allowed: Answer,
    /// Why nothing at all is begun, not even a return, if so.
    pub held: Option<Answer>,
    /// What is remembered of limits that were exceeded.
    pub storms: Vec<Storm>,
    /// What is remembered of hosts that fell silent at once.
    pub mass_silence: Option<Storm>,
    /// When that was begun which the rate counts.
    pub begins: Vec<Time>,
    /// How much more may be begun within this hour; `None`: there is no such limit.
    pub left: Option<i64>,
    /// What people should hear of.
    pub told: Vec<(&'static str, String)>,
    /// Limits of failure domains, by name of the domain.
    domains: BTreeMap<String, Measured>,
}

/// Seconds in which begins are counted.
const HOUR: i64 = 3_600;
/// Most domains that a message names.
const NAMED: usize = 5;

impl Footing {
    /// Of a policy whose hosts were counted. `chains` are those of its hosts.
    pub fn of<'a>(
        policy: &PolicyRow,
        impact: Impact,
        mass: &Mass,
        chains: impl Iterator<Item = &'a Chain<'a>>,
        domains: &Domains,
        input: &Input,
    ) -> Footing {
        let limits = &policy.policy.spec.limits;
        let mut measured = BTreeMap::new();
        if !limits.per_failure_domain.is_empty() {
            for chain in chains {
                for of in &limits.per_failure_domain {
                    for name in of_type(chain, of.r#type).filter(|name| !measured.contains_key(*name)).collect::<Vec<_>>() {
                        let count = domains.of_domain(name);
                        measured.insert(name.to_string(), Measured { down: count.down, known: count.known, limit: of.max_down_hosts });
                    }
                }
            }
        }
        let status = &policy.policy.status;
        let begins: Vec<Time> = status.begins.iter().copied().filter(|at| input.seconds_since(*at) < HOUR).collect();
        let left = limits.max_begins_per_hour.map(|max| (max - i64::try_from(begins.len()).unwrap_or(i64::MAX)).max(0));
        let whole = Measured { down: impact.unhealthy, known: impact.known, limit: limit(policy, impact) };
        let mut footing = Footing {
            allowed: Answer::yes(reasons::WITHIN_LIMITS, ""),
            held: held(policy, input),
            storms: status.storms.clone(),
            mass_silence: status.mass_silence.clone(),
            begins,
            left,
            told: Vec::new(),
            domains: measured,
        };
        footing.remember(policy, impact, &whole, input);
        if is_counting(policy) {
            let (mass_silence, told) = mass.remember(policy, input);
            footing.mass_silence = mass_silence;
            footing.told.extend(told);
        }
        footing.held = footing.held.take().or_else(|| mass.hold(policy, footing.mass_silence.as_ref(), input));
        footing.told.extend(footing.held.iter().filter(|held| is_news(held, policy)).map(|held| (held.reason, held.message.clone())));
        footing.allowed = footing.answer(policy, impact, &whole, input);
        footing
    }

    /// Brings what is remembered of storms up to now.
    fn remember(&mut self, policy: &PolicyRow, impact: Impact, whole: &Measured, input: &Input) {
        let limits = &policy.policy.spec.limits;
        if !is_counting(policy) {
            return;
        }
        let doubt = input.observer.doubt().is_some();
        let mut old = std::mem::take(&mut self.storms);
        let mut take = |domain: &str| old.iter().position(|s| s.domain == domain).map(|at| old.swap_remove(at));
        let all = std::iter::once(("", whole)).chain(self.domains.iter().map(|(name, m)| (name.as_str(), m)));
        for (domain, m) in all {
            let old = take(domain).unwrap_or_else(|| Storm { domain: domain.into(), ..Storm::default() });
            let mut new = if doubt { Storm { known_since: None, expired_at: None, ..old.clone() } } else { after_look(&old, m, input) };
            if new.ended_at.is_some_and(|at| input.seconds_since(at) >= limits.cooldown_seconds) {
                new.ended_at = None;
            }
            if old.since.is_none() && new.since.is_some() {
                let reason = if domain.is_empty() { reasons::STORM_LIMIT } else { reasons::DOMAIN_LIMIT };
                self.told.push((reason, exceeded(domain, m, impact)));
            }
            if is_expired(&new, limits.hold_expiry_seconds, input) && new.expired_at.is_none() {
                new.expired_at = Some(input.now);
                let note = format!(
                    "{}; it has held for {} s and holds no longer: only maxBeginsPerHour protects",
                    exceeded(domain, m, impact),
                    limits.hold_expiry_seconds
                );
                self.told.push((reasons::HOLD_EXPIRED, note));
            }
            if new != (Storm { domain: domain.into(), ..Storm::default() }) {
                self.storms.push(new);
            }
        }
    }

    fn storm(&self, domain: &str) -> Option<&Storm> {
        self.storms.iter().find(|s| s.domain == domain)
    }

    /// The answer for all its hosts. The numbers stand here, and on no host.
    fn answer(&self, policy: &PolicyRow, impact: Impact, whole: &Measured, input: &Input) -> Answer {
        if let Some(held) = &self.held {
            return held.clone();
        }
        let limits = &policy.policy.spec.limits;
        let expired = self.storm("").is_some_and(|s| is_expired(s, limits.hold_expiry_seconds, input));
        if whole.down > whole.limit && !expired {
            let message = format!(
                "{}: nothing new is begun for any of them. Find out what they have in common; to go on, raise spec.limits, or evacuate hosts one by one by hand",
                exceeded("", whole, impact)
            );
            return Answer::no(reasons::STORM_LIMIT, message);
        }
        if self.is_cooling("") {
            let message = format!(
                "more hosts were down than allowed until less than limits.cooldownSeconds ({}) ago; to go on at once, set that to 0",
                limits.cooldown_seconds
            );
            return Answer::no(reasons::COOLDOWN, message);
        }
        if self.left == Some(0) {
            let message = format!(
                "{} were begun within the last hour, limits.maxBeginsPerHour is {}; to go on at once, raise that",
                self.begins.len(),
                limits.max_begins_per_hour.unwrap_or_default()
            );
            return Answer::no(reasons::RATE_LIMIT, message);
        }
        let mut message = exceeded("", whole, impact);
        for (name, m) in self.domains.iter().filter(|(_, m)| m.down > m.limit).take(NAMED) {
            message += &format!("; {}", exceeded(name, m, impact));
        }
        if whole.down > whole.limit {
            return Answer::yes(
                reasons::HOLD_EXPIRED,
                format!("{message}; that has lasted longer than limits.holdExpirySeconds, only the rate is limited"),
            );
        }
        Answer::yes(reasons::WITHIN_LIMITS, message)
    }

    fn is_cooling(&self, domain: &str) -> bool {
        self.storm(domain).is_some_and(|s| s.ended_at.is_some())
    }

    /// What the limits of its failure domains say of a host; `None`: nothing. With `known_only` the benefit of the doubt is
    /// given to hosts that are not heard.
    pub fn of_domains(&self, policy: &PolicyRow, chain: &Chain, known_only: bool, input: &Input) -> Option<Answer> {
        let (name, limits) = (&policy.policy.metadata.name, &policy.policy.spec.limits);
        let see = format!("see the condition RemediationAllowed of RemediationPolicy {name}");
        for domain in limits.per_failure_domain.iter().flat_map(|of| of_type(chain, of.r#type)) {
            let Some(m) = self.domains.get(domain) else { continue };
            let expired = self.storm(domain).is_some_and(|s| is_expired(s, limits.hold_expiry_seconds, input));
            let down = if known_only { m.known } else { m.down };
            if down > m.limit && !expired {
                return Some(Answer::no(reasons::DOMAIN_LIMIT, format!("too many hosts of FailureDomain {domain} are down; {see}")));
            }
            if self.is_cooling(domain) {
                return Some(Answer::no(reasons::COOLDOWN, format!("too many hosts of FailureDomain {domain} were down a moment ago; {see}")));
            }
        }
        None
    }
}

/// `3 of 40 hosts are down, the limit is 2`.
fn exceeded(domain: &str, m: &Measured, impact: Impact) -> String {
    match domain {
        "" => format!("{} of {} hosts are down, the limit is {}", m.down, impact.covered, m.limit),
        domain => format!("{} hosts of FailureDomain {domain} are down, its limit is {}", m.down, m.limit),
    }
}

/// Whether this look counts for what is remembered of limits.
fn is_counting(policy: &PolicyRow) -> bool {
    policy.due && policy.policy.spec.detection.mode != Watching::Off && policy.policy.spec.limits.max_down_hosts != 0
}

/// Whether people should hear that those who look are in doubt: once, when it begins.
fn is_news(held: &Answer, policy: &PolicyRow) -> bool {
    let known = policy.policy.status.conditions.find("RemediationAllowed").is_some_and(|c| c.reason == held.reason);
    policy.due && !known && matches!(held.reason, reasons::OBSERVER_IN_DOUBT | reasons::NOVA_UNREADABLE)
}

/// What is remembered of a limit after a look. A hold expires by hosts that are known to be down alone, and without a break.
fn after_look(old: &Storm, m: &Measured, input: &Input) -> Storm {
    let (held, known) = (m.down > m.limit, m.known > m.limit);
    Storm {
        domain: old.domain.clone(),
        since: held.then(|| old.since.unwrap_or(input.now)),
        known_since: known.then(|| old.known_since.unwrap_or(input.now)),
        expired_at: old.expired_at.filter(|_| known),
        ended_at: match (held, old.since) {
            (true, _) => None,
            (false, Some(_)) => Some(input.now),
            (false, None) => old.ended_at,
        },
    }
}

pub(super) fn is_expired(storm: &Storm, seconds: i64, input: &Input) -> bool {
    seconds > 0 && storm.known_since.is_some_and(|at| input.seconds_since(at) >= seconds)
}

/// Why nothing at all is begun for hosts of a policy.
fn held(policy: &PolicyRow, input: &Input) -> Option<Answer> {
    let spec = &policy.policy.spec;
    if spec.detection.mode == Watching::Off {
        return Some(Answer::no(reasons::NOT_WATCHED, "spec.detection.mode is Off: nobody counts the silence of its hosts"));
    }
    if let Some(why) = &input.halted {
        return Some(Answer::no(reasons::RESTORED, why));
    }
    if input.frozen {
        return Some(Answer::no(reasons::FROZEN, "ClusterPolicy default has operations: Frozen; `thaw` goes on"));
    }
    if spec.limits.max_down_hosts == 0 {
        let message = "spec.limits.maxDownHosts is 0: nothing is begun without a person; set it to the number of hosts that may be down at once";
        return Some(Answer::no(reasons::NEVER_EVACUATE, message));
    }
    if let Some(doubt) = input.observer.doubt() {
        // What Nova answers may differ from look to look: as long as it cannot be read, what was said first stands.
        let said = policy.policy.status.conditions.find("RemediationAllowed").filter(|c| c.reason == doubt.reason);
        let message = said.filter(|_| input.observer.unread.is_some()).map(|c| c.message.clone()).unwrap_or(doubt.message);
        return Some(Answer { message, ..doubt });
    }
    if input.now.seconds_since(input.led_since) < spec.detection.quiet_seconds {
        let message = format!("a controller began to lead less than {} s ago; it looks before it begins anything", spec.detection.quiet_seconds);
        return Some(Answer::no(reasons::QUIET_PERIOD, message));
    }
    None
}
