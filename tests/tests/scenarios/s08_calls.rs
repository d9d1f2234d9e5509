//! S8: calls, their end of life, and the lease.

use crate::{
    life::{Death, Life},
    stage::given,
};
use serde_json::json;
use simulator::CallKind;
use std::time::Duration;

/// Seconds in which a call may still have an effect.
const END_OF_LIFE: i64 = 20_000;

fn millis(at: tokio::time::Instant, begin: tokio::time::Instant) -> i64 {
    i64::try_from((at - begin).as_millis()).unwrap_or(i64::MAX)
}

#[tokio::test(start_paused = true)]
async fn an_inherited_power_command_is_waited_out_on_the_new_leaders_clock() {
    let mut s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.crash_host("a").await;
    s.succeed_with(Life::ends(Death::Before(1), true)).await;
    let ev = s.evacuate("a", json!({})).await;
    s.death().await;
    s.kill();
    s.pass(120).await; // long after the call's end of life by the old clock
    let (begin, began) = (tokio::time::Instant::now(), s.with(|w| w.now()));

    s.takeover().await;
    s.waits("Evacuation", &ev, "SettlingCall").await;
    s.until_called(CallKind::PowerSet, 1).await;

    let sent = s.calls(CallKind::PowerSet)[0].at - began;
    assert!(sent >= END_OF_LIFE, "sent {sent} ms after the takeover");
    assert!(millis(tokio::time::Instant::now(), begin) < 2 * END_OF_LIFE);
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
}

#[tokio::test(start_paused = true)]
async fn an_inherited_evacuation_is_repeated_only_a_minute_after_its_end_of_life() {
    let mut s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 2);
    s.crash_host("a").await;
    s.succeed_with(Life::ends(Death::Before(3), true)).await;
    let ev = s.evacuate("a", json!({})).await;
    s.death().await;
    s.kill();
    s.pass(10).await;
    let began = s.with(|w| w.now());

    s.takeover().await;
    s.succeeds("Evacuation", &ev).await;

    let lost = s.calls(CallKind::Evacuate).into_iter().max_by_key(|c| c.at).expect("a repeat");
    let others: Vec<i64> = s.calls(CallKind::Evacuate).iter().filter(|c| c.target != lost.target).map(|c| c.at - began).collect();
    assert!(lost.at - began >= END_OF_LIFE + 60_000, "{}", s.story());
    assert!(others.iter().all(|at| *at < END_OF_LIFE + 60_000), "the other guest does not wait for it: {others:?}");
    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn with_less_than_a_second_of_lease_nothing_is_sent() {
    let mut s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.crash_host("a").await;
    s.rig.lease_left = Some(Duration::from_millis(900));
    s.takeover().await;

    let ev = s.evacuate("a", json!({})).await;
    let op = s.operate("b", "Disable", json!({})).await;
    s.wait("HostOperation", &op, "turned away", |o| o.status["retry"]["failures"].as_i64() >= Some(2)).await;
    s.wait("Evacuation", &ev, "turned away", |o| o.status["retry"]["failures"].as_i64() >= Some(2)).await;

    assert_eq!(s.all_calls(), 0, "{}", s.story());
    let told = s.rig.get("HostOperation", &op).await.status["retry"]["lastError"].as_str().unwrap_or_default().to_string();
    assert!(told.contains("less than 1 s of the lease") || told.contains("no longer allowed"), "{told}");
    let open = s.rig.list("Operation").await.into_iter().filter(|o| o.status["state"] != "Refused").count();
    assert_eq!(open, 0, "what was not sent is closed as such");

    s.rig.lease_left = None;
    s.takeover().await;
    s.succeeds("HostOperation", &op).await;
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
}

#[tokio::test(start_paused = true)]
async fn an_old_token_writes_nothing() {
    let mut s = given(&["a", "b"]).start().await;
    let old = s.rig.token;
    s.takeover().await;

    let refused = s.rig.write_with_token(old).await;

    assert!(matches!(refused, Err(store::StoreError::LeaseLost { .. })), "{refused:?}");
    s.rig.write_with_token(s.rig.token).await.expect("the present one writes");
}

#[tokio::test(start_paused = true)]
async fn an_ex_leader_that_still_runs_changes_nothing_beside_its_successor() {
    for moment in [(CallKind::PowerSet, 1), (CallKind::UpdateService, 1), (CallKind::Evacuate, 1), (CallKind::Evacuate, 2)] {
        let mut s = given(&["a", "b", "c"]).start().await;
        let guests = s.guests("web", "a", 3);
        s.crash_host("a").await;
        let ev = s.evacuate("a", json!({})).await;
        s.until_called(moment.0, moment.1).await;

        // The old controller is neither stopped nor killed: only the lease is gone.
        s.rig.lead_beside().await;
        s.succeeds("Evacuation", &ev).await;

        assert_eq!(s.calls(CallKind::PowerSet).len(), 1, "{moment:?}: {}", s.story());
        assert_eq!(s.calls(CallKind::UpdateService).len(), 1, "{moment:?}: {}", s.story());
        for guest in &guests {
            s.was_rebuilt_once(guest, "a");
        }
        s.nothing_ran_twice();
    }
}
