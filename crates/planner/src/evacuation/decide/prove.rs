//! Whether requests may be sent: the host is proven off, or attested dead, and silent.

use super::{Run, Turn};
use crate::{
    EventDraft, Next,
    attestation::{self, Attested, Missing},
    contract::wait,
    fencing, power,
    proof::{self, Gap},
    settle::Settled,
};
use schemas::v1::{FencePolicy, FenceProgress, reasons};

const REPORTS: &str = "power reads off, but its service still reports, or did a moment ago";

impl Run<'_> {
    /// `None`: proven off, by readings young enough to send requests on (S4, S5).
    pub(super) fn prove_off(&mut self, settled: &Settled) -> Option<Turn> {
        let gap = match proof::proven_off(&self.env.evidence, self.facts, self.env.now, self.env.policy.proof_max_age_seconds) {
            Ok(()) => {
                self.proven = true;
                return None;
            }
            Err(gap) => gap,
        };
        if matches!(gap, Gap::NoVerifiedLink | Gap::Unreadable(_)) && attestation::is_accepted(&self.ev.spec) {
            match attestation::stands(&self.env.evidence, self.facts, self.env.now, self.env.policy.proof_max_age_seconds) {
                Ok(attested) => {
                    self.go_by(attested.clone());
                    return None;
                }
                Err(Missing::SecondLook(left)) => {
                    self.gap = Some("attested; a second look is due".into());
                    let message =
                        "power cannot be read, and a person states that the host is dead; a second look in which nothing speaks against it is due";
                    return Some(Turn::Next(wait(reasons::PROVING_OFF, message, left.min(3))));
                }
                Err(Missing::None) => {}
            }
        }
        if matches!(gap, Gap::Unreadable(_))
            && let Some(turn) = self.past_unreadable(settled)
        {
            return Some(turn);
        }
        if let Gap::SecondReading(left) = gap
            && !self.has_fenced()
            && proof::still_reports(&self.env.evidence, self.env.policy.nova_report_interval_seconds, self.env.now).is_some()
        {
            // A service that reports more often than that keeps the second reading from ever being one.
            return Some(self.doubt_the_links(left));
        }
        let host = &self.facts.host;
        let way_out = attestation::way_out(&self.ev.spec, host, self.evidence.epoch);
        let nothing = "nothing is evacuated without proof that the host is off";
        self.gap = Some(match &gap {
            Gap::NoVerifiedLink => "no verified power link".into(),
            Gap::ReadsOn(link) => format!("power reads on through {link}"),
            Gap::Unreadable(what) => format!("power cannot be read: {what}"),
            Gap::SecondReading(_) => "power read off once; the second reading is due".into(),
        });
        Some(Turn::Next(match gap {
            Gap::NoVerifiedLink => match power::no_link(self.facts) {
                Next::Wait { reason, message, .. } => wait(reason, format!("{message}. {way_out}"), 10),
                other => other,
            },
            Gap::Unreadable(what) => wait(
                reasons::POWER_UNREADABLE,
                format!("{nothing}: {what}. Unknown is never off: make the BMC of {host} reachable, or check its Credential. {way_out}"),
                3,
            ),
            Gap::SecondReading(left) => wait(reasons::PROVING_OFF, "power reads off; a second reading 5 s after the first makes it a proof", left),
            Gap::ReadsOn(link) => return Some(self.fence(Some(&link), settled)),
        }))
    }

    /// The fence goes on at the outlets, where no chassis link can be read and its order has a second device.
    fn past_unreadable(&mut self, settled: &Settled) -> Option<Turn> {
        let rule = self.fencing().ok().filter(|_| self.ev.spec.fence != FencePolicy::Forbidden)?;
        // What was proven is suspended, not void: what is under way is waited for.
        if self.evidence.latch.is_some() && settled.moving().next().is_some() {
            return None;
        }
        let outlet = fencing::outlet(&rule, self.facts)?;
        self.gap = Some(format!("no BMC can be read, and power reads on through {}", outlet.name));
        Some(self.fence(Some(&outlet.name), settled))
    }

    /// Goes by a person's word; the event is told once.
    pub(super) fn go_by(&mut self, attested: Attested) {
        if attested.used_by.as_ref().is_none_or(|(_, uid)| *uid != self.env.owner_uid) {
            let note = format!("goes by {}, for power epoch {}", attested.in_words(), attested.epoch);
            self.events.push(EventDraft { warning: true, reason: "Attested", note });
        }
        attestation::used(&mut self.evidence, &self.env.owner, &self.env.owner_uid);
        self.attested = Some(attested);
    }

    /// Power reads off twice; its service must be silent as well, or the links speak of another machine.
    pub(super) fn prove_silent(&mut self, settled: &Settled) -> Option<Turn> {
        let left = proof::still_reports(&self.env.evidence, self.env.policy.nova_report_interval_seconds, self.env.now)?;
        let host = &self.facts.host;
        if self.attested.take().is_some() {
            self.gap = Some("attested, but its service still reports, or did a moment ago".into());
            let message = format!("a person states that {host} is dead, but its service still reports, or did a moment ago; find out what reports");
            return Some(Turn::Next(wait(reasons::IN_DOUBT, message, left.min(3))));
        }
        if self.fenced_in().is_some_and(|fenced| fenced != self.evidence.epoch) {
            self.gap = Some(REPORTS.into());
            return Some(self.fence(None, settled));
        }
        if !self.has_fenced() {
            return Some(self.doubt_the_links(left));
        }
        self.gap = Some(REPORTS.into());
        Some(Turn::Next(wait(reasons::PROVING_OFF, "power reads off; its service has to be silent for two report intervals", left.min(3))))
    }

    /// The power epoch in which the host was fenced for this evacuation.
    fn fenced_in(&self) -> Option<i64> {
        self.status.fence_epoch.max(self.evidence.latch.as_ref().filter(|l| l.by_uid == self.env.owner_uid).map(|l| l.epoch))
    }

    fn has_fenced(&self) -> bool {
        self.fenced_in().is_some() || self.status.fencing.as_ref().is_some_and(FenceProgress::has_begun)
    }

    /// Nobody switched it off here, power reads off, and it reports.
    fn doubt_the_links(&mut self, left: i64) -> Turn {
        self.gap = Some(REPORTS.into());
        let message = format!(
            "power of {} reads off, but its service still reports: its power links may speak of another machine; check them, or stop its nova-compute",
            self.facts.host
        );
        Turn::Next(wait(reasons::IN_DOUBT, message, left.min(3)))
    }
}
