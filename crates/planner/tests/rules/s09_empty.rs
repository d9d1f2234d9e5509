//! S9: empty. S12: one truth for power.

use crate::common::*;
use planner::{
    Fact, Next, Step,
    contract::PowerCommand::{ForceOff, On, SoftOff},
    empty::{Gate, gate, pass},
    facts::{Guest, HostFacts, ProviderFacts},
};
use schemas::{
    Conditions,
    v1::{self, GuestsOnPowerOff, HostOperationType, OffVm, OperationState, PowerState, PowerWish, RunningGuests, Schedulable, reasons},
};

fn with(change: impl FnOnce(&mut HostFacts)) -> HostFacts {
    let mut facts = empty();
    change(&mut facts);
    facts
}

fn consumer(lives: Fact<Option<String>>) -> HostFacts {
    with(|f| f.provider = Fact::Seen(ProviderFacts { disabled_trait: true, foreign_consumers: vec![("c1".into(), lives)] }, at(0)))
}

#[test]
fn a_pass_holds_only_if_everything_was_read_and_nothing_speaks_against_it() {
    assert_eq!(pass(&empty(), &env()), Ok(()));
    let task = |t: &str| Guest { task_state: Some(t.into()), ..stopped("g") };
    let cases: Vec<(HostFacts, &str)> = vec![
        (with(|f| f.service = Fact::Seen(service(), at(0))), "enabled"),
        (with(|f| f.service = Fact::Unknown("500".into())), "500"),
        (with(|f| f.provider = Fact::Unknown("500".into())), "500"),
        (with(|f| f.provider = facts().provider), "COMPUTE_STATUS_DISABLED"),
        (with(|f| f.guests = Fact::Unknown("500".into())), "500"),
        (with(|f| f.guests = Fact::Absent(at(0))), "not there"),
        (with(|f| f.guests = Fact::Seen(vec![guest("g")], at(0))), "name-g"),
        (with(|f| f.guests = Fact::Seen(vec![task("powering-on")], at(0))), "powering-on"),
        (with(|f| f.guests = Fact::Seen(vec![Guest { power_state: 1, ..stopped("g") }], at(0))), "name-g"),
        (with(|f| f.moves = Fact::Unknown("500".into())), "500"),
        (with(|f| f.moves = Fact::Seen(vec![record(1, "migration", "finished", "g")], at(0))), "finished"),
        (with(|f| f.moves = Fact::Seen(vec![record(1, "migration", "unheard-of", "g")], at(0))), "unheard-of"),
        (consumer(Fact::Seen(Some("a".into()), at(0))), "was not in the list"),
        (consumer(Fact::Seen(None, at(0))), "a build may be on its way"),
        (consumer(Fact::Absent(at(0))), "Nova does not know it"),
        (consumer(Fact::Unknown("500".into())), "500"),
    ];
    for (facts, words) in cases {
        let why = pass(&facts, &env()).expect_err(words);
        assert!(why.contains(words), "{why:?} does not say {words:?}");
    }
    let holds = [
        with(|f| f.guests = Fact::Seen(vec![stopped("g")], at(0))),
        with(|f| f.moves = Fact::Seen(vec![record(1, "live-migration", "completed", "g")], at(0))),
        consumer(Fact::Seen(Some("b".into()), at(0))),
    ];
    for facts in holds {
        assert_eq!(pass(&facts, &env()), Ok(()));
    }
    let mut env = env();
    env.intents = vec![intent(live_migrate("g"), OperationState::Unknown, 5)];
    assert!(pass(&empty(), &env).is_err(), "a call for a guest is open");
}

#[test]
fn the_gate_opens_with_the_second_pass_thirty_seconds_after_the_first() {
    let judge = |since: Option<i64>| gate(&empty(), &env(), since.map(at));
    assert_eq!(judge(None), (Gate::SecondPass(30), Some(at(0))));
    assert_eq!(judge(Some(-29)), (Gate::SecondPass(1), Some(at(-29))));
    assert_eq!(judge(Some(-30)), (Gate::Empty, Some(at(-30))));
    for others in [-11, -3_600, 1, 3_600] {
        let env = planner::Env { led_since: at(-10), ..env() };
        assert_eq!(
            gate(&empty(), &env, Some(at(others))),
            (Gate::SecondPass(20), Some(at(-10))),
            "a first pass of an earlier leader: from when we came"
        );
    }
    let (not, since) = gate(&HostFacts { provider: Fact::Unknown("500".into()), ..empty() }, &env(), Some(at(-60)));
    assert!(matches!(not, Gate::Not(_)) && since.is_none());
}

fn power_of(step: Step) -> planner::contract::PowerCommand {
    match step {
        Step::Power { command, .. } => command,
        other => panic!("{other:?}"),
    }
}

fn declared_off(facts: HostFacts) -> Play<v1::Host> {
    Play::new(host(PowerWish::Off), facts, env())
}

#[test]
fn a_host_declared_off_is_disabled_drained_proven_empty_and_switched_off_softly_then_hard() {
    let mut play = declared_off(HostFacts { guests: Fact::Seen(vec![guest("g")], at(0)), ..facts() });
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(false), forced_down: None, .. }));
    play.service_written(disabled());
    play.facts.provider = empty().provider;
    assert!(matches!(steps(play.pass()), Step::LiveMigrate { .. }));
    play.answered(OperationState::Accepted, "");
    play.facts.moves = Fact::Seen(vec![record(1, "live-migration", "running", "g")], at(0));
    play.pass_time(5);
    assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_MOVES);
    let now = play.env.now;
    play.facts.guests = Fact::Seen(vec![], now);
    play.facts.elsewhere = [("g".to_string(), Fact::Seen(Guest { host: Some("b".into()), ..guest("g") }, now))].into();
    play.facts.moves = Fact::Seen(vec![record(1, "live-migration", "completed", "g")], now);
    assert_eq!(waits(play.pass()).0, reasons::PROVING_EMPTY, "the call is settled in this pass");
    assert_eq!(waits(play.pass()).0, reasons::PROVING_EMPTY);
    play.pass_time(30);
    assert_eq!(power_of(steps(play.pass())), SoftOff);
    play.answered(OperationState::Observed, "");
    play.pass_time(299);
    assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_POWER);
    play.pass_time(1);
    assert_eq!(power_of(steps(play.pass())), ForceOff);
    play.answered(OperationState::Observed, "");
    play.pass_time(1);
    play.facts.links[0].state = Fact::Seen(PowerState::Off, play.env.now);
    assert_eq!(waits(play.pass()).0, reasons::PROVING_OFF);
    play.pass_time(5);
    assert!(matches!(play.pass(), Next::Settled { .. }));
    assert_eq!(play.env.claim, None, "the claim is given up");
    // However old the proof: it stays off until a sign of life.
    play.pass_time(5_000);
    assert!(matches!(play.pass(), Next::Settled { .. }));
}

#[test]
fn the_memory_of_an_empty_pass_is_lost_as_soon_as_the_host_is_enabled_or_cannot_be_read() {
    let reenabled = |play: &mut Play<v1::Host>| play.facts.service = Fact::Seen(service(), play.env.now);
    let unreadable = |play: &mut Play<v1::Host>| play.facts.guests = Fact::Unknown("500".into());
    for spoil in [reenabled as fn(&mut Play<v1::Host>), unreadable] {
        let mut play = declared_off(empty());
        assert_eq!(waits(play.pass()).0, reasons::PROVING_EMPTY);
        play.pass_time(60);
        spoil(&mut play);
        if let Next::Step(step) = play.pass() {
            assert!(matches!(step, Step::NovaService { enabled: Some(false), .. }), "{step:?}");
            play.answered(OperationState::Observed, "");
        }
        play.facts = empty();
        restamp(&mut play.facts, play.env.now);
        play.env.evidence.beat = None;
        assert_eq!(waits(play.pass()).0, reasons::PROVING_EMPTY, "one complete pass is not two");
    }
}

#[test]
fn a_power_off_operation_asks_for_the_gate_anew_after_someone_enabled_the_host() {
    let mut play = Play::new(operation(HostOperationType::PowerOff), empty(), env());
    assert_eq!(waits(play.pass()).0, reasons::PROVING_EMPTY);
    play.pass_time(31);
    play.facts.service = Fact::Seen(service(), play.env.now);
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(false), .. }));
    play.service_written(disabled());
    assert_eq!(waits(play.pass()).0, reasons::PROVING_EMPTY);
    play.pass_time(29);
    assert_eq!(waits(play.pass()).0, reasons::PROVING_EMPTY);
    play.pass_time(1);
    assert_eq!(power_of(steps(play.pass())), ForceOff);
}

#[test]
fn nothing_is_begun_on_a_host_whose_power_cannot_be_read() {
    let running = HostFacts { guests: Fact::Seen(vec![guest("g")], at(0)), ..facts() };
    for state in [PowerState::On, PowerState::Off] {
        let dark = HostFacts { links: vec![blind(link("l1", state))], ..running.clone() };
        assert_eq!(waits(declared_off(dark).pass()).0, reasons::POWER_UNREADABLE);
    }
    let off = HostFacts { links: vec![link("l1", PowerState::Off)], ..running };
    assert_eq!(waits(declared_off(off.clone()).pass()).0, reasons::GUEST_CANNOT_MOVE, "it says to evacuate");
    let unlisted = HostFacts { guests: Fact::Unknown("500".into()), ..off };
    assert_eq!(waits(declared_off(unlisted).pass()).0, reasons::NOVA_UNREADABLE);
}

#[test]
fn guests_on_power_off_are_migrated_stopped_or_waited_for_as_declared() {
    let running = HostFacts { guests: Fact::Seen(vec![guest("g")], at(0)), ..empty() };
    let mut play = declared_off(running.clone());
    play.object.spec.guests_on_power_off = GuestsOnPowerOff::Stop;
    assert_eq!(steps(play.pass()), Step::StopGuest { server: "g".into() });
    let mut play = declared_off(running);
    play.object.spec.guests_on_power_off = GuestsOnPowerOff::Wait;
    assert_eq!(waits(play.pass()).0, reasons::GUEST_CANNOT_MOVE);
    assert_eq!(play.object.status.guests.blocked.len(), 1);
}

#[test]
fn a_guest_that_cannot_move_holds_the_power_off_and_is_stopped_only_where_that_is_allowed() {
    let paused = Guest { vm_state: "rescued".into(), ..guest("g") };
    let facts = HostFacts { guests: Fact::Seen(vec![paused], at(0)), ..empty() };
    let mut shutdown = operation(HostOperationType::Shutdown);
    assert_eq!(waits(Play::new(shutdown.clone(), facts.clone(), env()).pass()).0, reasons::GUEST_CANNOT_MOVE);
    shutdown.spec.allow_off_vm = OffVm::Allow;
    assert_eq!(steps(Play::new(shutdown, facts, env()).pass()), Step::StopGuest { server: "g".into() });
}

#[test]
fn a_guest_is_not_stopped_because_migrations_never_left() {
    let facts = HostFacts { guests: Fact::Seen(vec![guest("g")], at(0)), ..empty() };
    let mut shutdown = operation(HostOperationType::Shutdown);
    shutdown.spec.allow_off_vm = OffVm::Allow;
    let tried = |evidence: &str| {
        let mut env = env();
        env.intents = (1..=3)
            .map(|n| planner::Intent {
                attempt: n,
                name: format!("op-{n}"),
                evidence: evidence.into(),
                ..intent(live_migrate("g"), OperationState::Refused, 5_000 - n)
            })
            .collect();
        steps(Play::new(shutdown.clone(), facts.clone(), env).pass())
    };
    assert!(matches!(tried("not sent: less than 1 s of the lease remains"), Step::LiveMigrate { .. }));
    assert_eq!(tried("409 Conflict"), Step::StopGuest { server: "g".into() });
}

#[test]
fn a_failed_migration_is_tried_again_after_a_pause_that_doubles() {
    let facts = HostFacts { guests: Fact::Seen(vec![guest("g")], at(0)), ..empty() };
    let next = |ages: &[i64]| {
        let mut env = env();
        env.intents = ages
            .iter()
            .enumerate()
            .map(|(n, age)| planner::Intent { attempt: n as i64, name: format!("op-{n}"), ..intent(live_migrate("g"), OperationState::Failed, *age) })
            .collect();
        planner::host_operation::decide(&operation(HostOperationType::Drain), &facts, &env).next
    };
    // The tries of an intent close a second after they were sent.
    for (ages, goes) in [
        (vec![30], false),
        (vec![31], true),
        (vec![500, 60], false),
        (vec![500, 61], true),
        (vec![9_000, 5_000, 120], false),
        (vec![9_000, 5_000, 121], true),
    ] {
        assert_eq!(matches!(next(&ages), Next::Step(_)), goes, "{ages:?}");
    }
}

#[test]
fn power_off_refuses_running_guests_unless_they_may_be_killed() {
    let running = |names: &[&str]| HostFacts { guests: Fact::Seen(names.iter().map(|n| guest(n)).collect(), at(0)), ..facts() };
    let label = |name: &str| guest(name).label();
    let many = format!("5 guest(s) run on the host ({}, {}, {} and 2 more)", label("a"), label("b"), label("c"));
    for (names, told) in [(&["g"][..], format!("1 guest(s) run on the host ({})", label("g"))), (&["a", "b", "c", "d", "e"], many)] {
        let mut refuse = Play::new(operation(HostOperationType::PowerOff), running(names), env());
        assert_eq!(refuse.pass(), Next::Finished);
        let outcome = refuse.object.status.conditions.find("Succeeded").unwrap();
        assert_eq!(outcome.reason, reasons::GUESTS_RUNNING);
        assert!(outcome.message.starts_with(&told), "{} is not {told}", outcome.message);
    }
    let mut kill = operation(HostOperationType::PowerOff);
    kill.spec.running_guests = RunningGuests::Kill;
    assert_eq!(power_of(steps(Play::new(kill, running(&["g"]), env()).pass())), ForceOff);
}

#[test]
fn a_soft_power_off_that_the_system_ignores_fails_and_never_becomes_a_hard_one() {
    let mut play = Play::new(operation(HostOperationType::SoftOff), empty(), env());
    play.pass();
    play.pass_time(30);
    assert_eq!(power_of(steps(play.pass())), SoftOff);
    play.answered(OperationState::Observed, "");
    play.pass_time(200);
    let mut dark =
        Play::new(play.object.clone(), HostFacts { links: vec![blind(link("l1", PowerState::On))], ..play.facts.clone() }, play.env.clone());
    for _ in 0..500 {
        dark.pass_time(1);
        assert!(!matches!(dark.pass(), Next::Step(_)));
    }
    play.pass_time(100);
    while let Next::Wait { .. } = play.pass() {
        play.pass_time(1);
    }
    assert!(play.object.status.finished_at.is_some());
    assert!(play.env.intents.iter().all(|i| !i.step.contains("ForceOff")));
}

#[test]
fn a_host_that_was_just_switched_off_is_not_enabled_because_nova_still_calls_it_up() {
    let mut off = empty();
    off.links = vec![link("l1", PowerState::Off)];
    let mut play = Play::new(host(PowerWish::Unmanaged), off, env());
    play.env.evidence.disabled_for_power_off = true;
    assert!(matches!(play.pass(), Next::Settled { .. }));
    play.facts.links = vec![link("l1", PowerState::On)];
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(true), .. }), "back on, what we changed is restored");
    let mut wanted = Play::new(host(PowerWish::Unmanaged), HostFacts { links: vec![link("l1", PowerState::Off)], ..empty() }, env());
    wanted.object.spec.schedulable = Schedulable::Enabled;
    assert_eq!(waits(wanted.pass()).0, reasons::SERVICE_DOWN);
}

#[test]
fn power_is_switched_only_through_a_verified_link_that_itself_reads_on() {
    let mut kill = operation(HostOperationType::PowerOff);
    kill.spec.running_guests = RunningGuests::Kill;
    let next = |links: Vec<planner::facts::LinkFacts>| planner::host_operation::decide(&kill, &HostFacts { links, ..facts() }, &env()).next;
    assert_eq!(waits(next(vec![unverified(link("l1", PowerState::On))])).0, reasons::NO_VERIFIED_LINK);
    assert_eq!(waits(next(vec![unverified(link("l1", PowerState::On)), link("l2", PowerState::Off)])).0, reasons::NO_VERIFIED_LINK);
    assert_eq!(waits(next(vec![unverified(link("l1", PowerState::On)), blind(link("l2", PowerState::On))])).0, reasons::NO_VERIFIED_LINK);
    assert_eq!(waits(next(vec![blind(link("l2", PowerState::On))])).0, reasons::POWER_UNREADABLE);
    assert!(
        matches!(steps(next(vec![unverified(link("l1", PowerState::On)), link("l2", PowerState::On)])), Step::Power { link, .. } if link == "l2")
    );
}

#[test]
fn a_command_whose_effect_does_not_show_is_sent_again_after_fifteen_seconds() {
    let off = HostFacts { links: vec![link("l1", PowerState::Off)], ..empty() };
    let mut play = Play::new(operation(HostOperationType::PowerOn), off, env());
    assert_eq!(power_of(steps(play.pass())), On);
    play.answered(OperationState::Observed, "");
    play.pass_time(14);
    assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_POWER);
    play.pass_time(1);
    assert_eq!(power_of(steps(play.pass())), On);
}

#[test]
fn an_allocation_that_a_failed_move_to_here_left_is_a_guest_that_may_run_here() {
    let mut facts = empty();
    let strangers = vec![("g".to_string(), Fact::Seen(Some("b".into()), at(0)))];
    facts.provider = Fact::Seen(planner::facts::ProviderFacts { disabled_trait: true, foreign_consumers: strangers }, at(0));
    assert_eq!(planner::empty::pass(&facts, &env()), Ok(()), "it lives elsewhere");
    let to_here =
        |status| planner::facts::Move { source: Some("b".into()), destination: Some("a".into()), ..record(7, "live-migration", status, "g") };
    facts.moves = Fact::Seen(vec![to_here("completed"), record(8, "live-migration", "error", "g")], at(0));
    assert_eq!(planner::empty::pass(&facts, &env()), Ok(()), "what failed led from here");
    facts.moves = Fact::Seen(vec![to_here("error")], at(0));
    let why = planner::empty::pass(&facts, &env()).unwrap_err();
    assert!(why.contains("record 7") && why.contains("may be running here") && why.contains("not on b"), "{why}");
}
