//! I8: partial data fails closed.

use crate::stage::{Stage, given};
use serde_json::json;
use simulator::{CallFault, CallKind};

/// Kinds of reads that a disruptive step may hang on.
const READS: [CallKind; 7] =
    [CallKind::Services, CallKind::Servers, CallKind::Server, CallKind::Migrations, CallKind::Provider, CallKind::Hypervisors, CallKind::PowerRead];

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

/// With a read broken from the start, nothing that hangs on it is done; when it heals, all goes on.
async fn broken(kind: CallKind, fault: CallFault) {
    let (s, dead, live) = scene().await;
    s.with(|w| w.inject(kind, fault, 1_000_000));
    let ev = ask(&s).await;
    s.pass(400).await;

    let context = format!("{kind:?} {fault:?}\n{}", s.story());
    // The drain of a live host does not hang on hypervisors, Placement or power; what follows it does.
    let evacuated = s.calls(CallKind::Evacuate).len();
    let needed_for_evacuation = [CallKind::Services, CallKind::Servers, CallKind::Migrations, CallKind::Provider, CallKind::Hypervisors, CallKind::PowerRead];
    assert!(evacuated == 0 || !needed_for_evacuation.contains(&kind), "{context}");
    let off: Vec<_> = s.calls(CallKind::PowerSet).into_iter().filter(|c| c.target == "b").collect();
    assert!(off.is_empty() || matches!(kind, CallKind::Server), "{context}");
    if kind == CallKind::Services {
        assert_eq!(s.all_calls(), 0, "{context}");
    }
    if kind == CallKind::PowerRead {
        assert!(s.calls(CallKind::PowerSet).is_empty(), "{context}");
    }
    let (reason, message) = s.why("Evacuation", &ev).await;
    assert!(evacuated > 0 || (!reason.is_empty() && !message.is_empty()), "the reason is told: {context}");

    s.with(|w| w.clear_injected());
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&dead, "a");
    s.until("b is off", |w| !w.power_is_on("b")).await;
    assert_eq!(s.runs_on(&live), [s.home(&live)]);
    assert_ne!(s.home(&live), "b");
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn with_a_read_that_answers_500_nothing_that_hangs_on_it_is_done() {
    for kind in READS {
        broken(kind, CallFault::Status { status: 500, retry_after_s: None }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_read_that_answers_nonsense_nothing_that_hangs_on_it_is_done() {
    for kind in READS {
        broken(kind, CallFault::Nonsense).await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_read_that_is_never_answered_nothing_that_hangs_on_it_is_done() {
    for kind in READS {
        broken(kind, CallFault::LostAnswer).await;
    }
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
