//! I4: the BMC died with its host, and a person says so.

use crate::stage::{Stage, given};
use power::Command;
use registry::RegistryError;
use serde_json::json;
use simulator::{CallKind, HostFault};
use workspace_tests::{condition, message, reason};

/// Host `a` and its BMC are without power; Nova shows it down. It had so many guests.
async fn burnt(guests: usize, rebuild_ms: i64) -> (Stage, Vec<String>) {
    let s = given(&["a", "b", "c"]).with(|c| c.rebuild_ms = rebuild_ms).policy(json!({"maxPerHost": 1})).start().await;
    let guests = s.guests("web", "a", guests);
    s.press("a", Command::ForceOff);
    s.hurt("a", HostFault::BmcUnreachable);
    s.until("down in Nova", |w| w.is_up("a") == Some(false)).await;
    (s, guests)
}

/// Its BMC answers again, or someone powers it on where nobody can read it.
fn revive(s: &Stage, bmc: bool) {
    s.with(|w| w.set_bmc_reachable("a", true));
    s.press("a", Command::On);
    s.with(|w| w.set_bmc_reachable("a", bmc));
}

async fn ended(s: &Stage, name: &str, why: &str) {
    s.ends("FenceAttestation", name).await;
    let object = s.rig.get("FenceAttestation", name).await;
    assert_eq!(reason(&object, "Succeeded"), why, "{:#}", object.status);
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_until_a_person_says_that_it_is_dead_then_its_guests_come_back_once() {
    let (s, guests) = burnt(3, 1_000).await;
    let ev = s.evacuate("a", json!({})).await;
    s.pass(300).await;
    assert_eq!(s.all_calls(), 1, "the button alone was pressed: {}", s.story());
    let (word, why) = s.why("Evacuation", &ev).await;
    assert!(word == "NeedsHuman" && why.contains("`cloud-manager attest a` (its power epoch is 1)"), "{word}: {why}");
    assert_eq!(condition(&s.rig.get("Evacuation", &ev).await, "Stalled"), "True");
    let events = s.rig.store.events(None, 1_000).await.expect("the store");
    let called: Vec<_> = events.iter().filter(|e| e.spec["reason"] == "NeedsHuman").map(|e| (&e.spec["type"], &e.spec["count"])).collect();
    assert_eq!(called, [(&json!("Warning"), &json!(1))], "a person is called once, and aloud");

    s.attest("a", 1, 3_600).await.expect("it is taken");
    let done = s.succeeds("Evacuation", &ev).await;

    guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
    assert_eq!(reason(&done, "EvidenceSufficient"), "Attested");
    assert_eq!(message(&done, "EvidenceSufficient"), "L5 Attested: FenceAttestation/attest-a of operator, for power epoch 1");
    assert_eq!(s.calls(CallKind::PowerSet).len(), 1, "no command goes to a BMC that does not answer");
    ended(&s, "attest-a", "Used").await;
    let attestation = s.rig.get("FenceAttestation", "attest-a").await;
    assert_eq!((&attestation.status["by"], &attestation.status["usedBy"]), (&json!("operator"), &json!("Evacuation/evacuation-a")));
    let host = s.wait("Host", "a", "fenced", |o| reason(o, "Fenced") == "AttestedByHuman").await;
    assert!(message(&host, "Fenced").contains("FenceAttestation/attest-a of operator"), "{:#}", host.status);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn one_of_another_epoch_or_without_an_end_or_beside_another_is_refused() {
    let (s, _) = burnt(1, 1_000).await;
    let Err(RegistryError::Refused { code, message, .. }) = s.attest("a", 2, 600).await else { panic!("taken") };
    assert!(code == "wrong-epoch" && message.contains("is in power epoch 1"), "{code}: {message}");
    for seconds in [0, -60, 86_401] {
        let Err(RegistryError::Invalid(errors)) = s.attest("a", 1, seconds).await else { panic!("{seconds} is taken") };
        assert_eq!(errors[0].field, "spec.expiresAt");
    }
    let Err(RegistryError::Invalid(errors)) = s.attest("nowhere", 1, 600).await else { panic!("taken") };
    assert_eq!((errors[0].field.as_str(), errors[0].reason.as_str()), ("spec.hostRef.name", "NotFound"));
    s.attest("a", 1, 600).await.expect("it is taken");
    let other = json!({"hostRef": {"name": "a"}, "powerEpoch": 1, "statement": "I saw it burn as well", "expiresAt": s.now().plus_seconds(60)});
    let Err(RegistryError::Refused { code, .. }) = s.rig.try_create("FenceAttestation", "another", other).await else { panic!("taken") };
    assert_eq!(code, "attestation-in-force");
}

#[tokio::test(start_paused = true)]
async fn one_that_expired_or_was_withdrawn_before_it_was_used_moves_nothing() {
    for withdrawn in [true, false] {
        let (s, guests) = burnt(1, 1_000).await;
        s.attest("a", 1, if withdrawn { 3_600 } else { 20 }).await.expect("it is taken");
        if withdrawn {
            s.cancel("FenceAttestation", "attest-a").await;
        } else {
            s.pass(21).await;
        }
        let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
        s.waits("Evacuation", &ev, "PowerUnreadable").await;
        s.pass(120).await;
        ended(&s, "attest-a", if withdrawn { "Withdrawn" } else { "Expired" }).await;
        assert_eq!(s.all_calls(), 1, "{}", s.story());
        assert_eq!(s.home(&guests[0]), "a");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_withdrawn_in_the_middle_stops_what_was_not_sent_yet() {
    let (s, guests) = burnt(3, 15_000).await;
    let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
    s.attest("a", 1, 3_600).await.expect("it is taken");
    s.until_called(CallKind::Evacuate, 1).await;

    s.cancel("FenceAttestation", "attest-a").await;
    s.waits("Evacuation", &ev, "PowerUnreadable").await;
    s.pass(180).await;

    assert_eq!(s.calls(CallKind::Evacuate).len(), 1, "{}", s.story());
    assert_eq!(guests.iter().filter(|g| s.home(g) == "a").count(), 2);
    ended(&s, "attest-a", "Withdrawn").await;
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_bmc_that_answers_on_ends_the_epoch_and_nothing_is_sent_on_that_word() {
    let (s, guests) = burnt(1, 1_000).await;
    s.attest("a", 1, 3_600).await.expect("it is taken");
    revive(&s, true);
    let ev = s.evacuate("a", json!({"mode": "Rebuild", "fence": "Forbidden"})).await;
    s.waits("Evacuation", &ev, "FenceForbidden").await;
    ended(&s, "attest-a", "EpochEnded").await;
    s.with(|w| w.set_bmc_reachable("a", false));
    s.waits("Evacuation", &ev, "PowerUnreadable").await;
    s.pass(120).await;
    assert_eq!(s.calls(CallKind::Evacuate), [], "{}", s.story());
    assert_eq!(s.calls(CallKind::UpdateService), []);
    assert_eq!(s.home(&guests[0]), "a");
    let again = json!({"hostRef": {"name": "a"}, "powerEpoch": 1, "statement": "I saw it burn before", "expiresAt": s.now().plus_seconds(60)});
    let Err(RegistryError::Refused { code, .. }) = s.rig.try_create("FenceAttestation", "again", again).await else { panic!("taken") };
    assert_eq!(code, "wrong-epoch");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_reads_on_is_stronger_than_any_word() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.crash_host("a").await;
    s.attest("a", 1, 3_600).await.expect("it is taken");
    let ev = s.evacuate("a", json!({"fence": "Forbidden"})).await;
    s.waits("Evacuation", &ev, "FenceForbidden").await;
    s.pass(120).await;
    assert_eq!(s.all_calls(), 0, "{}", s.story());
    assert_eq!(s.home(&guest), "a");
    ended(&s, "attest-a", "EpochEnded").await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_back_in_the_middle_is_fenced_by_its_bmc_and_the_rest_goes_by_proof() {
    let (s, guests) = burnt(3, 15_000).await;
    let ev = s.evacuate("a", json!({})).await;
    s.attest("a", 1, 3_600).await.expect("it is taken");
    s.until_called(CallKind::Evacuate, 1).await;

    revive(&s, true);
    s.waits("Evacuation", &ev, "MoveInFlight").await;
    assert_eq!(s.calls(CallKind::Evacuate).len(), 1, "no new request: {}", s.story());
    let done = s.succeeds("Evacuation", &ev).await;

    assert_eq!(done.status["fences"], 1);
    assert_eq!(reason(&done, "EvidenceSufficient"), "PowerOffObserved");
    ended(&s, "attest-a", "EpochEnded").await;
    guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
    assert!(!s.is_on("a"));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_beats_again_ends_the_epoch_though_no_bmc_answers() {
    let (s, guests) = burnt(3, 60_000).await;
    let ev = s.evacuate("a", json!({})).await;
    s.attest("a", 1, 3_600).await.expect("it is taken");
    s.until_called(CallKind::Evacuate, 1).await;

    revive(&s, false);
    ended(&s, "attest-a", "EpochEnded").await;
    s.pass(300).await;

    assert_eq!(s.calls(CallKind::Evacuate).len(), 1, "{}", s.story());
    let (reason, message) = s.why("Evacuation", &ev).await;
    assert!(reason == "NeedsHuman" && message.contains("its power epoch is 2"), "{reason}: {message}");
    assert_eq!(guests.iter().filter(|g| s.home(g) == "a").count(), 2);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_killed_in_between_leaves_a_host_whose_guests_come_back_once() {
    for kind in [CallKind::UpdateService, CallKind::Evacuate] {
        let (mut s, guests) = burnt(3, 4_000).await;
        let ev = s.evacuate("a", json!({})).await;
        s.attest("a", 1, 3_600).await.expect("it is taken");
        s.until_called(kind, 1).await;
        s.takeover().await;
        s.succeeds("Evacuation", &ev).await;
        guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
        ended(&s, "attest-a", "Used").await;
        s.nothing_ran_twice();
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asked_for_goes_by_it_only_where_its_policy_accepts_that() {
    for accepted in [true, false] {
        let (s, guests) = burnt(2, 1_000).await;
        let rule = json!({"attestation": if accepted { "Accepted" } else { "Refused" }});
        let detection = json!({"intervalSeconds": 10, "downConfirmations": 2, "quietSeconds": 0});
        s.rig.patch("RemediationPolicy", "default", json!({"limits": {"maxDownHosts": 1}, "detection": detection, "evidence": rule})).await;
        s.wait("Host", "a", "recovering", |o| o.status["availability"]["state"] == "Recovering").await;
        s.attest("a", 1, 3_600).await.expect("it is taken");
        if accepted {
            s.succeeds("Evacuation", "auto-a-1").await;
            guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
        } else {
            s.pass(180).await;
            let (_, message) = s.why("Evacuation", "auto-a-1").await;
            assert!(message.contains("evidence.attestation: Refused"), "{message}");
            assert_eq!(s.all_calls(), 1, "{}", s.story());
        }
        s.nothing_ran_twice();
    }
}
