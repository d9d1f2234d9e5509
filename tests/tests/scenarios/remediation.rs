//! Dead hosts are noticed, and recovered without a person within the limits.

use crate::stage::{Stage, given};
use schemas::DynObject;
use serde_json::{Value, json};
use simulator::{CallKind, HostFault};
use workspace_tests::{condition, message, reason};

/// Hosts `a` to `e`; two looks ten seconds apart make a host down, and one may be.
pub(crate) async fn watched(limits: Value) -> Stage {
    let s = given(&["a", "b", "c", "d", "e"]).start().await;
    let detection = json!({"intervalSeconds": 10, "downConfirmations": 2, "quietSeconds": 20});
    s.rig.patch("RemediationPolicy", "default", json!({"limits": limits, "detection": detection})).await;
    s
}

pub(crate) fn state(host: &DynObject) -> &str {
    host.status["availability"]["state"].as_str().unwrap_or_default()
}

pub(crate) fn held_by(object: &DynObject) -> &str {
    reason(object, "RemediationAllowed")
}

pub(crate) fn says(object: &DynObject) -> &str {
    message(object, "RemediationAllowed")
}

pub(crate) async fn host_is(s: &Stage, host: &str, wanted: &str) -> DynObject {
    s.wait("Host", host, wanted, |o| state(o) == wanted).await
}

pub(crate) async fn is_held(s: &Stage, host: &str, why: &str) -> DynObject {
    s.wait("Host", host, why, |o| state(o) == "Down" && held_by(o) == why).await
}

pub(crate) async fn evacuations(s: &Stage) -> Vec<String> {
    s.rig.list("Evacuation").await.into_iter().map(|o| o.metadata.name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_is_fenced_and_its_guests_come_back_without_a_person() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    let guests = s.guests("web", "a", 3);
    host_is(&s, "a", "Up").await;

    s.hurt("a", HostFault::Crash);
    let ended = s.succeeds("Evacuation", "auto-a-1").await;

    assert_eq!(ended.spec["cause"], "Automatic");
    guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
    let host = host_is(&s, "a", "Recovered").await;
    assert_eq!(host.status["availability"]["evacuation"], "auto-a-1");
    assert_eq!(held_by(&host), "RecoveryEnded");
    assert!(!s.is_on("a"));
    s.pass(600).await;
    assert_eq!(evacuations(&s).await, ["auto-a-1"]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn as_it_comes_nothing_is_begun_without_a_person_and_it_says_so() {
    let s = given(&["a", "b", "c"]).start().await;
    s.guest("web", "a");
    s.crash_host("a").await;

    let host = is_held(&s, "a", "NeverEvacuate").await;
    s.pass(600).await;

    assert_eq!(condition(&host, "RemediationAllowed"), "False");
    let policy = s.rig.get("RemediationPolicy", "default").await;
    assert!(says(&policy).contains("maxDownHosts is 0"), "{:#}", policy.status);
    assert_eq!((&policy.status["covered"], &policy.status["unhealthy"]), (&json!(3), &json!(1)));
    assert!(evacuations(&s).await.is_empty());
    assert_eq!(s.all_calls(), 0, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn with_more_hosts_down_than_allowed_nothing_moves_until_the_limit_is_raised() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    let guests = [s.guest("web", "a"), s.guest("db", "b")];
    host_is(&s, "a", "Up").await;
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));

    let host = is_held(&s, "a", "StormLimit").await;
    is_held(&s, "b", "StormLimit").await;
    s.pass(300).await;

    assert!(!says(&host).contains('2'), "numbers stand on the policy only: {}", says(&host));
    let policy = s.rig.get("RemediationPolicy", "default").await;
    assert!(says(&policy).starts_with("2 of 5 hosts are down, the limit is 1"), "{}", says(&policy));
    assert!(evacuations(&s).await.is_empty());

    s.rig.patch("RemediationPolicy", "default", json!({"limits": {"maxDownHosts": 2}})).await;
    s.succeeds("Evacuation", "auto-a-1").await;
    s.succeeds("Evacuation", "auto-b-1").await;
    s.was_rebuilt_once(&guests[0], "a");
    s.was_rebuilt_once(&guests[1], "b");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_share_is_a_limit_as_well_and_what_was_recovered_counts() {
    // 400 ‰ of 5 hosts are 2.
    let s = watched(json!({"maxDownHosts": 4, "maxDownPermille": 400})).await;
    for host in ["a", "b", "c"] {
        s.guest(host, host);
    }
    host_is(&s, "c", "Up").await;
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    host_is(&s, "a", "Recovered").await;
    host_is(&s, "b", "Recovered").await;

    s.hurt("c", HostFault::Crash);
    is_held(&s, "c", "StormLimit").await;
    s.pass(300).await;

    assert_eq!(evacuations(&s).await, ["auto-a-1", "auto-b-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_silence_that_ends_before_it_is_confirmed_is_none() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::NovaComputeDown);
    host_is(&s, "a", "Suspect").await;

    s.hurt("a", HostFault::None);
    let host = host_is(&s, "a", "Up").await;
    s.pass(300).await;

    assert_eq!(host.status["availability"]["downs"], 0);
    assert_eq!(s.all_calls(), 0, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_back_before_it_was_fenced_keeps_its_guests() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.with(|w| w.set_bmc_reachable("a", false));
    s.hurt("a", HostFault::NovaComputeDown);
    s.waits("Evacuation", "auto-a-1", "HostInDoubt").await;

    s.hurt("a", HostFault::None);
    let ended = s.ends("Evacuation", "auto-a-1").await;

    assert_eq!((condition(&ended, "Succeeded"), reason(&ended, "Succeeded")), ("False", "HostReturned"));
    host_is(&s, "a", "Up").await;
    s.pass(300).await;
    assert_eq!((s.runs_on(&guest), s.home(&guest)), (vec!["a".to_string()], "a".to_string()));
    assert_eq!(s.all_calls(), 0, "{}", s.story());
    assert_eq!(evacuations(&s).await, ["auto-a-1"]);
}

#[tokio::test(start_paused = true)]
async fn while_no_conductor_is_heard_nobody_is_taken_for_dead() {
    let s = watched(json!({"maxDownHosts": 5})).await;
    s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.with(|w| w.set_control_plane(false));

    s.wait("RemediationPolicy", "default", "in doubt", |o| held_by(o) == "ObserverInDoubt").await;
    s.pass(600).await;

    assert!(evacuations(&s).await.is_empty());
    let host = s.rig.get("Host", "a").await;
    assert_ne!(state(&host), "Down", "{:#}", host.status);
    s.with(|w| w.set_control_plane(true));
    s.wait("RemediationPolicy", "default", "sure again", |o| held_by(o) == "WithinLimits").await;
    s.pass(600).await;
    assert!(evacuations(&s).await.is_empty());
    assert_eq!(s.all_calls(), 0, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn hosts_that_are_off_as_declared_or_commanded_are_not_missed() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    host_is(&s, "a", "Up").await;
    s.declare("a", json!({"power": "Off"})).await;
    let stopped = s.add(simulator::GuestSpec { running: false, ..simulator::GuestSpec::new("parked", "b") });
    let op = s.operate("b", "PowerOff", json!({})).await;
    s.succeeds("HostOperation", &op).await;

    host_is(&s, "a", "Off").await;
    host_is(&s, "b", "Off").await;
    s.pass(600).await;

    assert!(evacuations(&s).await.is_empty());
    assert_eq!(s.home(&stopped), "b");
    let policy = s.rig.get("RemediationPolicy", "default").await;
    assert_eq!(policy.status["unhealthy"], 0, "{:#}", policy.status);
    // A third host that dies is within the limit.
    let guest = s.guest("web", "c");
    s.hurt("c", HostFault::Crash);
    s.succeeds("Evacuation", "auto-c-1").await;
    s.was_rebuilt_once(&guest, "c");
}

#[tokio::test(start_paused = true)]
async fn hosts_that_are_denied_or_excluded_are_only_reported() {
    let s = watched(json!({"maxDownHosts": 3})).await;
    for host in ["a", "b", "c"] {
        s.guest(host, host);
    }
    s.declare("a", json!({"evacuation": "Denied"})).await;
    s.rig.patch("RemediationPolicy", "default", json!({"evacuation": {"excludedHosts": ["b"]}})).await;
    host_is(&s, "a", "Up").await;

    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    is_held(&s, "a", "EvacuationDenied").await;
    is_held(&s, "b", "EvacuationForbidden").await;
    s.rig.patch("RemediationPolicy", "default", json!({"evacuation": {"mode": "Forbidden"}})).await;
    s.hurt("c", HostFault::Crash);
    let host = is_held(&s, "c", "EvacuationForbidden").await;
    s.pass(300).await;

    assert!(says(&host).contains("`evacuate c`"), "{}", says(&host));
    assert!(evacuations(&s).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_policies_that_select_one_host_hold_for_none_and_both_are_named() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    s.guest("web", "a");
    for name in ["blue", "green"] {
        s.rig.create("RemediationPolicy", name, json!({"selector": "rack=r1", "limits": {"maxDownHosts": 1}})).await;
    }
    s.label("Host", "a", "rack", "r1").await;
    let host = s.wait("Host", "a", "in conflict", |o| held_by(o) == "PolicyConflict").await;
    assert!(says(&host).contains("blue and green"), "{}", says(&host));
    s.hurt("a", HostFault::Crash);
    s.pass(300).await;
    assert!(evacuations(&s).await.is_empty());

    // Named on the host itself, it is clear.
    s.declare("a", json!({"remediationPolicyRef": {"name": "green"}})).await;
    s.ends_within("Evacuation", "auto-a-1", 600).await;
    let policy = s.rig.get("RemediationPolicy", "green").await;
    assert_eq!((&policy.status["begun"], &policy.status["covered"]), (&json!(1), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn an_empty_host_that_dies_is_left_as_it_is() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);

    is_held(&s, "a", "NothingToEvacuate").await;
    s.pass(300).await;

    assert!(evacuations(&s).await.is_empty());
    assert!(s.is_on("a"));
    assert_eq!(s.all_calls(), 0, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_frozen_cloud_begins_nothing_and_goes_on_when_it_thaws() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.policy(json!({"operations": "Frozen"})).await;
    s.hurt("a", HostFault::Crash);

    is_held(&s, "a", "FrozenByCluster").await;
    s.pass(300).await;
    assert!(evacuations(&s).await.is_empty());

    s.policy(json!({"operations": "Normal"})).await;
    s.succeeds("Evacuation", "auto-a-1").await;
    s.was_rebuilt_once(&guest, "a");
}

#[tokio::test(start_paused = true)]
async fn a_new_controller_looks_before_it_begins_anything_and_begins_nothing_twice() {
    let mut s = watched(json!({"maxDownHosts": 1})).await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    host_is(&s, "a", "Suspect").await;

    s.rig.crash();
    s.pass(10).await;
    s.rig.lead().await;
    let led = s.now();
    is_held(&s, "a", "QuietPeriod").await;
    let begun = s.wait("Evacuation", "auto-a-1", "begun", |_| true).await;
    let created = begun.metadata.creation_timestamp.expect("a time");
    assert!(created.seconds_since(led) >= 20, "begun {} s after the takeover", created.seconds_since(led));
    // Another one takes over in the middle.
    s.until_called(CallKind::Evacuate, 1).await;
    s.rig.crash();
    s.rig.lead().await;

    s.succeeds("Evacuation", "auto-a-1").await;
    s.pass(300).await;
    assert_eq!(evacuations(&s).await, ["auto-a-1"]);
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_recovered_and_brought_back_is_watched_again() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    host_is(&s, "a", "Recovered").await;
    let op = s.operate("a", "PowerOn", json!({})).await;
    s.succeeds("HostOperation", &op).await;
    host_is(&s, "a", "Up").await;

    let second = s.guest("db", "a");
    s.hurt("a", HostFault::Crash);
    s.succeeds("Evacuation", "auto-a-2").await;

    s.was_rebuilt_once(&second, "a");
    s.waits("Host", "a", "FencedAwaitingReturn").await;
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn an_automatic_evacuation_that_is_cancelled_is_not_begun_again() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.with(|w| w.set_bmc_reachable("a", false));
    s.hurt("a", HostFault::Crash);
    s.waits("Evacuation", "auto-a-1", "HostInDoubt").await;

    s.cancel("Evacuation", "auto-a-1").await;
    s.ends("Evacuation", "auto-a-1").await;
    s.with(|w| w.set_bmc_reachable("a", true));
    let host = host_is(&s, "a", "Recovered").await;
    s.pass(300).await;

    assert!(says(&host).contains("`evacuate a`"), "{}", says(&host));
    assert_eq!(evacuations(&s).await, ["auto-a-1"]);
    assert!(s.calls(CallKind::PowerSet).is_empty(), "{}", s.story());
}
