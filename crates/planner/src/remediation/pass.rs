//! One decision over all hosts.

use super::{
    budget::{self, Impact},
    choice::{Choice, Unclear},
    walk::{Look, walk},
};
use crate::Fact;
use schemas::{
    ConditionStatus, Conditions, Object, Time,
    v1::{
        AutomaticEvacuation, Availability, AvailabilityState, EvacuationRule, Host, HostOperation, HostOperationType, PowerState, PowerWish,
        RemediationPolicy, Watching, reasons,
    },
};
use std::collections::BTreeMap;

/// A host, and what is known about it.
#[derive(Clone, Debug)]
pub struct HostRow {
    /// The object.
    pub host: Object<Host>,
    /// Whether Nova calls its service up. Absent: Nova has no such service.
    pub up: Fact<bool>,
    /// Its operations that have not ended.
    pub open_operations: Vec<Object<HostOperation>>,
    /// Its evacuation that has not ended.
    pub open_evacuation: Option<String>,
    /// Its newest operation; asked only for a host that is not up.
    pub last_operation: Option<Object<HostOperation>>,
    /// The reason that its automatic evacuation ended with, if it did or is gone.
    pub ended: Option<String>,
    /// Guests Nova shows on it; asked only for a host that would be evacuated.
    pub guests: Fact<usize>,
}

/// A policy, and whether its hosts are due for a look.
#[derive(Clone, Debug)]
pub struct PolicyRow {
    /// The object.
    pub policy: Object<RemediationPolicy>,
    /// Its interval has passed.
    pub due: bool,
}

/// Whether those who look can be trusted (I5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observer {
    /// A conductor was up in the same read: without one no compute can report.
    pub conductor_up: bool,
    /// Computes that were up in the same read.
    pub computes_up: usize,
}

impl Observer {
    /// What speaks against it.
    pub(super) fn doubt(self) -> Option<String> {
        let said =
            |what: &str| Some(format!("{what} in the same read: the silence may be Nova's, not the hosts'; look at its message queue and database"));
        match self {
            Observer { conductor_up: false, .. } => said("no nova-conductor was up"),
            Observer { computes_up: 0, .. } => said("no nova-compute was up"),
            _ => None,
        }
    }
}

/// All that one pass goes by.
#[derive(Clone, Debug)]
pub struct Input {
    /// Hosts.
    pub hosts: Vec<HostRow>,
    /// Policies.
    pub policies: Vec<PolicyRow>,
    /// Who looked.
    pub observer: Observer,
    /// Now.
    pub now: Time,
    /// Since when this controller has led.
    pub led_since: Time,
    /// The cluster is frozen.
    pub frozen: bool,
    /// Why all acts are frozen (S14), if they are.
    pub halted: Option<String>,
}

/// A condition's status, reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: ConditionStatus,
    /// Stable word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// What becomes of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostVerdict {
    /// Its name.
    pub host: String,
    /// The policy that holds, if that is clear.
    pub policy: Option<String>,
    /// Where it stands now.
    pub availability: Availability,
    /// Whether something may be begun for it, and why not.
    pub allowed: Answer,
    /// Evacuate it.
    pub begin: bool,
    /// Its guests have to be counted before that can be said.
    pub count_guests: bool,
}

/// What becomes of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVerdict {
    /// Its name.
    pub policy: String,
    /// Hosts it holds for.
    pub covered: i64,
    /// Of these, hosts that are silent, being recovered, or held down.
    pub unhealthy: i64,
    /// Hosts that may fail before nothing more is begun.
    pub budget_left: i64,
    /// Whether anything new may be begun.
    pub allowed: Answer,
}

/// Decides for the policies that are due, and for their hosts. Hosts of which nobody can tell whose they are get told so.
pub fn pass(input: &Input) -> (Vec<HostVerdict>, Vec<PolicyVerdict>) {
    let choice = Choice::of(&input.policies);
    let chosen: Vec<Result<&PolicyRow, Unclear>> = input.hosts.iter().map(|row| choice.for_host(&row.host)).collect();
    let standing: Vec<Availability> = input.hosts.iter().zip(&chosen).map(|(row, policy)| stand(row, policy.as_ref().ok(), input)).collect();
    let mut impact: BTreeMap<&str, Impact> = BTreeMap::new();
    for ((row, policy), now) in input.hosts.iter().zip(&chosen).zip(&standing) {
        // A spare that takes no guests is missed by nobody.
        let spare = row.host.status.standby.as_ref().is_some_and(|s| !s.in_service);
        if let Ok(policy) = policy
            && !spare
        {
            let impact = impact.entry(&policy.policy.metadata.name).or_default();
            impact.covered += 1;
            impact.unhealthy += i64::from(budget::counts(row, now.state));
        }
    }
    let of = |policy: &PolicyRow| impact.get(policy.policy.metadata.name.as_str()).copied().unwrap_or_default();
    let answers: BTreeMap<&str, Answer> =
        input.policies.iter().map(|p| (p.policy.metadata.name.as_str(), budget::allowed(p, of(p), input))).collect();
    // Those of a policy that is not due keep what was last said of them.
    let due = |policy: &Result<&PolicyRow, Unclear>| policy.as_ref().map_or(true, |p| p.due);
    let all = input.hosts.iter().zip(chosen).zip(standing).filter(|((_, policy), _)| due(policy));
    let hosts = all.map(|((row, policy), availability)| {
        let (policy, allowed) = match policy {
            Ok(policy) => (Some(policy), host_allowed(row, policy, &availability, &answers[policy.policy.metadata.name.as_str()])),
            Err(unclear) => (None, unclear.into()),
        };
        let down = availability.state == AvailabilityState::Down && allowed.status == ConditionStatus::True;
        let count_guests = down && row.up.seen() == Some(&false) && row.guests.seen().is_none();
        let allowed = if down { worth_it(row, allowed) } else { allowed };
        HostVerdict {
            host: row.host.metadata.name.clone(),
            policy: policy.map(|p| p.policy.metadata.name.clone()),
            availability,
            begin: down && allowed.status == ConditionStatus::True,
            allowed,
            count_guests,
        }
    });
    let policies = input.policies.iter().filter(|p| p.due).map(|p| {
        let Impact { covered, unhealthy } = of(p);
        PolicyVerdict {
            policy: p.policy.metadata.name.clone(),
            covered,
            unhealthy,
            budget_left: (budget::limit(p, of(p)) - unhealthy).max(0),
            allowed: answers[p.policy.metadata.name.as_str()].clone(),
        }
    });
    (hosts.collect(), policies.collect())
}

/// Where a host stands after this pass.
fn stand(row: &HostRow, policy: Option<&&PolicyRow>, input: &Input) -> Availability {
    let status = &row.host.status;
    let old = status.availability.clone().unwrap_or_default();
    let Some(policy) = policy.filter(|p| p.due && p.policy.spec.detection.mode == Watching::On) else { return old };
    // Nobody's word is taken while those who look are in doubt.
    let up = row.up.seen().copied().filter(|_| input.observer.doubt().is_none());
    let as_declared =
        row.host.spec.power == PowerWish::Off && status.power.state == PowerState::Off && status.waiting.is_none() && status.fence.is_none();
    let look = Look {
        up,
        off: (as_declared || switched_off_by(row).is_some()) && up != Some(true),
        ended: row.ended.is_some(),
        returned: row.ended.as_deref() == Some(reasons::HOST_RETURNED),
        fenced: status.fence.is_some(),
    };
    walk(&old, &look, &policy.policy.spec.detection, input.now)
}

/// Whether something may be begun for this host.
fn host_allowed(row: &HostRow, policy: &PolicyRow, now: &Availability, all: &Answer) -> Answer {
    let (name, recovery) = (&policy.policy.metadata.name, &policy.policy.spec.evacuation);
    let no = |reason: &'static str, message: String| Answer { status: ConditionStatus::False, reason, message };
    let host = &row.host.metadata.name;
    match now.state {
        AvailabilityState::Recovering => {
            let evacuation = now.evacuation.as_deref().unwrap_or_default();
            return Answer { status: ConditionStatus::True, reason: reasons::PROGRESSING, message: format!("Evacuation/{evacuation} was begun") };
        }
        AvailabilityState::Recovered => {
            let evacuation = now.evacuation.as_deref().unwrap_or_default();
            let message =
                format!("Evacuation/{evacuation} has ended; nothing more is begun before the host was back. `evacuate {host}` tries what is left");
            return no(reasons::RECOVERY_ENDED, message);
        }
        _ => {}
    }
    if let Some(spare) = row.host.status.standby.as_ref().filter(|s| !s.in_service) {
        return no(reasons::NOTHING_TO_EVACUATE, format!("StandbyPool {} has it in reserve: nothing runs on it", spare.pool));
    }
    if row.host.spec.evacuation == EvacuationRule::Denied {
        return no(reasons::EVACUATION_DENIED, "spec.evacuation is Denied".into());
    }
    if recovery.mode == AutomaticEvacuation::Forbidden {
        return no(
            reasons::EVACUATION_FORBIDDEN,
            format!("RemediationPolicy {name} has evacuation.mode: Forbidden; `evacuate {host}` does it by hand"),
        );
    }
    if recovery.excluded_hosts.contains(host) {
        return no(reasons::EVACUATION_FORBIDDEN, format!("RemediationPolicy {name} excludes it; `evacuate {host}` does it by hand"));
    }
    if let Some(fence) = &row.host.status.fence {
        return no(reasons::FENCED, format!("{} fenced it; `evacuate {host}` moves what is left on it", fence.by));
    }
    if let Some(by) = switched_off_by(row) {
        return no(reasons::SWITCHED_OFF, format!("{by} switched it off just before it fell silent; `evacuate {host}` moves what is left on it"));
    }
    // A drain of a host that died has nothing more to hope for; any other operation may be the cause of the silence.
    let operation =
        row.open_operations.iter().find(|o| o.spec.r#type != HostOperationType::Drain).map(|o| format!("HostOperation/{}", o.metadata.name));
    if let Some(other) = operation.or_else(|| row.open_evacuation.clone()) {
        return no(reasons::CLAIMED, format!("{other} is under way on it"));
    }
    if all.status != ConditionStatus::True {
        return Answer {
            status: all.status,
            reason: all.reason,
            message: format!("see the condition RemediationAllowed of RemediationPolicy {name}"),
        };
    }
    Answer { status: ConditionStatus::True, reason: reasons::WITHIN_LIMITS, message: format!("RemediationPolicy {name} holds") }
}

/// Whether there is a reason to begin now for a host that counts as down: this very look says so as well (S1), and it has guests.
fn worth_it(row: &HostRow, allowed: Answer) -> Answer {
    let unreadable = |what: &str, why: &str| Answer {
        status: ConditionStatus::Unknown,
        reason: reasons::NOVA_UNREADABLE,
        message: format!("{what} cannot be read: {why}; see whether Nova answers"),
    };
    let no = |reason: &'static str, message: &str| Answer { status: ConditionStatus::False, reason, message: message.into() };
    match (&row.up, &row.guests) {
        (Fact::Unknown(why), _) => unreadable("its service", why),
        (Fact::Absent(_), _) => no(reasons::VANISHED, "Nova has no nova-compute service of this name any longer"),
        (Fact::Seen(true, _), _) => no(reasons::HOST_RETURNED, "it reports again; it counts as up after `detection.upConfirmations` looks"),
        (Fact::Seen(false, _), Fact::Seen(0, _)) => no(reasons::NOTHING_TO_EVACUATE, "Nova shows no guest on it"),
        (Fact::Seen(false, _), Fact::Seen(..)) => allowed,
        (Fact::Seen(false, _), guests) => unreadable("the list of its guests", guests.why()),
    }
}

/// Nova calls a host down a minute after it was switched off; one that fell silent so many seconds later died of something else.
const SWITCHED_OFF_SECONDS: i64 = 600;

/// The operation that switched a silent host off, if its newest one did so shortly before.
fn switched_off_by(row: &HostRow) -> Option<String> {
    use HostOperationType::{PowerOff, Shutdown, SoftOff};
    let operation = row.last_operation.as_ref()?;
    let availability = row.host.status.availability.as_ref()?;
    let did = operation.status.conditions.is_true("Succeeded") && matches!(operation.spec.r#type, PowerOff | SoftOff | Shutdown);
    let before = availability.since?.seconds_since(operation.status.finished_at?) < SWITCHED_OFF_SECONDS;
    let silent = availability.state >= AvailabilityState::Off;
    (did && silent && (before || availability.state == AvailabilityState::Off)).then(|| format!("HostOperation/{}", operation.metadata.name))
}

impl HostVerdict {
    /// Name of the evacuation that is begun: one per time that the host was down. A host's name leaves no room only where it is
    /// longer than any that DNS knows.
    pub fn evacuation_name(&self) -> String {
        format!("auto-{}-{}", self.host.chars().take(200).collect::<String>(), self.availability.downs)
    }

    /// As it stands once its evacuation is begun.
    pub fn begun(self, now: Time) -> HostVerdict {
        let name = self.evacuation_name();
        let allowed = Answer { reason: reasons::PROGRESSING, message: format!("Evacuation/{name} was begun"), ..self.allowed };
        let state = AvailabilityState::Recovering;
        let availability = Availability { state, confirmations: 0, since: Some(now), evacuation: Some(name), ..self.availability };
        HostVerdict { availability, allowed, ..self }
    }
}

impl From<Unclear> for Answer {
    fn from(unclear: Unclear) -> Answer {
        match unclear {
            Unclear::Missing(name) => {
                let message = format!("there is no RemediationPolicy {name}; make it, or change spec.remediationPolicyRef");
                Answer { status: ConditionStatus::False, reason: reasons::NOT_FOUND, message }
            }
            Unclear::Several(names) => {
                let message = format!(
                    "RemediationPolicies {} all select it; change their selectors, or name one in spec.remediationPolicyRef",
                    names.join(" and ")
                );
                Answer { status: ConditionStatus::False, reason: reasons::POLICY_CONFLICT, message }
            }
        }
    }
}
