//! What must hold at every step (P1–P10 of the crash proof), against what is really so in the cloud.

mod begun;
mod tally;

use super::mirror::{Intent, Mirror};
use planner::{Step, contract::PowerCommand, settle};
use schemas::{DynObject, Time, v1::OperationState};
use simulator::{Call, World};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use store::{Committed, Guard, LeaseRow, Op};

/// Two readings make a proof if they are so far apart (S4), in truth: a call is on its way for a moment.
const APART_MS: i64 = 5_000 - 300;

/// A proof covers requests for so long (S5), and a call is on its way for a moment.
const PROOF_MS: i64 = 5_000 + 1_500;
/// What changes in Nova may be known to nobody who acts for so long, in milliseconds.
const SEEN_MS: i64 = 1_000;

/// A law that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which; stable, so that a shorter schedule can be seen to break the same one.
    pub law: &'static str,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.text)
    }
}

/// A call that is about to act.
pub struct Act<'a> {
    pub call: &'a Call,
    /// Token of the process that makes it.
    pub token: i64,
    pub may_act: bool,
    /// Something held it up between the last look at the lease and the sending.
    pub late: bool,
    /// The clock of the process.
    pub now: Time,
}

/// A record of Nova's: kind, status, source and destination.
type Record = (&'static str, &'static str, String, Option<String>);

/// A request for an evacuation that reached Nova.
#[derive(Debug)]
struct Sent {
    server: String,
    destination: String,
    at: Time,
    /// Records of the guest before it.
    records: usize,
    landed: bool,
    /// It landed, or may do so yet.
    may_land: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Laws {
    pub mirror: Mirror,
    broken: Option<Violation>,
    sent: Vec<Sent>,
    /// When a host's power was last seen off, in truth; and when its kernel or its nova-compute was last seen dead.
    off_at: BTreeMap<&'static str, i64>,
    sick_at: BTreeMap<&'static str, i64>,
    /// When a device read off, first and last, since its host was last read on or commanded: in truth.
    read_off: BTreeMap<String, (i64, i64)>,
    /// Evacuation records that Nova had settled, by guest and place; and when a request that had waited in the queue of a dead
    /// destination opened one again.
    settled: BTreeSet<(String, usize)>,
    reopened_at: BTreeMap<(String, usize), i64>,
    twice: usize,
    twins: bool,
    lies: bool,
    /// How often each law was looked at, to see that none is idle.
    pub checks: BTreeMap<&'static str, u64>,
    /// What this schedule reached.
    pub reached: BTreeSet<&'static str>,
    pub memory: begun::Memory,
}

/// The host behind the address of a power device.
fn machine(address: &str) -> &str {
    address.split('.').next().unwrap_or(address)
}

fn in_progress(status: &str) -> bool {
    !matches!(status, "done" | "completed" | "error" | "failed" | "cancelled" | "confirmed" | "reverted")
}

impl Laws {
    /// `twins`: requests may reach the cloud twice or late. `lies`: a BMC may say what is not so.
    pub fn new(twins: bool, lies: bool) -> Laws {
        Laws { twins, lies, ..Laws::default() }
    }

    /// The first law that was broken.
    pub fn broken(&self) -> Option<&Violation> {
        self.broken.as_ref()
    }

    pub fn check(&mut self, law: &'static str, holds: bool, text: impl FnOnce() -> String) {
        *self.checks.entry(law).or_default() += 1;
        if !holds && self.broken.is_none() {
            self.broken = Some(Violation { law, text: text() });
        }
    }

    /// After every step: the first law, and what later checks have to know of the past.
    pub fn look(&mut self, world: &World) {
        let twice = world.double_runs();
        self.check("no guest runs twice", twice.len() == self.twice, || format!("{:?}", twice.last()));
        self.twice = twice.len();
        self.note(world);
        for host in super::plan::HOSTS {
            if !world.power_is_on(host) {
                self.off_at.insert(host, world.now());
            }
            if !world.is_well(host) {
                self.sick_at.insert(host, world.now());
            }
        }
        for guest in world.guest_ids() {
            for (n, record) in world.records_of(&guest).into_iter().enumerate().filter(|(_, r)| r.0 == "evacuation") {
                let place = (guest.clone(), n);
                if record.1 == "completed" {
                    self.reopened_at.remove(&place);
                    self.settled.insert(place);
                } else if in_progress(record.1) && self.settled.contains(&place) {
                    self.reopened_at.entry(place).or_insert(world.now());
                }
            }
        }
    }

    /// Whether a host was well for so many milliseconds.
    pub fn was_well(&self, host: &str, ms: i64, world: &World) -> bool {
        self.sick_at.get(host).is_none_or(|at| world.now() - at > ms)
    }

    // ---- the database ---------------------------------------------------------------------

    pub fn took_lease(&mut self, row: &LeaseRow) {
        let old = self.mirror.token;
        self.check("a token is used once", row.token > old, || format!("token {} after {old}", row.token));
        self.mirror.token = row.token;
        self.led();
    }

    /// A transaction that was written.
    pub fn wrote(&mut self, guard: Guard, ops: &[Op], done: &Committed) {
        if let Guard::Lease(token) = guard {
            let current = self.mirror.token;
            self.check("no write by an old token", token == current, || {
                format!("token {token} wrote at revision {}, when {current} was valid", done.revision)
            });
        }
        let frozen = self.mirror.frozen();
        let before: BTreeMap<String, OperationState> = self.mirror.intents.iter().map(|(n, i)| (n.clone(), i.state)).collect();
        let new: Vec<DynObject> = done.objects.iter().filter(|o| !self.mirror.knows(o)).cloned().collect();
        self.mirror.wrote(ops, &done.objects);
        self.wrote_more(ops, &new, &done.objects);
        for object in done.objects.iter().filter(|o| o.kind == "Operation") {
            let Some(intent) = self.mirror.intents.get(&object.metadata.name).cloned() else { continue };
            match before.get(&object.metadata.name) {
                None => {
                    self.began(&intent, frozen);
                    self.began_more(&intent);
                }
                Some(old) if old.is_open() && !intent.state.is_open() => self.closed(&intent),
                Some(_) => {}
            }
        }
        let acknowledged = |o: &DynObject| {
            o.kind == "ClusterPolicy" && frozen && crate::condition(o, "Paused") == "True" && o.status["observedGeneration"] == o.metadata.generation
        };
        if done.objects.iter().any(acknowledged) {
            let open: Vec<String> =
                self.mirror.open().filter(|(_, i)| i.step.is_disruptive()).map(|(n, i)| format!("{n} {}", i.step.name())).collect();
            self.check("P10 nothing disruptive is under way once a freeze is acknowledged", open.is_empty(), || open.join(", "));
        }
        let draining = self.mirror.claims.values().filter(|c| c.purpose == "drain").count() as i64;
        let most = self.mirror.limit("maxHostsDraining");
        self.check("P3 no more hosts are drained than may be", draining <= most, || format!("{draining} of {most}"));
    }

    fn began(&mut self, intent: &Intent, frozen: bool) {
        let disruptive = intent.step.is_disruptive();
        self.check("P10 nothing disruptive begins while frozen", !(frozen && disruptive), || format!("{intent:?}"));
        let moves = |i: &Intent| matches!(i.step, Step::Evacuate { .. } | Step::LiveMigrate { .. });
        if let Some(server) = intent.step.server().filter(|_| moves(intent)) {
            // Where it has arrived it may be moved on, though where it came from nobody has looked yet.
            let same = |i: &Intent| moves(i) && i.host == intent.host && i.step.server() == Some(server);
            let open: Vec<String> =
                self.mirror.open().filter(|(_, i)| same(i)).map(|(n, i)| format!("{n} {} by {}", i.step.name(), i.owner)).collect();
            self.check("P2 one open move per guest", open.len() == 1, || open.join(", "));
        }
        if let Step::Evacuate { .. } = intent.step {
            let open = |here: bool| {
                self.mirror.open().filter(|(_, i)| matches!(i.step, Step::Evacuate { .. }) && (!here || i.host == intent.host)).count() as i64
            };
            let (all, here) = (open(false), open(true));
            let (most, most_here) = (self.mirror.limit("maxEvacuations"), self.mirror.limit("maxPerHost"));
            self.check("P3 no more guests are rebuilt than may be", all <= most && here <= most_here, || {
                format!("{all} of {most}, {here} of {most_here} on {}", intent.host)
            });
        }
        if let Some(claim) = self.mirror.claims.get(&intent.host) {
            let (ours, claim) = (claim.owner_uid == intent.owner_uid, claim.owner.clone());
            self.check("P8 only who has the claim acts", ours, || format!("{} begins {}, the claim is {claim}'s", intent.owner, intent.step.name()));
        } else {
            self.check("P8 only who has the claim acts", false, || {
                format!("{} begins {} on {} without a claim", intent.owner, intent.step.name(), intent.host)
            });
        }
    }

    /// What was judged never to have happened did not happen.
    fn closed(&mut self, intent: &Intent) {
        let Step::Evacuate { server, .. } = &intent.step else { return };
        let lost = intent.state == OperationState::Failed && intent.evidence == settle::LOST;
        let landed = self.sent.iter().any(|s| s.landed && s.server == *server && s.at >= intent.issued_at);
        self.check("P5 what landed is not called lost", !(lost && landed), || {
            format!("{} of {}: Nova had taken it", intent.step.name(), intent.owner)
        });
    }

    // ---- the cloud ------------------------------------------------------------------------

    /// A power device answered.
    pub fn read_power(&mut self, address: &str, off: bool, world: &World) {
        let now = world.now();
        if off {
            self.read_off.entry(address.into()).or_insert((now, now)).1 = now;
        } else if world.outlet_is_on(address).is_some() {
            self.read_off.remove(address);
        } else {
            self.read_off.retain(|a, _| machine(a) != machine(address));
        }
    }

    /// How far apart the readings are that prove a host off: of one of its BMCs, or of all its outlets (S4).
    fn read_apart(&self, host: &str, world: &World) -> i64 {
        let apart = |address: &str| self.read_off.get(address).map_or(0, |(first, last)| last - first);
        let outlets = world.outlets_of(host);
        let bmcs = self.read_off.keys().filter(|a| machine(a) == host && !outlets.contains(a)).map(|a| apart(a)).max().unwrap_or(0);
        bmcs.max(outlets.iter().map(|a| apart(a)).min().unwrap_or(0))
    }

    /// A call that is about to act.
    pub fn before(&mut self, act: &Act<'_>, world: &World) {
        self.look(world);
        if !act.late {
            let current = self.mirror.token;
            self.check("no act by an old token", act.token == current, || format!("{:?} by token {} when {current} was valid", act.call, act.token));
            self.check("no act without a lease", act.may_act, || format!("{:?}", act.call));
        }
        if let Call::Power { host, .. } = act.call
            && !act.late
        {
            self.read_off.retain(|a, _| machine(a) != machine(host));
        }
        match act.call {
            Call::Evacuate { server, destination, .. } => self.evacuate(act, world, server, destination.as_deref().unwrap_or_default()),
            Call::LiveMigrate { server, .. } => self.no_move_under_way(act, world, server),
            Call::UpdateService { id, change } => {
                let host = world.host_of_service(id).unwrap_or_default();
                if !act.late && (change.enabled == Some(true) || change.forced_down == Some(false)) {
                    let open: Vec<String> = self.evacuations_from(world, &host);
                    self.check("P9 no return before the evacuation records are settled", open.is_empty(), || format!("{host}: {}", open.join(", ")));
                }
                if !act.late && change.enabled == Some(true) {
                    self.enables(&host);
                }
                if !act.late && change.forced_down == Some(true) {
                    self.proven_off(world, &host, "it is forced down");
                }
            }
            Call::Power { host, command } if *command != power::Command::On => self.power_off(act, world, machine(host)),
            _ => {}
        }
    }

    /// What a call came to. `delayed`: it may land later, or once more.
    pub fn after(&mut self, call: &Call, landed: bool, delayed: bool, world: &World) {
        if let Call::Evacuate { server, .. } = call
            && let Some(last) = self.sent.iter_mut().rfind(|s| s.server == *server)
        {
            last.landed = landed;
            last.may_land = landed || delayed;
        }
        self.look(world);
    }

    /// Evacuation records of a host that Nova has not settled; without those that it had, until whoever acts can have seen it.
    fn evacuations_from(&self, world: &World, host: &str) -> Vec<String> {
        let mut open = Vec::new();
        for guest in world.guest_ids() {
            for (n, record) in world.records_of(&guest).into_iter().enumerate() {
                let unsettled = record.0 == "evacuation" && record.2 == host && matches!(record.1, "accepted" | "pre-migrating" | "done");
                let just_now = self.reopened_at.get(&(guest.clone(), n)).is_some_and(|at| world.now() - at <= SEEN_MS);
                if unsettled && !just_now {
                    open.push(format!("{guest} {}", record.1));
                }
            }
        }
        open
    }

    fn was_off(&self, world: &World, host: &str) -> bool {
        self.off_at.get(host).is_some_and(|at| world.now() - at <= PROOF_MS)
    }

    fn proven_off(&mut self, world: &World, host: &str, what: &str) {
        let off = self.was_off(world, host) || self.lies;
        self.check("P1 nothing is started elsewhere before the source is off", off, || format!("power of {host} is on, and {what}"));
    }

    fn evacuate(&mut self, act: &Act<'_>, world: &World, server: &str, destination: &str) {
        let source = world.home_of(server).unwrap_or_default();
        let records = world.records_of(server);
        // Of a guest that was deleted a moment ago Nova starts nothing.
        let deleted = world.guest_ids().iter().all(|guest| guest != server);
        if !act.late && !deleted {
            self.proven_off(world, &source, &format!("{server} is evacuated"));
            let apart = self.read_apart(&source, world);
            let attested = self.is_attested(act, &source);
            self.check("P1 off was read twice, five seconds apart, or attested", attested || apart >= APART_MS, || {
                format!("{source}: {apart} ms apart")
            });
            let young = attested || self.proof_is_young(act, &source);
            let body = self.mirror.evidence.get(&source).cloned().unwrap_or_default();
            self.check("P1 the proof is young when something is sent on it", young, || format!("{source}: {:?} at {:?}", body.off, act.now));
            self.no_move_under_way(act, world, server);
        }
        let runs: Vec<String> = world.running_on(server).into_iter().filter(|h| h != destination).collect();
        self.check("P1 nothing is started elsewhere while it runs", runs.is_empty() || act.late, || format!("{server} runs on {runs:?}"));
        if let Some(last) = self.sent.iter().rfind(|s| s.server == server) {
            let ended = |(r, made): (&Record, i64)| matches!(r.1, "error" | "failed" | "completed" | "done") || self.died(r, made);
            let failed = records.iter().zip(world.records_made_at(server)).skip(last.records).any(ended);
            let same = last.destination == destination || failed || !last.may_land || self.proof_is_young(act, &last.destination);
            let (there, at) = (last.destination.clone(), last.at);
            self.check("P2 a repeat names the same destination", same, || format!("{server} was sent to {there} at {at:?}, now to {destination}"));
        }
        let (server, destination) = (server.into(), destination.into());
        self.sent.push(Sent { server, destination, at: act.now, records: records.len(), landed: false, may_land: true });
    }

    /// A person states that it is dead, in this epoch, and nothing spoke against it a moment ago (I4).
    fn is_attested(&self, act: &Act<'_>, host: &str) -> bool {
        let Some(body) = self.mirror.evidence.get(host) else { return false };
        let Some(attested) = body.attested.as_ref().filter(|a| a.used_by.is_some() && a.epoch == body.epoch) else { return false };
        let said = self.mirror.objects.get(&format!("FenceAttestation/{}", attested.name));
        let upheld = said.is_some_and(|o| o.metadata.uid == attested.uid && o.spec["powerEpoch"] == body.epoch && o.spec["cancel"] == "No");
        let twice = attested.last_at.millis_since(attested.first_at) >= APART_MS;
        upheld && twice && act.now < attested.expires_at && (0..=PROOF_MS).contains(&act.now.millis_since(attested.last_at))
    }

    fn proof_is_young(&self, act: &Act<'_>, host: &str) -> bool {
        let readings = self.mirror.evidence.get(host).map(|body| body.off.as_slice()).unwrap_or_default();
        readings.iter().any(|r| r.is_twice() && (0..=PROOF_MS).contains(&act.now.millis_since(r.last_at)))
    }

    /// What the nova-compute of a destination was at died with it, and does not go on when it is back (S6). An evacuation that is
    /// only accepted may wait for it in a queue.
    fn died(&self, record: &Record, made: i64) -> bool {
        let taken_up = record.0 == "live-migration" || record.1 == "pre-migrating";
        taken_up && record.3.as_deref().and_then(|to| self.off_at.get(to)).is_some_and(|off| *off >= made)
    }

    fn no_move_under_way(&mut self, act: &Act<'_>, world: &World, server: &str) {
        // S6: whatever was on its way to a host that is proven off does not arrive.
        let dead_end = |r: &Record| matches!(act.call, Call::Evacuate { .. }) && r.3.as_deref().is_some_and(|to| self.proof_is_young(act, to));
        let open: Vec<String> = world
            .records_of(server)
            .into_iter()
            .zip(world.records_made_at(server))
            .filter(|(r, made)| in_progress(r.1) && !dead_end(r) && !(matches!(act.call, Call::Evacuate { .. }) && self.died(r, *made)))
            .map(|(r, _)| format!("{} {} to {:?}", r.0, r.1, r.3))
            .collect();
        let fine = open.is_empty() || act.late || self.twins;
        self.check("P2 no second move of a guest that is moving", fine, || format!("{:?} while {}", act.call, open.join(", ")));
    }

    fn power_off(&mut self, act: &Act<'_>, world: &World, host: &str) {
        let command = |i: &Intent| matches!(i.step, Step::Power { command, .. } if command != PowerCommand::On);
        let Some(intent) = self.mirror.intents.values().filter(|i| i.host == host && command(i)).max_by_key(|i| i.issued_at).cloned() else {
            return self.check("every act has an intent", false, || format!("{:?}", act.call));
        };
        let owner = self.mirror.objects.get(&intent.owner).map(|o| o.spec.clone()).unwrap_or_default();
        let state = world.state();
        let Some(truth) = state.hosts.iter().find(|h| h.name == host) else { return };
        let running = truth.running.clone();
        let restart = owner["type"] == "PowerCycle" && owner["cause"] == "Automatic";
        if intent.owner.starts_with("Evacuation/") || restart {
            let sick = self.sick_at.get(host).is_some_and(|at| world.now() - at <= 30_000);
            let auto = owner["mode"] == "Auto" || restart;
            // One that it fenced before and that came back is fenced again (S5), as long as a guest is to be taken off it. One that
            // had lost its power by itself was fenced by being forced down.
            let fences = |i: &Intent| command(i) || matches!(i.step, Step::NovaService { forced_down: Some(true), .. });
            let before = |i: &Intent| i.owner_uid == intent.owner_uid && i.issued_at < intent.issued_at;
            let again = self.mirror.intents.values().any(|i| before(i) && fences(i))
                && world.guest_ids().iter().any(|g| world.home_of(g).as_deref() == Some(host));
            let fine = !auto || sick || again;
            self.check("P4 nobody fences a healthy host unasked", fine, || {
                format!("{} fences {host}, which is well; {running:?} run there", intent.owner)
            });
            if owner["cause"] == "Automatic" && !act.late {
                let twice = self.mirror.intents.values().any(|i| before(i) && command(i));
                self.fences_unasked(host, &intent.owner, &owner, twice);
            }
            self.check("P4 nobody fences where it is forbidden", owner["fence"] != "Forbidden", || intent.owner.clone());
        } else if owner["runningGuests"] != "Kill" && !act.late {
            self.check("P6 a host with running guests is not switched off", running.is_empty(), || {
                format!("{} switches {host} off; {running:?} run there", intent.owner)
            });
        }
    }
}
