//! Live migration as Nova does it.

mod common;

use common::{Scene, disable, status};
use power::Command;
use simulator::{GuestSpec, HostFault, VmState};

#[test]
fn a_migration_passes_all_its_states_and_the_host_changes_before_completed() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.migrate(&g, Some("b")).unwrap();
    assert_eq!((s.show(&g).status.as_str(), s.records(&g).len()), ("MIGRATING", 0), "202 comes before the record");
    let mut seen = Vec::new();
    let mut switched_in = None;
    for _ in 0..2_000 {
        s.wait(10);
        if let Some((_, status)) = s.records(&g).first().copied() {
            if seen.last() != Some(&status) {
                seen.push(status);
            }
            if s.show(&g).host.as_deref() == Some("b") && switched_in.is_none() {
                switched_in = Some(status);
            }
        }
    }
    assert_eq!(seen, ["accepted", "preparing", "running", "completed"]);
    assert_eq!(switched_in, Some("running"));
    assert_eq!((s.show(&g).status.as_str(), s.runs_on(&g)), ("ACTIVE", vec!["b".to_string()]));
    assert!(s.world.double_runs().is_empty());
}

#[test]
fn a_source_moves_one_guest_at_a_time_and_two_sources_two() {
    let mut s = Scene::new();
    let (one, two) = (s.guest("one"), s.guest("two"));
    let other = s.world.add_guest(GuestSpec::new("other", "b")).unwrap();
    for g in [&one, &two, &other] {
        s.migrate(g, Some("c")).unwrap();
    }
    s.until("running", |w| w.records_of(&one)[..].first().is_some_and(|r| r.1 == "running"));
    assert_eq!((s.records(&two)[0].1, s.records(&other)[0].1), ("queued", "running"));
    s.until("the second is done", |w| w.records_of(&two)[0].1 == "completed");
    assert!(s.world.now() > 10_000);
}

#[test]
fn while_it_moves_the_sources_allocation_belongs_to_the_record() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.migrate(&g, Some("b")).unwrap();
    s.until("running", |w| w.records_of(&g).first().is_some_and(|r| r.1 == "running"));
    assert_eq!(s.world.allocated_on(&g), ["b"]);
    let consumers = s.world.provider_shown("a").unwrap().consumers;
    assert_eq!(consumers.len(), 1);
    assert_ne!(consumers[0], g);
    s.wait(60_000);
    assert!(s.world.provider_shown("a").unwrap().consumers.is_empty());
}

#[test]
fn a_guest_that_is_busy_or_not_running_is_refused() {
    let mut s = Scene::new();
    let (g, off) = (s.guest("g"), s.world.add_guest(GuestSpec::new("off", "a").stopped()).unwrap());
    assert_eq!(status(s.migrate(&off, Some("b"))), 409);
    assert_eq!(status(s.migrate(&g, Some("nope"))), 400);
    assert_eq!(status(s.migrate("nobody", None)), 404);
    s.migrate(&g, Some("b")).unwrap();
    assert_eq!(status(s.migrate(&g, Some("b"))), 409);
}

#[test]
fn expected_refusals_end_in_error_and_leave_the_guest_alone() {
    let cases: [common::Spoil; 4] = [
        ("full", |s| drop(s.world.add_guest(GuestSpec::new("big", "b").with_ram(64_500)).unwrap())),
        ("disabled", |s| drop(s.put("b", disable()).unwrap())),
        ("source down", |s| drop(s.put("a", common::force_down(true)).unwrap())),
        ("destination dead, looks up", |s| s.hurt("b", HostFault::Crash)),
    ];
    for (why, spoil) in cases {
        let mut s = Scene::new();
        let g = s.guest("g");
        spoil(&mut s);
        s.migrate(&g, Some("b")).unwrap();
        s.wait(70_000);
        assert_eq!(s.records(&g), [("live-migration", "error")], "{why}");
        let shown = s.show(&g);
        assert_eq!((shown.status.as_str(), shown.host.as_deref(), shown.task_state), ("ACTIVE", Some("a"), None), "{why}");
        assert_eq!(s.world.allocated_on(&g), ["a"], "{why}");
    }
}

#[test]
fn a_guest_that_cannot_move_ends_in_error() {
    let mut s = Scene::new();
    let mut spec = GuestSpec::new("g", "a");
    spec.cannot_migrate = true;
    let g = s.world.add_guest(spec).unwrap();
    s.migrate(&g, None).unwrap();
    s.wait(5_000);
    assert_eq!((s.records(&g), s.show(&g).status.as_str()), (vec![("live-migration", "error")], "ACTIVE"));
}

#[test]
fn a_dead_source_that_looks_up_holds_the_record_for_a_minute_and_spoils_the_guest() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.hurt("a", HostFault::Crash);
    s.migrate(&g, Some("b")).unwrap();
    s.wait(59_000);
    assert_eq!(s.records(&g), [("live-migration", "accepted")]);
    assert!(s.world.records_of(&g)[0].3.is_none());
    s.wait(3_000);
    assert_eq!((s.records(&g)[0].1, s.show(&g).vm_state.as_str()), ("error", "error"));
}

#[test]
fn without_a_destination_the_scheduler_takes_the_roomiest() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.world.add_guest(GuestSpec::new("big", "b").with_ram(30_000)).unwrap();
    s.migrate(&g, None).unwrap();
    s.wait(20_000);
    assert_eq!(s.show(&g).host.as_deref(), Some("c"));
}

#[test]
fn a_destination_that_dies_ends_in_failed_and_the_guest_stays() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.migrate(&g, Some("b")).unwrap();
    s.until("running", |w| w.records_of(&g).first().is_some_and(|r| r.1 == "running"));
    s.hurt("b", HostFault::Crash);
    s.wait(20_000);
    assert_eq!((s.records(&g)[0].1, s.runs_on(&g), s.show(&g).task_state), ("failed", vec!["a".to_string()], None));
}

#[test]
fn a_source_that_dies_leaves_the_record_running_and_the_guest_migrating() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.migrate(&g, Some("b")).unwrap();
    s.until("running", |w| w.records_of(&g).first().is_some_and(|r| r.1 == "running"));
    s.power("a", Command::ForceOff).unwrap();
    s.wait(600_000);
    assert_eq!((s.records(&g)[0].1, s.show(&g).task_state.as_deref(), s.runs_on(&g).len()), ("running", Some("migrating"), 0));
}

#[test]
fn a_source_without_nova_compute_moves_the_guest_and_nobody_writes_it_down() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.migrate(&g, Some("b")).unwrap();
    s.until("running", |w| w.records_of(&g).first().is_some_and(|r| r.1 == "running"));
    s.hurt("a", HostFault::NovaComputeDown);
    s.wait(100_000);
    assert_eq!((s.runs_on(&g), s.show(&g).host.as_deref(), s.records(&g)[0].1), (vec!["b".to_string()], Some("a"), "running"));
    s.fence("a");
    s.evacuate(&g, "c").unwrap();
    s.wait(60_000);
    assert_eq!(s.world.double_runs().len(), 1, "off is not enough while a move is in flight (S6)");
}

#[test]
fn a_source_that_restarts_sets_the_running_record_to_error() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.migrate(&g, Some("b")).unwrap();
    s.until("running", |w| w.records_of(&g).first().is_some_and(|r| r.1 == "running"));
    s.hurt("a", HostFault::NovaComputeDown);
    s.hurt("a", HostFault::None);
    s.wait(3_000);
    assert_eq!((s.records(&g)[0].1, s.show(&g).task_state, s.runs_on(&g)), ("error", None, vec!["a".to_string()]));
    s.wait(60_000);
    assert_eq!(s.runs_on(&g), ["a"], "the move was aborted");
    assert_eq!(s.world.allocated_on(&g), ["b"], "and its allocations are left as they were");
    assert_eq!(s.world.provider_shown("a").unwrap().consumers.len(), 1, "the record's, for ever");
}

#[test]
fn a_destination_that_loses_nova_compute_at_the_end_leaves_host_stale_and_the_record_completed() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.migrate(&g, Some("b")).unwrap();
    s.until("arrived", |w| w.running_on(&g) == ["b"]);
    s.hurt("b", HostFault::NovaComputeDown);
    s.wait(120_000);
    assert_eq!((s.records(&g)[0].1, s.show(&g).host.as_deref(), s.show(&g).task_state.as_deref()), ("completed", Some("a"), Some("migrating")));
}

#[test]
fn a_paused_guest_may_be_moved() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.world.set_vm_state(&g, VmState::Paused);
    s.migrate(&g, Some("b")).unwrap();
    s.wait(20_000);
    assert_eq!((s.show(&g).status.as_str(), s.show(&g).host.as_deref()), ("PAUSED", Some("b")));
}
