//! Standby hosts: who is free, who is woken for whom, and when nothing is done.

use crate::common::{UID, US, at, beat, disabled, empty, env, facts, guest, link, record};
use planner::{
    Also, Decision, Env, Fact, Next,
    facts::{HostFacts, Move, ProviderFacts},
    standby::{Look, Member, Need, Seen, decide},
};
use schemas::{
    Conditions, Object, ObjectMeta,
    meta::OwnerReference,
    v1::{
        self, FenceStatus, HostOperation, HostOperationType, HostSpec, HostStandby, HostStatus, LeaseState, LinkState, MemberState, NovaStatus,
        PowerState, PowerWish, StandbyFailure, StandbyLease, StandbyPool, StandbyPoolSpec, StandbyPoolStatus, Wake, reasons,
    },
};

type Change<T> = (&'static str, fn(&mut T));

pub(crate) fn named(name: &str) -> ObjectMeta {
    ObjectMeta { uid: format!("uid-{name}"), generation: 1, resource_version: "7".into(), ..ObjectMeta::named(name) }
}

pub(crate) fn pool(members: &[&str]) -> Object<StandbyPool> {
    let spec = StandbyPoolSpec { members: members.iter().map(|m| m.to_string()).collect(), ..StandbyPoolSpec::default() };
    let status = StandbyPoolStatus { observed_generation: 1, ..StandbyPoolStatus::default() };
    Object { metadata: ObjectMeta { uid: UID.into(), ..named("spare") }, spec, status }
}

/// Disabled by us, off, without a guest, and marked as the pool's.
pub(crate) fn at_rest(name: &str) -> Member {
    let nova = NovaStatus {
        service_id: format!("svc-{name}"),
        state: "down".into(),
        status: "disabled".into(),
        disabled_reason: Some(planner::service::reason(US, "standby")),
        zone: "nova".into(),
        ..NovaStatus::default()
    };
    let mut status = HostStatus { observed_generation: 1, nova: Some(nova), ..HostStatus::default() };
    status.power.state = PowerState::Off;
    status.power.links = vec![LinkState { name: "l1".into(), state: PowerState::Off, verified: true, error: None }];
    status.guests.total = Some(0);
    status.standby = Some(HostStandby { pool: "spare".into(), ..HostStandby::default() });
    let host = Object { metadata: named(name), spec: HostSpec::default(), status };
    Member { host, operations: Vec::new(), open_evacuation: None, drill: None, other_pools: Vec::new(), look: None }
}

pub(crate) fn looked(name: &str, facts: HostFacts) -> Member {
    Member { look: Some(Look { facts: HostFacts { host: name.into(), ..facts }, fenced: false }), ..at_rest(name) }
}

/// On, disabled, and reporting for half a minute.
pub(crate) fn booted() -> HostFacts {
    HostFacts { service: Fact::Seen(disabled(), at(0)), provider: with_trait(true), ..facts() }
}

fn with_trait(disabled_trait: bool) -> Fact<ProviderFacts> {
    Fact::Seen(ProviderFacts { disabled_trait, foreign_consumers: Vec::new() }, at(0))
}

pub(crate) fn off() -> HostFacts {
    let mut facts = HostFacts { links: vec![link("l1", PowerState::Off)], beats: Vec::new(), ..empty() };
    if let Fact::Seen(service, _) = &mut facts.service {
        service.up = false;
    }
    facts
}

pub(crate) fn need(name: &str) -> Need {
    Need { evacuation: name.into(), uid: format!("uid-{name}"), host: "dead".into(), zone: "nova".into(), lacking: Some("web".into()) }
}

fn leased(host: &str, state: LeaseState, since: i64) -> StandbyLease {
    StandbyLease {
        host: host.into(),
        evacuation: "ev".into(),
        evacuation_uid: "uid-ev".into(),
        state,
        since: Some(at(since)),
        ..StandbyLease::default()
    }
}

fn with_lease(mut pool: Object<StandbyPool>, lease: StandbyLease) -> Object<StandbyPool> {
    pool.status.leased.push(lease);
    pool
}

pub(crate) fn seen(members: Vec<Member>, needs: Vec<Need>) -> Seen {
    Seen { members, needs, ..Seen::default() }
}

pub(crate) fn pass(pool: &Object<StandbyPool>, seen: Seen) -> Decision<StandbyPoolStatus> {
    decide(pool, &Ok(seen), &env())
}

/// What is made: types and hosts of HostOperations.
pub(crate) fn made<S>(decision: &Decision<S>) -> Vec<(String, String)> {
    let of = |also: &Also| match also {
        Also::Create { kind: "HostOperation", spec, host, .. } => Some((spec["type"].as_str()?.to_string(), host.clone()?)),
        _ => None,
    };
    decision.also.iter().filter_map(of).collect()
}

pub(crate) fn makes<S>(decision: &Decision<S>, what: &str, host: &str) -> bool {
    made(decision) == [(what.to_string(), host.to_string())]
}

pub(crate) fn operation(name: &str, what: HostOperationType, end: Option<&'static str>) -> Object<HostOperation> {
    let mut metadata = named(name);
    metadata.owner_references.push(OwnerReference { kind: "StandbyPool".into(), name: "spare".into(), uid: UID.into() });
    let mut operation = Object { metadata, ..crate::common::operation(what) };
    if let Some(reason) = end {
        operation.status.finished_at = Some(at(-200));
        operation.status.conditions.set("Succeeded", (reason == reasons::SUCCEEDED).into(), reason, "it said so", 1, at(-200));
    }
    operation
}

#[test]
fn a_need_gets_one_free_member_of_its_zone_and_lease_and_mark_are_written_together() {
    let decision = pass(&pool(&["s1", "s2"]), seen(vec![at_rest("s1"), at_rest("s2")], vec![need("ev")]));
    let status = &decision.status;
    assert_eq!((status.leased.len(), status.leased[0].host.as_str(), status.leased[0].state), (1, "s1", LeaseState::Waking));
    let marks: Vec<&Also> =
        decision.also.iter().filter(|a| matches!(a, Also::Status { kind: "Host", name, version: 7, .. } if name == "s1")).collect();
    let [Also::Status { patch, .. }] = marks.as_slice() else { panic!("{:?}", decision.also) };
    assert_eq!(patch["standby"]["evacuation"], "ev");
    assert_eq!((status.free, status.conditions.is_true("Sufficient")), (1, true));

    let far = Need { zone: "east".into(), ..need("ev") };
    let decision = pass(&pool(&["s1"]), seen(vec![at_rest("s1")], vec![far]));
    assert!(decision.status.leased.is_empty());
    assert!(matches!(&decision.next, Next::Wait { reason: reasons::NO_STANDBY, message, .. } if message.contains("s1 is not in zone east")));
}

#[test]
fn two_needs_never_get_the_same_host_and_the_older_comes_first() {
    let decision = pass(&pool(&["s1"]), seen(vec![at_rest("s1")], vec![need("old"), need("new")]));
    let leases: Vec<_> = decision.status.leased.iter().map(|l| (l.host.as_str(), l.evacuation.as_str())).collect();
    assert_eq!(leases, [("s1", "old")]);
    assert!(matches!(&decision.next, Next::Wait { reason: reasons::NO_STANDBY, message, .. } if message.contains("s1 serves Evacuation/old")));
    let decision = pass(&pool(&["s1", "s2"]), seen(vec![at_rest("s1"), at_rest("s2")], vec![need("old"), need("new")]));
    assert_ne!(decision.status.leased[0].host, decision.status.leased[1].host);
}

#[test]
fn an_evacuation_gets_a_further_host_only_if_those_that_are_ready_did_not_do() {
    let ready = |since| with_lease(pool(&["s1", "s2"]), leased("s1", LeaseState::Ready, since));
    let in_service = || looked("s1", facts());
    let more = |pool: &Object<StandbyPool>, need| pass(pool, seen(vec![in_service(), at_rest("s2")], vec![need])).status.leased.len() == 2;
    assert!(!more(&ready(-20), need("ev")), "it does not show yet");
    assert!(more(&ready(-60), need("ev")));
    assert!(!more(&ready(-60), Need { lacking: None, ..need("ev") }));
    assert!(!more(&with_lease(pool(&["s1", "s2"]), leased("s1", LeaseState::Waking, -60)), need("ev")), "one is being woken");
    let mut elsewhere = seen(vec![at_rest("s1")], vec![need("ev")]);
    elsewhere.elsewhere = vec![leased("x", LeaseState::Waking, -600)];
    assert!(pass(&pool(&["s1"]), elsewhere.clone()).status.leased.is_empty(), "another pool is waking one");
    elsewhere.elsewhere = vec![leased("x", LeaseState::Ready, -20)];
    assert!(pass(&pool(&["s1"]), elsewhere).status.leased.is_empty(), "another pool woke one a moment ago");

    let calm = || Need { lacking: None, ..need("ev") };
    assert!(pass(&pool(&["s1"]), seen(vec![at_rest("s1")], vec![calm()])).status.leased.is_empty());
    let mut always = pool(&["s1"]);
    always.spec.wake = Wake::Always;
    assert_eq!(pass(&always, seen(vec![at_rest("s1")], vec![calm()])).status.leased.len(), 1);
}

#[test]
fn waking_goes_step_by_step_and_each_is_seen_before_the_next() {
    let waking = || with_lease(pool(&["s1"]), leased("s1", LeaseState::Waking, -30));
    let with = |facts: HostFacts| pass(&waking(), seen(vec![looked("s1", facts)], vec![need("ev")]));
    assert!(makes(&with(off()), "PowerOn", "s1"));
    let silent = HostFacts { beats: vec![beat(0, "u0", true)], ..booted() };
    assert!(made(&with(silent)).is_empty(), "up as Nova says, but nobody saw it report");
    assert!(makes(&with(booted()), "Enable", "s1"));
    let lingering = with(HostFacts { provider: with_trait(true), ..facts() });
    assert!(made(&lingering).is_empty() && lingering.status.leased[0].state == LeaseState::Waking);
    let ready = with(facts());
    assert!(made(&ready).is_empty() && ready.status.leased[0].state == LeaseState::Ready);
    assert!(ready.events.iter().any(|e| e.reason == "StandbyReady"));
}

#[test]
fn what_is_not_known_begins_nothing_and_puts_nobody_to_rest() {
    let blind: [Change<HostFacts>; 5] = [
        ("service", |f| f.service = Fact::not_asked()),
        ("links", |f| f.links.iter_mut().for_each(|l| l.state = Fact::not_asked())),
        ("guests", |f| f.guests = Fact::not_asked()),
        ("moves", |f| f.moves = Fact::not_asked()),
        ("provider", |f| f.provider = Fact::not_asked()),
    ];
    let returning = with_lease(pool(&["s1"]), StandbyLease { over: true, ..leased("s1", LeaseState::Returning, -30) });
    let waking = with_lease(pool(&["s1"]), leased("s1", LeaseState::Waking, -30));
    for (what, hide) in blind {
        for (pool, facts) in [(&returning, empty()), (&returning, facts()), (&waking, off()), (&waking, booted())] {
            let known = made(&pass(pool, seen(vec![looked("s1", facts.clone())], Vec::new())));
            let mut less = facts;
            hide(&mut less);
            let blind = pass(pool, seen(vec![looked("s1", less)], Vec::new()));
            assert!(made(&blind).iter().all(|m| known.contains(m)), "{what}: {:?} and not {known:?}", made(&blind));
            if std::ptr::eq(pool, &returning) {
                assert!(made(&blind).is_empty(), "{what}: {:?}", made(&blind));
                assert_eq!(blind.status.leased.len(), 1, "{what}");
            }
        }
    }
    let unread = decide(&waking, &Err("the database is away".into()), &env());
    assert!(made(&unread).is_empty() && unread.status.leased.len() == 1);
}

#[test]
fn one_that_is_not_ready_in_time_or_may_not_be_woken_has_failed_and_its_lease_is_over() {
    let at_since = |since| with_lease(pool(&["s1"]), leased("s1", LeaseState::Waking, since));
    let silent = || HostFacts { beats: vec![beat(0, "u0", false)], ..booted() };
    let pass_of = |since, member: Member| pass(&at_since(since), seen(vec![member], Vec::new()));
    assert_eq!(pass_of(-899, looked("s1", silent())).status.leased.len(), 1);
    let late = pass_of(-900, looked("s1", silent()));
    assert!(late.status.leased.is_empty());
    assert_eq!((late.status.failed[0].host.as_str(), late.status.failed[0].reason.as_str()), ("s1", reasons::WAKE_FAILED));
    assert!(late.events.iter().any(|e| e.warning && e.reason == reasons::WAKE_FAILED && e.note.contains("FenceDrill")));

    let wrong: [Change<Member>; 5] = [
        ("fenced", |m| m.host.status.fence = Some(FenceStatus::default())),
        ("fenced by its evidence", |m| m.look.as_mut().unwrap().fenced = true),
        ("declared", |m| m.host.spec.power = PowerWish::On),
        ("forced down", |m| {
            let down = planner::facts::ServiceFacts { forced_down: true, ..disabled() };
            m.look.as_mut().unwrap().facts.service = Fact::Seen(down, at(0));
        }),
        ("foreign", |m| {
            let other = Some(planner::service::reason("22222222-2222-4222-8222-222222222222", "x"));
            m.look.as_mut().unwrap().facts.service = Fact::Seen(planner::facts::ServiceFacts { disabled_reason: other, ..disabled() }, at(0));
        }),
    ];
    for (what, change) in wrong {
        let mut member = looked("s1", booted());
        change(&mut member);
        let decision = pass_of(-30, member);
        assert!(made(&decision).is_empty() && decision.status.leased.is_empty() && decision.status.free == 0, "{what}");
        assert!(decision.status.failed.is_empty(), "{what}: it says so itself, and is free again once that is mended");
    }
    // Its operation is called off.
    let mut member = looked("s1", off());
    member.operations = vec![operation("standby-poweron-s1-1", HostOperationType::PowerOn, None)];
    let mut pool = at_since(-900);
    pool.status.leased[0].operation = "standby-poweron-s1-1".into();
    let decision = pass(&pool, seen(vec![member], Vec::new()));
    assert!(decision.also.iter().any(|a| matches!(a, Also::Cancel { name, .. } if name == "standby-poweron-s1-1")), "{:?}", decision.also);
}

#[test]
fn a_member_is_free_only_if_nothing_speaks_against_waking_it() {
    let judged = |member: Member| {
        let status = pass(&pool(&["s1"]), Seen { pools: vec!["other".into()], ..seen(vec![member], Vec::new()) }).status;
        (status.members[0].state, status.members[0].reason.clone(), status.free)
    };
    assert_eq!(judged(at_rest("s1")), (MemberState::Idle, String::new(), 1));
    let wrong: [(MemberState, &str, fn(&mut Member)); 10] = [
        (MemberState::Unusable, reasons::DECLARED_OTHERWISE, |m| m.host.spec.schedulable = v1::Schedulable::Disabled),
        (MemberState::Unusable, reasons::FENCED, |m| m.host.status.fence = Some(FenceStatus::default())),
        (MemberState::Unusable, reasons::STANDBY_CONFLICT, |m| m.host.status.standby.as_mut().unwrap().pool = "other".into()),
        (MemberState::Unusable, reasons::DISABLED_BY_OTHERS, |m| m.host.status.nova.as_mut().unwrap().disabled_reason = Some("bad memory".into())),
        (MemberState::Unusable, reasons::NOVA_UNREADABLE, |m| m.host.status.nova = None),
        (MemberState::Unusable, reasons::NO_VERIFIED_LINK, |m| m.host.status.power.links.clear()),
        (MemberState::Unusable, reasons::POWER_UNREADABLE, |m| m.host.status.power.state = PowerState::Unknown),
        (MemberState::Unusable, reasons::SERVICE_DOWN, |m| m.host.status.power.state = PowerState::On),
        (MemberState::Busy, reasons::CLAIMED, |m| m.open_evacuation = Some("ev".into())),
        (MemberState::InUse, "", |m| m.host.status.guests.total = Some(2)),
    ];
    for (state, reason, change) in wrong {
        let mut member = at_rest("s1");
        change(&mut member);
        assert_eq!(judged(member), (state, reason.to_string(), 0));
    }
    let mut failed = pool(&["s1"]);
    failed.status.failed.push(StandbyFailure { host: "s1".into(), reason: reasons::WAKE_FAILED.into(), ..StandbyFailure::default() });
    let decision = pass(&failed, seen(vec![at_rest("s1")], vec![need("ev")]));
    assert_eq!((decision.status.free, decision.status.leased.len()), (0, 0), "what failed is not tried again");
}

#[test]
fn an_empty_member_is_disabled_then_asked_to_shut_down_and_only_then_cut_off() {
    let long = |facts: HostFacts, operations| {
        let mut pool = pool(&["s1"]);
        pool.status.members = vec![v1::PoolMember { host: "s1".into(), empty_since: Some(at(-60)), ..v1::PoolMember::default() }];
        pass(&pool, seen(vec![Member { operations, ..looked("s1", facts) }], Vec::new()))
    };
    assert!(makes(&long(facts(), Vec::new()), "Disable", "s1"));
    // What a failed move to it left says so for as long as it lasts.
    let stranger =
        Fact::Seen(ProviderFacts { disabled_trait: false, foreign_consumers: vec![("g9".into(), Fact::Seen(Some("b".into()), at(0)))] }, at(0));
    let failed = record(4, "evacuation", "error", "g9");
    let left = HostFacts {
        provider: stranger,
        moves: Fact::Seen(vec![Move { source: Some("b".into()), destination: Some("s1".into()), ..failed }], at(0)),
        ..facts()
    };
    let kept = long(left, Vec::new());
    assert!(!makes(&kept, "Disable", "s1"));
    let shown = &kept.status.members[0];
    assert!(shown.state == MemberState::InUse && shown.message.contains("g9"), "{shown:?}");
    assert!(makes(&long(empty(), Vec::new()), "SoftOff", "s1"));
    let soft = operation("standby-softoff-s1-1", HostOperationType::SoftOff, Some(reasons::FAILED));
    let hard = long(empty(), vec![soft]);
    assert!(makes(&hard, "PowerOff", "s1"));
    let refused = operation("standby-softoff-s1-1", HostOperationType::SoftOff, Some(reasons::GUESTS_RUNNING));
    assert!(makes(&long(empty(), vec![refused]), "SoftOff", "s1"), "tried again, softly");
    let names: Vec<_> = hard.also.iter().filter_map(|a| if let Also::Create { name, .. } = a { Some(name.as_str()) } else { None }).collect();
    assert_eq!(names, ["standby-poweroff-s1-1"]);
    // The Host is as it was read, or nothing is made.
    assert!(hard.also.iter().any(|a| matches!(a, Also::Unchanged { kind: "Host", version: 7, .. } | Also::Status { kind: "Host", version: 7, .. })));

    let short = pass(&pool(&["s1"]), seen(vec![looked("s1", facts())], Vec::new()));
    assert!(made(&short).is_empty() && short.status.members[0].empty_since == Some(at(0)));
    let held: [Change<HostFacts>; 3] = [
        ("a guest", |f| f.guests = Fact::Seen(vec![guest("g")], at(0))),
        ("a stopped guest", |f| f.guests = Fact::Seen(vec![crate::common::stopped("g")], at(0))),
        ("a move", |f| f.moves = Fact::Seen(vec![record(1, "live-migration", "running", "g")], at(0))),
    ];
    for (what, change) in held {
        let mut facts = facts();
        change(&mut facts);
        let decision = long(facts, Vec::new());
        assert!(made(&decision).is_empty() && decision.status.members[0].empty_since.is_none(), "{what}");
    }
}

#[test]
fn a_lease_lasts_until_its_host_is_empty_and_back() {
    let mut over = with_lease(pool(&["s1"]), leased("s1", LeaseState::Ready, -600));
    let mut with_guest = facts();
    with_guest.guests = Fact::Seen(vec![guest("g")], at(0));
    let ended = |facts: HostFacts| Seen { over: ["uid-ev".to_string()].into(), ..seen(vec![looked("s1", facts)], Vec::new()) };
    let decision = pass(&over, ended(with_guest));
    assert!(decision.status.leased[0].over && decision.status.leased[0].state == LeaseState::Ready && made(&decision).is_empty());
    assert!(decision.events.iter().any(|e| e.reason == "StandbyInService"));

    over.status = decision.status;
    over.status.members[0].empty_since = Some(at(-61));
    let decision = pass(&over, ended(facts()));
    assert!(makes(&decision, "Disable", "s1") && decision.status.leased[0].state == LeaseState::Returning);
    over.status = decision.status;
    let decision = pass(&over, ended(off()));
    assert!(decision.status.leased.is_empty() && decision.events.iter().any(|e| e.reason == "StandbyReturned"));

    // Nothing landed, and it was not even up: it goes back from where it stands.
    let waking = with_lease(pool(&["s1"]), leased("s1", LeaseState::Waking, -30));
    let decision = pass(&waking, ended(empty()));
    assert!(makes(&decision, "SoftOff", "s1"), "{:?}", made(&decision));
}

#[test]
fn a_frozen_or_halted_cluster_begins_nothing() {
    let pools = [
        (pool(&["s1"]), at_rest("s1")),
        (with_lease(pool(&["s1"]), leased("s1", LeaseState::Waking, -30)), looked("s1", off())),
        (with_lease(pool(&["s1"]), StandbyLease { over: true, ..leased("s1", LeaseState::Returning, -30) }), looked("s1", empty())),
        (with_lease(pool(&["s1"]), leased("s1", LeaseState::Waking, -5_000)), looked("s1", off())),
    ];
    let frozen: [Change<Env>; 2] = [("frozen", |e| e.policy.operations = v1::Operations::Frozen), ("halted", |e| e.halted = Some("restored".into()))];
    for (what, change) in frozen {
        for (pool, member) in &pools {
            let mut env = env();
            change(&mut env);
            let decision = decide(pool, &Ok(seen(vec![member.clone()], vec![need("ev")])), &env);
            assert!(made(&decision).is_empty() && decision.status.leased.len() == pool.status.leased.len(), "{what}");
            assert!(decision.status.failed.is_empty(), "{what}: the time-out stands still");
        }
    }
}

#[test]
fn who_is_a_member_by_labels_alone_is_shown_with_all_names() {
    let mut pool = pool(&["s1"]);
    pool.spec.protects.selector = "rack=r1".into();
    let mut member = at_rest("s1");
    member.host.metadata.labels.insert("rack".into(), "r1".into());
    member.other_pools = vec!["other".into()];
    let status = pass(&pool, Seen { missing: vec!["ghost".into()], ..seen(vec![member], Vec::new()) }).status;
    let condition = status.conditions.find("MembersResolved").unwrap();
    assert_eq!(condition.reason, reasons::STANDBY_CONFLICT);
    for word in ["other and spare", "does not protect itself", "no Host ghost"] {
        assert!(condition.message.contains(word), "{}", condition.message);
    }
}
