//! Drills: what is tried on whom, how far, and what a pool makes of it.

use crate::{
    common::{UID, at, empty, env, guest, service},
    standby::{at_rest, booted, looked, made, makes, named, need, off, operation, pass, pool, seen},
};
use planner::{
    Also, Decision, Fact, Next,
    facts::HostFacts,
    standby::{DrillSeen, Member, Need, Seen, decide_drill},
};
use schemas::{
    Conditions, Object, ObjectMeta,
    meta::Ref,
    v1::{
        self, DrillDepth, DrillHost, DrillOutcome, DrillStep, FenceDrillSpec, FenceDrillStatus, HostOperationType, IdleState, PowerWish, StandbyPool,
        StandbyPoolStatus, reasons,
    },
};
use std::collections::BTreeMap;

fn drill(depth: DrillDepth, hosts: Vec<DrillHost>) -> Object<v1::FenceDrill> {
    let spec = FenceDrillSpec { hosts: hosts.iter().map(|h| h.host.clone()).collect(), depth, ..FenceDrillSpec::default() };
    let status = FenceDrillStatus { hosts, ..FenceDrillStatus::default() };
    Object { metadata: ObjectMeta { uid: UID.into(), ..named("d") }, spec, status }
}

fn tested(step: DrillStep) -> DrillHost {
    DrillHost { host: "s1".into(), outcome: DrillOutcome::Testing, step, since: Some(at(-30)), read_at: Some(at(-10)), ..DrillHost::default() }
}

fn pass_drill(drill: &Object<v1::FenceDrill>, member: Member) -> Decision<FenceDrillStatus> {
    let name = member.name().to_string();
    let seen = DrillSeen {
        hosts: vec![name.clone()],
        idle: BTreeMap::from([(name.clone(), IdleState::PoweredOff)]),
        members: [(name, member)].into(),
        elder: None,
    };
    decide_drill(drill, &Ok(seen), &env())
}

#[test]
fn a_drill_of_links_asks_each_twice_and_makes_nothing() {
    let fresh = || drill(DrillDepth::Read, vec![DrillHost { host: "s1".into(), ..DrillHost::default() }]);
    let first = pass_drill(&fresh(), looked("s1", off()));
    assert_eq!((first.status.hosts[0].outcome, first.status.hosts[0].read_at), (DrillOutcome::Testing, Some(at(0))));
    let second = pass_drill(&drill(DrillDepth::Read, vec![tested(DrillStep::Read)]), looked("s1", off()));
    assert_eq!((second.status.hosts[0].outcome, second.status.conditions.is_true("Succeeded")), (DrillOutcome::Passed, true));
    let mut silent = looked("s1", off());
    silent.look.as_mut().unwrap().facts.links[0].state = Fact::not_asked();
    let waiting = pass_drill(&drill(DrillDepth::Read, vec![tested(DrillStep::Read)]), silent.clone());
    assert_eq!(waiting.status.hosts[0].outcome, DrillOutcome::Testing, "it may answer yet");
    let late = DrillHost { since: Some(at(-60)), ..tested(DrillStep::Read) };
    assert_eq!(pass_drill(&drill(DrillDepth::Read, vec![late]), silent).status.hosts[0].reason, reasons::POWER_UNREADABLE);
    let mut unverified = looked("s1", off());
    unverified.look.as_mut().unwrap().facts.links[0].verified = false;
    assert_eq!(pass_drill(&fresh(), unverified).status.hosts[0].reason, reasons::NO_VERIFIED_LINK);
    assert!(made(&first).is_empty() && made(&second).is_empty());
}

#[test]
fn a_drill_that_powers_off_refuses_every_host_that_is_not_an_idle_standby() {
    let go = |member| pass_drill(&drill(DrillDepth::Cycle, vec![tested(DrillStep::Off)]), member);
    assert!(makes(&go(looked("s1", empty())), "PowerOff", "s1"));
    let wrong: [(&str, fn(&mut Member)); 7] = [
        (reasons::NO_STANDBY_MEMBER, |m| m.host.status.standby = None),
        (reasons::STANDBY_LEASED, |m| m.host.status.standby.as_mut().unwrap().evacuation = Some("ev".into())),
        (reasons::CLAIMED, |m| m.open_evacuation = Some("ev".into())),
        (reasons::CLAIMED, |m| m.look.as_mut().unwrap().facts.service = Fact::Seen(service(), at(0))),
        (reasons::GUESTS_RUNNING, |m| m.look.as_mut().unwrap().facts.guests = Fact::Seen(vec![guest("g")], at(0))),
        (reasons::FENCED, |m| m.look.as_mut().unwrap().fenced = true),
        (reasons::DECLARED_OTHERWISE, |m| m.host.spec.power = PowerWish::On),
    ];
    for (reason, change) in wrong {
        let mut member = looked("s1", empty());
        change(&mut member);
        let decision = go(member);
        assert!(made(&decision).is_empty(), "{reason}");
        assert_eq!((decision.status.hosts[0].outcome, decision.status.hosts[0].reason.as_str()), (DrillOutcome::Refused, reason));
    }
    for hide in [|f: &mut HostFacts| f.guests = Fact::not_asked(), |f: &mut HostFacts| f.service = Fact::not_asked()] {
        let mut member = looked("s1", empty());
        hide(&mut member.look.as_mut().unwrap().facts);
        assert!(made(&go(member)).is_empty());
    }
}

#[test]
fn a_drill_goes_off_on_reporting_and_back_one_after_the_other() {
    let at_step = |step, operation: &str| DrillHost { operation: operation.into(), ..tested(step) };
    let go = |host: DrillHost, member| pass_drill(&drill(DrillDepth::Cycle, vec![host]), member);
    let read = go(tested(DrillStep::Read), looked("s1", empty()));
    assert_eq!(read.status.hosts[0].step, DrillStep::Off, "it is on: off has to be seen");
    let read = go(DrillHost { was_off: true, ..tested(DrillStep::Read) }, looked("s1", off()));
    assert_eq!(read.status.hosts[0].step, DrillStep::On, "it read off twice");
    let done = operation("drill-poweron-s1-1", HostOperationType::PowerOn, Some(reasons::SUCCEEDED));
    let on = go(at_step(DrillStep::On, "drill-poweron-s1-1"), Member { operations: vec![done], ..looked("s1", booted()) });
    assert_eq!(on.status.hosts[0].step, DrillStep::Report);
    let up = go(tested(DrillStep::Report), looked("s1", booted()));
    assert_eq!(up.status.hosts[0].step, DrillStep::Back);
    assert!(makes(&go(tested(DrillStep::Back), looked("s1", booted())), "SoftOff", "s1"));
    let soft = operation("drill-softoff-s1-1", HostOperationType::SoftOff, Some(reasons::SUCCEEDED));
    let back = go(at_step(DrillStep::Back, "drill-softoff-s1-1"), Member { operations: vec![soft], ..looked("s1", off()) });
    assert_eq!((back.status.hosts[0].outcome, matches!(back.next, Next::Finished)), (DrillOutcome::Passed, true));

    let silent = DrillHost { since: Some(at(-900)), ..tested(DrillStep::Report) };
    let failed = go(silent, looked("s1", off()));
    assert_eq!((failed.status.hosts[0].outcome, failed.status.conditions.is_false("Succeeded")), (DrillOutcome::Failed, true));
}

#[test]
fn a_drill_of_a_pool_without_members_says_so() {
    let mut empty = drill(DrillDepth::Cycle, Vec::new());
    empty.spec.pool_ref = Some(Ref::to("gone"));
    let decision = decide_drill(&empty, &Ok(DrillSeen::default()), &env());
    assert_eq!(decision.status.conditions.find("Succeeded").unwrap().reason, reasons::NOT_FOUND);
}

#[test]
fn results_of_drills_put_members_aside_and_take_them_back() {
    let result = |outcome, version: &str| {
        let mut ended = drill(DrillDepth::Cycle, vec![DrillHost { outcome, message: "no answer".into(), ..tested(DrillStep::Read) }]);
        ended.metadata.resource_version = version.into();
        ended.status.finished_at = Some(at(-1));
        ended
    };
    let of = |pool: &Object<StandbyPool>, drills| pass(pool, Seen { drills, ..seen(vec![at_rest("s1")], Vec::new()) }).status;
    let mut pool = pool(&["s1"]);
    pool.status = of(&pool, vec![result(DrillOutcome::Failed, "11")]);
    assert_eq!((pool.status.failed[0].reason.as_str(), pool.status.free, pool.status.tests.taken_in), (reasons::DRILL_FAILED, 0, 11));
    pool.status = of(&pool, vec![result(DrillOutcome::Refused, "12")]);
    assert_eq!(pool.status.failed.len(), 1);
    pool.status = of(&pool, vec![result(DrillOutcome::Passed, "13")]);
    assert_eq!((pool.status.failed.len(), pool.status.free), (0, 1));
}

#[test]
fn a_pool_is_tested_when_its_time_has_come_and_nobody_needs_it() {
    let mut pool = pool(&["s1"]);
    pool.spec.test_every = 3_600;
    let drills = |d: &Decision<StandbyPoolStatus>| d.also.iter().filter(|a| matches!(a, Also::Create { kind: "FenceDrill", .. })).count();
    let run = |pool: &Object<StandbyPool>, needs| pass(pool, Seen { next_drill: 4, ..seen(vec![at_rest("s1")], needs) });
    let first = run(&pool, Vec::new());
    assert_eq!((drills(&first), first.status.tests.last_at), (0, Some(at(0))), "a period after it was first seen");
    for (last, wanted) in [(-3_599, 0), (-3_600, 1), (7_200, 1)] {
        pool.status.tests.last_at = Some(at(last));
        assert_eq!(drills(&run(&pool, Vec::new())), wanted, "{last}: a time that is yet to come counts from when we came");
    }
    assert_eq!(drills(&run(&pool, vec![Need { lacking: None, ..need("ev") }])), 0);
}
