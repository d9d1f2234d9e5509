//! What is begun without a person, and standby hosts: counted from the outside, by what Nova shows and what was written.

use super::Laws;
use crate::schedule::{
    mirror::Intent,
    plan::{HOSTS, Plan},
    recovery::{QUIET, RACKS},
};
use planner::{Step, contract::PowerCommand};
use schemas::{DynObject, v1::Says};
use serde_json::Value;
use simulator::World;
use std::collections::{BTreeMap, BTreeSet};
use store::Op;

/// Clocks of two machines differ by less, in seconds.
const SKEW: i64 = 2;
/// A policy that was edited is heard of by whoever decides within so many seconds.
const HEARD: i64 = 15;
/// The rate counts begins of one hour.
const HOUR: i64 = 3_600;

/// What the past means for what may be begun.
#[derive(Debug, Default)]
pub struct Memory {
    /// For how many seconds something may be known to nobody who decides.
    slack: i64,
    /// Clocks are set in this schedule.
    jumps: bool,
    /// Milliseconds of the last look.
    now: i64,
    token_since: i64,
    /// Since when Nova calls a host down, and since when it is fenced.
    down_since: BTreeMap<&'static str, i64>,
    fenced_since: BTreeMap<&'static str, i64>,
    /// Whether its policy wants a host to be evacuated without a person, as long as nothing that says so is written.
    wanted: Option<[bool; HOSTS.len()]>,
    /// Since when it does not.
    unwanted_since: BTreeMap<&'static str, i64>,
    /// When channels spoke, by host and channel.
    heard_at: BTreeMap<(String, String), i64>,
    /// When something was begun that the rate counts, and restarts and returns of a host since a person brought it back.
    begins: Vec<i64>,
    returns: BTreeMap<String, Vec<i64>>,
    /// Hosts that somebody disabled in Nova, and means it.
    pub kept_disabled: BTreeSet<String>,
}

fn number(object: Option<&DynObject>, pointer: &str) -> Option<i64> {
    object?.spec.pointer(pointer).and_then(Value::as_i64)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What an object is that the watch begins.
fn automatic(object: &DynObject) -> Option<(&'static str, &str)> {
    if text(&object.spec, "/cause") != "Automatic" {
        return None;
    }
    let host = text(&object.spec, "/hostRef/name");
    match (object.kind.as_str(), text(&object.spec, "/type")) {
        ("Evacuation", _) => Some(("evacuation", host)),
        ("HostOperation", "PowerCycle") => Some(("restart", host)),
        ("HostOperation", _) => Some(("return", host)),
        _ => None,
    }
}

fn ended(object: &DynObject) -> bool {
    object.status["finishedAt"].is_string()
}

impl Laws {
    /// What follows from the schedule.
    pub(in crate::schedule) fn remember(&mut self, plan: &Plan) {
        (self.memory.slack, self.memory.jumps) = (plan.slack(), plan.has_jumps());
    }

    /// After every step.
    pub(super) fn note(&mut self, world: &World) {
        self.memory.now = world.now();
        let wanted = self.memory.wanted.unwrap_or_else(|| HOSTS.map(|host| self.is_wanted(host)));
        self.memory.wanted = Some(wanted);
        for (host, wanted) in HOSTS.into_iter().zip(wanted) {
            let down = world.is_up(host) == Some(false);
            let unwanted = !wanted;
            let fenced = self.mirror.evidence.get(host).is_some_and(|e| e.latch.is_some());
            for (is, since) in
                [(down, &mut self.memory.down_since), (fenced, &mut self.memory.fenced_since), (unwanted, &mut self.memory.unwanted_since)]
            {
                if is {
                    since.entry(host).or_insert(self.memory.now);
                } else {
                    since.remove(host);
                }
            }
        }
    }

    pub(super) fn led(&mut self) {
        self.memory.token_since = self.memory.now;
    }

    fn policy(&self) -> Option<&DynObject> {
        self.mirror.objects.get("RemediationPolicy/default")
    }

    fn host(&self, host: &str) -> Option<&DynObject> {
        self.mirror.objects.get(&format!("Host/{host}"))
    }

    /// Who is left alone by the list of its policy.
    fn is_excluded(&self, host: &str) -> bool {
        let list = self.policy().and_then(|p| p.spec.pointer("/evacuation/excludedHosts")).and_then(Value::as_array);
        list.is_some_and(|all| all.iter().any(|h| h == host))
    }

    /// Whether its policy, as it is now, lets a host be evacuated without a person.
    fn is_wanted(&self, host: &str) -> bool {
        let Some(policy) = self.policy() else { return false };
        let denied = self.host(host).is_some_and(|o| text(&o.spec, "/evacuation") == "Denied");
        let some = number(Some(policy), "/limits/maxDownHosts").unwrap_or(0) > 0;
        let watched = text(&policy.spec, "/detection/mode") != "Off";
        watched && some && text(&policy.spec, "/evacuation/mode") != "Forbidden" && !self.is_excluded(host) && !denied
    }

    fn since(&self, at: Option<&i64>) -> i64 {
        at.map_or(-1, |at| (self.memory.now - at) / 1_000)
    }

    /// Hosts that are down as everybody had the time to see, or that are being recovered. Members of a pool are left out.
    fn impact(&self) -> BTreeSet<&'static str> {
        let open = |host: &str| {
            let begun = |o: &DynObject| automatic(o).is_some_and(|(what, of)| what != "return" && of == host);
            // What a person evacuates counts as soon as it is written down, but for a drain.
            let by_hand = |o: &DynObject| o.kind == "Evacuation" && text(&o.spec, "/hostRef/name") == host && o.status["path"] != "Drain";
            self.mirror.objects.values().any(|o| (begun(o) || by_hand(o)) && !ended(o))
        };
        let counts = |host: &&'static str| {
            let status = self.host(host).map(|o| &o.status);
            if status.is_some_and(|s| s["standby"].is_object()) {
                return false;
            }
            let off = status.is_some_and(|s| text(s, "/availability/state") == "Off");
            let long = |at: Option<&i64>| self.since(at) >= self.memory.slack;
            (long(self.memory.down_since.get(host)) && !off) || long(self.memory.fenced_since.get(host)) || open(host)
        };
        HOSTS.into_iter().filter(counts).collect()
    }

    /// A transaction that was written, after the mirror has taken it in. `new`: objects that were not there before.
    pub(super) fn wrote_more(&mut self, ops: &[Op], new: &[DynObject], written: &[DynObject]) {
        let says = |kind: &str| matches!(kind, "RemediationPolicy" | "Host");
        if written.iter().any(|o| says(&o.kind)) || ops.iter().any(|op| matches!(op, Op::Delete { kind, .. } if says(kind))) {
            self.memory.wanted = None;
        }
        for op in ops {
            if let Op::PutObservation(o) = op {
                self.memory.heard_at.insert((o.host.clone(), o.channel.clone()), self.memory.now);
            }
        }
        for object in new {
            match automatic(object) {
                Some(("return", host)) => self.return_begun(host, object),
                Some((what, host)) => self.recovery_begun(what, host, object),
                None => self.by_hand(object),
            }
        }
        if written.iter().any(|o| o.kind == "StandbyPool") {
            self.leases();
        }
        written.iter().for_each(|o| self.tally(o));
    }

    /// A person brings a host back: what was counted of it is forgotten, and it is enabled if that is asked for.
    fn by_hand(&mut self, object: &DynObject) {
        let person = object.kind == "HostOperation" && object.metadata.owner_references.is_empty();
        let (what, host) = (text(&object.spec, "/type"), text(&object.spec, "/hostRef/name"));
        if person && matches!(what, "PowerOn" | "Enable") {
            self.memory.returns.remove(host);
            if what == "Enable" {
                self.memory.kept_disabled.remove(host);
            }
        }
    }

    fn recovery_begun(&mut self, what: &'static str, host: &str, object: &DynObject) {
        let Some(policy) = self.policy().cloned() else { return };
        let (spec, id) = (&policy.spec, object.id());
        let max = number(Some(&policy), "/limits/maxDownHosts").unwrap_or(0);
        let watched = text(spec, "/detection/mode") != "Off";
        self.check("P11 nothing is begun where nobody watches", watched && max > 0, || format!("{id}: {spec:#}"));
        let quiet = (self.memory.now - self.memory.token_since) / 1_000;
        self.check("P11 a new leader looks before it begins", quiet >= QUIET - SKEW, || format!("{id} after {quiet} s"));
        let frozen = self.mirror.frozen();
        self.check("P10 nothing is begun while frozen", !frozen, || id.clone());
        let allowed = if what == "evacuation" { self.is_wanted(host) } else { !self.is_excluded(host) };
        self.check("P11 who is excluded is left alone", allowed, || format!("{id}: {:#}", spec["evacuation"]));
        self.within_limits(&policy, host, &id);
        self.within_rate(&policy, what, host, object);
        self.nobody_objects(spec, host, &id);
        if what == "restart" {
            self.returned(host, &policy, &id);
        }
    }

    /// I6: counted are all that are down, in flight, or fenced.
    fn within_limits(&mut self, policy: &DynObject, host: &str, id: &str) {
        let impact = self.impact();
        let max = number(Some(policy), "/limits/maxDownHosts").unwrap_or(0);
        let covered = policy.status["covered"].as_i64().unwrap_or(0);
        let share = number(Some(policy), "/limits/maxDownPermille").map_or(max, |permille| covered * permille / 1_000);
        let most = max.min(share);
        self.check("P11 no more hosts are acted upon than the limits allow", impact.len() as i64 <= most, || {
            format!("{id}, while {impact:?} are down, being recovered or fenced; the limit is {most}")
        });
        let per_rack = policy.spec.pointer("/limits/perFailureDomain/0/maxDownHosts").and_then(Value::as_i64);
        if let (Some(most), Some((rack, hosts))) = (per_rack, RACKS.iter().find(|(_, hosts)| hosts.contains(&host))) {
            let down = hosts.iter().filter(|h| impact.contains(*h)).count() as i64;
            self.check("P11 no more hosts of a domain are acted upon than its limit allows", down <= most, || {
                format!("{id}, while {down} of {rack} are down; the limit is {most}")
            });
        }
    }

    /// What follows a restart is part of it.
    fn within_rate(&mut self, policy: &DynObject, what: &str, host: &str, object: &DynObject) {
        let downs = object.metadata.name.rsplit('-').next().unwrap_or_default();
        let restarted = format!("HostOperation/auto-restart-{host}-{downs}");
        if what == "evacuation" && self.mirror.objects.contains_key(&restarted) {
            return;
        }
        self.memory.begins.push(self.memory.now);
        let Some(most) = number(Some(policy), "/limits/maxBeginsPerHour") else { return };
        let recent = self.memory.begins.iter().filter(|at| (self.memory.now - **at) / 1_000 < HOUR - SKEW).count() as i64;
        self.check("P11 no more is begun within an hour than allowed", recent <= most || self.memory.jumps, || {
            format!("{}: {recent} of {most}", object.id())
        });
    }

    /// Other channels: a fresh sign of life keeps anything from being begun, and so does a silence that is asked for and missing.
    fn nobody_objects(&mut self, spec: &Value, host: &str, id: &str) {
        if self.memory.jumps {
            return;
        }
        let longest = spec.pointer("/evidence/maxAgeSeconds").and_then(Value::as_i64).unwrap_or(60);
        let told = self.told(host, longest);
        let alive = told.iter().any(|(says, left, known)| *says == Says::Alive && *left > SKEW && *known >= self.memory.slack);
        self.check("P12 nothing is begun for whom another channel calls alive", !alive, || format!("{id}: {told:?}"));
        if text(spec, "/evidence/demand") == "SecondChannelSilent" {
            let silent = told.iter().any(|(says, left, _)| *says == Says::Silent && *left >= -self.memory.slack - SKEW);
            self.check("P12 the silence that is asked for is fresh", silent, || format!("{id}: {told:?}"));
        }
    }

    /// What channels say of a host: for how many seconds it counts yet, and how long it is known.
    fn told(&self, host: &str, longest: i64) -> Vec<(Says, i64, i64)> {
        let now = schemas::Time(self.memory.now * 1_000);
        let of = self.mirror.observations.iter().filter(|((h, _), _)| h == host);
        of.map(|(place, o)| {
            let age = now.seconds_since(o.observed_at.min(o.received_at));
            (o.says, longest.min(o.ttl_seconds) - age, self.since(self.memory.heard_at.get(place)))
        })
        .collect()
    }

    /// A host is brought back: S10, and not too often.
    fn return_begun(&mut self, host: &str, object: &DynObject) {
        let (Some(policy), id) = (self.policy().cloned(), object.id()) else { return };
        let automatic = text(&policy.spec, "/returnToService/mode") == "Automatic";
        self.check("P13 who is to come back by hand is not brought back", automatic, || id.clone());
        self.check("P10 nothing is begun while frozen", !self.mirror.frozen(), || id.clone());
        let from = text(&object.spec, "/returnsFrom");
        let well = self.mirror.objects.get(from).is_some_and(|o| crate::condition(o, "Succeeded") == "True");
        let latch = self.mirror.evidence.get(host).and_then(|e| e.latch.clone());
        let ours = latch.as_ref().is_some_and(|l| l.by == from && l.disabled_by_us);
        self.check("P13 only who was evacuated well, and fenced by that alone, is brought back", well && ours, || {
            format!("{id} from {from}: ended well {well}, latch {latch:?}")
        });
        let declared = self.host(host).is_some_and(|o| text(&o.spec, "/power") == "Off" || text(&o.spec, "/schedulable") == "Disabled");
        self.check("P13 who is declared off or disabled is not brought back", !declared, || id.clone());
        self.returned(host, &policy, &id);
    }

    fn returned(&mut self, host: &str, policy: &DynObject, id: &str) {
        let now = self.memory.now;
        let window = number(Some(policy), "/returnToService/windowSeconds").unwrap_or(HOUR);
        let most = number(Some(policy), "/returnToService/maxReturns").unwrap_or(3);
        let of = self.memory.returns.entry(host.into()).or_default();
        of.push(now);
        let recent = of.iter().filter(|at| (now - **at) / 1_000 < window - SKEW).count() as i64;
        let fine = recent <= most || self.memory.jumps;
        self.check("P13 a host that dies again and again is left to a person", fine, || format!("{id}: {recent} times, {most} allowed"));
    }

    /// I18: one recovery per standby, in its pool's status and on the host at once.
    fn leases(&mut self) {
        let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut unmarked = Vec::new();
        for pool in self.mirror.objects.values().filter(|o| o.kind == "StandbyPool") {
            for lease in pool.status["leased"].as_array().into_iter().flatten() {
                let (host, evacuation) = (text(lease, "/host"), text(lease, "/evacuation"));
                of.entry(host.into()).or_default().push(evacuation.into());
                let mark = self.host(host).map(|o| &o.status["standby"]);
                if mark.is_none_or(|m| m["pool"] != pool.metadata.name.as_str() || m["evacuation"] != evacuation) {
                    unmarked.push(format!("{host} for {evacuation}: {mark:?}"));
                }
            }
        }
        let twice: Vec<_> = of.iter().filter(|(_, all)| all.len() > 1).collect();
        let text = format!("{twice:?}");
        self.check("P14 a standby serves one recovery", twice.is_empty(), || text);
        self.check("P14 a lease is on its host as well", unmarked.is_empty(), || unmarked.join("; "));
    }

    /// An intent that was written.
    pub(super) fn began_more(&mut self, intent: &Intent) {
        let Some(owner) = self.mirror.objects.get(&intent.owner).cloned() else { return };
        let of = text(&owner.spec, "/hostRef/name").to_string();
        let about = of == intent.host || intent.owner == format!("Host/{}", intent.host);
        self.check("P8 who acts on a host was made for it", about, || format!("{} acts on {}", intent.owner, intent.host));
        let unasked = automatic(&owner).is_some_and(|(what, _)| what == "evacuation");
        let forces = matches!(intent.step, Step::Evacuate { .. } | Step::Power { .. } | Step::NovaService { .. });
        if unasked && forces && !self.memory.jumps && !self.is_wanted(&of) {
            let since = self.since(self.memory.unwanted_since.get(of.as_str()));
            let heard = self.memory.slack + HEARD;
            self.check("P11 nothing new is sent for what is not allowed any longer", since <= heard, || {
                format!("{} sends {:?}, which is unwanted since {since} s", intent.owner, intent.step)
            });
        }
        let lease = |host: &str| self.host(host).and_then(|o| o.status["standby"]["evacuation"].as_str()).map(String::from);
        if let Step::Evacuate { destination, .. } = &intent.step
            && self.host(destination).is_some_and(|o| o.status["standby"].is_object())
        {
            let lent = lease(destination);
            let fine = lent.as_deref().is_none_or(|by| intent.owner == format!("Evacuation/{by}"));
            self.check("P14 only whom a standby was lent to sends guests there", fine || self.memory.slack > 12, || {
                format!("{} to {destination}, which serves {lent:?}", intent.owner)
            });
        }
        // What a pool or a drill does to a member, and not what a person or an evacuation of it does.
        if let Step::Power { command: PowerCommand::ForceOff | PowerCommand::SoftOff, .. } = intent.step
            && owner.metadata.owner_references.iter().any(|r| matches!(r.kind.as_str(), "StandbyPool" | "FenceDrill"))
        {
            let serves = self.mirror.objects.values().filter(|o| o.kind == "StandbyPool").any(|pool| {
                let leases = pool.status["leased"].as_array().into_iter().flatten();
                leases.into_iter().any(|l| l["host"] == intent.host.as_str() && l["state"] != "Returning")
            });
            self.check("P14 who serves a recovery is not switched off", !serves, || format!("{} switches {} off", intent.owner, intent.host));
        }
    }

    /// Who was disabled by somebody else stays so.
    pub(super) fn enables(&mut self, host: &str) {
        let kept = self.memory.kept_disabled.contains(host);
        self.check("P13 what somebody else disabled stays disabled", !kept, || format!("{host} is enabled"));
    }

    /// A host that nobody asked to be switched off.
    pub(super) fn fences_unasked(&mut self, host: &str, owner: &str, spec: &Value, again: bool) {
        if self.memory.jumps || again {
            return;
        }
        let told = self.told(host, spec.pointer("/evidence/maxAgeSeconds").and_then(Value::as_i64).unwrap_or(60));
        let alive = told.iter().any(|(says, left, known)| *says == Says::Alive && *left > SKEW && *known >= self.memory.slack);
        self.check("P12 nobody is fenced whom another channel calls alive", !alive, || format!("{owner} fences {host}: {told:?}"));
        // What the policy in force asks for no longer is not waited for either.
        let demanded = |spec: &Value| text(spec, "/evidence/demand") == "SecondChannelSilent";
        if demanded(spec) && self.policy().is_some_and(|policy| demanded(&policy.spec)) {
            let silent = told.iter().any(|(says, left, _)| *says == Says::Silent && *left >= -self.memory.slack - SKEW);
            self.check("P12 nobody is fenced while the silence that is asked for is missing", silent, || format!("{owner} fences {host}: {told:?}"));
        }
    }
}
