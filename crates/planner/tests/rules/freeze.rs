//! A freeze: nothing disruptive begins, what is half done ends, and it is said when that is so (I17).

use crate::common::*;
use planner::{
    Fact, Next, Step,
    contract::PowerCommand,
    facts::HostFacts,
    power_device::{UnderWay, decide_policy, is_cycling},
};
use schemas::{
    Conditions, Object, ObjectMeta,
    v1::{
        self, Cause, EvacuationMode, HostOperation, HostOperationType, InitialiseMethod, OperationState, Operations, PowerState, RunningGuests,
        Waiting, reasons,
    },
};

/// Whether it says that it is paused, and why.
fn paused(conditions: &impl Conditions) -> (bool, &str) {
    (conditions.is_true("Paused"), conditions.find("Paused").map_or("", |c| c.reason.as_str()))
}

fn cycle(cause: Cause) -> Play<HostOperation> {
    let mut object = operation(HostOperationType::PowerCycle);
    (object.spec.cause, object.spec.running_guests) = (cause, RunningGuests::Kill);
    Play::new(object, HostFacts { guests: Fact::Seen(vec![guest("g")], at(0)), ..dead() }, env())
}

fn reads(play: &mut Play<HostOperation>, state: PowerState) {
    play.facts.links[0].state = Fact::Seen(state, play.env.now);
}

#[test]
fn a_host_that_was_switched_off_gets_its_power_back_also_while_frozen() {
    for cause in [Cause::Automatic, Cause::Manual] {
        let mut play = cycle(cause);
        assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::ForceOff, .. }));
        play.env.policy.operations = Operations::Frozen;
        play.answered(OperationState::Observed, "");
        play.pass_time(1);
        reads(&mut play, PowerState::Off);
        assert_eq!(waits(play.pass()).0, reasons::PROVING_OFF);
        assert!(is_cycling(&play.object), "between two calls nothing is open, and it is not done");
        play.pass_time(5);
        assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::On, .. }));
        play.answered(OperationState::Observed, "");
        play.pass_time(1);
        reads(&mut play, PowerState::On);
        assert_eq!(play.pass(), Next::Finished);
        assert!(play.object.status.conditions.is_true("Succeeded") && !is_cycling(&play.object));
    }
}

#[test]
fn a_power_off_that_was_lost_is_not_sent_again_while_frozen() {
    let mut play = cycle(Cause::Automatic);
    steps(play.pass());
    play.answered(OperationState::Unknown, "");
    play.env.policy.operations = Operations::Frozen;
    play.pass_time(1);
    assert_eq!(waits(play.pass()).0, reasons::SETTLING);
    play.pass_time(40);
    assert_eq!(waits(play.pass()).0, reasons::FROZEN);
    let evidence = play.env.evidence.clone();
    play.pass_time(5);
    assert_eq!(waits(play.pass()).0, reasons::FROZEN);
    assert_eq!((paused(&play.object.status.conditions), is_cycling(&play.object)), ((true, reasons::FROZEN), false));
    assert_eq!(play.env.evidence.last_command_at, evidence.last_command_at, "no command is noted that is not sent");
    play.env.policy.operations = Operations::Normal;
    assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::ForceOff, .. }));
}

#[test]
fn an_operation_that_has_not_begun_to_switch_anything_begins_nothing_while_frozen() {
    let mut play = cycle(Cause::Manual);
    play.env.policy.operations = Operations::Frozen;
    assert_eq!(waits(play.pass()).0, reasons::FROZEN);
    assert!(!is_cycling(&play.object));
    let mut refused = cycle(Cause::Automatic);
    steps(refused.pass());
    refused.answered(OperationState::Refused, "not sent: the lease");
    refused.env.policy.operations = Operations::Frozen;
    assert_eq!(waits(refused.pass()).0, reasons::FROZEN);
}

#[test]
fn a_cycle_that_verifies_a_link_gives_the_power_back_while_frozen_and_begins_none() {
    let mut object = operation(HostOperationType::Initialise);
    object.spec.method = InitialiseMethod::Cycle;
    let mut play = Play::new(object, HostFacts { links: vec![unverified(link("l1", PowerState::On))], ..empty() }, env());
    play.pass();
    play.env.policy.operations = Operations::Frozen;
    play.pass_time(30);
    assert_eq!(waits(play.pass()).0, reasons::FROZEN);
    play.env.policy.operations = Operations::Normal;
    play.pass();
    play.pass_time(30);
    assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::ForceOff, .. }));
    play.answered(OperationState::Observed, "");
    play.env.policy.operations = Operations::Frozen;
    play.pass_time(2);
    reads(&mut play, PowerState::Off);
    if let Fact::Seen(service, _) = &mut play.facts.service {
        service.up = false;
    }
    assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::On, .. }));
}

#[test]
fn an_object_is_paused_once_nothing_that_it_began_is_under_way() {
    let mut frozen = env();
    frozen.policy.operations = Operations::Frozen;
    let facts = HostFacts { guests: Fact::Seen(vec![guest("g")], at(0)), ..dead() };
    frozen.intents = vec![intent(evacuate("g", "b", &[]), OperationState::Accepted, 5)];
    let mut play = Play::new(evacuation(EvacuationMode::Rebuild), facts, frozen);
    let (reason, message) = waits(play.pass());
    assert!(reason == reasons::PAUSING && message.contains("1 call(s)") && message.contains("Evacuate/g"), "{reason}: {message}");
    assert_eq!(paused(&play.object.status.conditions), (false, reasons::PAUSING));
    // Another's call is no call of this object.
    play.env.intents[0].owner_uid = "uid-other".into();
    assert_eq!(waits(play.pass()).0, reasons::FROZEN);
    assert_eq!(paused(&play.object.status.conditions), (true, reasons::FROZEN));
}

#[test]
fn the_cluster_is_paused_once_nothing_is_under_way_anywhere() {
    let judged = |operations: Operations, calls: i64, cycles: i64| {
        let spec = v1::ClusterPolicySpec { operations, ..Default::default() };
        let policy = Object::<v1::ClusterPolicy> { metadata: ObjectMeta::named("default"), spec, status: Default::default() };
        let decision = decide_policy(&policy, UnderWay { calls, cycles }, at(0));
        let (paused, reason) = paused(&decision.status.conditions);
        let Next::Settled { recheck } = decision.next else { panic!("{:?}", decision.next) };
        (paused, reason.to_string(), decision.status.open_operations, recheck <= 2)
    };
    assert_eq!(judged(Operations::Normal, 3, 1), (false, "AsDesired".into(), 0, false));
    assert_eq!(judged(Operations::Frozen, 3, 0), (false, "Pausing".into(), 3, true));
    assert_eq!(judged(Operations::Frozen, 0, 1), (false, "Pausing".into(), 0, true));
    assert_eq!(judged(Operations::Frozen, 0, 0), (true, "FrozenByCluster".into(), 0, false));
}

#[test]
fn a_cycle_that_gave_way_to_another_object_is_not_waited_for() {
    let mut object = operation(HostOperationType::PowerCycle);
    object.status.started_at = Some(at(0));
    assert!(is_cycling(&object));
    object.status.waiting = Some(Waiting { reason: reasons::CLAIMED.into(), message: String::new(), since: None });
    assert!(!is_cycling(&object));
    object.status.waiting = None;
    object.spec.r#type = HostOperationType::Drain;
    assert!(!is_cycling(&object));
}
