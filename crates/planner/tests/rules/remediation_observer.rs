//! Who looks may be the one in trouble (I5): Nova that cannot be read, many hosts at once, a cell of which nobody is heard; and hosts
//! of which nobody can tell whose they are (I6).

use crate::{
    common::at,
    remediation::{after, begun, host, input, policy, state},
};
use planner::{
    Fact,
    remediation::{HostVerdict, Input, PolicyVerdict, pass},
};
use schemas::{
    Conditions, Object, ObjectMeta,
    meta::Ref,
    v1::{AvailabilityState::*, Detection, FailureDomain, FailureDomainSpec, FailureDomainType, PowerWish},
};

/// Hosts `h0` to `h9`, of which the first so many are silent; ten may be down.
fn ten(silent: usize) -> Input {
    input((0..10).map(|n| host(&format!("h{n}"), n >= silent)).collect(), 10)
}

/// Time passes, and all hosts are looked at; what is said of the policy is remembered with it.
fn later(input: &mut Input, seconds: i64) -> (Vec<HostVerdict>, Vec<PolicyVerdict>) {
    input.now = input.now.plus_seconds(seconds);
    let last = after(1, input);
    let (row, allowed, now) = (&mut input.policies[0], &last.1[0].allowed, input.now);
    row.policy.status.conditions.set("RemediationAllowed", allowed.status, allowed.reason, &allowed.message, 1, now);
    last
}

#[test]
fn while_nova_cannot_be_read_nothing_is_begun_and_what_was_said_first_stands() {
    let mut input = input(vec![host("a", false), host("b", true)], 1);
    after(1, &mut input);
    for (n, why) in ["answered 500 (request 17)", "answered 500 (request 18)"].into_iter().enumerate() {
        input.observer.unread = Some(why.into());
        input.hosts.iter_mut().for_each(|row| row.up = Fact::Unknown(why.into()));
        let (hosts, policies) = later(&mut input, 10);
        assert!(begun(&hosts).is_empty() && state(&hosts[0]) == Suspect, "{hosts:?}");
        assert_eq!((policies[0].allowed.reason, hosts[1].allowed.reason), ("NovaUnreadable", "NovaUnreadable"));
        assert!(policies[0].allowed.message.contains("request 17") && policies[0].allowed.message.contains("Keystone"), "{:?}", policies[0].allowed);
        assert_eq!(policies[0].told.iter().filter(|t| t.0 == "NovaUnreadable").count(), usize::from(n == 0), "people hear of it once");
    }
    input.observer.unread = None;
    (input.hosts[0].up, input.hosts[1].up) = (Fact::Seen(false, at(0)), Fact::Seen(true, at(0)));
    let (hosts, policies) = later(&mut input, 10);
    assert_eq!((policies[0].allowed.reason, begun(&hosts).len()), ("WithinLimits", 1));
    // A conductor that is down is told as well.
    input.observer.conductor_up = false;
    assert_eq!(later(&mut input, 10).1[0].told[0].0, "ObserverInDoubt");
    assert!(later(&mut input, 10).1[0].told.is_empty());
}

#[test]
fn more_than_half_of_the_hosts_silent_at_once_are_more_likely_a_network() {
    for (silent, held) in [(1, false), (5, false), (6, true), (9, true)] {
        let mut input = ten(silent);
        later(&mut input, 10);
        let (hosts, policies) = later(&mut input, 10);
        assert_eq!(begun(&hosts).len(), if held { 0 } else { silent }, "{silent}");
        assert_eq!(policies[0].allowed.reason == "MassSilence", held, "{silent}: {:?}", policies[0].allowed);
    }
    let mut input = ten(6);
    let (_, policies) = later(&mut input, 10);
    assert_eq!(policies[0].told[0].0, "MassSilence");
    let said = &policies[0].allowed.message;
    assert!(said.contains("6 of 10 watched hosts fell silent at once") && said.contains("maxSilentAtOncePermille is 500"), "{said}");
    let (hosts, policies) = later(&mut input, 10);
    assert!(hosts[0].allowed.reason == "MassSilence" && !hosts[0].allowed.message.contains('6'), "numbers stand on the policy only: {hosts:?}");
    assert!(policies[0].told.is_empty(), "it is told once");
}

#[test]
fn a_small_cloud_of_which_two_of_three_die_goes_by_its_other_limits() {
    for (hosts, silent) in [(3, 2), (4, 3), (5, 3)] {
        let mut input = input((0..hosts).map(|n| host(&format!("h{n}"), n >= silent)).collect(), 5);
        assert_eq!(begun(&after(2, &mut input).0).len(), silent, "{silent} of {hosts}");
    }
}

#[test]
fn the_hold_of_a_mass_ends_with_the_silence_or_expires_aloud() {
    let mut input = ten(6);
    input.policies[0].policy.spec.limits.mass_silence_hold_seconds = 300;
    later(&mut input, 10);
    later(&mut input, 30);
    assert_eq!(later(&mut input, 299).1[0].allowed.reason, "MassSilence", "also long after they fell silent");
    let mut heals = input.clone();
    heals.hosts[0].up = Fact::Seen(true, at(0));
    let (hosts, policies) = later(&mut heals, 0);
    assert_eq!((begun(&hosts).len(), policies[0].mass_silence.clone()), (5, None), "it is over, and forgotten");

    let (hosts, policies) = later(&mut input, 1);
    assert_eq!(begun(&hosts).len(), 6);
    assert!(policies[0].told[0].0 == "StormHoldExpired" && policies[0].told[0].1.contains("300 s"), "{:?}", policies[0].told);
    assert!(later(&mut input, 10).1[0].told.is_empty());
    let mut limited = input.clone();
    limited.policies[0].policy.spec.limits.max_down_hosts = 2;
    assert_eq!(later(&mut limited, 10).1[0].allowed.reason, "StormLimit", "the ordinary limits protect");
}

#[test]
fn hosts_that_fall_silent_one_after_the_other_are_no_mass() {
    let mut input = ten(0);
    let Detection { interval_seconds, down_confirmations, .. } = input.policies[0].policy.spec.detection;
    for n in 0..8 {
        input.hosts[n].up = Fact::Seen(false, at(0));
        for _ in 0..=down_confirmations {
            assert_ne!(later(&mut input, interval_seconds).1[0].allowed.reason, "MassSilence", "{n}");
        }
    }
}

#[test]
fn who_is_not_heard_may_have_fallen_silent_and_lets_no_hold_expire() {
    let mut input = ten(4);
    input.policies[0].policy.spec.limits.mass_silence_hold_seconds = 300;
    input.hosts[8].up = Fact::Unknown("its cell did not answer".into());
    input.hosts[9].up = Fact::Unknown("its cell did not answer".into());
    later(&mut input, 10);
    later(&mut input, 30);
    later(&mut input, 5_000);
    assert_eq!(later(&mut input, 5_000).1[0].allowed.reason, "MassSilence", "two may be up");
    input.hosts[8].up = Fact::Seen(false, at(0));
    input.hosts[9].up = Fact::Seen(false, at(0));
    later(&mut input, 10);
    later(&mut input, 30);
    // Who looks is in doubt for a moment: it counts anew.
    input.observer.conductor_up = false;
    later(&mut input, 200);
    input.observer.conductor_up = true;
    assert_eq!(later(&mut input, 200).1[0].allowed.reason, "MassSilence");
    assert_eq!(later(&mut input, 299).1[0].allowed.reason, "MassSilence");
    let (hosts, policies) = later(&mut input, 1);
    assert_eq!((policies[0].allowed.reason, begun(&hosts).len()), ("WithinLimits", 6));
}

#[test]
fn with_less_knowledge_a_mass_holds_no_less() {
    for silent in 3..8 {
        for seconds in [10, 60, 299, 300] {
            let mut known = ten(silent);
            known.policies[0].policy.spec.limits.mass_silence_hold_seconds = 300;
            later(&mut known, 10);
            later(&mut known, 30);
            known.now = known.now.plus_seconds(seconds);
            let all = pass(&known);
            let with_all = begun(&all.hosts);
            for hidden in 0..10 {
                let mut less = known.clone();
                less.hosts[hidden].up = Fact::Unknown("hidden".into());
                let verdicts = pass(&less);
                assert!(begun(&verdicts.hosts).is_subset(&with_all), "{silent} silent, h{hidden} hidden");
            }
        }
    }
}

#[test]
fn a_thousand_permille_is_never_exceeded() {
    let mut input = ten(9);
    input.policies[0].policy.spec.limits.max_silent_at_once_permille = 1_000;
    assert_eq!(begun(&after(2, &mut input).0).len(), 9);
}

// ---- cells ---------------------------------------------------------------------------------

/// Hosts `a`, `b` in cell `c1`, and `c`, `d` in cell `c2`.
fn cells(up: [bool; 4]) -> Input {
    let rows = ["a", "b", "c", "d"].into_iter().zip(up).map(|(name, up)| {
        let mut row = host(name, up);
        row.host.spec.failure_domain = Some(if name < "c" { "c1".into() } else { "c2".into() });
        row
    });
    let mut input = input(rows.collect(), 4);
    let cell = |name: &str| Object::<FailureDomain> {
        metadata: ObjectMeta::named(name),
        spec: FailureDomainSpec { r#type: FailureDomainType::Cell, parent_ref: None },
        status: Default::default(),
    };
    input.domains = vec![cell("c1"), cell("c2")];
    input
}

#[test]
fn of_a_cell_of_which_nobody_is_heard_nobody_is_taken_for_dead() {
    let (hosts, policies) = after(2, &mut cells([false, false, false, true]));
    assert_eq!(begun(&hosts).into_iter().collect::<Vec<_>>(), ["c"], "another cell is no matter");
    assert_eq!((hosts[0].allowed.reason, policies[0].allowed.reason), ("ObserverInDoubt", "WithinLimits"));
    assert!(hosts[0].allowed.message.contains("FailureDomain c1") && hosts[0].allowed.message.contains("`evacuate a`"), "{:?}", hosts[0].allowed);
    let mut blind = cells([false, true, true, true]);
    after(2, &mut blind);
    blind.hosts[1].up = Fact::Unknown("hidden".into());
    assert!(begun(&pass(&blind).hosts).is_empty(), "who is not heard does not speak for the cell");
}

#[test]
fn a_single_host_of_a_cell_or_one_whose_neighbours_are_off_or_held_down_is_no_doubt() {
    let mut alone = cells([false, false, true, true]);
    alone.hosts[1].host.spec.failure_domain = None;
    assert_eq!(begun(&after(2, &mut alone).0).len(), 2);
    let mut off = cells([false, false, true, true]);
    off.hosts[1].host.spec.power = PowerWish::Off;
    off.hosts[1].host.status.power.state = schemas::v1::PowerState::Off;
    assert_eq!(begun(&after(2, &mut off).0).into_iter().collect::<Vec<_>>(), ["a"]);
    let mut rack = cells([false, false, true, true]);
    rack.domains[0].spec.r#type = FailureDomainType::Rack;
    assert_eq!(begun(&after(2, &mut rack).0).len(), 2, "a rack that is dead is dead");
}

// ---- whose they are -------------------------------------------------------------------------

#[test]
fn a_silent_host_that_two_policies_select_counts_against_both() {
    let mut input = input(vec![host("a", false), host("b", false), host("c", true), host("d", true)], 1);
    let select = |name: &str| {
        let mut row = policy(name, 1);
        row.policy.spec.selector = "rack=a1".into();
        row
    };
    input.policies.extend([select("one"), select("two")]);
    input.hosts[0].host.metadata.labels.insert("rack".into(), "a1".into());
    input.hosts[1].host.spec.remediation_policy_ref = Some(Ref::to("one"));
    let (hosts, policies) = after(3, &mut input);
    assert_eq!((hosts[0].allowed.reason, hosts[1].allowed.reason), ("PolicyConflict", "StormLimit"));
    let counts: Vec<(i64, i64)> = policies.iter().map(|p| (p.covered, p.unhealthy)).collect();
    assert_eq!(counts, [(2, 0), (1, 2), (0, 1)], "default, one, two");
    input.hosts[0].up = Fact::Seen(true, at(0));
    assert_eq!(begun(&after(1, &mut input).0).into_iter().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_silent_host_whose_policy_is_not_there_counts_against_the_default() {
    let mut input = input(vec![host("a", false), host("b", false), host("c", true)], 1);
    input.hosts[0].host.spec.remediation_policy_ref = Some(Ref::to("gone"));
    let (hosts, policies) = after(3, &mut input);
    assert_eq!((hosts[0].allowed.reason, hosts[1].allowed.reason, policies[0].unhealthy), ("NotFound", "StormLimit", 2));
    input.hosts[0].up = Fact::Unknown("its cell did not answer".into());
    assert!(begun(&after(1, &mut input).0).is_empty(), "who is not heard may be down");
    input.hosts[0].up = Fact::Seen(false, at(0));
    input.hosts[0].host.spec.power = PowerWish::Off;
    input.hosts[0].host.status.power.state = schemas::v1::PowerState::Off;
    assert_eq!(begun(&after(1, &mut input).0).into_iter().collect::<Vec<_>>(), ["b"], "off as declared is not missed");
}
