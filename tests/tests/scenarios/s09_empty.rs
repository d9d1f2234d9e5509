//! S9: a host is powered off only when it is proven empty.

use crate::stage::{Stage, given};
use serde_json::json;
use simulator::{Call, CallFault, CallKind, GuestSpec};
use workspace_tests::waits_for;

/// Waits until a host is off as declared.
async fn is_off(s: &Stage, host: &str) -> schemas::DynObject {
    let want = |o: &schemas::DynObject| workspace_tests::condition(o, "Ready") == "True" && o.status["power"]["state"] == "Off";
    s.rig.wait("Host", host, "off as declared", std::time::Duration::from_secs(900), want).await
}

#[tokio::test(start_paused = true)]
async fn a_build_that_is_scheduled_and_not_claimed_yet_holds_the_power_off() {
    let s = given(&["a", "b", "c"]).start().await;
    let build = s.with(|w| w.schedule_build("a", 50_000)).expect("a build");

    s.declare("a", json!({"power": "Off"})).await;
    let message = s.waits("Host", "a", "ProvingEmpty").await;
    assert!(message.contains("a build may be on its way"), "{message}");
    is_off(&s, "a").await;

    assert_eq!(s.status(&build), "ACTIVE", "{}", s.story());
    assert_ne!(s.home(&build), "a");
    assert_eq!(s.runs_on(&build), [s.home(&build)]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_guest_on_its_way_here_holds_the_power_off() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 100_000).start().await;
    let guest = s.guest("web", "b");
    s.with(|w| w.call(Call::LiveMigrate { server: guest.clone(), destination: Some("a".into()) })).result.expect("accepted");
    s.until("running", |w| w.records_of(&guest).iter().any(|r| r.1 == "running")).await;

    s.declare("a", json!({"power": "Off"})).await;
    let message = s.waits("Host", "a", "ProvingEmpty").await;
    assert!(message.contains("live-migration") && message.contains("running"), "{message}");
    is_off(&s, "a").await;

    assert_eq!(s.runs_on(&guest), [s.home(&guest)]);
    assert_ne!(s.home(&guest), "a");
    assert_eq!(s.status(&guest), "ACTIVE");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_cannot_move_holds_the_power_off_with_its_reason() {
    let s = given(&["a", "b", "c"]).start().await;
    let stuck = s.add(GuestSpec { cannot_migrate: true, ..GuestSpec::new("gpu", "a") });
    let web = s.guest("web", "a");

    s.declare("a", json!({"power": "Off"})).await;
    s.until("the other one has left", |w| w.show(&web).and_then(|g| g.host).as_deref() != Some("a")).await;
    s.waits("Host", "a", "GuestCannotMove").await;
    s.pass(600).await;

    let host = s.rig.get("Host", "a").await;
    let blocked = host.status["guests"]["blocked"][0].as_str().unwrap_or_default().to_string();
    assert!(blocked.contains("gpu") && blocked.contains("LiveMigrate failed"), "{:#}", host.status);
    assert_eq!(s.calls(CallKind::PowerSet), []);
    assert_eq!(s.runs_on(&stuck), ["a"]);

    s.with(|w| w.delete_guest(&stuck));
    is_off(&s, "a").await;
}

#[tokio::test(start_paused = true)]
async fn stopped_guests_stay_and_are_counted() {
    let s = given(&["a", "b", "c"]).start().await;
    let stopped = s.add(GuestSpec::new("db", "a").stopped());
    let web = s.guest("web", "a");

    s.declare("a", json!({"power": "Off"})).await;
    let host = is_off(&s, "a").await;

    assert_eq!(s.home(&stopped), "a");
    assert_ne!(s.home(&web), "a");
    assert_eq!((&host.status["guests"]["stopped"], &host.status["guests"]["running"]), (&json!(1), &json!(0)));
}

#[tokio::test(start_paused = true)]
async fn two_complete_looks_thirty_seconds_apart_come_before_the_power_off() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.declare("a", json!({"power": "Off"})).await;
    s.until("it has left", |w| w.records_of(&guest).iter().any(|r| r.1 == "completed")).await;
    let left = s.with(|w| w.now());

    s.until_called(CallKind::PowerSet, 1).await;

    let sent = s.calls(CallKind::PowerSet)[0].at;
    assert!(sent - left >= 29_000, "{} ms after the last guest had left", sent - left);
    assert!(sent - left < 60_000, "{} ms after the last guest had left", sent - left);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_appears_between_the_two_looks_begins_them_anew() {
    let s = given(&["a", "b", "c"]).start().await;
    s.declare("a", json!({"power": "Off"})).await;
    s.wait("Host", "a", "looked at once", |o| o.status["emptySince"].is_string()).await;
    s.pass(20).await;
    // Someone starts a stopped guest on it.
    let guest = s.add(GuestSpec::new("db", "a").stopped());
    s.with(|w| w.call(Call::Start { server: guest.clone() })).result.expect("accepted");

    is_off(&s, "a").await;

    assert_eq!(s.runs_on(&guest), [s.home(&guest)], "{}", s.story());
    assert_ne!(s.home(&guest), "a", "it was moved, not switched off with the host");
}

#[tokio::test(start_paused = true)]
async fn a_host_without_the_trait_in_placement_is_not_believed_to_be_disabled() {
    let s = given(&["a", "b", "c"]).start().await;
    s.declare("a", json!({"power": "Off"})).await;
    s.until_called(CallKind::UpdateService, 1).await;
    s.with(|w| w.inject(CallKind::Provider, CallFault::Status { status: 503, retry_after_s: None }, 100_000));

    // A look that had begun may still hold.
    let held =
        |o: &schemas::DynObject| waits_for(o) == "ProvingEmpty" && o.status["waiting"]["message"].as_str().is_some_and(|m| m.contains("Placement"));
    s.wait("Host", "a", "held by Placement", held).await;
    s.pass(300).await;

    assert_eq!(s.calls(CallKind::PowerSet), []);
    s.with(|w| w.clear_injected());
    is_off(&s, "a").await;
}

#[tokio::test(start_paused = true)]
async fn half_a_list_of_guests_never_proves_a_host_empty() {
    let s = given(&["a", "b", "c"]).start().await;
    let hidden = s.guest("hidden", "a");
    s.with(|w| w.inject(CallKind::Servers, CallFault::Partial, 100_000));

    s.declare("a", json!({"power": "Off"})).await;
    let message = s.waits("Host", "a", "ProvingEmpty").await;
    s.pass(600).await;

    assert!(message.contains(&hidden), "{message}");
    assert_eq!(s.calls(CallKind::PowerSet), [], "{}", s.story());
    assert_eq!(s.runs_on(&hidden), ["a"]);
}
