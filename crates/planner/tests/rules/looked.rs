//! What the leader saw last, and what others decide by it.

use crate::{
    common::at,
    remediation::{after, begun, host, input, policy, state},
};
use planner::{
    Fact,
    remediation::{HostRow, Input, Looked, Objects, Verdicts, pass},
};
use schemas::v1::{AvailabilityState, NO_HOST};
use std::collections::BTreeSet;

/// Host `a` is down, `b` is not heard, the others are up.
fn seen() -> Input {
    let mut input = input(["a", "b", "c", "d"].iter().map(|h| host(h, *h != "a")).collect(), 3);
    for row in &mut input.hosts {
        row.host.status.observed_generation = 1;
        row.guests = Fact::not_asked();
    }
    input.hosts[0].guests = Fact::Seen(2, at(0));
    after(1, &mut input);
    input.hosts[1].up = Fact::Unknown("its cell did not answer".into());
    input
}

fn objects(input: &Input) -> Objects {
    Objects {
        hosts: input.hosts.iter().map(|row| row.host.clone()).collect(),
        policies: input.policies.iter().map(|row| row.policy.clone()).collect(),
        domains: input.domains.clone(),
        frozen: input.frozen,
    }
}

/// As it is kept and found again.
fn kept(input: &Input) -> Looked {
    let observation = Looked::of(input).observation(input.now).expect("it can be written");
    assert_eq!(observation.host, NO_HOST, "it is evidence about no host");
    Looked::from_kept(&[observation]).expect("it is there").expect("it can be read")
}

fn value(verdicts: &Verdicts) -> serde_json::Value {
    serde_json::to_value(verdicts).expect("it can be written")
}

#[test]
fn others_decide_as_the_leader_did_by_what_it_saw() {
    let input = seen();
    let again = kept(&input).input(objects(&input), &[], input.now);
    let verdicts = pass(&again);
    assert_eq!(value(&verdicts), value(&pass(&input)));
    assert_eq!(begun(&verdicts.hosts), BTreeSet::from(["a"]));
}

#[test]
fn the_objects_count_as_they_are_now() {
    let input = seen();
    let looked = kept(&input);
    let frozen = looked.input(Objects { frozen: true, ..objects(&input) }, &[], input.now);
    assert_eq!(pass(&frozen).hosts[0].allowed.reason, "FrozenByCluster");
    let none_allowed = policy("default", 0).policy;
    let tried = looked.input(objects(&input), &[none_allowed], input.now);
    assert_eq!(pass(&tried).hosts[0].allowed.reason, "NeverEvacuate");
    assert_eq!(input.policies[0].policy.spec.limits.max_down_hosts, 3);
}

#[test]
fn what_is_too_old_or_of_the_future_is_unknown_and_begins_nothing() {
    let input = seen();
    let looked = kept(&input);
    let interval = input.policies[0].policy.spec.detection.interval_seconds;
    assert!(looked.doubt(&objects(&input).policies, input.now.plus_seconds(interval)).is_none());
    for (seconds, word) in [(2 * interval + 31, "s old"), (-31, "in the future")] {
        let now = input.now.plus_seconds(seconds);
        let doubt = looked.doubt(&objects(&input).policies, now).expect("it says nothing of now");
        assert!(doubt.contains(word), "{doubt}");
        let verdicts = pass(&looked.input(objects(&input), &[], now));
        assert!(verdicts.hosts.iter().all(|v| v.begin.is_none()), "{verdicts:?}");
        assert_eq!(state(&verdicts.hosts[0]), AvailabilityState::Suspect, "nothing counts on");
    }
}

#[test]
fn a_host_that_came_after_the_look_is_unknown_and_one_that_nobody_reconciled_is_left_out() {
    let input = seen();
    let mut now = objects(&input);
    let (mut new, unseen) = (host("new", true).host, host("unseen", true).host);
    new.status.observed_generation = 1;
    now.hosts.extend([new, unseen]);
    let again = kept(&input).input(now, &[], input.now);
    let names: Vec<&str> = again.hosts.iter().map(|row| row.host.metadata.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "new"]);
    assert!(again.hosts[4].up.is_unknown() && again.hosts[4].up.why().contains("not looked at it yet"));
}

#[test]
fn nothing_but_names_is_kept_of_hosts_that_are_up() {
    let mut input = seen();
    let before = Looked::of(&input).observation(input.now).expect("it can be written").detail.len();
    let more = (0..1_000).map(|n| HostRow { guests: Fact::not_asked(), ..host(&format!("compute-{n:04}"), true) });
    input.hosts.extend(more);
    let after = Looked::of(&input).observation(input.now).expect("it can be written").detail.len();
    assert!(after - before < 20 * 1_000, "{}", after - before);
}

#[test]
fn without_a_look_there_is_nothing_to_go_by_and_what_cannot_be_read_says_so() {
    assert!(Looked::from_kept(&[]).is_none());
    let mut observation = Looked::of(&seen()).observation(at(0)).expect("it can be written");
    observation.detail = "{\"at\": 7}".into();
    let error = Looked::from_kept(&[observation]).expect("it is there").expect_err("it cannot be read");
    assert!(error.contains("does another version lead"), "{error}");
}
