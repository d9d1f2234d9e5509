//! Each PowerDevice, read once. Reading changes nothing.

use super::report::Report;
use futures::{StreamExt, stream};
use power::{Drivers, PowerDriver, PowerError, Target};
use schemas::{DynObject, Object, v1::PowerDevice};
use secrecy::ExposeSecret;
use std::{collections::BTreeMap, time::Duration};
use store::{ListQuery, SqlStore, Store};

/// Longest time for one device.
const DEADLINE: Duration = Duration::from_secs(15);
/// Addresses read at the same time.
const AT_ONCE: usize = 16;
const WAY_OUT: &str = "Until it reads, its host can be neither fenced nor powered off; see its address, network and Credential";

pub(super) async fn check(store: &SqlStore, report: &mut Report) {
    let devices = match store.list("PowerDevice", ListQuery::default()).await {
        Ok(page) => page.items,
        Err(error) => return report.fail("bmc", format!("the power devices are not known: {error}"), ""),
    };
    if devices.is_empty() {
        return report.warn(
            "bmc",
            "there are no power devices: nothing can be fenced",
            "Declare them: cloud-manager apply -f, see cloud-manager explain powerdevice",
        );
    }
    let drivers = Drivers::new();
    let total = devices.len();
    // Several devices at one address wait for each other: each gets its own time.
    let mut by_address: BTreeMap<String, Vec<DynObject>> = BTreeMap::new();
    for device in devices {
        let endpoint = &device.spec["endpoint"];
        by_address.entry(format!("{}:{}", endpoint["host"], endpoint["port"])).or_default().push(device);
    }
    let groups = by_address.into_values().map(async |group| {
        let mut results = Vec::new();
        for device in group {
            results.push(one(store, &drivers, device).await);
        }
        results
    });
    let results: Vec<Vec<(String, Result<(), (String, &str)>)>> = stream::iter(groups).buffer_unordered(AT_ONCE).collect().await;
    let mut results: Vec<_> = results.into_iter().flatten().collect();
    results.sort_by(|a, b| a.0.cmp(&b.0));
    let read = results.iter().filter(|(_, r)| r.is_ok()).count();
    for (name, result) in &results {
        if let Err((why, way_out)) = result {
            report.fail("bmc", format!("{name}: {why}"), *way_out);
        }
    }
    if read > 0 {
        report.ok("bmc", format!("{read} of {total} power devices tell their state"));
    }
}

async fn one(store: &SqlStore, drivers: &Drivers, device: DynObject) -> (String, Result<(), (String, &'static str)>) {
    let name = device.metadata.name.clone();
    let read = async {
        let target = target(store, device).await?;
        match tokio::time::timeout(DEADLINE, drivers.read(&target)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(PowerError::BadCredentials(why))) => Err((why, "Correct its Credential: apply it anew with the right user and password")),
            Ok(Err(error)) => Err((error.to_string(), WAY_OUT)),
            Err(_) => Err((format!("no answer within {} s", DEADLINE.as_secs()), WAY_OUT)),
        }
    };
    let result = read.await;
    (name, result)
}

async fn target(store: &SqlStore, device: DynObject) -> Result<Target, (String, &'static str)> {
    let device: Object<PowerDevice> = device.typed().map_err(|e| (e.to_string(), "Apply it anew"))?;
    let (mut username, mut password) = Default::default();
    if let Some(name) = device.spec.credential_ref.as_ref().map(|r| &r.name) {
        let data = store.secret(name).await.map_err(|e| (e.to_string(), WAY_OUT))?;
        let mut data = data.ok_or_else(|| (format!("there is no Credential {name}"), "Create it, or correct credentialRef"))?;
        username = data.remove("username").map(|s| s.expose_secret().to_string()).unwrap_or_default();
        password = data.remove("password").unwrap_or_default();
    }
    Ok(Target { device_uid: device.metadata.uid, device_name: device.metadata.name, spec: device.spec, port: 1, username, password })
}
