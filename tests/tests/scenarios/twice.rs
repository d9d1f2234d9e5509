//! Each step run twice has one effect.

use crate::stage::{Stage, given};
use planner::{Step, contract::PowerCommand};
use serde_json::json;
use simulator::CallKind;
use store::{Guard, Op, StoreError};
use workspace_tests::condition;

#[tokio::test(start_paused = true)]
async fn an_intent_of_any_step_written_twice_collides_with_itself() {
    let s = given(&["a", "b"]).start().await;
    let owner = s.rig.get("Host", "a").await;
    let server = "0f2f3c0e-8f6c-4e0c-8a55-d8b6d6d0d3aa".to_string();
    let steps = [
        Step::NovaService { service_id: "x".into(), enabled: Some(false), reason: Some("why".into()), forced_down: None },
        Step::NovaService { service_id: "x".into(), enabled: Some(false), reason: Some("why".into()), forced_down: Some(true) },
        Step::NovaService { service_id: "x".into(), enabled: Some(true), reason: None, forced_down: None },
        Step::NovaService { service_id: "x".into(), enabled: None, reason: None, forced_down: Some(false) },
        Step::Power { link: "l".into(), command: PowerCommand::On },
        Step::Power { link: "l".into(), command: PowerCommand::ForceOff },
        Step::Power { link: "l".into(), command: PowerCommand::SoftOff },
        Step::LiveMigrate { server: server.clone(), records_before: vec![1] },
        Step::Evacuate { server: server.clone(), destination: "b".into(), leave_stopped: false, records_before: vec![1] },
        Step::ColdMigrate { server: server.clone(), records_before: vec![1] },
        Step::ConfirmResize { server: server.clone(), record: 2 },
        Step::StopGuest { server },
    ];
    let now = s.rig.clock.now();
    for step in &steps {
        let intent = || engine::intents::new(&owner, "a", step, 1, s.rig.token, now);
        let write = |op| s.rig.store.commit(Guard::Lease(s.rig.token), now, vec![Op::Create(op)]);
        write(intent()).await.unwrap_or_else(|e| panic!("{}: {e}", step.name()));
        let again = write(intent()).await;
        assert!(matches!(again, Err(StoreError::AlreadyExists(_))), "{}: {again:?}", step.name());
    }
    let written = s.rig.list("Operation").await.iter().filter(|o| o.spec["owner"] == "Host/a").count();
    assert_eq!(written, steps.len(), "each step has a name of its own");
}

/// PUTs that said something new: one that repeats the last changes nothing in Nova.
fn changes_of_services(s: &Stage) -> usize {
    let mut puts: Vec<simulator::Call> = s.calls(CallKind::UpdateService).into_iter().map(|c| c.call).collect();
    puts.dedup();
    puts.len()
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_that_two_controllers_run_at_once_has_every_effect_once() {
    let mut s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 5);
    s.crash_host("a").await;
    s.rig.double().await;

    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;

    assert_eq!(s.calls(CallKind::PowerSet).len(), 1, "{}", s.story());
    assert_eq!(changes_of_services(&s), 1, "{}", s.story());
    assert_eq!(s.calls(CallKind::Evacuate).len(), 5, "{}", s.story());
    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
    }
    s.nothing_ran_twice();

    let on = s.operate("a", "PowerOn", json!({})).await;
    s.succeeds("HostOperation", &on).await;
    assert_eq!(s.calls(CallKind::PowerSet).len(), 2, "{}", s.story());
    assert_eq!(changes_of_services(&s), 3, "{}", s.story());
}

#[tokio::test(start_paused = true)]
async fn a_power_off_that_two_controllers_run_at_once_has_every_effect_once() {
    let mut s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 4);
    s.rig.double().await;

    s.declare("a", json!({"power": "Off"})).await;
    let off = |o: &schemas::DynObject| condition(o, "Ready") == "True" && o.status["power"]["state"] == "Off";
    s.rig.wait("Host", "a", "off", std::time::Duration::from_secs(600), off).await;

    assert_eq!(s.calls(CallKind::UpdateService).len(), 1, "{}", s.story());
    assert_eq!(s.calls(CallKind::LiveMigrate).len(), 4, "{}", s.story());
    assert_eq!(s.calls(CallKind::PowerSet).len(), 1, "{}", s.story());
    for guest in &guests {
        assert_eq!(s.records(guest, "live-migration"), ["completed"]);
    }
}

#[tokio::test(start_paused = true)]
async fn guests_that_two_controllers_stop_at_once_are_stopped_once() {
    let mut s = given(&["a", "b", "c"]).start().await;
    s.guests("web", "a", 3);
    s.rig.double().await;

    s.declare("a", json!({"power": "Off", "guestsOnPowerOff": "Stop"})).await;
    s.until("a is off", |w| !w.power_is_on("a")).await;

    assert_eq!(s.calls(CallKind::Stop).len(), 3, "{}", s.story());
    assert_eq!(s.calls(CallKind::PowerSet).len(), 1, "{}", s.story());
}
