//! Power devices that a host has beside its BMC: a second BMC, and the outlets that its power supplies are plugged into.
//!
//! Each has an address of its own, `HOST.NAME`, wherever a BMC is named by its host. A host with outlets has power as long as
//! one of them has; without any, its BMCs do not answer either.

use super::{Bmc, Host, Lie, World};
use std::collections::BTreeMap;

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// How it answers.
    pub bmc: Bmc,
    /// Of an outlet: whether it has power. `None`: it is a BMC.
    pub outlet: Option<bool>,
}

/// By the last part of their addresses.
pub(crate) type Devices = BTreeMap<String, Device>;

impl Bmc {
    /// One that answers truthfully.
    pub fn honest(password: Option<String>) -> Bmc {
        Bmc { reachable: true, lie: Lie::None, late_ms: 0, soft_off_works: true, strict: false, username: "admin".into(), password }
    }
}

impl Host {
    /// Whether current comes in.
    pub fn is_fed(&self) -> bool {
        let mut outlets = self.devices.values().filter_map(|d| d.outlet).peekable();
        outlets.peek().is_none() || outlets.any(|has_power| has_power)
    }
}

impl World {
    /// Gives a host a further BMC; its address is `HOST.NAME`.
    pub fn add_bmc(&mut self, host: &str, name: &str) {
        self.add_device(host, name, None);
    }

    /// Plugs a host into an outlet that has power; its address is `HOST.NAME`.
    pub fn add_outlet(&mut self, host: &str, name: &str) {
        self.add_device(host, name, Some(true));
    }

    fn add_device(&mut self, host: &str, name: &str, outlet: Option<bool>) {
        let bmc = Bmc::honest(self.settings.bmc_password.clone());
        if let Some(h) = self.hosts.get_mut(host) {
            h.devices.insert(name.into(), Device { bmc, outlet });
        }
    }

    /// Whether there is a power device at an address.
    pub fn has_power_device(&self, address: &str) -> bool {
        self.host_and_device(address).is_some()
    }

    /// Addresses of a host's outlets.
    pub fn outlets_of(&self, host: &str) -> Vec<String> {
        let devices = self.hosts.get(host).into_iter().flat_map(|h| h.devices.iter());
        devices.filter(|(_, d)| d.outlet.is_some()).map(|(name, _)| format!("{host}.{name}")).collect()
    }

    /// Whether an outlet has power, in truth; `None`: there is no such outlet.
    pub fn outlet_is_on(&self, address: &str) -> Option<bool> {
        let (host, name) = self.host_and_device(address)?;
        self.hosts.get(&host)?.devices.get(&name?)?.outlet
    }

    /// The host behind an address, and which of its further devices it is.
    pub(crate) fn host_and_device(&self, address: &str) -> Option<(String, Option<String>)> {
        if self.hosts.contains_key(address) {
            return Some((address.into(), None));
        }
        let (host, name) = address.rsplit_once('.')?;
        self.hosts.get(host).filter(|h| h.devices.contains_key(name)).map(|_| (host.into(), Some(name.into())))
    }

    /// Switches an outlet. A machine that loses its last one is off; one that gets power back stays off.
    pub(crate) fn switch_outlet(&mut self, host: &str, name: &str, on: bool) {
        let Some(h) = self.hosts.get_mut(host) else { return };
        let Some(outlet) = h.devices.get_mut(name).and_then(|d| d.outlet.as_mut()).filter(|is| **is != on) else { return };
        *outlet = on;
        let fed = h.is_fed();
        self.say(format!("{host}: {name} is {}", if on { "on" } else { "off" }));
        if !fed {
            self.apply_power(host, power::Command::ForceOff);
        }
    }
}
