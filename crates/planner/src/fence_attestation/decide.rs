//! Whether an attestation is in force, and why it has ended.

use crate::{Decision, Env, EventDraft, Next, facts::HostFacts, proof, proof::EvidenceBody, status};
use schemas::{
    ConditionStatus, Conditions, Object, Time,
    v1::{Cancel, FenceAttestation, FenceAttestationStatus, reasons},
};

/// Longest time until it is looked at again, in seconds.
const LOOK_AGAIN: i64 = 15;

/// Decides whether it still counts. It does nothing by itself: evacuations of its host go by it.
pub fn decide(object: &Object<FenceAttestation>, facts: &HostFacts, env: &Env) -> Decision<FenceAttestationStatus> {
    let mut status = object.status.clone();
    if status.finished_at.is_some() {
        return Decision::new(status, env.evidence.clone(), Next::Finished);
    }
    let evidence = proof::take_in(env, facts);
    let (generation, now) = (object.metadata.generation, env.now);
    let attested = evidence.attested.as_ref().filter(|a| a.uid == object.metadata.uid);
    let going_by = attested.and_then(|a| a.used_by.as_ref()).map(|(owner, _)| owner);
    let went_by = (evidence.attestation_used == object.metadata.uid).then_some(&evidence.attestation_used_by);
    status.used_by = going_by.or(went_by.filter(|by| !by.is_empty())).cloned().or(status.used_by);
    status.observed_generation = generation;
    let spec = &object.spec;
    let stated = format!("{} states that {} is dead, in power epoch {}", status.by, spec.host_ref.name, spec.power_epoch);
    let end = ended(object, &status, &evidence, now);
    let mut events = Vec::new();
    // Also of one by which an evacuation went, and ended, before the first look at it.
    if status.conditions.is_empty() && end.as_ref().is_none_or(|(went_well, ..)| *went_well) {
        events.push(EventDraft { warning: true, reason: reasons::IN_FORCE, note: format!("{stated}: {}", spec.statement) });
    }
    let next = match end {
        Some((ok, reason, message)) => {
            status.finished_at = Some(now);
            status.conditions.set("Accepted", ok.into(), reason, &message, generation, now);
            status.conditions.set("Succeeded", ok.into(), reason, &message, generation, now);
            events.push(EventDraft { warning: false, reason, note: message.clone() });
            status.progress = message;
            Next::Finished
        }
        None => {
            status.conditions.set("Accepted", ConditionStatus::True, reasons::IN_FORCE, &stated, generation, now);
            status.conditions.set("Succeeded", ConditionStatus::Unknown, reasons::IN_FORCE, "", generation, now);
            status.progress = match &status.used_by {
                Some(owner) => format!("{owner} goes by it"),
                None => "no evacuation goes by it yet".into(),
            };
            Next::Settled { recheck: spec.expires_at.seconds_since(now).clamp(1, LOOK_AGAIN) }
        }
    };
    status.waiting = None;
    status::common(&mut status.conditions, &next, generation, now);
    Decision { events, ..Decision::new(status, evidence, next) }
}

/// Whether it ended well, why, and in words.
fn ended(
    object: &Object<FenceAttestation>,
    status: &FenceAttestationStatus,
    evidence: &EvidenceBody,
    now: Time,
) -> Option<(bool, &'static str, String)> {
    let spec = &object.spec;
    let host = &spec.host_ref.name;
    if evidence.attestation_used == object.metadata.uid {
        let by = status.used_by.as_deref().unwrap_or("the evacuation");
        return Some((true, reasons::USED, format!("{by}, which went by it, has ended")));
    }
    if spec.cancel == Cancel::Requested {
        return Some((false, reasons::WITHDRAWN, "it was withdrawn; nothing more is begun on it".into()));
    }
    if evidence.epoch != spec.power_epoch {
        let message = format!(
            "{host} showed life: power epoch {} has ended, it is now in epoch {}. If it is dead all the same, look again and make another one",
            spec.power_epoch, evidence.epoch
        );
        return Some((false, reasons::EPOCH_ENDED, message));
    }
    (now >= spec.expires_at).then(|| (false, reasons::EXPIRED, format!("it was to count until {}", spec.expires_at)))
}
