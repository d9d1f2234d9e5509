//! Alive, dead, or in doubt (S2).

use crate::{Fact, facts::HostFacts};
use schemas::v1::PowerState;

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Nova says up, and the row moved without a write of ours.
    Alive,
    /// Silent in two reads two report intervals apart, while others were heard and power could be read.
    Dead,
    /// Anything else, with what is missing.
    InDoubt(String),
}

impl Liveness {
    /// `Alive`, `Dead` or `InDoubt`.
    pub fn word(&self) -> &'static str {
        match self {
            Liveness::Alive => "Alive",
            Liveness::Dead => "Dead",
            Liveness::InDoubt(_) => "InDoubt",
        }
    }
}

/// A remembered read that is older than the row itself by more than this says nothing of now, in milliseconds.
const STALE_MILLIS: i64 = 2_000;

/// Judges by the reads since our last write of the row. `interval` is Nova's report interval, in seconds.
pub fn liveness(facts: &HostFacts, interval: i64) -> Liveness {
    match but_for_power(facts, interval) {
        Liveness::Dead => in_the_dark(facts).unwrap_or(Liveness::Dead),
        other => other,
    }
}

/// What keeps a silent host in doubt: power that cannot be read. Of that a FenceAttestation speaks, and of nothing else.
fn in_the_dark(facts: &HostFacts) -> Option<Liveness> {
    if facts.links.is_empty() {
        return Some(Liveness::InDoubt("it has no power link; create a PowerDevice and a PowerLink".into()));
    }
    unreadable(facts).map(Liveness::InDoubt)
}

fn unreadable(facts: &HostFacts) -> Option<String> {
    let blind: Vec<&str> = facts.links.iter().filter(|l| l.state.seen().is_none()).map(|l| l.name.as_str()).collect();
    (!blind.is_empty()).then(|| format!("power cannot be read through {}; make its BMC reachable", blind.join(", ")))
}

/// As [`liveness`], whether the power of a host that is silent can be read or not.
pub fn but_for_power(facts: &HostFacts, interval: i64) -> Liveness {
    let doubt = |why: String| Liveness::InDoubt(why);
    let (service, read_at) = match &facts.service {
        Fact::Seen(service, at) => (service, *at),
        Fact::Absent(_) => return doubt("Nova has no nova-compute service of this name".into()),
        Fact::Unknown(why) => return doubt(format!("Nova cannot be read: {why}")),
    };
    let Some(last) = facts.beats.last() else { return doubt("no reading of its service yet".into()) };
    if read_at.millis_since(last.at) > STALE_MILLIS {
        return doubt("its last remembered reading is older than its row; it is watched anew".into());
    }
    let gap = 2 * interval;
    let Some(first) = facts.beats.iter().rev().find(|b| last.at.seconds_since(b.at) >= gap) else {
        return doubt(format!("its service has been watched for less than {gap} s (two report intervals)"));
    };
    let between: Vec<_> = facts.beats.iter().filter(|b| b.at >= first.at).collect();
    if service.up && last.up && first.updated_at != last.updated_at {
        return match crate::proof::state_of(&facts.links) {
            PowerState::Off => doubt("its service is up, but its power reads off; check its power links".into()),
            // What cannot be read might say off.
            _ => unreadable(facts).map_or(Liveness::Alive, |why| doubt(format!("its service is up, but {why}"))),
        };
    }
    if service.updated_at != last.updated_at || between.iter().any(|b| b.updated_at != last.updated_at) {
        return doubt("its service is down or forced down, but still reports; clear forced_down, or find out who reports".into());
    }
    if service.up || last.up {
        return doubt("its service does not report, but Nova does not call it down yet".into());
    }
    if between.iter().any(|b| b.up) {
        return doubt(format!("Nova has called its service down for less than {gap} s (two report intervals); it is read again"));
    }
    if !between.iter().all(|b| b.others_up) {
        return doubt("no other nova-compute was up in the same reads: the silence may be Nova's, not the host's".into());
    }
    if !between.iter().all(|b| b.conductor_up) {
        return doubt("no nova-conductor was up in the same reads: the silence may be Nova's, not the host's".into());
    }
    Liveness::Dead
}

/// Whether the row moved between two reads two report intervals apart; `None`: not watched for so long.
pub fn beats(reads: &[crate::facts::Beat], interval: i64) -> Option<bool> {
    let last = reads.last()?;
    let first = reads.iter().rev().find(|b| last.at.seconds_since(b.at) >= 2 * interval)?;
    Some(first.updated_at != last.updated_at)
}
