//! Power devices that a host of a scenario has beside its BMC, with their links.

use crate::{
    condition,
    stage::{Stage, link},
};
use serde_json::json;
use simulator::World;
use std::time::Duration;

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Wired {
    host: String,
    name: String,
    r#type: &'static str,
}

impl Wired {
    /// A second BMC, `HOST.bmc2`.
    pub fn second_bmc(host: &str) -> Wired {
        Wired { host: host.into(), name: "bmc2".into(), r#type: "BMC" }
    }

    /// That many outlets, `HOST.outlet1` and so on.
    pub fn outlets(host: &str, count: usize) -> impl Iterator<Item = Wired> {
        (1..=count).map(move |n| Wired { host: host.into(), name: format!("outlet{n}"), r#type: "PDU" })
    }

    /// Whether it is one of this host.
    pub fn is_of(&self, host: &str) -> bool {
        self.host == host
    }

    /// Puts it into the world.
    pub fn plug_in(&self, world: &mut World) {
        match self.r#type {
            "BMC" => world.add_bmc(&self.host, &self.name),
            _ => world.add_outlet(&self.host, &self.name),
        }
    }
}

impl Stage {
    /// Declares a device and its link, and states that each link of its host is right, one after the other. The device is named
    /// as its address, the link `link-ADDRESS`.
    pub(crate) async fn wire_further(&self, device: &Wired) {
        let Wired { host, name, r#type } = device;
        let address = format!("{host}.{name}");
        self.rig.create("PowerDevice", &address, json!({"type": r#type, "protocol": "IPMI", "endpoint": {"host": address}})).await;
        let spec = json!({"hostRef": {"name": host}, "deviceRef": {"name": address}, "role": "Redundant"});
        self.rig.create("PowerLink", &link(&address), spec).await;
        for link in [link(host), link(&address)] {
            if condition(&self.rig.get("PowerLink", &link).await, "Verified") == "True" {
                continue;
            }
            let name = format!("initialise-{link}");
            let spec = json!({"method": "Attestation", "linkRef": {"name": link}});
            self.operate_as(&name, host, "Initialise", spec).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            self.succeeds("HostOperation", &name).await;
            self.rig.wait("PowerLink", &link, "verified", Duration::from_secs(60), |o| condition(o, "Verified") == "True").await;
        }
    }
}
