//! S10: the fence is a latch.

use crate::stage::{Stage, given};
use cloud::ServiceChange;
use serde_json::json;
use simulator::Call;
use workspace_tests::condition;

/// Host `a` was fenced and its guest rebuilt elsewhere.
async fn fenced() -> (Stage, String) {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
    (s, guest)
}

#[tokio::test(start_paused = true)]
async fn while_the_fence_is_set_neither_power_nor_scheduling_is_enforced() {
    let (s, _) = fenced().await;
    s.waits("Host", "a", "FencedAwaitingReturn").await;
    let before = s.all_calls();

    s.declare("a", json!({"power": "On", "schedulable": "Enabled"})).await;
    s.pass(900).await;

    let host = s.rig.get("Host", "a").await;
    assert_eq!(workspace_tests::waits_for(&host), "FencedAwaitingReturn");
    assert_eq!((condition(&host, "Ready"), condition(&host, "Fenced")), ("False", "True"));
    assert!(host.status["waiting"]["message"].as_str().is_some_and(|m| m.contains("power on a")), "{:#}", host.status);
    assert_eq!(s.all_calls(), before, "{}", s.story());
    assert!(!s.is_on("a"));
}

#[tokio::test(start_paused = true)]
async fn power_on_returns_a_fenced_host_in_the_right_order() {
    let (s, guest) = fenced().await;
    let before = s.all_calls();

    let op = s.operate("a", "PowerOn", json!({})).await;
    s.succeeds("HostOperation", &op).await;

    let steps: Vec<(i64, Call)> = s.with(|w| w.calls().skip(before).map(|c| (c.at, c.call.clone())).collect());
    let put = |call: &Call, enabled: Option<bool>, forced: Option<bool>| matches!(call, Call::UpdateService { change, .. } if change.enabled == enabled && change.forced_down == forced);
    assert_eq!(steps.len(), 3, "{steps:#?}");
    assert!(matches!(&steps[0].1, Call::Power { command: power::Command::On, .. }), "{steps:#?}");
    assert!(put(&steps[1].1, None, Some(false)), "{steps:#?}");
    assert!(put(&steps[2].1, Some(true), None), "{steps:#?}");
    assert!(steps[1].0 - steps[0].0 >= 22_000, "its nova-compute beats first");
    assert_eq!(s.records(&guest, "evacuation"), ["completed"], "the source has cleaned up first (I13)");
    let service = s.service("a");
    assert_eq!((service.enabled, service.up, service.forced_down), (Some(true), Some(true), false));
    let host = s.wait("Host", "a", "back", |o| condition(o, "Ready") == "True").await;
    assert!(host.status["fence"].is_null(), "{:#}", host.status);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_disable_of_the_operators_own_is_not_undone_by_the_return() {
    let s = given(&["a", "b", "c"]).start().await;
    s.guest("web", "a");
    s.nova("a", ServiceChange { enabled: Some(false), disabled_reason: Some("bad DIMM, ticket 4711".into()), ..ServiceChange::default() });
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;
    assert_eq!(s.service("a").disabled_reason.as_deref(), Some("bad DIMM, ticket 4711"), "the reason stays theirs");

    let op = s.operate("a", "PowerOn", json!({})).await;
    s.succeeds("HostOperation", &op).await;
    s.pass(300).await;

    let service = s.service("a");
    assert_eq!((service.enabled, service.forced_down), (Some(false), false));
    assert_eq!(service.disabled_reason.as_deref(), Some("bad DIMM, ticket 4711"));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_boots_by_itself_stays_fenced_until_someone_returns_it() {
    let (s, guest) = fenced().await;
    s.press("a", power::Command::On);
    s.pass(300).await;
    let service = s.service("a");
    assert_eq!((service.enabled, service.forced_down), (Some(false), true), "{}", s.story());

    let op = s.operate("a", "Enable", json!({})).await;
    s.succeeds("HostOperation", &op).await;

    let service = s.service("a");
    assert_eq!((service.enabled, service.up), (Some(true), Some(true)));
    assert_eq!(s.runs_on(&guest), [s.home(&guest)]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn enable_does_not_power_a_fenced_host_on() {
    let (s, _) = fenced().await;

    let op = s.operate("a", "Enable", json!({})).await;
    let message = s.waits("HostOperation", &op, "FencedAwaitingReturn").await;
    s.pass(120).await;

    assert!(message.contains("power on a"), "{message}");
    assert!(!s.is_on("a"));
    assert_eq!(s.service("a").enabled, Some(false));
}

#[tokio::test(start_paused = true)]
async fn a_host_with_an_evacuation_that_never_ended_is_not_returned() {
    let s = given(&["a", "b", "c"]).with(|c| c.rebuild_ms = 60_000).start().await;
    let guest = s.guest("web", "a");
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until("at work", |w| w.records_of(&guest).iter().any(|r| r.1 == "pre-migrating")).await;
    s.hurt(&s.with(|w| w.records_of(&guest))[0].3.clone().expect("a destination"), simulator::HostFault::NovaComputeDown);
    s.pass(700).await;
    s.cancel("Evacuation", &ev).await;
    s.ends("Evacuation", &ev).await;

    let forced = s.service("a").forced_down;
    let op = s.operate("a", "Enable", json!({})).await;
    s.pass(120).await;

    let (reason, message) = s.why("HostOperation", &op).await;
    assert!(forced && s.service("a").forced_down, "{reason} {message}");
    assert_eq!(s.service("a").enabled, Some(false));
}

#[tokio::test(start_paused = true)]
async fn other_operations_on_a_fenced_host_are_told_that_it_is_fenced() {
    let (s, _) = fenced().await;
    for what in ["Drain", "PowerOff", "PowerCycle", "Disable"] {
        let op = s.operate("a", what, json!({})).await;
        let (reason, message) = s.fails("HostOperation", &op).await;
        assert_eq!(reason, "FencedAwaitingReturn", "{what}: {message}");
    }
    assert!(!s.is_on("a"));
}
