//! Who counts as down, and how many may be before nothing more is begun.

use crate::common::at;
use planner::{
    Fact,
    remediation::{Begin, HostRow, HostVerdict, Input, Observer, PolicyRow, PolicyVerdict, pass},
};
use schemas::{
    Conditions, Object, ObjectMeta,
    v1::{
        AvailabilityState, AvailabilityState::*, FenceStatus, HostOperationType, HostSpec, HostStatus, RemediationPolicy, RemediationPolicyStatus,
        Watching,
    },
};
use std::collections::BTreeSet;

pub(crate) fn host(name: &str, up: bool) -> HostRow {
    let host = Object { metadata: ObjectMeta::named(name), spec: HostSpec::default(), status: HostStatus::default() };
    HostRow { guests: Fact::Seen(3, at(0)), ..HostRow::plain(host, Fact::Seen(up, at(0))) }
}

pub(crate) fn policy(name: &str, max_down_hosts: i64) -> PolicyRow {
    let mut policy = Object { metadata: ObjectMeta::named(name), spec: Default::default(), status: RemediationPolicyStatus::default() };
    let policy: &mut Object<RemediationPolicy> = &mut policy;
    policy.spec.limits.max_down_hosts = max_down_hosts;
    policy.spec.detection.down_confirmations = 2;
    PolicyRow { policy: policy.clone(), due: true }
}

pub(crate) fn input(hosts: Vec<HostRow>, max_down_hosts: i64) -> Input {
    let computes_up = hosts.iter().filter(|h| h.up.seen() == Some(&true)).count();
    Input {
        hosts,
        policies: vec![policy("default", max_down_hosts)],
        domains: Vec::new(),
        observer: Observer { conductor_up: true, computes_up, unread: None },
        now: at(1_000),
        led_since: at(0),
        frozen: false,
        halted: None,
    }
}

/// What becomes of the first host.
pub(crate) fn verdict(input: &Input) -> HostVerdict {
    pass(input).hosts.swap_remove(0)
}

/// What the first host's verdict begins, begun.
pub(crate) fn begin(input: &mut Input) {
    let verdict = verdict(input);
    let begin = verdict.begin.expect("something is begun");
    input.hosts[0].host.status.availability = Some(verdict.begun(begin, input.now).availability);
}

/// Looked at that many times, each look remembered.
pub(crate) fn after(looks: usize, input: &mut Input) -> (Vec<HostVerdict>, Vec<PolicyVerdict>) {
    let mut last = (Vec::new(), Vec::new());
    for _ in 0..looks {
        let verdicts = pass(input);
        for (row, verdict) in input.hosts.iter_mut().zip(&verdicts.hosts) {
            row.host.status.availability = Some(verdict.availability.clone());
        }
        for (row, verdict) in input.policies.iter_mut().zip(&verdicts.policies) {
            (row.policy.status.begins, row.policy.status.storms) = (verdict.begins.clone(), verdict.storms.clone());
            row.policy.status.mass_silence = verdict.mass_silence.clone();
        }
        last = (verdicts.hosts, verdicts.policies);
    }
    last
}

pub(crate) fn state(verdict: &HostVerdict) -> AvailabilityState {
    verdict.availability.state
}

pub(crate) fn begun(verdicts: &[HostVerdict]) -> BTreeSet<&str> {
    verdicts.iter().filter(|v| v.begin.is_some()).map(|v| v.host.as_str()).collect()
}

#[test]
fn looks_before_the_watch_was_switched_off_are_not_in_a_row_with_those_after_it() {
    let mut input = input(vec![host("a", false), host("z", true)], 1);
    after(1, &mut input);
    for (mode, begun) in [(Watching::Off, None), (Watching::On, None), (Watching::On, Some(Begin::Evacuate))] {
        input.policies[0].policy.spec.detection.mode = mode;
        assert_eq!(after(1, &mut input).0[0].begin, begun, "{mode:?}");
    }
}

#[test]
fn a_host_that_a_person_evacuates_counts_before_it_is_fenced_and_one_that_is_only_drained_does_not() {
    let mut input = input(vec![host("a", false), host("b", true), host("c", true)], 1);
    after(2, &mut input);
    assert_eq!(verdict(&input).begin, Some(Begin::Evacuate));

    input.hosts[1].open_evacuation = Some("by-hand".into());
    let verdicts = pass(&input);
    assert_eq!((verdicts.hosts[0].begin, verdicts.hosts[0].allowed.reason), (None, "StormLimit"));
    assert_eq!((verdicts.policies[0].unhealthy, verdicts.policies[0].budget_left), (2, 0));

    input.hosts[1].is_drained = true;
    assert_eq!(verdict(&input).begin, Some(Begin::Evacuate));
}

#[test]
fn a_host_is_down_after_so_many_looks_in_a_row_and_one_good_look_in_between_begins_anew() {
    let mut input = input(vec![host("a", false), host("b", true)], 1);
    assert_eq!(state(&after(1, &mut input).0[0]), Suspect);
    input.hosts[0].up = Fact::Seen(true, at(0));
    assert_eq!(state(&after(1, &mut input).0[0]), Up);
    input.hosts[0].up = Fact::Seen(false, at(0));
    assert_eq!(state(&after(1, &mut input).0[0]), Suspect);
    let (hosts, _) = after(1, &mut input);
    assert_eq!((state(&hosts[0]), hosts[0].begin), (Down, Some(Begin::Evacuate)));
    assert_eq!(hosts[0].availability.downs, 1);
}

#[test]
fn a_look_that_says_nothing_neither_counts_nor_forgives() {
    let mut input = input(vec![host("a", false), host("b", true)], 1);
    after(1, &mut input);
    input.hosts[0].up = Fact::Unknown("its cell did not answer".into());
    let (hosts, policies) = after(5, &mut input);
    assert_eq!((state(&hosts[0]), hosts[0].availability.confirmations), (Suspect, 1));
    assert_eq!(policies[0].unhealthy, 1);
    input.hosts[0].up = Fact::Seen(false, at(0));
    assert_eq!(state(&after(1, &mut input).0[0]), Down);
}

#[test]
fn what_is_not_heard_counts_as_down() {
    let mut three = input(vec![host("a", false), host("b", true), host("c", true)], 1);
    three.hosts[1].up = Fact::Unknown("its cell did not answer".into());
    let (hosts, policies) = after(3, &mut three);
    assert_eq!((hosts[0].allowed.reason, policies[0].unhealthy), ("StormLimit", 2));
    three.hosts[1].up = Fact::Absent(at(0));
    assert_eq!(begun(&after(1, &mut three).0), BTreeSet::from(["a"]), "Nova has no such host any longer");
}

#[test]
fn in_doubt_about_who_looks_nobody_gets_any_further() {
    for observer in [Observer { conductor_up: false, computes_up: 5, unread: None }, Observer { conductor_up: true, computes_up: 0, unread: None }] {
        let mut input = Input { observer, ..input(vec![host("a", false), host("b", false)], 5) };
        let (hosts, policies) = after(9, &mut input);
        assert!(hosts.iter().all(|h| state(h) == Unknown && h.begin.is_none()), "{hosts:?}");
        assert_eq!(policies[0].allowed.reason, "ObserverInDoubt");
    }
}

#[test]
fn the_stricter_of_number_and_share_is_the_limit() {
    for (max, permille, down, limit) in
        [(2, None, 2, 2), (2, None, 3, 2), (9, Some(200), 2, 2), (9, Some(200), 3, 2), (1, Some(500), 1, 1), (3, Some(0), 1, 0)]
    {
        let mut input = input((0..10).map(|n| host(&format!("h{n}"), n >= down)).collect(), max);
        input.policies[0].policy.spec.limits.max_down_permille = permille;
        let (hosts, policies) = after(2, &mut input);
        let expected = if down <= limit { down } else { 0 };
        assert_eq!(begun(&hosts).len(), expected as usize, "{max} {permille:?} {down}");
        assert_eq!((policies[0].covered, policies[0].unhealthy, policies[0].budget_left), (10, down, (limit - down).max(0)));
    }
}

#[test]
fn a_host_that_somebody_holds_down_counts_and_is_left_alone() {
    let mut input = input(vec![host("a", false), host("b", false), host("c", true)], 1);
    input.hosts[0].host.status.fence = Some(FenceStatus { epoch: 2, by: "Evacuation/by-hand".into(), disabled_by_us: true });
    let (hosts, _) = after(4, &mut input);
    assert_eq!((hosts[0].allowed.reason, hosts[1].allowed.reason), ("FencedAwaitingReturn", "StormLimit"));
    assert!(begun(&hosts).is_empty());
    assert!(hosts[0].allowed.message.contains("`evacuate a`"), "{:?}", hosts[0].allowed);
    // What is being done needs no advice to do it.
    input.hosts[0].open_evacuation = Some("Evacuation/by-hand".into());
    let hosts = pass(&input).hosts;
    assert_eq!((hosts[0].allowed.reason, hosts[0].allowed.message.as_str()), ("HostClaimed", "Evacuation/by-hand is under way on it"));
}

#[test]
fn an_evacuation_that_has_ended_is_the_last_until_the_host_was_back() {
    let mut input = input(vec![host("a", false), host("b", true)], 1);
    after(2, &mut input);
    let availability = input.hosts[0].host.status.availability.as_mut().expect("it was seen");
    (availability.state, availability.evacuation) = (Recovering, Some("auto-a-1".into()));
    assert_eq!(state(&after(3, &mut input).0[0]), Recovering);
    input.hosts[0].ended = Some("Failed".into());
    assert_eq!(state(&after(1, &mut input).0[0]), Recovered);
    input.hosts[0].ended = None;
    let (hosts, _) = after(9, &mut input);
    assert_eq!((state(&hosts[0]), hosts[0].begin, hosts[0].allowed.reason), (Recovered, None, "RecoveryEnded"));
    input.hosts[0].up = Fact::Seen(true, at(0));
    assert_eq!(state(&after(1, &mut input).0[0]), Up);
    input.hosts[0].up = Fact::Seen(false, at(0));
    let (hosts, _) = after(2, &mut input);
    assert_eq!((hosts[0].begin, hosts[0].availability.downs), (Some(Begin::Evacuate), 2));
}

#[test]
fn nothing_is_begun_for_a_host_of_which_this_very_look_says_nothing_or_that_it_is_up() {
    let mut held = input(vec![host("a", false), host("b", true)], 0);
    held.policies[0].policy.spec.detection.up_confirmations = 3;
    assert_eq!(state(&after(2, &mut held).0[0]), Down);
    held.policies[0].policy.spec.limits.max_down_hosts = 2;
    for (up, why) in [
        (Fact::Unknown("its cell did not answer".into()), "NovaUnreadable"),
        (Fact::Absent(at(0)), "VanishedFromNova"),
        (Fact::Seen(true, at(0)), "HostReturned"),
    ] {
        let mut now = held.clone();
        now.hosts[0].up = up;
        let verdict = &pass(&now).hosts[0];
        assert_eq!((state(verdict), verdict.begin, verdict.count_guests, verdict.allowed.reason), (Down, None, false, why));
    }
    assert_eq!(pass(&held).hosts[0].begin, Some(Begin::Evacuate));
    held.hosts[0].guests = Fact::Unknown("500".into());
    let verdict = &pass(&held).hosts[0];
    assert_eq!((verdict.begin, verdict.count_guests, verdict.allowed.reason), (None, true, "NovaUnreadable"));
}

#[test]
fn only_an_operation_that_succeeded_just_before_switched_a_host_off() {
    for (succeeded, ended, reason) in [(true, -60, "SwitchedOff"), (false, -60, "WithinLimits"), (true, -900, "WithinLimits")] {
        let mut input = input(vec![host("a", false), host("b", true)], 1);
        after(2, &mut input);
        let mut operation = crate::common::operation(HostOperationType::PowerOff);
        let now = input.now;
        operation.status.finished_at = Some(now.plus_seconds(ended));
        operation.status.conditions.set("Succeeded", succeeded.into(), "Whatever", "", 1, now);
        input.hosts[0].last_operation = Some(operation);
        assert_eq!(pass(&input).hosts[0].allowed.reason, reason, "{succeeded} {ended}");
    }
}
