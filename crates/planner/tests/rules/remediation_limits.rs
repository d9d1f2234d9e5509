//! Storm limits: failure domains, cooldown, rate, and holds that expire (I6, I7).

use crate::{
    common::at,
    remediation::{after, begin, begun, host, input},
};
use planner::{
    Fact,
    remediation::{Begin, Input, PolicyVerdict, pass},
};
use schemas::{
    Object, ObjectMeta,
    meta::Ref,
    v1::{
        Availability, AvailabilityState, DomainLimit, FailureDomain, FailureDomainSpec, FailureDomainType, Host, HostStatus, PowerState, PowerWish,
        Restart, StormLimits, Watching,
    },
};
use std::collections::BTreeSet;

fn domain(name: &str, r#type: FailureDomainType, parent: Option<&str>) -> Object<FailureDomain> {
    let spec = FailureDomainSpec { r#type, parent_ref: parent.map(Ref::to) };
    Object { metadata: ObjectMeta::named(name), spec, status: Default::default() }
}

#[test]
fn a_dead_host_whose_recovery_was_given_up_counts_in_the_very_same_look() {
    // Its policy did not watch for a while, or it came back for a moment.
    for reason in ["PolicyChanged", "HostReturned"] {
        let mut input = input(vec![host("b", false), host("a", true), host("z", true)], 1);
        after(2, &mut input);
        begin(&mut input);
        input.hosts[1].up = Fact::Seen(false, at(0));
        let confirmed = Availability { state: AvailabilityState::Suspect, confirmations: 1, ..Availability::default() };
        input.hosts[1].host.status.availability = Some(confirmed);
        input.hosts[0].ended = Some(reason.into());
        let (hosts, policies) = after(1, &mut input);
        assert_eq!((hosts[1].begin, hosts[1].allowed.reason, policies[0].unhealthy), (None, "StormLimit", 2), "{reason}");
    }
}

#[test]
fn a_silent_host_counts_in_its_domains_also_where_nobody_watches_it_unless_it_is_off_as_declared() {
    let limits = StormLimits { max_down_hosts: 5, per_failure_domain: of(FailureDomainType::Rack, 1), ..StormLimits::default() };
    let mut input = two_racks(&["a", "b"], limits);
    let mut unwatched = crate::remediation::policy("unwatched", 5);
    unwatched.policy.spec.detection.mode = Watching::Off;
    input.policies.push(unwatched);
    input.hosts[1].host.spec.remediation_policy_ref = Some(Ref::to("unwatched"));
    assert_eq!(after(2, &mut input).0[0].allowed.reason, "FailureDomainLimit");
    let off: &mut Object<Host> = &mut input.hosts[1].host;
    (off.spec.power, off.status.power.state) = (PowerWish::Off, PowerState::Off);
    assert_eq!(begun(&pass(&input).hosts), BTreeSet::from(["a"]));
}

/// Hosts `a` to `f`, of which those are down; two racks of three in one room.
fn two_racks(down: &[&str], limits: StormLimits) -> Input {
    let hosts = ["a", "b", "c", "d", "e", "f"].iter().enumerate().map(|(n, name)| {
        let mut row = host(name, !down.contains(name));
        row.host.spec.failure_domain = Some(if n < 3 { "r1".into() } else { "r2".into() });
        row
    });
    let mut input = input(hosts.collect(), limits.max_down_hosts);
    input.domains = vec![
        domain("r1", FailureDomainType::Rack, Some("hall")),
        domain("r2", FailureDomainType::Rack, Some("hall")),
        domain("hall", FailureDomainType::Room, None),
    ];
    input.policies[0].policy.spec.limits = limits;
    input
}

fn of(r#type: FailureDomainType, max_down_hosts: i64) -> Vec<DomainLimit> {
    vec![DomainLimit { r#type, max_down_hosts }]
}

#[test]
fn a_host_counts_in_each_domain_it_names_once() {
    let limits = StormLimits { max_down_hosts: 5, per_failure_domain: of(FailureDomainType::Pdu, 1), ..StormLimits::default() };
    let mut input = two_racks(&["a", "d", "e"], limits.clone());
    input.domains.push(domain("feed", FailureDomainType::Pdu, Some("hall")));
    // The feed runs through both racks.
    for n in [0, 3] {
        input.hosts[n].host.spec.failure_domains = vec!["feed".into()];
    }
    let (hosts, _) = after(2, &mut input);
    assert_eq!(begun(&hosts), BTreeSet::from(["e"]), "two of the feed are down");
    let limits = StormLimits { per_failure_domain: of(FailureDomainType::Room, 3), ..limits };
    input.policies[0].policy.spec.limits = limits;
    assert_eq!(begun(&later(&mut input, 5).0), BTreeSet::from(["a", "d", "e"]), "the hall has three, however many ways lead there");
    input.hosts[0].host.spec.failure_domains = vec!["nowhere".into()];
    let (hosts, _) = later(&mut input, 5);
    assert!(!begun(&hosts).contains("a"), "a domain that is not there allows nothing");
}

/// Time passes, and all hosts are looked at.
fn later(input: &mut Input, seconds: i64) -> (Vec<planner::remediation::HostVerdict>, Vec<PolicyVerdict>) {
    input.now = input.now.plus_seconds(seconds);
    after(1, input)
}

/// What was begun is: a host is recovered, or the time is remembered.
fn count(input: &mut Input, begins: usize) {
    input.policies[0].policy.status.begins.extend(vec![input.now; begins]);
}

#[test]
fn a_rack_with_too_many_hosts_down_holds_up_its_own_and_no_other() {
    let limits = StormLimits { max_down_hosts: 5, per_failure_domain: of(FailureDomainType::Rack, 1), ..StormLimits::default() };
    let mut input = two_racks(&["a", "b", "d"], limits);
    let (hosts, policies) = after(2, &mut input);
    assert_eq!(begun(&hosts), BTreeSet::from(["d"]));
    assert_eq!((hosts[0].allowed.reason, hosts[1].allowed.reason), ("FailureDomainLimit", "FailureDomainLimit"));
    assert!(hosts[0].allowed.message.contains("FailureDomain r1") && !hosts[0].allowed.message.contains('2'), "{:?}", hosts[0].allowed);
    let told = &policies[0].allowed;
    assert_eq!(told.reason, "WithinLimits");
    assert!(told.message.contains("2 hosts of FailureDomain r1 are down, its limit is 1"), "{told:?}");
    let domains = pass(&input).domains;
    let counts: Vec<(&str, i64, i64)> = domains.iter().map(|d| (d.domain.as_str(), d.hosts, d.down)).collect();
    assert_eq!(counts, [("hall", 6, 3), ("r1", 3, 2), ("r2", 3, 1)]);
}

#[test]
fn a_room_counts_the_hosts_of_its_racks_whatever_policy_is_theirs() {
    let limits = StormLimits { max_down_hosts: 5, per_failure_domain: of(FailureDomainType::Room, 2), ..StormLimits::default() };
    let mut input = two_racks(&["a", "b", "d"], limits);
    input.policies.push(crate::remediation::policy("edge", 5));
    for row in &mut input.hosts[3..] {
        row.host.spec.remediation_policy_ref = Some(Ref::to("edge"));
    }
    let (hosts, _) = after(2, &mut input);
    assert_eq!(begun(&hosts), BTreeSet::from(["d"]), "the other policy has no such limit");
    assert_eq!(hosts[0].allowed.reason, "FailureDomainLimit");
}

#[test]
fn a_domain_that_is_not_there_or_in_itself_holds_its_hosts_and_is_named() {
    let limits = StormLimits { max_down_hosts: 5, per_failure_domain: of(FailureDomainType::Room, 2), ..StormLimits::default() };
    let mut gone = two_racks(&["a"], limits.clone());
    gone.domains.remove(2);
    let (hosts, _) = after(2, &mut gone);
    assert_eq!((hosts[0].begin, hosts[0].allowed.reason), (None, "NotFound"));
    assert!(hosts[0].allowed.message.contains("hall") && hosts[0].allowed.message.contains("r1"), "{:?}", hosts[0].allowed);
    let mut circle = two_racks(&["a"], limits);
    circle.domains[2].spec.parent_ref = Some(Ref::to("r1"));
    let (hosts, _) = after(2, &mut circle);
    assert_eq!(hosts[0].allowed.reason, "NotFound");
    assert!(pass(&circle).domains.iter().all(|d| d.broken.is_some()));
    circle.policies[0].policy.spec.limits.per_failure_domain.clear();
    assert_eq!(begun(&after(1, &mut circle).0), BTreeSet::from(["a"]), "who has no such limit does not ask");
}

#[test]
fn after_a_storm_nothing_is_begun_for_the_cooldown_and_another_begins_it_anew() {
    let limits = StormLimits { max_down_hosts: 1, cooldown_seconds: 300, ..StormLimits::default() };
    let mut input = two_racks(&["a", "b"], limits);
    let (hosts, policies) = after(2, &mut input);
    assert_eq!((hosts[0].allowed.reason, policies[0].allowed.reason), ("StormLimit", "StormLimit"));
    for again in 0..2 {
        input.hosts[1].up = Fact::Seen(true, at(0));
        let (hosts, policies) = later(&mut input, 10);
        assert_eq!((begun(&hosts).len(), policies[0].allowed.reason), (0, "StormCooldown"), "{again}");
        assert!(policies[0].allowed.message.contains("300"), "{:?}", policies[0].allowed);
        assert!(begun(&later(&mut input, 280).0).is_empty());
        if again == 0 {
            input.hosts[1].up = Fact::Seen(false, at(0));
            assert_eq!(later(&mut input, 5).1[0].allowed.reason, "StormLimit");
        }
    }
    assert_eq!(begun(&later(&mut input, 20).0), BTreeSet::from(["a"]));
    assert!(input.policies[0].policy.status.storms.is_empty(), "it is forgotten");
}

#[test]
fn a_storm_that_an_earlier_leader_saw_end_cools_down_from_when_this_one_came() {
    let limits = StormLimits { max_down_hosts: 1, cooldown_seconds: 300, ..StormLimits::default() };
    let mut input = two_racks(&["a", "b"], limits);
    after(2, &mut input);
    input.hosts[1].up = Fact::Seen(true, at(0));
    later(&mut input, 10);
    input.led_since = input.now.plus_seconds(290);
    input.policies[0].policy.spec.detection.quiet_seconds = 0;
    assert_eq!(later(&mut input, 310).1[0].allowed.reason, "StormCooldown", "20 s of this leader's own");
    assert_eq!(begun(&later(&mut input, 285).0), BTreeSet::from(["a"]));
}

#[test]
fn no_more_is_begun_within_an_hour_than_the_rate_allows_and_the_first_come_first() {
    let limits = StormLimits { max_down_hosts: 5, max_begins_per_hour: Some(2), ..StormLimits::default() };
    let mut input = two_racks(&["a", "b", "c"], limits);
    let (hosts, policies) = after(2, &mut input);
    assert_eq!(begun(&hosts), BTreeSet::from(["a", "b"]));
    assert_eq!((hosts[2].allowed.reason, policies[0].allowed.reason), ("RateLimit", "WithinLimits"));
    // An empty host takes no one's place.
    input.hosts[0].guests = Fact::Seen(0, at(0));
    assert_eq!(begun(&pass(&input).hosts), BTreeSet::from(["b", "c"]));
    // One that is not known to be empty does, until its guests are counted.
    input.hosts[0].guests = Fact::not_asked();
    let verdicts = pass(&input).hosts;
    assert!(verdicts[0].count_guests);
    assert_eq!(begun(&verdicts), BTreeSet::from(["b"]));
    count(&mut input, 2);
    let (hosts, policies) = later(&mut input, 1_800);
    assert_eq!((begun(&hosts).len(), policies[0].allowed.reason), (0, "RateLimit"));
    assert!(policies[0].allowed.message.starts_with("2 were begun within the last hour"), "{:?}", policies[0].allowed);
    input.hosts[0].guests = Fact::Seen(3, at(0));
    assert_eq!(begun(&later(&mut input, 1_800).0).len(), 2);
    assert!(input.policies[0].policy.status.begins.is_empty(), "what is older than an hour is forgotten");
}

#[test]
fn what_an_earlier_leader_began_counts_for_an_hour_of_this_ones_clock() {
    let limits = StormLimits { max_down_hosts: 5, max_begins_per_hour: Some(1), ..StormLimits::default() };
    let mut input = two_racks(&["a"], limits);
    after(2, &mut input);
    // The earlier leader's clock may have been hours behind, or ahead.
    for theirs in [-20_000, 20_000] {
        input.policies[0].policy.status.begins = vec![input.now.plus_seconds(theirs)];
        input.led_since = input.now.plus_seconds(-60);
        assert_eq!(pass(&input).policies[0].allowed.reason, "RateLimit", "{theirs}");
        input.led_since = input.now.plus_seconds(-3_600);
        assert_eq!(begun(&pass(&input).hosts), BTreeSet::from(["a"]), "{theirs}");
    }
}

#[test]
fn a_hold_expires_loudly_and_then_only_the_rate_protects() {
    let limits = StormLimits { max_down_hosts: 1, max_begins_per_hour: Some(1), hold_expiry_seconds: 600, ..StormLimits::default() };
    let mut input = two_racks(&["a", "b"], limits);
    let first = after(1, &mut input).1;
    assert_eq!(first[0].told[0].0, "StormLimit", "people hear of it once");
    assert!(later(&mut input, 10).1[0].told.is_empty());
    assert_eq!(later(&mut input, 580).1[0].allowed.reason, "StormLimit");
    let (hosts, policies) = later(&mut input, 10);
    assert_eq!(begun(&hosts), BTreeSet::from(["a"]));
    assert_eq!((policies[0].allowed.reason, policies[0].told[0].0), ("StormHoldExpired", "StormHoldExpired"));
    assert!(policies[0].told[0].1.contains("2 of 6 hosts are down, the limit is 1"), "{:?}", policies[0].told);
    assert!(later(&mut input, 10).1[0].told.is_empty());
}

#[test]
fn a_hold_expires_only_by_hosts_that_are_known_to_be_down_without_a_break() {
    let limits = StormLimits { max_down_hosts: 1, max_begins_per_hour: Some(1), hold_expiry_seconds: 600, ..StormLimits::default() };
    let mut input = two_racks(&["a"], limits);
    input.hosts[5].up = Fact::Unknown("its cell does not answer".into());
    assert_eq!(after(2, &mut input).1[0].allowed.reason, "StormLimit");
    assert_eq!(later(&mut input, 5_000).1[0].allowed.reason, "StormLimit", "one may be up");
    input.hosts[5].up = Fact::Seen(false, at(0));
    assert_eq!(later(&mut input, 10).1[0].allowed.reason, "StormLimit");
    // Those who look are in doubt for a moment: it counts anew.
    input.observer.conductor_up = false;
    later(&mut input, 300);
    input.observer.conductor_up = true;
    assert_eq!(later(&mut input, 300).1[0].allowed.reason, "StormLimit");
    assert_eq!(later(&mut input, 599).1[0].allowed.reason, "StormLimit");
    assert_eq!(later(&mut input, 1).1[0].allowed.reason, "StormHoldExpired");
}

#[test]
fn the_evacuation_that_follows_a_restart_is_part_of_one_begin() {
    let limits = StormLimits { max_down_hosts: 5, max_begins_per_hour: Some(1), ..StormLimits::default() };
    let mut input = two_racks(&["a", "b"], limits);
    after(2, &mut input);
    count(&mut input, 1);
    let status: &mut HostStatus = &mut input.hosts[0].host.status;
    status.availability.as_mut().expect("it was seen").operation = Some("auto-restart-a-1".into());
    let hosts = pass(&input).hosts;
    assert_eq!((hosts[0].begin, hosts[1].begin), (Some(Begin::Evacuate), None));
    assert!(!hosts[0].is_counted(Begin::Evacuate) && hosts[1].is_counted(Begin::Evacuate));
}

#[test]
fn no_more_hosts_are_recovered_at_the_same_time_than_the_policy_allows() {
    let mut input = input(vec![host("a", false), host("b", false), host("c", false), host("z", true)], 3);
    input.policies[0].policy.spec.evacuation.max_parallel_hosts = Some(2);
    let (hosts, _) = after(2, &mut input);
    assert_eq!(begun(&hosts), BTreeSet::from(["a", "b"]));
    assert_eq!((hosts[2].begin, hosts[2].allowed.reason), (None, "RecoveryLimit"));
    assert!(hosts[2].allowed.message.contains("evacuation.maxParallelHosts of RemediationPolicy default"), "{:?}", hosts[2].allowed);
    begin(&mut input);
    let verdicts = pass(&input);
    assert_eq!(begun(&verdicts.hosts), BTreeSet::from(["b"]), "one is under way, one more may be");
    assert_eq!(verdicts.policies[0].recovering, 1);
    input.hosts[0].ended = Some("Succeeded".into());
    let verdicts = pass(&input);
    assert_eq!(begun(&verdicts.hosts), BTreeSet::from(["b", "c"]), "what has ended makes room");
    assert_eq!(verdicts.policies[0].recovering, 0);
}

#[test]
fn a_restart_takes_such_a_place_and_the_evacuation_after_it_takes_it_anew() {
    let mut input = input(vec![host("a", false), host("b", false), host("z", true)], 2);
    input.policies[0].policy.spec.evacuation.max_parallel_hosts = Some(1);
    input.policies[0].policy.spec.restart = Restart::Allow;
    after(2, &mut input);
    begin(&mut input);
    assert_eq!(begun(&pass(&input).hosts), BTreeSet::new());
    input.hosts[0].operation_ended = Some("Failed".into());
    assert_eq!(begun(&pass(&input).hosts), BTreeSet::from(["a"]), "the first of those that wait");
}
