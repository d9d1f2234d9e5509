//! Evacuation as Nova does it.

mod common;

use common::{Scene, disable, force_down, status, words};
use power::Command;
use simulator::{Call, GroupPolicy, GuestSpec, HostFault, VmState};

#[test]
fn a_source_whose_service_is_up_refuses_evacuation() {
    let mut s = Scene::new();
    let g = s.guest("g");
    assert_eq!(words(s.evacuate(&g, "b")), "Compute service of a is still in use.");
    s.hurt("a", HostFault::Crash);
    assert_eq!(status(s.evacuate(&g, "b")), 400, "it still looks up");
    s.wait(61_000);
    s.evacuate(&g, "b").unwrap();
    assert_eq!(s.records(&g), [("evacuation", "accepted")]);
}

#[test]
fn the_source_and_unknown_hosts_are_refused_as_destinations() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    assert_eq!(status(s.evacuate(&g, "a")), 400);
    assert_eq!(status(s.evacuate(&g, "nope")), 404);
    assert_eq!(status(s.evacuate("no-guest", "b")), 404);
    assert_eq!(s.records(&g), []);
}

#[test]
fn only_active_stopped_and_failed_guests_can_be_evacuated() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    for state in [VmState::Paused, VmState::Suspended, VmState::Rescued, VmState::Resized, VmState::ShelvedOffloaded, VmState::Building] {
        s.world.set_vm_state(&g, state);
        assert_eq!(status(s.evacuate(&g, "b")), 409, "{state:?}");
    }
    for state in [VmState::Active, VmState::Stopped, VmState::Error] {
        s.world.set_vm_state(&g, state);
        s.evacuate(&g, "b").unwrap();
    }
}

#[test]
fn the_guest_starts_on_the_destination_before_host_changes_and_host_changes_before_done() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    assert_eq!(s.show(&g).status, "REBUILD");
    s.until("pre-migrating", |w| w.records_of(&g)[0].1 == "pre-migrating");
    assert!(s.runs_on(&g).is_empty());
    s.until("started", |w| w.running_on(&g) == ["b"]);
    assert_eq!((s.show(&g).host.as_deref(), s.records(&g)[0].1), (Some("a"), "pre-migrating"));
    s.until("switched", |w| w.show(&g).unwrap().host.as_deref() == Some("b"));
    assert_eq!(s.records(&g), [("evacuation", "pre-migrating")]);
    s.wait(20);
    assert_eq!(s.records(&g), [("evacuation", "done")]);
    let shown = s.show(&g);
    assert_eq!((shown.status.as_str(), shown.task_state, shown.power_state), ("ACTIVE", None, 1));
    assert!(s.world.double_runs().is_empty());
}

#[test]
fn the_record_of_a_guest_that_is_deleted_while_it_is_rebuilt_ends_in_failed() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.until("pre-migrating", |w| w.records_of(&g)[0].1 == "pre-migrating");
    s.world.delete_guest(&g);
    s.until("failed", |w| w.records_of(&g)[0].1 == "failed");
    assert!(s.runs_on(&g).is_empty());
}

#[test]
fn a_done_record_is_completed_and_its_allocation_goes_only_when_the_source_starts() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.wait(100_000);
    assert_eq!(s.records(&g), [("evacuation", "done")]);
    assert_eq!(s.world.allocated_on(&g), ["a", "b"], "the source's allocation stays");
    assert_eq!(status(s.put("a", force_down(false))), 400, "done records forbid it");
    s.boot("a");
    assert_eq!(s.records(&g), [("evacuation", "completed")]);
    assert_eq!(s.world.allocated_on(&g), ["b"]);
    s.put("a", force_down(false)).unwrap();
    assert_eq!(s.runs_on(&g), ["b"]);
}

#[test]
fn a_stopped_guest_is_started_and_stopped_again_and_stays_stopped() {
    let mut s = Scene::new();
    let g = s.world.add_guest(GuestSpec::new("g", "a").stopped()).unwrap();
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.until("started for a moment", |w| w.running_on(&g) == ["b"]);
    s.until("switched", |w| w.show(&g).unwrap().host.as_deref() == Some("b"));
    assert_eq!((s.show(&g).status.as_str(), s.runs_on(&g).len()), ("SHUTOFF", 0));
}

#[test]
fn a_guest_in_error_is_started() {
    let mut s = Scene::new();
    let g = s.world.add_guest(GuestSpec::new("g", "a").stopped()).unwrap();
    s.world.set_vm_state(&g, VmState::Error);
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.wait(60_000);
    assert_eq!((s.show(&g).status.as_str(), s.runs_on(&g)), ("ACTIVE", vec!["b".to_string()]));
}

#[test]
fn no_valid_host_ends_in_error_and_a_retry_starts_a_stopped_guest() {
    let mut s = Scene::new();
    let g = s.world.add_guest(GuestSpec::new("g", "a").stopped()).unwrap();
    s.put("b", disable()).unwrap();
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.wait(1_000);
    assert_eq!(s.records(&g), [("evacuation", "error")]);
    let shown = s.show(&g);
    assert_eq!((shown.status.as_str(), shown.host.as_deref(), shown.task_state), ("ERROR", Some("a"), None));
    assert!(shown.fault.unwrap().starts_with("No valid host"));
    s.evacuate(&g, "c").unwrap();
    s.wait(60_000);
    assert_eq!(s.runs_on(&g), ["c"], "Nova no longer knows that it was stopped (S6)");
}

#[test]
fn a_requested_destination_must_be_enabled_up_without_trait_and_roomy() {
    let big = |host: &str| GuestSpec::new("big", host).with_ram(60_000);
    let cases: [common::Spoil; 4] = [
        ("disabled", |s| drop(s.put("b", disable()).unwrap())),
        ("down", |s| drop(s.put("b", force_down(true)).unwrap())),
        ("full", |s| drop(s.world.add_guest(GuestSpec::new("tenant", "b").with_ram(8_000)).unwrap())),
        ("trait lingers", |s| {
            s.put("b", disable()).unwrap();
            s.put("b", force_down(true)).unwrap();
            s.put("b", common::enable()).unwrap(); // no RPC to a service that is down
            s.put("b", force_down(false)).unwrap();
            assert_eq!(s.service("b").up, Some(true));
        }),
    ];
    for (why, spoil) in cases {
        let mut s = Scene::new();
        let g = s.world.add_guest(big("a")).unwrap();
        spoil(&mut s);
        s.fence("a");
        s.evacuate(&g, "b").unwrap();
        s.wait(1_000);
        assert_eq!(s.records(&g), [("evacuation", "error")], "{why}");
    }
}

#[test]
fn a_failed_claim_ends_in_failed_and_leaves_the_guest_as_it_was() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    s.world.fail_claims("b", 1);
    s.evacuate(&g, "b").unwrap();
    s.wait(1_000);
    assert_eq!(s.records(&g), [("evacuation", "failed")]);
    let shown = s.show(&g);
    assert_eq!((shown.status.as_str(), shown.host.as_deref(), shown.task_state), ("ACTIVE", Some("a"), None));
    assert_eq!(s.world.allocated_on(&g), ["a"]);
    s.evacuate(&g, "b").unwrap();
    s.wait(60_000);
    assert_eq!(s.records(&g), [("evacuation", "failed"), ("evacuation", "done")]);
}

#[test]
fn a_twin_that_arrives_when_the_first_is_done_spoils_a_guest_that_runs_well() {
    let mut s = Scene::with(|s| (s.rebuild_ms, s.switch_ms) = (0, 0));
    let g = s.guest("g");
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.wait(190);
    s.evacuate(&g, "b").unwrap();
    assert_eq!(s.records(&g).len(), 2, "task_state is ignored");
    s.wait(600_000);
    let shown = s.show(&g);
    assert_eq!(s.runs_on(&g), ["b"]);
    assert_eq!((shown.vm_state.as_str(), shown.task_state), ("error", Some("rebuilding".into())));
    assert_eq!(s.records(&g), [("evacuation", "failed"), ("evacuation", "accepted")], "the younger record is nobody's");
    assert_eq!(s.world.allocated_on(&g), ["a"], "the allocation where it runs is gone");
    assert!(s.world.double_runs().is_empty());
    s.boot("a");
    assert_eq!(s.records(&g)[1].1, "completed");
}

#[test]
fn a_twin_during_the_first_leaves_the_guest_running_where_nova_does_not_show_it() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.wait(4_600); // the first is being built
    s.evacuate(&g, "b").unwrap();
    s.wait(60_000);
    let shown = s.show(&g);
    assert_eq!((s.runs_on(&g), shown.host.as_deref(), shown.vm_state.as_str()), (vec!["b".to_string()], Some("a"), "error"));
    assert!(s.records(&g).iter().all(|r| r.1 == "failed"));
    s.evacuate(&g, "c").unwrap();
    s.wait(60_000);
    assert_eq!(s.world.double_runs().len(), 1);
}

#[test]
fn a_second_request_for_another_host_while_the_first_is_building_runs_the_guest_twice() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.wait(2_000);
    s.evacuate(&g, "c").unwrap();
    s.wait(60_000);
    let double = &s.world.double_runs()[0];
    assert_eq!((double.guest.as_str(), double.on.as_str(), double.and.as_str()), (g.as_str(), "c", "b"));
}

#[test]
fn a_source_that_was_never_fenced_runs_the_guest_twice() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.hurt("a", HostFault::NovaComputeDown);
    s.wait(61_000);
    s.evacuate(&g, "b").unwrap();
    s.wait(60_000);
    assert_eq!(s.world.double_runs().len(), 1);
    assert_eq!(s.runs_on(&g), ["a", "b"]);
    s.hurt("a", HostFault::None);
    s.wait(10_000);
    assert_eq!(s.runs_on(&g), ["b"], "the returning source destroys its copy");
}

#[test]
fn a_destination_that_dies_leaves_the_record_open_for_ever() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.wait(2_000);
    s.power("b", Command::ForceOff).unwrap();
    s.wait(3_600_000);
    assert_eq!(s.records(&g), [("evacuation", "pre-migrating")]);
    assert_eq!(s.show(&g).task_state.as_deref(), Some("rebuild_spawning"));
}

#[test]
fn a_request_to_a_dead_destination_waits_there_and_acts_when_it_comes_back() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    s.hurt("b", HostFault::Crash); // still looks up
    s.evacuate(&g, "b").unwrap();
    s.wait(600_000);
    assert_eq!(s.records(&g), [("evacuation", "accepted")]);
    s.power("b", Command::ForceOff).unwrap();
    s.boot("b");
    s.wait(60_000);
    assert_eq!((s.records(&g), s.runs_on(&g)), (vec![("evacuation", "done")], vec!["b".to_string()]));
}

#[test]
fn a_destination_that_started_the_guest_and_lost_nova_compute_makes_a_retry_run_it_twice() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.until("started", |w| w.running_on(&g) == ["b"]);
    s.hurt("b", HostFault::NovaComputeDown);
    s.wait(300_000);
    assert_eq!((s.show(&g).host.as_deref(), s.records(&g)[0].1), (Some("a"), "pre-migrating"), "Nova shows nothing of it (S6)");
    s.evacuate(&g, "c").unwrap();
    s.wait(60_000);
    assert_eq!(s.world.double_runs().len(), 1);
}

#[test]
fn a_conductor_that_dies_leaves_the_record_accepted() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.world.set_control_plane(false);
    s.wait(600_000);
    assert_eq!((s.records(&g)[0].1, s.show(&g).task_state.as_deref()), ("accepted", Some("rebuilding")));
}

#[test]
fn the_returning_source_destroys_the_only_copy_of_a_guest_that_never_left() {
    let mut s = Scene::with(|s| s.shared_disks = false);
    let g = s.guest("g");
    s.fence("a");
    s.world.set_control_plane(false);
    s.evacuate(&g, "b").unwrap();
    s.wait(1_000);
    s.world.set_control_plane(true);
    s.boot("a");
    assert_eq!(s.records(&g), [("evacuation", "completed")]);
    assert_eq!(s.world.lost_disks(), [g.as_str()], "I14");
}

#[test]
fn a_rebuild_keeps_shared_disks_and_volumes_and_loses_local_ones() {
    for (shared, volume, lost) in [(true, false, 0), (false, true, 0), (false, false, 1)] {
        let mut s = Scene::with(|s| s.shared_disks = shared);
        let mut spec = GuestSpec::new("g", "a");
        spec.boot_from_volume = volume;
        let g = s.world.add_guest(spec).unwrap();
        s.fence("a");
        s.evacuate(&g, "b").unwrap();
        s.wait(60_000);
        assert_eq!(s.world.lost_disks().len(), lost, "shared {shared}, volume {volume}");
    }
}

#[test]
fn a_hard_affinity_group_has_no_valid_host() {
    let mut s = Scene::new();
    let group = s.world.add_group(GroupPolicy::Affinity);
    let one = s.world.add_guest(GuestSpec::new("one", "a").in_group(&group)).unwrap();
    s.world.add_guest(GuestSpec::new("two", "a").in_group(&group)).unwrap();
    s.fence("a");
    s.evacuate(&one, "b").unwrap();
    s.wait(1_000);
    assert_eq!((s.records(&one), s.show(&one).status.as_str()), (vec![("evacuation", "error")], "ERROR"));
}

#[test]
fn a_hard_anti_affinity_group_without_a_free_host_has_no_valid_host() {
    let mut s = Scene::new();
    let group = s.world.add_group(GroupPolicy::AntiAffinity);
    let member = |s: &mut Scene, name: &str, host: &str| s.world.add_guest(GuestSpec::new(name, host).in_group(&group)).unwrap();
    let one = member(&mut s, "one", "a");
    member(&mut s, "two", "b");
    s.fence("a");
    s.evacuate(&one, "b").unwrap();
    s.wait(1_000);
    assert_eq!(s.show(&one).status, "ERROR");
    s.evacuate(&one, "c").unwrap();
    s.wait(60_000);
    assert_eq!(s.show(&one).host.as_deref(), Some("c"));
}

#[test]
fn two_members_of_an_anti_affinity_group_sent_at_once_are_caught_on_the_destination() {
    let mut s = Scene::new();
    let group = s.world.add_group(GroupPolicy::AntiAffinity);
    let member = |s: &mut Scene, name: &str| s.world.add_guest(GuestSpec::new(name, "a").in_group(&group)).unwrap();
    let (one, two) = (member(&mut s, "one"), member(&mut s, "two"));
    s.fence("a");
    s.evacuate(&one, "b").unwrap();
    s.evacuate(&two, "b").unwrap();
    s.wait(60_000);
    let both = [s.records(&one)[0].1, s.records(&two)[0].1];
    assert!(both.contains(&"failed"), "{both:?}");
    assert!(s.world.guests_of("b").len() < 2);
}

#[test]
fn leaving_it_stopped_needs_2_95() {
    let leave = |g: &str| Call::Evacuate { server: g.into(), destination: Some("b".into()), leave_stopped: true };
    let mut s = Scene::new();
    let g = s.guest("g");
    s.fence("a");
    assert_eq!(status(s.call(leave(&g))), 406);
    let mut s = Scene::with(|s| s.max_microversion = (2, 96));
    let g = s.guest("g");
    s.fence("a");
    s.call(leave(&g)).unwrap();
    s.wait(60_000);
    assert_eq!((s.show(&g).status.as_str(), s.show(&g).host.as_deref(), s.runs_on(&g).len()), ("SHUTOFF", Some("b"), 0));
    assert!(s.world.log().all(|l| !l.text.contains("DOUBLE")));
}
