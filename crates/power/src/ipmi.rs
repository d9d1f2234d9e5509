//! IPMI 2.0 over LAN through the process `ipmitool`.
//!
//! The password goes by the environment variable `IPMI_PASSWORD`, never by argv. Cipher suite 17 (SHA-256) is tried
//! first, then 3 (SHA-1, the one every IPMI 2.0 device must have); the one that worked is remembered per device.

mod answer;
mod process;

use crate::{Command, MachineIdentity, MaySend, Power, PowerDriver, PowerError, Target, lock::Locks, no_longer_allowed, text};
use answer::{Control, NoSession};
use async_trait::async_trait;
use process::Ended;
use std::{
    collections::HashMap,
    ffi::OsString,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::OwnedMutexGuard, time::Instant};

/// `ipmitool` is killed after this long, and a command is over this long after it was asked for (S8).
pub(crate) const END_OF_LIFE: Duration = Duration::from_secs(8);
/// Both cipher suites, each with its own 8 s: for what cannot act.
const READ_LIMIT: Duration = Duration::from_secs(16);
/// A second cipher suite is not tried with less time left than this.
const LEAST_RUN: Duration = Duration::from_secs(2);
/// How long a reading waits for the device's lock: longer than the longest use of it.
const READ_PATIENCE: Duration = Duration::from_secs(40);
/// How long a command waits for it. Short, because it was allowed when it was asked for, not later.
const SET_PATIENCE: Duration = Duration::from_secs(1);
/// In the order they are tried.
const SUITES: [u8; 2] = [17, 3];

const STATUS: &[&str] = &["chassis", "power", "status"];

/// The driver for `protocol: IPMI`.
///
/// Errors: no `ipmitool`, no session (device silent, no such name, cipher suite) are [`PowerError::NotSent`]; a user or
/// password that is turned away is [`PowerError::BadCredentials`]; a process that had to be killed, or an answer that
/// says neither yes nor no, is [`PowerError::Unknown`].
pub struct IpmiDriver {
    program: OsString,
    locks: Locks,
    suites: Mutex<HashMap<String, u8>>,
}

impl Default for IpmiDriver {
    fn default() -> Self {
        Self::new("ipmitool")
    }
}

impl IpmiDriver {
    /// `program`: name (looked up in `PATH`) or path of `ipmitool`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), locks: Locks::default(), suites: Mutex::default() }
    }

    async fn hold(&self, target: &Target, patience: Duration) -> Result<Arc<OwnedMutexGuard<()>>, PowerError> {
        match self.locks.acquire(&endpoint(target), patience).await {
            Some(held) => Ok(Arc::new(held)),
            None => Err(PowerError::NotSent(format!("{} is busy with another command; this one was not sent and can be repeated", name(target)))),
        }
    }

    /// The suites to try, the one that worked last time first.
    fn suites(&self, key: &str) -> [u8; 2] {
        let known = self.suites.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied();
        if known == Some(SUITES[1]) { [SUITES[1], SUITES[0]] } else { SUITES }
    }

    fn remember(&self, key: String, suite: u8) {
        self.suites.lock().unwrap_or_else(PoisonError::into_inner).insert(key, suite);
    }

    /// Runs one command in a session of its own, with the suite that the device takes. `Ok` means there was a session.
    async fn run(&self, call: &Call<'_>, command: &[&str], deadline: Instant) -> Result<Output, PowerError> {
        process::prepare().await;
        let target = call.target;
        let key = format!("{} {}", target.device_uid, endpoint(target));
        let mut why = Vec::new();
        for suite in self.suites(&key) {
            let left = deadline.saturating_duration_since(Instant::now());
            if !why.is_empty() && left < LEAST_RUN {
                break;
            }
            if !(call.may_send)() {
                return Err(call.no_longer());
            }
            let args = arguments(target, suite, command);
            let ended = process::run(&self.program, &args, &target.password, left.min(END_OF_LIFE), call.held.clone()).await;
            let (code, stdout, stderr) = match ended {
                Err(not_started) => return Err(PowerError::NotSent(format!("{}: {not_started}", name(target)))),
                Ok(Ended::Killed) => {
                    return Err(PowerError::Unknown(format!(
                        "{} did not finish `{}` within {} s and was given up: what became of it is not known",
                        name(target),
                        command.join(" "),
                        END_OF_LIFE.as_secs()
                    )));
                }
                Ok(Ended::Exited { code, stdout, stderr }) => (code, stdout, stderr),
            };
            let reason = if code == 0 { None } else { answer::no_session(&stderr) };
            let said = text::clean(&answer::complaint(&stderr), &target.password);
            match reason {
                None => {
                    self.remember(key, suite);
                    return Ok(Output { code, stdout, stderr, said });
                }
                // Another suite may do.
                Some(reason @ (NoSession::Suite | NoSession::Role | NoSession::Unclear)) => {
                    tracing::debug!(device = %target.device_name, suite, said, "no session with this cipher suite");
                    why.push((reason, said));
                }
                Some(reason) => return Err(refusal(target, &reason, &said)),
            }
        }
        Err(no_suite(target, &why))
    }

    async fn status(&self, call: &Call<'_>, deadline: Instant) -> Result<Power, PowerError> {
        let output = self.run(call, STATUS, deadline).await?;
        answer::power(output.code, &output.stdout).ok_or_else(|| {
            let answer = text::clean(&format!("{} {}", output.stdout, output.said), &call.target.password);
            PowerError::Unknown(format!("{} did not tell its power state, but: {answer}", name(call.target)))
        })
    }
}

/// One use of a device: what for, and the lock held meanwhile.
struct Call<'a> {
    target: &'a Target,
    held: Arc<OwnedMutexGuard<()>>,
    may_send: MaySend<'a>,
    command: Option<Command>,
}

impl<'a> Call<'a> {
    /// Of something that cannot act.
    fn reading(target: &'a Target, held: Arc<OwnedMutexGuard<()>>) -> Self {
        Self { target, held, may_send: &|| true, command: None }
    }

    fn no_longer(&self) -> PowerError {
        match self.command {
            Some(command) => no_longer_allowed(self.target, command),
            None => PowerError::NotSent(format!("{}: nothing was sent", name(self.target))),
        }
    }
}

/// What a command said in a session.
struct Output {
    code: i32,
    stdout: String,
    stderr: String,
    /// Standard error, fit for a message.
    said: String,
}

#[async_trait]
impl PowerDriver for IpmiDriver {
    async fn read(&self, target: &Target) -> Result<Power, PowerError> {
        let held = self.hold(target, READ_PATIENCE).await?;
        self.status(&Call::reading(target, held), Instant::now() + READ_LIMIT).await
    }

    async fn set(&self, target: &Target, command: Command) -> Result<(), PowerError> {
        self.set_if(target, command, &|| true).await
    }

    async fn set_if(&self, target: &Target, command: Command, may_send: MaySend<'_>) -> Result<(), PowerError> {
        let deadline = Instant::now() + END_OF_LIFE;
        let held = self.hold(target, SET_PATIENCE).await?;
        let call = Call { target, held, may_send, command: Some(command) };
        let (word, wanted) = match command {
            Command::On => ("on", Power::On),
            Command::ForceOff => ("off", Power::Off),
            Command::SoftOff => ("soft", Power::Off),
        };
        let output = self.run(&call, &["chassis", "power", word], deadline).await?;
        match answer::control(output.code, &output.stdout, &output.stderr) {
            Control::Taken => Ok(()),
            Control::Refused(why) => {
                // Already in that state is success (I3), and many devices refuse it.
                let after = self.status(&Call::reading(target, call.held.clone()), Instant::now() + READ_LIMIT).await;
                if after == Ok(wanted) {
                    return Ok(());
                }
                let hint = if why.contains("privilege") { "; give the user the privilege ADMINISTRATOR on the BMC" } else { "" };
                Err(PowerError::Refused(format!("{} refuses `chassis power {word}`: {why}{hint}", name(target))))
            }
            Control::Unclear => {
                let answer = text::clean(&format!("{} {}", output.stdout, output.said), &target.password);
                Err(PowerError::Unknown(format!("{} was told `chassis power {word}` and may have done it; its answer: {answer}", name(target))))
            }
        }
    }

    /// The System GUID (IPMI 2.0, 22.14) and the serial number in FRU 0. How vendors order the bytes of the GUID
    /// differs; `ipmitool` guesses. What a device does not offer is `None`.
    async fn identify(&self, target: &Target) -> Result<MachineIdentity, PowerError> {
        let held = self.hold(target, READ_PATIENCE).await?;
        let call = Call::reading(target, held);
        let guid = self.run(&call, &["mc", "guid"], Instant::now() + READ_LIMIT).await?;
        let system_uuid = if guid.code == 0 { answer::field(&guid.stdout, "System GUID").and_then(text::uuid) } else { None };
        // The FRU is optional, and on some devices broken: it must not hide the GUID.
        let serial_number = match self.run(&call, &["fru", "print", "0"], Instant::now() + READ_LIMIT).await {
            Ok(fru) => ["Product Serial", "Chassis Serial"].iter().find_map(|key| answer::field(&fru.stdout, key).and_then(text::serial)),
            Err(error) => {
                tracing::debug!(device = %target.device_name, %error, "no FRU");
                None
            }
        };
        Ok(MachineIdentity { system_uuid, serial_number })
    }
}

/// `-N 1 -R 1`: wait 1 s for each answer and send nothing twice (S8). `-v`: without it a wrong password and a dead BMC
/// look the same.
fn arguments(target: &Target, suite: u8, command: &[&str]) -> Vec<String> {
    let (port, suite) = (target.spec.port().to_string(), suite.to_string());
    let fixed = ["-I", "lanplus", "-H", &target.spec.endpoint.host, "-p", &port, "-U", &target.username, "-E", "-C", &suite];
    let rest = ["-L", "ADMINISTRATOR", "-N", "1", "-R", "1", "-v"];
    fixed.iter().chain(&rest).chain(command).map(|arg| (*arg).to_owned()).collect()
}

fn endpoint(target: &Target) -> String {
    format!("{}:{}", target.spec.endpoint.host, target.spec.port())
}

fn name(target: &Target) -> String {
    format!("PowerDevice {} ({})", target.device_name, endpoint(target))
}

fn refusal(target: &Target, reason: &NoSession, said: &str) -> PowerError {
    let name = name(target);
    match reason {
        NoSession::Credentials => {
            PowerError::BadCredentials(format!("{name} turns the user \"{}\" away: {said}; correct the Credential", target.username))
        }
        NoSession::Role => PowerError::BadCredentials(format!(
            "{name} does not let the user \"{}\" act as ADMINISTRATOR: {said}; give it that privilege on the BMC",
            target.username
        )),
        NoSession::NoAddress => PowerError::NotSent(format!("{name}: {said}; check spec.endpoint.host and the name service")),
        NoSession::Busy => PowerError::NotSent(format!("{name} has no session free: {said}; it can be tried again")),
        NoSession::Silent => PowerError::NotSent(format!(
            "{name} does not answer; its power state is unknown. Check spec.endpoint, the network, and that IPMI over LAN is enabled"
        )),
        NoSession::Suite => PowerError::NotSent(format!("{name} takes neither cipher suite 17 nor 3: {said}; enable one of them on the BMC")),
        NoSession::Unclear => PowerError::NotSent(format!(
            "{name} opens no session, with neither cipher suite 17 nor 3: {said}; check the Credential, and that IPMI over LAN is enabled for this user"
        )),
    }
}

/// No suite worked: the most telling of the reasons.
fn no_suite(target: &Target, why: &[(NoSession, String)]) -> PowerError {
    if why.len() < SUITES.len() {
        let name = name(target);
        return PowerError::NotSent(format!(
            "{name} has turned one cipher suite away and there was no time for the other; nothing was sent, it can be repeated"
        ));
    }
    let telling = [NoSession::Role, NoSession::Unclear, NoSession::Suite];
    let (reason, said) =
        telling.iter().find_map(|t| why.iter().find(|(reason, _)| reason == t)).cloned().unwrap_or((NoSession::Silent, String::new()));
    refusal(target, &reason, &said)
}
