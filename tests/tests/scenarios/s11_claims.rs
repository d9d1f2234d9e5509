//! S11: claims have ranks.

use crate::stage::given;
use serde_json::json;
use simulator::{CallKind, HostFault};
use workspace_tests::waits_for;

#[tokio::test(start_paused = true)]
async fn an_evacuation_takes_a_host_over_from_a_drain_which_goes_on_after_it() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 20_000).start().await;
    let guests = s.guests("web", "a", 3);
    let drain = s.operate("a", "Drain", json!({})).await;
    s.until("moving", |w| guests.iter().any(|g| w.records_of(g).iter().any(|r| r.1 == "running"))).await;

    let ev = s.evacuate("a", json!({})).await;
    s.waits("HostOperation", &drain, "HostClaimed").await;
    s.ends_within("Evacuation", &ev, 600).await;
    s.succeeds("Evacuation", &ev).await;
    s.succeeds("HostOperation", &drain).await;

    for guest in &guests {
        assert_eq!(s.records(guest, "live-migration"), ["completed"], "what the drain had begun is not begun again:\n{}", s.story());
        assert_eq!(s.runs_on(guest), [s.home(guest)]);
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_takes_a_host_over_from_its_declared_power_off() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 30_000).start().await;
    let guests = s.guests("web", "a", 2);
    s.declare("a", json!({"power": "Off"})).await;
    s.until_called(CallKind::LiveMigrate, 1).await;

    let ev = s.evacuate("a", json!({})).await;
    let host = s.wait("Host", "a", "giving way", |o| waits_for(o) == "HostClaimed").await;
    assert!(host.status["waiting"]["message"].as_str().is_some_and(|m| m.contains("Evacuation/")), "{:#}", host.status);
    s.ends_within("Evacuation", &ev, 600).await;
    s.succeeds("Evacuation", &ev).await;

    // Then the host goes on with what it was declared to be.
    let off = |o: &schemas::DynObject| o.status["power"]["state"] == "Off" && workspace_tests::condition(o, "Ready") == "True";
    s.rig.wait("Host", "a", "off", std::time::Duration::from_secs(600), off).await;
    for guest in &guests {
        assert_eq!(s.runs_on(guest), [s.home(guest)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_under_an_operation_can_be_evacuated_all_the_same() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 2);
    s.hurt("a", HostFault::BmcUnreachable);
    let off = s.operate("a", "PowerOff", json!({"runningGuests": "Kill"})).await;
    s.waits("HostOperation", &off, "PowerUnreadable").await;
    s.crash_host("a").await;
    s.with(|w| w.set_bmc_reachable("a", true));
    s.press("a", power::Command::On);

    let ev = s.evacuate("a", json!({})).await;
    s.ends_within("Evacuation", &ev, 600).await;
    s.succeeds("Evacuation", &ev).await;

    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_second_operation_or_evacuation_on_a_host_is_refused_and_the_first_is_named() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 60_000).start().await;
    s.guest("web", "a");
    let drain = s.operate("a", "Drain", json!({})).await;

    let refused = s.operate_as("other", "a", "PowerOff", json!({})).await.expect_err("a second operation");
    let words = refused.to_string();
    assert!(words.contains(&format!("HostOperation/{drain} is under way on Host a")), "{words}");

    // Asking for the very same again gives the one under way.
    let same = s.operate_as("drain-a-again", "a", "Drain", json!({})).await.expect("the same");
    assert_eq!(same.metadata.name, drain);

    let ev = s.evacuate("a", json!({})).await;
    let refused =
        s.rig.try_create("Evacuation", "second", json!({"hostRef": {"name": "a"}, "mode": "Rebuild"})).await.expect_err("a second evacuation");
    assert!(refused.to_string().contains(&ev), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_declared_host_waits_while_an_operation_works_on_it() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 30_000).start().await;
    s.guest("web", "a");
    let drain = s.operate("a", "Drain", json!({})).await;
    s.until_called(CallKind::LiveMigrate, 1).await;

    s.declare("a", json!({"power": "Off"})).await;
    let message = s.waits("Host", "a", "HostClaimed").await;

    assert!(message.contains(&drain), "{message}");
    assert_eq!(s.calls(CallKind::PowerSet), []);
    s.succeeds("HostOperation", &drain).await;
    s.until_called(CallKind::PowerSet, 1).await;
}
