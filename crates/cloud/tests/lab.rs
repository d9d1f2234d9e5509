//! Against a real cloud, named by `OS_*`; only with `CLOUD_MANAGER_TEST_LAB=1`. It must have computes, and
//! be one where a guest may be moved: with `CLOUD_MANAGER_TEST_GUEST=<uuid>` that guest is stopped, started
//! and live-migrated to another host.

use cloud::openstack::{CloudConfig, OpenStack};
use cloud::{Compute, Identity, Placement};
use std::time::{Duration, Instant};

async fn lab(test: &str) -> Option<OpenStack> {
    if std::env::var("CLOUD_MANAGER_TEST_LAB").as_deref() != Ok("1") {
        println!("SKIPPED {test}: set CLOUD_MANAGER_TEST_LAB=1 and the OS_* variables of a cloud to run it");
        return None;
    }
    let config = CloudConfig::from_env(&std::env::vars().collect()).unwrap();
    Some(OpenStack::connect(config).await.unwrap())
}

#[tokio::test]
async fn everything_a_real_cloud_lists_is_understood() {
    let Some(cloud) = lab("everything_a_real_cloud_lists_is_understood").await else { return };
    let max = cloud.max_microversion().await.unwrap();
    assert!(max >= (2, 53), "{max:?}");
    let services = cloud.services().await.unwrap();
    let computes: Vec<_> = services.iter().filter(|s| s.binary == "nova-compute").collect();
    assert!(!computes.is_empty());
    for service in &computes {
        assert!(!service.id.is_empty() && service.enabled.is_some() && service.up.is_some() && service.updated_at.is_some(), "{service:?}");
    }
    assert!(services.iter().any(|s| s.binary == "nova-conductor" && s.up == Some(true)));

    let servers = cloud.servers(None).await.unwrap();
    let mut of_hosts = 0;
    for hypervisor in cloud.hypervisors().await.unwrap() {
        assert!(computes.iter().any(|s| s.host == hypervisor.service_host), "{hypervisor:?}");
        let provider = cloud.provider(&hypervisor.id).await.unwrap().unwrap();
        println!(
            "{}: {} free VCPU, {} consumers, traits {:?}",
            hypervisor.service_host,
            provider.free("VCPU").unwrap_or(-1),
            provider.consumers.len(),
            provider.traits.len()
        );
        assert!(provider.free("VCPU").is_some() && provider.free("MEMORY_MB").is_some(), "{provider:?}");
        for consumer in &provider.consumers {
            assert!(cloud.providers_of(consumer).await.unwrap().contains(&provider.id));
        }
        let here = cloud.servers(Some(&hypervisor.service_host)).await.unwrap();
        assert!(here.iter().all(|s| s.host.as_deref() == Some(hypervisor.service_host.as_str())));
        of_hosts += here.len();
        for migration in cloud.migrations_of_host(&hypervisor.service_host).await.unwrap() {
            println!("{migration:?}");
            assert!(!migration.status.is_empty() && !migration.migration_type.is_empty());
        }
    }
    println!("{} servers, {of_hosts} of them on hosts", servers.len());
    for server in &servers {
        assert!(!server.vm_state.is_empty() && server.ram_mb > 0, "{server:?}");
    }
    println!("{} aggregates", cloud.aggregates().await.unwrap().len());
    println!("{} server groups", cloud.server_groups().await.unwrap().len());
    let rooms = cloud.rooms().await.unwrap();
    println!("room on {} hosts", rooms.len());
    for room in &rooms {
        let provider = cloud.provider(&room.provider).await.unwrap().unwrap();
        for (class, share) in &room.resources {
            assert_eq!(provider.free(class), Some(share.capacity - share.used), "{class} of {}", room.provider);
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_absent_and_not_an_error() {
    let Some(cloud) = lab("what_is_not_there_is_absent_and_not_an_error").await else { return };
    let nobody = "00000000-0000-4000-8000-00000000dead";
    assert_eq!(cloud.server(nobody).await.unwrap(), None);
    assert_eq!(cloud.provider(nobody).await.unwrap(), None);
    assert_eq!(cloud.providers_of(nobody).await.unwrap(), Vec::<String>::new());
    assert_eq!(cloud.migrations_of_server(nobody).await.unwrap(), []);
    assert_eq!(cloud.servers(Some("no-such-host")).await.unwrap(), []);
    let refusal = cloud.evacuate(nobody, "no-such-host", false).await.unwrap_err();
    assert_eq!(refusal.status(), Some(404));
    assert!(refusal.request_id().is_some_and(|id| id.starts_with("req-")), "{refusal}");
}

#[tokio::test]
async fn a_real_keystone_tells_a_good_token_from_a_bad_one() {
    let Some(cloud) = lab("a_real_keystone_tells_a_good_token_from_a_bad_one").await else { return };
    assert_eq!(cloud.validate("gAAAAA-not-a-token", false).await.unwrap(), None);
    let env: std::collections::HashMap<String, String> = std::env::vars().collect();
    let url = format!("{}/auth/tokens", cloud.public_url());
    let named = |name: &str| serde_json::json!({"name": env[name], "domain": {"id": "default"}});
    let mut user = named("OS_USERNAME");
    user["password"] = env["OS_PASSWORD"].clone().into();
    let body = serde_json::json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": named("OS_PROJECT_NAME")}}});
    let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
    let info = cloud.validate(&token, false).await.unwrap().unwrap();
    assert_eq!(info.user_name, env["OS_USERNAME"]);
    assert!(info.project_id.is_some() && !info.roles.is_empty() && !info.system_scope, "{info:?}");
}

async fn until(cloud: &OpenStack, guest: &str, what: &str, done: impl Fn(&cloud::Server) -> bool) -> cloud::Server {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let server = cloud.server(guest).await.unwrap().unwrap();
        if done(&server) && server.task_state.is_none() {
            return server;
        }
        assert!(Instant::now() < end, "still not {what}: {server:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn a_real_guest_is_stopped_started_and_moved() {
    let name = "a_real_guest_is_stopped_started_and_moved";
    let Some(cloud) = lab(name).await else { return };
    let Ok(guest) = std::env::var("CLOUD_MANAGER_TEST_GUEST") else {
        println!("SKIPPED {name}: set CLOUD_MANAGER_TEST_GUEST to the id of a guest that may be moved");
        return;
    };
    let before = cloud.server(&guest).await.unwrap().unwrap();
    let source = before.host.clone().unwrap();
    cloud.stop(&guest).await.unwrap();
    let stopped = until(&cloud, &guest, "stopped", |s| s.vm_state == "stopped").await;
    assert_eq!((stopped.status.as_str(), stopped.power_state), ("SHUTOFF", 4));
    assert_eq!(cloud.stop(&guest).await.unwrap_err().status(), Some(409));
    // A stopped guest is refused, with 409.
    assert_eq!(cloud.live_migrate(&guest, None).await.unwrap_err().status(), Some(409));
    cloud.start(&guest).await.unwrap();
    until(&cloud, &guest, "active", |s| s.vm_state == "active").await;

    let known: Vec<i64> = cloud.migrations_of_server(&guest).await.unwrap().iter().map(|m| m.id).collect();
    let services = cloud.services().await.unwrap();
    let fit = |s: &&cloud::Service| s.binary == "nova-compute" && s.host != source && s.up == Some(true) && s.enabled == Some(true);
    let destination = &services.iter().find(fit).expect("a second host that is up and enabled").host;
    // The source is up: evacuation is refused.
    let refusal = cloud.evacuate(&guest, destination, false).await.unwrap_err();
    assert_eq!(refusal.status(), Some(400), "{refusal}");
    let accepted = cloud.live_migrate(&guest, Some(destination)).await.unwrap();
    println!("accepted with {:?}", accepted.request_id);
    until(&cloud, &guest, "moved", |s| s.host.as_deref() == Some(destination)).await;
    let end = Instant::now() + Duration::from_secs(30);
    let record = loop {
        let new: Vec<_> = cloud.migrations_of_server(&guest).await.unwrap().into_iter().filter(|m| !known.contains(&m.id)).collect();
        assert_eq!(new.len(), 1, "{new:?}");
        if new[0].status == "completed" {
            break new[0].clone();
        }
        assert!(Instant::now() < end, "{new:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    println!("{record:?}");
    assert_eq!(
        (record.migration_type.as_str(), record.source.as_deref(), record.destination.as_deref()),
        ("live-migration", Some(source.as_str()), Some(destination.as_str()))
    );
}
