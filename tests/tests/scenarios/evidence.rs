//! Other channels: they hold a recovery up, and begin nothing.

use crate::stage::{Stage, given};
use schemas::v1::Says::{Alive, Silent};
use serde_json::{Value, json};
use simulator::{CallKind, HostFault};
use workspace_tests::{message, reason};

/// One host may be down; `evidence` is the policy's.
async fn watched(evidence: Value) -> (Stage, Vec<String>) {
    let s = given(&["a", "b", "c", "d"]).start().await;
    let guests = s.guests("web", "a", 2);
    let detection = json!({"intervalSeconds": 10, "downConfirmations": 2, "quietSeconds": 20});
    s.rig.patch("RemediationPolicy", "default", json!({"limits": {"maxDownHosts": 1}, "detection": detection, "evidence": evidence})).await;
    s.wait("Host", "a", "up", |o| o.status["availability"]["state"] == "Up").await;
    (s, guests)
}

async fn is_held(s: &Stage, why: &str) -> String {
    let held = s.wait("Host", "a", why, |o| o.status["availability"]["state"] == "Down" && reason(o, "RemediationAllowed") == why).await;
    message(&held, "RemediationAllowed").to_string()
}

/// A channel says so every ten seconds.
async fn keeps_saying(s: &Stage, says: schemas::v1::Says, times: usize) {
    for _ in 0..times {
        s.hear("a", says, 1).await;
        s.pass(10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_only_nova_compute_died_and_a_channel_says_alive_nobody_is_fenced_until_that_is_stale() {
    let (s, guests) = watched(json!({})).await;
    s.hurt("a", HostFault::NovaComputeDown);
    keeps_saying(&s, Alive, 30).await;

    let told = is_held(&s, "AliveElsewhere").await;
    assert!(told.contains("channel storage called it alive") && told.contains("`evacuate a` by hand"), "{told}");
    assert_eq!(s.all_calls(), 0, "{}", s.story());
    assert!(s.rig.list("Evacuation").await.is_empty());
    guests.iter().for_each(|g| assert_eq!(s.runs_on(g), ["a"]));

    // The channel falls silent as well: what it said last does not hold for ever.
    s.succeeds("Evacuation", "auto-a-1").await;
    guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn without_another_channel_such_a_host_is_fenced_and_evacuated_once() {
    let (s, guests) = watched(json!({})).await;
    s.hurt("a", HostFault::NovaComputeDown);
    s.succeeds("Evacuation", "auto-a-1").await;
    guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
    s.pass(300).await;
    assert_eq!(s.rig.list("Evacuation").await.len(), 1);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_second_channel_that_is_demanded_is_waited_for() {
    let (s, guests) = watched(json!({"demand": "SecondChannelSilent"})).await;
    s.hurt("a", HostFault::Crash);
    is_held(&s, "EvidenceMissing").await;
    s.pass(120).await;
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    // Seen too long ago: it is no evidence of now.
    s.hear("a", Silent, 90).await;
    s.pass(60).await;
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    s.hear("a", Silent, 1).await;
    s.succeeds("Evacuation", "auto-a-1").await;
    guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_and_has_not_fenced_ends_untouched_when_a_channel_says_alive() {
    let (s, guests) = watched(json!({})).await;
    s.hurt("a", HostFault::BmcUnreachable);
    s.hurt("a", HostFault::NovaComputeDown);
    s.waits("Evacuation", "auto-a-1", "HostInDoubt").await;

    s.hear("a", Alive, 1).await;
    let (reason, message) = s.fails("Evacuation", "auto-a-1").await;
    assert!(reason == "AliveElsewhere" && message.contains("it was not fenced"), "{reason}: {message}");
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    // It is down all the same, and begun for again once nobody calls it alive.
    s.wait("Evacuation", "auto-a-2", "there", |_| true).await;
    guests.iter().for_each(|g| assert_eq!(s.runs_on(g), ["a"]));
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_waits_for_its_bmc_ends_untouched_when_a_channel_says_alive() {
    let (s, guests) = watched(json!({})).await;
    s.rig.patch("RemediationPolicy", "default", json!({"restart": "Allow"})).await;
    s.with(|w| w.set_bmc_reachable("a", false));
    s.hurt("a", HostFault::NovaComputeDown);
    s.waits("HostOperation", "auto-restart-a-1", "HostInDoubt").await;

    // Its BMC answers again in the same moment: nothing but the channel speaks for the host.
    s.hear("a", Alive, 1).await;
    s.with(|w| w.set_bmc_reachable("a", true));
    let (reason, message) = s.fails("HostOperation", "auto-restart-a-1").await;

    assert!(reason == "AliveElsewhere" && message.contains("it was not switched off"), "{reason}: {message}");
    keeps_saying(&s, Alive, 30).await;
    is_held(&s, "AliveElsewhere").await;
    assert_eq!(s.all_calls(), 0, "{}", s.story());
    guests.iter().for_each(|g| assert_eq!(s.runs_on(g), ["a"]));
}

#[tokio::test(start_paused = true)]
async fn a_demanded_silence_that_goes_missing_holds_what_has_not_fenced_until_it_is_heard_again() {
    let (s, guests) = watched(json!({"demand": "SecondChannelSilent"})).await;
    s.with(|w| w.set_bmc_reachable("a", false));
    s.hurt("a", HostFault::Crash);
    keeps_saying(&s, Silent, 12).await;
    s.waits("Evacuation", "auto-a-1", "HostInDoubt").await;

    let told = s.waits("Evacuation", "auto-a-1", "EvidenceMissing").await;
    s.with(|w| w.set_bmc_reachable("a", true));
    s.pass(300).await;
    assert!(told.contains("/v1/evidence"), "{told}");
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    s.hear("a", Silent, 1).await;
    s.succeeds("Evacuation", "auto-a-1").await;
    guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_takeover_makes_nothing_fresh_that_was_stale() {
    let (mut s, _) = watched(json!({"demand": "SecondChannelSilent"})).await;
    s.hurt("a", HostFault::Crash);
    s.hear("a", Silent, 1).await;
    s.pass(61).await;
    is_held(&s, "EvidenceMissing").await;
    s.takeover().await;
    s.pass(180).await;
    is_held(&s, "EvidenceMissing").await;
    assert_eq!(s.calls(CallKind::PowerSet), [], "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn the_levels_of_evidence_are_told_with_the_host() {
    let (s, _) = watched(json!({"attestation": "Refused"})).await;
    s.press("a", power::Command::ForceOff);
    s.hurt("a", HostFault::BmcUnreachable);
    keeps_saying(&s, Silent, 9).await;
    s.attest("a", 1, 3_600).await.expect("it is taken");
    keeps_saying(&s, Silent, 2).await;
    let host = s.rig.get("Host", "a").await;
    assert_eq!(
        host.status["availability"]["evidence"],
        json!(["L0 ServiceSilent", "L1 ChannelSilent storage", "L5 Attested attest-a in epoch 1"]),
        "{:#}",
        host.status
    );
}
