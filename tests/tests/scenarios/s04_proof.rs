//! S4: off is proven by readings, never by a command's success.

use crate::stage::given;
use serde_json::json;
use simulator::{CallFault, CallKind, HostFault, Lie};

#[tokio::test(start_paused = true)]
async fn nothing_is_written_to_nova_before_two_readings_of_off_five_seconds_apart() {
    let s = given(&["a", "b", "c"]).start().await;
    s.guest("web", "a");
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;

    let (off, put) = (s.calls(CallKind::PowerSet)[0].at, s.calls(CallKind::UpdateService)[0].at);
    assert!(put - off >= 5_000, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_off_already_is_proven_off_without_a_command() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.press("a", power::Command::ForceOff);
    s.until("down in Nova", |w| w.is_up("a") == Some(false)).await;

    let ev = s.evacuate("a", json!({"fence": "Forbidden"})).await;
    let ended = s.succeeds("Evacuation", &ev).await;

    s.was_rebuilt_once(&guest, "a");
    assert_eq!(s.calls(CallKind::PowerSet).len(), 1, "only the button was pressed");
    assert_eq!(ended.status["fences"], 0);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_bmc_that_takes_commands_without_effect_is_no_proof() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.hurt("a", HostFault::NovaComputeDown);
    s.until("down in Nova", |w| w.is_up("a") == Some(false)).await;
    s.with(|w| w.set_bmc_lie("a", Lie::NoEffect));

    let ev = s.evacuate("a", json!({})).await;
    s.until_called(CallKind::PowerSet, 3).await;
    let (reason, message) = s.why("Evacuation", &ev).await;
    let ended = s.rig.get("Evacuation", &ev).await;

    assert!(["WaitingForPower", "Retrying", ""].contains(&reason.as_str()), "{reason}: {message}");
    assert_eq!(ended.status["fences"], 1, "repeating a command is no second fence");
    assert_eq!(s.calls(CallKind::Evacuate), []);
    assert_eq!(s.calls(CallKind::UpdateService), []);
    assert_eq!(s.runs_on(&guest), ["a"]);

    s.with(|w| w.set_bmc_lie("a", Lie::None));
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn a_bmc_that_acts_late_is_waited_for() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.hurt("a", HostFault::NovaComputeDown);
    s.until("down in Nova", |w| w.is_up("a") == Some(false)).await;
    s.with(|w| w.set_bmc_late("a", 12_000));

    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;

    let off = s.calls(CallKind::PowerSet)[0].at + 12_000;
    assert!(s.calls(CallKind::Evacuate)[0].at >= off + 5_000, "{}", s.story());
    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn with_the_bmc_unreachable_nothing_is_evacuated_and_the_status_says_why_and_what_to_do() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.hurt("a", HostFault::BmcUnreachable);
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({"mode": "Rebuild"})).await;
    let message = s.waits("Evacuation", &ev, "PowerUnreadable").await;
    s.pass(180).await;

    assert!(message.contains("nothing is evacuated without proof"), "{message}");
    assert!(message.contains("make the BMC of a reachable"), "{message}");
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    s.with(|w| w.set_bmc_reachable("a", true));
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
}

#[tokio::test(start_paused = true)]
async fn a_bmc_that_goes_silent_after_the_command_leaves_the_proof_open() {
    let s = given(&["a", "b", "c"]).start().await;
    s.guest("web", "a");
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until_called(CallKind::PowerSet, 1).await;
    s.with(|w| w.set_bmc_reachable("a", false));

    s.waits("Evacuation", &ev, "PowerUnreadable").await;
    s.pass(120).await;

    assert_eq!(s.calls(CallKind::Evacuate), []);
    assert_eq!(s.calls(CallKind::UpdateService), []);
}

#[tokio::test(start_paused = true)]
async fn fencing_that_is_forbidden_is_asked_for_instead() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({"fence": "Forbidden"})).await;
    let message = s.waits("Evacuation", &ev, "FenceForbidden").await;
    assert!(message.contains("power it off yourself"), "{message}");
    assert_eq!(s.all_calls(), 0);

    s.press("a", power::Command::ForceOff);
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
}

#[tokio::test(start_paused = true)]
async fn a_slow_nova_delays_an_evacuation_and_does_not_stop_it() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.crash_host("a").await;
    for kind in [CallKind::Migrations, CallKind::Servers, CallKind::Provider] {
        s.with(|w| w.inject(kind, CallFault::Slow { ms: 4_000 }, 100_000));
    }

    let ev = s.evacuate("a", json!({})).await;
    s.ends_within("Evacuation", &ev, 900).await;
    s.succeeds("Evacuation", &ev).await;

    s.was_rebuilt_once(&guest, "a");
    s.nothing_ran_twice();
}
