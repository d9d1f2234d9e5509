//! S3: nothing is powered off or fenced through a link that is not verified.

use crate::stage::{bmc, given, link};
use serde_json::json;
use simulator::CallKind;
use workspace_tests::condition;

#[tokio::test(start_paused = true)]
async fn nothing_is_powered_or_fenced_through_a_link_that_nobody_verified() {
    let s = given(&["a", "b", "c"]).unverified().start().await;
    s.guest("web", "a");
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
    let message = s.waits("Evacuation", &ev, "NoVerifiedPowerLink").await;
    let off = s.operate("b", "PowerOff", json!({"runningGuests": "Kill"})).await;
    s.waits("HostOperation", &off, "NoVerifiedPowerLink").await;
    let on = s.operate("c", "PowerCycle", json!({"runningGuests": "Kill"})).await;
    s.waits("HostOperation", &on, "NoVerifiedPowerLink").await;
    s.pass(120).await;

    assert!(message.contains("link-a") && message.contains("initialise a"), "{message}");
    assert_eq!(s.all_calls(), 0, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_dead_host_that_reads_off_through_an_unverified_link_proves_nothing() {
    let s = given(&["a", "b", "c"]).unverified().start().await;
    let guest = s.guest("web", "a");
    s.press("a", power::Command::ForceOff);
    s.until("down in Nova", |w| w.is_up("a") == Some(false)).await;

    let ev = s.evacuate("a", json!({})).await;
    s.waits("Evacuation", &ev, "NoVerifiedPowerLink").await;
    s.pass(60).await;

    assert_eq!(s.calls(CallKind::Evacuate), []);
    assert_eq!(s.home(&guest), "a");
}

#[tokio::test(start_paused = true)]
async fn initialise_by_identity_verifies_the_machine_that_the_inventory_names() {
    let s = given(&["a", "b"]).unverified().start().await;
    let identity = s.with(|w| w.bmc_identity("a")).expect("an identity");
    s.rig.patch("PowerLink", &link("a"), json!({"identity": {"systemUuid": identity.system_uuid, "serialNumber": identity.serial_number}})).await;

    let op = s.operate("a", "Initialise", json!({"method": "Identity"})).await;
    s.succeeds("HostOperation", &op).await;

    let found = s.rig.get("PowerLink", &link("a")).await;
    assert_eq!(found.status["verification"]["by"], "Identity");
    assert_eq!(s.all_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn initialise_by_identity_refuses_another_machine_and_names_it() {
    let s = given(&["a", "b"]).unverified().start().await;
    let other = s.with(|w| w.bmc_identity("b")).expect("an identity").serial_number;
    s.rig.patch("PowerLink", &link("a"), json!({"identity": {"serialNumber": other}})).await;

    let op = s.operate("a", "Initialise", json!({"method": "Identity"})).await;
    let (reason, message) = s.fails("HostOperation", &op).await;

    assert_eq!(reason, "Refused");
    assert!(message.contains("serialNumber") && message.contains("another machine"), "{message}");
    assert_ne!(condition(&s.rig.get("PowerLink", &link("a")).await, "Verified"), "True");
}

#[tokio::test(start_paused = true)]
async fn a_link_whose_identity_stops_fitting_after_a_change_of_its_device_is_verified_no_longer() {
    let s = given(&["a", "b"]).unverified().start().await;
    let identity = s.with(|w| w.bmc_identity("a")).expect("an identity");
    s.rig.patch("PowerLink", &link("a"), json!({"identity": {"serialNumber": identity.serial_number}})).await;
    s.wait("PowerLink", &link("a"), "verified by itself", |o| condition(o, "Verified") == "True").await;

    s.rig.patch("PowerDevice", &bmc("a"), json!({"endpoint": {"host": "b"}})).await;

    s.rig.wait("PowerLink", &link("a"), "not verified", std::time::Duration::from_secs(600), |o| condition(o, "Verified") == "False").await;
    let off = s.operate("a", "PowerOff", json!({"runningGuests": "Kill"})).await;
    s.waits("HostOperation", &off, "NoVerifiedPowerLink").await;
    assert!(s.is_on("b") && s.is_on("a"));
}

#[tokio::test(start_paused = true)]
async fn a_changed_endpoint_clears_an_attestation_at_once() {
    let s = given(&["a", "b", "c"]).start().await;
    s.guest("web", "a");
    s.crash_host("a").await;

    s.rig.patch("PowerDevice", &bmc("a"), json!({"endpoint": {"host": "b"}})).await;
    let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
    s.waits("Evacuation", &ev, "NoVerifiedPowerLink").await;
    s.pass(60).await;

    assert_eq!(s.calls(CallKind::PowerSet), [], "{}", s.story());
    assert!(s.is_on("b"));
}

#[tokio::test(start_paused = true)]
async fn another_nova_service_under_the_same_name_clears_the_verification() {
    let s = given(&["a", "b", "c"]).start().await;
    s.with(|w| {
        w.remove_host("a");
        w.add_host(simulator::HostSpec::new("a"));
    });
    s.guest("web", "a");
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
    s.waits("Evacuation", &ev, "NoVerifiedPowerLink").await;

    assert_eq!(s.all_calls(), 0, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn initialise_by_cycle_verifies_an_empty_host_whose_service_alone_falls_silent_and_comes_back() {
    let s = given(&["a", "b", "c"]).unverified().start().await;

    let op = s.operate("a", "Initialise", json!({"method": "Cycle"})).await;
    s.ends_within("HostOperation", &op, 900).await;
    s.succeeds("HostOperation", &op).await;

    let found = s.rig.get("PowerLink", &link("a")).await;
    assert_eq!(found.status["verification"]["by"], "Cycle");
    let commands: Vec<String> = s.calls(CallKind::PowerSet).iter().map(|c| format!("{:?}", c.call)).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    assert!(commands[0].contains("ForceOff") && commands[1].contains("On"), "{commands:?}");
    assert_eq!((s.service("a").enabled, s.service("a").up), (Some(true), Some(true)), "it is given back as it was");
}

#[tokio::test(start_paused = true)]
async fn initialise_by_cycle_refuses_a_link_that_powers_another_host_and_powers_that_one_on_again() {
    let s = given(&["a", "b", "c"]).unverified().miswired("a", "b").start().await;

    let op = s.operate("a", "Initialise", json!({"method": "Cycle"})).await;
    s.ends_within("HostOperation", &op, 3_600).await;
    let (reason, message) = s.fails("HostOperation", &op).await;

    assert_eq!(reason, "Refused");
    assert!(message.contains("does not power host a") && message.contains("(b)"), "{message}");
    assert_ne!(condition(&s.rig.get("PowerLink", &link("a")).await, "Verified"), "True");
    assert!(s.is_on("a") && s.is_on("b"), "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn initialise_by_cycle_refuses_a_host_on_which_a_guest_runs() {
    let s = given(&["a", "b", "c"]).unverified().start().await;
    let guest = s.guest("web", "a");

    let op = s.operate("a", "Initialise", json!({"method": "Cycle"})).await;
    let (reason, message) = s.fails("HostOperation", &op).await;

    assert_eq!(reason, "GuestsRunning", "{message}");
    assert_eq!(s.calls(CallKind::PowerSet), []);
    assert_eq!(s.runs_on(&guest), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_attestation_keeps_who_stated_it_and_what_it_holds_for() {
    let s = given(&["a", "b"]).start().await;
    let found = s.rig.get("PowerLink", &link("a")).await;
    assert_eq!(found.status["verification"]["by"], "Attestation");
    assert_eq!(found.status["verification"]["who"], "operator");
    assert_eq!(found.status["verification"]["binding"]["serviceId"], s.service("a").id);
}
