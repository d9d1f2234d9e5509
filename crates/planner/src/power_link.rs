//! PowerLink: does it hold, and what does it read? (S3)

use crate::{Decision, Fact, Next, contract::wait, proof::EvidenceBody, status};
use schemas::{
    ConditionStatus, Conditions, Object, Time,
    v1::{self, Binding, LinkIdentity, PowerLinkStatus, PowerState, VerifiedBy, power_link::Verification, reasons},
};

/// What was read about a link.
#[derive(Clone, Debug)]
pub struct PowerLinkFacts {
    /// What a verification made now would hold for; absent if device, host or service is not there (with why).
    pub binding: Result<Binding, String>,
    /// What it reads.
    pub state: Fact<PowerState>,
    /// Whether the machine is who `spec.identity` says; not read if there is no such field or the link is verified.
    pub identity: Fact<Result<(), String>>,
}

/// Seconds between readings.
const RESYNC: i64 = 300;

/// Compares who the machine says it is with who it should be; `Err` says what differs.
pub fn identity_matches(want: &LinkIdentity, system_uuid: Option<&str>, serial_number: Option<&str>) -> Result<(), String> {
    let says = |text: &&str| !text.trim().is_empty();
    let fields = [("systemUuid", &want.system_uuid, system_uuid), ("serialNumber", &want.serial_number, serial_number)];
    if !fields.iter().any(|(_, want, _)| want.as_deref().is_some_and(|w| says(&w))) {
        return Err("spec.identity names no machine; give systemUuid or serialNumber".into());
    }
    for (field, want, got) in fields {
        let Some(want) = want else { continue };
        match got.filter(says) {
            Some(got) if got.trim().eq_ignore_ascii_case(want.trim()) => {}
            Some(got) => {
                return Err(format!(
                    "the machine's {field} is {got}, spec.identity.{field} is {want}; this is another machine, or the field is wrong"
                ));
            }
            None => return Err(format!("the BMC does not tell a {field}; use another method of initialise")),
        }
    }
    Ok(())
}

/// Whether a link's verification holds for what is there now.
pub fn holds(verification: Option<&Verification>, binding: &Binding) -> bool {
    verification.is_some_and(|v| v.binding == *binding)
}

/// Whether a link may still be sent a command through that was verified when it was decided on: neither it nor its device was changed
/// since (S3). Which Nova service answers on the host is not read again just before sending.
pub fn still_holds(verification: Option<&Verification>, binding: &Binding) -> bool {
    verification.is_some_and(|v| v.binding == Binding { service_id: v.binding.service_id.clone(), ..binding.clone() })
}

/// Decides a link's status; links need no steps.
pub fn decide(link: &Object<v1::PowerLink>, facts: &PowerLinkFacts, now: Time) -> Decision<PowerLinkStatus> {
    let mut s = link.status.clone();
    let generation = link.metadata.generation;
    let next = judge(&mut s, link, facts, now);
    s.observed_generation = generation;
    s.state = facts.state.seen().copied().unwrap_or(PowerState::Unknown);
    s.waiting = status::waiting(&next, link.status.waiting.as_ref(), now);
    status::common(&mut s.conditions, &next, generation, now);
    let mut set = |kind: &str, status: ConditionStatus, reason: &str, message: &str| s.conditions.set(kind, status, reason, message, generation, now);
    match &facts.binding {
        Ok(_) => set("ReferencesResolved", ConditionStatus::True, "Resolved", ""),
        Err(why) => set("ReferencesResolved", ConditionStatus::False, reasons::NOT_FOUND, why),
    }
    match &s.verification {
        Some(v) => {
            let (reason, message) = (format!("{:?}", v.by), format!("by {}", v.who));
            s.conditions.set("Verified", ConditionStatus::True, &reason, &message, generation, now);
        }
        None => {
            let message = format!("run `initialise {}`", link.spec.host_ref.name);
            s.conditions.set("Verified", ConditionStatus::False, "NotVerified", &message, generation, now);
        }
    }
    Decision::new(s, EvidenceBody::default(), next)
}

fn judge(s: &mut PowerLinkStatus, link: &Object<v1::PowerLink>, facts: &PowerLinkFacts, now: Time) -> Next {
    let binding = match &facts.binding {
        Ok(binding) => binding,
        // The verification is kept while the service cannot be read, and not used: `holds` needs a binding.
        Err(why) => return wait(reasons::NOT_FOUND, why.clone(), 30),
    };
    if s.verification.is_some() && !holds(s.verification.as_ref(), binding) {
        s.verification = None;
    }
    if s.verification.is_none() && link.spec.identity.is_some() {
        match facts.identity.seen() {
            Some(Ok(())) => {
                s.verification = Some(Verification { by: VerifiedBy::Identity, who: "spec.identity".into(), at: now, binding: binding.clone() });
            }
            Some(Err(why)) => return wait(reasons::REFUSED, why.clone(), 60),
            None => return wait(reasons::POWER_UNREADABLE, format!("the machine's identity cannot be read: {}", facts.identity.why()), 10),
        }
    }
    match &facts.state {
        Fact::Unknown(why) => wait(reasons::POWER_UNREADABLE, format!("power cannot be read: {why}"), 30),
        _ if s.verification.is_none() => {
            wait(reasons::NO_VERIFIED_LINK, format!("not verified; run `initialise {}`", link.spec.host_ref.name), RESYNC)
        }
        _ => Next::Settled { recheck: RESYNC },
    }
}
