//! S8: a host with an ex-leader's unsettled power command is not returned to service.

use crate::common::*;
use planner::{Fact, Intent, Next, Step, contract::PowerCommand, hold::HOLD_SECONDS, proof::Latch};
use schemas::v1::{FormerLeader, Host, HostOperation, HostOperationType, OperationState, PowerState, PowerWish, Schedulable, reasons};

fn power(command: PowerCommand) -> Step {
    Step::Power { link: "l1".into(), command }
}

/// A power-off that the leader with token 3 had written down, past its end of life.
fn theirs() -> Intent {
    Intent { ex_leader: Some(3), owner_uid: "uid-gone".into(), ..intent(power(PowerCommand::ForceOff), OperationState::Issued, 25) }
}

/// A host that is on, heard and disabled by us, with that intent open.
fn enable(former: FormerLeader, inherited: Intent) -> Play<HostOperation> {
    let mut object = operation(HostOperationType::Enable);
    object.spec.former_leader = former;
    let facts = planner::facts::HostFacts { service: Fact::Seen(disabled(), at(0)), ..facts() };
    let mut env = env();
    env.intents = vec![inherited];
    Play::new(object, facts, env)
}

#[test]
fn after_an_ex_leaders_open_power_command_a_host_is_enabled_ten_minutes_later_and_says_why() {
    let mut play = enable(FormerLeader::Unknown, theirs());
    let (reason, message) = waits(play.pass());
    assert_eq!(reason, reasons::EX_LEADER_POWER);
    assert!(message.contains("token 3") && message.contains("600 s") && message.contains("formerLeader: Gone"), "{message}");
    assert_eq!(play.env.intents[0].state, OperationState::Observed, "settled, and yet remembered");
    play.pass_time(HOLD_SECONDS - 1);
    assert!(waits(play.pass()).1.contains("in 1 s"));
    play.pass_time(1);
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(true), .. }));
    assert_eq!(play.env.evidence.hold, None);
}

#[test]
fn what_a_leader_that_is_gone_or_we_ourselves_had_sent_holds_nothing() {
    let ours = Intent { ex_leader: None, ..theirs() };
    assert!(matches!(steps(enable(FormerLeader::Unknown, ours).pass()), Step::NovaService { enabled: Some(true), .. }));
    let closed = Intent { state: OperationState::Observed, ..theirs() };
    assert!(
        matches!(steps(enable(FormerLeader::Unknown, closed).pass()), Step::NovaService { enabled: Some(true), .. }),
        "its own leader settled it"
    );
}

#[test]
fn a_person_may_state_that_the_ex_leader_is_gone() {
    let mut play = enable(FormerLeader::Gone, theirs());
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(true), .. }));
    assert_eq!(play.env.evidence.hold, None);
    // Only what returns hosts can carry that statement.
    let mut spec = operation(HostOperationType::Drain).spec;
    spec.former_leader = FormerLeader::Gone;
    let errors = <HostOperation as schemas::Kind>::validate("x", &spec);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].field, "spec.formerLeader");
}

#[test]
fn a_declared_host_is_held_as_well_and_a_drain_is_not() {
    let mut object = host(PowerWish::On);
    object.spec.schedulable = Schedulable::Enabled;
    let facts = planner::facts::HostFacts { service: Fact::Seen(disabled(), at(0)), ..facts() };
    let mut env = env();
    env.intents = vec![theirs()];
    let mut play: Play<Host> = Play::new(object, facts.clone(), env.clone());
    assert_eq!(waits(play.pass()).0, reasons::EX_LEADER_POWER);
    assert_eq!(play.object.status.waiting.as_ref().map(|w| w.reason.as_str()), Some(reasons::EX_LEADER_POWER));
    let on = planner::facts::HostFacts { service: Fact::Seen(service(), at(0)), ..facts };
    let mut drain: Play<HostOperation> = Play::new(operation(HostOperationType::Drain), on, env);
    assert!(matches!(steps(drain.pass()), Step::NovaService { enabled: Some(false), .. }), "less service, not more");
}

#[test]
fn power_comes_back_at_once_only_where_nova_holds_the_host_down() {
    for (row, held) in [(service(), true), (disabled(), false), (fenced(), false)] {
        let facts = planner::facts::HostFacts { service: Fact::Seen(row.clone(), at(0)), links: vec![link("l1", PowerState::Off)], ..facts() };
        let mut env = env();
        env.intents = vec![theirs()];
        let mut play: Play<HostOperation> = Play::new(operation(HostOperationType::PowerOn), facts, env);
        let next = play.pass();
        assert_eq!(matches!(&next, Next::Wait { reason, .. } if *reason == reasons::EX_LEADER_POWER), held, "{row:?}: {next:?}");
    }
}

#[test]
fn a_fenced_host_keeps_its_latch_and_its_forced_down_while_it_is_held() {
    let forced = planner::facts::ServiceFacts { up: false, ..fenced() };
    let facts =
        planner::facts::HostFacts { service: Fact::Seen(forced, at(0)), beats: vec![beat(-10, "u-1", false), beat(0, "u0", false)], ..facts() };
    let mut env = env();
    env.intents = vec![theirs()];
    env.evidence.latch = Some(Latch { epoch: 1, by: "Evacuation/x".into(), by_uid: "x".into(), at: at(-100), disabled_by_us: true, attested: None });
    let mut play: Play<HostOperation> = Play::new(operation(HostOperationType::PowerOn), facts, env);
    assert_eq!(waits(play.pass()).0, reasons::SERVICE_DOWN, "what it reported before that command may be of its last life");
    play.pass_time(10);
    play.facts.beats.push(beat(5, "u-1", false));
    assert_eq!(waits(play.pass()).0, reasons::EX_LEADER_POWER);
    assert!(play.env.evidence.latch.is_some());
    play.pass_time(HOLD_SECONDS - 10);
    assert!(matches!(steps(play.pass()), Step::NovaService { forced_down: Some(false), .. }));
}

#[test]
fn a_hold_is_counted_anew_by_each_leader_whatever_the_clock_of_the_one_before_said() {
    for ours in [-5_000, 5_000] {
        let mut play = enable(FormerLeader::Unknown, theirs());
        waits(play.pass());
        (play.env.led_since, play.env.now) = (at(ours), at(ours + 10));
        let told = waits(play.pass()).1;
        assert!(told.contains("590 s"), "{told}");
        assert_eq!(play.env.evidence.hold.as_ref().map(|h| h.since), Some(at(ours)));
    }
}
