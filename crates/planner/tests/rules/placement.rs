//! Which guest goes where.

use crate::common::*;
use planner::{
    facts::{Destination, GroupFacts, GroupRule, Guest},
    placement::{Seat, Site, Wish, plan, still_stand},
};
use std::collections::BTreeMap;

const GIB: i64 = 1_024;

/// A host with that much free memory of 64 GiB, and CPUs enough.
fn roomy(name: &str, gib: i64) -> Destination {
    let classes = |ram: i64| [("MEMORY_MB".to_string(), ram * GIB), ("VCPU".to_string(), 256)].into();
    Destination { free: classes(gib), capacity: classes(64), ..room(name) }
}

fn sized(id: &str, gib: i64) -> Guest {
    Guest { needs: [("MEMORY_MB".to_string(), gib * GIB), ("VCPU".to_string(), 1)].into(), ..guest(id) }
}

fn spec(mut guest: Guest, key: &str, value: &str) -> Guest {
    guest.extra_specs.insert(key.into(), value.into());
    guest
}

fn wish(guest: &Guest) -> Wish<'_> {
    Wish { guest, priority: 5, home: "a", zone: "nova", not: &[], only: None }
}

struct Place {
    hosts: Vec<Destination>,
    groups: Vec<GroupFacts>,
    taken: BTreeMap<String, BTreeMap<String, i64>>,
    going: BTreeMap<String, String>,
}

fn place(hosts: Vec<Destination>) -> Place {
    Place { hosts, groups: Vec::new(), taken: BTreeMap::new(), going: BTreeMap::new() }
}

impl Place {
    fn site(&self) -> Site<'_> {
        Site { hosts: &self.hosts, taken: &self.taken, groups: &self.groups, going: &self.going }
    }

    fn plan(&self, wishes: &[Wish<'_>]) -> Vec<String> {
        plan(wishes, &self.site()).iter().map(|s| s.host().unwrap_or("-").to_string()).collect()
    }

    fn why(&self, wish: &Wish<'_>) -> String {
        match plan(std::slice::from_ref(wish), &self.site()).remove(0) {
            Seat::Nowhere(why) => why,
            Seat::On(host) => panic!("it goes to {host}"),
        }
    }
}

fn group(rule: GroupRule, members: &[(&str, Option<&str>)]) -> GroupFacts {
    let members = members.iter().map(|(id, on)| (id.to_string(), on.map(String::from))).collect();
    GroupFacts { id: "g1".into(), name: "web".into(), rule, members }
}

#[test]
fn guests_are_spread_over_the_least_loaded_hosts() {
    let guests: Vec<Guest> = (0..4).map(|n| sized(&format!("g{n}"), 8)).collect();
    let site = place(vec![roomy("b", 32), roomy("c", 40), roomy("d", 24)]);
    let seats = site.plan(&guests.iter().map(wish).collect::<Vec<_>>());
    assert_eq!(seats, ["c", "b", "c", "b"]);
}

#[test]
fn what_others_were_promised_is_not_given_twice() {
    let mut site = place(vec![roomy("b", 8), roomy("c", 4)]);
    site.taken = [("b".to_string(), [("MEMORY_MB".to_string(), 6 * GIB)].into())].into();
    assert_eq!(site.plan(&[wish(&sized("g", 4))]), ["c"]);
    assert_eq!(
        site.why(&wish(&sized("g", 8))),
        "no enabled host that is up in zone nova takes it: 2 with less than 8192 MEMORY_MB left; add capacity or enable a host"
    );
}

#[test]
fn the_higher_priority_gets_the_last_room_whatever_its_size() {
    let (large, small) = (sized("large", 8), sized("small", 1));
    let first = Wish { priority: 9, ..wish(&small) };
    assert_eq!(place(vec![roomy("b", 8)]).plan(&[wish(&large), first]), ["-", "b"]);
}

#[test]
fn a_guest_that_few_hosts_suit_chooses_before_larger_ones() {
    let gpu = Destination { traits: vec!["CUSTOM_GPU".into()], ..roomy("b", 8) };
    let picky = spec(sized("picky", 4), "trait:CUSTOM_GPU", "required");
    let large = sized("large", 8);
    let site = place(vec![gpu, roomy("c", 8)]);
    assert_eq!(site.plan(&[wish(&large), wish(&picky)]), ["c", "b"]);
    let forbidden = spec(sized("other", 4), "trait:CUSTOM_GPU", "forbidden");
    assert_eq!(site.plan(&[wish(&forbidden)]), ["c"]);
}

#[test]
fn who_is_left_over_gets_room_that_another_can_leave() {
    // Spread puts the two small ones on both hosts, and the large one, of lower priority, would fit on none.
    let small: Vec<Guest> = (0..2).map(|n| sized(&format!("s{n}"), 2)).collect();
    let large = sized("large", 8);
    let wishes = [Wish { priority: 9, ..wish(&small[0]) }, Wish { priority: 9, ..wish(&small[1]) }, wish(&large)];
    let seats = place(vec![roomy("b", 8), roomy("c", 8)]).plan(&wishes);
    assert!(!seats.contains(&"-".to_string()), "{seats:?}");
    assert_eq!(seats[0], seats[1]);
}

#[test]
fn zones_aggregates_tenants_and_earlier_failures_are_respected_and_counted() {
    let elsewhere = Destination { zone: "far".into(), ..roomy("b", 64) };
    let theirs = Destination { aggregates: vec![("filter_tenant_id".into(), "p2,p3".into())], ..roomy("c", 64) };
    let ssd = Destination { aggregates: vec![("disk".into(), "ssd".into())], ..roomy("d", 64) };
    let site = place(vec![elsewhere, theirs, ssd, roomy("e", 64)]);
    let of_p1 = Guest { project: "p1".into(), ..spec(sized("g", 1), "aggregate_instance_extra_specs:disk", "ssd") };
    assert_eq!(site.plan(&[wish(&of_p1)]), ["d"]);
    let not = ["d".to_string()];
    let why = site.why(&Wish { not: &not, ..wish(&of_p1) });
    assert_eq!(
        why,
        "no enabled host that is up in zone nova takes it: 2 in no aggregate with disk=ssd, 1 that failed for it already; add capacity or enable a host"
    );
    let of_p2 = Guest { project: "p2".into(), ..sized("g", 1) };
    let not: Vec<String> = vec!["d".into(), "e".into()];
    assert_eq!(site.plan(&[Wish { not: &not, ..wish(&of_p2) }]), ["c"]);
}

#[test]
fn members_of_an_anti_affinity_group_never_meet_and_a_soft_group_only_if_it_must() {
    let guests: Vec<Guest> = (0..3).map(|n| sized(&format!("g{n}"), 1)).collect();
    let wishes: Vec<Wish<'_>> = guests.iter().map(wish).collect();
    let members = [("g0", Some("a")), ("g1", Some("a")), ("g2", Some("a")), ("x", Some("c"))];
    let mut site = place(vec![roomy("b", 32), roomy("c", 64), roomy("d", 16)]);
    site.groups = vec![group(GroupRule::AntiAffinity(1), &members)];
    let mut seats = site.plan(&wishes);
    seats.sort();
    assert_eq!(seats, ["-", "b", "d"]);
    assert!(site.why(&Wish { not: &["b".into(), "d".into()], ..wish(&guests[0]) }).contains("1 not allowed by its server group web"));
    site.groups = vec![group(GroupRule::SoftAntiAffinity, &members)];
    let mut seats = site.plan(&wishes);
    seats.sort();
    assert!(seats.starts_with(&["b".to_string()]) && seats.contains(&"d".to_string()) && !seats.contains(&"-".to_string()), "{seats:?}");
    // One on its way counts where it goes.
    site.groups = vec![group(GroupRule::AntiAffinity(1), &[("g0", Some("a")), ("y", Some("z"))])];
    site.going = [("y".to_string(), "c".to_string())].into();
    assert_eq!(site.plan(&[wish(&guests[0])]), ["b"]);
}

#[test]
fn a_plan_stands_as_long_as_each_of_its_hosts_has_room_after_those_before() {
    let (one, two) = (sized("one", 4), sized("two", 4));
    let site = place(vec![roomy("b", 6), roomy("c", 6)]);
    let wishes = [wish(&one), wish(&two)];
    assert_eq!(still_stand(&wishes, &["b", "c"], &site.site()), [true, true]);
    assert_eq!(still_stand(&wishes, &["b", "b"], &site.site()), [true, false]);
    assert_eq!(still_stand(&wishes, &["", "gone"], &site.site()), [false, false]);
}

#[test]
fn what_a_flavor_asks_for_goes_before_its_sizes() {
    let specs: BTreeMap<String, String> =
        [("hw:cpu_policy", "dedicated"), ("resources:CUSTOM_GPU", "2"), ("resources:MEMORY_MB", "0")].map(|(k, v)| (k.into(), v.into())).into();
    let needs = planner::flavor::needs([("VCPU", 4), ("MEMORY_MB", 512), ("DISK_GB", 0)], &specs);
    assert_eq!(needs, [("CUSTOM_GPU".to_string(), 2), ("PCPU".to_string(), 4)].into());
}
