//! What other channels say of a host. They can hold a recovery up, and never lower what S2 to S5 ask for.

use super::{Begin, HostRow};
use crate::{Fact, Next, contract::wait};
use schemas::{
    Time,
    v1::{Action, AttestationRule, Availability, AvailabilityState, EvidenceRule, Level, Observation, PowerState, Says, reasons},
};
use serde::{Deserialize, Serialize};

/// A channel that is silent may be so far ahead of our clock, in seconds; further, its time says nothing.
const AHEAD_SECONDS: i64 = 60;

/// What was heard of a host beside Nova.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// What channels said last, fresh or not.
    pub observations: Vec<Observation>,
    /// Its FenceAttestation that is open: name and power epoch.
    pub attested: Option<(String, i64)>,
}

/// Seconds since it was seen, or since it came in, whichever is longer. Its own times count, not when we began to lead: what was
/// stale before a takeover is stale after it.
fn age(o: &Observation, now: Time) -> i64 {
    now.seconds_since(o.observed_at.min(o.received_at))
}

fn limit(o: &Observation, rule: &EvidenceRule) -> i64 {
    o.ttl_seconds.min(rule.max_age_seconds)
}

/// A channel that calls the host alive now. In doubt about a clock it counts: it only holds something up.
pub fn alive<'a>(observations: &'a [Observation], rule: &EvidenceRule, now: Time) -> Option<&'a Observation> {
    observations.iter().find(|o| o.says == Says::Alive && age(o, now) <= limit(o, rule))
}

/// Channels that call the host silent now.
fn silent<'a>(observations: &'a [Observation], rule: &EvidenceRule, now: Time) -> Vec<&'a str> {
    let counts = |o: &&Observation| o.says == Says::Silent && (-AHEAD_SECONDS..=limit(o, rule)).contains(&age(o, now));
    observations.iter().filter(counts).map(|o| o.channel.as_str()).collect()
}

/// In words, without a number that changes from look to look.
pub fn alive_in_words(o: &Observation, rule: &EvidenceRule) -> String {
    format!("channel {} called it alive less than {} s ago (sent by {})", o.channel, limit(o, rule), o.by)
}

/// What channels say of a host for which something was begun that nobody asked for, before anything was done to it: who calls it
/// alive, in words. A silence that is demanded for the action and missing holds it until it is heard again, and so does what cannot
/// be read.
pub(crate) fn objection(heard: &Fact<Vec<Observation>>, rule: &EvidenceRule, action: Action, now: Time) -> Result<Option<String>, Next> {
    let observations = match heard {
        Fact::Seen(observations, _) => observations.as_slice(),
        Fact::Absent(_) => &[],
        Fact::Unknown(why) => return Err(wait(reasons::EVIDENCE_MISSING, format!("what other channels say of it cannot be read: {why}"), 3)),
    };
    if let Some(o) = alive(observations, rule, now) {
        return Ok(Some(alive_in_words(o, rule)));
    }
    match unheard(observations, rule, rule.demanded(action), now) {
        None => Ok(None),
        Some(missing) => {
            let message = format!("{} of its RemediationPolicy is not met: {missing}, or cancel this and act by hand", rule.asks(action));
            Err(wait(reasons::EVIDENCE_MISSING, message, 3))
        }
    }
}

/// Which of these watch storage.
fn of_storage<'a>(silent: &[&'a str], rule: &EvidenceRule) -> Vec<&'a str> {
    silent.iter().copied().filter(|channel| rule.storage_channels.iter().any(|s| s == channel)).collect()
}

/// What is missing for a level, as far as other channels give it.
fn unheard(observations: &[Observation], rule: &EvidenceRule, level: Level, now: Time) -> Option<String> {
    let silent = silent(observations, rule, now);
    let (missing, whose) = match level {
        Level::SecondChannelSilent => (silent.is_empty(), "no channel"),
        Level::StorageSilent => (of_storage(&silent, rule).is_empty(), "none of storageChannels"),
        _ => return None,
    };
    let message = format!("{whose} called it silent in the last {} s; see whether those that send to /v1/evidence work", rule.max_age_seconds);
    missing.then_some(message)
}

/// What a begin takes evidence for first.
fn action_of(what: Begin) -> Action {
    if what == Begin::Restart { Action::Restart } else { Action::Fence }
}

/// Why nothing is begun for a host that Nova calls down, if the evidence is why.
pub(super) fn hold(row: &HostRow, rule: &EvidenceRule, what: Begin, now: Time) -> Option<(&'static str, String)> {
    let (host, status, observations) = (&row.host.metadata.name, &row.host.status, &row.heard.observations);
    if let Some(o) = alive(observations, rule, now) {
        let what = alive_in_words(o, rule);
        let message =
            format!("{what}: its nova-compute may have died alone; look at it. If the channel is wrong, stop it, or `evacuate {host}` by hand");
        return Some((reasons::ALIVE_ELSEWHERE, message));
    }
    let action = action_of(what);
    let level = rule.demanded(action);
    let asks = match rule.field_of(action).as_str() {
        "demand" => format!("spec.evidence.demand is {:?}", rule.demand),
        _ => format!("in power epoch {} there is not what {} asks for", status.epoch, rule.asks(action)),
    };
    if let Some(missing) = unheard(observations, rule, level, now) {
        return Some((reasons::EVIDENCE_MISSING, format!("{asks}, and {missing}, or `evacuate {host}` by hand")));
    }
    // Never switched off by us: it has to be off, or a person has to say so where nobody can read it.
    let off = status.power.state == PowerState::Off || (attested(row).is_some() && rule.attestation == AttestationRule::Accepted);
    if level == Level::PowerOff && !off {
        let message = format!("{asks}: it does not read off, and is not switched off; power it off yourself, or `evacuate {host}` by hand");
        return Some((reasons::EVIDENCE_MISSING, message));
    }
    None
}

/// The FenceAttestation of its present epoch.
fn attested(row: &HostRow) -> Option<&str> {
    row.heard.attested.as_ref().filter(|(_, epoch)| *epoch == row.host.status.epoch).map(|(name, _)| name.as_str())
}

/// What meets a level that the policy asks for by itself, for people; empty if it asks for none.
pub(super) fn met(now: &Availability, rule: &EvidenceRule, what: Begin, epoch: i64) -> String {
    let action = action_of(what);
    if now.state != AvailabilityState::Down || what.is_return() || rule.field_of(action) == "demand" {
        return String::new();
    }
    format!("; {} is met in power epoch {epoch}: {}", rule.asks(action), now.evidence.join(", "))
}

/// What speaks for its death, weakest first. For people: what is done goes by the rules, not by this.
pub(super) fn tiers(row: &HostRow, rule: &EvidenceRule, now: Time) -> Vec<String> {
    if row.up.seen() != Some(&false) {
        return Vec::new();
    }
    let status = &row.host.status;
    let mut tiers = vec!["L0 ServiceSilent".to_string()];
    let silent = silent(&row.heard.observations, rule, now);
    let storage = of_storage(&silent, rule);
    if !silent.is_empty() {
        tiers.push(format!("L1 ChannelSilent {}", silent.join(",")));
    }
    if !storage.is_empty() {
        tiers.push(format!("L2 StorageSilent {}", storage.join(",")));
    }
    if status.power.state == PowerState::Off {
        tiers.push(format!("L3 PowerOff in epoch {}", status.epoch));
    }
    if let Some(name) = attested(row) {
        tiers.push(format!("L5 Attested {name} in epoch {}", status.epoch));
    }
    tiers
}
