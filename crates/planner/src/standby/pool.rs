//! What a pool does next.

use super::{
    Member, Seen,
    member::{self, Judged},
    operations,
    rest::{self, Rest},
};
use crate::{Also, Decision, Env, EventDraft, Next, contract::wait, proof::EvidenceBody, status};
use schemas::{
    Conditions, Object,
    v1::{
        DrillDepth, DrillOutcome, Host, HostOperationType, HostStandby, IdleState, LeaseState, MemberState, PoolMember, StandbyFailure, StandbyLease,
        StandbyPool, StandbyPoolStatus, reasons,
    },
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Hosts that get or lose their mark in one pass.
const MARKS: usize = 20;
/// Seconds between looks: while something is under way, while an evacuation may need more, while members are not at rest, else.
const UNDER_WAY: i64 = 3;
const NEEDED: i64 = 5;
const RESTLESS: i64 = 10;
const RESYNC: i64 = 30;

/// Decides what a pool does next. `Err`: it could not be read, and why.
pub fn decide(pool: &Object<StandbyPool>, seen: &Result<Seen, String>, env: &Env) -> Decision<StandbyPoolStatus> {
    let (generation, now) = (pool.metadata.generation, env.now);
    let nothing = Seen::default();
    let mut run = Run::new(pool, seen.as_ref().unwrap_or(&nothing), env);
    let next = match seen {
        Err(why) => wait(reasons::RETRYING, format!("the pool and its hosts could not be read: {why}"), UNDER_WAY),
        Ok(_) if pool.metadata.deletion_timestamp.is_some() => run.let_go(),
        Ok(_) => run.next(),
    };
    let Run { mut status, events, also, .. } = run;
    status.observed_generation = generation;
    status.waiting = status::waiting(&next, pool.status.waiting.as_ref(), now);
    status::common(&mut status.conditions, &next, generation, now);
    Decision { events, also, ..Decision::new(status, EvidenceBody::default(), next) }
}

pub(super) struct Run<'a> {
    pub pool: &'a Object<StandbyPool>,
    pub seen: &'a Seen,
    pub env: &'a Env,
    pub status: StandbyPoolStatus,
    pub also: Vec<Also>,
    pub judged: BTreeMap<&'a str, Judged>,
    /// Members for which an operation is made in this pass.
    pub touched: BTreeSet<&'a str>,
    /// Something is under way.
    pub busy: Option<String>,
    /// An evacuation needs a host, and there is none.
    pub unmet: Option<String>,
    events: Vec<EventDraft>,
}

impl<'a> Run<'a> {
    fn new(pool: &'a Object<StandbyPool>, seen: &'a Seen, env: &'a Env) -> Self {
        Run {
            pool,
            seen,
            env,
            status: pool.status.clone(),
            events: Vec::new(),
            also: Vec::new(),
            judged: BTreeMap::new(),
            touched: BTreeSet::new(),
            busy: None,
            unmet: None,
        }
    }

    pub(super) fn tell(&mut self, warning: bool, reason: &'static str, note: String) {
        self.events.push(EventDraft { warning, reason, note });
    }

    /// Notes a failure, and tells it. What failed is not tried again before a person or a drill says so.
    pub(super) fn fail(&mut self, host: &str, reason: &'static str, message: String) {
        let message = format!(
            "{host}: {message}. It is not woken again before it passed a FenceDrill of depth Cycle, or was taken out of the pool and put in again"
        );
        self.tell(true, reason, message.clone());
        self.status.failed.retain(|f| f.host != host);
        self.status.failed.push(StandbyFailure { host: host.into(), reason: reason.into(), message, at: Some(self.env.now) });
    }

    /// Nothing new is begun.
    fn held(&self) -> Option<Next> {
        if let Some(why) = &self.env.halted {
            return Some(wait(reasons::RESTORED, why.clone(), 60));
        }
        self.env.frozen().then(|| wait(reasons::FROZEN, "ClusterPolicy default has operations: Frozen; `thaw` goes on", RESTLESS))
    }

    /// It is being deleted: its members stay as they are, and belong to nobody.
    fn let_go(&mut self) -> Next {
        let marked: Vec<_> = self.seen.members.iter().map(|m| &m.host).chain(&self.seen.departed).filter(|h| self.has_mark(h)).take(MARKS).collect();
        self.also = marked.iter().map(|host| mark(host, None)).collect();
        if marked.is_empty() { Next::Finished } else { wait(reasons::PROGRESSING, "it is being deleted; its members stay as they are", 0) }
    }

    fn has_mark(&self, host: &Object<Host>) -> bool {
        host.status.standby.as_ref().is_some_and(|s| s.pool == self.pool.metadata.name)
    }

    fn next(&mut self) -> Next {
        let held = self.held();
        self.take_in_drills();
        self.judge();
        self.walk_leases(held.is_some());
        if held.is_none() {
            self.lease_more();
            self.put_to_rest();
            self.test();
        }
        self.show();
        self.write_marks();
        if let Some(held) = held {
            return held;
        }
        if let Some(unmet) = &self.unmet {
            return wait(reasons::NO_STANDBY, unmet.clone(), NEEDED);
        }
        if let Some(busy) = &self.busy {
            return wait(reasons::PROGRESSING, busy.clone(), UNDER_WAY);
        }
        let restless = self.status.members.iter().any(|m| matches!(m.state, MemberState::InUse | MemberState::Settling | MemberState::Busy));
        let recheck = match () {
            () if !self.seen.needs.is_empty() => NEEDED,
            () if restless || !self.status.leased.is_empty() => RESTLESS,
            () => RESYNC,
        };
        Next::Settled { recheck }
    }

    pub(super) fn member(&self, host: &str) -> Option<&'a Member> {
        self.seen.members.iter().find(|m| m.name() == host)
    }

    pub(super) fn is_leased(&self, host: &str) -> bool {
        self.status.leased.iter().any(|l| l.host == host)
    }

    /// A drill that failed puts a member among those that failed; powering it off and on with success takes it out.
    fn take_in_drills(&mut self) {
        // What was before the pool is none of its business.
        let new = self.pool.status.observed_generation == 0;
        for drill in &self.seen.drills {
            self.status.tests.taken_in = self.status.tests.taken_in.max(drill.metadata.revision());
            for tested in &drill.status.hosts {
                if new || self.member(&tested.host).is_none() {
                    continue;
                }
                match tested.outcome {
                    DrillOutcome::Passed if drill.spec.depth == DrillDepth::Cycle => {
                        let before = self.status.failed.len();
                        self.status.failed.retain(|f| f.host != tested.host);
                        if self.status.failed.len() < before {
                            let note = format!("{} passed FenceDrill/{} and may be woken again", tested.host, drill.metadata.name);
                            self.tell(false, "StandbyMended", note);
                        }
                    }
                    DrillOutcome::Failed => {
                        let message = format!("FenceDrill/{}: {}", drill.metadata.name, tested.message);
                        self.fail(&tested.host, reasons::DRILL_FAILED, message);
                    }
                    _ => {}
                }
            }
        }
        let named = |host: &String| self.seen.members.iter().any(|m| m.name() == host);
        self.status.failed.retain(|f| named(&f.host));
    }

    fn judge(&mut self) {
        for member in &self.seen.members {
            let mut judged = member::judge(member, self.pool, &self.seen.pools, self.env);
            if let Some(failure) = self.status.failed.iter().find(|f| f.host == member.name()) {
                let (state, message) = (MemberState::Failed, failure.message.clone());
                let reason = if failure.reason == reasons::DRILL_FAILED { reasons::DRILL_FAILED } else { reasons::WAKE_FAILED };
                judged = Judged { state, reason, message, free: false, ..judged };
            }
            self.judged.insert(member.name(), judged);
        }
        let old = std::mem::take(&mut self.status.members);
        let since = |m: &Member| old.iter().find(|o| o.host == m.name()).and_then(|o| o.empty_since);
        let shown = |m: &Member| PoolMember {
            host: m.name().into(),
            // Only a look in every pass keeps the memory.
            empty_since: (m.look.is_some() && rest::vacant(m).is_ok()).then(|| since(m).unwrap_or(self.env.now)),
            ..PoolMember::default()
        };
        self.status.members = self.seen.members.iter().map(shown).collect();
    }

    /// Whether it was empty for as long as the pool asks for.
    pub(super) fn is_long_empty(&self, host: &str) -> bool {
        let after = self.pool.spec.idle_after_seconds.unwrap_or(self.env.policy.standby_idle_after_seconds);
        let since = self.status.members.iter().find(|m| m.host == host).and_then(|m| m.empty_since);
        since.is_some_and(|at| self.env.seconds_since(at) >= after)
    }

    pub(super) fn operate(&mut self, member: &'a Member, what: HostOperationType) -> String {
        let (name, create) = operations::create(member, "standby", what);
        self.also.push(create);
        self.touched.insert(member.name());
        self.busy = Some(format!("{what:?} of {} is begun", member.name()));
        name
    }

    /// Members that nobody needs go back to how the pool keeps them, once they are empty.
    fn put_to_rest(&mut self) {
        for member in &self.seen.members {
            let judged = self.judged[member.name()].clone();
            let failed = judged.state == MemberState::Failed;
            let fit = member::unfit(member, self.env).is_none() && member.open_evacuation.is_none() && member.drill.is_none();
            if self.is_leased(member.name()) || !fit || !(failed || judged.state == MemberState::Settling) || !self.has_mark(&member.host) {
                continue;
            }
            // What has failed is left on, so that somebody can look at it; it only takes no guests.
            let idle = if failed { IdleState::Disabled } else { self.pool.spec.idle_state };
            match rest::next(member, idle, self.env) {
                Rest::Operate(what) if self.is_long_empty(member.name()) => {
                    self.operate(member, what);
                }
                Rest::Wait(reason, what) if reason != reasons::GUESTS_RUNNING => self.busy = self.busy.take().or(Some(what)),
                _ => {}
            }
        }
    }

    /// A drill of all members from time to time, while nobody needs them. Nothing hangs on the exact time.
    fn test(&mut self) {
        let every = self.pool.spec.test_every;
        let tests = &mut self.status.tests;
        if every == 0 {
            return;
        }
        let Some(last) = tests.last_at else {
            tests.last_at = Some(self.env.now);
            return;
        };
        // A time that is yet to come is of a clock that went wrong.
        let since = if last > self.env.now { self.env.now.seconds_since(self.env.led_since) } else { self.env.now.seconds_since(last) };
        if since < every || self.seen.drilling || !self.seen.needs.is_empty() || !self.status.leased.is_empty() || self.seen.members.is_empty() {
            return;
        }
        tests.last_at = Some(self.env.now);
        tests.begun += 1;
        let pool = &self.pool.metadata.name;
        let name = format!("drill-{}-{}", pool.chars().take(200).collect::<String>(), self.seen.next_drill);
        let spec = json!({"poolRef": {"name": pool}, "depth": DrillDepth::Cycle});
        self.also.push(Also::Create { kind: "FenceDrill", name, host: None, spec });
    }

    /// Members, counts and conditions.
    fn show(&mut self) {
        let leased: BTreeMap<&str, &StandbyLease> = self.status.leased.iter().map(|l| (l.host.as_str(), l)).collect();
        for shown in &mut self.status.members {
            let judged = &self.judged[shown.host.as_str()];
            (shown.state, shown.reason, shown.message) = match leased.get(shown.host.as_str()) {
                Some(l) => (MemberState::Leased, String::new(), format!("{:?} for Evacuation/{}", l.state, l.evacuation)),
                None => (judged.state, judged.reason.to_string(), judged.message.clone()),
            };
        }
        let free = |m: &&PoolMember| self.judged[m.host.as_str()].free && m.state != MemberState::Leased;
        self.status.free = self.status.members.iter().filter(free).count() as i64;
        let (generation, now, size) = (self.pool.metadata.generation, self.env.now, self.pool.spec.size);
        let count = format!("{} of {} members are free, {size} should be", self.status.free, self.seen.members.len());
        let (enough, reason) = if self.status.free >= size { (true, reasons::AS_DESIRED) } else { (false, reasons::TOO_FEW_STANDBYS) };
        if !enough && self.pool.status.conditions.is_true("Sufficient") {
            self.tell(true, reason, count.clone());
        }
        self.status.conditions.set("Sufficient", enough.into(), reason, &count, generation, now);
        let (reason, message) = self.unresolved().unwrap_or((reasons::AS_DESIRED, String::new()));
        self.status.conditions.set("MembersResolved", (reason == reasons::AS_DESIRED).into(), reason, &message, generation, now);
    }

    /// What is wrong with who is a member, with all names.
    fn unresolved(&self) -> Option<(&'static str, String)> {
        let mut wrong = Vec::new();
        let mine = &self.pool.metadata.name;
        for member in &self.seen.members {
            let (name, labels) = (member.name(), &member.host.metadata.labels);
            if !member.other_pools.is_empty() {
                let pools: Vec<&str> = member.other_pools.iter().map(String::as_str).chain([mine.as_str()]).collect();
                let message = format!("{name} is a member of StandbyPools {}; take it out of all but one", pools.join(" and "));
                wrong.push((reasons::STANDBY_CONFLICT, message));
            }
            if self.pool.spec.protects_by_name(name, labels) {
                let message = format!("{name} is a member and among the hosts that the pool protects; it does not protect itself");
                wrong.push((reasons::PROTECTS_ITSELF, message));
            }
        }
        let missing = |name: &String| (reasons::NOT_FOUND, format!("there is no Host {name}; `get hosts` lists them"));
        wrong.extend(self.seen.missing.iter().map(missing));
        let (first, _) = wrong.first()?;
        Some((first, wrong.iter().map(|(_, message)| message.as_str()).collect::<Vec<_>>().join("; ")))
    }

    /// The marks on hosts, each written only on the host that was decided on; and hosts that something is begun on stay as read.
    fn write_marks(&mut self) {
        let mut marks = Vec::new();
        for member in &self.seen.members {
            let host = &member.host;
            let taken = host.status.standby.as_ref().is_some_and(|s| !self.has_mark(host) && self.seen.pools.contains(&s.pool));
            if taken {
                continue;
            }
            let lease = self.status.leased.iter().find(|l| l.host == member.name());
            let judged = &self.judged[member.name()];
            // While it boots it is missed by nobody; what it holds counts, whatever is meant to become of it.
            let in_service = match lease.map(|l| l.state) {
                Some(LeaseState::Waking) => judged.holds_guests,
                Some(LeaseState::Ready) => true,
                Some(LeaseState::Returning) | None => judged.in_service,
            };
            let evacuation = lease.map(|l| l.evacuation.clone());
            let wanted = HostStandby { pool: self.pool.metadata.name.clone(), evacuation, in_service };
            if host.status.standby.as_ref() != Some(&wanted) {
                marks.push((host, Some(wanted)));
            } else if self.touched.contains(member.name()) {
                let (name, version) = (member.name().to_string(), host.metadata.revision());
                self.also.insert(0, Also::Unchanged { kind: "Host", name, version });
            }
        }
        // Leases, and hosts that something is begun on, come first: their marks must be written with them.
        let leased = |host: &Object<Host>| host.status.standby.as_ref().and_then(|s| s.evacuation.clone());
        let due = |host: &Object<Host>, wanted: &Option<HostStandby>| {
            self.touched.contains(host.metadata.name.as_str()) || wanted.as_ref().is_some_and(|w| w.evacuation != leased(host))
        };
        let (mut first, later): (Vec<_>, Vec<_>) = marks.into_iter().partition(|(host, wanted)| due(host, wanted));
        first.extend(self.seen.departed.iter().map(|host| (host, None)));
        first.extend(later.into_iter().take(MARKS));
        self.also.splice(0..0, first.into_iter().map(|(host, wanted)| mark(host, wanted)));
    }
}

fn mark(host: &Object<Host>, wanted: Option<HostStandby>) -> Also {
    Also::Status { kind: "Host", name: host.metadata.name.clone(), version: host.metadata.revision(), patch: json!({ "standby": wanted }) }
}
