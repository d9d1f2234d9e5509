//! What one pass goes by.

use super::{channels::Heard, verdict::Answer};
use crate::{Fact, contract::by_our_clock};
use schemas::{
    ConditionStatus, Object, Time,
    v1::{FailureDomain, Host, HostOperation, RemediationPolicy, reasons},
};
use serde::{Deserialize, Serialize};

/// A host, and what is known about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostRow {
    /// The object.
    pub host: Object<Host>,
    /// Whether Nova calls its service up. Absent: Nova has no such service.
    pub up: Fact<bool>,
    /// Its operations that have not ended.
    pub open_operations: Vec<Object<HostOperation>>,
    /// Its evacuation that has not ended.
    pub open_evacuation: Option<String>,
    /// That evacuation moves its guests while it lives: nothing is wrong with the host.
    #[serde(default)]
    pub is_drained: bool,
    /// Its newest operation; asked only for a host that is not up.
    pub last_operation: Option<Object<HostOperation>>,
    /// The reason that its automatic evacuation ended with, if it did or is gone.
    pub ended: Option<String>,
    /// Its newest evacuation; asked only for a host that was evacuated without a person.
    pub last_evacuation: Option<String>,
    /// The reason that its automatic restart or return ended with, if it did or is gone.
    pub operation_ended: Option<String>,
    /// Guests Nova shows on it; asked only for a host that would be evacuated.
    pub guests: Fact<usize>,
    /// What was heard of it beside Nova.
    pub heard: Heard,
}

impl HostRow {
    /// Of a host of which nothing else is known than what Nova says of its service.
    pub fn plain(host: Object<Host>, up: Fact<bool>) -> HostRow {
        HostRow {
            host,
            up,
            open_operations: Vec::new(),
            open_evacuation: None,
            is_drained: false,
            last_operation: None,
            ended: None,
            last_evacuation: None,
            operation_ended: None,
            guests: Fact::not_asked(),
            heard: Heard::default(),
        }
    }

    /// The StandbyPool that has it in reserve, if it takes no guests now.
    pub(super) fn spare(&self) -> Option<&str> {
        self.host.status.standby.as_ref().filter(|s| !s.in_service).map(|s| s.pool.as_str())
    }
}

/// A policy, and whether its hosts are due for a look.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyRow {
    /// The object.
    pub policy: Object<RemediationPolicy>,
    /// Its interval has passed.
    pub due: bool,
}

/// Whether those who look can be trusted (I5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observer {
    /// A conductor was up in the same read: without one no compute can report.
    pub conductor_up: bool,
    /// Computes that were up in the same read, and are hosts of ours (S16).
    pub computes_up: usize,
    /// Why there was no such read at all: Nova or Keystone gave no answer.
    #[serde(default)]
    pub unread: Option<String>,
}

impl Observer {
    /// What speaks against it.
    pub(super) fn doubt(&self) -> Option<Answer> {
        let doubt = |reason: &'static str, message: String| Some(Answer { status: ConditionStatus::Unknown, reason, message });
        if let Some(why) = &self.unread {
            let message = format!(
                "Nova cannot be read, so nobody is taken for dead and nothing is begun: {why}. See whether Nova and Keystone answer, and whether the controller's login holds; it goes on with the next look that is answered"
            );
            return doubt(reasons::NOVA_UNREADABLE, message);
        }
        let silent = match self {
            Observer { conductor_up: false, .. } => "no nova-conductor was up",
            Observer { computes_up: 0, .. } => "no nova-compute was up",
            _ => return None,
        };
        let message = format!("{silent} in the same read: the silence may be Nova's, not the hosts'; look at its message queue and database");
        doubt(reasons::OBSERVER_IN_DOUBT, message)
    }
}

/// All that one pass goes by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    /// Hosts.
    pub hosts: Vec<HostRow>,
    /// Policies.
    pub policies: Vec<PolicyRow>,
    /// What hosts share.
    pub domains: Vec<Object<FailureDomain>>,
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

impl Input {
    /// Seconds that have surely passed since a written time: what an earlier leader wrote counts from when this one came (S8).
    pub(super) fn seconds_since(&self, at: Time) -> i64 {
        self.now.seconds_since(by_our_clock(at, self.led_since, self.now))
    }
}
