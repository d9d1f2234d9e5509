//! The plan of an evacuation, and how it is carried out.

use crate::common::{rebuild::*, *};
use planner::{
    Also, Fact, Intent, Next, Step,
    facts::{Destination, GroupFacts, GroupRule, Guest, Move, OtherMove},
    settle::LOST,
};
use schemas::v1::{
    EvacuationKind, EvacuationPlanSpec, GuestOutcome, GuestPolicy, GuestPolicySpec, GuestSelector, OperationState, TargetState, reasons,
};
use std::sync::Arc;

fn small(host: &str, ram: i64) -> Destination {
    Destination { free: [("MEMORY_MB".to_string(), ram)].into(), ..room(host) }
}

fn needing(id: &str, ram: i64) -> Guest {
    Guest { needs: [("MEMORY_MB".to_string(), ram)].into(), ..guest(id) }
}

fn ranked(id: &str, priority: i64) -> Guest {
    Guest { metadata: [("recovery_priority".to_string(), priority.to_string())].into(), ..guest(id) }
}

/// The plans that a pass made.
fn plans(play: &Play<EvacuationKind>) -> Vec<EvacuationPlanSpec> {
    let decision = planner::evacuation::decide(&play.object, &play.facts, &play.env);
    let plan = |also| match also {
        Also::Record { kind: "EvacuationPlan", spec, .. } => Some(serde_json::from_value(spec).unwrap()),
        _ => None,
    };
    decision.also.into_iter().filter_map(plan).collect()
}

fn group(play: &mut Play<EvacuationKind>, rule: GroupRule, members: &[(&str, Option<&str>)]) {
    let members = members.iter().map(|(id, on)| (id.to_string(), on.map(String::from))).collect();
    play.facts.groups = Fact::Seen(vec![GroupFacts { id: "g".into(), name: "web".into(), rule, members }], at(0));
}

fn policy(play: &mut Play<EvacuationKind>, spec: GuestPolicySpec) {
    let selector = GuestSelector { metadata: "tier=gold".into(), ..Default::default() };
    let object = schemas::Object::<GuestPolicy> {
        metadata: schemas::ObjectMeta::named("gold"),
        spec: GuestPolicySpec { selector, ..spec },
        status: Default::default(),
    };
    play.facts.guest_policies = Fact::Seen(Arc::new(planner::guest_policy::Rules::of(vec![object])), at(0));
}

fn gold(id: &str) -> Guest {
    Guest { metadata: [("tier".to_string(), "gold".to_string())].into(), ..guest(id) }
}

#[test]
fn before_the_first_request_all_guests_have_a_place_or_a_reason() {
    let paused = Guest { vm_state: "paused".into(), ..guest("paused") };
    let mut play = fenced_with(vec![needing("big", 4_000), needing("huge", 9_000), ranked("never", 0), paused], vec![]);
    play.facts.destinations = Fact::Seen(vec![small("b", 4_096), small("c", 1_000)], at(0));
    let [plan] = plans(&play).try_into().unwrap();
    assert_eq!((plan.number, plan.hosts), (1, 2));
    let items: Vec<(&str, &str)> = plan.items.iter().map(|i| (i.id.as_str(), i.destination.as_str())).collect();
    assert_eq!(items, [("big", "b"), ("huge", ""), ("paused", ""), ("never", "")]);
    assert!(plan.items.iter().filter(|i| i.destination.is_empty()).all(|i| !i.why.is_empty()), "{plan:?}");
    assert_eq!(sends(play.pass()).0, "big");
    assert!(plans(&play).is_empty(), "a plan that stands is not made again");
}

#[test]
fn a_plan_that_no_longer_fits_is_made_again_at_most_every_five_seconds() {
    let mut play = fenced_with(vec![guest("g1"), guest("g2")], vec![]);
    play.env.policy.max_per_host = 1;
    assert_eq!(sends(play.pass()).1, "b");
    play.answered(OperationState::Refused, "not sent: no route");
    play.facts.destinations = Fact::Seen(vec![room("d")], at(0));
    play.pass_time(1);
    assert_eq!(waits(play.pass()).0, reasons::RETRYING);
    assert_eq!(record_of(&play, "g2").reason, reasons::REPLANNING);
    play.pass_time(4);
    assert_eq!(plans(&play)[0].number, 2);
    assert_eq!(sends(play.pass()).1, "d");
}

#[test]
fn a_guest_without_a_place_gets_one_as_soon_as_there_is_a_host() {
    let mut play = fenced_with(vec![needing("g", 9_000)], vec![]);
    assert_eq!(waits(play.pass()).0, reasons::NO_DESTINATION);
    assert_eq!(play.object.status.plan.as_ref().map(|p| p.number), Some(1));
    play.pass_time(60);
    assert_eq!(waits(play.pass()).0, reasons::NO_DESTINATION);
    assert_eq!(play.object.status.plan.as_ref().map(|p| p.number), Some(1), "nothing new is nothing to write down");
    play.facts.destinations = Fact::Seen(vec![small("standby", 10_000)], play.env.now);
    assert_eq!(sends(play.pass()), ("g".into(), "standby".into(), false));
    assert_eq!(play.object.status.plan.as_ref().map(|p| p.number), Some(2));
}

#[test]
fn what_other_evacuations_plan_and_move_is_counted_beside_the_room() {
    let mut play = fenced_with(vec![needing("g", 3_000)], vec![]);
    let other = |sent| OtherMove { guest: "x".into(), destination: "b".into(), needs: [("MEMORY_MB".to_string(), 3_000)].into(), sent };
    play.facts.others = Fact::Seen(vec![other(false)], at(0));
    assert_eq!(sends(play.pass()).1, "c");
    let mut blind = fenced_with(vec![needing("g", 3_000)], vec![]);
    blind.facts.others = Fact::Unknown("locked".into());
    assert_eq!(waits(blind.pass()).0, reasons::NOVA_UNREADABLE);
}

#[test]
fn between_priority_groups_there_is_the_pause_that_the_guests_before_ask_for() {
    let patient = |id: &str, seconds: &str| Guest {
        metadata: [("recovery_priority".to_string(), "9".to_string()), ("evacuation_time".to_string(), seconds.to_string())].into(),
        ..guest(id)
    };
    for (first, pause) in [(vec![ranked("one", 9)], 60), (vec![patient("one", "300"), patient("two", "5")], 300), (vec![patient("one", "0")], 0)] {
        let ids: Vec<String> = first.iter().map(|g| g.id.clone()).collect();
        let mut play = fenced_with(first.into_iter().chain([ranked("last", 1)]).collect(), vec![]);
        ids.iter().for_each(|_| assert_ne!(sends(play.pass()).0, "last"));
        assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_MOVES);
        assert!(record_of(&play, "last").message.contains("priority 9 go first"), "{:?}", record_of(&play, "last"));
        let mut next = play.settle(&ids);
        if pause > 0 {
            assert_eq!(waits(next).0, reasons::GROUP_PAUSE);
            play.pass_time(pause - 1);
            assert_eq!(waits(play.pass()).0, reasons::GROUP_PAUSE);
            play.pass_time(1);
            next = play.pass();
        }
        assert_eq!(sends(next).0, "last");
    }
}

#[test]
fn a_guest_that_failed_or_fits_nowhere_holds_up_no_later_group() {
    let huge = Guest { metadata: ranked("x", 9).metadata, ..needing("huge", 99_999) };
    let stuck = Guest { vm_state: "paused".into(), ..ranked("paused", 8) };
    let mut play = fenced_with(vec![huge, stuck, ranked("small", 1)], vec![]);
    assert_eq!(sends(play.pass()).0, "small");
}

#[test]
fn members_of_an_anti_affinity_group_are_sent_one_at_a_time() {
    let mut play = fenced_with(vec![guest("g1"), guest("g2"), guest("g3")], vec![]);
    group(&mut play, GroupRule::AntiAffinity(1), &[("g1", Some("a")), ("g2", Some("a"))]);
    assert_eq!((sends(play.pass()).0, sends(play.pass()).0), ("g1".into(), "g3".into()));
    assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_MOVES);
    assert!(record_of(&play, "g2").message.contains("web is being moved"));
    let first = record_of(&play, "g1").destination.clone();
    let (second, to, _) = sends(play.settle(&["g1".into()]));
    assert!(second == "g2" && to != first, "{second} to {to}");
    // Also while another evacuation moves one.
    let mut play = fenced_with(vec![guest("g1")], vec![]);
    group(&mut play, GroupRule::AntiAffinity(1), &[("g1", Some("a")), ("x", Some("z"))]);
    play.facts.others = Fact::Seen(vec![OtherMove { guest: "x".into(), destination: "c".into(), needs: Default::default(), sent: true }], at(0));
    assert!(waits(play.pass()).1.contains("web is being moved"));
}

#[test]
fn guests_that_nova_cannot_evacuate_are_named_and_nothing_is_asked_for_them() {
    let tpm = Guest { extra_specs: [("hw:tpm_version".to_string(), "2.0".to_string())].into(), ..guest("tpm") };
    let accelerated = Guest { extra_specs: [("accel:device_profile".to_string(), "gpu".to_string())].into(), ..guest("gpu") };
    let mut play = fenced_with(vec![tpm, accelerated, guest("tied")], vec![]);
    group(&mut play, GroupRule::Affinity, &[("tied", Some("a")), ("tied2", Some("a"))]);
    assert_eq!(play.pass(), Next::Finished);
    let found: Vec<(&str, &str)> = play.object.status.guests.iter().map(|m| (m.id.as_str(), m.reason.as_str())).collect();
    assert_eq!(found, [("gpu", reasons::CANNOT_EVACUATE), ("tied", reasons::SERVER_GROUP), ("tpm", reasons::CANNOT_EVACUATE)]);
    assert!(play.object.status.conditions.iter().any(|c| c.r#type == "Succeeded" && c.status == schemas::ConditionStatus::False));
    // With a member elsewhere the group names the host.
    let mut play = fenced_with(vec![guest("tied")], vec![]);
    group(&mut play, GroupRule::Affinity, &[("tied", Some("a")), ("tied2", Some("c"))]);
    assert_eq!(sends(play.pass()).1, "c");
    play.facts.groups = Fact::Unknown("500".into());
    let mut blind = fenced_with(vec![guest("g")], vec![]);
    blind.facts.groups = Fact::Unknown("500".into());
    assert_eq!(waits(blind.pass()).0, reasons::NOVA_UNREADABLE);
}

#[test]
fn what_a_guest_policy_says_is_done() {
    let mut play = fenced_with(vec![gold("lb"), guest("web")], vec![]);
    policy(&mut play, GuestPolicySpec { owner: Some("Octavia".into()), ..Default::default() });
    assert_eq!(sends(play.pass()).0, "web");
    assert_eq!((record_of(&play, "lb").outcome, record_of(&play, "lb").reason.as_str()), (GuestOutcome::Skipped, reasons::OWNER_MANAGED));

    let stopped = || GuestPolicySpec { target_state: TargetState::Stopped, ..Default::default() };
    let mut play = fenced_with(vec![gold("vault")], vec![]);
    policy(&mut play, stopped());
    assert_eq!(play.pass(), Next::Finished, "2.93 would start it");
    assert_eq!(record_of(&play, "vault").reason, reasons::CANNOT_EVACUATE);
    let mut play = fenced_with(vec![gold("vault")], vec![]);
    policy(&mut play, stopped());
    play.facts.microversion = Fact::Seen((2, 100), at(0));
    assert!(matches!(play.pass(), Next::Step(Step::Evacuate { leave_stopped: true, .. })));

    let mut blind = fenced_with(vec![gold("vault")], vec![]);
    blind.facts.guest_policies = Fact::Unknown("locked".into());
    assert_eq!(waits(blind.pass()).0, reasons::NOVA_UNREADABLE);
}

#[test]
fn a_repeat_does_not_go_past_the_host_where_the_guest_may_be_running() {
    let broken_off = Move { destination: Some("c".into()), ..record(1, "evacuation", "failed", "g") };
    let mut play = fenced_with(vec![Guest { vm_state: "error".into(), ..guest("g") }], vec![broken_off]);
    let lost = Intent { evidence: LOST.into(), ..intent(evacuate("g", "b", &[1]), OperationState::Failed, 100) };
    play.env.intents = vec![lost];
    assert_eq!(sends(play.pass()).1, "c", "Nova looks for it there before it rebuilds it");
    play.facts.destinations = Fact::Seen(vec![room("b")], at(0));
    play.object.status = Default::default();
    play.env.intents.truncate(1);
    assert_eq!(waits(play.pass()).0, reasons::NO_DESTINATION);
    assert!(record_of(&play, "g").message.contains("may be running on c"), "{:?}", record_of(&play, "g"));
}
