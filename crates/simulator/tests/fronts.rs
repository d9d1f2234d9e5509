//! The traits' front: what a caller sees of faults, latency and silence.

mod common;

use cloud::{CloudError, Compute, Identity, Placement, ServiceChange, TokenInfo};
use common::Scene;
use power::{Command, Power, PowerDriver, PowerError, Target};
use schemas::v1::{DeviceType, Endpoint, PowerDeviceSpec, Protocol};
use simulator::{CallFault, CallKind, HostFault, SimCloud, SimHooks, SimPower, World};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Both fronts on one world, whose clock is tokio's paused one.
fn fronts(scene: Scene) -> (SimCloud, SimPower, Arc<Mutex<World>>) {
    let world = Arc::new(Mutex::new(scene.world));
    let start = tokio::time::Instant::now();
    let clock: simulator::Clock = Arc::new(move || start.elapsed().as_millis() as i64);
    (SimCloud::new(Arc::clone(&world), Arc::clone(&clock)), SimPower::new(Arc::clone(&world), clock), world)
}

fn target(host: &str) -> Target {
    let endpoint = Endpoint { host: host.into(), port: None, scheme: None, certificate_sha256: None, system: None };
    let spec = PowerDeviceSpec { title: String::new(), r#type: DeviceType::BMC, protocol: Protocol::IPMI, endpoint, credential_ref: None, ports: 1 };
    Target { device_uid: "1".into(), device_name: format!("bmc-{host}"), spec, port: 1, username: "admin".into(), password: "x".to_string().into() }
}

#[tokio::test(start_paused = true)]
async fn time_moves_the_world_between_calls() {
    let mut scene = Scene::new();
    let g = scene.guest("g");
    let (cloud, power, world) = fronts(scene);
    power.set(&target("a"), Command::ForceOff).await.unwrap();
    assert_eq!(power.read(&target("a")).await.unwrap(), Power::Off);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(cloud.services().await.unwrap().iter().find(|s| s.host == "a").unwrap().up, Some(false));
    cloud.evacuate(&g, "b", false).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(cloud.server(&g).await.unwrap().unwrap().host.as_deref(), Some("b"));
    assert_eq!(cloud.migrations_of_server(&g).await.unwrap()[0].status, "done");
    assert_eq!(cloud.migrations_of_host("a").await.unwrap().len(), 1);
    assert_eq!(cloud.providers_of(&g).await.unwrap().len(), 2);
    assert_eq!(cloud.server("nobody").await.unwrap(), None);
    assert_eq!(cloud.provider("nobody").await.unwrap(), None);
    assert!(world.lock().unwrap().double_runs().is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_call_has_its_effect_and_its_answer() {
    let cases = [
        (CallFault::LostAnswer, true, true),
        (CallFault::LostRequest, false, true),
        (CallFault::Nonsense, true, true),
        (CallFault::Status { status: 500, retry_after_s: None }, false, true),
        (CallFault::Status { status: 503, retry_after_s: None }, false, true),
        (CallFault::Status { status: 409, retry_after_s: None }, false, false),
        (CallFault::Status { status: 429, retry_after_s: Some(3) }, false, false),
        (CallFault::NotSent, false, false),
    ];
    for (fault, acted, may_have) in cases {
        let mut scene = Scene::new();
        let g = scene.guest("g");
        scene.world.inject(CallKind::Stop, fault, 1);
        let (cloud, _, world) = fronts(scene);
        let error = cloud.stop(&g).await.unwrap_err();
        assert_eq!(error.may_have_acted(), may_have, "{fault:?}: {error}");
        assert_eq!(
            world.lock().unwrap().show(&g).unwrap().task_state.is_some() || world.lock().unwrap().running_on(&g).is_empty(),
            acted,
            "{fault:?}"
        );
        if let CallFault::Status { status: 429, .. } = fault {
            assert!(matches!(error, CloudError::NotSent { retry_after: Some(d), .. } if d == Duration::from_secs(3)));
        }
        if !acted {
            cloud.stop(&g).await.unwrap(); // it was for one call only
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_call_acts_after_its_caller_gave_up_and_a_duplicate_acts_again() {
    let mut scene = Scene::new();
    let g = scene.guest("g");
    scene.world.inject(CallKind::Stop, CallFault::Late { after_ms: 60_000 }, 1);
    scene.world.inject(CallKind::Start, CallFault::Duplicate { after_ms: 50 }, 1);
    let (cloud, _, world) = fronts(scene);
    assert!(cloud.stop(&g).await.unwrap_err().may_have_acted());
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(cloud.server(&g).await.unwrap().unwrap().status, "ACTIVE");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(cloud.server(&g).await.unwrap().unwrap().status, "SHUTOFF");
    cloud.start(&g).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    cloud.services().await.unwrap();
    let world = world.lock().unwrap();
    let starts: Vec<&str> = world.calls().filter(|c| c.kind == CallKind::Start).map(|c| c.result.as_str()).collect();
    assert_eq!(starts.len(), 2);
    assert!(starts[1].ends_with("delivered late"), "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_partial_list_says_nothing_of_it() {
    let mut scene = Scene::new();
    for n in 0..4 {
        scene.guest(&format!("g{n}"));
    }
    scene.world.inject_for(CallKind::Servers, "a", CallFault::Partial, 1);
    let (cloud, _, _) = fronts(scene);
    assert_eq!(cloud.servers(None).await.unwrap().len(), 4, "the fault is for another target");
    assert_eq!(cloud.servers(Some("a")).await.unwrap().len(), 2);
    assert_eq!(cloud.servers(Some("a")).await.unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_disable_that_waits_for_a_dead_host_is_unknown_to_its_caller_and_done() {
    let mut scene = Scene::new();
    scene.hurt("a", HostFault::Crash);
    let id = scene.service_id("a");
    let (cloud, _, world) = fronts(scene);
    let before = tokio::time::Instant::now();
    let change = ServiceChange { enabled: Some(false), ..ServiceChange::default() };
    assert!(cloud.update_service(&id, &change).await.unwrap_err().may_have_acted());
    assert_eq!(before.elapsed(), Duration::from_secs(20));
    assert_eq!(world.lock().unwrap().services_shown().iter().find(|s| s.host == "a").unwrap().enabled, Some(false));
}

#[tokio::test(start_paused = true)]
async fn a_silent_bmc_is_unknown_and_a_wrong_password_is_not() {
    let mut scene = Scene::new();
    scene.hurt("a", HostFault::BmcUnreachable);
    scene.world.set_bmc_credentials("b", "admin", "secret");
    let (_, power, world) = fronts(scene);
    assert!(matches!(power.read(&target("a")).await, Err(PowerError::Unknown(_))));
    assert!(power.set(&target("a"), Command::ForceOff).await.unwrap_err().may_have_acted());
    assert!(matches!(power.set(&target("b"), Command::ForceOff).await, Err(PowerError::BadCredentials(_))));
    assert!(matches!(power.read(&target("nowhere")).await, Err(PowerError::NotSent(_))));
    assert!(world.lock().unwrap().power_is_on("b"));
    power.map_device("bmc-nowhere", "c");
    assert_eq!(power.read(&target("nowhere")).await.unwrap(), Power::On);
    assert!(power.identify(&target("c")).await.unwrap().system_uuid.is_some());
}

#[tokio::test(start_paused = true)]
async fn hooks_see_every_call_before_and_after_its_effect() {
    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);
    impl SimHooks for Seen {
        fn before(&self, call: &str) {
            self.0.lock().unwrap().push(format!("before {call}"));
        }
        fn after(&self, call: &str) {
            self.0.lock().unwrap().push(format!("after {call}"));
        }
    }
    let seen = Arc::new(Seen::default());
    let (cloud, _, _) = fronts(Scene::new());
    let cloud = cloud.with_hooks(seen.clone()).with_latency(Duration::from_millis(200));
    let before = tokio::time::Instant::now();
    cloud.aggregates().await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_millis(200));
    assert_eq!(*seen.0.lock().unwrap(), ["before aggregates", "after aggregates"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_valid_until_it_expires_and_a_silent_keystone_cannot_tell() {
    let (cloud, _, world) = fronts(Scene::new());
    let info = TokenInfo {
        user_id: "1".into(),
        user_name: "u".into(),
        project_id: None,
        system_scope: false,
        is_admin_project: false,
        roles: vec!["admin".into()],
        expires_at: schemas::Time(10_000_000),
        access_rules: None,
    };
    cloud.add_token("t", info.clone());
    assert_eq!(cloud.validate("t", false).await.unwrap(), Some(info));
    assert_eq!(cloud.validate("other", false).await.unwrap(), None);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(cloud.validate("t", false).await.unwrap(), None);
    assert!(cloud.validate("t", true).await.unwrap().is_some());
    world.lock().unwrap().inject(CallKind::Validate, CallFault::Status { status: 503, retry_after_s: None }, 1);
    assert!(cloud.validate("t", false).await.is_err());
}
