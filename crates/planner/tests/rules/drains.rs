//! A drain says what it waits for: moves that end by themselves are waited for, others are for a person (S6).

use crate::common::*;
use planner::{
    Fact, Next,
    facts::{Guest, HostFacts},
};
use schemas::v1::{HostOperation, HostOperationType, OperationState, reasons};

/// A disabled host with these guests; `g` was sent to `c`, and Nova's record of it is running.
fn moving(guests: Vec<Guest>, max_per_host: i64) -> Play<HostOperation> {
    let running = planner::facts::Move { destination: Some("c".into()), ..record(7, "live-migration", "running", "g") };
    let facts =
        HostFacts { service: Fact::Seen(disabled(), at(0)), guests: Fact::Seen(guests, at(0)), moves: Fact::Seen(vec![running], at(0)), ..facts() };
    let mut env = env();
    env.policy.max_per_host = max_per_host;
    env.intents = vec![intent(live_migrate("g"), OperationState::Accepted, 100)];
    Play::new(operation(HostOperationType::Drain), facts, env)
}

fn without_c(play: &mut Play<HostOperation>) {
    play.facts.others_up = Fact::Seen(vec!["b".into()], at(0));
}

#[test]
fn guests_without_a_place_follow_those_that_move() {
    let mut play = moving(vec![guest("g"), guest("h")], 1);
    let (reason, message) = waits(play.pass());
    assert_eq!((reason, message.as_str()), (reasons::WAITING_FOR_MOVES, "1 guests are moving; the others follow (maxPerHost 1)"));
}

#[test]
fn places_that_only_a_person_can_free_are_not_waited_for_in_silence() {
    let mut play = moving(vec![guest("g"), guest("h")], 1);
    without_c(&mut play);
    assert_eq!(waits(play.pass()).0, reasons::GUEST_CANNOT_MOVE);
    let left = &play.object.status.left;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].contains("whose nova-compute is down") && left[0].matches("(g)").count() <= 1, "{left:?}");
    assert!(left[1].contains('h') && left[1].contains("maxPerHost 1"), "{left:?}");
    // Where there is another place, the others go on.
    let mut roomy = moving(vec![guest("g"), guest("h")], 2);
    without_c(&mut roomy);
    assert!(matches!(roomy.pass(), Next::Step(step) if step == live_migrate("h")));
}

#[test]
fn a_guest_that_stopped_while_its_move_was_cut_off_is_for_a_person() {
    let mut play = moving(vec![stopped("g")], 1);
    assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_MOVES);
    without_c(&mut play);
    let (reason, message) = waits(play.pass());
    assert_eq!(reason, reasons::GUEST_CANNOT_MOVE);
    assert!(message.contains("bring c back"), "{message}");
}
