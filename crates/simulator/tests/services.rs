//! Service rows, heartbeats, and the PUT.

mod common;

use cloud::ServiceChange;
use common::{Scene, disable, enable, force_down, status, words};
use power::Command;
use simulator::{CallKind, HostFault};

fn disabled_trait(s: &Scene, host: &str) -> bool {
    s.world.provider_shown(host).unwrap().traits.iter().any(|t| t == "COMPUTE_STATUS_DISABLED")
}

#[test]
fn a_silent_service_is_down_after_service_down_time_and_not_before() {
    let mut s = Scene::new();
    s.wait(30_000);
    s.hurt("a", HostFault::NovaComputeDown);
    s.wait(49_000);
    assert_eq!(s.world.is_up("a"), Some(true));
    s.wait(12_000);
    assert_eq!(s.world.is_up("a"), Some(false));
    assert_eq!(s.world.is_up("b"), Some(true));
}

#[test]
fn updated_at_moves_with_heartbeats_even_while_forced_down_and_stands_still_when_dead() {
    let mut s = Scene::new();
    s.put("a", force_down(true)).unwrap();
    s.wait(1_000);
    let before = s.service("a").updated_at;
    s.wait(20_000);
    let row = s.service("a");
    assert_ne!(row.updated_at, before, "it beats");
    assert_eq!(row.up, Some(false));
    s.power("a", Command::ForceOff).unwrap();
    let before = s.service("a").updated_at;
    s.wait(300_000);
    assert_eq!(s.service("a").updated_at, before);
    s.put("a", disable()).unwrap();
    assert_ne!(s.service("a").updated_at, before, "any write moves it");
}

#[test]
fn nova_refuses_what_its_schema_and_rules_forbid() {
    let mut s = Scene::new();
    let reason = |enabled, text: &str| ServiceChange { enabled, disabled_reason: Some(text.into()), forced_down: None };
    assert_eq!(status(s.put("a", ServiceChange::default())), 400);
    assert_eq!(status(s.put("a", reason(Some(true), "x"))), 400);
    assert_eq!(status(s.put("a", reason(None, "x"))), 400);
    assert_eq!(status(s.put("a", reason(Some(false), ""))), 400);
    assert_eq!(status(s.put("a", reason(Some(false), &"x".repeat(256)))), 400);
    let conductor = s.world.services_shown().into_iter().find(|r| r.binary == "nova-conductor").unwrap();
    let put = |s: &mut Scene, id: &str| s.call(simulator::Call::UpdateService { id: id.into(), change: disable() });
    assert!(words(put(&mut s, &conductor.id)).contains("Only nova-compute services can be updated"));
    assert_eq!(status(put(&mut s, "11111111-1111-1111-1111-111111111111")), 404);
    assert_eq!(s.service("a").enabled, Some(true));
}

#[test]
fn a_put_that_changes_nothing_is_answered_and_not_written() {
    let mut s = Scene::new();
    s.wait(1_234);
    let before = s.service("a");
    let row = s.put("a", enable()).unwrap();
    assert_eq!(row, before);
}

#[test]
fn enabling_resets_the_reason_and_disabling_without_one_too() {
    let mut s = Scene::new();
    assert_eq!(s.put("a", disable()).unwrap().disabled_reason.as_deref(), Some("test"));
    assert!(disabled_trait(&s, "a"));
    assert_eq!(s.put("a", enable()).unwrap().disabled_reason, None);
    assert!(!disabled_trait(&s, "a"));
    s.put("a", disable()).unwrap();
    let bare = ServiceChange { enabled: Some(false), ..ServiceChange::default() };
    assert_eq!(s.put("a", bare).unwrap().disabled_reason, None);
}

#[test]
fn disabling_a_dead_host_that_looks_up_takes_a_minute_and_together_with_force_down_none() {
    for (forced, delay) in [(None, 60_000), (Some(true), 0)] {
        let mut s = Scene::new();
        s.hurt("a", HostFault::Crash);
        let change = ServiceChange { forced_down: forced, ..disable() };
        let id = s.service_id("a");
        let reply = s.world.call(simulator::Call::UpdateService { id, change });
        assert_eq!(reply.delay_ms, delay);
        reply.result.unwrap();
        assert_eq!(s.service("a").enabled, Some(false), "written before the RPC");
        assert!(!disabled_trait(&s, "a"), "nobody was there to set the trait");
    }
}

#[test]
fn a_trait_that_could_not_be_changed_lingers_until_the_resource_task() {
    let mut s = Scene::new();
    s.put("a", disable()).unwrap();
    s.put("a", force_down(true)).unwrap();
    s.put("a", enable()).unwrap();
    s.put("a", force_down(false)).unwrap();
    s.wait(59_000);
    assert!(disabled_trait(&s, "a"));
    s.wait(2_000);
    assert!(!disabled_trait(&s, "a"));
}

#[test]
fn a_starting_nova_compute_sets_the_trait_to_what_the_service_says() {
    let mut s = Scene::new();
    s.fence("a");
    assert!(!disabled_trait(&s, "a"));
    s.boot("a");
    assert!(disabled_trait(&s, "a"));
}

#[test]
fn without_a_conductor_every_service_falls_silent_and_all_come_back() {
    let mut s = Scene::new();
    s.world.set_control_plane(false);
    s.wait(120_000);
    assert!(s.world.services_shown().iter().all(|r| r.up == Some(false)));
    s.world.set_control_plane(true);
    s.wait(1_000);
    assert!(s.world.services_shown().iter().all(|r| r.up == Some(true)));
}

#[test]
fn a_cell_that_is_down_shows_unknown_rows_and_loses_guests_from_filtered_lists() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.world.set_cell("cell1", false);
    let row = s.service("a");
    assert_eq!((row.id.as_str(), row.up, row.enabled), ("", None, None));
    let list = |s: &mut Scene, host: Option<&str>| {
        let cloud = simulator::SimCloud::new(std::sync::Arc::new(std::sync::Mutex::new(s.world.clone())), std::sync::Arc::new(|| 0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(cloud::Compute::servers(&cloud, host)).unwrap()
    };
    assert!(list(&mut s, Some("a")).is_empty(), "silently (I8)");
    let all = list(&mut s, None);
    assert_eq!((all[0].id.as_str(), all[0].status.as_str(), all[0].host.as_deref()), (g.as_str(), "UNKNOWN", None));
    assert_eq!(status(s.evacuate(&g, "b")), 500);
}

#[test]
fn a_scheduled_build_is_invisible_by_host_and_arrives_on_a_disabled_host() {
    let mut s = Scene::new();
    let g = s.world.schedule_build("a", 20_000).unwrap();
    s.put("a", disable()).unwrap();
    assert!(s.world.guests_of("a").is_empty());
    assert_eq!(s.world.provider_shown("a").unwrap().consumers, [g.as_str()], "only Placement knows (S9)");
    assert_eq!(s.show(&g).host, None);
    s.wait(21_000);
    assert_eq!((s.world.guests_of("a"), s.runs_on(&g)), (vec![g.clone()], vec!["a".to_string()]));
    let late = s.world.schedule_build("b", 5_000).unwrap();
    s.hurt("b", HostFault::NovaComputeDown);
    s.wait(60_000);
    s.hurt("b", HostFault::None);
    s.wait(5_000);
    assert_eq!(s.show(&late).status, "ERROR", "a build that was not claimed before the restart");
}

#[test]
fn every_changing_call_is_kept_with_its_result() {
    let mut s = Scene::new();
    let g = s.guest("g");
    let _ = s.evacuate(&g, "b");
    s.power("a", Command::ForceOff).unwrap();
    let calls: Vec<_> = s.world.calls().map(|c| (c.kind, c.target.clone(), c.result.clone())).collect();
    assert_eq!(calls[0].0, CallKind::Evacuate);
    assert!(calls[0].2.starts_with("400 Compute service of a is still in use."));
    assert_eq!((calls[1].0, calls[1].1.as_str(), calls[1].2.as_str()), (CallKind::PowerSet, "a", "ok: answered"));
}
