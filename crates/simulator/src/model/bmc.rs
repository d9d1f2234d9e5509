//! BMCs: what they answer, and how they fail.

use super::event::Event;
use super::{Bmc, Host, Lie, World};
use power::{Command, MachineIdentity};

/// Why a BMC gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BmcFailure {
    /// There is no such machine behind this BMC.
    NoSuchSystem,
    /// No answer.
    Unreachable,
    /// User or password is wrong.
    BadCredentials,
    /// It is in that state already, and this model counts that as an error (I3).
    AlreadyThere,
}

impl World {
    /// Sets user and password that a BMC asks for; without, it takes any.
    pub fn set_bmc_credentials(&mut self, host: &str, username: &str, password: &str) {
        let (username, password) = (username.to_string(), password.to_string());
        self.bmc(host, |b| {
            b.username = username;
            b.password = Some(password);
        });
    }

    /// Makes a BMC lie.
    pub fn set_bmc_lie(&mut self, host: &str, lie: Lie) {
        self.bmc(host, |b| b.lie = lie);
    }

    /// Makes a BMC's commands act that much later (milliseconds).
    pub fn set_bmc_late(&mut self, host: &str, late_ms: i64) {
        self.bmc(host, |b| b.late_ms = late_ms);
    }

    /// Whether the operating system heeds an ACPI shutdown.
    pub fn set_soft_off_works(&mut self, host: &str, works: bool) {
        self.bmc(host, |b| b.soft_off_works = works);
    }

    /// Whether a BMC answers 409 to a command for the state it is in.
    pub fn set_bmc_strict(&mut self, host: &str, strict: bool) {
        self.bmc(host, |b| b.strict = strict);
    }

    /// Lets a BMC answer, or not.
    pub fn set_bmc_reachable(&mut self, host: &str, reachable: bool) {
        self.bmc(host, |b| b.reachable = reachable);
    }

    /// Whether a BMC answers at all, and whether it takes this user and password.
    pub fn bmc_check(&self, host: &str, username: &str, password: &str) -> Result<(), BmcFailure> {
        let bmc = self.answering(host)?.1;
        match &bmc.password {
            Some(right) if right != password || bmc.username != username => Err(BmcFailure::BadCredentials),
            _ => Ok(()),
        }
    }

    /// What a BMC says about power: `true` is on.
    pub fn bmc_power(&self, host: &str) -> Result<bool, BmcFailure> {
        let (h, bmc) = self.answering(host)?;
        Ok(match bmc.lie {
            Lie::SaysOff => false,
            Lie::SaysOn => true,
            Lie::None | Lie::NoEffect => self.outlet_is_on(host).unwrap_or(h.power),
        })
    }

    /// The host behind an address and what answers there. A BMC lives on its machine's current.
    fn answering(&self, address: &str) -> Result<(&Host, &Bmc), BmcFailure> {
        let (host, device) = self.host_and_device(address).ok_or(BmcFailure::NoSuchSystem)?;
        let h = self.hosts.get(&host).ok_or(BmcFailure::NoSuchSystem)?;
        let device = device.and_then(|name| h.devices.get(&name));
        let (bmc, outlet) = device.map_or((&h.bmc, None), |d| (&d.bmc, d.outlet));
        if !bmc.reachable || (outlet.is_none() && !h.is_fed()) {
            return Err(BmcFailure::Unreachable);
        }
        Ok((h, bmc))
    }

    /// Who the machine behind a BMC is.
    pub fn bmc_identity(&self, host: &str) -> Result<MachineIdentity, BmcFailure> {
        let h = self.answering(host)?.0;
        Ok(MachineIdentity { system_uuid: Some(h.system_uuid.clone()), serial_number: Some(h.serial.clone()) })
    }

    /// Swaps the machines behind two hosts' BMCs, as a wrong cable does (S3).
    pub fn swap_identities(&mut self, one: &str, other: &str) {
        let of = |w: &World, h: &str| w.hosts.get(h).map(|h| (h.system_uuid.clone(), h.serial.clone()));
        let (Some(a), Some(b)) = (of(self, one), of(self, other)) else { return };
        for (host, (uuid, serial)) in [(one, b), (other, a)] {
            if let Some(h) = self.hosts.get_mut(host) {
                h.system_uuid = uuid;
                h.serial = serial;
            }
        }
    }

    /// Gives a BMC a command. `Ok` means taken.
    pub(crate) fn bmc_command(&mut self, host: &str, command: Command) -> Result<(), BmcFailure> {
        let (h, bmc) = self.answering(host)?;
        let on = self.outlet_is_on(host).unwrap_or(h.power);
        let there = match command {
            Command::On => on,
            Command::ForceOff | Command::SoftOff => !on,
        };
        if bmc.strict && there {
            return Err(BmcFailure::AlreadyThere);
        }
        match (bmc.lie, bmc.late_ms) {
            (Lie::NoEffect, _) => {}
            (_, 0) => self.act_at(host, command),
            (_, late) => self.after(late, Event::LatePower { host: host.into(), command }),
        }
        Ok(())
    }

    /// What a command does that a device has taken. An outlet cannot ask an operating system.
    pub(crate) fn act_at(&mut self, address: &str, command: Command) {
        match (self.host_and_device(address), self.outlet_is_on(address).is_some()) {
            (Some((host, Some(name))), true) if command != Command::SoftOff => self.switch_outlet(&host, &name, command == Command::On),
            (Some((host, _)), false) => self.apply_power(&host, command),
            _ => {}
        }
    }
}
