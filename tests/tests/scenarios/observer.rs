//! Who looks may be the one in trouble (I5): then nobody is taken for dead, and it is said.

use crate::{
    remediation::{evacuations, held_by, host_is, is_held, says, state, watched},
    stage::{Stage, given},
};
use serde_json::{Value, json};
use simulator::{CallFault, CallKind, HostFault, HostSpec};
use workspace_tests::condition;

/// Events with that reason: type, and how often.
async fn events(s: &Stage, why: &str) -> Vec<(Value, Value)> {
    let all = s.rig.store.events(None, 1_000).await.expect("the store");
    all.into_iter().filter(|e| e.spec["reason"] == why).map(|e| (e.spec["type"].clone(), e.spec["count"].clone())).collect()
}

async fn policy_says(s: &Stage, why: &str) -> schemas::DynObject {
    s.wait("RemediationPolicy", "default", why, |o| held_by(o) == why).await
}

/// Two looks ten seconds apart make a host down.
async fn watch(s: &Stage, limits: Value) {
    let detection = json!({"intervalSeconds": 10, "downConfirmations": 2, "quietSeconds": 20});
    s.rig.patch("RemediationPolicy", "default", json!({"limits": limits, "detection": detection})).await;
    policy_says(s, "WithinLimits").await;
}

#[tokio::test(start_paused = true)]
async fn while_nova_cannot_be_read_that_is_said_once_and_it_goes_on_with_the_next_good_look() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    policy_says(&s, "WithinLimits").await;

    s.with(|w| w.inject(CallKind::Services, CallFault::Status { status: 500, retry_after_s: None }, u32::MAX));
    s.hurt("a", HostFault::Crash);
    let policy = policy_says(&s, "NovaUnreadable").await;
    let host = s.wait("Host", "b", "told", |o| held_by(o) == "NovaUnreadable").await;
    s.pass(600).await;

    assert_eq!((condition(&policy, "RemediationAllowed"), condition(&host, "RemediationAllowed")), ("Unknown", "Unknown"));
    assert!(says(&policy).contains("500") && says(&policy).contains("Keystone"), "{}", says(&policy));
    let later = s.rig.get("RemediationPolicy", "default").await;
    assert_eq!(later.metadata.revision(), policy.metadata.revision(), "it is not written at each look: {:#}", later.status);
    assert_eq!(events(&s, "NovaUnreadable").await, [(json!("Warning"), json!(1))]);
    assert_eq!(s.all_calls(), 0, "{}", s.story());
    assert_eq!(state(&s.rig.get("Host", "a").await), "Up", "nobody counts looks that say nothing");

    s.with(|w| w.clear_injected());
    s.succeeds("Evacuation", "auto-a-1").await;
    policy_says(&s, "WithinLimits").await;
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_look_that_nova_did_not_answer_once_is_made_good_and_not_told() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    policy_says(&s, "WithinLimits").await;
    s.with(|w| w.inject(CallKind::Services, CallFault::Status { status: 503, retry_after_s: None }, 1));
    s.pass(120).await;
    assert!(events(&s, "NovaUnreadable").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn most_hosts_silent_at_once_are_held_and_once_that_has_expired_the_other_limits_protect() {
    let hosts = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let s = given(&hosts).start().await;
    hosts.iter().for_each(|h| drop(s.guest(h, h)));
    watch(&s, json!({"maxDownHosts": 9, "massSilenceHoldSeconds": 300, "maxBeginsPerHour": 2})).await;

    hosts[..6].iter().for_each(|h| s.hurt(h, HostFault::NovaComputeDown));
    is_held(&s, "a", "MassSilence").await;
    let policy = policy_says(&s, "MassSilence").await;
    s.pass(240).await;
    assert!(says(&policy).contains("6 of 9 watched hosts"), "{}", says(&policy));
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    s.wait("Evacuation", "auto-b-1", "begun", |_| true).await;
    s.pass(120).await;
    assert_eq!(evacuations(&s).await, ["auto-a-1", "auto-b-1"], "the rate is limited as ever");
    assert_eq!(events(&s, "MassSilence").await, [(json!("Warning"), json!(1))]);
    assert_eq!(events(&s, "StormHoldExpired").await, [(json!("Warning"), json!(1))]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_network_that_comes_back_in_time_costs_nobody_anything() {
    let hosts = ["a", "b", "c", "d", "e", "f"];
    let s = given(&hosts).start().await;
    hosts.iter().for_each(|h| drop(s.guest(h, h)));
    watch(&s, json!({"maxDownHosts": 6})).await;
    hosts[..5].iter().for_each(|h| s.hurt(h, HostFault::NovaComputeDown));
    is_held(&s, "a", "MassSilence").await;

    hosts[..5].iter().for_each(|h| s.hurt(h, HostFault::None));
    policy_says(&s, "WithinLimits").await;
    s.pass(300).await;

    assert_eq!(s.rig.get("RemediationPolicy", "default").await.status["massSilence"], Value::Null, "it is forgotten");
    assert_eq!(s.all_calls(), 0, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_compute_of_ironic_speaks_for_none_of_our_hosts() {
    let s = given(&["a", "b"]).start().await;
    s.with(|w| w.add_host(HostSpec { hypervisor_type: "ironic".into(), ..HostSpec::new("metal") }));
    ["a", "b"].iter().for_each(|h| drop(s.guest(h, h)));
    s.pass(120).await;
    watch(&s, json!({"maxDownHosts": 2})).await;

    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::NovaComputeDown));
    let policy = policy_says(&s, "ObserverInDoubt").await;
    let ev = s.evacuate("a", json!({})).await;
    s.wait("Evacuation", &ev, "in doubt", |o| o.status["waiting"]["message"].as_str().is_some_and(|m| m.contains("no other nova-compute was up")))
        .await;
    s.pass(300).await;

    assert!(says(&policy).contains("no nova-compute was up"), "{}", says(&policy));
    assert_eq!(events(&s, "ObserverInDoubt").await.len(), 1, "people hear of it");
    assert_eq!(s.calls(CallKind::PowerSet), [], "{}", s.story());
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn of_a_cell_of_which_nobody_is_heard_nobody_is_fenced_without_a_person() {
    let s = given(&["a", "b", "c", "d"]).start().await;
    ["a", "b"].iter().for_each(|h| drop(s.guest(h, h)));
    s.rig.create("FailureDomain", "cell2", json!({"type": "Cell"})).await;
    for host in ["a", "b"] {
        s.declare(host, json!({"failureDomain": "cell2"})).await;
    }
    watch(&s, json!({"maxDownHosts": 4})).await;

    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::NovaComputeDown));
    let held = is_held(&s, "a", "ObserverInDoubt").await;
    s.pass(600).await;
    assert!(says(&held).contains("FailureDomain cell2") && says(&held).contains("`evacuate a`"), "{}", says(&held));
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    // Its message queue is well again: of the two only one had really died.
    s.hurt("b", HostFault::None);
    s.succeeds("Evacuation", "auto-a-1").await;
    assert_eq!(evacuations(&s).await, ["auto-a-1"]);
    s.nothing_ran_twice();
}
