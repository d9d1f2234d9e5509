//! Two controllers: the one that stands by is warm and does nothing, and the one that leaves leaves at once.

use crate::stage::{Stage, given};
use serde_json::json;
use simulator::{CallFault, CallKind};
use std::time::Duration;

async fn revision(s: &Stage) -> i64 {
    s.rig.store.revision().await.expect("the revision").current
}

#[tokio::test(start_paused = true)]
async fn a_standby_reads_nova_and_touches_no_bmc_and_writes_nothing() {
    let mut s = given(&["a", "b", "c"]).start().await;
    s.guests("web", "a", 2);
    s.declare("c", json!({"power": "Off"})).await;
    s.pass(2).await;
    s.rig.stand_by().await;
    // The leader is gone, so that all that happens from now on is of the standby's making.
    s.rig.crash();
    s.pass(30).await;
    let power = |s: &Stage| s.with(|w| w.reads(CallKind::PowerRead) + w.reads(CallKind::PowerIdentify));
    let (services, power_reads, calls, at) = (s.with(|w| w.reads(CallKind::Services)), power(&s), s.all_calls(), revision(&s).await);

    s.crash_host("a").await;
    s.evacuate("a", json!({})).await;
    s.pass(300).await;

    assert!(s.with(|w| w.reads(CallKind::Services)) > services + 10, "it looks at Nova");
    assert_eq!(power(&s), power_reads, "no BMC is disturbed");
    assert_eq!(s.all_calls(), calls, "{}", s.story());
    assert_eq!(revision(&s).await, at + 1, "nothing was written but the evacuation that we asked for");
}

#[tokio::test(start_paused = true)]
async fn a_warm_standby_knows_at_the_takeover_who_is_dead() {
    let took = async |warm: bool| {
        let mut s = given(&["a", "b", "c"]).start().await;
        let guest = s.guest("web", "a");
        if warm {
            s.rig.stand_by().await;
        }
        s.crash_host("a").await;
        s.pass(40).await;
        s.rig.crash();
        let ev = s.evacuate("a", json!({})).await;
        let begun = s.with(|w| w.now());
        s.rig.lead().await;
        s.until_called(CallKind::PowerSet, 1).await;
        let took = s.calls(CallKind::PowerSet)[0].at - begun;
        s.succeeds("Evacuation", &ev).await;
        s.was_rebuilt_once(&guest, "a");
        s.nothing_ran_twice();
        took
    };
    let (warm, cold) = (took(true).await, took(false).await);
    assert!(warm < 5_000, "fenced {warm} ms after the takeover");
    assert!(cold >= 20_000, "without the memory of a standby two report intervals have to pass, not {cold} ms");
}

#[tokio::test(start_paused = true)]
async fn a_write_by_the_leader_is_no_sign_of_life_to_the_standby() {
    let mut s = given(&["a", "b", "c"]).start().await;
    s.rig.stand_by().await;
    s.pass(60).await;
    // No heartbeat is written any longer, and Nova calls everything up for another minute. The leader's write moves a row then.
    s.with(|w| w.set_control_plane(false));
    s.pass(25).await;
    let op = s.operate("a", "Disable", json!({})).await;
    s.succeeds("HostOperation", &op).await;
    s.pass(12).await;
    assert_eq!(s.with(|w| w.is_up("a")), Some(true), "{}", s.story());

    s.rig.crash();
    s.rig.lead().await;
    let told = |o: &schemas::DynObject| o.status["nova"]["liveness"].as_str().unwrap_or_default().to_string();
    let before = s.rig.get("Host", "a").await.metadata.revision();
    s.wait("Host", "a", "looked at by the new leader", |o| o.metadata.revision() > before || told(o) == "InDoubt").await;
    for _ in 0..15 {
        assert_ne!(told(&s.rig.get("Host", "a").await), "Alive", "{}", s.story());
        s.pass(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handover_breaks_off_looks_and_finishes_calls() {
    let mut s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.crash_host("a").await;
    s.pass(40).await;
    // A look that takes half a minute.
    s.with(|w| w.inject(CallKind::Servers, CallFault::Slow { ms: 15_000 }, 100));
    let ev = s.evacuate("a", json!({})).await;
    s.pass(3).await;
    let begun = tokio::time::Instant::now();
    assert!(s.rig.hand_over().await);
    assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
    s.with(|w| w.clear_injected());

    // A call whose answer takes five seconds.
    s.with(|w| w.inject(CallKind::Evacuate, CallFault::Slow { ms: 5_000 }, 1));
    s.takeover().await;
    s.until_called(CallKind::Evacuate, 1).await;
    let begun = tokio::time::Instant::now();
    assert!(s.rig.hand_over().await, "the call has ended");
    assert!((Duration::from_secs(4)..Duration::from_secs(6)).contains(&begun.elapsed()), "took {:?}", begun.elapsed());
    let all = s.rig.list("Operation").await;
    let sent = all.iter().find(|o| o.spec["action"]["type"] == "evacuate").expect("its intent");
    assert_eq!(sent.status["state"], "Accepted", "what became of it is written down");

    s.takeover().await;
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
    assert_eq!(s.calls(CallKind::Evacuate).len(), 1);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_lost_the_lease_in_the_middle_of_a_call_leaves_nothing_behind_that_acts() {
    let mut s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 3);
    s.crash_host("a").await;
    s.pass(40).await;
    s.with(|w| w.inject(CallKind::Evacuate, CallFault::Slow { ms: 10_000 }, 1));
    let ev = s.evacuate("a", json!({})).await;
    s.until_called(CallKind::Evacuate, 1).await;

    let begun = tokio::time::Instant::now();
    s.rig.abandon().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "nothing is waited for");
    let (calls, reads) = (s.all_calls(), s.with(|w| w.reads(CallKind::Services)));
    s.pass(120).await;
    assert_eq!(s.all_calls(), calls, "{}", s.story());
    assert_eq!(s.with(|w| w.reads(CallKind::Services)), reads, "not even a look");

    s.takeover().await;
    s.succeeds("Evacuation", &ev).await;
    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_leader_decides_nothing_before_its_feed_shows_what_was_written_before_the_takeover() {
    let mut s = given(&["a", "b"]).start().await;
    s.guest("web", "a");
    s.crash_host("a").await;
    s.pass(40).await;
    s.rig.crash();
    let ev = s.evacuate("a", json!({})).await;
    let calls = s.all_calls();
    assert!(!s.rig.leads_without_a_feed(Duration::from_secs(600)).await);
    assert_eq!(s.all_calls(), calls, "{}", s.story());
    s.takeover().await;
    s.succeeds("Evacuation", &ev).await;
}

#[tokio::test(start_paused = true)]
async fn the_leadership_may_change_at_any_of_many_moments_of_a_drain_and_of_an_evacuation() {
    for moment in [1u64, 4, 9, 14, 25, 33, 41, 60] {
        let mut s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 3_000).start().await;
        let (living, dead) = (s.guests("app", "a", 3), s.guests("web", "b", 3));
        s.crash_host("b").await;
        s.pass(30).await;
        s.rig.stand_by().await;
        s.declare("a", json!({"power": "Off"})).await;
        let ev = s.evacuate("b", json!({})).await;
        s.pass(moment).await;
        // Planned at odd moments, by a lost lease at even ones.
        if moment % 2 == 1 {
            assert!(s.rig.hand_over().await, "at {moment} s");
        } else {
            s.rig.abandon().await;
        }
        s.rig.lead().await;
        s.succeeds("Evacuation", &ev).await;
        s.rig.wait("Host", "a", "off", Duration::from_secs(1_200), |o| o.status["power"]["state"] == "Off").await;
        for guest in &dead {
            assert_eq!(s.records(guest, "evacuation").len(), 1, "at {moment} s: {}", s.story());
        }
        for guest in living.iter().chain(&dead) {
            assert_eq!(s.runs_on(guest), ["c"], "at {moment} s: {}", s.story());
            assert_eq!(s.status(guest), "ACTIVE");
        }
        s.nothing_ran_twice();
    }
}
