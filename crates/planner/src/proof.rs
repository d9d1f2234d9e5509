//! Proof of off (S4) and power epochs (S5).

use crate::{
    Env, Fact, Step,
    attestation::{self, Attested},
    facts::{Beat, HostFacts, LinkClass, LinkFacts},
};
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
    /// When the first one was known: it may have been answered as late as that.
    pub first_at: Time,
    /// When the last one was asked for: it may have been answered as early as that.
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
    /// Its uid: names are used again.
    #[serde(default)]
    pub by_uid: String,
    /// When.
    pub at: Time,
    /// We disabled the service: enable it again on return.
    pub disabled_by_us: bool,
    /// The FenceAttestation that stood in for the proof, and whose it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<String>,
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
    /// When our last write of the service row was known to have ended: what was read of the row before says nothing of life.
    pub row_written_at: Option<Time>,
    /// When the service row was last seen to move without a write of ours.
    pub life_at: Option<Time>,
    /// Set while the host is fenced (S10).
    pub latch: Option<Latch>,
    /// The Host's declared power-off disabled the service, so it enables it again (S12).
    pub disabled_for_power_off: bool,
    /// Set while an earlier leader's power command may still arrive (S8).
    pub hold: Option<crate::hold::Hold>,
    /// A person's word that the host is dead, while it is in force (I4).
    pub attested: Option<Attested>,
    /// Uid of the last FenceAttestation that an evacuation went by to its end.
    pub attestation_used: String,
    /// `Kind/name` of that evacuation: it may end before the attestation is looked at again.
    pub attestation_used_by: String,
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

/// Takes this pass's readings in, seen together with the calls that may be under way: while a power command
/// may still take effect readings prove nothing (S4), and while a write of ours to the service row may land
/// its moving is no sign of life (S5).
pub fn take_in(env: &Env, facts: &HostFacts) -> EvidenceBody {
    let under_way = |wanted: fn(&Step) -> bool| env.open().any(|i| wanted(&i.action));
    let writing = under_way(|s| matches!(s, Step::NovaService { .. }));
    let mut old = env.evidence.clone().by_our_clock(env, &facts.beats);
    if writing {
        (old.beat, old.row_written_at) = (None, Some(env.now));
    }
    let mut new = absorb(&old, facts, env.now);
    if writing {
        new.beat = None;
        new.life_at = old.life_at;
    }
    if under_way(|s| matches!(s, Step::Power { .. })) {
        command_sent(&mut new, env.now);
    }
    crate::hold::take_in(&mut new, env);
    new
}

impl EvidenceBody {
    /// Its times by our own clock: of two readings that two leaders made nobody knows how far apart they are (S4).
    fn by_our_clock(mut self, env: &Env, beats: &[Beat]) -> EvidenceBody {
        for reading in &mut self.off {
            (reading.first_at, reading.last_at) = (env.ours(reading.first_at), env.ours(reading.last_at));
        }
        self.last_command_at = self.last_command_at.map(|at| env.ours(at));
        self.row_written_at = self.row_written_at.map(|at| env.ours(at));
        // A row that we watched before we led cannot have moved later than we first saw it as it is.
        let still = |b: &&Beat| self.beat.as_ref() == Some(&b.updated_at);
        let seen = beats.iter().rev().take_while(still).last().map_or(env.led_since, |b| b.at.min(env.led_since));
        self.life_at = self.life_at.map(|at| if env.ours(at) == env.led_since { seen } else { at });
        if let Some(attested) = &mut self.attested {
            (attested.first_at, attested.last_at) = (env.ours(attested.first_at), env.ours(attested.last_at));
        }
        if let Some(hold) = &mut self.hold {
            hold.since = env.ours(hold.since);
        }
        self
    }
}

/// Takes this pass's readings in. A sign of life ends the epoch and voids what was proven in it;
/// an unreadable link changes nothing.
pub fn absorb(old: &EvidenceBody, facts: &HostFacts, now: Time) -> EvidenceBody {
    let mut new = old.clone();
    new.epoch = new.epoch.max(1);
    let service = match &facts.service {
        Fact::Seen(service, at) if new.row_written_at.is_none_or(|written| *at >= written) => Some(service),
        _ => None,
    };
    let mut other_service = false;
    if let Some(service) = service
        && service.id != new.service_id
    {
        // Another row under the same host name was written by a nova-compute that started.
        other_service = !new.service_id.is_empty();
        new.beat = None;
        new.life_at = None;
        new.service_id = service.id.clone();
    }
    let beat = service.is_some_and(|s| new.beat.as_ref().is_some_and(|known| *known != s.updated_at));
    // A service that Nova calls up, and whose row was not watched yet, may have moved just now.
    if beat || other_service || (new.beat.is_none() && service.is_some_and(|s| s.up)) {
        new.life_at = Some(now);
    }
    let on = state_of(&facts.links) == PowerState::On;
    // An outlet has power also while its machine is off; only one that comes back is life.
    let came_back = facts.links.iter().any(|l| l.state.seen() == Some(&PowerState::On) && new.off.iter().any(|r| r.link_uid == l.uid))
        || new.off.iter().any(|r| was_on(facts, &r.link_uid, r.first_at))
        || new.attested.as_ref().is_some_and(|a| was_on(facts, "", a.first_at));
    if on || came_back || beat || other_service {
        let attested = new.attested.is_some() || attestation::may_be_of(facts, new.epoch);
        if attested || !new.off.is_empty() || new.latch.as_ref().is_some_and(|l| l.epoch == new.epoch) {
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
        if let Fact::Seen(PowerState::Off, at) = &link.state
            && new.last_command_at.is_none_or(|command| *at > command)
            && *at <= now
            && !was_on(facts, &link.uid, *at)
        {
            match new.off.iter_mut().find(|r| r.link_uid == link.uid) {
                Some(reading) => reading.last_at = *at,
                None => new.off.push(OffReading { link_uid: link.uid.clone(), first_at: now, last_at: *at }),
            }
        }
    }
    new.attested = attestation::take_in(old, new.epoch, facts, now);
    new
}

/// Whether a reading of a link as off at that time was followed by an answer that the machine, or this link, is on.
fn was_on(facts: &HostFacts, link_uid: &str, off_at: Time) -> bool {
    let speaks = |l: &&LinkFacts| l.class == LinkClass::Chassis || l.uid == link_uid;
    facts.links.iter().filter(speaks).any(|l| l.last_on.is_some_and(|on| on >= off_at))
}

/// Writes down that a power command is about to be sent: readings before it prove nothing.
pub fn command_sent(evidence: &mut EvidenceBody, now: Time) {
    evidence.last_command_at = Some(now);
    evidence.off.clear();
    evidence.attested = None;
}

/// Seconds until the host's service counts as silent: its row has to stand still for two report intervals (S2).
/// Power that reads off speaks only for a host that is silent as well. `None`: it is silent.
pub fn still_reports(evidence: &EvidenceBody, interval: i64, now: Time) -> Option<i64> {
    let left = 2 * interval - now.seconds_since(evidence.life_at?);
    (left > 0).then_some(left)
}

/// Whether the host is proven off now, by readings at most `max_age` seconds old. A link speaks only if it
/// reads off in this very pass: what cannot be read suspends the proof (S5).
pub fn proven_off(evidence: &EvidenceBody, facts: &HostFacts, now: Time, max_age: i64) -> Result<(), Gap> {
    let links = &facts.links;
    if !links.iter().any(|l| l.verified) {
        return Err(Gap::NoVerifiedLink);
    }
    let of = |class: LinkClass| links.iter().filter(move |l| l.class == class);
    let reads = |l: &LinkFacts, state: PowerState| l.state.seen() == Some(&state);
    let reading = |l: &LinkFacts| evidence.off.iter().find(|r| r.link_uid == l.uid).filter(|_| l.verified && reads(l, PowerState::Off));
    let twice = |l: &LinkFacts| reading(l).is_some_and(|r| r.is_twice() && r.is_younger_than(max_age, now));
    // The link that speaks against it; of several one that commands may go through.
    let on = |class| of(class).filter(|l| reads(l, PowerState::On)).min_by_key(|l| (!l.verified, !l.default, l.name.clone()));
    // Any chassis link that reads on speaks against it, verified or not.
    if let Some(on) = on(LinkClass::Chassis) {
        return Err(Gap::ReadsOn(on.name.clone()));
    }
    // Every supply link counts, also one that is not verified: current may come through it.
    let by_supply = of(LinkClass::Supply).next().is_some() && of(LinkClass::Supply).all(twice);
    if by_supply || of(LinkClass::Chassis).any(twice) {
        return Ok(());
    }
    // An outlet is cut only if no chassis link reads off, nor might read off.
    let may_be_off = of(LinkClass::Chassis).any(|l| reading(l).is_some() || l.state.seen().is_none());
    if let Some(on) = on(LinkClass::Supply).filter(|_| !may_be_off) {
        return Err(Gap::ReadsOn(on.name.clone()));
    }
    // The readings of some outlets lead to no proof before all are read off.
    let whole = of(LinkClass::Supply).all(|l| reading(l).is_some());
    let due = links
        .iter()
        .filter(|l| whole || l.class == LinkClass::Chassis)
        .filter_map(reading)
        .filter(|r| !r.is_twice())
        .map(|r| PROOF_GAP_SECONDS - now.seconds_since(r.first_at))
        .min();
    if let Some(left) = due {
        return Err(Gap::SecondReading(left.max(1)));
    }
    let blind = links.iter().filter(|l| l.state.seen().is_none()).map(|l| format!("{}: {}", l.name, l.state.why()));
    let unverified = links.iter().filter(|l| !l.verified && l.state.seen().is_some()).map(|l| format!("{} is not verified", l.name));
    let missing: Vec<String> = blind.chain(unverified).collect();
    if missing.is_empty() { Err(Gap::SecondReading(1)) } else { Err(Gap::Unreadable(missing.join("; "))) }
}

/// Whether a host that is not the one being decided about is proven off now: by its own evidence, as its own decisions left
/// it, and by what its own links read in this very pass (S6). `facts` are that host's.
pub fn proven_off_elsewhere(evidence: &EvidenceBody, facts: &HostFacts, env: &Env) -> bool {
    let (policy, now) = (&env.policy, env.now);
    // A first reading is one of its own reconciler's, in its present epoch; what is read now may only be the later one.
    let known: Vec<&str> = evidence.off.iter().map(|r| r.link_uid.as_str()).collect();
    let mut new = absorb(&evidence.clone().by_our_clock(env, &facts.beats), facts, now);
    new.off.retain(|r| known.contains(&r.link_uid.as_str()));
    new.epoch == evidence.epoch
        && still_reports(&new, policy.nova_report_interval_seconds, now).is_none()
        && proven_off(&new, facts, now, policy.proof_max_age_seconds).is_ok()
}

impl OffReading {
    /// Whether there were two readings far enough apart (S4).
    pub fn is_twice(&self) -> bool {
        self.last_at.seconds_since(self.first_at) >= PROOF_GAP_SECONDS
    }

    /// Whether the last reading is at most `max_age` seconds old. One of the future has no age.
    pub fn is_younger_than(&self, max_age: i64, now: Time) -> bool {
        (0..=max_age.saturating_mul(1_000)).contains(&now.millis_since(self.last_at))
    }
}

/// The host's power, all links together. On if a chassis link reads on. Off if no chassis link does, and one of them or every
/// supply link reads off. An outlet that has power says On only of a machine without a chassis link.
pub fn state_of(links: &[LinkFacts]) -> PowerState {
    let of = |class: LinkClass| links.iter().filter(move |l| l.class == class);
    let reads = |l: &LinkFacts, state: PowerState| l.state.seen() == Some(&state);
    if of(LinkClass::Chassis).any(|l| reads(l, PowerState::On)) {
        return PowerState::On;
    }
    let supplies_off = of(LinkClass::Supply).next().is_some() && of(LinkClass::Supply).all(|l| reads(l, PowerState::Off));
    if of(LinkClass::Chassis).any(|l| reads(l, PowerState::Off)) || supplies_off {
        return PowerState::Off;
    }
    let no_chassis = of(LinkClass::Chassis).next().is_none();
    if no_chassis && of(LinkClass::Supply).any(|l| reads(l, PowerState::On)) { PowerState::On } else { PowerState::Unknown }
}
