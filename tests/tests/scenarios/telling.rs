//! Every hold, refusal, fence, recovery and wait for a person is told once, and counted.

use crate::{
    remediation::{held_by, host_is, is_held, watched},
    stage::{Stage, given},
};
use serde_json::json;
use simulator::HostFault;

/// How often something was told, by the count of its series and by the metric; both must say the same.
async fn told(s: &Stage, kind: &str, reason: &str) -> i64 {
    let events = s.rig.store.events(None, 10_000).await.expect("the events");
    let about = |e: &&schemas::DynObject| e.spec["regarding"].as_str().is_some_and(|r| r.starts_with(&format!("{kind}/")));
    let count: i64 = events.iter().filter(|e| e.spec["reason"] == reason).filter(about).filter_map(|e| e.spec["count"].as_i64()).sum();
    let counted: i64 =
        ["Warning", "Normal"].iter().map(|of| metric(s, &format!("told_total{{kind=\"{kind}\",type=\"{of}\",reason=\"{reason}\"}}"))).sum();
    assert_eq!(count, counted, "{kind} {reason}: {}", s.rig.metrics.text());
    count
}

/// A metric's value; 0 if it is not there.
fn metric(s: &Stage, name: &str) -> i64 {
    let text = s.rig.metrics.text();
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("cloud_manager_{name} ")));
    value.map_or(0, |v| v.parse::<f64>().expect("a number") as i64)
}

#[tokio::test(start_paused = true)]
async fn a_recovery_is_told_from_its_begin_to_its_end_and_its_parts_are_timed() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    s.succeeds("Evacuation", "auto-a-1").await;
    host_is(&s, "a", "Recovered").await;
    s.pass(600).await;

    for (kind, reason) in [("Host", "RecoveryBegun"), ("Evacuation", "Fencing"), ("Evacuation", "Succeeded"), ("Host", "RecoveryEnded")] {
        assert_eq!(told(&s, kind, reason).await, 1, "{kind} {reason}");
    }
    for part in ["decide", "fence", "relocate", "total"] {
        assert_eq!(metric(&s, &format!("recovery_seconds_count{{part=\"{part}\"}}")), 1, "{part}: {}", s.rig.metrics.text());
    }
    assert_eq!((metric(&s, "hosts{state=\"Recovered\"}"), metric(&s, "hosts{state=\"Up\"}"), metric(&s, "hosts{state=\"Down\"}")), (1, 4, 0));
    let text = s.rig.metrics.text();
    assert!(!text.contains("auto-a-1") && !text.contains(&guest), "no name of an object is in it: {text}");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_policy_tells_when_the_reason_of_its_hold_changes_and_not_at_each_look() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.wait("RemediationPolicy", "default", "nothing held", |o| held_by(o) == "WithinLimits").await;
    let before = told(&s, "RemediationPolicy", "WithinLimits").await;

    s.with(|w| w.set_control_plane(false));
    s.wait("RemediationPolicy", "default", "in doubt", |o| held_by(o) == "ObserverInDoubt").await;
    s.pass(200).await;
    assert_eq!(told(&s, "RemediationPolicy", "ObserverInDoubt").await, 1, "twenty looks, one word");
    s.with(|w| w.set_control_plane(true));
    s.wait("RemediationPolicy", "default", "well again", |o| held_by(o) == "WithinLimits").await;
    assert_eq!(told(&s, "RemediationPolicy", "WithinLimits").await, before + 1, "that it goes on is news as well");

    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    is_held(&s, "a", "StormLimit").await;
    s.pass(300).await;
    assert_eq!(told(&s, "RemediationPolicy", "StormLimit").await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_that_comes_to_wait_for_its_bmc_tells_it_once_and_a_new_leader_at_most_once_more() {
    let mut s = given(&["a", "b", "c"]).start().await;
    s.guest("web", "a");
    s.crash_host("a").await;
    s.with(|w| w.set_bmc_reachable("a", false));
    let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
    s.waits("Evacuation", &ev, "PowerUnreadable").await;
    s.waits("Evacuation", &ev, "NeedsHuman").await;
    s.pass(120).await;
    for reason in ["PowerUnreadable", "NeedsHuman"] {
        assert_eq!(told(&s, "Evacuation", reason).await, 1, "{reason}: looked at many times");
    }

    s.takeover().await;
    s.pass(10).await;
    s.waits("Evacuation", &ev, "NeedsHuman").await;
    for reason in ["PowerUnreadable", "NeedsHuman"] {
        let all = told(&s, "Evacuation", reason).await;
        assert!(all <= 2, "it first had to look for itself, and then waited on: {reason} was told {all} times");
    }
    s.with(|w| w.set_bmc_reachable("a", true));
    s.succeeds("Evacuation", &ev).await;
    assert_eq!(told(&s, "Evacuation", "Fencing").await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_that_waits_for_a_person_is_counted_for_as_long_as_it_does() {
    let s = given(&["a", "b", "c"]).unverified().start().await;
    s.guest("web", "a");
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.waits("Evacuation", &ev, "NoVerifiedPowerLink").await;
    s.pass(60).await;
    assert_eq!(told(&s, "Evacuation", "NoVerifiedPowerLink").await, 1);
    assert_eq!(metric(&s, "evacuations_stalled{reason=\"NoVerifiedPowerLink\"}"), 1, "{}", s.rig.metrics.text());
    s.cancel("Evacuation", &ev).await;
    s.ends("Evacuation", &ev).await;
    s.pass(60).await;
    assert_eq!(metric(&s, "evacuations_stalled{reason=\"NoVerifiedPowerLink\"}"), 0);
}
