//! `sandbox`: `run` over a simulated cloud that speaks Keystone, Nova, Placement and Redfish.

use super::{
    cloud,
    node::{Node, Roles},
    reload::Pace,
};
use crate::{
    args::SandboxRunArgs,
    config::{Config, OpenStack},
    output,
};
use anyhow::Context;
use engine::{Clock, Metrics, SystemClock};
use registry::{Registry, RegistryError};
use schemas::{
    DynObject, kinds,
    v1::{ClusterPolicySpec, GuestDisks},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use simulator::Topology;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use store::StoreError;

/// Time the sandbox takes between looks at Nova's services, in seconds.
const NODE_SYNC_SECONDS: u64 = 2;

/// Runs until a signal.
pub(super) async fn run(args: SandboxRunArgs) -> anyhow::Result<()> {
    let mut config = Config::default();
    config.log.level = "warn".into();
    let _ = super::start_log(&config);
    let dir = data_dir(args.data_dir.as_deref())?;
    let now_ms = SystemClock.now().0 / 1_000;
    let topology = Topology::sandbox(args.hosts as usize, args.guests as usize, args.seed);
    let world = Arc::new(Mutex::new(topology.build(now_ms)));
    let listen: SocketAddr =
        args.cloud_listen.parse().with_context(|| format!("--cloud-listen {:?} is not an address with a port", args.cloud_listen))?;
    let front = simulator::serve(world.clone(), listen)
        .await
        .with_context(|| format!("the simulated cloud cannot listen on {listen}; give another --cloud-listen"))?;
    let (auth_url, password) = (front.auth_url(), topology.settings.password.clone());
    config.database.url = format!("sqlite://{}", dir.join("cloud-manager.db").display());
    config.api.listen.clone_from(&args.listen);
    config.api.metrics_listen = None;
    config.controller.node_sync_interval_seconds = NODE_SYNC_SECONDS;
    config.openstack = login(&auth_url, &password);
    let stop = super::stop_on_signal()?;
    let metrics = Metrics::default();
    let cloud = cloud::connect(&config.openstack, metrics.clone()).await?;
    let cluster = ClusterPolicySpec {
        guest_disks: GuestDisks::Shared,
        nova_report_interval_seconds: (topology.settings.report_interval_ms / 1_000).max(1),
        soft_off_timeout_seconds: 60,
        group_pause_seconds: 5,
        ..ClusterPolicySpec::default()
    };
    let defaults = registry::Defaults { cluster, ..Default::default() };
    let roles = Roles { api: true, controller: true, migrate: true };
    let node = Node::start(&config, roles, cloud, metrics, defaults, Pace::of(&config), stop).await?;
    let hosts = {
        let world = world.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        world
            .host_names()
            .into_iter()
            .map(|h| (world.bmc_identity(&h), h))
            .map(|(id, h)| (h, id.ok().and_then(|i| i.system_uuid)))
            .collect::<Vec<_>>()
    };
    let bmc_password = topology.settings.bmc_password.as_deref().unwrap_or("sandbox");
    wire(&node.registry, front.address(), bmc_password, &hosts).await?;
    let api = node.api.map(|a| format!("http://{a}")).unwrap_or_default();
    write_logins(&dir, &auth_url, &password, &api)?;
    greet(&dir, &api, &front.url(), &args, hosts.first().map_or("compute-01", |h| h.0.as_str()));
    let ended = node.wait().await;
    front.stop().await;
    ended
}

fn data_dir(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = match given {
        Some(dir) => dir.to_path_buf(),
        None => std::env::temp_dir().join(format!("cloud-manager-sandbox-{}", std::process::id())),
    };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.with_context(|| format!("{} cannot be made; give another --data-dir", dir.display()))?;
    dir.canonicalize().with_context(|| dir.display().to_string())
}

fn login(auth_url: &str, password: &str) -> OpenStack {
    OpenStack {
        auth_url: Some(auth_url.into()),
        username: Some("admin".into()),
        password: Some(SecretString::from(password)),
        user_domain_name: Some("Default".into()),
        project_name: Some("admin".into()),
        project_domain_name: Some("Default".into()),
        ..OpenStack::default()
    }
}

/// Declares a BMC and a link for each host. What is there from an earlier run of the same directory is kept.
async fn wire(registry: &Registry, cloud: SocketAddr, bmc_password: &str, hosts: &[(String, Option<String>)]) -> anyhow::Result<()> {
    let make = async |kind: &str, name: &str, spec: Value| -> anyhow::Result<()> {
        let info = kinds::find(kind).with_context(|| kind.to_string())?;
        match registry.create(info, DynObject::new(info.kind, name, spec), Some("sandbox"), SystemClock.now()).await {
            Ok(_) | Err(RegistryError::Store(StoreError::AlreadyExists(_))) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    make("Credential", "bmc", json!({"data": {"username": "admin", "password": bmc_password}})).await?;
    for (host, uuid) in hosts {
        let name = format!("bmc-{host}");
        let endpoint = json!({"host": cloud.ip().to_string(), "port": cloud.port(), "scheme": "HTTP", "system": host});
        make("PowerDevice", &name, json!({"type": "BMC", "protocol": "Redfish", "endpoint": endpoint, "credentialRef": {"name": "bmc"}})).await?;
        let identity = uuid.as_ref().map(|u| json!({ "systemUuid": u }));
        make("PowerLink", &name, json!({"hostRef": {"name": host}, "deviceRef": {"name": name}, "identity": identity})).await?;
    }
    Ok(())
}

/// `openrc` and `clouds.yaml`, readable by their owner alone.
fn write_logins(dir: &Path, auth_url: &str, password: &str, api: &str) -> anyhow::Result<()> {
    let openrc = format!(
        "export OS_AUTH_URL={auth_url}\nexport OS_USERNAME=admin\nexport OS_PASSWORD={password}\nexport OS_PROJECT_NAME=admin\n\
         export OS_USER_DOMAIN_NAME=Default\nexport OS_PROJECT_DOMAIN_NAME=Default\nexport OS_REGION_NAME=RegionOne\n\
         export OS_IDENTITY_API_VERSION=3\nexport CLOUD_MANAGER_ENDPOINT={api}\n"
    );
    let clouds = format!(
        "clouds:\n  sandbox:\n    auth:\n      auth_url: {auth_url}\n      username: admin\n      password: \"{password}\"\n      project_name: admin\n\
         \x20     user_domain_name: Default\n      project_domain_name: Default\n    region_name: RegionOne\n    identity_api_version: \"3\"\n"
    );
    for (name, text) in [("openrc", openrc), ("clouds.yaml", clouds)] {
        use std::{io::Write, os::unix::fs::OpenOptionsExt};
        let path = dir.join(name);
        let file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut f| f.write_all(text.as_bytes())).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn greet(dir: &Path, api: &str, cloud: &str, args: &SandboxRunArgs, host: &str) {
    let dir = dir.display();
    output::note(&format!(
        "sandbox: {} hosts and {} guests at {cloud}, API at {api}. In another terminal:\n\n  \
         source {dir}/openrc\n  \
         cloud-manager get hosts\n  \
         cloud-manager power off {host} --yes           # declare it off; it is drained, then powered off\n  \
         cloud-manager describe host {host}             # what is happening, and why\n  \
         cloud-manager sandbox fault compute-02 Crash\n  \
         cloud-manager evacuate compute-02 --yes --wait # fenced, proven off, guests rebuilt elsewhere\n\n\
         Ctrl-C ends it; a restart with --data-dir {dir} keeps its database.",
        args.hosts, args.guests
    ));
}
