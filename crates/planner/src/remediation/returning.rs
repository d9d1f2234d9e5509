//! Whether a host that was evacuated without a person is brought back without one (I15).

use super::{
    input::{HostRow, Input, PolicyRow},
    verdict::{Begin, name_of},
};
use schemas::v1::{Approval, Availability, PowerOnReturn, PowerState, PowerWish, Restart, ReturnMode, Schedulable, reasons};

/// Why a host is not brought back without a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A person has to do it, and why.
    Person(String),
    /// All is ready, and a person has to approve it.
    Approval,
}

/// How it is brought back, or why it is not. An approval is asked for last, when all else is ready.
pub(super) fn wish(row: &HostRow, policy: &PolicyRow, now: &Availability) -> Result<Begin, Refusal> {
    let rules = &policy.policy.spec.return_to_service;
    may_be(row, policy, now).map_err(Refusal::Person)?;
    if is_too_often(policy, now) {
        return Err(Refusal::Person("it was restarted or brought back too often".into()));
    }
    let begin = match (rules.power_on, row.host.status.power.state) {
        (PowerOnReturn::AfterRecovery, _) => Begin::PowerOn,
        (PowerOnReturn::Never, PowerState::On) => Begin::Enable,
        (PowerOnReturn::Never, _) => return Err(Refusal::Person("it does not read on, and returnToService.powerOn is Never".into())),
    };
    // It is about the one recovery that it names.
    let approved = now.evacuation.is_some() && row.host.spec.approved_return == now.evacuation;
    if rules.approval == Approval::Required && !approved { Err(Refusal::Approval) } else { Ok(begin) }
}

/// Whether it may be brought back without a person, were it only for what was done to it before.
pub(super) fn may_be(row: &HostRow, policy: &PolicyRow, now: &Availability) -> Result<(), String> {
    let (spec, status, rules) = (&row.host.spec, &row.host.status, &policy.policy.spec.return_to_service);
    let evacuation = now.evacuation.as_deref().unwrap_or_default();
    if rules.mode == ReturnMode::Manual {
        return Err(format!("RemediationPolicy {} has returnToService.mode: Manual", policy.policy.metadata.name));
    }
    if row.ended.as_deref() != Some(reasons::SUCCEEDED) {
        return Err("its evacuation did not end well".into());
    }
    match row.last_evacuation.as_deref() {
        Some(last) if last == evacuation => {}
        Some(other) => return Err(format!("it was evacuated again since, by Evacuation/{other}")),
        None => return Err(format!("Evacuation/{evacuation} is not kept any longer")),
    }
    let Some(fence) = &status.fence else { return Err("it is not fenced".into()) };
    if fence.by != format!("Evacuation/{evacuation}") {
        return Err(format!("{} fenced it as well", fence.by));
    }
    if !fence.disabled_by_us || spec.schedulable == Schedulable::Disabled {
        return Err("its Nova service was disabled by somebody else".into());
    }
    if spec.power == PowerWish::Off {
        return Err("spec.power is Off".into());
    }
    let operation = row.open_operations.iter().map(|o| format!("HostOperation/{}", o.metadata.name)).next();
    match operation.or_else(|| row.open_evacuation.clone()) {
        Some(other) => Err(format!("{other} is under way on it")),
        None => Ok(()),
    }
}

/// Whether it was restarted or brought back as often as the policy allows.
pub(super) fn is_too_often(policy: &PolicyRow, now: &Availability) -> bool {
    i64::try_from(now.returns.len()).unwrap_or(i64::MAX) >= policy.policy.spec.return_to_service.max_returns
}

/// Forgets returns that are older than the policy's window.
pub(super) fn forget(policy: &PolicyRow, mut now: Availability, input: &Input) -> Availability {
    now.returns.retain(|at| input.seconds_since(*at) < policy.policy.spec.return_to_service.window_seconds);
    now
}

/// What is begun first for a host that is down.
pub(super) fn first(row: &HostRow, policy: &PolicyRow, now: &Availability) -> Begin {
    let restart = policy.policy.spec.restart == Restart::Allow && now.operation.is_none() && !is_too_often(policy, now);
    // An operation under way, if only a drain, has to end before another can be begun.
    if restart && row.open_operations.is_empty() { Begin::Restart } else { Begin::Evacuate }
}

/// Longest time that a return may take, in seconds: booting, and the hold of S8, fit in.
const RETURN_SECONDS: i64 = 1_800;

/// Whether the time for the operation that was begun for it is up.
pub(super) fn is_late(policy: &PolicyRow, now: &Availability, input: &Input) -> bool {
    use schemas::v1::AvailabilityState::{Restarting, Returning};
    let seconds = match now.state {
        Restarting => policy.policy.spec.restart_timeout_seconds,
        Returning => RETURN_SECONDS,
        _ => return false,
    };
    now.since.is_some_and(|since| input.seconds_since(since) >= seconds)
}

/// What keeps a host in quarantine.
pub(super) fn quarantine(host: &str, policy: &PolicyRow, now: &Availability) -> String {
    let rules = &policy.policy.spec.return_to_service;
    let failed = name_of(Begin::PowerOn, host, now.downs);
    let why = if now.operation.as_ref() == Some(&failed) {
        format!("HostOperation/{failed} did not bring it back")
    } else {
        format!("it was restarted or brought back {} times within {} s", rules.max_returns, rules.window_seconds)
    };
    format!("{why}: it stays as it is until a person does it; look at the machine, then `power on {host}` or `enable {host}`")
}
