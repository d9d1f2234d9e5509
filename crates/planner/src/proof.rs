//! Proof of off (S4) and power epochs (S5).

use crate::facts::{HostFacts, LinkClass, LinkFacts};
use schemas::{Time, v1::PowerState};
use serde::{Deserialize, Serialize};

/// Least time between the two readings of a proof, in seconds (S4).
pub const PROOF_GAP_SECONDS: i64 = 5;

/// Readings of one link as off, in the present epoch and after the last power command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OffReading {
    /// Uid of the link.
    pub link_uid: String,
    /// First reading.
    pub first_at: Time,
    /// Last reading.
    pub last_at: Time,
}

/// The latch of S10.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latch {
    /// Epoch in which the host was fenced.
    pub epoch: i64,
    /// `Kind/name` of what fenced it.
    pub by: String,
    /// When.
    pub at: Time,
    /// We disabled the service: enable it again on return.
    pub disabled_by_us: bool,
}

/// What we keep about a host's power, in the store's table of evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EvidenceBody {
    /// Power epoch; ends at any sign of life.
    pub epoch: i64,
    /// Nova service uuid it is bound to.
    pub service_id: String,
    /// Off readings of this epoch.
    pub off: Vec<OffReading>,
    /// When the last power command was written down; readings before it do not count.
    pub last_command_at: Option<Time>,
    /// `updated_at` of the service row that is no sign of life: the last one seen, or left by a write of ours.
    pub beat: Option<String>,
    /// When the service row was last seen to move without a write of ours.
    pub life_at: Option<Time>,
    /// Set while the host is fenced (S10).
    pub latch: Option<Latch>,
    /// The Host's declared power-off disabled the service, so it enables it again (S12).
    pub disabled_for_power_off: bool,
}

/// Why there is no proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// No link may be believed (S3).
    NoVerifiedLink,
    /// A link reads on.
    ReadsOn(String),
    /// Links that could not be read, with why.
    Unreadable(String),
    /// The second reading is due in so many seconds.
    SecondReading(i64),
}

/// Takes this pass's readings in. A sign of life ends the epoch and voids what was proven in it;
/// an unreadable link changes nothing.
pub fn absorb(old: &EvidenceBody, facts: &HostFacts, now: Time) -> EvidenceBody {
    let mut new = old.clone();
    new.epoch = new.epoch.max(1);
    let service = facts.service.seen();
    if let Some(service) = service
        && service.id != new.service_id
    {
        new.off.clear();
        new.beat = None;
        new.life_at = None;
        new.service_id = service.id.clone();
    }
    let beat = service.is_some_and(|s| new.beat.as_ref().is_some_and(|known| *known != s.updated_at));
    let on = facts.links.iter().any(|l| l.state.seen() == Some(&PowerState::On));
    // A service that Nova calls up, and whose row was not watched yet, may have moved just now.
    if beat || (new.beat.is_none() && service.is_some_and(|s| s.up)) {
        new.life_at = Some(now);
    }
    if on || beat {
        if !new.off.is_empty() {
            new.epoch += 1;
        }
        new.off.clear();
    }
    if let Some(service) = service {
        new.beat = Some(service.updated_at.clone());
    }
    // A link that is gone, or not verified any longer, proves nothing.
    new.off.retain(|r| facts.links.iter().any(|l| l.uid == r.link_uid && l.verified));
    for link in facts.links.iter().filter(|l| l.verified && !on) {
        if let crate::Fact::Seen(PowerState::Off, at) = &link.state
            && new.last_command_at.is_none_or(|command| *at > command)
            && *at <= now
        {
            match new.off.iter_mut().find(|r| r.link_uid == link.uid) {
                Some(reading) => reading.last_at = reading.last_at.max(*at),
                None => new.off.push(OffReading { link_uid: link.uid.clone(), first_at: *at, last_at: *at }),
            }
        }
    }
    new
}

/// Writes down that a power command is about to be sent: readings before it prove nothing.
pub fn command_sent(evidence: &mut EvidenceBody, now: Time) {
    evidence.last_command_at = Some(now);
    evidence.off.clear();
}

/// Seconds until the host's service counts as silent: its row has to stand still for two report intervals (S2).
/// Power that reads off speaks only for a host that is silent as well. `None`: it is silent.
pub fn still_reports(evidence: &EvidenceBody, interval: i64, now: Time) -> Option<i64> {
    let left = 2 * interval - now.seconds_since(evidence.life_at?);
    (left > 0).then_some(left)
}

/// Whether the host is proven off now, by readings at most `max_age` seconds old.
pub fn proven_off(evidence: &EvidenceBody, facts: &HostFacts, now: Time, max_age: i64) -> Result<(), Gap> {
    let of = |class: LinkClass| facts.links.iter().filter(move |l| l.class == class && l.verified);
    if of(LinkClass::Chassis).next().is_none() && of(LinkClass::Supply).next().is_none() {
        return Err(Gap::NoVerifiedLink);
    }
    // Any link that reads on speaks against it, verified or not.
    if let Some(on) = facts.links.iter().find(|l| l.state.seen() == Some(&PowerState::On)) {
        return Err(Gap::ReadsOn(on.name.clone()));
    }
    let reading = |link: &LinkFacts| evidence.off.iter().find(|r| r.link_uid == link.uid);
    let twice = |link: &LinkFacts| {
        reading(link).is_some_and(|r| r.last_at.seconds_since(r.first_at) >= PROOF_GAP_SECONDS && now.millis_since(r.last_at) <= max_age * 1000)
    };
    let by_chassis = of(LinkClass::Chassis).any(twice);
    // Every supply link counts, also one that is not verified: current may come through it.
    let supplies: Vec<&LinkFacts> = facts.links.iter().filter(|l| l.class == LinkClass::Supply).collect();
    let by_supply = !supplies.is_empty() && supplies.iter().all(|l| twice(l));
    if by_chassis || by_supply {
        return Ok(());
    }
    let fresh = |l: &&LinkFacts| l.state.seen() == Some(&PowerState::Off);
    let pending = facts.links.iter().filter(|l| l.verified).filter(fresh).filter_map(reading).map(|r| r.first_at).min();
    match pending {
        Some(first) => Err(Gap::SecondReading((PROOF_GAP_SECONDS - now.seconds_since(first)).max(1))),
        None => {
            let blind: Vec<String> = facts.links.iter().filter(|l| l.state.seen().is_none()).map(|l| format!("{}: {}", l.name, l.state.why())).collect();
            if blind.is_empty() { Err(Gap::SecondReading(1)) } else { Err(Gap::Unreadable(blind.join("; "))) }
        }
    }
}

/// The host's power, all links together. Off only if no link reads on and a verified chassis link, or every supply link, reads off.
pub fn state_of(links: &[LinkFacts]) -> PowerState {
    let reads = |l: &LinkFacts, state: PowerState| l.state.seen() == Some(&state);
    if links.iter().any(|l| reads(l, PowerState::On)) {
        return PowerState::On;
    }
    let chassis = links.iter().any(|l| l.class == LinkClass::Chassis && reads(l, PowerState::Off));
    let mut supplies = links.iter().filter(|l| l.class == LinkClass::Supply).peekable();
    let supply = supplies.peek().is_some() && supplies.all(|l| reads(l, PowerState::Off));
    if chassis || supply { PowerState::Off } else { PowerState::Unknown }
}
