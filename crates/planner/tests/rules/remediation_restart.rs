//! Restart first: a host that is down is switched off and on before its guests are evacuated.

use crate::{
    common::*,
    remediation::{after, begin, begun, host as row, input, state, verdict},
};
use planner::{
    Env, Fact, Intent, Next, Step,
    contract::PowerCommand,
    facts::{HostFacts, ServiceFacts},
    remediation::{Begin, Input, pass},
};
use schemas::{
    Conditions, Object,
    v1::{
        AutomaticEvacuation, AvailabilityState::*, Cause, Demand, EvidenceRule, HostOperation, HostOperationType, Observation, OperationState,
        PowerState, Restart, RunningGuests, Says, reasons,
    },
};

/// Host `a` is down, `b` is up; restarts are allowed.
fn down() -> Input {
    let mut input = input(vec![row("a", false), row("b", true)], 1);
    input.policies[0].policy.spec.restart = Restart::Allow;
    after(2, &mut input);
    input
}

#[test]
fn a_host_that_is_down_is_restarted_first_and_evacuated_when_that_did_not_help() {
    let mut input = down();
    assert_eq!(verdict(&input).begin, Some(Begin::Restart));
    begin(&mut input);
    let availability = input.hosts[0].host.status.availability.clone().expect("it was begun");
    assert_eq!((availability.state, availability.operation.as_deref(), availability.returns.len()), (Restarting, Some("auto-restart-a-1"), 1));
    assert_eq!(after(5, &mut input).1[0].unhealthy, 1, "it counts");

    input.hosts[0].operation_ended = Some("Succeeded".into());
    input.now = input.now.plus_seconds(599);
    assert_eq!(state(&after(1, &mut input).0[0]), Restarting);
    input.now = input.now.plus_seconds(1);
    let (hosts, _) = after(1, &mut input);
    assert_eq!((state(&hosts[0]), hosts[0].begin, hosts[0].availability.downs), (Down, Some(Begin::Evacuate), 1));
    assert_eq!(hosts[0].name_of(Begin::Evacuate), "auto-a-1");
}

#[test]
fn a_restarted_host_is_up_after_the_operation_and_the_looks_that_the_policy_asks_for() {
    let mut input = down();
    input.policies[0].policy.spec.detection.up_confirmations = 2;
    begin(&mut input);
    input.hosts[0].up = Fact::Seen(true, at(0));
    assert_eq!(state(&after(3, &mut input).0[0]), Restarting, "the operation has not ended");
    input.hosts[0].operation_ended = Some("Succeeded".into());
    assert_eq!(state(&after(1, &mut input).0[0]), Restarting);
    assert_eq!(state(&after(1, &mut input).0[0]), Up);
}

#[test]
fn a_restart_that_takes_too_long_is_cancelled_and_what_follows_waits_for_its_end() {
    let mut input = down();
    begin(&mut input);
    input.now = input.now.plus_seconds(600);
    let verdict = verdict(&input);
    assert_eq!((state(&verdict), verdict.cancel.as_deref(), verdict.begin), (Restarting, Some("auto-restart-a-1"), None));
    input.hosts[0].operation_ended = Some("Cancelled".into());
    assert_eq!(begin_of(&mut input), Some(Begin::Evacuate));
}

fn begin_of(input: &mut Input) -> Option<Begin> {
    after(1, input).0.swap_remove(0).begin
}

#[test]
fn a_host_that_reported_before_it_was_switched_off_is_judged_anew() {
    let mut input = down();
    begin(&mut input);
    input.hosts[0].operation_ended = Some("HostReturned".into());
    assert_eq!(state(&after(1, &mut input).0[0]), Unknown);
}

#[test]
fn a_restart_needs_no_guests_and_no_leave_to_evacuate_and_gives_way_to_operations() {
    let mut input = down();
    input.hosts[0].guests = Fact::Unknown("500".into());
    input.policies[0].policy.spec.evacuation.mode = AutomaticEvacuation::Forbidden;
    assert_eq!(verdict(&input).begin, Some(Begin::Restart));
    assert!(!verdict(&input).count_guests);
    // A drain gives way to an evacuation only.
    input.hosts[0].open_operations = vec![operation(HostOperationType::Drain)];
    assert_eq!(verdict(&input).allowed.reason, "EvacuationForbidden");
    input.hosts[0].open_operations.clear();
    input.policies[0].policy.spec.limits.max_down_hosts = 0;
    assert_eq!((begun(&pass(&input).hosts).len(), verdict(&input).allowed.reason), (0, "NeverEvacuate"));
}

#[test]
fn a_host_that_was_restarted_too_often_within_the_window_is_evacuated_at_once() {
    let mut input = down();
    for _ in 0..3 {
        assert_eq!(verdict(&input).begin, Some(Begin::Restart));
        begin(&mut input);
        input.hosts[0].operation_ended = Some("Succeeded".into());
        input.hosts[0].up = Fact::Seen(true, at(0));
        after(1, &mut input);
        input.hosts[0].up = Fact::Seen(false, at(0));
        after(2, &mut input);
    }
    assert_eq!(verdict(&input).begin, Some(Begin::Evacuate));
    input.now = input.now.plus_seconds(3_600);
    assert_eq!(verdict(&input).begin, Some(Begin::Restart), "the window is over");
}

// ---- the operation -----------------------------------------------------------------------

fn cycle(facts: HostFacts) -> Play<HostOperation> {
    let mut object: Object<HostOperation> = operation(HostOperationType::PowerCycle);
    (object.spec.cause, object.spec.running_guests) = (Cause::Automatic, RunningGuests::Kill);
    Play::new(object, HostFacts { guests: Fact::Seen(vec![guest("g")], at(0)), ..facts }, Env { owner: "HostOperation/auto".into(), ..env() })
}

#[test]
fn a_dead_host_is_switched_off_proven_off_and_switched_on_with_its_guests() {
    let mut play = cycle(dead());
    assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::ForceOff, .. }));
    play.answered(OperationState::Observed, "");
    play.pass_time(1);
    play.facts.links[0].state = Fact::Seen(PowerState::Off, play.env.now);
    assert_eq!(waits(play.pass()).0, reasons::PROVING_OFF);
    play.pass_time(5);
    assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::On, .. }));
    play.answered(OperationState::Observed, "");
    play.pass_time(1);
    play.facts.links[0].state = Fact::Seen(PowerState::On, play.env.now);
    assert_eq!(play.pass(), Next::Finished);
    assert!(play.object.status.conditions.is_true("Succeeded"));
}

#[test]
fn only_a_host_that_is_dead_is_switched_off_and_one_that_lives_ends_it() {
    let mut alive = cycle(facts());
    assert_eq!(alive.pass(), Next::Finished);
    assert_eq!(alive.object.status.conditions.find("Succeeded").map(|c| c.reason.as_str()), Some(reasons::HOST_RETURNED));
    let up = HostFacts { service: Fact::Seen(ServiceFacts { updated_at: "u9".into(), ..service() }, at(0)), ..dead() };
    assert_eq!(cycle(up).pass(), Next::Finished);
    let blind = HostFacts { links: vec![blind(link("l1", PowerState::On))], ..dead() };
    assert_eq!(waits(cycle(blind).pass()).0, reasons::IN_DOUBT);
    let unread = HostFacts { moves: Fact::Unknown("500".into()), ..dead() };
    assert_eq!(waits(cycle(unread).pass()).0, reasons::NOVA_UNREADABLE);
    let mut uncounted = cycle(dead());
    uncounted.facts.guests = Fact::Unknown("500".into());
    assert_eq!(waits(uncounted.pass()).0, reasons::NOVA_UNREADABLE);
}

#[test]
fn a_host_with_a_guest_on_its_way_is_not_booted() {
    for (status, ends) in [("running", true), ("accepted", true), ("finished", false), ("completed", false), ("error", true)] {
        let mut play = cycle(HostFacts { moves: Fact::Seen(vec![record(7, "live-migration", status, "g")], at(0)), ..dead() });
        let next = play.pass();
        assert_eq!(next == Next::Finished, ends, "{status}: {next:?}");
        if ends {
            assert_eq!(play.object.status.conditions.find("Succeeded").map(|c| c.reason.as_str()), Some(reasons::MOVE_IN_FLIGHT));
        }
    }
}

#[test]
fn while_frozen_nothing_is_switched_and_an_ex_leaders_power_command_holds_the_way_back() {
    let mut play = cycle(dead());
    play.env.policy.operations = schemas::v1::Operations::Frozen;
    assert_eq!(waits(play.pass()).0, reasons::FROZEN);
    play.env.policy.operations = schemas::v1::Operations::Normal;
    play.facts.links = vec![link("l1", PowerState::Off)];
    play.env.evidence = proven();
    let off = Step::Power { link: "l1".into(), command: PowerCommand::ForceOff };
    let theirs = Intent { ex_leader: Some(3), owner_uid: "uid-gone".into(), ..intent(off, OperationState::Issued, 25) };
    play.env.intents = vec![theirs];
    for _ in 0..3 {
        play.pass();
        play.pass_time(5);
    }
    assert_eq!(waits(play.pass()).0, reasons::EX_LEADER_POWER);
}

fn heard(says: Says) -> Observation {
    let (host, channel, by) = ("a".into(), "storage".into(), "probe".into());
    Observation { host, channel, says, observed_at: at(0), received_at: at(0), ttl_seconds: 600, by, detail: String::new() }
}

/// Why it ended, if it did.
fn ended(play: &Play<HostOperation>) -> Option<&str> {
    let reason = play.object.status.conditions.find("Succeeded").map(|c| c.reason.as_str());
    play.object.status.finished_at.and(reason)
}

#[test]
fn a_restart_that_waits_ends_untouched_when_another_channel_calls_the_host_alive() {
    let readable = dead().links;
    let mut play = cycle(HostFacts { links: vec![blind(link("l1", PowerState::On))], ..dead() });
    assert_eq!(waits(play.pass()).0, reasons::IN_DOUBT);
    (play.facts.links, play.facts.channels) = (readable, Fact::Seen(vec![heard(Says::Alive)], at(0)));
    assert_eq!((play.pass(), ended(&play)), (Next::Finished, Some(reasons::ALIVE_ELSEWHERE)));
    let mut unread = cycle(HostFacts { channels: Fact::Unknown("the store".into()), ..dead() });
    assert_eq!(waits(unread.pass()).0, reasons::EVIDENCE_MISSING);
}

#[test]
fn once_its_power_off_was_sent_a_restart_ends_whatever_a_channel_says() {
    let mut play = cycle(dead());
    steps(play.pass());
    play.answered(OperationState::Observed, "");
    play.facts.channels = Fact::Seen(vec![heard(Says::Alive)], at(0));
    play.pass_time(1);
    play.facts.links[0].state = Fact::Seen(PowerState::Off, play.env.now);
    play.pass();
    play.pass_time(5);
    assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::On, .. }), "it is not left off");
}

#[test]
fn a_restart_goes_by_the_evidence_that_its_policy_asks_for_to_the_last_look() {
    let rule = |max_age_seconds| EvidenceRule { demand: Demand::SecondChannelSilent, max_age_seconds, ..EvidenceRule::default() };
    let asks = |max_age_seconds| holding(|policy| policy.spec.evidence = rule(max_age_seconds));
    let mut play = cycle(HostFacts { holding: asks(30), ..dead() });
    assert_eq!(waits(play.pass()).0, reasons::EVIDENCE_MISSING);
    play.facts.channels = Fact::Seen(vec![heard(Says::Silent)], at(0));
    play.pass_time(31);
    assert_eq!(waits(play.pass()).0, reasons::EVIDENCE_MISSING, "it is older than the policy lets it be");
    play.facts.holding = asks(60);
    assert!(matches!(steps(play.pass()), Step::Power { command: PowerCommand::ForceOff, .. }));
    // Without a rule, as one that was made by an earlier release, no second channel is demanded.
    assert!(matches!(steps(cycle(dead()).pass()), Step::Power { command: PowerCommand::ForceOff, .. }));
}
