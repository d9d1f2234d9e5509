//! S9: stopped guests are cold-migrated where that is asked for, by S6 and S7 as live migrations are.

use crate::common::*;
use planner::{
    Env, Fact, Intent, Step,
    facts::{Guest, HostFacts, Move},
    settle::{Standing, settle_all, standing},
};
use schemas::v1::{HostOperation, HostOperationType, OperationState, StoppedGuests, reasons};

fn cold(server: &str, before: &[i64]) -> Step {
    Step::ColdMigrate { server: server.into(), records_before: before.to_vec() }
}

fn confirm(server: &str, record: i64) -> Step {
    Step::ConfirmResize { server: server.into(), record }
}

/// A disabled host that is alive, with these guests and records.
fn with(guests: Vec<Guest>, moves: Vec<Move>) -> HostFacts {
    HostFacts { service: Fact::Seen(disabled(), at(0)), guests: Fact::Seen(guests, at(0)), moves: Fact::Seen(moves, at(0)), ..facts() }
}

fn drain(stopped: StoppedGuests, facts: HostFacts) -> Play<HostOperation> {
    let mut object = operation(HostOperationType::Drain);
    object.spec.stopped_guests = stopped;
    Play::new(object, facts, env())
}

/// The guest of a cold migration to `b` that has arrived.
fn arrived() -> Guest {
    Guest { vm_state: "resized".into(), host: Some("b".into()), ..stopped("g") }
}

fn elsewhere(facts: &mut HostFacts, guest: Guest) {
    facts.guests = Fact::Seen(Vec::new(), at(0));
    facts.elsewhere = [(guest.id.clone(), Fact::Seen(guest, at(0)))].into();
}

#[test]
fn stopped_guests_stay_unless_told_otherwise_and_running_ones_go_first() {
    let both = || with(vec![stopped("s"), guest("g")], vec![record(7, "migration", "confirmed", "s")]);
    let mut leave = drain(StoppedGuests::Leave, both());
    assert_eq!(steps(leave.pass()), live_migrate("g"));
    let mut move_all = drain(StoppedGuests::ColdMigrate, both());
    assert_eq!(steps(move_all.pass()), live_migrate("g"));
    assert_eq!(steps(move_all.pass()), cold("s", &[7]));
    assert_eq!(waits(move_all.pass()).0, reasons::SETTLING.max(reasons::WAITING_FOR_MOVES));
    let mut done = drain(StoppedGuests::Leave, with(vec![stopped("s")], vec![]));
    assert_eq!(done.pass(), planner::Next::Finished);
}

#[test]
fn what_cannot_be_cold_migrated_holds_the_host_and_is_named() {
    for state in ["suspended", "shelved", "error"] {
        let odd = Guest { vm_state: state.into(), ..stopped("s") };
        let mut play = drain(StoppedGuests::ColdMigrate, with(vec![odd.clone()], vec![]));
        let (reason, message) = waits(play.pass());
        assert_eq!(reason, reasons::GUEST_CANNOT_MOVE);
        assert!(message.contains(state) && message.contains("stoppedGuests: Leave"), "{message}");
        assert_eq!(drain(StoppedGuests::Leave, with(vec![odd], vec![])).pass(), planner::Next::Finished);
    }
}

#[test]
fn it_is_confirmed_when_it_has_arrived_and_only_if_the_record_is_ours() {
    let at_b = Move { destination: Some("b".into()), ..record(9, "migration", "finished", "g") };
    let mut play = drain(StoppedGuests::ColdMigrate, with(vec![], vec![at_b.clone()]));
    elsewhere(&mut play.facts, arrived());
    // A user's own cold migration or resize, not confirmed yet, is the user's to confirm or revert.
    assert_eq!(play.pass(), planner::Next::Finished);

    let ours = |facts: &mut dyn FnMut(&mut HostFacts)| {
        let mut play = drain(StoppedGuests::ColdMigrate, with(vec![], vec![at_b.clone()]));
        elsewhere(&mut play.facts, arrived());
        facts(&mut play.facts);
        play.env.intents = vec![intent(cold("g", &[8]), OperationState::Accepted, 30)];
        play
    };
    let mut play = ours(&mut |_| {});
    assert_eq!(steps(play.pass()), confirm("g", 9));
    assert!(waits(play.pass()).1.contains("finished"), "once");
    for change in [
        &mut |f: &mut HostFacts| elsewhere(f, Guest { task_state: Some("resize_reverting".into()), ..arrived() }) as (),
        &mut |f: &mut HostFacts| elsewhere(f, Guest { host: Some("c".into()), ..arrived() }),
        &mut |f: &mut HostFacts| elsewhere(f, Guest { vm_state: "active".into(), ..arrived() }),
        &mut |f: &mut HostFacts| f.elsewhere = [("g".to_string(), Fact::Unknown("500".into()))].into(),
        &mut |f: &mut HostFacts| f.moves = Fact::Unknown("500".into()),
        &mut |f: &mut HostFacts| f.service = Fact::Seen(planner::facts::ServiceFacts { up: false, ..disabled() }, at(0)),
    ] as [&mut dyn FnMut(&mut HostFacts); 6]
    {
        let mut play = ours(change);
        let next = play.pass();
        assert!(matches!(next, planner::Next::Wait { .. }), "{next:?}");
    }
    let mut halted = ours(&mut |_| {});
    halted.env.halted = Some("restored".into());
    assert_eq!(waits(halted.pass()).0, reasons::RESTORED);
}

#[test]
fn a_cancelled_drain_confirms_what_it_had_begun_before_it_ends() {
    let at_b = record(9, "migration", "finished", "g");
    let mut play = drain(StoppedGuests::ColdMigrate, with(vec![], vec![at_b]));
    elsewhere(&mut play.facts, arrived());
    play.env.intents = vec![intent(cold("g", &[]), OperationState::Accepted, 30)];
    play.object.spec.cancel = schemas::v1::Cancel::Requested;
    assert_eq!(steps(play.pass()), confirm("g", 9));
    play.answered(OperationState::Accepted, "");
    play.pass_time(2);
    play.facts.moves = Fact::Seen(vec![record(9, "migration", "confirmed", "g")], play.env.now);
    elsewhere(&mut play.facts, Guest { host: Some("b".into()), ..stopped("g") });
    restamp(&mut play.facts, play.env.now);
    assert_eq!(play.pass(), planner::Next::Finished);
    assert!(play.env.intents.iter().all(|i| i.state == OperationState::Observed));
}

#[test]
fn a_failed_or_reverted_one_is_tried_again_after_a_pause() {
    for status in ["error", "reverted"] {
        let mut play = drain(StoppedGuests::ColdMigrate, with(vec![stopped("g")], vec![record(9, "migration", status, "g")]));
        let sent = intent(cold("g", &[8]), OperationState::Accepted, 30);
        let Standing::Close(OperationState::Failed, evidence) = standing(&sent, &play.facts, at(0)) else { panic!("{status} is a failure") };
        assert!(evidence.contains(status), "{evidence}");
        play.env.intents = vec![Intent { state: OperationState::Failed, closed_at: Some(at(0)), evidence, ..sent }];
        let (reason, message) = waits(play.pass());
        assert_eq!(reason, reasons::GUEST_CANNOT_MOVE);
        assert!(message.contains(status) && message.contains("tried again"), "{message}");
        play.pass_time(31);
        assert_eq!(steps(play.pass()), cold("g", &[9]));
    }
}

#[test]
fn calls_are_settled_by_the_records_and_never_on_a_guess() {
    use OperationState::*;
    let judge = |intent: &Intent, facts: &HostFacts| match standing(intent, facts, at(0)) {
        Standing::Close(state, _) => format!("{state:?}"),
        Standing::Open { reason, .. } => reason.to_string(),
    };
    let of = |status: &str| with(vec![], vec![record(9, "migration", status, "g")]);
    let sent = |state, age| intent(confirm("g", 9), state, age);
    for (intent, facts, want) in [
        (sent(Issued, 5), of("finished"), reasons::SETTLING),
        (sent(Accepted, 5), of("finished"), reasons::WAITING_FOR_MOVES),
        (sent(Accepted, 5), of("confirming"), reasons::WAITING_FOR_MOVES),
        (sent(Unknown, 25), of("confirming"), reasons::WAITING_FOR_MOVES),
        (sent(Unknown, 25), of("finished"), "Failed"),
        (sent(Unknown, 25), of("reverted"), "Failed"),
        (sent(Unknown, 25), of("confirmed"), "Observed"),
        (sent(Accepted, 5), with(vec![], vec![]), reasons::SETTLING),
        (sent(Accepted, 5), HostFacts { moves: Fact::Unknown("500".into()), ..of("confirmed") }, reasons::NOVA_UNREADABLE),
        (intent(cold("g", &[]), Accepted, 5), with(vec![stopped("g")], vec![record(9, "resize", "error", "g")]), reasons::SETTLING),
        (intent(cold("g", &[]), Unknown, 25), with(vec![stopped("g")], vec![]), reasons::SETTLING),
        (intent(cold("g", &[]), Unknown, 81), with(vec![stopped("g")], vec![]), "Failed"),
        (
            intent(cold("g", &[]), Accepted, 5),
            with(vec![stopped("g")], vec![record(9, "migration", "post-migrating", "g")]),
            reasons::WAITING_FOR_MOVES,
        ),
    ] {
        assert_eq!(judge(&intent, &facts), want, "{} {:?} {:?}", intent.step, intent.state, facts.moves);
    }
    let settled = settle_all(&Env { intents: vec![sent(Accepted, 5)], ..env() }, &of("confirming"));
    assert!(settled.blocking().is_none());
}
