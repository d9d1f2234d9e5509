//! PowerDevice and ClusterPolicy: conditions only; they need no steps.

use crate::{Decision, Next, contract::wait, proof::EvidenceBody, status};
use schemas::{
    ConditionStatus, Conditions, Object, Time,
    v1::{self, ClusterPolicyStatus, Operations, PowerDeviceStatus, reasons},
};

/// How a device answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It answered.
    Reached,
    /// It turned the credentials away.
    BadCredentials(String),
    /// It did not answer, or made no sense.
    Unreadable(String),
    /// Its Credential is not there, or cannot be opened.
    NoCredential(String),
}

/// Seconds between looks.
const RESYNC: i64 = 300;

/// Status of a device.
pub fn decide(device: &Object<v1::PowerDevice>, answer: &Answer, used_ports: i64, now: Time) -> Decision<PowerDeviceStatus> {
    use ConditionStatus::{False, True, Unknown};
    let mut s = device.status.clone();
    let generation = device.metadata.generation;
    let next = match answer {
        Answer::Reached => Next::Settled { recheck: RESYNC },
        Answer::BadCredentials(why) => wait("BadCredentials", why.clone(), 120),
        Answer::Unreadable(why) => wait(reasons::POWER_UNREADABLE, why.clone(), 30),
        Answer::NoCredential(why) => wait(reasons::NOT_FOUND, why.clone(), 30),
    };
    s.observed_generation = generation;
    s.used_ports = used_ports;
    s.waiting = status::waiting(&next, device.status.waiting.as_ref(), now);
    status::common(&mut s.conditions, &next, generation, now);
    let (reachable, valid, resolved) = match answer {
        Answer::Reached => (True, True, True),
        Answer::BadCredentials(_) => (True, False, True),
        Answer::Unreadable(_) => (False, Unknown, True),
        Answer::NoCredential(_) => (Unknown, Unknown, False),
    };
    let why = match answer {
        Answer::Reached => "",
        Answer::BadCredentials(why) | Answer::Unreadable(why) | Answer::NoCredential(why) => why,
    };
    let reason = match &next {
        Next::Wait { reason, .. } => reason,
        _ => "Answered",
    };
    for (kind, status) in [("Reachable", reachable), ("CredentialsValid", valid), ("ReferencesResolved", resolved)] {
        s.conditions.set(kind, status, reason, why, generation, now);
    }
    Decision::new(s, EvidenceBody::default(), next)
}

/// Status of the cluster's policy.
pub fn decide_policy(policy: &Object<v1::ClusterPolicy>, open_operations: i64, now: Time) -> Decision<ClusterPolicyStatus> {
    let mut s = policy.status.clone();
    let generation = policy.metadata.generation;
    let frozen = policy.spec.operations == Operations::Frozen;
    s.observed_generation = generation;
    s.open_operations = if frozen { open_operations } else { 0 };
    let (reason, message) = match (frozen, open_operations) {
        (false, _) => (reasons::AS_DESIRED, String::new()),
        (true, 0) => (reasons::FROZEN, "nothing disruptive is begun, and nothing is under way".into()),
        (true, _) => (reasons::FROZEN, "nothing disruptive is begun; what was under way is being settled".into()),
    };
    s.conditions.set("Paused", frozen.into(), reason, &message, generation, now);
    s.conditions.set("Ready", ConditionStatus::True, reason, "", generation, now);
    let recheck = if frozen && open_operations > 0 { 2 } else { RESYNC };
    Decision::new(s, EvidenceBody::default(), Next::Settled { recheck })
}
