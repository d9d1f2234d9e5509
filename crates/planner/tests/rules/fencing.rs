//! How a host is switched off: soft, hard, and through the next device, in the order of a policy.

use crate::common::*;
use planner::{
    Fact, Next, Step,
    facts::{HostFacts, LinkFacts},
};
use schemas::{
    Object,
    v1::{
        self, EvacuationMode, FencePolicy,
        FenceStage::{self, Hard, SecondDevice, Soft},
        Fencing, HostOperationType, OperationState,
        PowerState::{Off, On},
        RunningGuests, reasons,
    },
};

fn by(order: &[FenceStage]) -> Fencing {
    Fencing { order: order.to_vec(), soft_off_timeout_seconds: 120, hard_off_timeout_seconds: 60 }
}

/// An evacuation by rebuilding, with an order of its own.
fn rebuild(order: &[FenceStage], links: Vec<LinkFacts>) -> Play<v1::EvacuationKind> {
    let mut ev = evacuation(EvacuationMode::Rebuild);
    ev.spec.fencing = Some(by(order));
    Play::new(ev, HostFacts { links, ..dead() }, env())
}

/// Power commands of so many seconds, each with its time; they are answered and show nothing.
fn commands<K: Decides>(play: &mut Play<K>, seconds: i64) -> Vec<(i64, String)> {
    let begin = play.env.now;
    let mut sent = Vec::new();
    while play.env.now.seconds_since(begin) < seconds {
        if let Next::Step(step) = play.pass() {
            assert!(matches!(step, Step::Power { .. }), "{step:?}");
            sent.push((play.env.now.seconds_since(begin), step.name()));
            play.answered(OperationState::Observed, "");
        }
        play.pass_time(1);
    }
    sent
}

fn told(sent: &[(i64, String)]) -> Vec<(i64, &str)> {
    sent.iter().map(|(at, name)| (*at, name.as_str())).collect()
}

/// A link reads otherwise from now on.
fn reads<K: Decides>(play: &mut Play<K>, name: &str, state: v1::PowerState) {
    let now = play.env.now;
    play.facts.links.iter_mut().filter(|l| l.name == name).for_each(|l| l.state = Fact::Seen(state, now));
}

fn falls_silent<K: Decides>(play: &mut Play<K>, name: &str) {
    play.facts.links.iter_mut().filter(|l| l.name == name).for_each(|l| l.state = Fact::Unknown("no answer".into()));
}

/// The reason of the next wait, and its message, after what is due was sent.
fn held<K: Decides>(play: &mut Play<K>) -> (&'static str, String) {
    loop {
        match play.pass() {
            Next::Step(_) => play.answered(OperationState::Observed, ""),
            next => return waits(next),
        }
    }
}

#[test]
fn a_host_with_one_device_is_switched_off_through_it_for_ever_and_after_its_time_a_person_is_asked() {
    let mut play = rebuild(&[Hard, SecondDevice], vec![link("l1", On)]);
    assert_eq!(
        told(&commands(&mut play, 60)),
        [(0, "Power/ForceOff/l1"), (15, "Power/ForceOff/l1"), (30, "Power/ForceOff/l1"), (45, "Power/ForceOff/l1")]
    );
    assert_eq!(play.object.status.waiting.as_ref().map(|w| w.reason.as_str()), Some(reasons::WAITING_FOR_POWER));
    let decision = planner::evacuation::decide(&play.object, &play.facts, &play.env);
    assert!(decision.events.iter().any(|e| e.warning && e.reason == reasons::FENCE_FAILED), "{:?}", decision.events);
    assert_eq!(told(&commands(&mut play, 31)), [(0, "Power/ForceOff/l1"), (15, "Power/ForceOff/l1"), (30, "Power/ForceOff/l1")]);
    let (reason, message) = held(&mut play);
    assert_eq!(reason, reasons::NEEDS_HUMAN);
    assert!(message.contains("l1: ForceOff was sent, it reads on") && message.contains("by hand"), "{message}");
    let decision = planner::evacuation::decide(&play.object, &play.facts, &play.env);
    assert!(decision.events.is_empty(), "told once: {:?}", decision.events);
    assert_eq!(play.object.status.fences, 1, "however often it is sent, it is one fence");
}

#[test]
fn the_second_bmc_follows_when_the_first_one_still_reads_on_after_its_time_and_it_is_one_fence() {
    let mut play = rebuild(&[Hard, SecondDevice], vec![link("l1", On), link("l2", On)]);
    assert_eq!(commands(&mut play, 60).len(), 4);
    let decision = planner::evacuation::decide(&play.object, &play.facts, &play.env);
    let event = decision.events.iter().find(|e| e.reason == "NextDevice").expect("it is told");
    assert!(event.warning && event.note.contains("l2") && event.note.contains("l1: ForceOff was sent, it reads on"), "{}", event.note);
    assert_eq!(told(&commands(&mut play, 60))[..2], [(0, "Power/ForceOff/l2"), (15, "Power/ForceOff/l2")]);
    // After the last one the first is tried on.
    assert_eq!(told(&commands(&mut play, 16)), [(0, "Power/ForceOff/l1"), (15, "Power/ForceOff/l1")]);
    assert_eq!(held(&mut play).0, reasons::NEEDS_HUMAN);
    assert_eq!((play.object.status.fences, play.object.status.fence_epoch), (1, Some(1)));
}

#[test]
fn the_second_bmc_follows_when_the_first_one_falls_silent_after_the_command() {
    let mut play = rebuild(&[Hard, SecondDevice], vec![link("l1", On), link("l2", On)]);
    assert_eq!(told(&commands(&mut play, 5)), [(0, "Power/ForceOff/l1")]);
    falls_silent(&mut play, "l1");
    assert_eq!(held(&mut play).0, reasons::WAITING_FOR_POWER);
    assert_eq!(commands(&mut play, 55), []);
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/ForceOff/l2")]);
}

#[test]
fn a_first_bmc_that_never_answered_keeps_nobody_from_the_second_one() {
    let mut play = rebuild(&[Hard, SecondDevice], vec![blind(link("l1", On)), link("l2", On)]);
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/ForceOff/l2")]);
}

#[test]
fn without_a_second_device_in_the_order_no_other_one_is_used_than_the_first() {
    let mut play = rebuild(&[Hard], vec![link("l1", On), link("l2", On), supply("p1", On)]);
    let sent = commands(&mut play, 200);
    assert!(sent.len() > 8 && sent.iter().all(|(_, name)| name == "Power/ForceOff/l1"), "{sent:?}");
    assert_eq!(held(&mut play).0, reasons::NEEDS_HUMAN);
}

#[test]
fn nothing_goes_through_a_link_that_is_not_verified_however_long_the_others_take() {
    let mut play = rebuild(&[Hard, SecondDevice], vec![link("l1", On), unverified(link("l2", On)), unverified(supply("p1", On))]);
    let sent = commands(&mut play, 300);
    assert!(sent.iter().all(|(_, name)| name == "Power/ForceOff/l1"), "{sent:?}");
    let (reason, message) = held(&mut play);
    assert_eq!(reason, reasons::NEEDS_HUMAN);
    assert!(message.contains("l2: nothing was sent, it reads on, it is not verified"), "{message}");
}

#[test]
fn a_soft_power_off_comes_first_is_sent_once_and_is_no_fence() {
    let mut play = rebuild(&[Soft, Hard, SecondDevice], vec![link("l1", On), link("l2", On)]);
    assert_eq!(told(&commands(&mut play, 120)), [(0, "Power/SoftOff/l1")]);
    assert_eq!((play.object.status.fences, play.object.status.fence_epoch), (0, None));
    assert_eq!(
        told(&commands(&mut play, 61)),
        [(0, "Power/ForceOff/l1"), (15, "Power/ForceOff/l1"), (30, "Power/ForceOff/l1"), (45, "Power/ForceOff/l1"), (60, "Power/ForceOff/l2")]
    );
    assert_eq!((play.object.status.fences, play.object.status.fence_epoch), (1, Some(1)));
    // It came back, and is fenced again: hard, at once.
    play.env.evidence.epoch = 2;
    reads(&mut play, "l2", Off);
    play.env.intents.clear();
    play.env.intents.push(intent(
        Step::Power { link: "l1".into(), command: planner::contract::PowerCommand::SoftOff },
        OperationState::Observed,
        300,
    ));
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/ForceOff/l1")]);
    assert_eq!((play.object.status.fences, play.object.status.fence_epoch), (2, Some(2)));
}

#[test]
fn who_was_asked_to_shut_down_has_its_time_also_if_its_power_epoch_ends_meanwhile() {
    let mut play = rebuild(&[Soft, Hard], vec![link("l1", On)]);
    assert_eq!(told(&commands(&mut play, 30)), [(0, "Power/SoftOff/l1")]);
    // The epoch ends whenever it reads on while nobody can tell whether it was attested dead.
    play.facts.attestation = Fact::Unknown("the store".into());
    assert_eq!(commands(&mut play, 1), []);
    play.facts.attestation = Fact::Absent(play.env.now);
    assert_eq!(play.env.evidence.epoch, 2);
    assert_eq!(commands(&mut play, 89), []);
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/ForceOff/l1")]);
    assert_eq!((play.object.status.fences, play.object.status.fence_epoch), (1, Some(2)));
}

#[test]
fn a_host_that_heeds_the_soft_power_off_is_proven_off_without_a_fence() {
    let mut play = rebuild(&[Soft, Hard], vec![link("l1", On)]);
    assert_eq!(told(&commands(&mut play, 10)), [(0, "Power/SoftOff/l1")]);
    reads(&mut play, "l1", Off);
    assert!(matches!(play.until_step(20), Step::NovaService { forced_down: Some(true), .. }));
    assert_eq!(play.object.status.fences, 0);
}

#[test]
fn who_was_asked_to_shut_down_is_not_taken_for_one_that_was_left_alone() {
    let mut play = rebuild(&[Soft, Hard], vec![link("l1", On)]);
    (play.object.spec.mode, play.object.spec.cause) = (EvacuationMode::Auto, v1::Cause::Automatic);
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/SoftOff/l1")]);
    // It reports once more before it goes down.
    if let Fact::Seen(service, _) = &mut play.facts.service {
        (service.up, service.updated_at) = (true, "u9".into());
    }
    play.pass_time(1);
    play.facts.beats.push(beat(2, "u9", true));
    assert_eq!(held(&mut play).0, reasons::WAITING_FOR_POWER);
    assert_eq!(play.object.status.finished_at, None);
}

fn dark_with_outlets() -> Vec<LinkFacts> {
    vec![blind(link("l1", On)), supply("p1", On), supply("p2", On)]
}

#[test]
fn where_no_bmc_answers_the_outlets_are_cut_after_its_time_and_prove_it_together() {
    let mut play = rebuild(&[Hard, SecondDevice], dark_with_outlets());
    assert_eq!(commands(&mut play, 60), []);
    let waiting = play.object.status.waiting.clone().unwrap();
    assert_eq!(waiting.reason, reasons::POWER_UNREADABLE);
    assert!(waiting.message.contains("power is cut at the outlets"), "{}", waiting.message);
    assert_eq!(play.object.status.fences, 0);
    assert_eq!(steps(play.pass()).name(), "Power/ForceOff/p1");
    play.answered(OperationState::Observed, "");
    play.pass_time(1);
    reads(&mut play, "p1", Off);
    assert_eq!(steps(play.pass()).name(), "Power/ForceOff/p2");
    play.answered(OperationState::Observed, "");
    play.pass_time(10);
    // With one of two it runs on: that proves nothing, however often it is read.
    assert_eq!(held(&mut play).0, reasons::WAITING_FOR_POWER);
    assert_eq!(play.object.status.fences, 1);
    reads(&mut play, "p2", Off);
    assert_eq!(waits(play.pass()).0, reasons::PROVING_OFF);
    play.pass_time(6);
    assert!(matches!(play.until_step(3), Step::NovaService { forced_down: Some(true), .. }));
    assert_eq!((play.object.status.fences, play.object.status.fence_epoch), (1, Some(1)));
}

#[test]
fn a_bmc_that_reads_on_speaks_against_cut_outlets() {
    let mut play = rebuild(&[Hard, SecondDevice], vec![link("l1", On), supply("p1", On)]);
    assert_eq!(told(&commands(&mut play, 61)).last(), Some(&(60, "Power/ForceOff/p1")));
    reads(&mut play, "p1", Off);
    let sent = commands(&mut play, 100);
    assert!(sent.iter().all(|(_, name)| name == "Power/ForceOff/l1"), "nothing but the first device, for ever: {sent:?}");
    let (reason, message) = held(&mut play);
    assert_eq!(reason, reasons::NEEDS_HUMAN);
    assert!(message.contains("p1: ForceOff was sent, it reads off") && message.contains("l1: ForceOff was sent, it reads on"), "{message}");
}

#[test]
fn outlets_are_cut_all_together_or_not_at_all() {
    let cases = [
        vec![blind(link("l1", On)), supply("p1", On), blind(supply("p2", On))],
        vec![blind(link("l1", On)), supply("p1", On), unverified(supply("p2", On))],
        vec![blind(link("l1", On)), blind(supply("p1", On)), blind(supply("p2", On))],
        vec![supply("p1", On), blind(supply("p2", On))],
        vec![supply("p1", On), unverified(supply("p2", Off))],
    ];
    for links in cases {
        let mut play = rebuild(&[Hard, SecondDevice], links);
        assert_eq!(commands(&mut play, 300), [], "{:?}", play.facts.links);
        assert_eq!(held(&mut play).0, reasons::NEEDS_HUMAN, "after a minute without a way to prove it off");
    }
}

#[test]
fn outlets_behind_a_bmc_that_cannot_be_read_are_cut_only_if_the_order_has_a_second_device_and_fencing_is_allowed() {
    let mut first_only = rebuild(&[Soft, Hard], dark_with_outlets());
    assert_eq!(commands(&mut first_only, 600), []);
    let (reason, message) = held(&mut first_only);
    assert!(reason == reasons::NEEDS_HUMAN && message.contains("Unknown is never off"), "{reason}: {message}");
    let mut forbidden = rebuild(&[Hard, SecondDevice], dark_with_outlets());
    forbidden.object.spec.fence = FencePolicy::Forbidden;
    assert_eq!(commands(&mut forbidden, 600), []);
}

#[test]
fn a_bmc_that_answers_again_is_heard_first() {
    let mut play = rebuild(&[Hard, SecondDevice], dark_with_outlets());
    assert_eq!(commands(&mut play, 50), []);
    reads(&mut play, "l1", On);
    assert_eq!(told(&commands(&mut play, 5)), [(0, "Power/ForceOff/l1")]);
    falls_silent(&mut play, "l1");
    assert_eq!(commands(&mut play, 55), [], "its time counts from the command");
    assert_eq!(told(&commands(&mut play, 2)), [(0, "Power/ForceOff/p1"), (1, "Power/ForceOff/p2")]);

    let mut off = rebuild(&[Hard, SecondDevice], dark_with_outlets());
    assert_eq!(commands(&mut off, 59), []);
    reads(&mut off, "l1", Off);
    assert_eq!(waits(off.pass()).0, reasons::PROVING_OFF);
    off.pass_time(1);
    falls_silent(&mut off, "l1");
    assert_eq!(commands(&mut off, 60), [], "it is waited for from the beginning");
}

#[test]
fn a_bmc_that_falls_silent_after_it_showed_the_host_off_has_its_time_before_outlets_are_cut() {
    let mut play = rebuild(&[Hard, SecondDevice], vec![link("l1", On), supply("p1", On)]);
    play.facts.guests = Fact::Seen(vec![guest("g0")], at(0));
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/ForceOff/l1")]);
    reads(&mut play, "l1", Off);
    assert!(matches!(play.until_step(20), Step::NovaService { forced_down: Some(true), .. }));
    play.service_written(fenced());
    play.pass_time(100);
    falls_silent(&mut play, "l1");
    assert_eq!(commands(&mut play, 60), []);
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/ForceOff/p1")]);
    assert_eq!(play.object.status.fences, 1);
}

#[test]
fn a_host_in_doubt_is_not_cut_off_though_it_has_outlets() {
    let mut play = rebuild(&[Hard, SecondDevice], dark_with_outlets());
    play.object.spec.mode = EvacuationMode::Auto;
    assert_eq!(commands(&mut play, 600), []);
    let (reason, message) = held(&mut play);
    assert!(reason == reasons::NEEDS_HUMAN && message.contains("neither alive nor dead"), "{reason}: {message}");
}

#[test]
fn a_new_leader_counts_the_time_of_a_device_from_when_it_came() {
    let mut play = rebuild(&[Hard, SecondDevice], vec![link("l1", On), link("l2", On)]);
    assert_eq!(commands(&mut play, 50).len(), 4);
    play.env.led_since = play.env.now;
    let sent = commands(&mut play, 61);
    assert_eq!(told(&sent).last(), Some(&(60, "Power/ForceOff/l2")), "{sent:?}");
    assert_eq!(play.object.status.fences, 1);
}

#[test]
fn the_time_of_a_device_that_an_earlier_leader_wrote_in_the_future_passes_as_well() {
    let mut play = rebuild(&[Hard, SecondDevice], vec![link("l1", On), link("l2", On)]);
    assert_eq!(commands(&mut play, 1).len(), 1);
    play.object.status.fencing.as_mut().unwrap().tried[0].since = at(100_000);
    play.env.led_since = play.env.now;
    assert_eq!(told(&commands(&mut play, 61)).last(), Some(&(60, "Power/ForceOff/l2")));
}

#[test]
fn a_policy_that_cannot_be_read_switches_nothing_off_and_an_order_of_its_own_needs_none() {
    let mut play = rebuild(&[Hard], vec![link("l1", On)]);
    play.facts.fencing = Fact::Unknown("the store".into());
    assert_eq!(commands(&mut play, 1).len(), 1);
    let mut play = rebuild(&[Hard], vec![link("l1", On)]);
    (play.object.spec.fencing, play.facts.fencing) = (None, Fact::Unknown("the store".into()));
    assert_eq!(commands(&mut play, 100), []);
    assert!(held(&mut play).1.contains("the store"));
    play.facts.fencing = Fact::Seen(by(&[Soft, Hard]), play.env.now);
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/SoftOff/l1")]);
}

fn cycle(order: Option<&[FenceStage]>, links: Vec<LinkFacts>) -> Play<v1::HostOperation> {
    let mut op: Object<v1::HostOperation> = operation(HostOperationType::PowerCycle);
    (op.spec.running_guests, op.spec.fencing) = (RunningGuests::Kill, order.map(by));
    Play::new(op, HostFacts { links, ..dead() }, env())
}

#[test]
fn a_restart_goes_by_the_order_as_well_and_gives_every_outlet_its_power_back() {
    let mut play = cycle(Some(&[Soft, Hard, SecondDevice]), vec![link("l1", On), supply("p1", On), supply("p2", On)]);
    assert_eq!(told(&commands(&mut play, 120)), [(0, "Power/SoftOff/l1")]);
    assert_eq!(commands(&mut play, 60).len(), 4);
    assert_eq!(told(&commands(&mut play, 2)), [(0, "Power/ForceOff/p1"), (1, "Power/ForceOff/p2")]);
    falls_silent(&mut play, "l1");
    reads(&mut play, "p1", Off);
    reads(&mut play, "p2", Off);
    play.pass();
    play.pass_time(6);
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/On/p1")]);
    reads(&mut play, "p1", On);
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/On/p2")]);
    reads(&mut play, "p2", On);
    assert_eq!(held(&mut play).0, reasons::POWER_UNREADABLE, "its BMC starts");
    reads(&mut play, "l1", Off);
    assert_eq!(told(&commands(&mut play, 1)), [(0, "Power/On/l1")]);
    reads(&mut play, "l1", On);
    assert_eq!(play.pass(), Next::Finished);
}

#[test]
fn a_power_cycle_without_an_order_goes_hard_through_one_link_as_ever() {
    let mut play = cycle(None, vec![link("l1", On), link("l2", On)]);
    let sent = commands(&mut play, 200);
    assert!(sent.len() > 10 && sent.iter().all(|(_, name)| name == "Power/ForceOff/l1"), "{sent:?}");
    assert_eq!(held(&mut play).0, reasons::WAITING_FOR_POWER);
}

#[test]
fn an_outlet_is_never_asked_to_shut_an_operating_system_down() {
    let mut fenced = rebuild(&[Soft, Hard], vec![supply("p1", On)]);
    assert_eq!(told(&commands(&mut fenced, 1)), [(0, "Power/ForceOff/p1")]);
    let mut soft = operation(HostOperationType::SoftOff);
    soft.spec.running_guests = RunningGuests::Kill;
    let mut soft = Play::new(soft, HostFacts { links: vec![supply("p1", On)], ..dead() }, env());
    let (reason, message) = waits(soft.pass());
    assert!(reason == reasons::REFUSED && message.contains("use PowerOff"), "{reason}: {message}");
}

#[test]
fn an_outlet_that_was_cut_for_repair_is_left_alone_while_the_host_is_on() {
    let links = vec![link("l1", On), supply("p1", Off), supply("p2", On)];
    let mut on = Play::new(operation(HostOperationType::PowerOn), HostFacts { links, ..facts() }, env());
    assert_eq!(on.pass(), Next::Finished);
}
