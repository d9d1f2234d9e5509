//! S2: alive, dead, or in doubt.

use crate::stage::given;
use cloud::ServiceChange;
use serde_json::json;
use simulator::{CallKind, HostFault};

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
    s.succeeds("Evacuation", &ev).await;

    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    assert_eq!(s.calls(CallKind::PowerSet).len(), 1, "{}", s.story());
    let puts = s.calls(CallKind::UpdateService);
    assert_eq!(puts.len(), 1, "disable and force-down go in one PUT (I21): {puts:?}");
    assert_eq!(s.rig.get("Evacuation", &ev).await.status["fences"], 1);
    s.nothing_ran_twice();
    println!("{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_host_forced_down_that_still_beats_is_in_doubt() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.nova("a", ServiceChange { forced_down: Some(true), ..ServiceChange::default() });
    let before = s.all_calls();

    let ev = s.evacuate("a", json!({})).await;
    let what = s.waits("Evacuation", &ev, "HostInDoubt").await;
    s.pass(60).await;
    let (reason, message) = s.why("Evacuation", &ev).await;

    assert_eq!(reason, "HostInDoubt", "{what}");
    assert!(message.contains("still reports"), "{message}");
    assert_eq!(s.all_calls(), before, "{}", s.story());
    assert_eq!(s.runs_on(&guest), ["a"]);
    let _ = HostFault::None;
}
