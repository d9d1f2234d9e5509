//! What one pass goes by.

use super::channels::Heard;
use crate::{Fact, contract::by_our_clock};
use schemas::{
    Object, Time,
    v1::{FailureDomain, Host, HostOperation, RemediationPolicy},
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
