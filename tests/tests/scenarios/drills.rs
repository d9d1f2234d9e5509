//! Drills: whether hosts could be fenced, and standby hosts woken, tried before it is needed.

use crate::standby::{failed, free, large, pool, pooled, told};
use schemas::DynObject;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn a_drill_reads_every_link_twice_and_names_the_one_that_is_silent() {
    let s = pooled(&["a", "b", "s1"], json!({})).await;
    s.guest("web", "a");
    free(&s, 1).await;
    let before = s.all_calls();
    s.with(|w| w.set_bmc_reachable("b", false));
    s.rig.create("FenceDrill", "reading", json!({"hosts": ["a", "b", "s1"]})).await;

    let (why, says) = s.fails("FenceDrill", "reading").await;

    assert_eq!(why, "DrillFailed");
    assert!(says.starts_with("2 of 3 passed, 1 failed; b: it cannot be read through link-b"), "{says}");
    assert_eq!(s.all_calls(), before, "a drill that reads changes nothing");
    let refused = s.rig.try_create("FenceDrill", "x", json!({"hosts": ["a"], "depth": "Cycle"})).await.expect_err("a is no standby").to_string();
    assert!(refused.contains("Host a is no member of a StandbyPool"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_drill_powers_an_idle_standby_on_and_off_and_mends_what_had_failed() {
    let s = pooled(&["a", "b", "s1", "s2"], json!({"wakeTimeoutSeconds": 200})).await;
    free(&s, 2).await;
    s.with(|w| w.set_bmc_reachable("s1", false));
    s.rig.create("FenceDrill", "first", json!({"poolRef": {"name": "spare"}, "depth": "Cycle"})).await;
    let (_, says) = s.fails("FenceDrill", "first").await;
    assert!(says.contains("1 of 2 passed, 1 failed; s1:"), "{says}");
    let pool_now = pool(&s, "with a failure", |status| failed(status, "s1")).await;
    assert_eq!(pool_now.status["failed"][0]["reason"], "DrillFailed");
    assert!(!s.is_on("s2"), "it is back as it was");

    s.with(|w| w.set_bmc_reachable("s1", true));
    s.rig.create("FenceDrill", "second", json!({"hosts": ["s1"], "depth": "Cycle"})).await;
    let ended = s.succeeds("FenceDrill", "second").await;

    assert_eq!(ended.status["hosts"][0]["outcome"], "Passed");
    free(&s, 2).await;
    assert!(!s.is_on("s1") && !s.is_on("s2"));
    assert_eq!(s.service("s1").enabled, Some(false), "it took no guests meanwhile");
    assert_eq!(told(&s, "StandbyMended").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drill_never_touches_a_host_with_a_lease_or_a_guest() {
    let s = pooled(&["a", "b", "s1", "s2"], json!({})).await;
    let (guest, _) = (large(&s, "web", "a"), large(&s, "full", "b"));
    free(&s, 2).await;
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;
    assert_eq!(s.home(&guest), "s1");
    let refused = s.rig.try_create("FenceDrill", "x", json!({"hosts": ["s1"], "depth": "Cycle"})).await.expect_err("it is leased").to_string();
    assert!(refused.contains(&format!("Host s1 serves Evacuation/{ev}")), "{refused}");

    s.rig.create("FenceDrill", "all", json!({"poolRef": {"name": "spare"}, "depth": "Cycle"})).await;
    let (why, says) = s.fails("FenceDrill", "all").await;

    assert_eq!(why, "Refused");
    assert!(says.contains("1 of 2 passed, 1 refused; s1: s1 serves Evacuation/"), "{says}");
    assert_eq!(s.runs_on(&guest), ["s1"]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_tested_once_per_period_one_member_at_a_time_also_across_a_restart() {
    let mut s = pooled(&["a", "s1", "s2"], json!({"testEvery": 3_600})).await;
    free(&s, 2).await;
    let names = |all: Vec<DynObject>| all.into_iter().map(|o| o.metadata.name).collect::<Vec<_>>();
    s.pass(3_450).await;
    assert!(s.rig.list("FenceDrill").await.is_empty());
    s.takeover().await;
    s.wait("FenceDrill", "drill-spare-1", "begun", |_| true).await;
    let mut both = false;
    while s.rig.get("FenceDrill", "drill-spare-1").await.status["finishedAt"].is_null() {
        both |= s.is_on("s1") && s.is_on("s2");
        s.pass(1).await;
    }
    assert!(!both, "one at a time");
    s.succeeds("FenceDrill", "drill-spare-1").await;
    s.takeover().await;
    s.pass(2_400).await;
    assert_eq!(names(s.rig.list("FenceDrill").await), ["drill-spare-1"]);
    s.ends_within("FenceDrill", "drill-spare-2", 3_600).await;
}

#[tokio::test(start_paused = true)]
async fn a_drill_gives_way_to_an_evacuation_that_needs_the_host() {
    let s = pooled(&["a", "b", "s1"], json!({})).await;
    let (guest, _) = (large(&s, "web", "a"), large(&s, "full", "b"));
    free(&s, 1).await;
    s.crash_host("a").await;
    s.rig.create("FenceDrill", "late", json!({"hosts": ["s1"], "depth": "Cycle"})).await;
    s.until("it is on", |w| w.power_is_on("s1")).await;
    let ev = s.evacuate("a", json!({})).await;

    s.ends_within("Evacuation", &ev, 900).await;

    assert_eq!(s.home(&guest), "s1");
    s.ends("FenceDrill", "late").await;
    s.nothing_ran_twice();
}
