//! Power links of a host: who they are, and what they read.

use crate::{World, world::OLD_READING_MS};
use futures::future::join_all;
use planner::{
    Fact,
    facts::{LinkClass, LinkFacts},
    power_link::{holds, identity_matches},
};
use power::{Power, PowerError, Target};
use schemas::{
    Object, Time,
    v1::{self, Binding, LinkRole, PowerState, Protocol},
};
use secrecy::SecretString;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::ListQuery;

/// Longest time one reading may take, others' readings of the same device before it included.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// A device that turned our credentials away is not asked again for so long, in seconds: BMCs lock accounts out.
const LOCKOUT_SECONDS: i64 = 60;

struct Reading {
    fact: Fact<PowerState>,
    /// When it was asked for.
    at: Time,
    /// The credentials were turned away.
    turned_away: bool,
}

type Slot = Arc<tokio::sync::Mutex<Option<Reading>>>;

/// The last reading of each port of each device, so that reconcilers that ask at the same time ask once; and when one was last
/// answered that it is on, whoever asked.
#[derive(Default)]
pub(crate) struct Reads {
    slots: Mutex<HashMap<(String, u16), Slot>>,
    last_on: Mutex<HashMap<(String, u16), Time>>,
}

impl Reads {
    fn slot(&self, target: &Target) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry((target.device_uid.clone(), target.port)).or_default().clone()
    }

    fn is_on(&self, target: &Target, at: Time) {
        self.last_on.lock().unwrap_or_else(PoisonError::into_inner).insert((target.device_uid.clone(), target.port), at);
    }

    fn last_on(&self, target: &Result<Target, String>) -> Option<Time> {
        let target = target.as_ref().ok()?;
        self.last_on.lock().unwrap_or_else(PoisonError::into_inner).get(&(target.device_uid.clone(), target.port)).copied()
    }
}

/// A link with its device, as stored.
pub(crate) struct Wired {
    pub link: Object<v1::PowerLink>,
    pub target: Result<Target, String>,
    /// Everything of a binding but the Nova service.
    pub binding: Binding,
}

fn endpoint_text(spec: &v1::PowerDeviceSpec) -> String {
    let e = &spec.endpoint;
    format!("{:?}://{}:{}/{}", spec.protocol, e.host, spec.port(), e.system.as_deref().unwrap_or(""))
}

impl World {
    /// How to talk to a port of a device; `Err` says what is missing.
    pub(crate) async fn target(&self, device_name: &str, port: i64) -> Result<(Target, Binding), String> {
        let device = self.store.get("PowerDevice", device_name).await.map_err(|e| e.to_string())?;
        let device: Object<v1::PowerDevice> =
            device.ok_or_else(|| format!("there is no PowerDevice {device_name}"))?.typed().map_err(|e| e.to_string())?;
        let binding = Binding { device_uid: device.metadata.uid.clone(), endpoint: endpoint_text(&device.spec), port, service_id: String::new() };
        let (mut username, mut password) = (String::new(), SecretString::default());
        if let Some(credential) = &device.spec.credential_ref {
            let data = self.store.secret(&credential.name).await.map_err(|e| e.to_string())?;
            let mut data = data.ok_or_else(|| format!("PowerDevice {device_name}: there is no Credential {}; create it", credential.name))?;
            use secrecy::ExposeSecret;
            username = data.remove("username").map(|s| s.expose_secret().to_string()).unwrap_or_default();
            password = data.remove("password").unwrap_or_default();
        }
        let port = u16::try_from(port).unwrap_or(1);
        let target = Target { device_uid: device.metadata.uid, device_name: device_name.into(), spec: device.spec, port, username, password };
        Ok((target, binding))
    }

    /// The links of a host.
    pub(crate) async fn wired(&self, host: &str) -> Result<Vec<Wired>, String> {
        let query = ListQuery { host: Some(host.into()), ..Default::default() };
        let mut wired = Vec::new();
        for link in self.store.list("PowerLink", query).await.map_err(|e| e.to_string())?.items {
            let link: Object<v1::PowerLink> = link.typed().map_err(|e| e.to_string())?;
            let found = self.target(&link.spec.device_ref.name, link.spec.port).await;
            let binding = found.as_ref().map(|(_, b)| b.clone()).unwrap_or_default();
            wired.push(Wired { link, target: found.map(|(t, _)| t), binding });
        }
        Ok(wired)
    }

    /// Reads a target in a session of its own. Only `on` and `off` are believed.
    pub(crate) async fn read_power(&self, target: &Result<Target, String>) -> Fact<PowerState> {
        let target = match target {
            Ok(target) => target,
            Err(why) => return Fact::Unknown(why.clone()),
        };
        let asked = self.clock.now();
        let slot = self.reads.slot(target);
        let late = || Fact::Unknown(format!("{}: no answer within {} s", target.device_name, READ_DEADLINE.as_secs()));
        let read = async {
            let mut last = slot.lock().await;
            // Whoever waited while another asked takes that answer, if it was asked for after they came.
            if let Some(reading) = last.as_ref()
                && (reading.at >= asked || (reading.turned_away && asked.seconds_since(reading.at) < LOCKOUT_SECONDS))
            {
                return reading.fact.clone();
            }
            // The time before the request is what a proof counts from.
            let at = self.clock.now();
            let read = self.ask_power(target).await;
            let turned_away = matches!(read, Err(PowerError::BadCredentials(_)));
            let fact = match read {
                Ok(Power::On) => Fact::Seen(PowerState::On, at),
                Ok(Power::Off) => Fact::Seen(PowerState::Off, at),
                Err(error) => Fact::Unknown(error.to_string()),
            };
            *last = Some(Reading { fact: fact.clone(), at, turned_away });
            fact
        };
        tokio::time::timeout(READ_DEADLINE, read).await.unwrap_or_else(|_| late())
    }

    /// Asks a device, in a session of its own. That it is on is remembered, whoever asks: it voids readings as off before it (S5).
    pub(crate) async fn ask_power(&self, target: &Target) -> Result<Power, PowerError> {
        let begun = tokio::time::Instant::now();
        let read = self.power.read(target).await;
        self.count_power(target, "read", read.as_ref().err(), begun);
        if matches!(read, Ok(Power::On)) {
            self.reads.is_on(target, self.clock.now());
        }
        read
    }

    pub(crate) fn count_power(&self, target: &Target, call: &str, error: Option<&PowerError>, begun: tokio::time::Instant) {
        let service = match power::protocol_of(target) {
            Protocol::IPMI => "ipmi",
            Protocol::Redfish => "redfish",
        };
        let result = match error {
            None => "ok",
            Some(PowerError::NotSent(_)) => "not_sent",
            Some(PowerError::Refused(_)) => "refused",
            Some(PowerError::Unknown(_)) => "unknown",
            Some(PowerError::BadCredentials(_)) => "bad_credentials",
        };
        self.metrics.call(service, call, result, begun.elapsed().as_secs_f64());
    }

    /// Whether the machine behind a link is who the link's spec says.
    pub(crate) async fn read_identity(&self, wired: &Wired) -> Fact<Result<(), String>> {
        let Some(want) = &wired.link.spec.identity else {
            return Fact::Seen(
                Err(format!("PowerLink {} has no spec.identity; give systemUuid or serialNumber, or use another method", wired.link.metadata.name)),
                self.clock.now(),
            );
        };
        let target = match &wired.target {
            Ok(target) => target,
            Err(why) => return Fact::Unknown(why.clone()),
        };
        if target.spec.r#type.is_supply() {
            let why =
                format!("{} switches an outlet, which cannot tell whose machine it powers; use another method of initialise", target.device_name);
            return Fact::Seen(Err(why), self.clock.now());
        }
        match self.power.identify(target).await {
            Ok(id) => Fact::Seen(identity_matches(want, id.system_uuid.as_deref(), id.serial_number.as_deref()), self.clock.now()),
            Err(error) => Fact::Unknown(error.to_string()),
        }
    }

    /// All links of a host as facts, read side by side. An error of the store makes them unreadable, never absent.
    pub(crate) async fn link_facts(&self, host: &str, service_id: Option<&str>, with_identity: bool) -> Vec<LinkFacts> {
        let wired = match self.wired(host).await {
            Ok(wired) => wired,
            Err(why) => {
                return vec![LinkFacts {
                    name: "(unknown)".into(),
                    uid: String::new(),
                    class: LinkClass::Chassis,
                    verified: false,
                    default: false,
                    state: Fact::Unknown(why),
                    last_on: None,
                    binding: Binding::default(),
                    identity: Fact::not_asked(),
                }];
            }
        };
        join_all(wired.iter().map(|w| self.link_fact(w, service_id, with_identity))).await
    }

    /// Reads those links again whose readings have grown old while others were read: a device that does not answer takes its
    /// time, and must not make what the others say too old for a proof for ever (S5).
    pub(crate) async fn read_again(&self, host: &str, links: &mut [LinkFacts]) {
        let now = self.clock.now();
        let old = |l: &LinkFacts| matches!(l.state, Fact::Seen(_, at) if now.millis_since(at) > OLD_READING_MS);
        if !links.iter().any(old) {
            return;
        }
        let Ok(wired) = self.wired(host).await else { return };
        let again = links.iter_mut().filter(|l| old(l)).map(|link| {
            let target = wired.iter().find(|w| w.link.metadata.uid == link.uid).map(|w| &w.target);
            async move {
                if let Some(target) = target {
                    link.state = self.read_power(target).await;
                    link.last_on = self.reads.last_on(target);
                }
            }
        });
        join_all(again).await;
    }

    async fn link_fact(&self, wired: &Wired, service_id: Option<&str>, with_identity: bool) -> LinkFacts {
        let state = self.read_power(&wired.target).await;
        let identity = if with_identity { self.read_identity(wired).await } else { Fact::not_asked() };
        let link = &wired.link;
        // While the service cannot be read, the verification is judged by the rest.
        let stored = link.status.verification.as_ref().map(|v| v.binding.service_id.clone());
        let service = service_id.map(String::from).or(stored).unwrap_or_default();
        let binding = Binding { service_id: service, ..wired.binding.clone() };
        // Of a link whose device is not there nobody knows what it switches. It may be an outlet that has power, so the others
        // prove nothing without it (S4).
        let class = wired.target.as_ref().map_or(LinkClass::Supply, |t| t.spec.r#type.into());
        LinkFacts {
            name: link.metadata.name.clone(),
            uid: link.metadata.uid.clone(),
            class,
            verified: wired.target.is_ok() && holds(link.status.verification.as_ref(), &binding),
            default: link.spec.role == LinkRole::Default,
            state,
            last_on: self.reads.last_on(&wired.target),
            binding,
            identity,
        }
    }
}
