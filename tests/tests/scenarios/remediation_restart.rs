//! Restart first: a host that is down is switched off and on before its guests are evacuated.

use crate::{
    remediation::{evacuations, host_is, is_held, watched},
    stage::Stage,
};
use serde_json::json;
use simulator::{Call, CallKind, HostFault};
use workspace_tests::{condition, reason};

/// One host may be down; it is restarted first, within five minutes.
async fn restarted() -> Stage {
    let s = watched(json!({"maxDownHosts": 1})).await;
    s.rig.patch("RemediationPolicy", "default", json!({"restart": "Allow", "restartTimeoutSeconds": 300})).await;
    s
}

async fn operations(s: &Stage) -> Vec<String> {
    s.rig.list("HostOperation").await.into_iter().map(|o| o.metadata.name).filter(|name| name.starts_with("auto-")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_is_switched_off_and_on_and_nothing_is_evacuated() {
    let s = restarted().await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;

    s.hurt("a", HostFault::Crash);
    let restarting = host_is(&s, "a", "Restarting").await;
    let policy = s.wait("RemediationPolicy", "default", "counted", |o| o.status["unhealthy"] == 1).await;
    let op = s.succeeds("HostOperation", "auto-restart-a-1").await;
    let up = host_is(&s, "a", "Up").await;
    s.pass(600).await;

    assert_eq!(reason(&restarting, "RemediationAllowed"), "Progressing");
    assert_eq!((&op.spec["type"], &op.spec["runningGuests"], &op.spec["cause"]), (&json!("PowerCycle"), &json!("Kill"), &json!("Automatic")));
    assert_eq!((policy.status["begun"].clone(), up.status["availability"]["returns"].as_array().map(Vec::len)), (json!(1), Some(1)));
    assert!(evacuations(&s).await.is_empty());
    assert_eq!((operations(&s).await, s.home(&guest)), (vec!["auto-restart-a-1".to_string()], "a".to_string()));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_come_up_again_in_time_is_evacuated() {
    let s = restarted().await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    s.until("it is switched off", |w| !w.power_is_on("a")).await;
    // Its disk is broken as well: it never boots.
    s.succeeds("HostOperation", "auto-restart-a-1").await;
    s.hurt("a", HostFault::Crash);
    let began = s.now();

    let ended = s.ends_within("Evacuation", "auto-a-1", 900).await;

    assert_eq!(condition(&ended, "Succeeded"), "True", "{:#}", ended.status);
    assert!(ended.metadata.creation_timestamp.expect("a time").seconds_since(began) >= 200);
    s.was_rebuilt_once(&guest, "a");
    let host = host_is(&s, "a", "Recovered").await;
    assert_eq!(host.status["availability"]["downs"], 1, "{:#}", host.status);
    assert_eq!((evacuations(&s).await.len(), operations(&s).await.len()), (1, 1));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_power_cannot_be_read_is_not_restarted_and_its_evacuation_says_what_is_missing() {
    let s = restarted().await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.with(|w| w.set_bmc_reachable("a", false));
    s.hurt("a", HostFault::Crash);

    host_is(&s, "a", "Restarting").await;
    s.waits("HostOperation", "auto-restart-a-1", "HostInDoubt").await;
    let ended = s.ends_within("HostOperation", "auto-restart-a-1", 600).await;
    assert_eq!(reason(&ended, "Succeeded"), "Cancelled", "{:#}", ended.status);
    s.waits("Evacuation", "auto-a-1", "HostInDoubt").await;
    assert!(s.calls(CallKind::PowerSet).is_empty(), "{}", s.story());

    s.with(|w| w.set_bmc_reachable("a", true));
    s.succeeds("Evacuation", "auto-a-1").await;
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_reports_again_is_not_switched_off() {
    let s = restarted().await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.with(|w| w.set_bmc_reachable("a", false));
    s.hurt("a", HostFault::NovaComputeDown);
    s.waits("HostOperation", "auto-restart-a-1", "HostInDoubt").await;

    s.with(|w| w.start_compute("a"));
    let ended = s.ends("HostOperation", "auto-restart-a-1").await;

    assert_eq!(reason(&ended, "Succeeded"), "HostReturned", "{:#}", ended.status);
    s.hurt("a", HostFault::None);
    host_is(&s, "a", "Up").await;
    s.pass(300).await;
    assert_eq!((s.runs_on(&guest), s.all_calls()), (vec!["a".to_string()], 0), "{}", s.story());
    assert!(evacuations(&s).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_guest_may_have_arrived_elsewhere_is_not_booted() {
    let s = restarted().await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.with(|w| w.call(Call::LiveMigrate { server: guest.clone(), destination: Some("b".into()) })).result.expect("accepted");
    s.until("on its way", |w| w.records_of(&guest).iter().any(|r| r.1 == "running")).await;
    s.hurt("a", HostFault::Crash);

    let ended = s.ends("HostOperation", "auto-restart-a-1").await;
    s.wait("Evacuation", "auto-a-1", "begun", |_| true).await;
    s.pass(300).await;

    assert_eq!(reason(&ended, "Succeeded"), "MoveInFlight", "{:#}", ended.status);
    let on = |c: &&simulator::CallRecord| matches!(c.call, Call::Power { command: power::Command::On, .. });
    assert_eq!(s.calls(CallKind::PowerSet).iter().filter(on).count(), 0, "{}", s.story());
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_in_the_middle_of_a_restart_leaves_it_to_the_next_one() {
    let mut s = restarted().await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    s.until("it is switched off", |w| !w.power_is_on("a")).await;

    s.takeover().await;
    let op = s.ends_within("HostOperation", "auto-restart-a-1", 900).await;

    assert!(["True", "False"].contains(&condition(&op, "Succeeded")), "{:#}", op.status);
    s.pass(1_200).await;
    assert_eq!(operations(&s).await, ["auto-restart-a-1"]);
    assert!(evacuations(&s).await.len() <= 1);
    assert!(s.runs_on(&guest).len() <= 1);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_storm_restarts_nobody() {
    let s = restarted().await;
    host_is(&s, "a", "Up").await;
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    is_held(&s, "a", "StormLimit").await;
    is_held(&s, "b", "StormLimit").await;
    s.pass(600).await;
    assert!(operations(&s).await.is_empty());
    assert_eq!(s.all_calls(), 0, "{}", s.story());
}
