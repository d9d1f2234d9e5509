//! S6: source off is not enough.

use crate::stage::{given, outcome_in};
use serde_json::json;
use simulator::{Call, CallKind, GuestSpec, HostFault, VmState};

#[tokio::test(start_paused = true)]
async fn a_guest_in_the_middle_of_a_live_migration_waits_for_a_person_and_the_others_go_on() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 600_000).start().await;
    let guests = s.guests("web", "a", 3);
    s.with(|w| w.call(Call::LiveMigrate { server: guests[0].clone(), destination: Some("b".into()) })).result.expect("accepted");
    s.until("running", |w| w.records_of(&guests[0]).iter().any(|r| r.1 == "running")).await;
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    let message = s.waits("Evacuation", &ev, "NeedsHuman").await;
    s.pass(120).await;

    let ended = s.rig.get("Evacuation", &ev).await;
    assert!(message.contains("web-0"), "{message}");
    assert_eq!(outcome_in(&ended, &guests[0]).0, "NeedsHuman");
    assert_eq!(outcome_in(&ended, &guests[0]).1, "MoveInFlight");
    for guest in &guests[1..] {
        s.was_rebuilt_once(guest, "a");
        assert_eq!(outcome_in(&ended, guest).0, "Moved");
    }
    assert!(s.calls(CallKind::Evacuate).iter().all(|c| c.target != guests[0]));
    s.nothing_ran_twice();

    s.cancel("Evacuation", &ev).await;
    assert_eq!(s.fails("Evacuation", &ev).await.0, "Cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_live_migration_that_nova_settled_no_longer_holds_the_guest() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 3_000).start().await;
    let guest = s.guest("web", "a");
    s.with(|w| w.call(Call::LiveMigrate { server: guest.clone(), destination: Some("b".into()) })).result.expect("accepted");
    s.until("completed", |w| w.records_of(&guest).iter().any(|r| r.1 == "completed")).await;
    let back = s.with(|w| w.call(Call::LiveMigrate { server: guest.clone(), destination: Some("a".into()) }));
    back.result.expect("accepted");
    s.until("back on a", |w| w.records_of(&guest).iter().filter(|r| r.1 == "completed").count() == 2).await;
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;

    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_was_under_way_when_the_source_died_leaves_its_migrations_to_a_person() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 60_000).policy(json!({"maxPerHost": 2})).start().await;
    let guests = s.guests("web", "a", 4);
    let ev = s.evacuate("a", json!({})).await;
    s.until("under way", |w| guests.iter().any(|g| w.records_of(g).iter().any(|r| r.1 == "running"))).await;
    s.hurt("a", HostFault::Crash);

    s.waits("Evacuation", &ev, "NeedsHuman").await;
    s.pass(60).await;

    let ended = s.rig.get("Evacuation", &ev).await;
    let outcomes: Vec<String> = guests.iter().map(|g| outcome_in(&ended, g).0).collect();
    assert_eq!(outcomes.iter().filter(|o| *o == "NeedsHuman").count(), 2, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|o| *o == "Moved").count(), 2, "those that were not on their way are rebuilt: {outcomes:?}");
    s.nothing_ran_twice();

    s.cancel("Evacuation", &ev).await;
    assert_eq!(s.fails("Evacuation", &ev).await.0, "Cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_guest_is_rebuilt_and_stays_stopped() {
    let s = given(&["a", "b"]).start().await;
    let guest = s.add(GuestSpec::new("db", "a").stopped());
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;

    assert_eq!(s.status(&guest), "SHUTOFF");
    assert_eq!(s.home(&guest), "b");
    assert_eq!(s.runs_on(&guest), Vec::<String>::new());
}

/// A stopped guest for which Nova finds no host, though by all that shows there is one: it puts it into ERROR.
async fn no_valid_host(microversion: (u32, u32)) -> (crate::stage::Stage, String, String) {
    let s = given(&["a", "b"]).with(|c| c.max_microversion = microversion).start().await;
    let stopped = s.add(GuestSpec { no_valid_host: true, ..GuestSpec::new("db", "a").stopped() });
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until_called(CallKind::Evacuate, 1).await;
    s.until("in error", |w| w.show(&stopped).is_some_and(|g| g.status == "ERROR")).await;
    (s, stopped, ev)
}

#[tokio::test(start_paused = true)]
async fn a_stopped_guest_that_became_an_error_is_not_started_by_a_retry() {
    let (s, stopped, ev) = no_valid_host((2, 93)).await;

    s.waits("Evacuation", &ev, "NeedsHuman").await;
    s.pass(300).await;

    let (outcome, _, message) = s.outcome(&ev, &stopped).await;
    assert_eq!(outcome, "NeedsHuman");
    assert!(message.contains("was stopped") && message.contains("would start it"), "{message}");
    assert_eq!(s.calls(CallKind::Evacuate).len(), 1);
    assert_eq!(s.runs_on(&stopped), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn with_a_newer_nova_it_is_retried_and_left_stopped() {
    let (s, stopped, ev) = no_valid_host((2, 95)).await;
    s.with(|w| w.find_hosts_for(&stopped));
    s.with(|w| w.add_host(simulator::HostSpec::new("c")));
    s.until("c beats", |w| w.is_up("c") == Some(true)).await;

    let ended = s.succeeds("Evacuation", &ev).await;

    let calls = s.calls(CallKind::Evacuate);
    assert!(format!("{:?}", calls.last().expect("a retry").call).contains("leave_stopped: true"), "{calls:#?}");
    assert_eq!(s.home(&stopped), "c", "{:#}", ended.status);
    assert_eq!(s.runs_on(&stopped), Vec::<String>::new(), "it was stopped before, so it is stopped now");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_failed_evacuation_is_tried_again_on_another_host() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    let filler = s.add(GuestSpec::new("filler", "c").with_ram(8_192));
    s.with(|w| w.fail_claims("b", 10));
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    let ended = s.succeeds("Evacuation", &ev).await;

    let calls = s.calls(CallKind::Evacuate);
    assert_eq!(calls.len(), 2, "{calls:#?}");
    assert_eq!(s.records(&guest, "evacuation"), ["failed", "done"]);
    assert_eq!(s.home(&guest), "c");
    assert_eq!(ended.status["guests"][0]["failedDestinations"], json!(["b"]));
    assert_eq!(s.runs_on(&filler), ["c"]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_that_nova_never_ends_is_never_repeated() {
    let s = given(&["a", "b", "c", "d"]).with(|c| c.rebuild_ms = 20_000).start().await;
    let guests = s.guests("web", "a", 2);
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until("at work", |w| guests.iter().all(|g| w.records_of(g).iter().any(|r| r.1 == "pre-migrating"))).await;
    let dest = s.with(|w| w.records_of(&guests[0]))[0].3.clone().expect("a destination");
    s.hurt(&dest, HostFault::NovaComputeDown);

    s.pass(900).await;

    let stuck: Vec<&String> = guests.iter().filter(|g| s.records(g, "evacuation") == ["pre-migrating"]).collect();
    assert!(!stuck.is_empty(), "{}", s.story());
    for guest in stuck {
        assert_eq!(s.calls(CallKind::Evacuate).iter().filter(|c| c.target == **guest).count(), 1, "a retry follows only error or failed");
        let (outcome, _, message) = s.outcome(&ev, guest).await;
        assert!(outcome == "Moving" || outcome == "NeedsHuman", "{outcome}");
        assert!(message.contains("pre-migrating"), "{message}");
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn retries_are_bounded_and_the_guest_ends_as_failed_with_its_reason() {
    let s = given(&["a", "b", "c", "d", "e", "f"]).start().await;
    let guests = s.guests("web", "a", 1);
    for host in ["b", "c", "d", "e", "f"] {
        s.with(|w| w.fail_claims(host, 10));
    }
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    let (reason, message) = s.fails("Evacuation", &ev).await;

    assert_eq!(reason, "Failed");
    assert!(message.contains("3 tries failed"), "{message}");
    assert_eq!(s.calls(CallKind::Evacuate).len(), 3, "the first and evacuationRetries (2) more");
    assert_eq!(s.home(&guests[0]), "a");
}

#[tokio::test(start_paused = true)]
async fn guests_that_nova_cannot_evacuate_are_named_with_their_state() {
    let s = given(&["a", "b"]).start().await;
    let states = [(VmState::Paused, "paused"), (VmState::Suspended, "suspended"), (VmState::Rescued, "rescued"), (VmState::Resized, "resized")];
    let guests: Vec<String> = states.iter().map(|(_, word)| s.guest(word, "a")).collect();
    for (guest, (state, _)) in guests.iter().zip(states) {
        s.with(|w| w.set_vm_state(guest, state));
    }
    let web = s.guest("web", "a");
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    let ended = s.ends("Evacuation", &ev).await;

    for (guest, (_, word)) in guests.iter().zip(states) {
        let (outcome, reason, message) = outcome_in(&ended, guest);
        assert_eq!((outcome.as_str(), reason.as_str()), ("Skipped", "StateUnsuitable"));
        assert!(message.contains(word), "{message}");
    }
    s.was_rebuilt_once(&web, "a");
}

#[tokio::test(start_paused = true)]
async fn a_guest_for_which_no_host_has_room_waits_and_says_so() {
    let s = given(&["a", "b"]).start().await;
    let big = s.add(GuestSpec::new("big", "a").with_ram(40_000));
    let filler = s.add(GuestSpec::new("filler", "b").with_ram(40_000));
    let small = s.guest("small", "a");
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    let message = s.waits("Evacuation", &ev, "NoDestination").await;
    assert!(message.contains("big") && message.contains("add capacity"), "{message}");
    s.was_rebuilt_once(&small, "a");
    assert!(s.calls(CallKind::Evacuate).iter().all(|c| c.target != big), "no request that Nova could only answer with NoValidHost");

    s.with(|w| w.delete_guest(&filler));
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&big, "a");
}

#[tokio::test(start_paused = true)]
async fn a_guest_whose_live_migration_was_broken_off_is_started_nowhere_but_where_it_may_run() {
    let s = given(&["a", "b", "c", "d"]).with(|c| c.live_migration_ms = 10_000).start().await;
    let guest = s.guest("web", "a");
    s.add(GuestSpec::new("filler", "b").with_ram(8_192));
    s.with(|w| w.call(Call::LiveMigrate { server: guest.clone(), destination: Some("b".into()) })).result.expect("accepted");
    s.until("running", |w| w.records_of(&guest).iter().any(|r| r.1 == "running")).await;
    // nova-compute dies, the hypervisors carry on, nova-compute starts again and calls the migration an error.
    s.hurt("a", HostFault::NovaComputeDown);
    s.until("arrived", |w| w.running_on(&guest) == ["b"]).await;
    s.with(|w| w.start_compute("a"));
    s.until("given up", |w| w.records_of(&guest).iter().any(|r| r.1 == "error")).await;
    assert_eq!((s.home(&guest).as_str(), s.status(&guest).as_str()), ("a", "ACTIVE"), "Nova knows nothing of it");
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    s.pass(300).await;

    s.nothing_ran_twice();
    assert_eq!(s.runs_on(&guest), ["b"]);
    let (outcome, _, message) = s.outcome(&ev, &guest).await;
    assert!(outcome == "Failed" && message.contains("may be running on b"), "{outcome}: {message}\n{}", s.story());
}

/// A live migration from a to b in the middle of which both hosts crash; b is fenced first, or not.
async fn both_ends_die(fence_b: bool) -> (crate::stage::Stage, String, String) {
    let s = given(&["a", "b", "c", "d"]).with(|c| c.live_migration_ms = 600_000).start().await;
    let guest = s.guest("web", "a");
    s.with(|w| w.call(Call::LiveMigrate { server: guest.clone(), destination: Some("b".into()) })).result.expect("accepted");
    s.until("running", |w| w.records_of(&guest).iter().any(|r| r.1 == "running")).await;
    s.hurt("a", HostFault::Crash);
    s.crash_host("b").await;
    if fence_b {
        let other = s.evacuate("b", json!({})).await;
        s.succeeds("Evacuation", &other).await;
    }
    let ev = s.evacuate("a", json!({})).await;
    (s, guest, ev)
}

#[tokio::test(start_paused = true)]
async fn a_guest_in_a_live_migration_between_two_hosts_that_died_is_rebuilt_once_both_are_proven_off() {
    let (s, guest, ev) = both_ends_die(true).await;
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
    assert_ne!(s.home(&guest), "b");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn while_only_the_source_is_proven_off_it_waits_for_a_person_or_for_the_proof_of_the_other() {
    let (s, guest, ev) = both_ends_die(false).await;
    let message = s.waits("Evacuation", &ev, "NeedsHuman").await;
    assert!(message.contains("prove b off"), "{message}");
    s.pass(120).await;
    assert!(s.calls(CallKind::Evacuate).is_empty(), "{}", s.story());
    let other = s.evacuate("b", json!({})).await;
    s.succeeds("Evacuation", &other).await;
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_whose_destination_died_in_the_middle_goes_elsewhere_once_that_is_proven_off() {
    let s = given(&["a", "b", "c", "d"]).with(|c| c.rebuild_ms = 20_000).start().await;
    let guest = s.guest("web", "a");
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until("at work", |w| w.records_of(&guest).iter().any(|r| r.1 == "pre-migrating")).await;
    let first = s.with(|w| w.records_of(&guest))[0].3.clone().expect("a destination");
    s.crash_host(&first).await;
    s.waits("Evacuation", &ev, "NeedsHuman").await;
    let other = s.evacuate(&first, json!({})).await;
    s.succeeds("Evacuation", &other).await;
    s.succeeds("Evacuation", &ev).await;
    let home = s.home(&guest);
    assert!(home != "a" && home != first);
    assert_eq!(s.runs_on(&guest), [home]);
    assert_eq!(s.records(&guest, "evacuation"), ["pre-migrating", "done"]);
    s.nothing_ran_twice();
}
