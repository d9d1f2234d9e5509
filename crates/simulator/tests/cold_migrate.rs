//! Cold migration as Nova does it.

mod common;

use common::{Scene, status};
use simulator::{Call, GuestSpec, HostFault};

fn cold(s: &mut Scene, guest: &str, to: Option<&str>) -> Result<simulator::Answer, simulator::Failure> {
    s.call(Call::ColdMigrate { server: guest.into(), destination: to.map(str::to_string) })
}

fn confirm(s: &mut Scene, guest: &str) -> Result<simulator::Answer, simulator::Failure> {
    s.call(Call::ConfirmResize { server: guest.into() })
}

#[test]
fn a_stopped_guest_passes_all_states_stays_stopped_and_waits_to_be_confirmed() {
    let mut s = Scene::new();
    let g = s.world.add_guest(GuestSpec::new("g", "a").stopped()).unwrap();
    cold(&mut s, &g, Some("b")).unwrap();
    assert_eq!((s.show(&g).status.as_str(), s.records(&g).len()), ("RESIZE", 0), "202 comes before the record");
    let mut seen = Vec::new();
    for _ in 0..2_000 {
        s.wait(10);
        if let Some((kind, status)) = s.records(&g).first().copied() {
            assert_eq!(kind, "migration");
            if seen.last() != Some(&status) {
                seen.push(status);
            }
        }
    }
    assert_eq!(seen, ["pre-migrating", "migrating", "post-migrating", "finished"]);
    let shown = s.show(&g);
    assert_eq!(
        (shown.status.as_str(), shown.vm_state.as_str(), shown.host.as_deref(), shown.power_state),
        ("VERIFY_RESIZE", "resized", Some("b"), 4)
    );
    let record = s.world.provider_shown("a").unwrap().consumers;
    assert!(record.len() == 1 && record[0] != g, "the source keeps an allocation of the record's");
    confirm(&mut s, &g).unwrap();
    assert_eq!(status(confirm(&mut s, &g)), 400, "confirming already");
    s.until("confirmed", |w| w.records_of(&g)[0].1 == "confirmed");
    assert_eq!(s.show(&g).status, "SHUTOFF");
    assert!(s.runs_on(&g).is_empty());
    assert_eq!(s.world.allocated_on(&g), ["b"]);
    assert!(s.world.provider_shown("a").unwrap().consumers.is_empty());
}

#[test]
fn a_running_guest_is_shut_down_moved_and_started_and_never_runs_twice() {
    let mut s = Scene::new();
    let g = s.guest("g");
    cold(&mut s, &g, None).unwrap();
    s.until("finished", |w| w.records_of(&g).iter().any(|r| r.1 == "finished"));
    assert_eq!(s.runs_on(&g).len(), 1);
    assert_ne!(s.runs_on(&g), ["a"]);
    confirm(&mut s, &g).unwrap();
    s.until("active", |w| w.show(&g).is_some_and(|g| g.status == "ACTIVE"));
    assert!(s.world.double_runs().is_empty());
}

#[test]
fn what_nova_refuses() {
    let mut s = Scene::new();
    let g = s.world.add_guest(GuestSpec::new("g", "a").stopped()).unwrap();
    assert_eq!(status(cold(&mut s, "nobody", None)), 404);
    assert_eq!(status(cold(&mut s, &g, Some("nowhere"))), 400);
    assert_eq!(status(cold(&mut s, &g, Some("a"))), 400);
    assert_eq!(status(confirm(&mut s, &g)), 409);
    cold(&mut s, &g, None).unwrap();
    assert_eq!(status(cold(&mut s, &g, None)), 409, "it is busy");
    let h = s.world.add_guest(GuestSpec::new("h", "a").stopped()).unwrap();
    s.world.fault("a", HostFault::Crash).unwrap();
    s.until("down", |w| w.is_up("a") == Some(false));
    assert_eq!(status(cold(&mut s, &h, None)), 409, "the source is down");
}

#[test]
fn without_a_host_the_record_ends_in_error_and_the_guest_is_as_it_was() {
    let mut s = Scene::new();
    let g = s.world.add_guest(GuestSpec::new("g", "a").stopped().with_ram(65_000)).unwrap();
    s.world.add_guest(GuestSpec::new("b", "b").with_ram(30_000)).unwrap();
    s.world.add_guest(GuestSpec::new("c", "c").with_ram(30_000)).unwrap();
    cold(&mut s, &g, None).unwrap();
    s.until("error", |w| w.records_of(&g).iter().any(|r| r.1 == "error"));
    assert_eq!((s.show(&g).status.as_str(), s.show(&g).host.as_deref()), ("SHUTOFF", Some("a")));
    assert_eq!(s.world.allocated_on(&g), ["a"]);
}

#[test]
fn a_confirmation_waits_for_the_source_s_nova_compute() {
    let mut s = Scene::new();
    let g = s.world.add_guest(GuestSpec::new("g", "a").stopped()).unwrap();
    cold(&mut s, &g, Some("b")).unwrap();
    s.until("finished", |w| w.records_of(&g).iter().any(|r| r.1 == "finished"));
    s.world.fault("a", HostFault::NovaComputeDown).unwrap();
    confirm(&mut s, &g).unwrap();
    s.wait(60_000);
    assert_eq!(s.records(&g), [("migration", "confirming")]);
    s.world.start_compute("a");
    s.until("confirmed", |w| w.records_of(&g)[0].1 == "confirmed");
}
