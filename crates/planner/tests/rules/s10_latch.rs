//! S5, S10, S11, S14: the path of a fence, the latch, the way back, claims, and two brains.

use crate::common::*;
use planner::{
    Fact, Next, Step,
    contract::PowerCommand,
    facts::{HostFacts, ServiceFacts},
    proof::Latch,
};
use schemas::{
    Conditions,
    v1::{self, EvacuationMode, EvacuationPath, HostOperationType, OperationState, Operations, PowerState, PowerWish, reasons},
};

fn latch(by_uid: &str, disabled_by_us: bool) -> Latch {
    Latch { epoch: 1, by: "Evacuation/mine".into(), by_uid: by_uid.into(), at: at(-100), disabled_by_us, attested: None }
}

fn rebuild(facts: HostFacts) -> Play<v1::EvacuationKind> {
    Play::new(evacuation(EvacuationMode::Auto), facts, env())
}

#[test]
fn a_dead_host_is_switched_off_proven_off_and_fenced_in_one_put_before_a_guest_is_sent() {
    let mut play = rebuild(HostFacts { guests: Fact::Seen(vec![guest("g")], at(0)), ..dead() });
    assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::ForceOff, .. }));
    assert_eq!((play.object.status.fences, play.object.status.path), (1, EvacuationPath::Rebuild));
    play.answered(OperationState::Observed, "");
    play.pass_time(1);
    play.facts.links[0].state = Fact::Seen(PowerState::Off, play.env.now);
    assert_eq!(waits(play.pass()).0, reasons::PROVING_OFF);
    play.pass_time(5);
    match steps(play.pass()) {
        Step::NovaService { enabled: Some(false), forced_down: Some(true), reason: Some(reason), .. } => assert!(reason.contains(US)),
        other => panic!("{other:?}"),
    }
    assert_eq!(play.env.evidence.latch.as_ref().map(|l| (l.by_uid.as_str(), l.disabled_by_us)), Some((UID, true)));
    play.service_written(ServiceFacts { updated_at: "u1".into(), ..fenced() });
    assert!(matches!(steps(play.pass()), Step::Evacuate { .. }));
}

#[test]
fn an_operators_own_disable_keeps_its_reason_and_is_not_undone_on_return() {
    for (reason, mine) in [("maintenance".to_string(), false), (self::reason(US), false)] {
        let row = ServiceFacts { enabled: false, up: false, disabled_reason: Some(reason), ..service() };
        let mut play = rebuild(HostFacts { service: Fact::Seen(row, at(0)), links: vec![link("l1", PowerState::Off)], ..dead() });
        play.env.evidence = proven();
        match steps(play.pass()) {
            Step::NovaService { enabled: None, reason: None, forced_down: Some(true), .. } => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(play.env.evidence.latch.as_ref().map(|l| l.disabled_by_us), Some(mine));
    }
}

#[test]
fn a_host_that_comes_back_to_life_is_fenced_twice_at_most() {
    let mut play = rebuild(HostFacts { guests: Fact::Seen(vec![], at(0)), ..dead() });
    for fences in 1..=2 {
        assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::ForceOff, .. }));
        assert_eq!(play.object.status.fences, fences);
        play.answered(OperationState::Observed, "");
        play.pass_time(1);
        play.facts.links[0].state = Fact::Seen(PowerState::Off, play.env.now);
        waits(play.pass());
        play.pass_time(15);
        play.facts.links[0].state = Fact::Seen(PowerState::On, play.env.now);
    }
    let (reason, message) = waits(play.pass());
    assert_eq!(reason, reasons::NEEDS_HUMAN);
    assert!(message.contains("2 times"), "{message}");
}

/// Found by seed 822 of the schedules: somebody pressed its button while the last guest was on its way.
#[test]
fn a_fenced_host_that_shows_life_when_all_its_guests_have_gone_is_not_fenced_again() {
    let back = |guests: Vec<planner::facts::Guest>| HostFacts {
        service: Fact::Seen(ServiceFacts { up: false, ..fenced() }, at(0)),
        guests: Fact::Seen(guests, at(0)),
        links: vec![link("l1", PowerState::On)],
        ..dead()
    };
    let mut play = rebuild(back(vec![]));
    play.env.evidence.latch = Some(latch(UID, true));
    play.object.status.fences = 1;
    assert_eq!(play.pass(), Next::Finished);
    assert!(play.env.evidence.latch.is_some(), "its return is another matter");

    let mut left = rebuild(back(vec![guest("g")]));
    left.env.evidence.latch = Some(latch(UID, true));
    left.object.status.fences = 1;
    assert!(matches!(steps(left.pass()), Step::Power { command: PowerCommand::ForceOff, .. }), "a guest is left");
    let mut blind = rebuild(HostFacts { guests: Fact::Unknown("500".into()), ..back(vec![]) });
    blind.env.evidence.latch = Some(latch(UID, true));
    blind.object.status.fences = 1;
    assert_ne!(blind.pass(), Next::Finished, "silence is never empty");
}

#[test]
fn a_host_that_was_only_switched_off_and_reports_again_is_not_fenced_again_for_nobody() {
    let back = |guests: Fact<Vec<planner::facts::Guest>>| {
        let mut play = rebuild(HostFacts { guests, links: vec![link("l1", PowerState::On)], ..facts() });
        play.object.status.started_at = Some(at(-100));
        play.object.status.fences = 1;
        play.env.evidence.last_command_at = Some(at(-60));
        play
    };
    assert_eq!(back(Fact::Seen(vec![], at(0))).pass(), Next::Finished);
    let fences_again = |next| matches!(next, Next::Step(Step::Power { command: PowerCommand::ForceOff, .. }));
    assert!(fences_again(back(Fact::Seen(vec![guest("g")], at(0))).pass()), "a guest is left");
    assert_eq!(waits(back(Fact::Unknown("500".into())).pass()).0, reasons::NOVA_UNREADABLE, "silence is never empty");
    let mut silent = back(Fact::Seen(vec![], at(0)));
    silent.env.evidence.last_command_at = Some(at(0));
    assert_eq!(waits(silent.pass()).0, reasons::IN_DOUBT, "what it said before the command is of the life that was ended");
}

#[test]
fn a_latch_of_an_older_evacuation_with_the_same_name_is_not_this_ones_fence() {
    let mut play = rebuild(HostFacts { links: vec![link("l1", PowerState::On)], ..facts() });
    play.env.evidence.latch = Some(latch("uid-older", true));
    play.object.status.started_at = Some(at(-60));
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(false), forced_down: None, .. }), "alive, so it is drained");
    assert_eq!(play.object.status.path, EvacuationPath::Drain);
}

#[test]
fn under_the_latch_nothing_that_is_declared_is_enforced_and_it_says_so() {
    for power in [PowerWish::On, PowerWish::Off, PowerWish::Unmanaged] {
        let mut play =
            Play::new(host(power), HostFacts { service: Fact::Seen(fenced(), at(0)), links: vec![link("l1", PowerState::Off)], ..dead() }, env());
        play.object.spec.schedulable = if power == PowerWish::Off { Default::default() } else { v1::Schedulable::Enabled };
        play.env.evidence.latch = Some(latch("x", true));
        let (reason, message) = waits(play.pass());
        assert_eq!(reason, reasons::FENCED);
        assert!(message.contains("power on a") && message.contains("Evacuation/mine"), "{message}");
    }
}

#[test]
fn a_fenced_host_comes_back_in_the_order_of_the_rule() {
    let off = HostFacts { service: Fact::Seen(fenced(), at(0)), links: vec![link("l1", PowerState::Off)], ..dead() };
    let mut play = Play::new(operation(HostOperationType::PowerOn), off, env());
    play.env.evidence.latch = Some(latch("x", true));
    assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::On, .. }));
    play.answered(OperationState::Observed, "");
    play.pass_time(5);
    play.facts.links[0].state = Fact::Seen(PowerState::On, play.env.now);
    // What was remembered of before the power-on is of the life that was ended.
    play.facts.beats = vec![beat(-50, "u-9", true), beat(-40, "u-8", true)];
    assert_eq!(waits(play.pass()).0, reasons::SERVICE_DOWN);
    play.facts.beats = vec![beat(3, "u0", false), beat(5, "u1", false)];
    play.facts.service = Fact::Seen(ServiceFacts { updated_at: "u1".into(), ..fenced() }, play.env.now);
    for status in ["accepted", "pre-migrating", "done"] {
        play.facts.moves = Fact::Seen(vec![record(1, "evacuation", status, "g")], play.env.now);
        let (reason, message) = waits(play.pass());
        assert_eq!(reason, reasons::MOVE_IN_FLIGHT, "{status}");
        assert!(message.contains(status));
    }
    play.facts.moves = Fact::Seen(vec![record(1, "evacuation", "completed", "g")], play.env.now);
    assert!(matches!(steps(play.pass()), Step::NovaService { forced_down: Some(false), enabled: None, .. }));
    play.service_written(ServiceFacts { up: true, forced_down: false, updated_at: "u2".into(), ..fenced() });
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(true), .. }));
    play.service_written(ServiceFacts { updated_at: "u3".into(), ..service() });
    assert_eq!(play.pass(), Next::Finished);
    assert!(play.object.status.conditions.is_true("Succeeded"));
    assert_eq!(play.env.evidence.latch, None);
}

#[test]
fn enable_releases_the_latch_of_a_host_that_is_on_and_never_powers_it_on() {
    let off = HostFacts { service: Fact::Seen(fenced(), at(0)), links: vec![link("l1", PowerState::Off)], ..dead() };
    let mut play = Play::new(operation(HostOperationType::Enable), off, env());
    play.env.evidence.latch = Some(latch("x", false));
    assert_eq!(waits(play.pass()).0, reasons::FENCED);
    let on = HostFacts { service: Fact::Seen(ServiceFacts { up: true, ..disabled() }, at(0)), ..facts() };
    play.facts = on;
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(true), .. }), "asked for by a person, whoever disabled it");
}

#[test]
fn what_would_take_something_away_from_a_fenced_host_is_refused() {
    use HostOperationType::*;
    for kind in [PowerOff, SoftOff, PowerCycle, Initialise, Disable, Drain, Shutdown] {
        let mut play = Play::new(operation(kind), facts(), env());
        play.env.evidence.latch = Some(latch("x", true));
        assert_eq!(play.pass(), Next::Finished);
        assert_eq!(play.object.status.conditions.find("Succeeded").unwrap().reason, reasons::FENCED, "{kind:?}");
    }
}

#[test]
fn under_a_foreign_mark_a_host_is_neither_stopped_nor_brought_back() {
    use HostOperationType::*;
    let foreign = ServiceFacts { disabled_reason: Some(reason(THEM)), ..fenced() };
    let facts = HostFacts { service: Fact::Seen(foreign, at(0)), links: vec![link("l1", PowerState::Off)], ..dead() };
    for kind in [PowerOn, PowerOff, SoftOff, PowerCycle, Initialise, Enable, Disable, Drain, Shutdown] {
        let (reason, message) = waits(Play::new(operation(kind), facts.clone(), env()).pass());
        assert_eq!(reason, reasons::FOREIGN, "{kind:?}");
        assert!(message.contains(THEM));
    }
    for mode in [EvacuationMode::Auto, EvacuationMode::Rebuild, EvacuationMode::LiveMigrate] {
        assert_eq!(waits(Play::new(evacuation(mode), facts.clone(), env()).pass()).0, reasons::FOREIGN);
    }
    assert_eq!(waits(Play::new(host(PowerWish::On), facts, env()).pass()).0, reasons::FOREIGN);
}

#[test]
fn a_mark_is_ours_foreign_or_none_by_the_uuid_it_carries() {
    let with = |text: Option<&str>| ServiceFacts { disabled_reason: text.map(String::from), ..disabled() };
    let of = |text: Option<&str>| (planner::service::is_ours(&with(text), US), planner::service::foreign(&with(text), US).map(String::from));
    assert_eq!(of(Some(&reason(US))), (true, None));
    assert_eq!(of(Some(&reason(THEM))), (false, Some(THEM.into())));
    assert_eq!(of(Some("maintenance")), (false, None));
    assert_eq!(of(None), (false, None));
    assert_eq!(of(Some("cloud-manager/")), (false, Some("".into())), "a broken mark stops us as well");
    assert!(planner::service::reason(US, &"x".repeat(400)).chars().count() == 255);
}

#[test]
fn a_lower_rank_gives_way_and_says_to_whom() {
    let held = |uid: &str, rank: i64| Some(("Evacuation/other".to_string(), uid.to_string(), rank));
    let reason_of = |rank: i64| {
        let mut off = Play::new(operation(HostOperationType::Disable), facts(), env());
        off.env.claim = held("uid-other", rank);
        off.pass()
    };
    assert!(matches!(reason_of(20), Next::Step(_)));
    for rank in [30, 40] {
        assert_eq!(waits(reason_of(rank)).0, reasons::CLAIMED);
    }
    let mut host = Play::new(host(PowerWish::Off), facts(), env());
    host.env.claim = held("uid-other", 10);
    let (reason, message) = waits(host.pass());
    assert_eq!(reason, reasons::CLAIMED);
    assert!(message.contains("Evacuation/other"));
}

#[test]
fn frozen_and_halted_say_why_and_how_to_go_on() {
    let mut frozen = rebuild(dead());
    frozen.env.policy.operations = Operations::Frozen;
    let (reason, message) = waits(frozen.pass());
    assert!(reason == reasons::FROZEN && message.contains("thaw"), "{message}");
    let mut halted = rebuild(dead());
    halted.env.halted = Some("the revision counter went back; run doctor".into());
    let (reason, message) = waits(halted.pass());
    assert!(reason == reasons::RESTORED && message.contains("doctor"), "{message}");
}

#[test]
fn a_cancelled_evacuation_waits_for_its_own_calls_only() {
    let mut play = rebuild(HostFacts { guests: Fact::Seen(vec![guest("g")], at(0)), ..dead() });
    play.object.spec.cancel = v1::Cancel::Requested;
    play.env.intents = vec![intent(evacuate("g", "b", &[]), OperationState::Unknown, 3)];
    assert_eq!(waits(play.pass()).0, reasons::SETTLING);
    play.env.intents[0].owner_uid = "uid-other".into();
    assert_eq!(play.pass(), Next::Finished);
}

#[test]
fn a_guest_that_was_shut_down_while_its_host_is_drained_did_not_move_and_is_rebuilt_if_the_host_dies() {
    let mut play =
        rebuild(HostFacts { service: Fact::Seen(disabled(), at(0)), guests: Fact::Seen(vec![guest("g0"), guest("g1")], at(0)), ..facts() });
    play.object.status.started_at = Some(at(-60));
    assert!(matches!(steps(play.pass()), Step::LiveMigrate { .. }));
    play.env.intents.clear();
    play.facts.guests = Fact::Seen(vec![guest("g0"), stopped("g1")], at(0));
    play.pass();
    assert_eq!(play.object.status.guests.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["g0"]);
}
