//! Builders, and a play of passes: what the driver and the world would do between two decisions.
#![allow(dead_code)]

pub mod rebuild;

use planner::{
    ClaimWish, Decision, Env, Fact, Intent, Next, Step,
    attestation::{Attestation, Attested},
    facts::{Beat, Destination, Guest, HostFacts, LinkClass, LinkFacts, Move, ProviderFacts, ServiceFacts},
    proof::{EvidenceBody, OffReading},
    remediation::Holding,
};
use schemas::{
    Kind, Object, ObjectMeta, Time,
    meta::Ref,
    v1::{self, Binding, ClusterPolicySpec, GuestDisks, OperationState, PowerState},
};
use std::sync::Arc;

pub const US: &str = "11111111-1111-4111-8111-111111111111";
pub const THEM: &str = "22222222-2222-4222-8222-222222222222";
pub const UID: &str = "uid-mine";
const BEGIN: Time = Time(1_800_000_000_000_000);

/// So many seconds after the beginning of every test.
pub fn at(seconds: i64) -> Time {
    BEGIN.plus_seconds(seconds)
}

pub fn reason(uuid: &str) -> String {
    planner::service::reason(uuid, "because")
}

pub fn service() -> ServiceFacts {
    ServiceFacts { id: "svc-a".into(), zone: "nova".into(), enabled: true, up: true, updated_at: "u0".into(), ..Default::default() }
}

pub fn disabled() -> ServiceFacts {
    ServiceFacts { enabled: false, disabled_reason: Some(reason(US)), ..service() }
}

pub fn fenced() -> ServiceFacts {
    ServiceFacts { up: false, forced_down: true, ..disabled() }
}

pub fn link(name: &str, state: PowerState) -> LinkFacts {
    LinkFacts {
        name: name.into(),
        uid: format!("uid-{name}"),
        class: LinkClass::Chassis,
        verified: true,
        default: false,
        state: Fact::Seen(state, at(0)),
        last_on: None,
        binding: Binding { device_uid: format!("device-{name}"), endpoint: name.into(), port: 1, service_id: "svc-a".into() },
        identity: Fact::not_asked(),
    }
}

pub fn supply(name: &str, state: PowerState) -> LinkFacts {
    LinkFacts { class: LinkClass::Supply, ..link(name, state) }
}

pub fn blind(mut link: LinkFacts) -> LinkFacts {
    link.state = Fact::Unknown("no answer".into());
    link
}

pub fn unverified(link: LinkFacts) -> LinkFacts {
    LinkFacts { verified: false, ..link }
}

pub fn guest(id: &str) -> Guest {
    Guest { id: id.into(), name: format!("name-{id}"), host: Some("a".into()), vm_state: "active".into(), power_state: 1, ..Default::default() }
}

pub fn stopped(id: &str) -> Guest {
    Guest { vm_state: "stopped".into(), power_state: 4, ..guest(id) }
}

pub fn record(id: i64, kind: &str, status: &str, server: &str) -> Move {
    Move { id, kind: kind.into(), status: status.into(), server: server.into(), source: Some("a".into()), destination: Some("b".into()) }
}

pub fn room(host: &str) -> Destination {
    Destination {
        host: host.into(),
        zone: "nova".into(),
        free: [("MEMORY_MB".to_string(), 4096), ("VCPU".to_string(), 8)].into(),
        ..Default::default()
    }
}

pub fn beat(when: i64, updated_at: &str, up: bool) -> Beat {
    Beat { at: at(when), updated_at: updated_at.into(), up, forced_down: false, others_up: true, conductor_up: true }
}

/// A host that is alive, enabled and on, with one verified BMC and no guest; everything was read at 0.
pub fn facts() -> HostFacts {
    HostFacts {
        host: "a".into(),
        service: Fact::Seen(service(), at(0)),
        beats: vec![beat(-30, "u-3", true), beat(-20, "u-2", true), beat(-10, "u-1", true), beat(0, "u0", true)],
        others_up: Fact::Seen(vec!["b".into(), "c".into()], at(0)),
        others_off: Vec::new(),
        guests: Fact::Seen(Vec::new(), at(0)),
        elsewhere: Default::default(),
        moves: Fact::Seen(Vec::new(), at(0)),
        provider: Fact::Seen(ProviderFacts { disabled_trait: false, foreign_consumers: Vec::new() }, at(0)),
        links: vec![link("l1", PowerState::On)],
        destinations: Fact::Seen(vec![room("b"), room("c")], at(0)),
        groups: Fact::Seen(Vec::new(), at(0)),
        others: Fact::Seen(Vec::new(), at(0)),
        guest_policies: Fact::Seen(Default::default(), at(0)),
        disks: Fact::Seen(GuestDisks::Shared, at(0)),
        microversion: Fact::Seen((2, 93), at(0)),
        attestation: Fact::Absent(at(0)),
        channels: Fact::Seen(Vec::new(), at(0)),
        fencing: Fact::Seen(v1::Fencing::default(), at(0)),
        holding: holding(|_| {}),
        standby: None,
    }
}

/// A policy that allows restarts, evacuations and returns without a person, changed.
pub fn holding(change: impl FnOnce(&mut Holding)) -> Fact<Arc<Holding>> {
    let return_to_service = v1::ReturnToService { mode: v1::ReturnMode::Automatic, power_on: v1::PowerOnReturn::AfterRecovery, ..Default::default() };
    let mut spec = v1::RemediationPolicySpec { restart: v1::Restart::Allow, return_to_service, ..Default::default() };
    spec.limits.max_down_hosts = 1;
    let mut holding = Holding { policy: "default".into(), spec, host: "a".into(), of_host: v1::HostSpec::default() };
    change(&mut holding);
    Fact::Seen(Arc::new(holding), at(0))
}

/// Drained and disabled, so that the gate of S9 holds.
pub fn empty() -> HostFacts {
    HostFacts {
        service: Fact::Seen(disabled(), at(0)),
        provider: Fact::Seen(ProviderFacts { disabled_trait: true, foreign_consumers: Vec::new() }, at(0)),
        ..facts()
    }
}

/// Silent for half a minute, and called down; on.
pub fn dead() -> HostFacts {
    HostFacts {
        service: Fact::Seen(ServiceFacts { up: false, ..service() }, at(0)),
        beats: (-3..=0).map(|n| beat(n * 10, "u0", false)).collect(),
        ..facts()
    }
}

pub fn env() -> Env {
    Env {
        now: at(0),
        led_since: at(-3_600),
        cluster_uuid: US.into(),
        policy: ClusterPolicySpec::default(),
        halted: None,
        owner_uid: UID.into(),
        owner: "Evacuation/mine".into(),
        intents: Vec::new(),
        claim: None,
        evidence: EvidenceBody { epoch: 1, service_id: "svc-a".into(), beat: Some("u0".into()), ..Default::default() },
        open_on_host: Vec::new(),
    }
}

/// Readings of a link as off, from `first` to `last`.
pub fn off(name: &str, first: i64, last: i64) -> OffReading {
    OffReading { link_uid: format!("uid-{name}"), first_at: at(first), last_at: at(last) }
}

/// Evidence under which the host counts as proven off at 0.
pub fn proven() -> EvidenceBody {
    EvidenceBody { off: vec![off("l1", -6, 0)], ..env().evidence }
}

/// A person's word that the host is dead in this epoch, good for an hour.
pub fn attestation(epoch: i64) -> Attestation {
    Attestation { name: "fa".into(), uid: "uid-fa".into(), by: "ann".into(), epoch, expires_at: at(3_600), version: 7 }
}

/// As evidence keeps it after looks from `first` to `last`.
pub fn attested(epoch: i64, first: i64, last: i64) -> Attested {
    let Attestation { name, uid, by, epoch, expires_at, .. } = attestation(epoch);
    Attested { uid, name, by, epoch, expires_at, first_at: at(first), last_at: at(last), used_by: None }
}

/// An intent of ours that was written `age` seconds ago.
pub fn intent(action: Step, state: OperationState, age: i64) -> Intent {
    Intent {
        name: format!("op-{}-{age}", action.name()),
        owner_uid: UID.into(),
        step: action.name(),
        attempt: 1,
        past_end_of_life: age - action.end_of_life_seconds(),
        action,
        ex_leader: None,
        state,
        issued_at: at(-age),
        closed_at: (!state.is_open()).then(|| at(-age + 1)),
        evidence: String::new(),
    }
}

pub fn evacuate(server: &str, destination: &str, before: &[i64]) -> Step {
    Step::Evacuate { server: server.into(), destination: destination.into(), leave_stopped: false, records_before: before.to_vec() }
}

pub fn live_migrate(server: &str) -> Step {
    Step::LiveMigrate { server: server.into(), records_before: Vec::new() }
}

fn object<K: Kind>(spec: K::Spec) -> Object<K> {
    let metadata = ObjectMeta { uid: UID.into(), generation: 1, ..ObjectMeta::named("mine") };
    Object { metadata, spec, status: K::Status::default() }
}

pub fn evacuation(mode: v1::EvacuationMode) -> Object<v1::EvacuationKind> {
    object(v1::EvacuationSpec {
        host_ref: Ref::to("a"),
        mode,
        fence: Default::default(),
        local_disks: Default::default(),
        fencing: None,
        cause: Default::default(),
        evidence: None,
        pace: None,
        cancel: Default::default(),
    })
}

pub fn operation(kind: v1::HostOperationType) -> Object<v1::HostOperation> {
    object(v1::HostOperationSpec {
        host_ref: Ref::to("a"),
        r#type: kind,
        running_guests: Default::default(),
        allow_off_vm: Default::default(),
        method: Default::default(),
        fencing: None,
        link_ref: None,
        former_leader: Default::default(),
        stopped_guests: Default::default(),
        steady_seconds: 0,
        cause: Default::default(),
        returns_from: None,
        evidence: None,
        cancel: Default::default(),
    })
}

pub fn host(power: v1::PowerWish) -> Object<v1::Host> {
    object(v1::HostSpec { power, ..Default::default() })
}

/// An object that decisions are made for.
pub trait Decides: Kind + Clone {
    fn decide(object: &Object<Self>, facts: &HostFacts, env: &Env) -> Decision<Self::Status>;
}

impl Decides for v1::Host {
    fn decide(object: &Object<Self>, facts: &HostFacts, env: &Env) -> Decision<v1::HostStatus> {
        planner::host::decide(object, facts, env)
    }
}

impl Decides for v1::HostOperation {
    fn decide(object: &Object<Self>, facts: &HostFacts, env: &Env) -> Decision<v1::HostOperationStatus> {
        planner::host_operation::decide(object, facts, env)
    }
}

impl Decides for v1::EvacuationKind {
    fn decide(object: &Object<Self>, facts: &HostFacts, env: &Env) -> Decision<v1::EvacuationStatus> {
        planner::evacuation::decide(object, facts, env)
    }
}

/// Passes of one object over time.
pub struct Play<K: Kind> {
    pub object: Object<K>,
    pub facts: HostFacts,
    pub env: Env,
}

impl<K: Decides> Play<K> {
    pub fn new(object: Object<K>, facts: HostFacts, env: Env) -> Self {
        Play { object, facts, env }
    }

    /// Decides, and commits as the driver does: status, evidence, claim, settlements, the intent of a step.
    pub fn pass(&mut self) -> Next {
        let decision = K::decide(&self.object, &self.facts, &self.env);
        self.object.status = decision.status;
        self.env.evidence = decision.evidence;
        for settled in &decision.settle {
            for intent in self.env.intents.iter_mut().filter(|i| i.name == settled.intent) {
                intent.state = settled.state;
                intent.evidence = settled.evidence.clone();
                intent.closed_at = Some(self.env.now);
            }
        }
        match decision.claim {
            ClaimWish::Take { rank, .. } => self.env.claim = Some((self.env.owner.clone(), self.env.owner_uid.clone(), rank)),
            ClaimWish::Release if self.env.claim.as_ref().is_some_and(|c| c.1 == self.env.owner_uid) => self.env.claim = None,
            _ => {}
        }
        if let Next::Step(step) = &decision.next {
            let name = step.name();
            let attempt = 1 + self.env.tries(&name).map(|i| i.attempt).max().unwrap_or(0);
            self.env.intents.push(Intent {
                name: format!("op-{}-{}", self.env.intents.len(), name),
                owner_uid: self.env.owner_uid.clone(),
                step: name,
                attempt,
                action: step.clone(),
                ex_leader: None,
                state: OperationState::Issued,
                issued_at: self.env.now,
                closed_at: None,
                past_end_of_life: -step.end_of_life_seconds(),
                evidence: String::new(),
            });
        }
        decision.next
    }

    /// The call of the last step was answered.
    pub fn answered(&mut self, state: OperationState, evidence: &str) {
        let now = self.env.now;
        if let Some(intent) = self.env.intents.last_mut() {
            intent.state = state;
            intent.evidence = evidence.into();
            intent.closed_at = (!state.is_open()).then_some(now);
        }
    }

    /// The write of the service row landed: its row moves, and what was remembered of it is forgotten.
    pub fn service_written(&mut self, row: ServiceFacts) {
        self.answered(OperationState::Observed, "");
        self.env.evidence.beat = None;
        self.facts.beats.clear();
        self.facts.service = Fact::Seen(row, self.env.now);
    }

    /// Time passes, and everything is read again, as it was.
    pub fn pass_time(&mut self, seconds: i64) {
        self.env.now = self.env.now.plus_seconds(seconds);
        for intent in &mut self.env.intents {
            intent.past_end_of_life += seconds;
        }
        let now = self.env.now;
        restamp(&mut self.facts, now);
    }

    /// The next step, after at most `passes` passes with waits of a second.
    pub fn until_step(&mut self, passes: usize) -> Step {
        for _ in 0..passes {
            match self.pass() {
                Next::Step(step) => return step,
                Next::Wait { .. } => self.pass_time(1),
                other => panic!("no step, but {other:?}"),
            }
        }
        panic!("no step in {passes} passes");
    }
}

fn touch<T>(fact: &mut Fact<T>, now: Time) {
    if let Fact::Seen(_, at) | Fact::Absent(at) = fact {
        *at = now;
    }
}

/// Everything as if read at `now`.
pub fn restamp(facts: &mut HostFacts, now: Time) {
    touch(&mut facts.service, now);
    touch(&mut facts.others_up, now);
    touch(&mut facts.guests, now);
    touch(&mut facts.moves, now);
    touch(&mut facts.provider, now);
    touch(&mut facts.destinations, now);
    touch(&mut facts.groups, now);
    touch(&mut facts.others, now);
    touch(&mut facts.guest_policies, now);
    touch(&mut facts.disks, now);
    touch(&mut facts.microversion, now);
    touch(&mut facts.attestation, now);
    touch(&mut facts.channels, now);
    touch(&mut facts.fencing, now);
    touch(&mut facts.holding, now);
    facts.links.iter_mut().for_each(|l| touch(&mut l.state, now));
    facts.elsewhere.values_mut().for_each(|g| touch(g, now));
    if let (Fact::Seen(service, _), Some(last)) = (&facts.service, facts.beats.last().cloned()) {
        facts.beats.push(Beat { at: now, updated_at: service.updated_at.clone(), up: service.up, forced_down: service.forced_down, ..last });
    }
}

/// Reason and message of a wait.
#[track_caller]
pub fn waits(next: Next) -> (&'static str, String) {
    match next {
        Next::Wait { reason, message, .. } => (reason, message),
        other => panic!("no wait, but {other:?}"),
    }
}

/// The step.
#[track_caller]
pub fn steps(next: Next) -> Step {
    match next {
        Next::Step(step) => step,
        other => panic!("no step, but {other:?}"),
    }
}
