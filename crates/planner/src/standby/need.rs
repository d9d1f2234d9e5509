//! Which evacuations get a host, and which one.

use super::{Member, Need, member, pool::Run};
use crate::Also;
use schemas::v1::{LeaseState, PowerState, StandbyLease, Wake, reasons};
use std::collections::BTreeSet;

/// A standby host that is ready shows in Nova's lists and in the room of hosts after so many seconds.
const VISIBLE_SECONDS: i64 = 45;

impl<'a> Run<'a> {
    /// A host for each evacuation that needs one, the oldest first. No host serves two.
    pub(super) fn lease_more(&mut self) {
        let mut unmet = Vec::new();
        for need in &self.seen.needs {
            if !self.is_due(need) {
                continue;
            }
            match self.choose(need) {
                Some(host) => {
                    let why = need.lacking.as_ref().map_or("it rebuilds guests".to_string(), |g| format!("there is no destination for {g}"));
                    self.tell(true, "StandbyWaking", format!("{host} is woken for Evacuation/{} of {}: {why}", need.evacuation, need.host));
                    self.busy = Some(format!("{host} is being woken for Evacuation/{}", need.evacuation));
                    self.status.leased.push(StandbyLease {
                        host,
                        evacuation: need.evacuation.clone(),
                        evacuation_uid: need.uid.clone(),
                        since: Some(self.env.now),
                        ..StandbyLease::default()
                    });
                }
                None => unmet.push(need),
            }
        }
        let Some(need) = unmet.first() else { return };
        self.call_drill_off();
        let message = format!(
            "Evacuation/{} of {} needs a standby host{}, and none is free: {}",
            need.evacuation,
            need.host,
            if need.zone.is_empty() { String::new() } else { format!(" in zone {}", need.zone) },
            self.why_none(need)
        );
        if self.pool.status.waiting.as_ref().is_none_or(|w| w.reason != reasons::NO_STANDBY) {
            self.tell(true, reasons::NO_STANDBY, message.clone());
        }
        self.unmet = Some(message);
    }

    /// Whether an evacuation is to get one more host now: none is being woken for it, and those that are ready did not do.
    fn is_due(&self, need: &Need) -> bool {
        let all: Vec<&StandbyLease> = self.status.leased.iter().chain(&self.seen.elsewhere).filter(|l| l.evacuation_uid == need.uid).collect();
        if all.iter().any(|l| l.state == LeaseState::Waking) {
            return false;
        }
        let visible = |l: &StandbyLease| l.since.is_some_and(|at| self.env.seconds_since(at) >= VISIBLE_SECONDS);
        let did_not_do = need.lacking.is_some() && all.iter().all(|l| visible(l));
        did_not_do || (self.pool.spec.wake == Wake::Always && all.is_empty())
    }

    /// One that is on comes first: it is ready sooner.
    fn choose(&self, need: &Need) -> Option<String> {
        let zone = |m: &Member| m.host.status.nova.as_ref().map(|n| n.zone.clone()).unwrap_or_default();
        let fits = |m: &&Member| {
            let free = self.judged.get(m.name()).is_some_and(|j| j.free) && !self.is_leased(m.name()) && !self.touched.contains(m.name());
            free && m.name() != need.host && (need.zone.is_empty() || zone(m) == need.zone)
        };
        let found = self.seen.members.iter().filter(fits).min_by_key(|m| (member::power_of(m) == PowerState::Off, m.name().to_string()));
        found.map(|m| m.name().to_string())
    }

    fn why_none(&self, need: &Need) -> String {
        let why = |m: &&'a Member| {
            let name = m.name();
            if let Some(lease) = self.status.leased.iter().find(|l| l.host == name) {
                return format!("{name} serves Evacuation/{}", lease.evacuation);
            }
            match &self.judged[name] {
                j if j.free => format!("{name} is not in zone {}", need.zone),
                j if j.message.is_empty() => format!("{name}: {:?}", j.state),
                j => format!("{name}: {}", j.message),
            }
        };
        let mut all: Vec<String> = self.seen.members.iter().map(|m| why(&m)).collect();
        all.extend(self.seen.missing.iter().map(|name| format!("there is no Host {name}")));
        if all.is_empty() { "the pool has no members".into() } else { all.join("; ") }
    }

    /// What is needed is not tested any longer.
    fn call_drill_off(&mut self) {
        let drills: BTreeSet<_> = self.seen.members.iter().filter_map(|m| m.drill.clone()).collect();
        self.also.extend(drills.into_iter().map(|(name, version)| Also::Cancel { kind: "FenceDrill", name, version }));
    }
}
