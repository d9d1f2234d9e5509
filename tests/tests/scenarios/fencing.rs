//! The order of a fence: soft, hard, and the next device, where one does not show its host to be off.

use crate::{
    remediation::host_is,
    stage::{Given, Stage, given},
};
use serde_json::{Value, json};
use simulator::{Call, CallKind, HostFault, Lie};

const ALL: [&str; 3] = ["Soft", "Hard", "SecondDevice"];

/// Addresses and commands that were sent, in order, each as often as it was sent.
fn commands(s: &Stage) -> Vec<String> {
    let words = |call: Call| if let Call::Power { host, command } = call { format!("{command:?} {host}") } else { String::new() };
    s.calls(CallKind::PowerSet).into_iter().map(|c| words(c.call)).collect()
}

/// The same, without repeats of the one before.
fn course(s: &Stage) -> Vec<String> {
    let mut all = commands(s);
    all.dedup();
    all
}

/// When the first command went to an address, and when the first one of all, in milliseconds.
fn first_at(s: &Stage, address: &str) -> (i64, i64) {
    let calls = s.calls(CallKind::PowerSet);
    let to = calls.iter().find(|c| c.target == address).unwrap_or_else(|| panic!("nothing was sent to {address}:\n{}", s.story()));
    (to.at, calls[0].at)
}

/// Hosts `a`, `b`, `c` that are watched; one may be down.
async fn watched(given: Given, fencing: Value) -> Stage {
    let s = given.start().await;
    let detection = json!({"intervalSeconds": 10, "downConfirmations": 2, "quietSeconds": 20});
    s.rig.patch("RemediationPolicy", "default", json!({"limits": {"maxDownHosts": 1}, "detection": detection, "fencing": fencing})).await;
    host_is(&s, "a", "Up").await;
    s
}

#[tokio::test(start_paused = true)]
async fn a_first_bmc_that_says_done_and_does_nothing_is_followed_by_the_second_one() {
    let s = watched(given(&["a", "b", "c"]).second_bmc("a"), json!({})).await;
    let guest = s.guest("web", "a");
    s.with(|w| w.set_bmc_lie("a", Lie::NoEffect));
    s.hurt("a", HostFault::NovaComputeDown);

    let ended = s.ends_within("Evacuation", "auto-a-1", 600).await;

    assert_eq!(course(&s), ["ForceOff a", "ForceOff a.bmc2"], "{}", s.story());
    let (second, first) = first_at(&s, "a.bmc2");
    assert!((60_000..75_000).contains(&(second - first)), "{}", s.story());
    assert_eq!((ended.status["fences"].clone(), ended.status["fenceEpoch"].clone()), (json!(1), json!(1)), "one fence, with two devices");
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_first_bmc_that_dies_with_the_command_is_followed_by_the_second_one() {
    let s = watched(given(&["a", "b", "c"]).second_bmc("a"), json!({"hardOffTimeoutSeconds": 30})).await;
    let guest = s.guest("web", "a");
    s.with(|w| w.set_bmc_lie("a", Lie::NoEffect));
    s.hurt("a", HostFault::Crash);
    s.until_called(CallKind::PowerSet, 1).await;
    s.with(|w| w.set_bmc_reachable("a", false));

    s.ends_within("Evacuation", "auto-a-1", 600).await;

    assert_eq!(course(&s), ["ForceOff a", "ForceOff a.bmc2"], "{}", s.story());
    let (second, first) = first_at(&s, "a.bmc2");
    assert!((30_000..50_000).contains(&(second - first)), "{}", s.story());
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_first_bmc_that_lies_dead_from_the_beginning_is_no_matter_to_an_evacuation_by_order() {
    let s = given(&["a", "b", "c"]).second_bmc("a").start().await;
    let guest = s.guest("web", "a");
    s.hurt("a", HostFault::BmcUnreachable);
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
    s.succeeds("Evacuation", &ev).await;

    assert_eq!(commands(&s), ["ForceOff a.bmc2"]);
    s.was_rebuilt_once(&guest, "a");
}

#[tokio::test(start_paused = true)]
async fn outlets_behind_a_bmc_that_does_not_answer_are_cut_by_order_and_given_back_on_return() {
    let s = given(&["a", "b", "c"]).outlets("a", 2).start().await;
    let guest = s.guest("web", "a");
    s.hurt("a", HostFault::BmcUnreachable);
    s.hurt("a", HostFault::NovaComputeDown);
    s.until("down in Nova", |w| w.is_up("a") == Some(false)).await;

    let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
    let message = s.waits("Evacuation", &ev, "PowerUnreadable").await;
    assert!(message.contains("link-a cannot be read") && message.contains("power is cut at the outlets"), "{message}");
    s.pass(50).await;
    assert_eq!(commands(&s), Vec::<String>::new(), "the BMC has its time first");
    let ended = s.succeeds("Evacuation", &ev).await;

    assert_eq!(course(&s), ["ForceOff a.outlet1", "ForceOff a.outlet2"], "{}", s.story());
    assert!(!s.is_on("a"));
    assert_eq!(ended.status["fences"], 1);
    s.was_rebuilt_once(&guest, "a");

    s.with(|w| w.set_bmc_reachable("a", true));
    let on = s.operate("a", "PowerOn", json!({})).await;
    s.ends_within("HostOperation", &on, 600).await;
    s.succeeds("HostOperation", &on).await;
    assert!(s.is_on("a"));
    let fed = |n: u8| s.with(|w| w.outlet_is_on(&format!("a.outlet{n}")));
    assert_eq!((fed(1), fed(2)), (Some(true), Some(true)), "{}", s.story());
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_bmc_that_lies_is_overruled_by_nobody_while_it_reads_on() {
    let s = watched(given(&["a", "b", "c"]).outlets("a", 1), json!({"hardOffTimeoutSeconds": 15})).await;
    let guest = s.guest("web", "a");
    s.with(|w| w.set_bmc_lie("a", Lie::NoEffect));
    // Its outlet is another machine's.
    s.with(|w| w.set_bmc_lie("a.outlet1", Lie::SaysOff));
    s.hurt("a", HostFault::NovaComputeDown);

    let message = s.waits("Evacuation", "auto-a-1", "NeedsHuman").await;
    assert!(message.contains("link-a: ForceOff was sent, it reads on"), "{message}");
    s.pass(300).await;
    assert_eq!((s.calls(CallKind::Evacuate), s.runs_on(&guest)), (Vec::new(), vec!["a".to_string()]));
    assert_eq!(s.rig.get("Evacuation", "auto-a-1").await.status["fences"], 1);
    let events = s.rig.store.events(None, 1_000).await.expect("the store");
    let told = events.iter().filter(|e| e.spec["reason"] == "FenceFailed").count();
    assert_eq!(told, 1);

    s.with(|w| w.set_bmc_lie("a", Lie::None));
    s.succeeds("Evacuation", "auto-a-1").await;
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_heeds_the_soft_power_off_is_not_cut() {
    let s = watched(given(&["a", "b", "c"]), json!({"order": ALL})).await;
    let guest = s.guest("web", "a");
    s.hurt("a", HostFault::NovaComputeDown);

    let ended = s.ends_within("Evacuation", "auto-a-1", 600).await;

    assert_eq!(commands(&s), ["SoftOff a"], "{}", s.story());
    assert_eq!(ended.status["fences"], 0, "it is no fence by itself");
    s.was_rebuilt_once(&guest, "a");
    host_is(&s, "a", "Recovered").await;
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_does_not_heed_the_soft_power_off_is_cut_after_its_time() {
    let s = watched(given(&["a", "b", "c"]).second_bmc("a"), json!({"order": ALL, "softOffTimeoutSeconds": 30})).await;
    let guest = s.guest("web", "a");
    s.with(|w| w.set_soft_off_works("a", false));
    s.with(|w| w.set_bmc_lie("a", Lie::NoEffect));
    s.hurt("a", HostFault::NovaComputeDown);

    let ended = s.ends_within("Evacuation", "auto-a-1", 600).await;

    assert_eq!(course(&s), ["SoftOff a", "ForceOff a", "ForceOff a.bmc2"], "{}", s.story());
    assert_eq!(ended.status["fences"], 1);
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_fence_goes_on_under_a_new_leader_where_the_old_one_left_it() {
    let mut s = watched(given(&["a", "b", "c"]).second_bmc("a"), json!({})).await;
    let guest = s.guest("web", "a");
    s.with(|w| w.set_bmc_lie("a", Lie::NoEffect));
    s.hurt("a", HostFault::NovaComputeDown);
    s.until_called(CallKind::PowerSet, 3).await;
    s.takeover().await;
    let came = s.now();

    let ended = s.ends_within("Evacuation", "auto-a-1", 600).await;

    let second = s.calls(CallKind::PowerSet).into_iter().find(|c| c.target == "a.bmc2").expect("the second BMC was used");
    assert!(second.at - came.0.div_euclid(1_000) >= 60_000, "its time counts from when the new leader came: {}", s.story());
    assert_eq!(ended.status["fences"], 1);
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_by_order_goes_by_the_policy_that_holds_unless_it_says_how() {
    let s = given(&["a", "b", "c"]).start().await;
    let slow = json!({"order": ["Soft", "Hard"], "softOffTimeoutSeconds": 3600});
    s.rig.create("RemediationPolicy", "gentle", json!({"selector": "class=gentle", "fencing": slow})).await;
    s.label("Host", "a", "class", "gentle").await;
    s.label("Host", "b", "class", "gentle").await;

    s.evacuate("a", json!({"mode": "Rebuild"})).await;
    s.evacuate("b", json!({"mode": "Rebuild", "fencing": {"order": ["Hard"]}})).await;
    s.until_called(CallKind::PowerSet, 2).await;
    let mut sent = commands(&s);
    sent.sort();

    assert_eq!(sent, ["ForceOff b", "SoftOff a"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_without_a_person_goes_by_the_order_of_its_policy() {
    let s = watched(given(&["a", "b", "c"]).second_bmc("a"), json!({"hardOffTimeoutSeconds": 20})).await;
    s.rig.patch("RemediationPolicy", "default", json!({"restart": "Allow", "restartTimeoutSeconds": 600})).await;
    s.guest("web", "a");
    s.with(|w| w.set_bmc_lie("a", Lie::NoEffect));
    s.hurt("a", HostFault::Crash);
    s.until("it is off", |w| !w.power_is_on("a")).await;
    s.with(|w| w.set_bmc_lie("a", Lie::None));

    let op = s.ends_within("HostOperation", "auto-restart-a-1", 600).await;

    assert_eq!(op.spec["fencing"]["hardOffTimeoutSeconds"], 20);
    assert_eq!(course(&s), ["ForceOff a", "ForceOff a.bmc2", "On a"], "{}", s.story());
    host_is(&s, "a", "Up").await;
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn an_order_that_can_never_end_a_host_is_refused_with_the_way_out() {
    let s = given(&["a"]).start().await;
    let refused = s.rig.try_patch("RemediationPolicy", "default", json!({"fencing": {"order": ["Soft"]}})).await;
    let why = refused.expect_err("it is refused").to_string();
    assert!(why.contains("spec.fencing.order") && why.contains("[Soft, Hard, SecondDevice]"), "{why}");
    let spec = json!({"hostRef": {"name": "a"}, "fencing": {"order": ["Hard", "Soft"]}});
    assert!(s.rig.try_create("Evacuation", "wrong", spec).await.is_err());
    let spec = json!({"hostRef": {"name": "a"}, "type": "PowerOff", "fencing": {}});
    let why = s.rig.try_create("HostOperation", "wrong", spec).await.expect_err("it is refused").to_string();
    assert!(why.contains("spec.fencing") && why.contains("PowerCycle only"), "{why}");
}
