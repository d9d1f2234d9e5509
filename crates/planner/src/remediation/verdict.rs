//! What one pass says.

use super::states;
use schemas::{
    ConditionStatus, Time,
    v1::{Availability, Storm, reasons},
};
use serde::Serialize;

/// A condition's status, reason and message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Status.
    pub status: ConditionStatus,
    /// Stable word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Answer {
    /// Nothing is begun.
    pub(super) fn no(reason: &'static str, message: impl Into<String>) -> Answer {
        Answer { status: ConditionStatus::False, reason, message: message.into() }
    }

    /// Something may be, or was, begun.
    pub(super) fn yes(reason: &'static str, message: impl Into<String>) -> Answer {
        Answer { status: ConditionStatus::True, reason, message: message.into() }
    }

    /// Whether it is that something may be begun.
    pub fn is_yes(&self) -> bool {
        self.status == ConditionStatus::True
    }
}

/// What is begun for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Begin {
    /// A HostOperation that switches it off and on.
    Restart,
    /// An Evacuation.
    Evacuate,
    /// A HostOperation that powers it on and brings it back into service.
    PowerOn,
    /// A HostOperation that brings it back into service; it has power.
    Enable,
}

impl Begin {
    /// Whether it brings a host back that was evacuated.
    pub fn is_return(self) -> bool {
        matches!(self, Begin::PowerOn | Begin::Enable)
    }

    /// Kind of the object that is made.
    pub fn kind(self) -> &'static str {
        if self == Begin::Evacuate { "Evacuation" } else { "HostOperation" }
    }
}

/// What becomes of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostVerdict {
    /// Its name.
    pub host: String,
    /// The policy that holds, if that is clear.
    pub policy: Option<String>,
    /// Where it stands now.
    pub availability: Availability,
    /// Whether something may be begun for it, and why not.
    pub allowed: Answer,
    /// Begin this.
    pub begin: Option<Begin>,
    /// HostOperation that took too long: cancel it.
    pub cancel: Option<String>,
    /// Its guests have to be counted before it can be said whether it is evacuated.
    pub count_guests: bool,
}

/// What becomes of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyVerdict {
    /// Its name.
    pub policy: String,
    /// Hosts it holds for.
    pub covered: i64,
    /// Of these, hosts that are silent, being recovered, or held down.
    pub unhealthy: i64,
    /// Hosts that may fail before nothing more is begun.
    pub budget_left: i64,
    /// Hosts that are being restarted or evacuated without a person.
    pub recovering: i64,
    /// When that was begun which the rate counts.
    pub begins: Vec<Time>,
    /// What is remembered of limits that were exceeded.
    pub storms: Vec<Storm>,
    /// What is remembered of hosts that fell silent at once.
    pub mass_silence: Option<Storm>,
    /// Whether anything new may be begun.
    pub allowed: Answer,
    /// What people should hear of: reason and sentence.
    pub told: Vec<(&'static str, String)>,
}

/// What becomes of a failure domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainVerdict {
    /// Its name.
    pub domain: String,
    /// Hosts in it.
    pub hosts: i64,
    /// Of these, hosts that are silent, being recovered, held down, or not heard.
    pub down: i64,
    /// Why it cannot be told what it is in.
    pub broken: Option<String>,
}

/// Name of what is begun for a host: one per time that it was down. A host's name leaves no room only where it is longer than
/// any that DNS knows.
pub(super) fn name_of(begin: Begin, host: &str, downs: i64) -> String {
    let host: String = host.chars().take(200).collect();
    match begin {
        Begin::Evacuate => format!("auto-{host}-{downs}"),
        Begin::Restart => format!("auto-restart-{host}-{downs}"),
        Begin::PowerOn | Begin::Enable => format!("auto-return-{host}-{downs}"),
    }
}

impl HostVerdict {
    /// Name of what is begun.
    pub fn name_of(&self, begin: Begin) -> String {
        name_of(begin, &self.host, self.availability.downs)
    }

    /// Whether what is begun counts for `limits.maxBeginsPerHour`: a return does not, nor does what a restart leaves to do.
    pub fn is_counted(&self, begin: Begin) -> bool {
        !begin.is_return() && self.availability.operation.is_none()
    }

    /// As it stands once that is begun.
    pub fn begun(self, begin: Begin, now: Time) -> HostVerdict {
        let name = self.name_of(begin);
        let allowed = Answer { reason: reasons::PROGRESSING, message: format!("{}/{name} was begun", begin.kind()), ..self.allowed };
        let mut availability = states::begun(&self.availability, begin, now);
        match begin {
            Begin::Evacuate => availability.evacuation = Some(name),
            Begin::Restart | Begin::PowerOn | Begin::Enable => {
                availability.operation = Some(name);
                availability.returns.push(now);
            }
        }
        HostVerdict { availability, allowed, ..self }
    }
}
