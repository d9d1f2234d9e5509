//! S12: one truth for power.

use crate::stage::{Stage, given};
use serde_json::json;
use simulator::{Call, CallKind, GuestSpec};
use std::time::Duration;
use workspace_tests::condition;

fn commands(s: &Stage) -> Vec<power::Command> {
    let of = |c: simulator::CallRecord| match c.call {
        Call::Power { command, .. } => Some(command),
        _ => None,
    };
    s.calls(CallKind::PowerSet).into_iter().filter_map(of).collect()
}

async fn becomes(s: &Stage, host: &str, state: &str) -> schemas::DynObject {
    let want = |o: &schemas::DynObject| condition(o, "Ready") == "True" && o.status["power"]["state"] == state;
    s.rig.wait("Host", host, state, Duration::from_secs(1_200), want).await
}

#[tokio::test(start_paused = true)]
async fn a_host_declared_off_is_drained_proven_empty_and_powered_off_softly_and_comes_back_as_it_was() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 3);

    s.declare("a", json!({"power": "Off"})).await;
    let host = becomes(&s, "a", "Off").await;

    assert_eq!(commands(&s), [power::Command::SoftOff], "{}", s.story());
    assert_eq!((&host.status["nova"]["status"], &host.status["guests"]["total"]), (&json!("disabled"), &json!(0)));
    assert_eq!(s.calls(CallKind::Evacuate), [], "no guest was rebuilt");
    for guest in &guests {
        assert_eq!(s.runs_on(guest), [s.home(guest)]);
        assert_eq!(s.status(guest), "ACTIVE");
    }
    s.pass(600).await;
    assert_eq!(commands(&s).len(), 1, "off stays off and nothing is repeated");

    s.declare("a", json!({"power": "On"})).await;
    s.until("enabled again", |w| w.services_shown().iter().any(|r| r.host == "a" && r.enabled == Some(true) && r.up == Some(true))).await;
    becomes(&s, "a", "On").await;
    assert_eq!(commands(&s), [power::Command::SoftOff, power::Command::On]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_an_operator_had_disabled_stays_disabled_when_it_comes_back() {
    let s = given(&["a", "b", "c"]).start().await;
    let change = cloud::ServiceChange { enabled: Some(false), disabled_reason: Some("theirs".into()), ..Default::default() };
    s.nova("a", change);
    s.declare("a", json!({"power": "Off"})).await;
    becomes(&s, "a", "Off").await;

    s.declare("a", json!({"power": "On"})).await;
    becomes(&s, "a", "On").await;
    s.pass(300).await;

    assert_eq!(s.service("a").enabled, Some(false));
    assert_eq!(s.service("a").disabled_reason.as_deref(), Some("theirs"));
}

#[tokio::test(start_paused = true)]
async fn an_operating_system_that_does_not_heed_the_soft_off_is_powered_off_hard_after_the_time_out() {
    let s = given(&["a", "b", "c"]).start().await;
    s.with(|w| w.set_soft_off_works("a", false));

    s.declare("a", json!({"power": "Off"})).await;
    becomes(&s, "a", "Off").await;

    let sent = s.calls(CallKind::PowerSet);
    assert_eq!(commands(&s), [power::Command::SoftOff, power::Command::ForceOff], "{}", s.story());
    assert!(sent[1].at - sent[0].at >= 300_000, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_shorter_time_out_of_one_host_is_heeded() {
    let s = given(&["a", "b", "c"]).start().await;
    s.with(|w| w.set_soft_off_works("a", false));

    s.declare("a", json!({"power": "Off", "softOffTimeoutSeconds": 30})).await;
    becomes(&s, "a", "Off").await;

    let sent = s.calls(CallKind::PowerSet);
    assert!((30_000..60_000).contains(&(sent[1].at - sent[0].at)), "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_guests_are_to_be_stopped_is_powered_off_with_them() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 2);

    s.declare("a", json!({"power": "Off", "guestsOnPowerOff": "Stop"})).await;
    becomes(&s, "a", "Off").await;

    assert_eq!(s.calls(CallKind::Stop).len(), 2);
    assert_eq!(s.calls(CallKind::LiveMigrate), []);
    for guest in &guests {
        assert_eq!((s.home(guest), s.status(guest)), ("a".to_string(), "SHUTOFF".to_string()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_waits_for_its_guests_is_powered_off_when_they_are_gone() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");

    s.declare("a", json!({"power": "Off", "guestsOnPowerOff": "Wait"})).await;
    let message = s.waits("Host", "a", "GuestCannotMove").await;
    s.pass(120).await;
    assert!(message.contains("web") && message.contains("guestsOnPowerOff is Wait"), "{message}");
    assert_eq!(s.calls(CallKind::LiveMigrate).len() + s.calls(CallKind::Stop).len() + s.calls(CallKind::PowerSet).len(), 0);

    s.with(|w| w.delete_guest(&guest));
    becomes(&s, "a", "Off").await;
}

#[tokio::test(start_paused = true)]
async fn power_off_refuses_while_guests_run_and_names_them() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");

    let op = s.operate("a", "PowerOff", json!({})).await;
    let (reason, message) = s.fails("HostOperation", &op).await;

    assert_eq!(reason, "GuestsRunning");
    assert!(message.contains("web") && message.contains("drain a") && message.contains("Kill"), "{message}");
    assert_eq!(s.all_calls(), 0, "not even the service was touched");
    assert_eq!(s.runs_on(&guest), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn power_off_with_kill_powers_off_and_proves_it() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");

    let op = s.operate("a", "PowerOff", json!({"runningGuests": "Kill"})).await;
    s.succeeds("HostOperation", &op).await;

    assert!(!s.is_on("a"));
    assert_eq!(commands(&s), [power::Command::ForceOff]);
    assert_eq!(s.runs_on(&guest), Vec::<String>::new());
    assert_eq!(s.home(&guest), "a", "nothing was evacuated");
}

#[tokio::test(start_paused = true)]
async fn power_cycle_proves_off_before_it_powers_on() {
    let s = given(&["a", "b", "c"]).start().await;

    let op = s.operate("a", "PowerCycle", json!({"runningGuests": "Kill"})).await;
    s.succeeds("HostOperation", &op).await;

    assert_eq!(commands(&s), [power::Command::ForceOff, power::Command::On]);
    let sent = s.calls(CallKind::PowerSet);
    assert!(sent[1].at - sent[0].at >= 5_000, "{}", s.story());
    assert!(s.is_on("a"));
}

#[tokio::test(start_paused = true)]
async fn power_cycle_of_an_empty_host_gives_it_back_enabled() {
    let s = given(&["a", "b", "c"]).start().await;

    let op = s.operate("a", "PowerCycle", json!({})).await;
    s.succeeds("HostOperation", &op).await;
    s.pass(120).await;

    assert!(s.is_on("a"));
    assert_eq!((s.service("a").enabled, s.service("a").up), (Some(true), Some(true)), "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_soft_off_that_is_not_heeded_fails_and_says_what_to_use() {
    let s = given(&["a", "b", "c"]).start().await;
    s.with(|w| w.set_soft_off_works("a", false));

    let op = s.operate("a", "SoftOff", json!({"runningGuests": "Kill"})).await;
    s.ends_within("HostOperation", &op, 600).await;
    let (_, message) = s.fails("HostOperation", &op).await;

    assert!(message.contains("use PowerOff"), "{message}");
    assert_eq!(commands(&s), [power::Command::SoftOff], "never a hard one");
    assert!(s.is_on("a"));
}

#[tokio::test(start_paused = true)]
async fn shutdown_with_a_guest_that_cannot_move_waits_or_stops_it_as_asked() {
    for allow in [false, true] {
        let s = given(&["a", "b", "c"]).start().await;
        let stuck = s.add(GuestSpec { cannot_migrate: true, ..GuestSpec::new("gpu", "a") });
        let web = s.guest("web", "a");

        let more = if allow { json!({"allowOffVm": "Allow"}) } else { json!({}) };
        let op = s.operate("a", "Shutdown", more).await;

        if allow {
            s.ends_within("HostOperation", &op, 1_800).await;
            s.succeeds("HostOperation", &op).await;
            assert!(!s.is_on("a"));
            assert_eq!((s.home(&stuck), s.status(&stuck)), ("a".to_string(), "SHUTOFF".to_string()));
        } else {
            s.waits("HostOperation", &op, "GuestCannotMove").await;
            s.pass(900).await;
            let told = s.rig.get("HostOperation", &op).await;
            assert!(told.status["left"][0].as_str().is_some_and(|l| l.contains("gpu")), "{:#}", told.status);
            assert!(s.is_on("a"));
            assert_eq!(s.runs_on(&stuck), ["a"]);
        }
        assert_ne!(s.home(&web), "a");
        assert_eq!(s.runs_on(&web), [s.home(&web)]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_contradicts_the_declared_state_is_refused_naming_the_field() {
    let s = given(&["a", "b"]).start().await;
    s.declare("a", json!({"power": "On"})).await;
    for (what, field) in [("PowerOff", "spec.power"), ("SoftOff", "spec.power"), ("Shutdown", "spec.power")] {
        let refused = s.operate_as("no", "a", what, json!({})).await.expect_err(what).to_string();
        assert!(refused.contains(field) && refused.contains("On"), "{refused}");
    }
    s.declare("b", json!({"schedulable": "Enabled"})).await;
    let refused = s.operate_as("no", "b", "Drain", json!({})).await.expect_err("Drain").to_string();
    assert!(refused.contains("spec.schedulable"), "{refused}");
    assert_eq!(s.all_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_keeps_the_host_disabled_until_enable() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 2);
    let drain = s.operate("a", "Drain", json!({})).await;
    s.succeeds("HostOperation", &drain).await;
    s.pass(600).await;
    assert_eq!(s.service("a").enabled, Some(false));
    assert!(guests.iter().all(|g| s.home(g) != "a"));

    let enable = s.operate("a", "Enable", json!({})).await;
    s.succeeds("HostOperation", &enable).await;
    assert_eq!(s.service("a").enabled, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_declared_scheduling_state_is_kept_against_changes_from_outside() {
    let s = given(&["a", "b"]).start().await;
    s.declare("a", json!({"schedulable": "Disabled"})).await;
    s.until("disabled", |w| w.services_shown().iter().any(|r| r.host == "a" && r.enabled == Some(false))).await;

    s.nova("a", cloud::ServiceChange { enabled: Some(true), ..Default::default() });
    s.until("disabled again", |w| w.services_shown().iter().any(|r| r.host == "a" && r.enabled == Some(false))).await;

    s.declare("a", json!({"schedulable": "Enabled"})).await;
    s.until("enabled", |w| w.services_shown().iter().any(|r| r.host == "a" && r.enabled == Some(true))).await;
}
