//! S7: after a crash, whatever Nova is already doing is adopted.

use crate::{
    life::{Death, Life},
    stage::{Stage, given},
};
use serde_json::json;
use simulator::{Call, CallFault, CallKind};
use std::collections::BTreeMap;

/// Each guest has one evacuation that took effect, all its requests named one destination, and it runs there alone.
fn each_moved_once(s: &Stage, guests: &[String], context: &str) {
    let mut destinations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for call in s.calls(CallKind::Evacuate) {
        if let Call::Evacuate { server, destination, .. } = call.call {
            destinations.entry(server).or_default().push(destination.expect("every evacuation names its destination"));
        }
    }
    for guest in guests {
        let records = s.records(guest, "evacuation");
        assert_eq!(records.iter().filter(|r| **r == "done").count(), 1, "{context}: {records:?}\n{}", s.story());
        assert_eq!(s.runs_on(guest), [s.home(guest)], "{context}:\n{}", s.story());
        assert_eq!(s.status(guest), "ACTIVE", "{context}:\n{}", s.story());
        let named = destinations.get(guest).cloned().unwrap_or_default();
        assert!(named.iter().all(|d| *d == named[0]), "{context}: a repeat names the same destination: {named:?}");
    }
    let twice = s.with(|w| w.double_runs().to_vec());
    assert!(twice.is_empty(), "{context}: {twice:?}\n{}", s.story());
}

/// Evacuates a dead host with three guests; the first controller dies as it is told, a second one takes over.
/// False if the first one got through alive.
async fn dies_and_is_followed(death: Death, changing_only: bool, hurt: impl Fn(&Stage)) -> bool {
    let context = format!("{death:?}{}", if changing_only { " of the changing calls" } else { "" });
    let mut s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 3);
    s.crash_host("a").await;
    s.succeed_with(Life::ends(death, changing_only)).await;
    hurt(&s);
    let ev = s.evacuate("a", json!({})).await;
    let died = tokio::select! {
        () = s.death() => true,
        _ = s.ends_within("Evacuation", &ev, 1_200) => false,
    };
    if died {
        s.takeover().await;
    }
    s.ends_within("Evacuation", &ev, 1_200).await;
    s.succeeds("Evacuation", &ev).await;
    each_moved_once(&s, &guests, &context);
    died
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_any_changing_call_loses_and_repeats_nothing() {
    // One power command, one PUT, three evacuations.
    for n in 1..=5 {
        assert!(dies_and_is_followed(Death::Before(n), true, |_| {}).await, "there is no call {n}");
    }
    assert!(!dies_and_is_followed(Death::Before(6), true, |_| {}).await, "a sixth call was not needed");
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_the_effect_of_any_changing_call_loses_and_repeats_nothing() {
    for n in 1..=5 {
        assert!(dies_and_is_followed(Death::After(n), true, |_| {}).await, "there is no call {n}");
    }
}

/// Every so-many-th call of all kinds, reads as well, up to the end of the evacuation.
async fn crash_at_every(step: u64, from: u64) {
    let mut n = from;
    while dies_and_is_followed(if n.is_multiple_of(2) { Death::Before(n) } else { Death::After(n) }, false, |_| {}).await {
        n += step;
        assert!(n < 2_000, "the evacuation takes too many calls");
    }
    assert!(n > from + 3 * step, "the evacuation took only {n} calls");
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_call_is_survived_first_part() {
    crash_at_every(26, 7).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_call_is_survived_second_part() {
    crash_at_every(26, 20).await;
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_crashes_again_and_again_still_moves_each_guest_once() {
    let mut s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 3);
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    for life in 1..=6 {
        s.succeed_with(Life::ends(Death::After(1), true)).await;
        let died = tokio::time::timeout(std::time::Duration::from_secs(300), s.death()).await.is_ok();
        if !died {
            assert!(life > 4, "life {life} did nothing:\n{}", s.story());
            break;
        }
    }
    s.takeover().await;
    s.succeeds("Evacuation", &ev).await;
    each_moved_once(&s, &guests, "six lives");
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_whose_answer_was_lost_is_adopted_and_not_repeated() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 2);
    s.crash_host("a").await;
    s.with(|w| w.inject(CallKind::Evacuate, CallFault::LostAnswer, 2));

    let ev = s.evacuate("a", json!({})).await;
    let ended = s.succeeds("Evacuation", &ev).await;

    assert_eq!(s.calls(CallKind::Evacuate).len(), 2, "{}", s.story());
    assert!(ended.status["guests"].as_array().is_some_and(|g| g.iter().all(|g| g["record"].is_i64())), "{:#}", ended.status);
    each_moved_once(&s, &guests, "lost answers");
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_repeated_late_and_to_the_same_destination() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 1);
    s.crash_host("a").await;
    s.with(|w| w.inject(CallKind::Evacuate, CallFault::LostRequest, 1));

    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;

    let calls = s.calls(CallKind::Evacuate);
    assert_eq!(calls.len(), 2);
    assert!(calls[1].at - calls[0].at >= 80_000, "60 s after the call's end of life, which is 20 s:\n{}", s.story());
    each_moved_once(&s, &guests, "a lost request");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_arrives_late_is_adopted() {
    for after_ms in [5_000, 25_000, 75_000] {
        let s = given(&["a", "b", "c"]).start().await;
        let guests = s.guests("web", "a", 1);
        s.crash_host("a").await;
        s.with(|w| w.inject(CallKind::Evacuate, CallFault::Late { after_ms }, 1));

        let ev = s.evacuate("a", json!({})).await;
        s.succeeds("Evacuation", &ev).await;

        assert_eq!(s.records(&guests[0], "evacuation").len(), 1, "{after_ms}: {}", s.story());
        each_moved_once(&s, &guests, "a late request");
    }
}

#[tokio::test(start_paused = true)]
async fn a_twin_that_arrives_after_its_repeat_starts_the_guest_nowhere_else() {
    for after_ms in [81_500, 83_000, 100_000] {
        let s = given(&["a", "b", "c"]).start().await;
        let guest = s.guest("web", "a");
        s.crash_host("a").await;
        s.with(|w| w.inject(CallKind::Evacuate, CallFault::Late { after_ms }, 1));

        let ev = s.evacuate("a", json!({})).await;
        s.pass(300).await;

        let ended = s.rig.get("Evacuation", &ev).await;
        let running = s.runs_on(&guest);
        assert_eq!(running.len(), 1, "{after_ms}: {:#}\n{}", ended.status, s.story());
        assert_ne!(running, ["a"]);
        s.nothing_ran_twice();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_delivered_twice_runs_the_guest_once() {
    for after_ms in [100, 1_000, 4_300, 30_000] {
        let s = given(&["a", "b", "c"]).start().await;
        let guest = s.guest("web", "a");
        s.crash_host("a").await;
        s.with(|w| w.inject(CallKind::Evacuate, CallFault::Duplicate { after_ms }, 1));

        let ev = s.evacuate("a", json!({})).await;
        s.pass(300).await;

        let ended = s.rig.get("Evacuation", &ev).await;
        assert_eq!(s.runs_on(&guest).len(), 1, "{after_ms}: {:#}\n{}", ended.status, s.story());
        s.nothing_ran_twice();
    }
}

#[tokio::test(start_paused = true)]
async fn crashes_and_network_faults_together_still_move_each_guest_once() {
    let faults = [CallFault::LostAnswer, CallFault::LostRequest, CallFault::Late { after_ms: 12_000 }];
    for (n, fault) in faults.into_iter().enumerate() {
        for death in [Death::Before(3 + n as u64), Death::After(3 + n as u64)] {
            dies_and_is_followed(death, true, |s| s.with(|w| w.inject(CallKind::Evacuate, fault, 1))).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_or_a_power_command_without_an_answer_is_looked_at_before_it_is_repeated() {
    for (kind, fault) in [
        (CallKind::UpdateService, CallFault::LostAnswer),
        (CallKind::UpdateService, CallFault::LostRequest),
        (CallKind::UpdateService, CallFault::Nonsense),
        (CallKind::PowerSet, CallFault::LostAnswer),
        (CallKind::PowerSet, CallFault::LostRequest),
        (CallKind::PowerSet, CallFault::NotSent),
    ] {
        let s = given(&["a", "b", "c"]).start().await;
        let guests = s.guests("web", "a", 1);
        s.crash_host("a").await;
        s.with(|w| w.inject(kind, fault, 1));

        let ev = s.evacuate("a", json!({})).await;
        let ended = s.succeeds("Evacuation", &ev).await;

        let calls = s.calls(kind);
        let lost = matches!(fault, CallFault::LostRequest | CallFault::NotSent);
        assert_eq!(calls.len(), if lost { 2 } else { 1 }, "{kind:?} {fault:?}: {}", s.story());
        if fault == CallFault::LostRequest {
            assert!(calls[1].at - calls[0].at >= 20_000, "not before its end of life: {calls:#?}");
        }
        assert_eq!(ended.status["fences"], 1, "{kind:?} {fault:?}");
        each_moved_once(&s, &guests, &format!("{kind:?} {fault:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_that_someone_else_began_is_not_begun_again() {
    let s = given(&["a", "b", "c"]).with(|c| c.rebuild_ms = 60_000).start().await;
    let guests = s.guests("web", "a", 2);
    s.crash_host("a").await;
    s.press("a", power::Command::ForceOff);
    s.with(|w| w.call(Call::Evacuate { server: guests[0].clone(), destination: Some("b".into()), leave_stopped: false })).result.expect("accepted");

    let ev = s.evacuate("a", json!({})).await;
    s.until("the other one has moved", |w| w.records_of(&guests[1]).iter().any(|r| r.1 == "done")).await;
    s.pass(120).await;

    let ended = s.rig.get("Evacuation", &ev).await;
    assert_eq!(s.calls(CallKind::Evacuate).iter().filter(|c| c.target == guests[0]).count(), 1, "{:#}", ended.status);
    s.was_rebuilt_once(&guests[0], "a");
    s.was_rebuilt_once(&guests[1], "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_declared_power_off_survives_a_crash_at_any_of_its_calls() {
    // One PUT, two live migrations, one soft off; back on: one power command, one PUT.
    for n in 1..=4 {
        for death in [Death::Before(n), Death::After(n)] {
            let mut s = given(&["a", "b", "c"]).start().await;
            let guests = s.guests("web", "a", 2);
            s.succeed_with(Life::ends(death, true)).await;
            s.declare("a", json!({"power": "Off"})).await;
            s.death().await;
            s.takeover().await;

            let off = |o: &schemas::DynObject| workspace_tests::condition(o, "Ready") == "True" && o.status["power"]["state"] == "Off";
            s.rig.wait("Host", "a", "off", std::time::Duration::from_secs(1_200), off).await;

            for guest in &guests {
                assert_eq!(s.records(guest, "live-migration"), ["completed"], "{death:?}: {}", s.story());
                assert_eq!(s.runs_on(guest), [s.home(guest)], "{death:?}");
            }
            s.nothing_ran_twice();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_return_of_a_fenced_host_survives_a_crash_at_any_of_its_calls() {
    for n in 1..=3 {
        for death in [Death::Before(n), Death::After(n)] {
            let mut s = given(&["a", "b", "c"]).start().await;
            let guest = s.guest("web", "a");
            s.crash_host("a").await;
            let ev = s.evacuate("a", json!({})).await;
            s.succeeds("Evacuation", &ev).await;
            s.succeed_with(Life::ends(death, true)).await;
            let op = s.operate("a", "PowerOn", json!({})).await;
            s.death().await;
            s.takeover().await;

            s.ends_within("HostOperation", &op, 900).await;
            s.succeeds("HostOperation", &op).await;

            let service = s.service("a");
            assert_eq!((service.enabled, service.up, service.forced_down), (Some(true), Some(true), false), "{death:?}: {}", s.story());
            assert_eq!(s.runs_on(&guest), [s.home(&guest)], "{death:?}");
            s.nothing_ran_twice();
        }
    }
}
