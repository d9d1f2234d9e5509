//! Power hardware: one module per protocol behind one trait.
//!
//! A set that "succeeded" proves nothing: only a later reading does (I2). An unreadable device is
//! unknown, never off (I3).
#![warn(missing_docs)]

mod drivers;
mod ipmi;
mod lock;
mod redfish;
mod text;

pub use drivers::Drivers;
pub use ipmi::IpmiDriver;
pub use redfish::RedfishDriver;

use async_trait::async_trait;
use schemas::v1::{PowerDeviceSpec, Protocol};
use secrecy::SecretString;
use std::time::Duration;

/// Everything needed to talk to one port of one device.
#[derive(Clone, Debug)]
pub struct Target {
    /// Uid of the PowerDevice; what is remembered per device (cipher suite, command lock) is kept under it.
    pub device_uid: String,
    /// Name of the PowerDevice, for messages.
    pub device_name: String,
    /// The device as declared.
    pub spec: PowerDeviceSpec,
    /// Port of the device, from 1.
    pub port: u16,
    /// User name; empty if no Credential is given.
    pub username: String,
    /// Password. Its `Debug` shows nothing.
    pub password: SecretString,
}

/// A state that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// On.
    On,
    /// Off.
    Off,
}

/// What to set. Only target states: never a toggle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Command {
    /// On.
    On,
    /// Off at once.
    ForceOff,
    /// Ask the operating system to shut down (ACPI).
    SoftOff,
}

/// Who the machine behind a device says it is. Fields it does not tell are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineIdentity {
    /// SMBIOS UUID.
    pub system_uuid: Option<String>,
    /// Serial number.
    pub serial_number: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PowerError {
    /// Nothing was sent that could act: no tool, no route, wrong password, bad certificate, unknown System.
    #[error("{0}")]
    NotSent(String),
    /// The device said no, definitively.
    #[error("{0}")]
    Refused(String),
    /// Sent, no usable answer: it may have happened.
    #[error("{0}")]
    Unknown(String),
    /// The credentials were turned away; nothing happened. Not to be repeated at once.
    #[error("{0}")]
    BadCredentials(String),
}

impl PowerError {
    /// Whether a command may have had an effect.
    pub fn may_have_acted(&self) -> bool {
        matches!(self, PowerError::Unknown(_))
    }
}

/// Whether a command may still be sent; see [`PowerDriver::set_if`].
pub type MaySend<'a> = &'a (dyn Fn() -> bool + Send + Sync);

fn no_longer_allowed(target: &Target, command: Command) -> PowerError {
    PowerError::NotSent(format!("{command:?} was not sent to PowerDevice {}: it was no longer allowed when everything was ready", target.device_name))
}

/// One protocol.
#[async_trait]
pub trait PowerDriver: Send + Sync {
    /// Reads the state in a session of its own. Any error means that the state is unknown, never that it is off (I3).
    async fn read(&self, target: &Target) -> Result<Power, PowerError>;

    /// Sends a command. `Ok` means the device took it, not that it has happened.
    async fn set(&self, target: &Target, command: Command) -> Result<(), PowerError>;

    /// Sends a command if `may_send` still says so when everything is ready: it is asked immediately before anything is
    /// sent that could act, after logging in and waiting for the device (S8: the lease is checked immediately before
    /// sending). `NotSent` if it says no.
    async fn set_if(&self, target: &Target, command: Command, may_send: MaySend<'_>) -> Result<(), PowerError> {
        if may_send() { self.set(target, command).await } else { Err(no_longer_allowed(target, command)) }
    }

    /// Asks who the machine is.
    async fn identify(&self, target: &Target) -> Result<MachineIdentity, PowerError>;
}

/// The protocol a device speaks decides the driver.
pub fn protocol_of(target: &Target) -> Protocol {
    target.spec.protocol
}

/// The end of life of a command (S8): this long after [`PowerDriver::set`] was called, nothing that it started is still
/// on its way from here, even if this process was killed (IPMI: `ipmitool` is dead) or its answer is still awaited
/// (Redfish: the request was given up).
pub fn end_of_life(protocol: Protocol) -> Duration {
    match protocol {
        Protocol::IPMI => ipmi::END_OF_LIFE,
        Protocol::Redfish => redfish::END_OF_LIFE,
    }
}
