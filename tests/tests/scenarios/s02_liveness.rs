//! S2: alive, dead, or in doubt.

use crate::stage::{Stage, given};
use cloud::ServiceChange;
use serde_json::json;
use simulator::{CallKind, HostFault, Lie};

#[tokio::test(start_paused = true)]
async fn a_host_that_is_alive_is_drained_by_live_migration() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 3);

    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;

    for guest in &guests {
        assert_ne!(s.home(guest), "a");
        assert_eq!(s.records(guest, "live-migration"), ["completed"], "{}", s.story());
        assert_eq!(s.status(guest), "ACTIVE");
    }
    assert_eq!(s.calls(CallKind::Evacuate), []);
    assert_eq!(s.calls(CallKind::PowerSet), [], "a host that is alive is not powered off");
    assert_eq!(s.service("a").enabled, Some(false), "it stays disabled until someone enables it");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_dead_is_fenced_and_its_guests_are_rebuilt() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 3);
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    let ended = s.succeeds("Evacuation", &ev).await;

    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    assert_eq!(s.calls(CallKind::PowerSet).len(), 1, "{}", s.story());
    let puts = s.calls(CallKind::UpdateService);
    assert_eq!(puts.len(), 1, "disable and force-down go in one PUT (I21): {puts:?}");
    assert!(s.calls(CallKind::Evacuate)[0].at - puts[0].at < 3_000, "our own PUT is no sign of life (S5):\n{}", s.story());
    assert_eq!(ended.status["fences"], 1);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_nova_compute_alone_died_keeps_its_guests_until_it_is_fenced() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 3);
    s.hurt("a", HostFault::NovaComputeDown);
    s.until("down in Nova", |w| w.is_up("a") == Some(false)).await;
    for guest in &guests {
        assert_eq!(s.runs_on(guest), ["a"]);
    }

    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;

    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    s.nothing_ran_twice();
}

/// Waits until an Auto evacuation of `a` is in doubt, and for a minute more; gives what it says is missing.
async fn doubt_about_a(s: &Stage) -> String {
    let before = s.all_calls();
    let ev = s.evacuate("a", json!({})).await;
    s.waits("Evacuation", &ev, "HostInDoubt").await;
    s.pass(60).await;
    let (reason, message) = s.why("Evacuation", &ev).await;
    // Where no proof can be had for a minute, a person is called; the message stays.
    assert!(["HostInDoubt", "NeedsHuman"].contains(&reason.as_str()), "{reason}: {message}");
    assert_eq!(s.all_calls(), before, "a host in doubt is left alone:\n{}", s.story());
    message
}

#[tokio::test(start_paused = true)]
async fn a_host_forced_down_that_still_beats_is_in_doubt() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.nova("a", ServiceChange { forced_down: Some(true), ..ServiceChange::default() });

    let message = doubt_about_a(&s).await;

    assert!(message.contains("still reports"), "{message}");
    assert_eq!(s.runs_on(&guest), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_beats_while_its_power_reads_off_is_in_doubt() {
    let s = given(&["a", "b", "c"]).start().await;
    s.guest("web", "a");
    s.with(|w| w.set_bmc_lie("a", Lie::SaysOff));

    let message = doubt_about_a(&s).await;

    assert!(message.contains("power reads off") && message.contains("power links"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_is_in_doubt_while_no_other_nova_compute_is_heard() {
    let s = given(&["a", "b"]).start().await;
    s.guest("web", "a");
    s.hurt("b", HostFault::Crash);
    s.crash_host("a").await;

    let message = doubt_about_a(&s).await;

    assert!(message.contains("no other nova-compute"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn silence_of_every_host_at_once_is_in_doubt_when_the_conductor_is_gone() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.with(|w| w.set_control_plane(false));
    s.until("down in Nova", |w| w.is_up("a") == Some(false)).await;

    let message = doubt_about_a(&s).await;

    assert!(message.contains("may be Nova's"), "{message}");
    assert_eq!(s.runs_on(&guest), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_whose_bmc_cannot_be_read_is_in_doubt() {
    let s = given(&["a", "b", "c"]).start().await;
    s.guest("web", "a");
    s.hurt("a", HostFault::BmcUnreachable);
    s.crash_host("a").await;

    let message = doubt_about_a(&s).await;

    assert!(message.contains("link-a") && message.contains("BMC reachable"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_host_of_a_cell_that_does_not_answer_is_neither_drained_nor_fenced() {
    let s = given(&["a", "b", "c"]).start().await;
    s.guest("web", "a");
    s.with(|w| w.set_cell("cell1", false));
    let before = s.all_calls();

    let ev = s.evacuate("a", json!({})).await;
    let message = s.waits("Evacuation", &ev, "NovaUnreadable").await;
    s.pass(120).await;

    assert!(message.contains("cell of host a"), "{message}");
    assert_eq!(s.all_calls(), before);
}

#[tokio::test(start_paused = true)]
async fn doubt_is_decided_anew_on_every_pass() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.hurt("a", HostFault::BmcUnreachable);
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.waits("Evacuation", &ev, "HostInDoubt").await;

    s.with(|w| w.set_bmc_reachable("a", true));

    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_while_it_is_drained_is_fenced_and_the_rest_is_rebuilt() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 15_000).start().await;
    let guests = s.guests("web", "a", 4);
    let ev = s.evacuate("a", json!({})).await;
    s.until("the first guest has moved", |w| guests.iter().any(|g| w.records_of(g).iter().any(|r| r.1 == "completed"))).await;
    // Between two migrations nothing is on its way that could run twice.
    s.hurt("a", HostFault::Crash);

    let ended = s.rig.wait("Evacuation", &ev, "all but those in flight moved", std::time::Duration::from_secs(900), |o| {
        let guests = o.status["guests"].as_array().cloned().unwrap_or_default();
        guests.len() == 4 && guests.iter().all(|g| g["outcome"] == "Moved" || g["outcome"] == "NeedsHuman")
    });
    let ended = ended.await;

    let moved = ended.status["guests"].as_array().map_or(0, |g| g.iter().filter(|g| g["outcome"] == "Moved").count());
    assert!(moved >= 1, "{:#}", ended.status);
    assert!(!s.is_on("a"));
    s.nothing_ran_twice();
}
