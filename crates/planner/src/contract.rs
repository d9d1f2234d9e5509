//! What a decision is made of, and what it asks the driver to do.

use crate::proof::EvidenceBody;
use schemas::{
    Kind, Time,
    v1::{ClusterPolicySpec, OperationState},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The smallest outside act. Written into the intent before it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Step {
    /// One PUT on the host's nova-compute service (I21).
    NovaService {
        /// Service uuid.
        service_id: String,
        /// Enable or disable.
        enabled: Option<bool>,
        /// Why, when disabling; carries our cluster uuid (S14).
        reason: Option<String>,
        /// Force down, or clear it.
        forced_down: Option<bool>,
    },
    /// A power command through one link.
    Power {
        /// Name of the PowerLink.
        link: String,
        /// What.
        command: PowerCommand,
    },
    /// Live migration; the scheduler chooses where to.
    LiveMigrate {
        /// Server id.
        server: String,
        /// Records the guest had just before (S7).
        records_before: Vec<i64>,
    },
    /// Evacuation to a named host (S7).
    Evacuate {
        /// Server id.
        server: String,
        /// Where to.
        destination: String,
        /// Leave it stopped there (2.95).
        leave_stopped: bool,
        /// Records the guest had just before (S7).
        records_before: Vec<i64>,
    },
    /// Cold migration of a stopped guest; the scheduler chooses where to.
    ColdMigrate {
        /// Server id.
        server: String,
        /// Records the guest had just before (S7).
        records_before: Vec<i64>,
    },
    /// Confirmation of a cold migration of ours.
    ConfirmResize {
        /// Server id.
        server: String,
        /// Its record.
        record: i64,
    },
    /// Shut a guest down.
    StopGuest {
        /// Server id.
        server: String,
    },
}

/// A power command. Never a toggle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerCommand {
    /// On.
    On,
    /// Off at once.
    ForceOff,
    /// Ask the operating system.
    SoftOff,
}

impl Step {
    /// Stable name: the same step of the same object has the same name.
    pub fn name(&self) -> String {
        match self {
            Step::NovaService { enabled, forced_down, .. } => {
                let word = |name: &str, value: Option<bool>| value.map(|v| format!("{name}={v}"));
                let parts: Vec<String> = [word("enabled", *enabled), word("forcedDown", *forced_down)].into_iter().flatten().collect();
                format!("NovaService/{}", parts.join(","))
            }
            Step::Power { link, command } => format!("Power/{command:?}/{link}"),
            Step::LiveMigrate { server, .. } => format!("LiveMigrate/{server}"),
            Step::Evacuate { server, .. } => format!("Evacuate/{server}"),
            Step::ColdMigrate { server, .. } => format!("ColdMigrate/{server}"),
            Step::ConfirmResize { server, .. } => format!("ConfirmResize/{server}"),
            Step::StopGuest { server } => format!("StopGuest/{server}"),
        }
    }

    /// Whether it takes something away that runs; frozen clusters take none of these.
    pub fn is_disruptive(&self) -> bool {
        match self {
            Step::NovaService { enabled, forced_down, .. } => *enabled == Some(false) || *forced_down == Some(true),
            Step::Power { command, .. } => *command != PowerCommand::On,
            Step::LiveMigrate { .. } | Step::ColdMigrate { .. } | Step::Evacuate { .. } | Step::StopGuest { .. } => true,
            // It ends what was begun.
            Step::ConfirmResize { .. } => false,
        }
    }

    /// After so many seconds from sending, the call can have no further effect of its own (S8).
    pub fn end_of_life_seconds(&self) -> i64 {
        // ipmitool is killed after 8 s, a Redfish or Nova call is given up after 20 s.
        20
    }

    /// The server it concerns.
    pub fn server(&self) -> Option<&str> {
        match self {
            Step::LiveMigrate { server, .. } | Step::ColdMigrate { server, .. } | Step::ConfirmResize { server, .. } => Some(server),
            Step::Evacuate { server, .. } | Step::StopGuest { server } => Some(server),
            _ => None,
        }
    }
}

/// An intent, as decisions see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Name of the Operation.
    pub name: String,
    /// Uid of the object that wrote it.
    pub owner_uid: String,
    /// Name of the step.
    pub step: String,
    /// Which try.
    pub attempt: i64,
    /// The step.
    pub action: Step,
    /// Token of the earlier leader that wrote it, unless that one's process is known to be gone (S8).
    pub ex_leader: Option<i64>,
    /// Where it stands.
    pub state: OperationState,
    /// When it was written.
    pub issued_at: Time,
    /// When it was closed.
    pub closed_at: Option<Time>,
    /// Seconds since its end of life, on our own clock; negative before it (S8).
    pub past_end_of_life: i64,
    /// What the remote said.
    pub evidence: String,
}

impl Intent {
    /// Whether the call never left, so that it counts as no try.
    pub fn never_left(&self) -> bool {
        self.state == OperationState::Refused && self.evidence.starts_with(NOT_SENT)
    }
}

/// The latest that a written time can be by the clock of the controller that leads since `led_since`. A time outside its
/// term is an earlier leader's, whose clock nobody compared with ours, but it was written before we came: what needs time to
/// pass is counted from there (S4, S8, S9).
pub fn by_our_clock(at: Time, led_since: Time, now: Time) -> Time {
    if at < led_since || at > now { led_since } else { at }
}

/// What a decision may use beside facts.
#[derive(Clone, Debug)]
pub struct Env {
    /// Now.
    pub now: Time,
    /// Since when this controller has led. What an earlier one wrote has the time of another clock (S8).
    pub led_since: Time,
    /// Identity of this deployment (S14).
    pub cluster_uuid: String,
    /// The cluster's policy.
    pub policy: ClusterPolicySpec,
    /// Set when all acts are frozen for a reason of our own (S14), with that reason.
    pub halted: Option<String>,
    /// Uid of the object.
    pub owner_uid: String,
    /// `Kind/name` of the object.
    pub owner: String,
    /// All intents of the object, and open ones of others on its host.
    pub intents: Vec<Intent>,
    /// Who has the claim on the host: `(owner, owner uid, rank)`.
    pub claim: Option<(String, String, i64)>,
    /// What is known of the host's power.
    pub evidence: EvidenceBody,
    /// Open one-shot objects on the host, as `Kind/name`.
    pub open_on_host: Vec<String>,
}

impl Env {
    /// The latest that a written time can be by our own clock, see [`by_our_clock`].
    pub fn ours(&self, at: Time) -> Time {
        by_our_clock(at, self.led_since, self.now)
    }

    /// Seconds that have surely passed since a written time.
    pub fn seconds_since(&self, at: Time) -> i64 {
        self.now.seconds_since(self.ours(at))
    }

    /// Open intents on the host, ours or inherited.
    pub fn open(&self) -> impl Iterator<Item = &Intent> {
        self.intents.iter().filter(|i| i.state.is_open())
    }

    /// Our intents of one step, oldest first.
    pub fn tries<'a>(&'a self, step: &'a str) -> impl Iterator<Item = &'a Intent> {
        self.intents.iter().filter(move |i| i.owner_uid == self.owner_uid && i.step == step)
    }

    /// Whether another object has the claim.
    pub fn claimed_by_other(&self) -> Option<&str> {
        self.claim.as_ref().filter(|(_, uid, _)| *uid != self.owner_uid).map(|(owner, ..)| owner.as_str())
    }

    /// Whether the cluster is frozen by its operators.
    pub fn frozen(&self) -> bool {
        self.policy.operations == schemas::v1::Operations::Frozen
    }
}

/// Ranks of claims (S11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Host.
    Host = 20,
    /// HostOperation.
    HostOperation = 30,
    /// Evacuation.
    Evacuation = 40,
}

/// What to do about the claim on the host.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum ClaimWish {
    /// Nothing.
    #[default]
    Keep,
    /// Take it, or keep it.
    Take {
        /// Rank.
        rank: i64,
        /// What for.
        purpose: String,
        /// Claims of that purpose there may be in all.
        max: Option<i64>,
    },
    /// Give it up.
    Release,
}

/// An intent that can be closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// Name of the Operation.
    pub intent: String,
    /// New state.
    pub state: OperationState,
    /// What was seen.
    pub evidence: String,
}

/// Something to tell people.
#[derive(Clone, Debug, PartialEq)]
pub struct EventDraft {
    /// A warning.
    pub warning: bool,
    /// Stable word.
    pub reason: &'static str,
    /// A sentence.
    pub note: String,
}

/// What else the transaction of a decision writes or depends on, beside its own object.
#[derive(Clone, Debug, PartialEq)]
pub enum Also {
    /// Nothing is written if this object is not as it was read.
    Unchanged {
        /// Kind.
        kind: &'static str,
        /// Name.
        name: String,
        /// Resource version.
        version: i64,
    },
    /// Top-level keys of its status are replaced, if it is there.
    Patch {
        /// Kind.
        kind: &'static str,
        /// Name.
        name: String,
        /// Keys to replace.
        patch: Value,
    },
    /// Top-level keys of its status are replaced, if it is as it was read.
    Status {
        /// Kind.
        kind: &'static str,
        /// Name.
        name: String,
        /// Resource version.
        version: i64,
        /// Keys to replace.
        patch: Value,
    },
    /// A one-shot object is made, owned by the decision's object; not while the cluster is frozen, nor while a HostOperation or
    /// an Evacuation is open on `host`.
    Create {
        /// Kind.
        kind: &'static str,
        /// Name.
        name: String,
        /// Host that nothing else may be open on.
        host: Option<String>,
        /// Spec.
        spec: Value,
    },
    /// An object is made that says what was decided, owned by the decision's object.
    Record {
        /// Kind.
        kind: &'static str,
        /// Name.
        name: String,
        /// Spec.
        spec: Value,
        /// Status.
        status: Value,
    },
    /// A one-shot object is asked to end, if it is as it was read.
    Cancel {
        /// Kind.
        kind: &'static str,
        /// Name.
        name: String,
        /// Resource version.
        version: i64,
    },
}

impl Also {
    /// An object of a kind that says what was decided.
    pub fn record<K: Kind>(name: String, spec: &K::Spec, status: &K::Status) -> Also {
        let json = |value: Result<Value, serde_json::Error>| value.unwrap_or_default();
        Also::Record { kind: K::KIND, name, spec: json(serde_json::to_value(spec)), status: json(serde_json::to_value(status)) }
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// All is as wanted; look again after so many seconds.
    Settled {
        /// Seconds.
        recheck: i64,
    },
    /// Something is missing.
    Wait {
        /// Stable word.
        reason: &'static str,
        /// What, and what to do.
        message: String,
        /// Look again after so many seconds.
        recheck: i64,
    },
    /// Do this.
    Step(Step),
    /// The object has ended: nothing will be done for it any more.
    Finished,
}

/// A budget that is counted again inside the transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Beginning of the steps' names.
    pub step_prefix: &'static str,
    /// Only on the object's host.
    pub this_host: bool,
    /// Intents that may be open before this one.
    pub max: i64,
    /// Reason shown when it is used up.
    pub reason: &'static str,
}

/// A decision.
#[derive(Clone, Debug)]
pub struct Decision<S> {
    /// New status.
    pub status: S,
    /// Things to tell people.
    pub events: Vec<EventDraft>,
    /// Intents to close.
    pub settle: Vec<Settlement>,
    /// What is known of the host's power now.
    pub evidence: EvidenceBody,
    /// What to do about the claim.
    pub claim: ClaimWish,
    /// Budgets of the step.
    pub limits: Vec<Limit>,
    /// What the object waits for if a budget is used up, reason and message; `None`: for others to finish.
    pub when_full: Option<(&'static str, String)>,
    /// What else is written, or must be as it was.
    pub also: Vec<Also>,
    /// What comes next.
    pub next: Next,
}

impl<S> Decision<S> {
    /// A decision that changes nothing but the status.
    pub fn new(status: S, evidence: EvidenceBody, next: Next) -> Self {
        let (events, settle, limits, also) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Decision { status, events, settle, evidence, claim: ClaimWish::Keep, limits, when_full: None, also, next }
    }
}

/// Shorthand for a wait.
pub fn wait(reason: &'static str, message: impl Into<String>, recheck: i64) -> Next {
    Next::Wait { reason, message: message.into(), recheck }
}

/// How the evidence of an intent begins whose call never left: nothing was tried.
pub const NOT_SENT: &str = "not sent";

/// Checked by the driver just before a step is sent: is what it was decided on still young enough? (S5)
pub fn still_valid(step: &Step, evidence: &EvidenceBody, policy: &ClusterPolicySpec, decided_at: Time, now: Time) -> Result<(), String> {
    const DECISION_MILLIS: i64 = 3_000;
    if !(0..=DECISION_MILLIS).contains(&now.millis_since(decided_at)) {
        return Err("it took too long to write the decision down; it is decided anew".into());
    }
    let proven = || evidence.off.iter().any(|r| r.is_twice() && r.is_younger_than(policy.proof_max_age_seconds, now));
    // Only the decision that goes by an attestation has it noted as used.
    let attested = || evidence.attested.as_ref().is_some_and(|a| a.used_by.is_some() && a.is_good(evidence.epoch, policy.proof_max_age_seconds, now));
    if matches!(step, Step::Evacuate { .. }) && !proven() && !attested() {
        return Err("the proof of off is too old, or the attestation has ended; it is looked at again".into());
    }
    Ok(())
}
