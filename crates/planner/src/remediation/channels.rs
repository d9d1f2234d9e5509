//! What other channels say of a host. They can hold a recovery up, and never lower what S2 to S5 ask for.

use super::HostRow;
use crate::{Fact, Next, contract::wait};
use schemas::{
    Time,
    v1::{Demand, EvidenceRule, Observation, PowerState, Says, reasons},
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
/// alive, in words. A silence that is demanded and missing holds it until it is heard again, and so does what cannot be read.
pub(crate) fn objection(heard: &Fact<Vec<Observation>>, rule: &EvidenceRule, now: Time) -> Result<Option<String>, Next> {
    let observations = match heard {
        Fact::Seen(observations, _) => observations.as_slice(),
        Fact::Absent(_) => &[],
        Fact::Unknown(why) => return Err(wait(reasons::EVIDENCE_MISSING, format!("what other channels say of it cannot be read: {why}"), 3)),
    };
    if let Some(o) = alive(observations, rule, now) {
        return Ok(Some(alive_in_words(o, rule)));
    }
    if is_missing(observations, rule, now) {
        let message = format!(
            "its RemediationPolicy demands a second channel, and none called it silent in the last {} s; see whether those that send to /v1/evidence work, or cancel this and act by hand",
            rule.max_age_seconds
        );
        return Err(wait(reasons::EVIDENCE_MISSING, message, 3));
    }
    Ok(None)
}

/// Whether a second channel is demanded, and none calls the host silent now.
fn is_missing(observations: &[Observation], rule: &EvidenceRule, now: Time) -> bool {
    rule.demand == Demand::SecondChannelSilent && silent(observations, rule, now).is_empty()
}

/// Why nothing is begun for a host that Nova calls down, if other channels are why.
pub(super) fn hold(host: &str, observations: &[Observation], rule: &EvidenceRule, now: Time) -> Option<(&'static str, String)> {
    if let Some(o) = alive(observations, rule, now) {
        let what = alive_in_words(o, rule);
        let message =
            format!("{what}: its nova-compute may have died alone; look at it. If the channel is wrong, stop it, or `evacuate {host}` by hand");
        return Some((reasons::ALIVE_ELSEWHERE, message));
    }
    if is_missing(observations, rule, now) {
        let message = format!(
            "spec.evidence.demand is SecondChannelSilent, and no channel called it silent in the last {} s; see whether those that send to /v1/evidence work, or `evacuate {host}` by hand",
            rule.max_age_seconds
        );
        return Some((reasons::EVIDENCE_MISSING, message));
    }
    None
}

/// What speaks for its death, weakest first. For people: what is done goes by the rules, not by this.
pub(super) fn tiers(row: &HostRow, rule: &EvidenceRule, now: Time) -> Vec<String> {
    if row.up.seen() != Some(&false) {
        return Vec::new();
    }
    let status = &row.host.status;
    let mut tiers = vec!["L0 ServiceSilent".to_string()];
    let silent = silent(&row.heard.observations, rule, now);
    if !silent.is_empty() {
        tiers.push(format!("L1 ChannelSilent {}", silent.join(",")));
    }
    if status.power.state == PowerState::Off {
        tiers.push(format!("L3 PowerOff in epoch {}", status.epoch));
    }
    if let Some((name, _)) = row.heard.attested.as_ref().filter(|(_, epoch)| *epoch == status.epoch) {
        tiers.push(format!("L5 Attested {name} in epoch {}", status.epoch));
    }
    tiers
}
