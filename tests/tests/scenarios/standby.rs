//! Standby hosts are woken for one recovery each, given back, and tested.

use crate::stage::{Stage, given};
use schemas::DynObject;
use serde_json::{Value, json};
use simulator::{CallKind, GuestSpec, HostFault};
use workspace_tests::{condition, message, reason};

/// Memory of a guest that fits on a host once, in MiB.
const LARGE: i64 = 40_000;

/// These hosts, with a pool `spare` of those whose name begins with `s`.
pub async fn pooled(hosts: &[&str], fields: Value) -> Stage {
    let s = given(hosts).start().await;
    let members: Vec<&&str> = hosts.iter().filter(|h| h.starts_with('s')).collect();
    let mut spec = json!({"members": members, "idleAfterSeconds": 10});
    for (key, value) in fields.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    s.rig.create("StandbyPool", "spare", spec).await;
    s
}

pub async fn pool(s: &Stage, what: &str, want: impl Fn(&Value) -> bool) -> DynObject {
    s.wait("StandbyPool", "spare", what, |o| want(&o.status)).await
}

pub async fn free(s: &Stage, count: i64) -> DynObject {
    pool(s, &format!("with {count} free"), |status| status["free"] == count && settled(status)).await
}

/// Nothing is on its way.
fn settled(status: &Value) -> bool {
    status["members"].as_array().is_some_and(|all| all.iter().all(|m| m["state"] != "Settling"))
}

fn lease<'a>(pool: &'a DynObject, evacuation: &str) -> Option<&'a Value> {
    pool.status["leased"].as_array().into_iter().flatten().find(|l| l["evacuation"] == evacuation)
}

fn member<'a>(pool: &'a DynObject, host: &str) -> &'a Value {
    let all = pool.status["members"].as_array().into_iter().flatten();
    all.clone().find(|m| m["host"] == host).unwrap_or_else(|| panic!("{host} is not in {:#}", pool.status))
}

pub fn failed(status: &Value, host: &str) -> bool {
    status["failed"].as_array().into_iter().flatten().any(|f| f["host"] == host)
}

/// A guest that no other host has room for.
pub fn large(s: &Stage, name: &str, host: &str) -> String {
    s.add(GuestSpec::new(name, host).with_ram(LARGE))
}

/// Every Event with this reason.
pub async fn told(s: &Stage, what: &str) -> Vec<String> {
    let all = s.rig.store.events(None, 10_000).await.expect("the events");
    all.into_iter().filter(|e| e.spec["reason"] == what).map(|e| e.spec["note"].as_str().unwrap_or_default().to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn members_are_disabled_and_powered_off_once_they_are_empty_and_nobody_else_is_touched() {
    let s = pooled(&["a", "b", "s1"], json!({})).await;
    let pool = free(&s, 1).await;

    assert_eq!((condition(&pool, "Sufficient"), condition(&pool, "MembersResolved"), condition(&pool, "Ready")), ("True", "True", "True"));
    assert!(!s.is_on("s1") && s.is_on("a") && s.is_on("b"));
    let service = s.service("s1");
    assert_eq!(service.enabled, Some(false));
    assert!(service.disabled_reason.unwrap_or_default().contains("standby of StandbyPool/spare"), "{}", s.story());
    let host = s.rig.get("Host", "s1").await;
    assert_eq!((&host.status["standby"]["pool"], &host.status["standby"]["inService"]), (&json!("spare"), &json!(false)));
    let calls = s.all_calls();
    s.pass(1_800).await;
    assert_eq!(s.all_calls(), calls, "what is at rest is left alone: {}", s.story());
    let policy = s.rig.get("RemediationPolicy", "default").await;
    assert_eq!((&policy.status["covered"], &policy.status["unhealthy"]), (&json!(2), &json!(0)), "a spare does not count");
}

#[tokio::test(start_paused = true)]
async fn a_standby_is_woken_when_guests_find_no_destination_and_is_given_back_when_it_is_empty() {
    let s = pooled(&["a", "b", "s1"], json!({})).await;
    let (guest, other) = (large(&s, "web", "a"), large(&s, "full", "b"));
    free(&s, 1).await;

    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    let waking = pool(&s, "waking", |status| status["leased"][0]["state"] == "Waking").await;
    assert_eq!(lease(&waking, &ev).expect("a lease")["host"], "s1");
    assert_eq!((&waking.status["free"], reason(&waking, "Sufficient")), (&json!(0), "TooFewStandbys"));
    let waits = |o: &DynObject| o.status["waiting"]["message"].as_str().unwrap_or_default().contains("standby host s1 is being woken");
    s.wait("Evacuation", &ev, "saying who is woken", waits).await;
    s.succeeds("Evacuation", &ev).await;

    s.was_rebuilt_once(&guest, "a");
    assert_eq!(s.home(&guest), "s1");
    let pool_now = pool(&s, "in service", |status| status["leased"][0]["over"] == true).await;
    assert_eq!(lease(&pool_now, &ev).expect("a lease")["state"], "Ready");
    s.pass(1_800).await;
    assert!(s.is_on("s1"), "it holds a guest, and stays in service");
    assert_eq!(s.rig.get("Host", "s1").await.status["standby"]["inService"], true);
    assert!(told(&s, "StandbyInService").await.iter().any(|note| note.contains("s1 stays in service")));

    s.with(|w| w.delete_guest(&guest));
    free(&s, 1).await;
    assert!(!s.is_on("s1"));
    assert_eq!((s.service("s1").enabled, s.home(&other).as_str()), (Some(false), "b"));
    assert_eq!(s.rig.get("StandbyPool", "spare").await.status["leased"], json!([]));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn while_there_is_room_no_standby_is_woken() {
    let s = pooled(&["a", "b", "s1"], json!({})).await;
    let guest = s.guest("web", "a");
    free(&s, 1).await;

    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;
    s.pass(300).await;

    assert_eq!(s.home(&guest), "b");
    assert!(!s.is_on("s1"));
    assert!(told(&s, "StandbyWaking").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_always_wakes_does_so_at_once_and_takes_back_what_was_not_used() {
    let s = pooled(&["a", "b", "s1"], json!({"wake": "Always"})).await;
    let guest = large(&s, "web", "a");
    free(&s, 1).await;

    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    pool(&s, "waking", |status| status["leased"][0]["host"] == "s1").await;
    s.succeeds("Evacuation", &ev).await;
    assert_eq!(s.home(&guest), "b", "it was done before the standby was up");

    free(&s, 1).await;
    assert!(!s.is_on("s1"));
    assert_eq!(told(&s, "StandbyWaking").await.len(), 1);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn two_hosts_that_die_at_once_never_share_a_standby() {
    let s = pooled(&["a", "b", "c", "s1", "s2"], json!({"size": 2})).await;
    let guests = [large(&s, "web", "a"), large(&s, "db", "b")];
    large(&s, "full", "c");
    free(&s, 2).await;

    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    s.until("down in Nova", |w| w.is_up("a") == Some(false) && w.is_up("b") == Some(false)).await;
    let both = [s.evacuate("a", json!({})).await, s.evacuate("b", json!({})).await];
    let pool = pool(&s, "two leases", |status| status["leased"].as_array().is_some_and(|l| l.len() == 2)).await;
    let host = |ev: &str| lease(&pool, ev).expect("a lease")["host"].as_str().unwrap_or_default().to_string();
    assert_ne!(host(&both[0]), host(&both[1]), "{:#}", pool.status);
    for ev in &both {
        s.succeeds("Evacuation", ev).await;
    }

    s.was_rebuilt_once(&guests[0], "a");
    s.was_rebuilt_once(&guests[1], "b");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn with_one_standby_for_two_evacuations_the_older_gets_it_and_the_other_is_told_why_not() {
    let s = pooled(&["a", "b", "c", "s1"], json!({})).await;
    let guests = [large(&s, "web", "a"), large(&s, "db", "b")];
    large(&s, "full", "c");
    free(&s, 1).await;
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    s.until("down in Nova", |w| w.is_up("a") == Some(false) && w.is_up("b") == Some(false)).await;
    let first = s.evacuate("a", json!({})).await;
    s.pass(1).await;
    let second = s.evacuate("b", json!({})).await;

    let why = s.waits("StandbyPool", "spare", "NoStandbyFree").await;
    assert!(why.contains(&format!("s1 serves Evacuation/{first}")) && why.contains(&second), "{why}");
    s.succeeds("Evacuation", &first).await;
    s.pass(600).await;
    let pool = s.rig.get("StandbyPool", "spare").await;
    assert_eq!((lease(&pool, &first).is_some(), lease(&pool, &second)), (true, None), "{:#}", pool.status);

    // Only when it is empty, and was put back, it is there for the other.
    s.with(|w| w.delete_guest(&guests[0]));
    s.ends_within("Evacuation", &second, 1_200).await;
    assert_eq!(s.home(&guests[1]), "s1");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn two_pools_that_select_the_same_host_never_lease_it_twice() {
    let s = given(&["a", "b", "c", "s1"]).start().await;
    s.label("Host", "s1", "spare", "yes").await;
    for name in ["spare", "other"] {
        s.rig.create("StandbyPool", name, json!({"selector": "spare=yes", "idleAfterSeconds": 10})).await;
    }
    for host in ["a", "b", "c"] {
        large(&s, host, host);
    }
    s.until("at rest", |w| !w.power_is_on("s1")).await;
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    s.until("down in Nova", |w| w.is_up("a") == Some(false) && w.is_up("b") == Some(false)).await;
    s.evacuate("a", json!({})).await;
    s.evacuate("b", json!({})).await;
    s.until("woken", |w| w.power_is_on("s1")).await;
    s.pass(300).await;

    let pools = s.rig.list("StandbyPool").await;
    let leases: usize = pools.iter().map(|p| p.status["leased"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(leases, 1, "{pools:#?}");
    assert_eq!(s.with(|w| w.guests_of("s1")).len(), 1, "{}", s.story());
    assert!(pools.iter().all(|p| reason(p, "MembersResolved") == "StandbyConflict"), "{pools:#?}");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_up_in_time_has_failed_and_another_is_tried() {
    let s = pooled(&["a", "b", "s1", "s2"], json!({"wakeTimeoutSeconds": 200})).await;
    let (guest, _) = (large(&s, "web", "a"), large(&s, "full", "b"));
    free(&s, 2).await;
    s.with(|w| w.settings_mut().boot_ms = 100_000_000);
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until("the first is powered on", |w| w.power_is_on("s1")).await;
    s.with(|w| w.settings_mut().boot_ms = 20_000);

    let pool = pool(&s, "with a failure", |status| failed(status, "s1")).await;
    s.succeeds("Evacuation", &ev).await;

    let failure = &pool.status["failed"][0];
    assert_eq!(failure["reason"], "WakeFailed");
    assert!(failure["message"].as_str().unwrap_or_default().contains("not ready after 200 s"), "{failure}");
    assert_eq!(s.home(&guest), "s2");
    assert_eq!(told(&s, "WakeFailed").await.len(), 1);
    // It is not tried again.
    s.pass(1_800).await;
    let pool = s.rig.get("StandbyPool", "spare").await;
    assert_eq!((&member(&pool, "s1")["state"], &pool.status["free"]), (&json!("Failed"), &json!(0)));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_member_with_a_persons_guests_on_it_is_left_alone() {
    let s = given(&["a", "b", "s1"]).start().await;
    let guest = s.guest("desk", "s1");
    s.rig.create("StandbyPool", "spare", json!({"members": ["s1"], "idleAfterSeconds": 10})).await;
    let pool = pool(&s, "in use", |status| status["members"][0]["state"] == "InUse").await;
    s.pass(900).await;

    assert_eq!((condition(&pool, "Sufficient"), &pool.status["free"]), ("False", &json!(0)));
    assert_eq!((s.runs_on(&guest), s.service("s1").enabled), (vec!["s1".to_string()], Some(true)));
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    // A stopped one as well.
    s.with(|w| w.delete_guest(&guest));
    let parked = s.add(GuestSpec::new("parked", "s1").stopped());
    s.pass(900).await;
    assert_eq!((s.all_calls(), s.home(&parked).as_str()), (0, "s1"), "{}", s.story());
    s.with(|w| w.delete_guest(&parked));
    free(&s, 1).await;
    assert!(!s.is_on("s1"));
}

#[tokio::test(start_paused = true)]
async fn a_build_on_its_way_holds_the_power_off() {
    let s = given(&["a", "s1"]).start().await;
    s.with(|w| w.schedule_build("s1", 40_000)).expect("a build");
    s.rig.create("StandbyPool", "spare", json!({"members": ["s1"], "idleAfterSeconds": 0})).await;

    s.wait("StandbyPool", "spare", "in use", |o| o.status["members"][0]["state"] == "InUse").await;
    s.pass(600).await;

    assert!(s.is_on("s1"));
    assert!(s.calls(CallKind::PowerSet).is_empty(), "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn the_leader_is_killed_while_a_standby_wakes_and_it_is_woken_once() {
    let mut s = pooled(&["a", "b", "s1", "s2"], json!({})).await;
    let (guest, _) = (large(&s, "web", "a"), large(&s, "full", "b"));
    free(&s, 2).await;
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until("the standby is powered on", |w| w.power_is_on("s1")).await;
    let done = |o: &DynObject| o.status["finishedAt"].is_string();
    s.wait("HostOperation", "standby-poweron-s1-1", "ended", done).await;

    s.kill();
    s.pass(30).await;
    s.takeover().await;
    s.ends_within("Evacuation", &ev, 1_200).await;

    s.was_rebuilt_once(&guest, "a");
    assert_eq!(s.home(&guest), "s1");
    assert!(!s.is_on("s2"));
    let pool = s.rig.get("StandbyPool", "spare").await;
    assert_eq!((pool.status["leased"].as_array().map(Vec::len), &pool.status["failed"]), (Some(1), &json!([])));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_frozen_cloud_wakes_nobody_and_puts_nobody_to_rest() {
    let s = pooled(&["a", "b", "s1"], json!({})).await;
    let (guest, _) = (large(&s, "web", "a"), large(&s, "full", "b"));
    free(&s, 1).await;
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.waits("Evacuation", &ev, "NoDestination").await;
    s.policy(json!({"operations": "Frozen"})).await;
    s.pass(5).await;
    let before = s.all_calls();
    s.waits("StandbyPool", "spare", "FrozenByCluster").await;
    let paused = s.rig.get("StandbyPool", "spare").await;
    s.pass(3_600).await;

    assert_eq!(condition(&paused, "Paused"), "True");
    assert_eq!(s.all_calls(), before, "{}", s.story());
    s.policy(json!({"operations": "Normal"})).await;
    s.ends_within("Evacuation", &ev, 600).await;
    assert_eq!(s.home(&guest), "s1");
    assert_eq!(s.rig.get("StandbyPool", "spare").await.status["failed"], json!([]), "frozen time does not count");
}

#[tokio::test(start_paused = true)]
async fn a_fenced_member_and_one_that_others_disabled_are_never_woken() {
    let s = pooled(&["a", "b", "s1", "s2"], json!({"size": 0})).await;
    let guest = s.guest("web", "s1");
    free(&s, 1).await;
    s.crash_host("s1").await;
    let ev = s.evacuate("s1", json!({})).await;
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "s1");
    s.nova("s2", cloud::ServiceChange { enabled: Some(false), disabled_reason: Some("bad memory".into()), forced_down: None });

    let pool = pool(&s, "with nobody", |status| status["free"] == 0 && status["members"].to_string().contains("DisabledByOthers")).await;
    assert_eq!(member(&pool, "s1")["reason"], "FencedAwaitingReturn");
    assert!(member(&pool, "s2")["message"].as_str().unwrap_or_default().contains("bad memory"), "{:#}", pool.status);
    let (stuck, _) = (large(&s, "db", "a"), large(&s, "full", "b"));
    s.crash_host("a").await;
    s.evacuate("a", json!({})).await;
    let why = s.waits("StandbyPool", "spare", "NoStandbyFree").await;
    s.pass(600).await;

    assert!(why.contains("it is fenced") && why.contains("bad memory"), "{why}");
    assert!(!s.is_on("s1") && !s.is_on("s2"));
    assert!(s.runs_on(&stuck).is_empty());
}

#[tokio::test(start_paused = true)]
async fn contradictions_are_refused_or_shown_with_both_names() {
    let s = pooled(&["a", "b", "s1"], json!({"protects": {"selector": "rack=r1"}})).await;
    let wrong = |spec: Value| s.rig.try_create("StandbyPool", "other", spec);
    let error = wrong(json!({"members": ["a"], "protects": {"hosts": ["a", "b"]}})).await.expect_err("it protects itself").to_string();
    assert!(error.contains("spec.members[0]") && error.contains("a cannot protect itself"), "{error}");
    let error = wrong(json!({"members": ["s1"]})).await.expect_err("a member of two").to_string();
    assert!(error.contains("spare") && error.contains("other") && error.contains("s1"), "{error}");
    let error = wrong(json!({})).await.expect_err("no member").to_string();
    assert!(error.contains("spec.members"), "{error}");

    // What labels decide is shown.
    s.label("Host", "s1", "rack", "r1").await;
    let pool = s.wait("StandbyPool", "spare", "shown", |o| condition(o, "MembersResolved") == "False").await;
    assert_eq!(reason(&pool, "MembersResolved"), "ProtectsItself");
    s.label("Host", "s1", "spare", "yes").await;
    s.rig.create("StandbyPool", "other", json!({"selector": "spare=yes", "members": ["nowhere"]})).await;
    let other = s.wait("StandbyPool", "other", "shown", |o| condition(o, "MembersResolved") == "False").await;
    let says = message(&other, "MembersResolved");
    assert!(says.contains("spare and other") && says.contains("no Host nowhere"), "{says}");
    assert_eq!(s.rig.get("Host", "s1").await.status["standby"]["pool"], "spare");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_declared_on_is_not_the_pools_to_switch_off() {
    let s = pooled(&["a", "s1"], json!({})).await;
    free(&s, 1).await;
    s.declare("s1", json!({"power": "On"})).await;
    s.until("on as declared", |w| w.power_is_on("s1")).await;
    let pool = pool(&s, "without it", |status| status["free"] == 0).await;
    s.pass(900).await;
    assert_eq!(member(&pool, "s1")["reason"], "DeclaredOtherwise");
    assert!(s.is_on("s1"));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_deleted_lets_its_members_go_as_they_are() {
    let s = pooled(&["a", "s1"], json!({})).await;
    free(&s, 1).await;
    let info = schemas::kinds::find("StandbyPool").expect("a kind");
    s.rig.registry.delete(info, "spare", Default::default(), s.now()).await.expect("it may go");

    s.wait("Host", "s1", "nobody's", |o| o.status["standby"].is_null()).await;
    s.pass(60).await;
    assert!(s.rig.store.get("StandbyPool", "spare").await.expect("the store").is_none());
    assert!(!s.is_on("s1"));
}
