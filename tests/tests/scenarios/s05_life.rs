//! S5: life in the middle.

use crate::stage::{Stage, given};
use serde_json::json;
use simulator::{CallKind, Lie};

/// A dead host with three guests, one of them being rebuilt; rebuilding takes `rebuild_ms`.
async fn middle(rebuild_ms: i64) -> (Stage, Vec<String>, String) {
    let s = given(&["a", "b", "c"]).with(|c| c.rebuild_ms = rebuild_ms).policy(json!({"maxPerHost": 1})).start().await;
    let guests = s.guests("web", "a", 3);
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until_called(CallKind::Evacuate, 1).await;
    (s, guests, ev)
}

#[tokio::test(start_paused = true)]
async fn a_host_powered_on_in_the_middle_is_fenced_again_after_what_was_accepted_has_ended() {
    let (s, guests, ev) = middle(15_000).await;

    s.press("a", power::Command::On);
    s.waits("Evacuation", &ev, "MoveInFlight").await;
    assert_eq!(s.calls(CallKind::Evacuate).len(), 1, "no new request: {}", s.story());
    let ended = s.succeeds("Evacuation", &ev).await;

    assert_eq!(ended.status["fences"], 2);
    let host = s.rig.get("Host", "a").await;
    assert!(host.status["epoch"].as_i64() >= Some(2), "{:#}", host.status);
    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_back_a_third_time_needs_a_human() {
    let (s, guests, ev) = middle(15_000).await;

    for fences in [2, 3] {
        s.press("a", power::Command::On);
        if fences == 2 {
            s.wait("Evacuation", &ev, "fenced again", |o| o.status["fences"] == 2).await;
            let sent = s.calls(CallKind::Evacuate).len();
            s.until_called(CallKind::Evacuate, sent + 1).await;
        }
    }
    let message = s.waits("Evacuation", &ev, "NeedsHuman").await;
    let (calls, fences) = (s.all_calls(), s.rig.get("Evacuation", &ev).await.status["fences"].clone());
    s.pass(120).await;

    assert!(message.contains("find out who powers it on"), "{message}");
    assert_eq!(fences, 2);
    assert_eq!(s.all_calls(), calls, "nothing more is tried");
    assert!(guests.iter().any(|g| s.home(g) == "a"), "the last guest was not touched");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_may_not_be_fenced_again_waits_for_a_person() {
    let s = given(&["a", "b", "c"]).with(|c| c.rebuild_ms = 15_000).policy(json!({"maxPerHost": 1})).start().await;
    s.guests("web", "a", 3);
    s.press("a", power::Command::ForceOff);
    s.until("down in Nova", |w| w.is_up("a") == Some(false)).await;
    let ev = s.evacuate("a", json!({"fence": "Forbidden"})).await;
    s.until_called(CallKind::Evacuate, 1).await;

    s.press("a", power::Command::On);
    s.waits("Evacuation", &ev, "FenceForbidden").await;
    s.pass(120).await;

    assert_eq!(s.calls(CallKind::Evacuate).len(), 1, "{}", s.story());
    assert!(s.is_on("a"));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_beat_in_the_middle_is_life_even_if_power_reads_off() {
    let (s, guests, ev) = middle(60_000).await;

    // Powered on behind a BMC that says off: only the service tells.
    s.press("a", power::Command::On);
    s.with(|w| w.set_bmc_lie("a", Lie::SaysOff));
    s.until("nova-compute is back", |w| w.state().hosts.iter().any(|h| h.name == "a" && h.nova_compute)).await;
    s.wait("Evacuation", &ev, "fenced again", |o| o.status["fences"] == 2).await;
    assert_eq!(s.calls(CallKind::Evacuate).len(), 1, "no new request while it lives: {}", s.story());
    s.ends_within("Evacuation", &ev, 900).await;
    s.succeeds("Evacuation", &ev).await;

    assert!(!s.is_on("a"));
    for guest in &guests {
        assert_eq!(s.runs_on(guest).len(), 1, "{}", s.story());
        assert_ne!(s.home(guest), "a");
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_beats_is_never_rebuilt_on_the_word_of_its_bmc() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.with(|w| w.set_bmc_lie("a", Lie::SaysOff));

    let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
    s.pass(180).await;

    let (reason, message) = s.why("Evacuation", &ev).await;
    assert_eq!(s.calls(CallKind::Evacuate), [], "{}", s.story());
    assert_eq!(reason, "HostInDoubt", "{message}");
    assert!(message.contains("still reports"), "{message}");
    assert_eq!(s.runs_on(&guest), ["a"]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_alive_can_be_rebuilt_on_purpose_after_it_was_fenced_and_fell_silent() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 2);

    let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
    s.succeeds("Evacuation", &ev).await;

    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_bmc_in_the_middle_suspends_the_proof_and_voids_nothing() {
    let (s, guests, ev) = middle(4_000).await;

    s.with(|w| w.set_bmc_reachable("a", false));
    s.waits("Evacuation", &ev, "PowerUnreadable").await;
    let sent = s.calls(CallKind::Evacuate).len();
    s.pass(90).await;
    assert_eq!(s.calls(CallKind::Evacuate).len(), sent, "{}", s.story());

    s.with(|w| w.set_bmc_reachable("a", true));
    let ended = s.succeeds("Evacuation", &ev).await;

    assert_eq!(ended.status["fences"], 1);
    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    s.nothing_ran_twice();
}
