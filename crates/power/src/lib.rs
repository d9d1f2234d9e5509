//! Power hardware: one module per protocol behind one trait.
//!
//! A set that "succeeded" proves nothing: only a later reading does (I2). An unreadable device is
//! unknown, never off (I3).
#![warn(missing_docs)]

use async_trait::async_trait;
use schemas::v1::{Protocol, PowerDeviceSpec};
use secrecy::SecretString;

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

/// One protocol.
#[async_trait]
pub trait PowerDriver: Send + Sync {
    /// Reads the state in a session of its own.
    async fn read(&self, target: &Target) -> Result<Power, PowerError>;

    /// Sends a command. `Ok` means the device took it, not that it has happened.
    async fn set(&self, target: &Target, command: Command) -> Result<(), PowerError>;

    /// Asks who the machine is.
    async fn identify(&self, target: &Target) -> Result<MachineIdentity, PowerError>;
}

/// The protocol a device speaks decides the driver.
pub fn protocol_of(target: &Target) -> Protocol {
    target.spec.protocol
}
