//! I8: partial data fails closed.

use crate::stage::{Stage, given};
use serde_json::json;
use simulator::{CallFault, CallKind};

/// A dead host to evacuate, a live one to drain and power off, both with guests.
async fn scene() -> (Stage, String, String) {
    let s = given(&["a", "b", "c", "d"]).start().await;
    let (dead, live) = (s.guest("dead", "a"), s.guest("live", "b"));
    s.crash_host("a").await;
    (s, dead, live)
}

async fn ask(s: &Stage) -> String {
    let ev = s.evacuate("a", json!({})).await;
    s.declare("b", json!({"power": "Off"})).await;
    ev
}

/// What must not be done without a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Never {
    /// Nothing at all that changes anything.
    Anything,
    /// No evacuation, and no power-off of the live host.
    EvacuateAndPowerOff,
    /// No power-off of the live host.
    PowerOff,
    /// No evacuation.
    Evacuate,
}

/// With a read broken from the start, nothing that hangs on it is done; when it heals, all goes on.
async fn broken(kind: CallKind, fault: CallFault, never: Never) {
    let (s, dead, live) = scene().await;
    s.with(|w| w.inject(kind, fault, 1_000_000));
    s.pass(70).await; // longer than any list is remembered
    let ev = ask(&s).await;
    s.pass(150).await;

    let context = format!("{kind:?} {fault:?}\n{}", s.story());
    let evacuated = s.calls(CallKind::Evacuate).len();
    match never {
        Never::Anything => assert_eq!(s.all_calls(), 0, "{context}"),
        Never::EvacuateAndPowerOff => {
            assert_eq!(evacuated, 0, "{context}");
            assert!(s.is_on("b"), "{context}");
        }
        Never::PowerOff => assert!(s.is_on("b"), "{context}"),
        Never::Evacuate => assert_eq!(evacuated, 0, "{context}"),
    }
    let (evacuation, host) = (("Evacuation", ev.as_str()), ("Host", "b"));
    let told = match never {
        Never::PowerOff => vec![host],
        Never::Evacuate => vec![evacuation],
        Never::Anything | Never::EvacuateAndPowerOff => vec![evacuation, host],
    };
    for (object, name) in told {
        s.wait(object, name, "telling why it waits", |o| o.status["waiting"]["message"].as_str().is_some_and(|m| !m.is_empty())).await;
    }

    s.with(|w| w.clear_injected());
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&dead, "a");
    s.until("b is off", |w| !w.power_is_on("b")).await;
    assert_eq!(s.runs_on(&live), [s.home(&live)]);
    assert_ne!(s.home(&live), "b");
    s.nothing_ran_twice();
}

const ERROR_500: CallFault = CallFault::Status { status: 500, retry_after_s: None };

#[tokio::test(start_paused = true)]
async fn with_services_that_cannot_be_read_nothing_is_done() {
    broken(CallKind::Services, ERROR_500, Never::Anything).await;
}

#[tokio::test(start_paused = true)]
async fn with_nonsense_for_services_nothing_is_done() {
    broken(CallKind::Services, CallFault::Nonsense, Never::Anything).await;
}

#[tokio::test(start_paused = true)]
async fn with_services_that_are_never_answered_nothing_is_done() {
    broken(CallKind::Services, CallFault::LostAnswer, Never::Anything).await;
}

#[tokio::test(start_paused = true)]
async fn with_guests_that_cannot_be_listed_nothing_is_evacuated_or_powered_off() {
    broken(CallKind::Servers, ERROR_500, Never::EvacuateAndPowerOff).await;
}

#[tokio::test(start_paused = true)]
async fn with_nonsense_for_guests_nothing_is_evacuated_or_powered_off() {
    broken(CallKind::Servers, CallFault::Nonsense, Never::EvacuateAndPowerOff).await;
}

#[tokio::test(start_paused = true)]
async fn with_migration_records_that_cannot_be_read_nothing_is_evacuated_or_powered_off() {
    broken(CallKind::Migrations, ERROR_500, Never::EvacuateAndPowerOff).await;
}

#[tokio::test(start_paused = true)]
async fn with_migration_records_that_are_never_answered_nothing_is_evacuated_or_powered_off() {
    broken(CallKind::Migrations, CallFault::LostAnswer, Never::EvacuateAndPowerOff).await;
}

#[tokio::test(start_paused = true)]
async fn with_a_provider_that_cannot_be_read_nothing_is_powered_off() {
    broken(CallKind::Provider, ERROR_500, Never::PowerOff).await;
}

#[tokio::test(start_paused = true)]
async fn with_room_that_cannot_be_read_nothing_is_evacuated() {
    broken(CallKind::Rooms, ERROR_500, Never::Evacuate).await;
}

#[tokio::test(start_paused = true)]
async fn with_server_groups_that_cannot_be_read_nothing_is_evacuated() {
    broken(CallKind::ServerGroups, ERROR_500, Never::Evacuate).await;
}

#[tokio::test(start_paused = true)]
async fn with_aggregates_that_cannot_be_read_nothing_is_evacuated() {
    broken(CallKind::Aggregates, ERROR_500, Never::Evacuate).await;
}

#[tokio::test(start_paused = true)]
async fn with_hypervisors_that_cannot_be_read_nothing_is_evacuated_or_powered_off() {
    broken(CallKind::Hypervisors, ERROR_500, Never::EvacuateAndPowerOff).await;
}

#[tokio::test(start_paused = true)]
async fn with_power_that_cannot_be_read_nothing_is_evacuated_or_powered_off() {
    broken(CallKind::PowerRead, ERROR_500, Never::EvacuateAndPowerOff).await;
}

#[tokio::test(start_paused = true)]
async fn with_power_that_is_never_answered_nothing_is_evacuated_or_powered_off() {
    broken(CallKind::PowerRead, CallFault::LostAnswer, Never::EvacuateAndPowerOff).await;
}

#[tokio::test(start_paused = true)]
async fn with_single_guests_that_cannot_be_read_no_host_is_powered_off() {
    broken(CallKind::Server, ERROR_500, Never::PowerOff).await;
}

#[tokio::test(start_paused = true)]
async fn half_a_list_of_services_looks_like_hosts_that_vanished_and_nothing_is_done_to_them() {
    let (s, ..) = scene().await;
    s.with(|w| w.inject(CallKind::Services, CallFault::Partial, 1_000_000));
    ask(&s).await;
    s.pass(300).await;
    assert_eq!(s.all_calls(), 0, "{}", s.story());
    assert_eq!(s.rig.list("Host").await.len(), 4, "no Host object is deleted");
}

#[tokio::test(start_paused = true)]
async fn half_a_list_of_guests_leaves_the_others_where_they_are_and_powers_nothing_off() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 4);
    s.with(|w| w.inject(CallKind::Servers, CallFault::Partial, 1_000_000));
    s.declare("a", json!({"power": "Off"})).await;
    s.pass(600).await;

    assert_eq!(s.calls(CallKind::PowerSet), [], "{}", s.story());
    for guest in &guests {
        assert_eq!(s.runs_on(guest), [s.home(guest)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_goes_down_in_the_middle_of_a_drain_stops_it_and_it_goes_on_afterwards() {
    let s = given(&["a", "b", "c"]).with(|c| c.live_migration_ms = 10_000).policy(json!({"maxPerHost": 1})).start().await;
    let guests = s.guests("web", "a", 3);
    s.declare("a", json!({"power": "Off"})).await;
    s.until_called(CallKind::LiveMigrate, 1).await;

    s.with(|w| w.set_cell("cell1", false));
    s.pass(3).await;
    let before = s.all_calls();
    s.pass(300).await;
    assert_eq!(s.all_calls(), before, "{}", s.story());
    let (reason, message) = s.why("Host", "a").await;
    assert_eq!(reason, "NovaUnreadable", "{message}");

    s.with(|w| w.set_cell("cell1", true));
    s.until("a is off", |w| !w.power_is_on("a")).await;
    for guest in &guests {
        assert_eq!(s.runs_on(guest), [s.home(guest)]);
        assert_ne!(s.home(guest), "a");
    }
}

/// Lists by host lack what a cell has that does not answer, and do not say so. The host was switched on while its guest was rebuilt
/// elsewhere: its nova-compute had cleaned up before the record was done, and does so again only when it is restarted.
#[tokio::test(start_paused = true)]
async fn a_cell_that_goes_down_in_the_middle_of_a_look_settles_no_record() {
    let s = given(&["a", "b", "c"]).with(|c| c.rebuild_ms = 120_000).start().await;
    let guest = s.guest("web", "a");
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until_called(CallKind::Evacuate, 1).await;
    s.press("a", power::Command::On);
    s.succeeds("Evacuation", &ev).await;
    let back = s.operate("a", "PowerOn", json!({})).await;
    s.waits("HostOperation", &back, "MoveInFlight").await;
    assert_eq!(s.records(&guest, "evacuation"), ["done"]);
    let before = s.all_calls();

    s.with(|w| w.inject_for(CallKind::Migrations, "a", CallFault::CellsGo, 1));
    s.pass(120).await;

    assert_eq!(s.with(|w| w.injected()), 0, "it happened");
    s.waits("HostOperation", &back, "NovaUnreadable").await;
    assert_eq!(s.all_calls(), before, "{}", s.story());
    s.with(|w| w.set_cell("cell1", true));
    s.waits("HostOperation", &back, "MoveInFlight").await;
}

#[tokio::test(start_paused = true)]
async fn guests_of_a_cell_that_does_not_answer_are_not_shown_as_none() {
    let (s, ..) = scene().await;
    let (world, policy) = (s.rig.looker(), schemas::v1::ClusterPolicySpec::default());
    let shown = world.guest_view("b", &policy).await.expect("its guests");
    assert_eq!(shown["guests"].as_array().map(Vec::len), Some(1));

    s.with(|w| w.set_cell("cell1", false));
    let why = world.guest_view("b", &policy).await.expect_err("its cell is silent");
    assert!(why.contains("the cell of host b did not answer"), "{why}");
    assert!(world.plan_view("b", &policy).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_nova_that_refuses_or_throttles_writes_is_asked_again_later() {
    for status in [429, 500, 503] {
        let s = given(&["a", "b", "c"]).start().await;
        let guest = s.guest("web", "a");
        s.crash_host("a").await;
        s.with(|w| {
            w.inject(CallKind::UpdateService, CallFault::Status { status, retry_after_s: Some(5) }, 1);
            w.inject(CallKind::Evacuate, CallFault::Status { status, retry_after_s: Some(5) }, 1);
        });

        let ev = s.evacuate("a", json!({})).await;
        s.ends_within("Evacuation", &ev, 600).await;
        s.succeeds("Evacuation", &ev).await;

        assert_eq!(s.records(&guest, "evacuation").len(), 1);
        s.was_rebuilt_once(&guest, "a");
    }
}
