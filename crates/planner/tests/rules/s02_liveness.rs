//! S2: alive, dead, or in doubt.

use crate::common::*;
use planner::{
    Fact,
    facts::{HostFacts, ServiceFacts},
    liveness::{Liveness, liveness},
};
use schemas::v1::PowerState;

fn verdict(facts: &HostFacts) -> Liveness {
    liveness(facts, 10)
}

#[track_caller]
fn in_doubt(facts: &HostFacts, words: &str) {
    match verdict(facts) {
        Liveness::InDoubt(why) => assert!(why.contains(words), "{why:?} does not say {words:?}"),
        other => panic!("{other:?} instead of doubt: {words}"),
    }
}

fn with(mut facts: HostFacts, change: impl FnOnce(&mut HostFacts)) -> HostFacts {
    change(&mut facts);
    facts
}

#[test]
fn a_host_is_alive_if_nova_says_up_and_its_row_moved_between_reads_two_intervals_apart() {
    assert_eq!(verdict(&facts()), Liveness::Alive);
    let near = with(facts(), |f| f.beats = vec![beat(-19, "u-1", true), beat(0, "u0", true)]);
    in_doubt(&near, "watched for less than 20 s");
    let far = with(facts(), |f| f.beats = vec![beat(-20, "u-1", true), beat(0, "u0", true)]);
    assert_eq!(verdict(&far), Liveness::Alive);
}

#[test]
fn a_host_is_dead_if_it_is_silent_and_down_while_others_are_heard_and_power_is_readable() {
    assert_eq!(verdict(&dead()), Liveness::Dead);
    let off = with(dead(), |f| f.links = vec![link("l1", PowerState::Off)]);
    assert_eq!(verdict(&off), Liveness::Dead);
}

#[test]
fn everything_else_is_in_doubt_and_says_what_is_missing() {
    let row = |change: fn(&mut ServiceFacts)| {
        with(dead(), |f| {
            let mut service = f.service.seen().unwrap().clone();
            change(&mut service);
            f.service = Fact::Seen(service, at(0));
        })
    };
    let beats = |change: fn(&mut planner::facts::Beat)| with(dead(), |f| change(&mut f.beats[2]));
    let cases: Vec<(HostFacts, &str)> = vec![
        (with(dead(), |f| f.service = Fact::Unknown("500".into())), "500"),
        (with(dead(), |f| f.service = Fact::Absent(at(0))), "no nova-compute service"),
        (with(dead(), |f| f.beats.clear()), "no reading"),
        (with(dead(), |f| f.beats.truncate(1)), "watched"),
        (beats(|b| b.others_up = false), "no other nova-compute"),
        (beats(|b| b.conductor_up = false), "no nova-conductor"),
        (with(dead(), |f| f.beats[3].up = true), "does not call it down yet"),
        (beats(|b| b.up = true), "has called its service down for less than 20 s"),
        (beats(|b| b.updated_at = "u9".into()), "still reports"),
        (row(|s| s.up = true), "does not call it down yet"),
        (row(|s| s.updated_at = "u9".into()), "still reports"),
        (with(dead(), |f| f.links.clear()), "no power link"),
        (with(dead(), |f| f.links.push(blind(link("l2", PowerState::On)))), "l2"),
        (with(facts(), |f| f.links = vec![link("l1", PowerState::Off)]), "power reads off"),
        (with(facts(), |f| f.links = vec![blind(link("l1", PowerState::Off))]), "its service is up, but power cannot be read through l1"),
        (with(facts(), |f| f.service = Fact::Seen(service(), at(3))), "older than its row"),
    ];
    for (facts, words) in cases {
        in_doubt(&facts, words);
    }
}

#[test]
fn a_host_forced_down_that_still_beats_is_in_doubt_and_never_dead() {
    let beating = with(dead(), |f| {
        f.service = Fact::Seen(fenced(), at(0));
        f.beats = vec![beat(-20, "u-1", false), beat(-10, "u-1", false), beat(0, "u0", false)];
    });
    in_doubt(&beating, "still reports");
}
