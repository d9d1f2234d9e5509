//! A person's word in place of a proof (I4): for a host whose BMC died with it.
//!
//! It stands in where proof is *impossible*, because no link is verified or none that matters can be read, and nowhere else. It
//! never speaks against a link that reads on, nor against a service that reports, and any sign of life ends its epoch (S5). Like
//! a proof it takes two looks some seconds apart, and it is looked at again just before each request that is sent on it.

use crate::{
    Fact,
    facts::HostFacts,
    proof::{EvidenceBody, PROOF_GAP_SECONDS},
};
use schemas::{
    Time,
    v1::{AttestationRule, EvacuationSpec, PowerState},
};
use serde::{Deserialize, Serialize};

/// A FenceAttestation as it stands in the store: open, and not withdrawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attestation {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The person who made it.
    pub by: String,
    /// The epoch that it is about.
    pub epoch: i64,
    /// It counts until then.
    pub expires_at: Time,
    /// Version it was read at.
    pub version: i64,
}

/// What evidence keeps of one that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attested {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// The person who made it.
    pub by: String,
    /// The epoch that it is about.
    pub epoch: i64,
    /// It counts until then: an end by the wall clock, the same for every leader.
    pub expires_at: Time,
    /// End of the first look in which nothing spoke against it.
    pub first_at: Time,
    /// Beginning of the last such look.
    pub last_at: Time,
    /// The evacuation that goes by it: `Kind/name`, and uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<(String, String)>,
}

/// Why one does not stand in for a proof now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is none, or something speaks against it.
    None,
    /// The second look is due in so many seconds.
    SecondLook(i64),
}

impl Attested {
    /// Which, and whose.
    pub fn in_words(&self) -> String {
        format!("FenceAttestation/{} of {}", self.name, self.by)
    }

    /// Whether nothing spoke against it in two looks far enough apart.
    pub fn is_twice(&self) -> bool {
        self.last_at.seconds_since(self.first_at) >= PROOF_GAP_SECONDS
    }

    /// Whether it may be sent on at this moment: it counts still, and was looked at a moment ago.
    pub fn is_good(&self, epoch: i64, max_age: i64, now: Time) -> bool {
        let young = (0..=max_age.saturating_mul(1_000)).contains(&now.millis_since(self.last_at));
        self.epoch == epoch && now < self.expires_at && self.is_twice() && young
    }
}

/// Whether an evacuation accepts one. Those that a person asked for do; the others do as their RemediationPolicy says.
pub fn is_accepted(spec: &EvacuationSpec) -> bool {
    spec.evidence.as_ref().is_none_or(|rule| rule.attestation == AttestationRule::Accepted)
}

/// Whether this look speaks for an attestation: since when. `Err`: something speaks against it. `Ok(None)`: it does not tell.
fn quiet_since(facts: &HostFacts) -> Result<Option<Time>, ()> {
    if facts.links.iter().any(|l| l.state.seen() == Some(&PowerState::On)) {
        return Err(());
    }
    // A link that nobody could look up might read on; and where nobody is heard a silence may be Nova's own (I5).
    let listed = facts.links.iter().all(|l| !l.uid.is_empty());
    let heard = facts.beats.last().is_some_and(|b| b.conductor_up && b.others_up);
    match &facts.service {
        Fact::Seen(_, at) if listed && heard => Ok(Some(*at)),
        _ => Ok(None),
    }
}

/// Whether one may have been made of this epoch.
pub(crate) fn may_be_of(facts: &HostFacts, epoch: i64) -> bool {
    match &facts.attestation {
        Fact::Seen(found, _) => found.epoch == epoch,
        Fact::Absent(_) => false,
        Fact::Unknown(_) => true,
    }
}

/// Takes this pass's look in; `epoch` is the one after it. What cannot be read suspends an attestation, what is gone, withdrawn,
/// past its end or of another epoch ends it.
pub(crate) fn take_in(old: &EvidenceBody, epoch: i64, facts: &HostFacts, now: Time) -> Option<Attested> {
    let known = old.attested.as_ref().filter(|a| a.epoch == epoch && now < a.expires_at);
    let found = match &facts.attestation {
        Fact::Seen(found, _) if found.epoch == epoch && now < found.expires_at && found.uid != old.attestation_used => found,
        Fact::Unknown(_) => return known.cloned(),
        Fact::Seen(..) | Fact::Absent(_) => return None,
    };
    let known = known.filter(|a| a.uid == found.uid);
    match quiet_since(facts) {
        Err(()) => None,
        Ok(None) => known.cloned(),
        Ok(Some(at)) => Some(Attested {
            uid: found.uid.clone(),
            name: found.name.clone(),
            by: found.by.clone(),
            epoch,
            expires_at: found.expires_at,
            first_at: known.map_or(now, |a| a.first_at),
            last_at: known.map_or(at, |a| a.last_at.max(at)),
            used_by: known.and_then(|a| a.used_by.clone()),
        }),
    }
}

/// Whether one stands in for the readings of S4 now. To be asked only where those are impossible.
pub fn stands<'a>(evidence: &'a EvidenceBody, facts: &HostFacts, now: Time, max_age: i64) -> Result<&'a Attested, Missing> {
    let attested = evidence.attested.as_ref().ok_or(Missing::None)?;
    let read = facts.attestation.seen().is_some_and(|found| found.uid == attested.uid);
    let quiet = matches!(quiet_since(facts), Ok(Some(_)));
    if !read || !quiet || attested.epoch != evidence.epoch || now >= attested.expires_at {
        return Err(Missing::None);
    }
    if attested.is_good(evidence.epoch, max_age, now) {
        return Ok(attested);
    }
    Err(Missing::SecondLook((PROOF_GAP_SECONDS - now.seconds_since(attested.first_at)).max(1)))
}

/// Notes which evacuation goes by it.
pub(crate) fn used(evidence: &mut EvidenceBody, owner: &str, owner_uid: &str) {
    if let Some(attested) = &mut evidence.attested {
        attested.used_by = Some((owner.into(), owner_uid.into()));
    }
}

/// The evacuation has ended, and with it the attestation that it went by.
pub(crate) fn used_up(evidence: &mut EvidenceBody, owner_uid: &str) {
    let own = |a: &mut Attested| a.used_by.as_ref().is_some_and(|(_, uid)| uid == owner_uid);
    if let Some(Attested { uid, used_by: Some((owner, _)), .. }) = evidence.attested.take_if(own) {
        evidence.attestation_used = uid;
        evidence.attestation_used_by = owner;
    }
}

/// The way out for those who wait for a BMC that will not come back.
pub fn way_out(spec: &EvacuationSpec, host: &str, epoch: i64) -> String {
    if is_accepted(spec) {
        return format!(
            "If its BMC died with it and you have seen that {host} is dead, say so: `cloud-manager attest {host}` (its power epoch is {epoch})"
        );
    }
    format!(
        "Its RemediationPolicy has evidence.attestation: Refused; if its BMC died with it, cancel this evacuation, then `evacuate {host}` and `attest {host}`"
    )
}
