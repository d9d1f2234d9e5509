//! How many hosts may be down before nothing new is begun (I6).

use super::{Answer, HostRow, Input, PolicyRow};
use schemas::{
    ConditionStatus,
    v1::{AvailabilityState, Watching, reasons},
};

/// What counts against a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Impact {
    /// Hosts it holds for.
    pub covered: i64,
    /// Of these, hosts that are silent, being recovered, or held down.
    pub unhealthy: i64,
}

/// Whether a host counts. A first silent look does, and one that could not be taken: a storm is one before it is confirmed,
/// and who is not heard may be down (S1).
pub(super) fn counts(row: &HostRow, state: AvailabilityState) -> bool {
    use AvailabilityState::*;
    row.host.status.fence.is_some() || matches!(state, Suspect | Down | Recovering | Recovered) || (row.up.is_unknown() && state != Off)
}

/// The largest number that may be down.
pub(super) fn limit(policy: &PolicyRow, impact: Impact) -> i64 {
    let limits = &policy.policy.spec.limits;
    let share = limits.max_down_permille.map(|permille| impact.covered.saturating_mul(permille) / 1_000);
    share.map_or(limits.max_down_hosts, |share| share.min(limits.max_down_hosts))
}

/// Whether the policy lets anything new be begun. The numbers stand here, and on no host.
pub(super) fn allowed(policy: &PolicyRow, impact: Impact, input: &Input) -> Answer {
    let no = |status: ConditionStatus, reason: &'static str, message: String| Answer { status, reason, message };
    let spec = &policy.policy.spec;
    let (limit, down) = (limit(policy, impact), impact.unhealthy);
    if spec.detection.mode == Watching::Off {
        return no(ConditionStatus::False, reasons::NOT_WATCHED, "spec.detection.mode is Off: nobody counts the silence of its hosts".into());
    }
    if let Some(why) = &input.halted {
        return no(ConditionStatus::False, reasons::RESTORED, why.clone());
    }
    if input.frozen {
        return no(ConditionStatus::False, reasons::FROZEN, "ClusterPolicy default has operations: Frozen; `thaw` goes on".into());
    }
    if spec.limits.max_down_hosts == 0 {
        let message = "spec.limits.maxDownHosts is 0: nothing is begun without a person; set it to the number of hosts that may be down at once";
        return no(ConditionStatus::False, reasons::NEVER_EVACUATE, message.into());
    }
    if let Some(why) = input.observer.doubt() {
        return no(ConditionStatus::Unknown, reasons::OBSERVER_IN_DOUBT, why);
    }
    if input.now.seconds_since(input.led_since) < spec.detection.quiet_seconds {
        let message = format!("a controller began to lead less than {} s ago; it looks before it begins anything", spec.detection.quiet_seconds);
        return no(ConditionStatus::False, reasons::QUIET_PERIOD, message);
    }
    if down > limit {
        let message = format!(
            "{down} of {} hosts are down, the limit is {limit}: nothing new is begun for any of them. Find out what they have in common; to go on, raise spec.limits, or evacuate hosts one by one by hand",
            impact.covered
        );
        return no(ConditionStatus::False, reasons::STORM_LIMIT, message);
    }
    Answer {
        status: ConditionStatus::True,
        reason: reasons::WITHIN_LIMITS,
        message: format!("{down} of {} hosts are down, the limit is {limit}", impact.covered),
    }
}
