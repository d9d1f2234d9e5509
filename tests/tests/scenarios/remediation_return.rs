//! Return to service: a host that was evacuated without a person comes back without one, if the policy says so.

use crate::{
    remediation::{evacuations, held_by, host_is, says, watched},
    stage::Stage,
};
use cloud::ServiceChange;
use serde_json::{Value, json};
use simulator::{Call, CallKind, HostFault};
use workspace_tests::reason;

/// One host may be down, and comes back by itself.
async fn returning(rules: Value) -> Stage {
    let s = watched(json!({"maxDownHosts": 1})).await;
    let mut all = json!({"mode": "Automatic", "powerOn": "AfterRecovery"});
    for (key, value) in rules.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    s.rig.patch("RemediationPolicy", "default", json!({"returnToService": all})).await;
    s
}

async fn dies_and_is_recovered(s: &Stage, nth: i64) -> String {
    let guest = s.guest(&format!("web-{nth}"), "a");
    s.hurt("a", HostFault::Crash);
    s.succeeds("Evacuation", &format!("auto-a-{nth}")).await;
    s.was_rebuilt_once(&guest, "a");
    guest
}

#[tokio::test(start_paused = true)]
async fn an_evacuated_host_is_powered_on_heard_cleaned_up_and_enabled_again() {
    let s = returning(json!({})).await;
    host_is(&s, "a", "Up").await;
    let guest = dies_and_is_recovered(&s, 1).await;

    host_is(&s, "a", "Returning").await;
    let before = s.with(|w| w.calls().filter(|c| matches!(&c.call, Call::UpdateService { .. })).count());
    let op = s.succeeds("HostOperation", "auto-return-a-1").await;
    let up = host_is(&s, "a", "Up").await;

    assert_eq!((&op.spec["type"], &op.spec["returnsFrom"]), (&json!("PowerOn"), &json!("Evacuation/auto-a-1")));
    assert_eq!(s.records(&guest, "evacuation"), ["completed"], "the source has cleaned up first (I13)");
    let service = s.service("a");
    assert_eq!((service.enabled, service.up, service.forced_down), (Some(true), Some(true), false));
    let puts = s.with(|w| w.calls().filter(|c| matches!(&c.call, Call::UpdateService { .. })).count());
    assert_eq!(puts - before, 2, "freed, then enabled: {}", s.story());
    assert!(up.status["fence"].is_null());
    let policy = s.wait("RemediationPolicy", "default", "well", |o| o.status["unhealthy"] == 0).await;
    assert_eq!(held_by(&policy), "WithinLimits");
    s.pass(600).await;
    assert_eq!(evacuations(&s).await, ["auto-a-1"]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_to_be_up_for_a_while_is_enabled_only_then() {
    let s = returning(json!({})).await;
    let detection = json!({"intervalSeconds": 10, "downConfirmations": 2, "quietSeconds": 20, "upConfirmations": 4});
    s.rig.patch("RemediationPolicy", "default", json!({"detection": detection})).await;
    host_is(&s, "a", "Up").await;
    dies_and_is_recovered(&s, 1).await;
    s.waits("HostOperation", "auto-return-a-1", "ProvingUp").await;
    s.succeeds("HostOperation", "auto-return-a-1").await;

    let at: Vec<(i64, Call)> = s.with(|w| w.calls().map(|c| (c.at, c.call.clone())).collect());
    let when = |wanted: fn(&ServiceChange) -> bool| {
        at.iter().rev().find(|(_, c)| matches!(c, Call::UpdateService { change, .. } if wanted(change))).map(|(at, _)| *at).expect("a call")
    };
    let (freed, enabled) = (when(|c| c.forced_down == Some(false)), when(|c| c.enabled == Some(true)));
    assert!(enabled - freed >= 30_000, "{} ms\n{}", enabled - freed, s.story());
    host_is(&s, "a", "Up").await;
}

#[tokio::test(start_paused = true)]
async fn without_leave_to_power_it_on_a_host_is_brought_back_once_somebody_did() {
    let s = returning(json!({"powerOn": "Never"})).await;
    host_is(&s, "a", "Up").await;
    dies_and_is_recovered(&s, 1).await;
    let host = host_is(&s, "a", "Recovered").await;
    s.pass(600).await;
    assert!(says(&host).contains("`power on a`"), "{}", says(&host));
    assert!(!s.is_on("a") && s.rig.list("HostOperation").await.iter().all(|o| !o.metadata.name.starts_with("auto-")));

    s.press("a", power::Command::On);
    let op = s.succeeds("HostOperation", "auto-return-a-1").await;

    assert_eq!(op.spec["type"], "Enable");
    host_is(&s, "a", "Up").await;
    assert_eq!(s.service("a").enabled, Some(true));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_again_and_again_is_quarantined_until_a_person_powers_it_on() {
    let s = returning(json!({"maxReturns": 2})).await;
    host_is(&s, "a", "Up").await;
    for nth in 1..=2 {
        dies_and_is_recovered(&s, nth).await;
        s.succeeds("HostOperation", &format!("auto-return-a-{nth}")).await;
        host_is(&s, "a", "Up").await;
    }
    dies_and_is_recovered(&s, 3).await;

    let host = host_is(&s, "a", "Quarantined").await;
    s.pass(7_200).await;

    assert_eq!(held_by(&host), "Quarantined");
    assert!(says(&host).contains("2 times within 3600 s"), "{}", says(&host));
    assert!(
        s.rig.store.events(None, 1_000).await.expect("the store").iter().any(|e| e.spec["reason"] == "Quarantined" && e.spec["type"] == "Warning")
    );
    assert!(!s.is_on("a") && s.service("a").forced_down);
    let op = s.operate("a", "PowerOn", json!({})).await;
    s.succeeds("HostOperation", &op).await;
    let host = host_is(&s, "a", "Up").await;
    assert!(host.status["availability"]["returns"].is_null(), "{:#}", host.status);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_a_person_had_disabled_stays_with_that_person() {
    let s = returning(json!({})).await;
    s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.nova("a", ServiceChange { enabled: Some(false), disabled_reason: Some("bad DIMM, ticket 4711".into()), ..ServiceChange::default() });
    s.hurt("a", HostFault::Crash);
    s.succeeds("Evacuation", "auto-a-1").await;
    let host = s.wait("Host", "a", "left to a person", |o| says(o).contains("disabled by somebody else")).await;
    s.pass(900).await;

    assert_eq!(held_by(&host), "RecoveryEnded");
    assert!(!s.is_on("a"));
    assert_eq!(s.service("a").disabled_reason.as_deref(), Some("bad DIMM, ticket 4711"));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_a_person_evacuated_is_not_brought_back() {
    let s = returning(json!({})).await;
    s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.rig.patch("RemediationPolicy", "default", json!({"evacuation": {"mode": "Forbidden"}})).await;
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;
    s.pass(900).await;
    assert!(!s.is_on("a") && s.service("a").forced_down);
    assert!(s.rig.list("HostOperation").await.iter().all(|o| !o.metadata.name.starts_with("auto-")));
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_bmc_does_not_answer_on_the_way_back_is_quarantined() {
    let s = returning(json!({})).await;
    host_is(&s, "a", "Up").await;
    dies_and_is_recovered(&s, 1).await;
    s.with(|w| w.set_bmc_reachable("a", false));
    host_is(&s, "a", "Returning").await;
    s.waits("HostOperation", "auto-return-a-1", "PowerUnreadable").await;
    let ended = s.ends_within("HostOperation", "auto-return-a-1", 2_400).await;

    assert_eq!(reason(&ended, "Succeeded"), "Cancelled", "{:#}", ended.status);
    let host = host_is(&s, "a", "Quarantined").await;
    assert!(says(&host).contains("HostOperation/auto-return-a-1 did not bring it back"), "{}", says(&host));
    assert_eq!(s.calls(CallKind::PowerSet).len(), 1, "the fence only: {}", s.story());
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_brings_a_host_back_that_the_one_before_had_begun_to() {
    let mut s = returning(json!({})).await;
    host_is(&s, "a", "Up").await;
    let guest = dies_and_is_recovered(&s, 1).await;
    host_is(&s, "a", "Returning").await;
    s.until("it is powered on", |w| w.power_is_on("a")).await;

    s.takeover().await;
    // A power command may still be on its way from the earlier leader: ten minutes (S8).
    s.ends_within("HostOperation", "auto-return-a-1", 1_500).await;

    host_is(&s, "a", "Up").await;
    assert_eq!(s.service("a").enabled, Some(true));
    assert_eq!(s.rig.list("HostOperation").await.iter().filter(|o| o.metadata.name.starts_with("auto-return")).count(), 1);
    assert_eq!(s.runs_on(&guest), [s.home(&guest)]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_a_person_evacuated_once_more_is_that_persons() {
    let s = returning(json!({"powerOn": "Never"})).await;
    host_is(&s, "a", "Up").await;
    dies_and_is_recovered(&s, 1).await;
    host_is(&s, "a", "Recovered").await;
    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;

    s.press("a", power::Command::On);
    let host = s.wait("Host", "a", "left to a person", |o| says(o).contains("evacuated again since, by Evacuation/evacuation-a")).await;
    s.pass(600).await;

    assert_eq!(held_by(&host), "RecoveryEnded");
    assert!(s.rig.list("HostOperation").await.iter().all(|o| !o.metadata.name.starts_with("auto-")));
    assert!(s.service("a").forced_down);
}
