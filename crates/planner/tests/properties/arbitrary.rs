//! Arbitrary facts, environments and objects. Wholly random ones would nearly always wait for the same first thing,
//! so each begins as one of the situations in which something is done, and then a few things in it are changed.

use crate::{common::*, values::*};
use planner::{
    Env, Fact, Intent, Step,
    attestation::{Attestation, Attested},
    contract::PowerCommand,
    facts::{Beat, GroupFacts, Guest, HostFacts, OtherMove, ProviderFacts, ServiceFacts},
    proof::{EvidenceBody, Latch},
    remediation::Holding,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use schemas::{
    Object,
    v1::{
        self, AttestationRule, Demand, EvacuationMode, EvidenceLevels, EvidenceRule, FenceAct, FenceProgress, FenceStage, FenceTry, Fencing,
        GuestDisks, GuestMove, HostOperationType, Level, Observation, OperationState, PowerState, PowerWish,
    },
};
use std::sync::Arc;

/// So many cases, or as many as `PROPTEST_CASES` says.
pub fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

/// One of the three kinds that act on hosts.
#[derive(Clone, Debug)]
pub enum Subject {
    Host(Object<v1::Host>),
    Operation(Object<v1::HostOperation>),
    Evacuation(Object<v1::EvacuationKind>),
}

/// All that a decision is made of.
#[derive(Clone, Debug)]
pub struct Case {
    pub facts: HostFacts,
    pub env: Env,
    pub subject: Subject,
}

/// One thing that is different from the situation a case begins with.
#[derive(Clone, Debug)]
enum Twist {
    Service(Fact<ServiceFacts>),
    Beats(Vec<Beat>),
    OthersUp(Fact<Vec<String>>),
    OthersOff(Vec<String>),
    Guests(Fact<Vec<Guest>>),
    Elsewhere(Vec<(String, Fact<Guest>)>),
    Moves(Fact<Vec<planner::facts::Move>>),
    Provider(Fact<ProviderFacts>),
    Links(Vec<planner::facts::LinkFacts>),
    Destinations(Fact<Vec<planner::facts::Destination>>),
    Groups(Fact<Vec<GroupFacts>>),
    Others(Fact<Vec<OtherMove>>),
    Disks(Fact<GuestDisks>),
    Microversion(Fact<(u32, u32)>),
    Intents(Vec<Intent>),
    Claim(Option<(&'static str, i64)>),
    Halted,
    Frozen,
    Latched(i64, bool),
    /// Epoch, looks from and to, seconds until its end, and whether the BMC does not answer.
    Attested(i64, i64, i64, i64, bool),
    Heard(Fact<Vec<Observation>>),
    Rule(EvidenceRule),
    Holding(Fact<Arc<Holding>>),
    Readings(i64, i64),
    LastCommand(i64),
    Life(i64),
    Records(Vec<GuestMove>),
    EmptySince(i64),
    SoftOff(i64),
    Fences(i64),
    /// An order, and what was tried in it.
    Fencing(Vec<FenceStage>, Vec<FenceTry>),
    /// Outlets beside what there is, one of them perhaps off.
    Outlets(bool),
    OpenOnHost,
    Notes(Vec<String>),
    Cancelled,
    Foreign,
}

fn a_twist() -> impl Strategy<Value = Twist> {
    let consumer = ("[a-z]{4}", seen(option::of(select(vec!["a", "b"]).prop_map(String::from))));
    let provider = (prop::bool::weighted(0.8), vec(consumer, 0..3))
        .prop_map(|(disabled_trait, foreign_consumers)| ProviderFacts { disabled_trait, foreign_consumers });
    let notes = select(vec!["disabled", "off", "on", "others=b,c", "wrong=b"]).prop_map(String::from);
    prop_oneof![
        3 => seen(service_row()).prop_map(Twist::Service),
        2 => vec(a_beat(), 0..5).prop_map(|mut all| { all.sort_by_key(|b| b.at); Twist::Beats(all) }),
        1 => seen(vec(select(vec!["b", "c"]).prop_map(String::from), 0..3)).prop_map(Twist::OthersUp),
        1 => vec(select(vec!["b", "c"]).prop_map(String::from), 1..3).prop_map(Twist::OthersOff),
        3 => seen(a_list()).prop_map(Twist::Guests),
        1 => vec((select(SERVERS.to_vec()).prop_map(String::from), seen(a_guest())), 0..3).prop_map(Twist::Elsewhere),
        2 => seen(vec(a_move(), 0..4)).prop_map(Twist::Moves),
        1 => seen(provider).prop_map(Twist::Provider),
        3 => links().prop_map(Twist::Links),
        1 => seen(vec(select(vec!["a", "b", "c"]).prop_map(room), 0..3)).prop_map(Twist::Destinations),
        1 => seen(vec(a_group(), 0..3)).prop_map(Twist::Groups),
        1 => seen(vec(an_other_move(), 0..3)).prop_map(Twist::Others),
        1 => seen(select(vec![GuestDisks::Shared, GuestDisks::Local])).prop_map(Twist::Disks),
        1 => seen(select(vec![(2u32, 93u32), (2, 95)])).prop_map(Twist::Microversion),
        3 => intents().prop_map(Twist::Intents),
        1 => option::of((select(vec![UID, "uid-other"]), select(vec![10i64, 20, 30, 40]))).prop_map(Twist::Claim),
        1 => Just(Twist::Halted),
        1 => Just(Twist::Frozen),
        1 => (0..3i64, any::<bool>()).prop_map(|(epoch, ours)| Twist::Latched(epoch, ours)),
        2 => (1..3i64, select(vec![-10i64, -5, -4]), select(vec![0i64, -5, -6, 2]), select(vec![3_600i64, 1, 0]), prop::bool::weighted(0.7))
            .prop_map(|(epoch, first, last, left, dark)| Twist::Attested(epoch, first, last, left, dark)),
        1 => seen(vec(an_observation(), 0..3)).prop_map(Twist::Heard),
        1 => a_rule().prop_map(Twist::Rule),
        1 => a_holding().prop_map(Twist::Holding),
        2 => (-20..2i64, -10..2i64).prop_map(|(first, last)| Twist::Readings(first.min(last), last)),
        1 => (-20..2i64).prop_map(Twist::LastCommand),
        1 => (-30..2i64).prop_map(Twist::Life),
        2 => vec(a_record(), 0..4).prop_map(Twist::Records),
        1 => select(vec![-3600i64, -30, -29, 5]).prop_map(Twist::EmptySince),
        1 => select(vec![-3600i64, -301, -100, 5]).prop_map(Twist::SoftOff),
        1 => (0..3i64).prop_map(Twist::Fences),
        3 => (an_order(), vec(a_try(), 0..3)).prop_map(|(order, tried)| Twist::Fencing(order, tried)),
        2 => any::<bool>().prop_map(Twist::Outlets),
        1 => Just(Twist::OpenOnHost),
        1 => vec(notes, 0..4).prop_map(Twist::Notes),
        1 => Just(Twist::Cancelled),
        1 => Just(Twist::Foreign),
    ]
}

fn an_order() -> impl Strategy<Value = Vec<FenceStage>> {
    use FenceStage::*;
    select(vec![vec![Hard], vec![Soft, Hard], vec![Hard, SecondDevice], vec![Soft, Hard, SecondDevice]])
}

fn a_try() -> impl Strategy<Value = FenceTry> {
    let act = select(vec![FenceAct::SoftOff, FenceAct::ForceOff, FenceAct::ForceOff, FenceAct::Unreadable]);
    (select(vec!["l1", "l2", "p1", "p2"]), act, select(vec![-500i64, -61, -60, -59, -10])).prop_map(|(link, act, since)| FenceTry {
        link: link.into(),
        act,
        since: at(since),
    })
}

fn a_rule() -> impl Strategy<Value = EvidenceRule> {
    use Level::*;
    let fence = option::of(select(vec![ServiceSilent, SecondChannelSilent, StorageSilent, PowerOff]));
    let rebuild = || option::of(select(vec![PowerOff, Attested]));
    let demand = select(vec![Demand::ServiceSilent, Demand::SecondChannelSilent]);
    (demand, any::<bool>(), fence, rebuild(), rebuild()).prop_map(|(demand, refused, fence, evacuate, evacuate_local_disks)| {
        let attestation = if refused { AttestationRule::Refused } else { AttestationRule::Accepted };
        let levels = EvidenceLevels { restart: None, fence, evacuate, evacuate_local_disks };
        EvidenceRule { demand, attestation, levels, storage_channels: vec!["probe".into()], ..EvidenceRule::default() }
    })
}

/// What the policy says now.
fn a_holding() -> impl Strategy<Value = Fact<Arc<Holding>>> {
    let edits: Vec<fn(&mut Holding)> = vec![
        |_| {},
        |h| h.spec.limits.max_down_hosts = 0,
        |h| h.spec.evacuation.mode = v1::AutomaticEvacuation::Forbidden,
        |h| h.spec.evacuation.excluded_hosts = vec!["a".into()],
        |h| h.spec.evacuation.retries = Some(0),
        |h| h.spec.evacuation.local_disks = v1::LocalDisks::Rebuild,
        |h| h.of_host.evacuation = v1::EvacuationRule::Denied,
        |h| h.of_host.remediation = v1::RemediationRule::Excluded,
    ];
    prop_oneof![4 => select(edits).prop_map(holding), 1 => Just(Fact::Unknown("the store".into()))]
}

fn apply(case: &mut Case, twist: Twist) {
    let Case { facts, env, subject } = case;
    match twist {
        Twist::Service(x) => facts.service = x,
        Twist::Beats(x) => facts.beats = x,
        Twist::OthersUp(x) => facts.others_up = x,
        Twist::OthersOff(x) => facts.others_off = x,
        Twist::Guests(x) => facts.guests = x,
        Twist::Elsewhere(x) => {
            let here: Vec<String> = facts.guests.seen().into_iter().flatten().map(|g| g.id.clone()).collect();
            facts.elsewhere = x
                .into_iter()
                .filter(|(id, _)| !here.contains(id))
                .map(|(id, fact)| match fact {
                    Fact::Seen(g, at) => (id.clone(), Fact::Seen(Guest { id, ..g }, at)),
                    other => (id, other),
                })
                .collect();
        }
        Twist::Moves(x) => facts.moves = x,
        Twist::Provider(x) => facts.provider = x,
        Twist::Links(x) => facts.links = x,
        Twist::Destinations(x) => facts.destinations = x,
        Twist::Groups(x) => facts.groups = x,
        Twist::Others(x) => facts.others = x,
        Twist::Disks(x) => facts.disks = x,
        Twist::Microversion(x) => facts.microversion = x,
        Twist::Intents(x) => env.intents.extend(x.into_iter().filter(|i| !env.intents.iter().any(|k| k.name == i.name)).collect::<Vec<_>>()),
        Twist::Claim(x) => env.claim = x.map(|(uid, rank)| (format!("Some/{uid}"), uid.into(), rank)),
        Twist::Halted => env.halted = Some("the database went back".into()),
        Twist::Frozen => env.policy.operations = v1::Operations::Frozen,
        Twist::Latched(epoch, ours) => {
            let uid = if ours { UID } else { "uid-other" };
            env.evidence.latch =
                Some(Latch { epoch, by: format!("Evacuation/{uid}"), by_uid: uid.into(), at: at(-100), disabled_by_us: ours, attested: None });
        }
        Twist::Attested(epoch, first, last, left, dark) => {
            let expires_at = at(left);
            facts.attestation = Fact::Seen(Attestation { expires_at, ..attestation(epoch) }, at(0));
            env.evidence.attested = Some(Attested { expires_at, ..attested(epoch, first, last) });
            if dark {
                facts.links = facts.links.drain(..).map(blind).collect();
            }
        }
        Twist::Heard(x) => facts.channels = x,
        Twist::Rule(x) => {
            if let Subject::Evacuation(ev) = subject {
                ev.spec.evidence = Some(x.clone());
            }
            if let Fact::Seen(holding, _) = &mut facts.holding {
                Arc::make_mut(holding).spec.evidence = x;
            }
        }
        Twist::Holding(x) => facts.holding = x,
        Twist::Readings(first, last) => env.evidence.off = facts.links.iter().map(|l| off(&l.name, first, last)).collect(),
        Twist::LastCommand(t) => env.evidence.last_command_at = Some(at(t)),
        Twist::Life(t) => env.evidence.life_at = Some(at(t)),
        Twist::Foreign => {
            if let Fact::Seen(service, _) = &mut facts.service {
                (service.enabled, service.disabled_reason) = (false, Some(reason(THEM)));
            }
        }
        Twist::OpenOnHost => env.open_on_host.push("Evacuation/other".into()),
        Twist::Records(x) => {
            if let Subject::Evacuation(ev) = subject {
                ev.status.guests = x;
                ev.status.guests.sort_by(|a, b| a.id.cmp(&b.id));
                ev.status.guests.dedup_by(|a, b| a.id == b.id);
            }
        }
        Twist::EmptySince(t) => match subject {
            Subject::Host(h) => h.status.empty_since = Some(at(t)),
            Subject::Operation(o) => o.status.empty_since = Some(at(t)),
            Subject::Evacuation(_) => {}
        },
        Twist::SoftOff(t) => match subject {
            Subject::Host(h) => h.status.soft_off_at = Some(at(t)),
            Subject::Operation(o) => o.status.soft_off_at = Some(at(t)),
            Subject::Evacuation(_) => {}
        },
        Twist::Fences(n) => {
            if let Subject::Evacuation(ev) = subject {
                (ev.status.fences, ev.status.fence_epoch) = (n, (n > 0).then_some(1));
            }
        }
        Twist::Fencing(order, tried) => {
            // What was tried was sent.
            let command = |t: &FenceTry| match t.act {
                FenceAct::SoftOff => Some(PowerCommand::SoftOff),
                FenceAct::ForceOff => Some(PowerCommand::ForceOff),
                FenceAct::Unreadable => None,
            };
            for t in &tried {
                let Some(command) = command(t) else { continue };
                let name = format!("op-tried-{}", env.intents.len());
                let sent = intent(Step::Power { link: t.link.clone(), command }, OperationState::Observed, at(0).seconds_since(t.since));
                env.intents.push(Intent { name, ..sent });
            }
            let rule = Fencing { order, ..Fencing::default() };
            let progress = FenceProgress { epoch: 1, tried, failed_at: None };
            match subject {
                Subject::Evacuation(ev) => (ev.spec.fencing, ev.status.fencing) = (Some(rule), Some(progress)),
                Subject::Operation(op) if op.spec.r#type == HostOperationType::PowerCycle => {
                    (op.spec.fencing, op.status.fencing) = (Some(rule), Some(progress));
                }
                _ => {}
            }
        }
        Twist::Outlets(one_off) => {
            facts.links.retain(|l| !l.name.starts_with('p'));
            facts.links.extend([supply("p1", if one_off { PowerState::Off } else { PowerState::On }), supply("p2", PowerState::On)]);
        }
        Twist::Notes(x) => {
            if let Subject::Operation(o) = subject {
                o.status.steps = x;
            }
        }
        Twist::Cancelled => match subject {
            Subject::Operation(o) => o.spec.cancel = v1::Cancel::Requested,
            Subject::Evacuation(e) => e.spec.cancel = v1::Cancel::Requested,
            Subject::Host(_) => {}
        },
    }
}

/// Situations in which something is done, or only just not.
fn situation() -> impl Strategy<Value = (HostFacts, EvacuationProof)> {
    use EvacuationProof::*;
    let off = || vec![link("l1", PowerState::Off)];
    let full = |f: HostFacts| HostFacts { guests: Fact::Seen(vec![guest("g0"), stopped("g1"), guest("g2")], at(0)), ..f };
    let ready = HostFacts { service: Fact::Seen(fenced(), at(0)), links: off(), ..full(dead()) };
    let consumer = |lives| {
        let provider = ProviderFacts { disabled_trait: true, foreign_consumers: vec![("c1".to_string(), lives)] };
        HostFacts { provider: Fact::Seen(provider, at(0)), ..empty() }
    };
    // Its BMC died with it, and a person says so.
    let dark = HostFacts { links: vec![blind(link("l1", PowerState::Off))], attestation: Fact::Seen(attestation(1), at(0)), ..ready.clone() };
    let broken = Guest { vm_state: "error".into(), power_state: 4, ..guest("g0") };
    let alive = prop_oneof![
        Just(full(facts())),
        Just(full(HostFacts { links: off(), ..facts() })),
        Just(full(HostFacts { service: Fact::Seen(disabled(), at(0)), ..facts() })),
    ];
    let bare = prop_oneof![
        2 => Just(empty()),
        1 => Just(HostFacts { links: vec![unverified(link("l1", PowerState::On))], ..empty() }),
        1 => Just(HostFacts { links: off(), ..empty() }),
        1 => Just(HostFacts { moves: Fact::Seen(vec![record(1, "migration", "finished", "g")], at(0)), ..empty() }),
        1 => Just(HostFacts { guests: Fact::Seen(vec![Guest { task_state: Some("powering-on".into()), ..stopped("g0") }], at(0)), ..empty() }),
        1 => select(vec![Fact::Seen(None, at(0)), Fact::Absent(at(0)), Fact::Seen(Some("a".to_string()), at(0)), Fact::Seen(Some("b".to_string()), at(0))]).prop_map(consumer),
    ];
    let gone = prop_oneof![
        2 => Just((full(dead()), Unproven)),
        1 => Just((HostFacts { links: off(), ..full(dead()) }, Unproven)),
        1 => Just((HostFacts { links: off(), ..full(dead()) }, Proven)),
        3 => Just((ready.clone(), Fenced)),
        1 => Just((dark, Attested)),
        1 => Just((HostFacts { disks: Fact::Seen(GuestDisks::Local, at(0)), ..ready.clone() }, Fenced)),
        1 => Just((HostFacts { moves: Fact::Seen(vec![record(1, "live-migration", "running", "g0")], at(0)), ..ready.clone() }, Fenced)),
        1 => select(vec![(2u32, 93u32), (2, 95)]).prop_map(move |v| {
            (HostFacts { guests: Fact::Seen(vec![broken.clone()], at(0)), microversion: Fact::Seen(v, at(0)), ..ready.clone() }, Fenced)
        }),
    ];
    prop_oneof![alive.prop_map(|f| (f, Unproven)), bare.prop_map(|f| (f, Unproven)), gone]
}

#[derive(Clone, Copy, Debug)]
enum EvacuationProof {
    Unproven,
    Proven,
    Fenced,
    Attested,
}

fn subject() -> impl Strategy<Value = Subject> {
    use HostOperationType::*;
    let modes = vec![
        (EvacuationMode::Auto, v1::Cause::Manual),
        (EvacuationMode::Auto, v1::Cause::Automatic),
        (EvacuationMode::Rebuild, v1::Cause::Manual),
        (EvacuationMode::LiveMigrate, v1::Cause::Manual),
    ];
    let evacuation = (select(modes), any::<bool>(), any::<bool>()).prop_map(|((mode, cause), forbid, rebuild)| {
        let mut ev = evacuation(mode);
        ev.spec.cause = cause;
        ev.spec.fence = if forbid { v1::FencePolicy::Forbidden } else { v1::FencePolicy::IfNeeded };
        ev.spec.local_disks = if rebuild { v1::LocalDisks::Rebuild } else { v1::LocalDisks::Refuse };
        ev.status.started_at = Some(at(-60));
        Subject::Evacuation(ev)
    });
    let kinds = select(vec![PowerOn, PowerOff, SoftOff, PowerCycle, Initialise, Initialise, Enable, Disable, Drain, Shutdown]);
    let methods =
        prop_oneof![1 => Just(v1::InitialiseMethod::Identity), 4 => Just(v1::InitialiseMethod::Cycle), 1 => Just(v1::InitialiseMethod::Attestation)];
    let since = || option::of(Just(at(-60)));
    let stay = || select(vec![v1::StoppedGuests::Leave, v1::StoppedGuests::ColdMigrate]);
    let operation = (kinds, methods, any::<bool>(), any::<bool>(), since(), stay()).prop_map(|(kind, method, kill, allow, empty_since, stay)| {
        let mut op = operation(kind);
        op.spec.method = method;
        op.spec.stopped_guests = stay;
        op.status.empty_since = empty_since;
        op.spec.running_guests = if kill { v1::RunningGuests::Kill } else { v1::RunningGuests::Refuse };
        op.spec.allow_off_vm = if allow { v1::OffVm::Allow } else { v1::OffVm::Forbid };
        Subject::Operation(op)
    });
    let schedulable = select(vec![v1::Schedulable::Unmanaged, v1::Schedulable::Enabled, v1::Schedulable::Disabled]);
    let on_power_off = select(vec![v1::GuestsOnPowerOff::LiveMigrate, v1::GuestsOnPowerOff::Stop, v1::GuestsOnPowerOff::Wait]);
    let wishes = select(vec![PowerWish::On, PowerWish::Off, PowerWish::Unmanaged]);
    let host = (wishes, schedulable, on_power_off, since(), stay()).prop_map(|(power, schedulable, wish, empty_since, stay)| {
        let mut host = host(power);
        host.status.empty_since = empty_since;
        host.spec.stopped_guests = stay;
        (host.spec.schedulable, host.spec.guests_on_power_off) = (schedulable, wish);
        Subject::Host(host)
    });
    prop_oneof![3 => evacuation, 3 => operation, 2 => host]
}

/// A case: a situation, and what is different in it.
pub fn case() -> impl Strategy<Value = Case> {
    (situation(), subject(), vec(a_twist(), 0..4)).prop_map(|((facts, proof), subject, twists)| {
        let mut env = env();
        // Room for everyone: which guest is taken first must not decide who is taken at all.
        (env.policy.max_per_host, env.policy.max_evacuations) = (100, 100);
        env.evidence = match proof {
            EvacuationProof::Unproven => env.evidence,
            EvacuationProof::Proven => proven(),
            EvacuationProof::Fenced | EvacuationProof::Attested => {
                let latch = Latch { epoch: 1, by: env.owner.clone(), by_uid: UID.into(), at: at(-10), disabled_by_us: true, attested: None };
                let latch = matches!(subject, Subject::Evacuation(_)).then_some(latch);
                match proof {
                    EvacuationProof::Attested => EvidenceBody { latch, attested: Some(attested(1, -10, 0)), ..env.evidence },
                    _ => EvidenceBody { latch, ..proven() },
                }
            }
        };
        let mut case = Case { facts, env, subject };
        for twist in twists {
            apply(&mut case, twist);
        }
        case
    })
}
