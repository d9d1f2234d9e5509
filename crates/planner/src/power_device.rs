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

/// What is under way in the whole cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Calls that may have happened and are not settled.
    pub calls: i64,
    /// Hosts that are being switched off and on, and whose operation has not said that it is paused.
    pub cycles: i64,
}

/// Whether an operation may leave a host switched off between two calls. Between them nothing is open; what is not begun, or says
/// that it is paused, or gave way to another object, begins nothing.
pub fn is_cycling(operation: &Object<v1::HostOperation>) -> bool {
    use v1::{HostOperationType::*, InitialiseMethod};
    let (spec, status) = (&operation.spec, &operation.status);
    let cycles = spec.r#type == PowerCycle || (spec.r#type == Initialise && spec.method == InitialiseMethod::Cycle);
    let gave_way = status.waiting.as_ref().is_some_and(|w| w.reason == reasons::CLAIMED);
    cycles && status.started_at.is_some() && status.finished_at.is_none() && !gave_way && !status.conditions.is_true("Paused")
}

/// Status of the cluster's policy. It is paused once it is acknowledged: nothing disruptive is begun any longer, and nothing is
/// under way.
pub fn decide_policy(policy: &Object<v1::ClusterPolicy>, under_way: UnderWay, now: Time) -> Decision<ClusterPolicyStatus> {
    let mut s = policy.status.clone();
    let generation = policy.metadata.generation;
    let frozen = policy.spec.operations == Operations::Frozen;
    s.observed_generation = generation;
    s.open_operations = if frozen { under_way.calls } else { 0 };
    let busy = frozen && under_way != UnderWay::default();
    let (paused, reason, message) = match under_way {
        _ if !frozen => (false, reasons::AS_DESIRED, String::new()),
        _ if !busy => (true, reasons::FROZEN, "nothing disruptive is begun, and nothing is under way".into()),
        UnderWay { calls: 0, cycles } => (
            false,
            reasons::PAUSING,
            format!("nothing disruptive is begun; {cycles} host(s) that are being switched off and on get their power back first"),
        ),
        UnderWay { calls, .. } => (false, reasons::PAUSING, format!("nothing disruptive is begun; {calls} call(s) under way are settled first")),
    };
    s.conditions.set("Paused", paused.into(), reason, &message, generation, now);
    s.conditions.set("Ready", ConditionStatus::True, reason, "", generation, now);
    let recheck = if busy { 2 } else { RESYNC };
    Decision::new(s, EvidenceBody::default(), Next::Settled { recheck })
}
