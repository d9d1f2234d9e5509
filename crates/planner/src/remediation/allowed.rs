//! Whether something may be begun for one host, and why not.

use super::{
    budget::Footing,
    channels,
    choice::Unclear,
    holding::forbidden,
    input::{HostRow, PolicyRow},
    returning::{self, Refusal},
    verdict::{Answer, Begin},
};
use crate::Fact;
use schemas::{
    ConditionStatus, Conditions, Time,
    v1::{Availability, AvailabilityState, HostOperationType, reasons},
};

/// Whether something may be begun for this host; for one that is down that is `what`.
pub(super) fn host_allowed(row: &HostRow, policy: &PolicyRow, now: &Availability, what: Begin, footing: &Footing, at: Time) -> Answer {
    let name = &policy.policy.metadata.name;
    let host = &row.host.metadata.name;
    let (evacuation, operation) = (now.evacuation.as_deref().unwrap_or_default(), now.operation.as_deref().unwrap_or_default());
    match now.state {
        AvailabilityState::Recovering => return Answer::yes(reasons::PROGRESSING, format!("Evacuation/{evacuation} was begun")),
        AvailabilityState::Restarting | AvailabilityState::Returning => {
            return Answer::yes(reasons::PROGRESSING, format!("HostOperation/{operation} was begun"));
        }
        AvailabilityState::Recovered => return recovered(row, policy, now, footing),
        AvailabilityState::Quarantined => return Answer::no(reasons::QUARANTINED, returning::quarantine(host, policy, now)),
        _ => {}
    }
    if let Some(pool) = row.spare() {
        return Answer::no(reasons::NOTHING_TO_EVACUATE, format!("StandbyPool {pool} has it in reserve: nothing runs on it"));
    }
    if let Some((reason, message)) = forbidden(host, &row.host.spec, name, &policy.policy.spec, what) {
        return Answer::no(reason, message);
    }
    // A drain of a host that died has nothing more to hope for; any other operation may be the cause of the silence.
    let operation =
        row.open_operations.iter().find(|o| o.spec.r#type != HostOperationType::Drain).map(|o| format!("HostOperation/{}", o.metadata.name));
    if let Some(other) = operation.or_else(|| row.open_evacuation.clone()) {
        return Answer::no(reasons::CLAIMED, format!("{other} is under way on it"));
    }
    if let Some(fence) = &row.host.status.fence {
        return Answer::no(reasons::FENCED, format!("{} fenced it; `evacuate {host}` moves what may be left on it", fence.by));
    }
    if let Some(by) = switched_off_by(row) {
        return Answer::no(
            reasons::SWITCHED_OFF,
            format!("{by} switched it off just before it fell silent; `evacuate {host}` moves what may be left on it"),
        );
    }
    let held = channels::hold(row, &policy.policy.spec.evidence, what, at);
    if let Some((reason, message)) = held.filter(|_| now.state == AvailabilityState::Down) {
        return Answer::no(reason, message);
    }
    let all = &footing.allowed;
    // The evacuation that follows a restart is part of what was begun with it.
    let part_of_a_begin = all.reason == reasons::RATE_LIMIT && now.operation.is_some();
    if !all.is_yes() && !part_of_a_begin {
        return Answer {
            status: all.status,
            reason: all.reason,
            message: format!("see the condition RemediationAllowed of RemediationPolicy {name}"),
        };
    }
    let met = channels::met(now, &policy.policy.spec.evidence, what, row.host.status.epoch);
    Answer::yes(reasons::WITHIN_LIMITS, format!("RemediationPolicy {name} holds{met}"))
}

/// Whether a host whose evacuation has ended is brought back.
fn recovered(row: &HostRow, policy: &PolicyRow, now: &Availability, footing: &Footing) -> Answer {
    let host = &row.host.metadata.name;
    let ended = format!("Evacuation/{} has ended", now.evacuation.as_deref().unwrap_or_default());
    match (returning::wish(row, policy, now), &footing.held) {
        (Ok(_), None) => Answer::yes(reasons::RECOVERY_ENDED, format!("{ended}; it is brought back into service")),
        (Ok(_), Some(held)) => {
            Answer::no(held.reason, format!("{ended}; it is brought back when the RemediationPolicy lets anything be begun again"))
        }
        (Err(Refusal::Approval), _) => {
            let message = format!(
                "{ended}, and all is ready to bring it back; RemediationPolicy {} has returnToService.approval: Required: look at the machine, then `approve {host}` lets it be brought back",
                policy.policy.metadata.name
            );
            Answer::no(reasons::APPROVAL_REQUIRED, message)
        }
        (Err(Refusal::Person(why)), _) => {
            let message = format!(
                "{ended}; nothing more is begun before the host was back, and it is not brought back without a person: {why}. `power on {host}` or `enable {host}` brings it back, `evacuate {host}` tries what is left"
            );
            Answer::no(reasons::RECOVERY_ENDED, message)
        }
    }
}

/// Whether there is a reason to begin now for a host that counts as down: this very look says so as well (S1), and, to be
/// evacuated, it has guests.
pub(super) fn worth_it(row: &HostRow, what: Begin, allowed: Answer) -> Answer {
    let unreadable = |what: &str, why: &str| Answer {
        status: ConditionStatus::Unknown,
        reason: reasons::NOVA_UNREADABLE,
        message: format!("{what} cannot be read: {why}; see whether Nova answers"),
    };
    match (&row.up, &row.guests) {
        (Fact::Unknown(why), _) => unreadable("its service", why),
        (Fact::Absent(_), _) => Answer::no(reasons::VANISHED, "Nova has no nova-compute service of this name any longer"),
        (Fact::Seen(true, _), _) => Answer::no(reasons::HOST_RETURNED, "it reports again; it counts as up after `detection.upConfirmations` looks"),
        (Fact::Seen(false, _), _) if what == Begin::Restart => allowed,
        (Fact::Seen(false, _), Fact::Seen(0, _)) => Answer::no(reasons::NOTHING_TO_EVACUATE, "Nova shows no guest on it"),
        (Fact::Seen(false, _), Fact::Seen(..)) => allowed,
        (Fact::Seen(false, _), guests) => unreadable("the list of its guests", guests.why()),
    }
}

/// Nova calls a host down a minute after it was switched off; one that fell silent so many seconds later died of something else.
const SWITCHED_OFF_SECONDS: i64 = 600;

/// The operation that switched a silent host off, if its newest one did so shortly before.
pub(super) fn switched_off_by(row: &HostRow) -> Option<String> {
    use HostOperationType::{PowerOff, Shutdown, SoftOff};
    let operation = row.last_operation.as_ref()?;
    let availability = row.host.status.availability.as_ref()?;
    let did = operation.status.conditions.is_true("Succeeded") && matches!(operation.spec.r#type, PowerOff | SoftOff | Shutdown);
    let before = availability.since?.seconds_since(operation.status.finished_at?) < SWITCHED_OFF_SECONDS;
    let silent = availability.state >= AvailabilityState::Off;
    (did && silent && (before || availability.state == AvailabilityState::Off)).then(|| format!("HostOperation/{}", operation.metadata.name))
}

impl From<Unclear> for Answer {
    fn from(unclear: Unclear) -> Answer {
        let (reason, message) = unclear.answer();
        Answer::no(reason, message)
    }
}
