//! Hosts, power and BMCs.

mod common;

use common::{Scene, status};
use power::Command;
use simulator::BmcFailure::{self, AlreadyThere, BadCredentials, Unreachable};
use simulator::{Failure, GuestSpec, HostFault, Lie};

fn bmc<T>(result: Result<T, Failure>) -> BmcFailure {
    match result {
        Err(Failure::Bmc(failure)) => failure,
        _ => panic!("not a failure of a BMC"),
    }
}

#[test]
fn a_crashed_host_is_on_and_nothing_runs_on_it_and_only_a_power_cycle_revives_it() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.hurt("a", HostFault::Crash);
    assert_eq!((s.world.bmc_power("a"), s.runs_on(&g).len()), (Ok(true), 0));
    s.power("a", Command::On).unwrap();
    s.hurt("a", HostFault::None);
    s.wait(120_000);
    assert_eq!(s.world.is_up("a"), Some(false));
    s.power("a", Command::ForceOff).unwrap();
    s.boot("a");
    assert_eq!(s.world.is_up("a"), Some(true));
}

#[test]
fn a_dead_nova_compute_leaves_its_guests_running_until_it_is_healed() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.hurt("a", HostFault::NovaComputeDown);
    s.wait(120_000);
    assert_eq!((s.world.is_up("a"), s.runs_on(&g)), (Some(false), vec!["a".to_string()]));
    s.hurt("a", HostFault::None);
    s.wait(3_000);
    assert_eq!((s.world.is_up("a"), s.runs_on(&g)), (Some(true), vec!["a".to_string()]));
}

#[test]
fn a_boot_takes_its_time_and_a_power_off_in_the_middle_ends_it() {
    let mut s = Scene::new();
    s.power("a", Command::ForceOff).unwrap();
    s.power("a", Command::On).unwrap();
    s.wait(10_000);
    s.power("a", Command::ForceOff).unwrap();
    s.wait(60_000);
    assert!(!s.world.state().hosts[0].nova_compute);
    s.power("a", Command::On).unwrap();
    s.wait(21_900);
    assert!(!s.world.state().hosts[0].nova_compute);
    s.wait(200);
    assert!(s.world.state().hosts[0].nova_compute);
}

#[test]
fn after_a_boot_guests_stay_off_and_nova_marks_them_stopped_at_its_next_look() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.power("a", Command::ForceOff).unwrap();
    s.boot("a");
    assert_eq!((s.show(&g).status.as_str(), s.runs_on(&g).len()), ("ACTIVE", 0));
    s.wait(601_000);
    assert_eq!(s.show(&g).status, "SHUTOFF");
}

#[test]
fn with_resume_nova_starts_what_was_not_evacuated() {
    let mut s = Scene::with(|s| s.resume_guests = true);
    let (left, gone) = (s.guest("left"), s.guest("gone"));
    s.fence("a");
    s.evacuate(&gone, "b").unwrap();
    s.wait(60_000);
    s.boot("a");
    assert_eq!((s.runs_on(&left), s.runs_on(&gone)), (vec!["a".to_string()], vec!["b".to_string()]));
    assert!(s.world.double_runs().is_empty());
}

#[test]
fn a_hypervisor_that_starts_guests_by_itself_runs_an_evacuated_guest_twice() {
    let mut s = Scene::with(|s| s.autostart_guests = true);
    let g = s.guest("g");
    s.fence("a");
    s.evacuate(&g, "b").unwrap();
    s.wait(60_000);
    s.boot("a");
    assert_eq!(s.world.double_runs().len(), 1, "I13");
    assert_eq!(s.runs_on(&g), ["b"], "cleaned up afterwards");
}

#[test]
fn a_soft_off_takes_its_time_and_may_be_ignored() {
    let mut s = Scene::new();
    s.power("a", Command::SoftOff).unwrap();
    assert_eq!(s.world.bmc_power("a"), Ok(true));
    s.wait(5_000);
    assert_eq!(s.world.bmc_power("a"), Ok(false));
    s.world.set_soft_off_works("b", false);
    s.power("b", Command::SoftOff).unwrap();
    s.hurt("c", HostFault::Crash);
    s.power("c", Command::SoftOff).unwrap();
    s.wait(60_000);
    assert_eq!((s.world.bmc_power("b"), s.world.bmc_power("c")), (Ok(true), Ok(true)));
}

#[test]
fn an_unreachable_bmc_answers_nothing_and_does_nothing() {
    let mut s = Scene::new();
    s.hurt("a", HostFault::BmcUnreachable);
    assert_eq!(s.world.bmc_power("a"), Err(Unreachable));
    assert_eq!(bmc(s.power("a", Command::ForceOff)), Unreachable);
    assert!(s.world.power_is_on("a"));
    s.hurt("a", HostFault::None);
    assert_eq!(s.world.bmc_power("a"), Ok(true));
}

#[test]
fn bmcs_may_lie_be_late_be_strict_and_ask_for_a_password() {
    let mut s = Scene::new();
    s.world.set_bmc_lie("a", Lie::NoEffect);
    s.power("a", Command::ForceOff).unwrap();
    assert!(s.world.power_is_on("a"));
    s.world.set_bmc_lie("a", Lie::SaysOff);
    assert_eq!((s.world.bmc_power("a"), s.world.power_is_on("a")), (Ok(false), true));
    s.world.set_bmc_late("b", 30_000);
    s.power("b", Command::ForceOff).unwrap();
    s.wait(29_000);
    assert!(s.world.power_is_on("b"));
    s.wait(1_000);
    assert!(!s.world.power_is_on("b"));
    s.world.set_bmc_strict("c", true);
    assert_eq!(bmc(s.power("c", Command::On)), AlreadyThere);
    s.world.set_bmc_credentials("c", "root", "right");
    assert_eq!((s.world.bmc_check("c", "root", "right"), s.world.bmc_check("c", "root", "wrong")), (Ok(()), Err(BadCredentials)));
}

#[test]
fn starting_and_stopping_take_their_time_and_wait_for_a_dead_host() {
    let mut s = Scene::new();
    let g = s.guest("g");
    let stop = |s: &mut Scene, g: &str| s.call(simulator::Call::Stop { server: g.into() });
    stop(&mut s, &g).unwrap();
    assert_eq!(s.show(&g).task_state.as_deref(), Some("powering-off"));
    s.wait(1_000);
    assert_eq!((s.show(&g).status.as_str(), s.runs_on(&g).len()), ("SHUTOFF", 0));
    assert_eq!(status(stop(&mut s, &g)), 409);
    s.call(simulator::Call::Start { server: g.clone() }).unwrap();
    s.wait(1_000);
    assert_eq!((s.show(&g).status.as_str(), s.runs_on(&g)), ("ACTIVE", vec!["a".to_string()]));
    s.hurt("a", HostFault::NovaComputeDown);
    stop(&mut s, &g).unwrap();
    s.wait(60_000);
    assert_eq!(s.show(&g).task_state.as_deref(), Some("powering-off"));
    s.hurt("a", HostFault::None);
    s.wait(5_000);
    assert_eq!(s.show(&g).status, "SHUTOFF");
}

#[test]
fn the_same_seed_gives_the_same_cloud_and_the_same_future() {
    let run = |seed| {
        let mut w = simulator::Topology::sandbox(20, 200, seed).build(0);
        let first = w.guest_ids()[0].clone();
        w.call(simulator::Call::LiveMigrate { server: first, destination: None }).result.unwrap_or(simulator::Answer::Accepted);
        w.advance(100_000);
        (serde_json::to_string(&w.state()).unwrap(), w.log().cloned().collect::<Vec<_>>())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).0, run(8).0);
}

#[test]
fn a_sandbox_has_all_its_guests_unevenly_spread_with_room_to_spare() {
    let w = simulator::Topology::sandbox(20, 200, 1).build(0);
    assert_eq!((w.host_names().len(), w.guest_ids().len()), (20, 200));
    let counts: Vec<usize> = w.host_names().iter().map(|h| w.guests_of(h).len()).collect();
    assert_ne!(counts.iter().min(), counts.iter().max());
    assert!(w.host_names().iter().all(|h| w.free(h).ram_mb >= 16_384));
    let shown: Vec<_> = w.guest_ids().iter().map(|g| w.show(g).unwrap()).collect();
    assert!(shown.iter().any(|g| g.status == "SHUTOFF") && shown.iter().any(|g| g.metadata.contains_key("recovery_priority")));
    let password = |seed| simulator::Topology::sandbox(1, 0, seed).settings.password;
    assert_eq!((password(1), password(1) == password(2)), (password(1), false));
    let mut w = simulator::Topology::scenario(1).build(0);
    assert!(w.add_guest(GuestSpec::new("g", "nowhere")).is_err());
}

#[test]
fn a_second_bmc_switches_the_same_machine_and_fails_by_itself() {
    let mut s = Scene::new();
    s.world.add_bmc("a", "bmc2");
    s.world.set_bmc_lie("a", Lie::NoEffect);
    s.power("a", Command::ForceOff).unwrap();
    assert_eq!((s.world.bmc_power("a"), s.world.bmc_power("a.bmc2")), (Ok(true), Ok(true)));
    s.power("a.bmc2", Command::ForceOff).unwrap();
    assert_eq!((s.world.bmc_power("a"), s.world.bmc_power("a.bmc2")), (Ok(false), Ok(false)));
    s.world.set_bmc_reachable("a.bmc2", false);
    assert_eq!((s.world.bmc_power("a"), s.world.bmc_power("a.bmc2")), (Ok(false), Err(Unreachable)));
    assert_eq!(s.world.bmc_power("a.bmc3"), Err(BmcFailure::NoSuchSystem));
}

#[test]
fn a_machine_runs_on_with_one_of_its_outlets_and_its_bmc_dies_with_the_last() {
    let mut s = Scene::new();
    let g = s.guest("g");
    s.world.add_outlet("a", "outlet1");
    s.world.add_outlet("a", "outlet2");
    s.power("a.outlet1", Command::ForceOff).unwrap();
    assert_eq!((s.world.bmc_power("a.outlet1"), s.world.bmc_power("a"), s.runs_on(&g)), (Ok(false), Ok(true), vec!["a".to_string()]));
    s.power("a.outlet2", Command::SoftOff).unwrap();
    assert_eq!(s.world.outlet_is_on("a.outlet2"), Some(true), "an outlet asks nobody");
    s.power("a.outlet2", Command::ForceOff).unwrap();
    assert!(!s.world.power_is_on("a") && s.runs_on(&g).is_empty());
    assert_eq!((s.world.bmc_power("a"), s.world.bmc_power("a.outlet2")), (Err(Unreachable), Ok(false)));
    s.power("a.outlet2", Command::On).unwrap();
    assert_eq!((s.world.bmc_power("a"), s.world.power_is_on("a")), (Ok(false), false));
    s.power("a", Command::On).unwrap();
    assert!(s.world.power_is_on("a"));
}
