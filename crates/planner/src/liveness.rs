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

/// Judges by the reads since our last write of the row. `interval` is Nova's report interval, in seconds.
pub fn liveness(facts: &HostFacts, interval: i64) -> Liveness {
    let doubt = |why: String| Liveness::InDoubt(why);
    let service = match &facts.service {
        Fact::Seen(service, _) => service,
        Fact::Absent(_) => return doubt("Nova has no nova-compute service of this name".into()),
        Fact::Unknown(why) => return doubt(format!("Nova cannot be read: {why}")),
    };
    let Some(last) = facts.beats.last() else { return doubt("no reading of its service yet".into()) };
    let gap = 2 * interval;
    let Some(first) = facts.beats.iter().rev().find(|b| last.at.seconds_since(b.at) >= gap) else {
        return doubt(format!("its service has been watched for less than {gap} s (two report intervals)"));
    };
    let between: Vec<_> = facts.beats.iter().filter(|b| b.at >= first.at).collect();
    let moved = first.updated_at != last.updated_at;
    if service.up && last.up && moved {
        return if crate::proof::state_of(&facts.links) == PowerState::Off {
            doubt("its service is up, but its power reads off; check its power links".into())
        } else {
            Liveness::Alive
        };
    }
    if moved {
        return doubt("its service is down or forced down, but still reports; clear forced_down, or find out who reports".into());
    }
    if between.iter().any(|b| b.up) {
        return doubt("its service does not report, but Nova does not call it down yet".into());
    }
    if !between.iter().all(|b| b.others_up) {
        return doubt("no other nova-compute was up in the same reads: the silence may be Nova's, not the host's".into());
    }
    if !between.iter().all(|b| b.conductor_up) {
        return doubt("no nova-conductor was up in the same reads: the silence may be Nova's, not the host's".into());
    }
    let blind: Vec<&str> = facts.links.iter().filter(|l| l.state.seen().is_none()).map(|l| l.name.as_str()).collect();
    if facts.links.is_empty() {
        return doubt("it has no power link; create a PowerDevice and a PowerLink".into());
    }
    if !blind.is_empty() {
        return doubt(format!("power cannot be read through {}; make its BMC reachable", blind.join(", ")));
    }
    Liveness::Dead
}

/// Whether the row moved between two reads two report intervals apart; `None`: not watched for so long.
pub fn beats(reads: &[crate::facts::Beat], interval: i64) -> Option<bool> {
    let last = reads.last()?;
    let first = reads.iter().rev().find(|b| last.at.seconds_since(b.at) >= 2 * interval)?;
    Some(first.updated_at != last.updated_at)
}
