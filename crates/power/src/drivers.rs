//! All protocols behind one driver.

use crate::{Command, IpmiDriver, MachineIdentity, MaySend, Power, PowerDriver, PowerError, RedfishDriver, Target, protocol_of};
use async_trait::async_trait;
use schemas::v1::Protocol;

/// Picks the driver by the protocol of the device. Keep one for the whole process: it holds the locks of the devices
/// (one command at a time for each) and remembers their cipher suites.
#[derive(Default)]
pub struct Drivers {
    ipmi: IpmiDriver,
    redfish: RedfishDriver,
}

impl Drivers {
    /// With `ipmitool` from `PATH`.
    pub fn new() -> Self {
        Self::default()
    }

    /// With other drivers, for example another `ipmitool`.
    pub fn with(ipmi: IpmiDriver, redfish: RedfishDriver) -> Self {
        Self { ipmi, redfish }
    }

    fn of(&self, target: &Target) -> &dyn PowerDriver {
        match protocol_of(target) {
            Protocol::IPMI => &self.ipmi,
            Protocol::Redfish => &self.redfish,
        }
    }
}

#[async_trait]
impl PowerDriver for Drivers {
    async fn read(&self, target: &Target) -> Result<Power, PowerError> {
        self.of(target).read(target).await
    }

    async fn set(&self, target: &Target, command: Command) -> Result<(), PowerError> {
        self.of(target).set(target, command).await
    }

    async fn set_if(&self, target: &Target, command: Command, may_send: MaySend<'_>) -> Result<(), PowerError> {
        self.of(target).set_if(target, command, may_send).await
    }

    async fn identify(&self, target: &Target) -> Result<MachineIdentity, PowerError> {
        self.of(target).identify(target).await
    }
}
