//! Redfish over HTTP(S): a thin client of the four resources that power needs (service root, sessions, Systems, reset).

mod http;
mod system;
mod tls;

use crate::{Command, MachineIdentity, MaySend, Power, PowerDriver, PowerError, Target, lock::Locks, no_longer_allowed, text};
use async_trait::async_trait;
use http::{Clients, REQUEST_TIMEOUT, Session, name};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout_at},
};

/// A reset is given up this long after it was asked for (S8).
pub(crate) const END_OF_LIFE: Duration = Duration::from_secs(20);
/// What comes before the reset (waiting for the device, logging in, finding the System) may take this long.
const PREPARATION: Duration = Duration::from_secs(10);
/// How long a reading waits for the device's lock: longer than the longest use of it.
const READ_PATIENCE: Duration = Duration::from_secs(60);
/// How long a reset waits for it. Short, because it was allowed when it was asked for, not later.
const SET_PATIENCE: Duration = Duration::from_secs(1);
/// A reading, from login to answer.
const READ_LIMIT: Duration = Duration::from_secs(45);
const SYSTEMS: &str = "/redfish/v1/Systems";
/// Pages of the collection of Systems that are read.
const MOST_PAGES: usize = 16;

/// The driver for `protocol: Redfish`.
///
/// Errors: no connection, a certificate that is not the pinned one, a System that is not there are
/// [`PowerError::NotSent`]; 401 and 403 are [`PowerError::BadCredentials`]; no answer, 5xx and nonsense are
/// [`PowerError::Unknown`], or `NotSent` as long as the reset itself has not been sent.
#[derive(Default)]
pub struct RedfishDriver {
    clients: Clients,
    locks: Locks,
}

impl RedfishDriver {
    /// A driver that has talked to nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    async fn hold(&self, target: &Target, patience: Duration) -> Result<OwnedMutexGuard<()>, PowerError> {
        let endpoint = format!("{}:{}", target.spec.endpoint.host, target.spec.port());
        self.locks
            .acquire(&endpoint, patience)
            .await
            .ok_or_else(|| PowerError::NotSent(format!("{} is busy with another command; this one was not sent and can be repeated", name(target))))
    }

    /// The System as it is now, read in a session of its own.
    async fn look(&self, target: &Target) -> Result<Value, PowerError> {
        let _held = self.hold(target, READ_PATIENCE).await?;
        let deadline = Instant::now() + READ_LIMIT;
        let late = |_| PowerError::Unknown(format!("{} did not answer in {} s", name(target), READ_LIMIT.as_secs()));
        let session = timeout_at(deadline, Session::open(&self.clients, target)).await.map_err(late)??;
        let found = timeout_at(deadline, find(&session, target)).await.map_err(late);
        session.close().await;
        found?.map(|(_, system)| system)
    }
}

#[async_trait]
impl PowerDriver for RedfishDriver {
    async fn read(&self, target: &Target) -> Result<Power, PowerError> {
        let system = self.look(target).await?;
        state(target, &system)
    }

    async fn set(&self, target: &Target, command: Command) -> Result<(), PowerError> {
        self.set_if(target, command, &|| true).await
    }

    async fn set_if(&self, target: &Target, command: Command, may_send: MaySend<'_>) -> Result<(), PowerError> {
        let start = Instant::now();
        let _held = self.hold(target, SET_PATIENCE).await?;
        let late = |_| {
            PowerError::NotSent(format!(
                "{} was not ready for {command:?} within {} s; nothing was sent, it can be repeated",
                name(target),
                PREPARATION.as_secs()
            ))
        };
        let ready = start + PREPARATION;
        let session = timeout_at(ready, Session::open(&self.clients, target)).await.map_err(late)?.map_err(nothing_acted)?;
        let prepared = timeout_at(ready, prepare(&session, target, command)).await.map_err(late);
        let result = match prepared {
            Ok(Ok(reset)) if may_send() => send(&session, target, command, &reset, start + END_OF_LIFE).await,
            Ok(Ok(_)) => Err(no_longer_allowed(target, command)),
            Ok(Err(error)) => Err(nothing_acted(error)),
            Err(late) => Err(late),
        };
        session.close().await;
        result
    }

    async fn identify(&self, target: &Target) -> Result<MachineIdentity, PowerError> {
        let system = self.look(target).await?;
        Ok(MachineIdentity {
            system_uuid: system["UUID"].as_str().and_then(text::uuid),
            serial_number: system["SerialNumber"].as_str().and_then(text::serial),
        })
    }
}

/// The link to the System that is meant, and the System.
async fn find(session: &Session, target: &Target) -> Result<(String, Value), PowerError> {
    let mut members = Vec::new();
    let mut next = Some(SYSTEMS.to_owned());
    for _ in 0..MOST_PAGES {
        let Some(link) = next else { break };
        let page = session.get(&link).await?;
        let part =
            system::members(&page).ok_or_else(|| PowerError::Unknown(format!("{} answered nonsense for {SYSTEMS}: no Members", name(target))))?;
        members.extend(part);
        next = page["Members@odata.nextLink"].as_str().map(str::to_owned);
    }
    if next.is_some() {
        return Err(PowerError::Unknown(format!("{} has more pages of Systems than {MOST_PAGES}; this is not believed", name(target))));
    }
    let link = system::pick(&members, target.spec.endpoint.system.as_deref())
        .map_err(|why| PowerError::NotSent(format!("{}: {}", name(target), text::clean(&why, &target.password))))?;
    let system = session.get(&link).await?;
    Ok((link, system))
}

fn state(target: &Target, system: &Value) -> Result<Power, PowerError> {
    system::power(system).map_err(|why| PowerError::Unknown(format!("{} {}", name(target), text::clean(&why, &target.password))))
}

/// A reset that is ready to be sent.
struct Ready {
    system: String,
    url: reqwest::Url,
}

async fn prepare(session: &Session, target: &Target, command: Command) -> Result<Ready, PowerError> {
    let (link, system) = find(session, target).await?;
    let device = name(target);
    let reset = system::reset(&system).ok_or_else(|| PowerError::Refused(format!("{device} offers no action ComputerSystem.Reset for {link}")))?;
    let allowed = match (reset.allowed, reset.info) {
        (None, Some(info)) => match session.get(&info).await {
            Ok(info) => system::allowed(&info),
            // Then the device says so when it is asked.
            Err(error) => {
                tracing::debug!(device = %target.device_name, %error, "no ActionInfo");
                None
            }
        },
        (allowed, _) => allowed,
    };
    let (kind, _) = system::reset_type(command);
    if let Some(allowed) = allowed.filter(|allowed| !allowed.iter().any(|a| a == kind)) {
        let allowed = text::clean(&allowed.join(", "), &target.password);
        return Err(PowerError::Refused(format!("{device} does not allow the reset {kind}; it allows: {allowed}")));
    }
    let url = session.url(&reset.target).ok_or_else(|| PowerError::Unknown(format!("{device} gave a link that is none for its reset")))?;
    Ok(Ready { system: link, url })
}

async fn send(session: &Session, target: &Target, command: Command, ready: &Ready, deadline: Instant) -> Result<(), PowerError> {
    let (kind, wanted) = system::reset_type(command);
    let left = deadline.saturating_duration_since(Instant::now()).min(REQUEST_TIMEOUT);
    let reply = session.post(ready.url.clone(), &json!({ "ResetType": kind }), left).await?;
    let device = name(target);
    let said = reply.complaint(&target.password);
    match reply.status {
        StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(session.turned_away(&reply)),
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT => {
            // Already in that state is success (I3), and many devices refuse it.
            let after = session.get(&ready.system).await.ok().and_then(|system| state(target, &system).ok());
            if after == Some(wanted) { Ok(()) } else { Err(PowerError::Refused(format!("{device} refuses the reset {kind}: {said}"))) }
        }
        status if status.is_client_error() || status.is_redirection() => {
            Err(PowerError::Refused(format!("{device} refuses the reset {kind}: {said}")))
        }
        _ => Err(PowerError::Unknown(format!("{device} was told the reset {kind} and may have done it; it answered {said}"))),
    }
}

/// For what failed before the reset was sent.
fn nothing_acted(error: PowerError) -> PowerError {
    match error {
        PowerError::Unknown(why) => PowerError::NotSent(why),
        other => other,
    }
}
