//! Budgets, order, freezing, cancelling.

use crate::stage::{Stage, given, outcome_in};
use serde_json::json;
use simulator::{CallKind, GuestSpec};
use std::time::Duration;
use workspace_tests::{condition, reason, waits_for};

/// Watches until an evacuation or host is done; gives the largest number of guests that were being rebuilt at once.
async fn most_at_once(s: &Stage, guests: &[String], kind: &str, open: &[&str], done: impl Fn(&Stage) -> bool) -> usize {
    let (mut most, end) = (0, tokio::time::Instant::now() + Duration::from_secs(900));
    while !done(s) {
        assert!(tokio::time::Instant::now() < end, "{}", s.story());
        most = most.max(guests.iter().filter(|g| s.records(g, kind).iter().any(|r| open.contains(r))).count());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    most
}

fn all_left(s: &Stage, guests: &[String], hosts: &[&str]) -> bool {
    guests.iter().all(|g| !hosts.contains(&s.home(g).as_str()))
}

#[tokio::test(start_paused = true)]
async fn no_more_guests_are_rebuilt_at_once_than_the_cloud_and_each_host_may() {
    let s = given(&["a", "b", "c", "d"]).with(|c| c.rebuild_ms = 10_000).policy(json!({"maxEvacuations": 3, "maxPerHost": 2})).start().await;
    let mut guests = s.guests("one", "a", 5);
    guests.extend(s.guests("two", "b", 5));
    s.press("a", power::Command::ForceOff);
    s.press("b", power::Command::ForceOff);
    s.until("down", |w| w.is_up("a") == Some(false) && w.is_up("b") == Some(false)).await;

    for host in ["a", "b"] {
        s.evacuate(host, json!({})).await;
    }
    let open = ["accepted", "pre-migrating"];
    let of_a: Vec<String> = guests[..5].to_vec();
    let watch = most_at_once(&s, &guests, "evacuation", &open, |s| all_left(s, &guests, &["a", "b"]));
    let watch_a = most_at_once(&s, &of_a, "evacuation", &open, |s| all_left(s, &guests, &["a", "b"]));
    let (most, most_of_a) = tokio::join!(watch, watch_a);

    assert_eq!(most, 3, "used, and not exceeded");
    assert!(most_of_a <= 2, "{most_of_a} of one host");
    for guest in &guests {
        assert_eq!(s.records(guest, "evacuation").len(), 1);
    }
    s.nothing_ran_twice();
}

/// A host died while it was drained; then the destination of one of its live migrations was switched off, which settles that.
#[tokio::test(start_paused = true)]
async fn a_live_migration_that_is_settled_makes_no_place_for_a_rebuild() {
    let slow = |c: &mut simulator::Settings| (c.rebuild_ms, c.live_migration_ms) = (3_600_000, 3_600_000);
    let s = given(&["a", "b", "c", "d", "e"]).with(slow).policy(json!({"maxEvacuations": 1, "maxPerHost": 2})).start().await;
    let (alone, guests) = (s.guest("alone", "a"), s.guests("web", "b", 3));
    s.crash_host("a").await;
    s.evacuate("a", json!({})).await;
    s.until("it is being rebuilt", |w| w.records_of(&alone).last().is_some_and(|r| r.1 == "pre-migrating")).await;
    let goes_to = |guest: &String| s.with(|w| w.records_of(guest).last().and_then(|r| r.3.clone())).expect("a destination");
    s.nova(&goes_to(&alone), cloud::ServiceChange { enabled: Some(false), ..Default::default() });
    let drained = s.evacuate("b", json!({})).await;
    let has_place = |w: &simulator::World, guest: &String| w.records_of(guest).last().is_some_and(|r| r.3.is_some());
    s.until("two are being moved", |w| guests.iter().filter(|g| has_place(w, g)).count() == 2).await;
    s.crash_host("b").await;
    s.policy(json!({"maxPerHost": 8})).await;
    let full = |o: &schemas::DynObject| o.status["waiting"]["message"].as_str().is_some_and(|m| m.contains("maxEvacuations"));
    s.wait("Evacuation", &drained, "waiting for a place", full).await;

    let moving = guests.iter().find(|g| !s.records(g, "live-migration").is_empty()).expect("one of the two");
    s.press(&goes_to(moving), power::Command::ForceOff);
    s.pass(120).await;

    let operations = s.rig.list("Operation").await;
    let of = |what: &str, state: &[&str]| {
        let is =
            |o: &&schemas::DynObject| o.spec["step"].as_str().is_some_and(|s| s.starts_with(what)) && state.iter().any(|s| o.status["state"] == *s);
        operations.iter().filter(is).count()
    };
    assert!(of("LiveMigrate/", &["Failed"]) > 0, "{}", s.story());
    assert_eq!(of("Evacuate/", &["Issued", "Accepted"]), 1, "{}", s.story());
    assert_eq!(s.calls(CallKind::Evacuate).len(), 1, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn no_more_hosts_are_drained_at_once_than_allowed_and_the_next_one_says_why_it_waits() {
    let s = given(&["a", "b", "c", "d"]).with(|c| c.live_migration_ms = 20_000).policy(json!({"maxHostsDraining": 1})).start().await;
    let (one, two) = (s.guests("one", "a", 2), s.guests("two", "b", 2));

    s.declare("a", json!({"power": "Off"})).await;
    s.until_called(CallKind::LiveMigrate, 1).await;
    s.declare("b", json!({"power": "Off"})).await;
    let message = s.waits("Host", "b", "DrainLimit").await;

    assert!(message.contains("goes on when another has finished"), "{message}");
    assert_eq!(s.service("b").enabled, Some(true), "not even disabled");
    let off = |o: &schemas::DynObject| condition(o, "Ready") == "True" && o.status["power"]["state"] == "Off";
    s.rig.wait("Host", "a", "off", Duration::from_secs(600), off).await;
    s.rig.wait("Host", "b", "off", Duration::from_secs(900), off).await;
    let first_of_b = s.calls(CallKind::LiveMigrate).into_iter().find(|c| two.contains(&c.target)).map(|c| c.at);
    let off_a = s.calls(CallKind::PowerSet)[0].at;
    assert!(first_of_b > Some(off_a), "{}", s.story());
    assert!(all_left(&s, &one, &["a", "b"]) && all_left(&s, &two, &["a", "b"]));
}

#[tokio::test(start_paused = true)]
async fn guests_are_rebuilt_by_priority_and_those_with_zero_never() {
    let s = given(&["a", "b", "c"]).policy(json!({"maxPerHost": 1})).start().await;
    let add = |name: &str, priority: &str| s.add(GuestSpec::new(name, "a").with_metadata("recovery_priority", priority));
    let low = add("low", "1");
    let never = add("never", "0");
    let default = s.guest("default", "a");
    let nonsense = add("nonsense", "urgent!");
    let first = add("first", "10");
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    let ended = s.succeeds("Evacuation", &ev).await;

    let order: Vec<String> = s.calls(CallKind::Evacuate).into_iter().map(|c| c.target).collect();
    assert_eq!(order, [first, default, nonsense, low]);
    assert_eq!(outcome_in(&ended, &never).1, "PriorityZero");
    assert_eq!(s.home(&never), "a");
}

#[tokio::test(start_paused = true)]
async fn another_metadata_key_can_hold_the_priority() {
    let s = given(&["a", "b", "c"]).policy(json!({"maxPerHost": 1, "recoveryPriorityKey": "ha:order", "defaultRecoveryPriority": 0})).start().await;
    let chosen = s.add(GuestSpec::new("chosen", "a").with_metadata("ha:order", "7"));
    let other = s.add(GuestSpec::new("other", "a").with_metadata("recovery_priority", "10"));
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;

    assert_eq!(s.calls(CallKind::Evacuate).into_iter().map(|c| c.target).collect::<Vec<_>>(), [chosen]);
    assert_eq!(s.home(&other), "a");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_cluster_begins_nothing_settles_what_is_under_way_and_goes_on_when_thawed() {
    let s = given(&["a", "b", "c"]).with(|c| c.rebuild_ms = 15_000).policy(json!({"maxPerHost": 1})).start().await;
    let guests = s.guests("web", "a", 3);
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until_called(CallKind::Evacuate, 1).await;

    s.policy(json!({"operations": "Frozen"})).await;
    let told = s.waits("Evacuation", &ev, "Pausing").await;
    assert!(told.contains("1 call(s) under way"), "{told}");
    let policy = s.wait("ClusterPolicy", "default", "not yet acknowledged", |o| o.status["openOperations"] == 1).await;
    assert_eq!((condition(&policy, "Paused"), reason(&policy, "Paused")), ("False", "Pausing"));
    assert_eq!(condition(&s.rig.get("Evacuation", &ev).await, "Paused"), "False");
    s.waits("Evacuation", &ev, "FrozenByCluster").await;
    let drain = s.operate("b", "Drain", json!({})).await;
    s.waits("HostOperation", &drain, "FrozenByCluster").await;
    s.declare("c", json!({"power": "Off"})).await;
    s.waits("Host", "c", "FrozenByCluster").await;
    let before = s.all_calls();
    s.pass(300).await;

    assert_eq!(s.all_calls(), before, "{}", s.story());
    let frozen = s.rig.get("Evacuation", &ev).await;
    let moved = guests.iter().filter(|g| outcome_in(&frozen, g).0 == "Moved").count();
    assert_eq!(moved, 1, "what was under way is settled: {:#}", frozen.status);
    assert_eq!(condition(&frozen, "Paused"), "True");
    s.wait("ClusterPolicy", "default", "acknowledged", |o| condition(o, "Paused") == "True" && o.status["openOperations"] == 0).await;

    s.declare("c", json!({"power": "Unmanaged"})).await;
    s.cancel("HostOperation", &drain).await;
    s.policy(json!({"operations": "Normal"})).await;
    s.succeeds("Evacuation", &ev).await;
    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_being_switched_off_and_on_when_the_cluster_freezes_is_not_left_off() {
    let s = given(&["a", "b", "c"]).start().await;
    let op = s.operate("a", "PowerCycle", json!({"runningGuests": "Kill"})).await;
    s.until("it is switched off", |w| !w.power_is_on("a")).await;
    s.policy(json!({"operations": "Frozen"})).await;

    let policy = s.wait("ClusterPolicy", "default", "acknowledged", |o| condition(o, "Paused") == "True").await;
    assert!(s.is_on("a"), "it was acknowledged while the host was off: {:#}", policy.status);
    s.succeeds("HostOperation", &op).await;
    s.pass(120).await;
    let after = s.all_calls();
    s.pass(300).await;
    assert_eq!(s.all_calls(), after, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_frozen_cluster_still_lets_a_host_be_powered_on() {
    let s = given(&["a", "b", "c"]).start().await;
    s.press("a", power::Command::ForceOff);
    s.policy(json!({"operations": "Frozen"})).await;

    let op = s.operate("a", "PowerOn", json!({})).await;
    s.succeeds("HostOperation", &op).await;

    assert!(s.is_on("a"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_drain_begins_nothing_more_and_ends_when_what_it_began_is_settled() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 30_000).policy(json!({"maxPerHost": 1})).start().await;
    let guests = s.guests("web", "a", 3);
    let drain = s.operate("a", "Drain", json!({})).await;
    s.until("moving", |w| guests.iter().any(|g| w.records_of(g).iter().any(|r| r.1 == "running"))).await;

    s.cancel("HostOperation", &drain).await;
    let message = s.waits("HostOperation", &drain, "SettlingCall").await;
    let (reason, _) = s.fails("HostOperation", &drain).await;
    s.pass(300).await;

    assert!(message.contains("cancelled"), "{message}");
    assert_eq!(reason, "Cancelled");
    assert_eq!(s.calls(CallKind::LiveMigrate).len(), 1);
    let moved = guests.iter().filter(|g| s.home(g) != "a").count();
    assert_eq!(moved, 1, "the one under way arrived");
    assert_eq!(s.rig.list("Operation").await.iter().filter(|o| o.status["state"] == "Accepted" || o.status["state"] == "Issued").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_evacuation_leaves_the_rest_and_the_host_fenced() {
    let s = given(&["a", "b", "c"]).with(|c| c.rebuild_ms = 15_000).policy(json!({"maxPerHost": 1})).start().await;
    let guests = s.guests("web", "a", 3);
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until_called(CallKind::Evacuate, 1).await;

    s.cancel("Evacuation", &ev).await;
    let (reason, message) = s.fails("Evacuation", &ev).await;
    s.pass(120).await;

    assert_eq!(reason, "Cancelled");
    assert!(message.contains("1 of 3 moved"), "{message}");
    assert_eq!(s.calls(CallKind::Evacuate).len(), 1);
    assert_eq!(guests.iter().filter(|g| s.home(g) == "a").count(), 2);
    assert_eq!(waits_for(&s.rig.get("Host", "a").await), "FencedAwaitingReturn");

    // A new one goes on where it stopped.
    s.rig.create("Evacuation", "again", json!({"hostRef": {"name": "a"}})).await;
    s.succeeds("Evacuation", "again").await;
    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_deleted_evacuation_is_cancelled_first_and_then_gone() {
    let s = given(&["a", "b", "c"]).with(|c| c.rebuild_ms = 15_000).policy(json!({"maxPerHost": 1})).start().await;
    s.guests("web", "a", 3);
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until_called(CallKind::Evacuate, 1).await;

    let kind = schemas::kinds::find("Evacuation").expect("a kind");
    let deleted = s.rig.registry.delete(kind, &ev, Default::default(), s.rig.clock.now()).await.expect("a deletion");
    assert!(!deleted.gone, "its call is under way");
    let end = tokio::time::Instant::now() + Duration::from_secs(240);
    while s.rig.list("Evacuation").await.iter().any(|o| o.metadata.name == ev) {
        assert!(tokio::time::Instant::now() < end, "{}", s.story());
        s.pass(1).await;
    }

    assert_eq!(s.calls(CallKind::Evacuate).len(), 1);
    let open = s.rig.list("Operation").await.iter().filter(|o| o.status["closedAt"].is_null()).count();
    assert_eq!(open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_evacuation_is_denied_is_refused_one() {
    let s = given(&["a", "b"]).start().await;
    s.declare("a", json!({"evacuation": "Denied"})).await;
    let refused = s.rig.try_create("Evacuation", "ev", json!({"hostRef": {"name": "a"}})).await.expect_err("denied");
    assert!(refused.to_string().contains("spec.evacuation of Host a is Denied"), "{refused}");
}
