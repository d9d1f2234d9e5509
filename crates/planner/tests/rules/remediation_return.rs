//! Return to service: how a host that was evacuated without a person comes back without one, and when it does not.

use crate::{
    common::*,
    remediation::{after, begin, host as row, input, state, verdict},
};
use planner::{
    Env, Fact, Intent, Next, Step,
    contract::PowerCommand,
    facts::{HostFacts, ServiceFacts},
    proof::Latch,
    remediation::{Begin, Holding, Input},
};
use schemas::{
    Conditions, Object,
    v1::{
        Approval, AvailabilityState::*, Cause, FenceStatus, HostOperation, HostOperationType, OperationState, PowerOnReturn, PowerState, PowerWish,
        RemediationRule, ReturnMode, Schedulable, Watching, reasons,
    },
};

fn fence() -> FenceStatus {
    FenceStatus { epoch: 2, by: "Evacuation/auto-a-1".into(), disabled_by_us: true }
}

/// Host `a` was evacuated without a person, and is off; hosts are brought back and powered on.
fn recovered() -> Input {
    let mut input = input(vec![row("a", false), row("b", true)], 1);
    let rules = &mut input.policies[0].policy.spec.return_to_service;
    (rules.mode, rules.power_on) = (ReturnMode::Automatic, PowerOnReturn::AfterRecovery);
    after(2, &mut input);
    begin(&mut input);
    input.hosts[0].ended = Some("Succeeded".into());
    input.hosts[0].last_evacuation = Some("auto-a-1".into());
    input.hosts[0].host.status.fence = Some(fence());
    input.hosts[0].host.status.power.state = PowerState::Off;
    input
}

#[test]
fn a_host_that_was_evacuated_well_is_brought_back_and_is_up_when_nova_says_so() {
    let mut input = recovered();
    assert_eq!((state(&verdict(&input)), verdict(&input).begin), (Recovered, Some(Begin::PowerOn)));
    begin(&mut input);
    let availability = input.hosts[0].host.status.availability.clone().expect("it was begun");
    assert_eq!((availability.state, availability.operation.as_deref(), availability.returns.len()), (Returning, Some("auto-return-a-1"), 1));
    assert_eq!(verdict(&input).begin, None);
    input.hosts[0].operation_ended = Some("Succeeded".into());
    assert_eq!(state(&after(1, &mut input).0[0]), Returning, "the fence is still shown");
    input.hosts[0].host.status.fence = None;
    input.hosts[0].up = Fact::Seen(true, at(0));
    assert_eq!(state(&after(1, &mut input).0[0]), Up);
}

#[test]
fn a_storm_holds_no_return_and_a_freeze_does() {
    let mut input = recovered();
    input.hosts.push(row("c", false));
    let (hosts, policies) = after(2, &mut input);
    assert_eq!((hosts[0].begin, hosts[2].begin, policies[0].allowed.reason), (Some(Begin::PowerOn), None, "StormLimit"));
    input.frozen = true;
    assert_eq!((verdict(&input).begin, verdict(&input).allowed.reason), (None, "FrozenByCluster"));
    input.frozen = false;
    input.led_since = input.now;
    assert_eq!((verdict(&input).begin, verdict(&input).allowed.reason), (None, "QuietPeriod"));
}

#[test]
fn what_a_person_did_or_what_did_not_end_well_is_left_to_a_person() {
    type Change = fn(&mut Input);
    let cases: [(&str, Change); 12] = [
        ("Evacuation/auto-a-1 is not kept any longer", |i| i.hosts[0].last_evacuation = None),
        ("evacuated again since, by Evacuation/by-hand", |i| i.hosts[0].last_evacuation = Some("by-hand".into())),
        ("Manual", |i| i.policies[0].policy.spec.return_to_service.mode = ReturnMode::Manual),
        ("did not end well", |i| i.hosts[0].ended = Some("Failed".into())),
        ("did not end well", |i| i.hosts[0].ended = Some("NotFound".into())),
        ("not fenced", |i| i.hosts[0].host.status.fence = None),
        ("by-hand", |i| i.hosts[0].host.status.fence = Some(FenceStatus { by: "Evacuation/by-hand".into(), ..fence() })),
        ("disabled by somebody else", |i| i.hosts[0].host.status.fence = Some(FenceStatus { disabled_by_us: false, ..fence() })),
        ("disabled by somebody else", |i| i.hosts[0].host.spec.schedulable = Schedulable::Disabled),
        ("spec.power is Off", |i| i.hosts[0].host.spec.power = PowerWish::Off),
        ("is under way", |i| i.hosts[0].open_operations = vec![operation(HostOperationType::PowerOn)]),
        ("powerOn is Never", |i| i.policies[0].policy.spec.return_to_service.power_on = PowerOnReturn::Never),
    ];
    for (why, change) in cases {
        let mut input = recovered();
        after(1, &mut input);
        change(&mut input);
        let verdict = verdict(&input);
        assert_eq!((state(&verdict), verdict.begin, verdict.allowed.reason), (Recovered, None, "RecoveryEnded"), "{why}");
        assert!(verdict.allowed.message.contains(why) && verdict.allowed.message.contains("`power on a`"), "{:?}", verdict.allowed);
    }
}

#[test]
fn a_return_that_needs_an_approval_waits_for_one_of_this_very_recovery() {
    let mut input = recovered();
    input.policies[0].policy.spec.return_to_service.approval = Approval::Required;
    after(1, &mut input);
    for approved in [None, Some("auto-a-0"), Some("auto-a-2")] {
        input.hosts[0].host.spec.approved_return = approved.map(String::from);
        let waiting = verdict(&input);
        assert_eq!((state(&waiting), waiting.begin, waiting.allowed.reason), (Recovered, None, "ApprovalRequired"), "{approved:?}");
        assert!(waiting.allowed.message.contains("`approve a`"), "{:?}", waiting.allowed);
    }
    input.hosts[0].host.spec.approved_return = Some("auto-a-1".into());
    assert_eq!(verdict(&input).begin, Some(Begin::PowerOn));
    // An approval lets nothing happen that would not have happened without the question.
    input.hosts[0].ended = Some("Failed".into());
    assert_eq!((verdict(&input).begin, verdict(&input).allowed.reason), (None, "RecoveryEnded"));
}

#[test]
fn a_host_that_has_power_again_is_brought_back_without_being_powered_on() {
    let mut input = recovered();
    input.policies[0].policy.spec.return_to_service.power_on = PowerOnReturn::Never;
    for (power, begin) in [(PowerState::Off, None), (PowerState::Unknown, None), (PowerState::On, Some(Begin::Enable))] {
        input.hosts[0].host.status.power.state = power;
        assert_eq!(verdict(&input).begin, begin, "{power:?}");
    }
}

#[test]
fn a_host_that_was_brought_back_too_often_is_quarantined_until_a_person_has_looked() {
    let mut input = recovered();
    let now = input.now;
    let availability = input.hosts[0].host.status.availability.as_mut().expect("it was seen");
    availability.returns = vec![now, now, now];
    assert_eq!(after(1, &mut input).0[0].begin, None);
    let quarantined = after(1, &mut input).0.swap_remove(0);
    assert_eq!((state(&quarantined), quarantined.begin, quarantined.allowed.reason), (Quarantined, None, "Quarantined"));
    assert!(quarantined.allowed.message.contains("3 times within 3600 s"), "{:?}", quarantined.allowed);
    // Neither time nor Nova's word lifts it while it is fenced.
    input.now = input.now.plus_seconds(100_000);
    input.hosts[0].up = Fact::Seen(true, at(0));
    assert_eq!(state(&after(5, &mut input).0[0]), Quarantined);
    input.hosts[0].host.status.fence = None;
    let up = after(1, &mut input).0.swap_remove(0);
    assert_eq!((state(&up), up.availability.returns.len()), (Up, 0));
}

#[test]
fn returns_of_an_earlier_leader_are_remembered_for_the_whole_window_of_this_ones_clock() {
    let mut input = recovered();
    let now = input.now;
    let long_ago = input.now.plus_seconds(-50_000);
    input.hosts[0].host.status.availability.as_mut().expect("it was seen").returns = vec![long_ago; 3];
    input.led_since = input.now.plus_seconds(-60);
    after(1, &mut input);
    assert_eq!(state(&verdict(&input)), Quarantined);
    input.led_since = now.plus_seconds(-3_600);
    assert_eq!(verdict(&input).begin, Some(Begin::PowerOn));
}

#[test]
fn a_return_that_fails_or_takes_too_long_is_not_tried_again() {
    let mut input = recovered();
    begin(&mut input);
    input.now = input.now.plus_seconds(1_800);
    assert_eq!(verdict(&input).cancel.as_deref(), Some("auto-return-a-1"));
    input.hosts[0].operation_ended = Some("Cancelled".into());
    let quarantined = after(1, &mut input).0.swap_remove(0);
    assert_eq!((state(&quarantined), quarantined.allowed.reason), (Quarantined, "Quarantined"));
    assert!(quarantined.allowed.message.contains("HostOperation/auto-return-a-1 did not bring it back"), "{:?}", quarantined.allowed);
}

#[test]
fn a_host_that_dies_on_its_way_back_is_looked_at_anew_and_one_that_is_fenced_again_stays() {
    let mut input = recovered();
    begin(&mut input);
    input.hosts[0].operation_ended = Some("Succeeded".into());
    input.hosts[0].host.status.fence = None;
    assert_eq!(state(&after(1, &mut input).0[0]), Suspect);
    let mut input = recovered();
    begin(&mut input);
    input.hosts[0].operation_ended = Some("FencedAwaitingReturn".into());
    input.hosts[0].host.status.fence = Some(FenceStatus { by: "Evacuation/by-hand".into(), ..fence() });
    let verdict = after(1, &mut input).0.swap_remove(0);
    assert_eq!((state(&verdict), verdict.begin), (Recovered, None));
}

// ---- the operation -----------------------------------------------------------------------

fn latch(by: &str) -> Latch {
    Latch { epoch: 1, by: by.into(), by_uid: "uid-auto".into(), at: at(-100), disabled_by_us: true, attested: None }
}

fn back(kind: HostOperationType, steady_seconds: i64, by: Option<&str>) -> Play<HostOperation> {
    let mut object: Object<HostOperation> = operation(kind);
    let spec = &mut object.spec;
    (spec.cause, spec.steady_seconds, spec.returns_from) = (Cause::Automatic, steady_seconds, Some("Evacuation/auto-a-1".into()));
    let facts = HostFacts { service: Fact::Seen(fenced(), at(0)), links: vec![link("l1", PowerState::Off)], ..dead() };
    let mut env = Env { owner: "HostOperation/auto-return-a-1".into(), ..env() };
    env.evidence.latch = by.map(latch);
    Play::new(object, facts, env)
}

#[test]
fn it_is_powered_on_heard_freed_and_enabled_only_after_it_was_up_for_long_enough() {
    let mut play = back(HostOperationType::PowerOn, 20, Some("Evacuation/auto-a-1"));
    assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::On, .. }));
    play.answered(OperationState::Observed, "");
    play.pass_time(1);
    play.facts.links[0].state = Fact::Seen(PowerState::On, play.env.now);
    assert_eq!(waits(play.pass()).0, reasons::SERVICE_DOWN);
    play.pass_time(10);
    play.facts.beats = vec![beat(5, "u1", false), beat(11, "u2", false)];
    play.facts.service = Fact::Seen(ServiceFacts { updated_at: "u2".into(), ..fenced() }, play.env.now);
    assert!(matches!(steps(play.pass()), Step::NovaService { forced_down: Some(false), .. }));
    play.service_written(ServiceFacts { updated_at: "u3".into(), ..disabled() });
    for _ in 0..4 {
        assert_eq!(waits(play.pass()).0, reasons::PROVING_UP);
        play.pass_time(5);
    }
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(true), .. }));
    play.service_written(ServiceFacts { updated_at: "u4".into(), ..service() });
    assert_eq!(play.pass(), Next::Finished);
    assert!(play.object.status.conditions.is_true("Succeeded") && play.env.evidence.latch.is_none());
}

#[test]
fn a_service_that_falls_silent_again_has_to_be_up_for_as_long_anew() {
    let mut play = back(HostOperationType::Enable, 20, Some("Evacuation/auto-a-1"));
    play.facts = HostFacts { service: Fact::Seen(disabled(), at(0)), ..facts() };
    assert_eq!(waits(play.pass()).0, reasons::PROVING_UP);
    play.pass_time(15);
    play.facts.service = Fact::Seen(ServiceFacts { up: false, ..disabled() }, play.env.now);
    assert_eq!(waits(play.pass()).0, reasons::SERVICE_DOWN);
    play.pass_time(10);
    play.facts.service = Fact::Seen(disabled(), play.env.now);
    assert_eq!(waits(play.pass()).0, reasons::PROVING_UP);
    play.pass_time(19);
    assert_eq!(waits(play.pass()).0, reasons::PROVING_UP);
    play.pass_time(1);
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(true), .. }));
}

#[test]
fn another_fence_ends_it_and_one_that_is_gone_leaves_the_service_as_it_is() {
    let mut other = back(HostOperationType::PowerOn, 0, Some("Evacuation/by-hand"));
    assert_eq!(other.pass(), Next::Finished);
    assert_eq!(other.object.status.conditions.find("Succeeded").map(|c| c.reason.as_str()), Some(reasons::FENCED));
    let mut gone = back(HostOperationType::Enable, 0, None);
    gone.facts = HostFacts { service: Fact::Seen(disabled(), at(0)), ..facts() };
    assert_eq!(gone.pass(), Next::Finished, "whoever released the fence decides");
}

#[test]
fn a_policy_that_is_edited_in_the_middle_of_a_return_holds_from_the_next_step_on() {
    type Edit = fn(&mut Holding);
    let forbids: [(&str, Edit); 5] = [
        ("detection.mode: Off", |h| h.spec.detection.mode = Watching::Off),
        ("returnToService.mode: Manual", |h| h.spec.return_to_service.mode = ReturnMode::Manual),
        ("the return from auto-a-1 is not approved", |h| {
            h.spec.return_to_service.approval = Approval::Required;
            h.of_host.approved_return = Some("auto-a-0".into());
        }),
        ("spec.remediation is Excluded", |h| h.of_host.remediation = RemediationRule::Excluded),
        ("returnToService.powerOn: Never", |h| h.spec.return_to_service.power_on = PowerOnReturn::Never),
    ];
    for (why, edit) in forbids {
        let mut play = back(HostOperationType::PowerOn, 0, Some("Evacuation/auto-a-1"));
        steps(play.pass());
        play.answered(OperationState::Observed, "");
        play.facts.holding = holding(edit);
        play.pass_time(1);
        play.facts.links[0].state = Fact::Seen(PowerState::On, play.env.now);
        assert_eq!(play.pass(), Next::Finished, "{why}");
        let ended = play.object.status.conditions.find("Succeeded").expect("it has ended");
        assert_eq!(ended.reason, reasons::POLICY_CHANGED, "{why}");
        assert!(ended.message.contains(why), "{}", ended.message);
        assert!(play.env.evidence.latch.is_some(), "{why}: the host stays fenced");
    }
    let mut approved = back(HostOperationType::PowerOn, 0, Some("Evacuation/auto-a-1"));
    approved.facts.holding = holding(|h| {
        h.spec.return_to_service.approval = Approval::Required;
        h.of_host.approved_return = Some("auto-a-1".into());
    });
    steps(approved.pass());
    let mut unknown = back(HostOperationType::PowerOn, 0, Some("Evacuation/auto-a-1"));
    unknown.facts.holding = Fact::Unknown("the store".into());
    assert_eq!(waits(unknown.pass()).0, reasons::POLICY_UNKNOWN);
    let mut done = back(HostOperationType::PowerOn, 0, Some("Evacuation/auto-a-1"));
    done.facts = HostFacts { holding: holding(forbids[1].1), ..facts() };
    assert_eq!(done.pass(), Next::Finished);
    assert!(done.object.status.conditions.is_true("Succeeded"), "it is in service: {:?}", done.object.status.conditions);
}

#[test]
fn an_ex_leaders_power_command_holds_it_and_so_does_a_freeze() {
    let off = Step::Power { link: "l1".into(), command: PowerCommand::ForceOff };
    let theirs = Intent { ex_leader: Some(3), owner_uid: "uid-gone".into(), ..intent(off, OperationState::Issued, 25) };
    let mut play = back(HostOperationType::Enable, 0, Some("Evacuation/auto-a-1"));
    play.facts = HostFacts { service: Fact::Seen(disabled(), at(0)), ..facts() };
    play.env.intents = vec![theirs];
    assert_eq!(waits(play.pass()).0, reasons::EX_LEADER_POWER);
    let mut play = back(HostOperationType::PowerOn, 0, Some("Evacuation/auto-a-1"));
    play.env.policy.operations = schemas::v1::Operations::Frozen;
    assert_eq!(waits(play.pass()).0, reasons::FROZEN);
}
