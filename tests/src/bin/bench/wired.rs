//! Hosts whose power can be switched: a BMC and a link each, as an operator declares them.

use crate::{
    Failure,
    http::Connection,
    site::{Process, Site},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// An operator at the API.
pub struct Operator<'a> {
    connection: Connection,
    process: &'a Process,
}

impl<'a> Operator<'a> {
    pub async fn at(process: &'a Process) -> Result<Operator<'a>, Failure> {
        Ok(Operator { connection: Connection::open(process.api).await?, process })
    }

    pub async fn make(&mut self, plural: &str, name: &str, spec: Value) -> Result<(), Failure> {
        let body = json!({"metadata": {"name": name}, "spec": spec}).to_string();
        let (status, said) = self.connection.post(&format!("/v1/{plural}"), &self.process.token, &body).await?;
        if matches!(status, 201 | 202) { Ok(()) } else { Err(format!("{plural} {name}: {status} {}", String::from_utf8_lossy(&said)).into()) }
    }

    /// Lays fields over the spec of an object.
    pub async fn change(&mut self, plural: &str, name: &str, spec: Value) -> Result<(), Failure> {
        let body = json!({"spec": spec}).to_string();
        let (status, said) = self.connection.patch(&format!("/v1/{plural}/{name}"), &self.process.token, &body).await?;
        if status == 200 { Ok(()) } else { Err(format!("{plural} {name}: {status} {}", String::from_utf8_lossy(&said)).into()) }
    }

    /// Declares a BMC and a link for each of these hosts.
    pub async fn wire(&mut self, site: &Site, hosts: &[String]) -> Result<(), Failure> {
        self.make("credentials", "bmc", json!({"data": {"username": "admin", "password": site.password}})).await?;
        let address = site.front.address();
        for host in hosts {
            let uuid = site.world().bmc_identity(host).ok().and_then(|id| id.system_uuid);
            let endpoint = json!({"host": address.ip().to_string(), "port": address.port(), "scheme": "HTTP", "system": host});
            let device = json!({"type": "BMC", "protocol": "Redfish", "endpoint": endpoint, "credentialRef": {"name": "bmc"}});
            self.make("powerdevices", host, device).await?;
            let link = json!({"hostRef": {"name": host}, "deviceRef": {"name": host}, "identity": {"systemUuid": uuid}});
            self.make("powerlinks", host, link).await?;
        }
        Ok(())
    }

    /// Verifies the links of these hosts by what their BMCs say of themselves, and waits for it.
    pub async fn verify(&mut self, hosts: &[String]) -> Result<(), Failure> {
        for host in hosts {
            self.make("hostoperations", &format!("initialise-{host}"), json!({"hostRef": {"name": host}, "type": "Initialise"})).await?;
        }
        let begun = Instant::now();
        loop {
            let links = self.process.list("powerlinks").await?;
            let verified = links.iter().filter(|l| hosts.iter().any(|h| l["metadata"]["name"] == json!(h)) && is(l, "Verified")).count();
            if verified == hosts.len() {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(120) {
                return Err(format!("only {verified} of {} power links were verified within 120 s", hosts.len()).into());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Whether a condition of an object is true.
fn is(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == condition && c["status"] == "True")
}
