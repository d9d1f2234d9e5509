//! S9: stopped guests are cold-migrated where that is asked for, and stay stopped.

use crate::{
    life::{Death, Life},
    stage::{Stage, given},
};
use serde_json::json;
use simulator::{CallFault, CallKind, GuestSpec};

/// A host with a running guest and two that are stopped.
async fn mixed() -> (Stage, String, Vec<String>) {
    let s = given(&["a", "b", "c"]).start().await;
    let running = s.guest("web", "a");
    let stopped = (0..2).map(|n| s.add(GuestSpec::new(format!("db-{n}"), "a").stopped())).collect();
    (s, running, stopped)
}

fn moved_cold_once(s: &Stage, guest: &str) {
    assert_eq!(s.records(guest, "migration"), ["confirmed"], "{}", s.story());
    assert_eq!(s.status(guest), "SHUTOFF", "{}", s.story());
    assert_ne!(s.home(guest), "a");
    assert!(s.runs_on(guest).is_empty(), "{}", s.story());
    assert_eq!(s.with(|w| w.allocated_on(guest)), [s.home(guest)], "nothing is left on the source");
}

#[tokio::test(start_paused = true)]
async fn a_host_declared_off_with_cold_migrate_is_emptied_of_every_guest() {
    let (s, running, stopped) = mixed().await;
    s.declare("a", json!({"power": "Off", "stoppedGuests": "ColdMigrate"})).await;
    s.until("a is off", |w| !w.power_is_on("a")).await;
    assert_eq!(s.records(&running, "live-migration"), ["completed"]);
    for guest in &stopped {
        moved_cold_once(&s, guest);
    }
    assert_eq!((s.calls(CallKind::ColdMigrate).len(), s.calls(CallKind::ConfirmResize).len()), (2, 2), "{}", s.story());
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn an_operation_says_for_itself_what_becomes_of_stopped_guests() {
    let (s, _, stopped) = mixed().await;
    let op = s.operate("a", "Drain", json!({})).await;
    s.succeeds("HostOperation", &op).await;
    assert!(s.calls(CallKind::ColdMigrate).is_empty(), "Leave is the default");
    let refused = s.operate_as("no", "a", "PowerOff", json!({"stoppedGuests": "ColdMigrate"})).await.expect_err("refused").to_string();
    assert!(refused.contains("spec.stoppedGuests"), "{refused}");
    s.operate_as("again", "a", "Drain", json!({"stoppedGuests": "ColdMigrate"})).await.expect("taken");
    s.succeeds("HostOperation", "again").await;
    for guest in &stopped {
        moved_cold_once(&s, guest);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_changing_call_moves_each_stopped_guest_once() {
    // Disable, a live migration, two cold ones, two confirmations.
    for n in 1..=6 {
        for death in [Death::Before(n), Death::After(n)] {
            let (mut s, _, stopped) = mixed().await;
            s.succeed_with(Life::ends(death, true)).await;
            let op = s.operate("a", "Drain", json!({"stoppedGuests": "ColdMigrate"})).await;
            s.death().await;
            s.takeover().await;
            s.ends_within("HostOperation", &op, 1_200).await;
            s.succeeds("HostOperation", &op).await;
            for guest in &stopped {
                moved_cold_once(&s, guest);
            }
            s.nothing_ran_twice();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_are_settled_by_the_records() {
    let (s, _, stopped) = mixed().await;
    s.with(|w| w.inject(CallKind::ColdMigrate, CallFault::LostAnswer, 2));
    s.with(|w| w.inject(CallKind::ConfirmResize, CallFault::LostAnswer, 2));
    let op = s.operate("a", "Drain", json!({"stoppedGuests": "ColdMigrate"})).await;
    s.succeeds("HostOperation", &op).await;
    for guest in &stopped {
        moved_cold_once(&s, guest);
    }
    assert_eq!(s.calls(CallKind::ColdMigrate).len(), 2, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_user_s_own_resize_is_left_to_the_user_and_holds_the_power_off() {
    let (s, _, stopped) = mixed().await;
    s.with(|w| w.call(simulator::Call::ColdMigrate { server: stopped[0].clone(), destination: Some("b".into()) })).result.expect("accepted");
    s.until("arrived", |w| w.records_of(&stopped[0]).iter().any(|r| r.1 == "finished")).await;
    s.declare("a", json!({"power": "Off", "stoppedGuests": "ColdMigrate"})).await;
    s.waits("Host", "a", "ProvingEmpty").await;
    s.pass(120).await;
    assert!(s.is_on("a"));
    assert_eq!(s.status(&stopped[0]), "VERIFY_RESIZE", "{}", s.story());
    assert!(s.calls(CallKind::ConfirmResize).iter().all(|c| c.target != stopped[0]));
    s.with(|w| w.call(simulator::Call::ConfirmResize { server: stopped[0].clone() })).result.expect("confirmed");
    s.until("a is off", |w| !w.power_is_on("a")).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_wanted_on_again_in_the_middle_still_has_its_guests_confirmed() {
    let (s, _, stopped) = mixed().await;
    s.declare("a", json!({"power": "Off", "stoppedGuests": "ColdMigrate"})).await;
    s.until("on their way", |w| stopped.iter().all(|g| w.records_of(g).iter().any(|r| r.0 == "migration"))).await;
    s.declare("a", json!({"power": "On"})).await;
    s.until("confirmed", |w| stopped.iter().all(|g| w.records_of(g).iter().any(|r| r.1 == "confirmed"))).await;
    for guest in &stopped {
        moved_cold_once(&s, guest);
    }
    assert!(s.is_on("a"));
}
