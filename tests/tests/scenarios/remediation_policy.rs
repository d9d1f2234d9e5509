//! The shape of a RemediationPolicy: evidence per action, pace, approval, who is left out; and edits of it in the middle.

use crate::{
    remediation::{evacuations, held_by, host_is, is_held, says, watched},
    stage::Stage,
};
use serde_json::{Value, json};
use simulator::{CallKind, HostFault};
use workspace_tests::{condition, message, reason};

async fn policy(s: &Stage, fields: Value) {
    s.rig.patch("RemediationPolicy", "default", fields).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_forbids_it_before_the_host_was_fenced_ends_the_evacuation_untouched_and_begins_another_when_it_allows_it_again() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.with(|w| w.set_bmc_reachable("a", false));
    s.hurt("a", HostFault::Crash);
    s.waits("Evacuation", "auto-a-1", "HostInDoubt").await;

    policy(&s, json!({"limits": {"maxDownHosts": 0}})).await;
    let ended = s.ends("Evacuation", "auto-a-1").await;

    assert_eq!((condition(&ended, "Succeeded"), reason(&ended, "Succeeded")), ("False", "PolicyChanged"));
    assert!(message(&ended, "Succeeded").contains("limits.maxDownHosts: 0"), "{:#}", ended.status);
    s.with(|w| w.set_bmc_reachable("a", true));
    is_held(&s, "a", "NeverEvacuate").await;
    s.pass(120).await;
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    policy(&s, json!({"limits": {"maxDownHosts": 1}})).await;
    s.succeeds("Evacuation", "auto-a-2").await;
    s.was_rebuilt_once(&guest, "a");
    assert_eq!(evacuations(&s).await, ["auto-a-1", "auto-a-2"]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn after_it_was_fenced_a_host_that_is_denied_gets_no_new_request_until_it_is_allowed_again() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    policy(&s, json!({"evacuation": {"maxPerHost": 1, "retries": 1}})).await;
    let guests = s.guests("web", "a", 4);
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    s.until_called(CallKind::Evacuate, 1).await;

    s.declare("a", json!({"evacuation": "Denied"})).await;
    let held = s.waits("Evacuation", "auto-a-1", "PolicyChanged").await;
    let sent = s.calls(CallKind::Evacuate).len();
    s.pass(300).await;

    assert!(held.contains("spec.evacuation is Denied"), "{held}");
    assert_eq!(s.calls(CallKind::Evacuate).len(), sent, "{}", s.story());
    assert!(sent < guests.len());
    assert!(!s.is_on("a"), "it stays fenced");
    let settled = s.rig.get("Evacuation", "auto-a-1").await;
    assert_eq!(settled.spec["pace"], json!({"retries": 1, "maxPerHost": 1}), "as the policy had it when it was begun");
    let moving = settled.status["guests"].as_array().into_iter().flatten().filter(|g| g["outcome"] == "Moving").count();
    assert_eq!(moving, 0, "what was under way is settled: {:#}", settled.status);

    s.declare("a", json!({"evacuation": "Allowed"})).await;
    s.succeeds("Evacuation", "auto-a-1").await;
    guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn two_policies_for_one_host_in_the_middle_are_no_reason_to_go_on() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    policy(&s, json!({"evacuation": {"maxPerHost": 1}})).await;
    let guests = s.guests("web", "a", 3);
    host_is(&s, "a", "Up").await;
    for name in ["blue", "green"] {
        s.rig.create("RemediationPolicy", name, json!({"selector": "rack=r1", "limits": {"maxDownHosts": 1}})).await;
    }
    s.hurt("a", HostFault::Crash);
    s.until_called(CallKind::Evacuate, 1).await;

    s.label("Host", "a", "rack", "r1").await;
    let held = s.waits("Evacuation", "auto-a-1", "PolicyUnknown").await;
    let sent = s.calls(CallKind::Evacuate).len();
    s.pass(120).await;
    assert!(held.contains("blue and green"), "{held}");
    assert_eq!(s.calls(CallKind::Evacuate).len(), sent, "{}", s.story());

    s.label("Host", "a", "rack", "r2").await;
    s.succeeds("Evacuation", "auto-a-1").await;
    guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
}

#[tokio::test(start_paused = true)]
async fn an_excluded_host_is_not_restarted_either_and_a_denied_one_is_restarted_and_not_evacuated() {
    let s = watched(json!({"maxDownHosts": 3})).await;
    policy(&s, json!({"restart": "Allow", "restartTimeoutSeconds": 120, "evacuation": {"excludedHosts": ["a"]}})).await;
    for host in ["a", "b", "c"] {
        s.guest(host, host);
    }
    s.declare("b", json!({"remediation": "Excluded"})).await;
    s.declare("c", json!({"evacuation": "Denied"})).await;
    host_is(&s, "c", "Up").await;
    ["a", "b", "c"].iter().for_each(|h| s.hurt(h, HostFault::Crash));

    is_held(&s, "a", "EvacuationForbidden").await;
    let host = is_held(&s, "b", "HostExcluded").await;
    s.ends("HostOperation", "auto-restart-c-1").await;
    s.pass(300).await;

    assert!(says(&host).contains("`include b`"), "{}", says(&host));
    let restarted: Vec<String> = s.rig.list("HostOperation").await.into_iter().map(|o| o.metadata.name).filter(|n| n.starts_with("auto-")).collect();
    assert_eq!(restarted, ["auto-restart-c-1"]);
    assert!(evacuations(&s).await.is_empty());
    assert!(s.is_on("a") && s.is_on("b"));
}

#[tokio::test(start_paused = true)]
async fn hosts_are_recovered_one_after_the_other_where_the_policy_says_so() {
    let s = watched(json!({"maxDownHosts": 3})).await;
    policy(&s, json!({"evacuation": {"maxParallelHosts": 1}})).await;
    let guests = [s.guest("web", "a"), s.guest("db", "b")];
    host_is(&s, "b", "Up").await;
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));

    let waiting = is_held(&s, "b", "RecoveryLimit").await;
    let counted = s.wait("RemediationPolicy", "default", "counted", |o| o.status["recovering"] == 1).await;
    let first = s.succeeds("Evacuation", "auto-a-1").await;
    let second = s.succeeds("Evacuation", "auto-b-1").await;

    assert!(says(&waiting).contains("maxParallelHosts"), "{}", says(&waiting));
    assert_eq!(held_by(&counted), "WithinLimits");
    let ended = schemas::Time::parse(first.status["finishedAt"].as_str().expect("a time")).expect("a time");
    let begun = second.metadata.creation_timestamp.expect("a time");
    assert!(begun >= ended, "begun at {begun}, the first ended at {ended}");
    s.was_rebuilt_once(&guests[0], "a");
    s.was_rebuilt_once(&guests[1], "b");
    s.wait("RemediationPolicy", "default", "none left", |o| o.status["recovering"].is_null()).await;
}

#[tokio::test(start_paused = true)]
async fn a_return_waits_for_a_persons_approval_and_each_recovery_needs_its_own() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    policy(&s, json!({"returnToService": {"mode": "Automatic", "powerOn": "AfterRecovery", "approval": "Required"}})).await;
    s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    let waiting = s.wait("Host", "a", "waiting for approval", |o| held_by(o) == "ApprovalRequired").await;
    s.pass(600).await;

    assert!(says(&waiting).contains("`approve a`"), "{}", says(&waiting));
    assert!(!s.is_on("a"), "{}", s.story());

    s.declare("a", json!({"approvedReturn": "auto-a-1"})).await;
    s.succeeds("HostOperation", "auto-return-a-1").await;
    host_is(&s, "a", "Up").await;

    s.guest("db", "a");
    s.hurt("a", HostFault::Crash);
    s.succeeds("Evacuation", "auto-a-2").await;
    s.wait("Host", "a", "waiting anew", |o| held_by(o) == "ApprovalRequired").await;
    s.pass(300).await;
    assert!(!s.is_on("a"), "the approval was about another recovery: {}", s.story());
}

#[tokio::test(start_paused = true)]
async fn where_a_persons_word_is_demanded_a_host_is_fenced_and_its_guests_wait_for_it() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    policy(&s, json!({"evidence": {"levels": {"evacuate": "Attested"}}})).await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    let waiting = s.waits("Evacuation", "auto-a-1", "EvidenceMissing").await;
    s.pass(120).await;

    assert!(waiting.contains("levels.evacuate (L5 Attested)"), "{waiting}");
    assert!(!s.is_on("a"));
    assert!(s.calls(CallKind::Evacuate).is_empty(), "{}", s.story());

    let epoch = s.rig.get("Host", "a").await.status["epoch"].as_i64().expect("an epoch");
    s.attest("a", epoch, 3_600).await.expect("it is taken");
    let done = s.succeeds("Evacuation", "auto-a-1").await;
    assert_eq!(reason(&done, "EvidenceSufficient"), "Attested");
    s.was_rebuilt_once(&guest, "a");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_never_to_be_switched_off_is_evacuated_once_somebody_else_has_done_so() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    policy(&s, json!({"evidence": {"levels": {"fence": "PowerOff"}}})).await;
    let guest = s.guest("web", "a");
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    let held = is_held(&s, "a", "EvidenceMissing").await;
    s.pass(120).await;
    assert!(says(&held).contains("power it off yourself"), "{}", says(&held));
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    s.press("a", power::Command::ForceOff);
    let pressed = s.calls(CallKind::PowerSet).len();
    let done = s.succeeds("Evacuation", "auto-a-1").await;
    assert_eq!(done.spec["fence"], "Forbidden");
    assert_eq!(s.calls(CallKind::PowerSet).len(), pressed, "nobody else switched it: {}", s.story());
    s.was_rebuilt_once(&guest, "a");
}
