//! Storms: limits per failure domain, what comes after them, and how much is begun within an hour.

use crate::{
    remediation::{evacuations, held_by, host_is, is_held, says, watched},
    stage::Stage,
};
use registry::RegistryError;
use schemas::DynObject;
use serde_json::{Value, json};
use simulator::{CallFault, CallKind, HostFault};
use workspace_tests::condition;

/// Racks `r1` with `a`, `b`, `c`, and `r2` with `d`, `e`, in one room.
async fn racked(s: &Stage) {
    s.rig.create("FailureDomain", "hall", json!({"type": "Room"})).await;
    for rack in ["r1", "r2"] {
        s.rig.create("FailureDomain", rack, json!({"type": "Rack", "parentRef": {"name": "hall"}})).await;
    }
    for (host, rack) in [("a", "r1"), ("b", "r1"), ("c", "r1"), ("d", "r2"), ("e", "r2")] {
        s.declare(host, json!({"failureDomain": rack})).await;
    }
}

async fn events(s: &Stage, why: &str) -> Vec<DynObject> {
    s.rig.store.events(None, 1_000).await.expect("the store").into_iter().filter(|e| e.spec["reason"] == why).collect()
}

fn refused(result: Result<DynObject, RegistryError>) -> String {
    match result {
        Ok(object) => panic!("{} was taken", object.id()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_rack_that_loses_too_many_hosts_waits_and_another_rack_does_not() {
    let s = watched(json!({"maxDownHosts": 4, "perFailureDomain": [{"type": "Rack", "maxDownHosts": 1}]})).await;
    racked(&s).await;
    let guests: Vec<String> = ["a", "b", "d"].iter().map(|h| s.guest(h, h)).collect();
    host_is(&s, "d", "Up").await;
    ["a", "b", "d"].iter().for_each(|h| s.hurt(h, HostFault::Crash));

    s.succeeds("Evacuation", "auto-d-1").await;
    let host = is_held(&s, "a", "FailureDomainLimit").await;
    is_held(&s, "b", "FailureDomainLimit").await;
    s.pass(300).await;

    assert!(says(&host).contains("FailureDomain r1") && !says(&host).contains('2'), "{}", says(&host));
    let policy = s.rig.get("RemediationPolicy", "default").await;
    assert_eq!(held_by(&policy), "WithinLimits");
    assert!(says(&policy).contains("2 hosts of FailureDomain r1 are down, its limit is 1"), "{}", says(&policy));
    let counts = |o: &DynObject| (o.status["hosts"].clone(), o.status["down"].clone());
    assert_eq!(counts(&s.rig.get("FailureDomain", "r1").await), (json!(3), json!(2)));
    assert_eq!(counts(&s.rig.get("FailureDomain", "hall").await), (json!(5), json!(3)));
    assert_eq!(events(&s, "FailureDomainLimit").await.len(), 1, "people hear of it once");
    assert_eq!(evacuations(&s).await, ["auto-d-1"]);

    let limits = json!({"maxDownHosts": 4, "perFailureDomain": [{"type": "Rack", "maxDownHosts": 2}]});
    s.rig.patch("RemediationPolicy", "default", json!({"limits": limits})).await;
    s.succeeds("Evacuation", "auto-a-1").await;
    s.succeeds("Evacuation", "auto-b-1").await;
    for (guest, source) in guests.iter().zip(["a", "b", "d"]) {
        s.was_rebuilt_once(guest, source);
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_that_a_person_begins_between_the_look_and_the_begin_counts() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    let guests = [s.guest("web", "a"), s.guest("db", "b")];
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    host_is(&s, "a", "Suspect").await;
    // The look that confirms it has been taken when its guests are asked for; the answer takes a while.
    s.with(|w| w.inject_for(CallKind::Servers, "a", CallFault::Slow { ms: 3_000 }, 1));
    s.until("its guests are asked for", |w| w.injected() == 0).await;

    s.evacuate("b", json!({"mode": "Rebuild"})).await;
    let host = is_held(&s, "a", "StormLimit").await;

    assert_eq!(evacuations(&s).await, ["evacuation-b"], "{}", says(&host));
    let policy = s.rig.get("RemediationPolicy", "default").await;
    assert!(says(&policy).starts_with("2 of 5 hosts are down, the limit is 1"), "{}", says(&policy));
    assert_eq!(policy.status["begun"], 0);
    s.succeeds("Evacuation", "evacuation-b").await;
    s.pass(120).await;
    assert_eq!(evacuations(&s).await, ["evacuation-b"], "b is fenced, and counts");

    s.rig.patch("RemediationPolicy", "default", json!({"limits": {"maxDownHosts": 2}})).await;
    s.succeeds("Evacuation", "auto-a-1").await;
    s.was_rebuilt_once(&guests[0], "a");
    s.was_rebuilt_once(&guests[1], "b");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn of_hosts_that_die_together_those_begun_before_a_person_joins_in_go_on_and_the_rest_is_counted_anew() {
    let s = watched(json!({"maxDownHosts": 3})).await;
    let guests: Vec<String> = ["a", "b", "c"].iter().map(|h| s.guest(h, h)).collect();
    host_is(&s, "c", "Up").await;
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    host_is(&s, "b", "Suspect").await;
    s.with(|w| w.inject_for(CallKind::Servers, "b", CallFault::Slow { ms: 3_000 }, 1));
    s.until("its guests are asked for", |w| w.injected() == 0).await;

    // It is one more, and within the limit: both are begun in that very pass.
    s.evacuate("c", json!({"mode": "Rebuild"})).await;
    for evacuation in ["auto-a-1", "auto-b-1", "evacuation-c"] {
        s.succeeds("Evacuation", evacuation).await;
    }

    let begun = |o: &DynObject| o.metadata.creation_timestamp.expect("a time");
    let (a, b) = (s.rig.get("Evacuation", "auto-a-1").await, s.rig.get("Evacuation", "auto-b-1").await);
    assert!(begun(&b).seconds_since(begun(&a)) < 5, "no look later");
    let policy = s.rig.get("RemediationPolicy", "default").await;
    assert_eq!(policy.status["begun"], 2);
    for (guest, source) in guests.iter().zip(["a", "b", "c"]) {
        s.was_rebuilt_once(guest, source);
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn failure_domains_that_are_not_there_in_a_circle_or_in_use_are_refused_by_name() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    racked(&s).await;
    let domain = |name: &'static str, spec: Value| s.rig.try_create("FailureDomain", name, spec);
    let missing = refused(domain("r3", json!({"type": "Rack", "parentRef": {"name": "attic"}})).await);
    assert!(missing.contains("attic") && missing.contains("spec.parentRef.name"), "{missing}");
    let itself = refused(domain("r3", json!({"type": "Rack", "parentRef": {"name": "r3"}})).await);
    assert!(itself.contains("is the domain itself"), "{itself}");
    let circle = refused(s.rig.try_patch("FailureDomain", "hall", json!({"parentRef": {"name": "r1"}})).await);
    assert!(circle.contains("hall in r1 in hall"), "{circle}");
    let unknown = refused(s.rig.try_patch("Host", "a", json!({"failureDomain": "r9"})).await);
    assert!(unknown.contains("r9") && unknown.contains("spec.failureDomain"), "{unknown}");
    for (name, holder) in [("hall", "FailureDomain/r1"), ("r1", "Host/a")] {
        let kind = schemas::kinds::find("FailureDomain").expect("a kind");
        let why = s.rig.registry.delete(kind, name, Default::default(), s.now()).await.expect_err("it is in use").to_string();
        assert!(why.contains(holder), "{why}");
    }
    let resolved = s.wait("FailureDomain", "r1", "seen", |o| condition(o, "ReferencesResolved") == "True").await;
    let version = resolved.metadata.resource_version;
    s.pass(300).await;
    assert_eq!(s.rig.get("FailureDomain", "r1").await.metadata.resource_version, version, "what does not change is not written");
}

#[tokio::test(start_paused = true)]
async fn after_a_storm_nothing_is_begun_for_the_cooldown_also_by_the_next_leader() {
    let mut s = watched(json!({"maxDownHosts": 1, "cooldownSeconds": 300})).await;
    let guest = s.guest("web", "a");
    s.guest("db", "b");
    host_is(&s, "b", "Up").await;
    s.hurt("a", HostFault::Crash);
    s.hurt("b", HostFault::NovaComputeDown);
    is_held(&s, "a", "StormLimit").await;

    s.hurt("b", HostFault::None);
    is_held(&s, "a", "StormCooldown").await;
    s.pass(250).await;
    assert!(evacuations(&s).await.is_empty());
    s.takeover().await;
    let led = s.now();
    is_held(&s, "a", "StormCooldown").await;
    let begun = s.rig.wait("Evacuation", "auto-a-1", "begun", std::time::Duration::from_secs(600), |_| true).await;

    let waited = begun.metadata.creation_timestamp.expect("a time").seconds_since(led);
    assert!((295..330).contains(&waited), "the next leader counts by its own clock: {waited} s");
    s.succeeds("Evacuation", "auto-a-1").await;
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn no_more_is_begun_within_an_hour_than_the_rate_allows_also_by_the_next_leader() {
    let mut s = watched(json!({"maxDownHosts": 4, "maxBeginsPerHour": 1})).await;
    let guests = [s.guest("web", "a"), s.guest("db", "b")];
    host_is(&s, "b", "Up").await;
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));

    s.succeeds("Evacuation", "auto-a-1").await;
    is_held(&s, "b", "RateLimit").await;
    let policy = s.rig.get("RemediationPolicy", "default").await;
    assert_eq!((held_by(&policy), policy.status["begins"].as_array().map(Vec::len)), ("RateLimit", Some(1)));
    s.pass(1_800).await;
    s.takeover().await;
    let led = s.now();
    s.pass(3_500).await;
    assert_eq!(evacuations(&s).await, ["auto-a-1"], "the next leader counts the hour by its own clock");

    let begun = s.rig.wait("Evacuation", "auto-b-1", "begun", std::time::Duration::from_secs(600), |_| true).await;
    assert!(begun.metadata.creation_timestamp.expect("a time").seconds_since(led) >= 3_590);
    s.succeeds("Evacuation", "auto-b-1").await;
    s.was_rebuilt_once(&guests[0], "a");
    s.was_rebuilt_once(&guests[1], "b");
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_lasts_expires_loudly_and_hosts_are_recovered_at_the_rate() {
    let s = watched(json!({"maxDownHosts": 1, "maxBeginsPerHour": 1, "holdExpirySeconds": 600})).await;
    let guest = s.guest("web", "a");
    s.guest("db", "b");
    host_is(&s, "b", "Up").await;
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    is_held(&s, "a", "StormLimit").await;
    s.pass(550).await;
    assert!(evacuations(&s).await.is_empty());

    s.succeeds("Evacuation", "auto-a-1").await;
    is_held(&s, "b", "RateLimit").await;

    let told = events(&s, "StormHoldExpired").await;
    assert_eq!((told.len(), &told[0].spec["type"]), (1, &json!("Warning")));
    assert!(told[0].spec["note"].as_str().is_some_and(|n| n.contains("only maxBeginsPerHour protects")), "{:#}", told[0].spec);
    assert_eq!(evacuations(&s).await, ["auto-a-1"]);
    s.was_rebuilt_once(&guest, "a");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_do_what_it_says_is_refused_with_the_way_out() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    for (spec, field, way_out) in [
        (json!({"limits": {"maxDownHosts": 3, "maxDownPermille": 0}}), "spec.limits.maxDownPermille", "leave it out"),
        (json!({"limits": {"maxDownHosts": 3, "holdExpirySeconds": 600}}), "spec.limits.holdExpirySeconds", "maxBeginsPerHour"),
        (
            json!({"limits": {"perFailureDomain": [{"type": "Rack", "maxDownHosts": 1}, {"type": "Rack", "maxDownHosts": 2}]}}),
            "spec.limits.perFailureDomain[1].type",
            "keep one of the two",
        ),
        (json!({"limits": {"perFailureDomain": [{"type": "Rack", "maxDownHosts": 0}]}}), "spec.limits.perFailureDomain[0].maxDownHosts", "use 1 to"),
        (json!({"limits": {"maxBeginsPerHour": 0}}), "spec.limits.maxBeginsPerHour", "use 1 to"),
        (json!({"returnToService": {"powerOn": "AfterRecovery"}}), "spec.returnToService.powerOn", "mode: Automatic"),
        (json!({"restartTimeoutSeconds": 0}), "spec.restartTimeoutSeconds", "use 1 to"),
    ] {
        let why = refused(s.rig.try_create("RemediationPolicy", "odd", spec).await);
        assert!(why.contains(field) && why.contains(way_out), "{why}");
    }
    let by_hand = s.operate_as("mine", "a", "PowerCycle", json!({"cause": "Automatic"})).await;
    assert!(refused(by_hand).contains("spec.cause"));
}
