//! S6 to S8: what may have happened is looked at before it is repeated.

use crate::common::{rebuild::*, *};
use planner::{
    Env, Fact, Intent, Next, Step,
    contract::PowerCommand,
    facts::{Guest, HostFacts, Move},
    settle::{LOST, Standing, settle_all, standing},
};
use schemas::v1::{EvacuationKind, GuestDisks, GuestMove, GuestOutcome, LocalDisks, OperationState, OperationState::*, reasons};

fn elsewhere(id: &str, task: Option<&str>) -> (String, Fact<Guest>) {
    (id.into(), Fact::Seen(Guest { host: Some("b".into()), task_state: task.map(String::from), ..guest(id) }, at(0)))
}

fn word(standing: Standing) -> String {
    match standing {
        Standing::Close(state, _) => format!("{state:?}"),
        Standing::Open { needs_human: true, .. } => "NeedsHuman".into(),
        Standing::Open { reason, .. } => reason.into(),
    }
}

fn judge(intent: &Intent, facts: &HostFacts) -> String {
    word(standing(intent, facts, at(0)))
}

#[test]
fn an_evacuation_is_settled_by_records_of_ours_and_by_where_the_guest_is() {
    let here = || vec![guest("g")];
    let sent = |state, age| intent(evacuate("g", "b", &[1]), state, age);
    let moved = |moves: Vec<Move>, task: Option<&str>| HostFacts { elsewhere: [elsewhere("g", task)].into(), ..with(vec![], moves) };
    let ours = |status: &str| vec![record(2, "evacuation", status, "g")];
    let busy = |task: &str| vec![Guest { task_state: Some(task.into()), ..guest("g") }];
    let cases: Vec<(&str, Intent, HostFacts, &str)> = vec![
        ("before its end of life", sent(Issued, 19), with(here(), ours("done")), reasons::SETTLING),
        ("before its end of life, no answer", sent(Unknown, 19), moved(ours("done"), None), reasons::SETTLING),
        ("accepted calls are looked at at once", sent(Accepted, 1), moved(ours("done"), None), "Observed"),
        ("at work", sent(Accepted, 5), with(here(), ours("pre-migrating")), reasons::WAITING_FOR_MOVES),
        ("done, but the guest is not switched yet", sent(Accepted, 5), with(here(), ours("done")), reasons::WAITING_FOR_MOVES),
        ("done, but Nova is busy with the guest", sent(Accepted, 5), moved(ours("done"), Some("rebuild_spawning")), reasons::WAITING_FOR_MOVES),
        ("done for minutes, and the guest is still here", sent(Accepted, 321), with(here(), ours("done")), "NeedsHuman"),
        ("failed", sent(Accepted, 5), with(here(), ours("failed")), "Failed"),
        ("in error", sent(Unknown, 25), with(here(), ours("error")), "Failed"),
        (
            "one record failed, another is at work",
            sent(Unknown, 25),
            with(here(), [ours("error"), vec![record(3, "evacuation", "accepted", "g")]].concat()),
            reasons::WAITING_FOR_MOVES,
        ),
        ("an older record is not ours", sent(Unknown, 25), with(here(), vec![record(1, "evacuation", "accepted", "g")]), reasons::SETTLING),
        ("a record of another guest is not ours", sent(Unknown, 25), with(here(), vec![record(2, "evacuation", "accepted", "x")]), reasons::SETTLING),
        (
            "a record of another kind is not ours",
            sent(Unknown, 25),
            with(here(), vec![record(2, "live-migration", "running", "g")]),
            reasons::SETTLING,
        ),
        ("no record within a minute", sent(Unknown, 79), with(here(), vec![]), reasons::SETTLING),
        ("no record after a minute", sent(Unknown, 80), with(here(), vec![]), "Failed"),
        ("no record, but Nova is busy with the guest", sent(Unknown, 300), with(busy("rebuilding"), vec![]), reasons::SETTLING),
        ("no record for a quarter of an hour, and Nova is still busy", sent(Unknown, 921), with(busy("rebuilding"), vec![]), "NeedsHuman"),
        ("accepted, and never a record", sent(Accepted, 300), with(here(), vec![]), "NeedsHuman"),
        ("no record, and the guest is elsewhere", sent(Unknown, 25), moved(vec![], None), "Observed"),
        ("the guest cannot be read", sent(Unknown, 300), with(vec![], vec![]), reasons::NOVA_UNREADABLE),
        (
            "records cannot be read",
            sent(Unknown, 300),
            HostFacts { moves: Fact::Unknown("500".into()), ..with(here(), vec![]) },
            reasons::NOVA_UNREADABLE,
        ),
        (
            "the guest was deleted",
            sent(Unknown, 25),
            HostFacts { elsewhere: [("g".to_string(), Fact::Absent(at(0)))].into(), ..with(vec![], vec![]) },
            "Observed",
        ),
    ];
    for (what, intent, facts, want) in cases {
        assert_eq!(judge(&intent, &facts), want, "{what}");
    }
}

#[test]
fn targets_are_settled_by_what_shows_after_their_end_of_life() {
    let put = Step::NovaService { service_id: "svc-a".into(), enabled: Some(false), reason: None, forced_down: Some(true) };
    let off = Step::Power { link: "l1".into(), command: PowerCommand::ForceOff };
    let stop = Step::StopGuest { server: "g".into() };
    let fenced_row = || HostFacts { service: Fact::Seen(fenced(), at(0)), ..dead() };
    let half = HostFacts { service: Fact::Seen(planner::facts::ServiceFacts { forced_down: false, ..fenced() }, at(0)), ..dead() };
    let stopping = vec![Guest { task_state: Some("powering-off".into()), ..guest("g") }];
    let cases: Vec<(Intent, HostFacts, &str)> = vec![
        (intent(put.clone(), Unknown, 19), fenced_row(), reasons::SETTLING),
        (intent(put.clone(), Unknown, 20), fenced_row(), "Observed"),
        (intent(put.clone(), Issued, 20), half, "Failed"),
        (intent(put.clone(), Unknown, 20), HostFacts { service: Fact::Unknown("500".into()), ..dead() }, reasons::NOVA_UNREADABLE),
        (intent(off.clone(), Unknown, 19), dead(), reasons::SETTLING),
        (intent(off, Issued, 20), dead(), "Observed"),
        (intent(stop.clone(), Accepted, 3), with(stopping, vec![]), reasons::WAITING_FOR_MOVES),
        (intent(stop.clone(), Accepted, 3), with(vec![stopped("g")], vec![]), "Observed"),
        (intent(stop.clone(), Accepted, 3), with(vec![guest("g")], vec![]), reasons::WAITING_FOR_MOVES),
        (intent(stop, Accepted, 25), with(vec![guest("g")], vec![]), "Failed"),
    ];
    for (intent, facts, want) in cases {
        assert_eq!(judge(&intent, &facts), want, "{} {:?}", intent.step, intent.state);
    }
}

#[test]
fn a_look_that_is_older_than_the_call_settles_nothing() {
    let put = Step::NovaService { service_id: "svc-a".into(), enabled: Some(false), reason: None, forced_down: None };
    let old = HostFacts { service: Fact::Seen(service(), at(-6)), ..dead() };
    assert_eq!(judge(&intent(put.clone(), Unknown, 25), &old), reasons::SETTLING, "it may have landed in the five seconds since");
    assert_eq!(judge(&intent(put, Unknown, 26), &old), "Failed");
    let before =
        HostFacts { guests: Fact::Seen(vec![guest("g")], at(-6)), moves: Fact::Seen(vec![record(2, "evacuation", "failed", "g")], at(0)), ..dead() };
    assert_eq!(judge(&intent(evacuate("g", "b", &[]), Accepted, 6), &before), reasons::SETTLING);
    assert_eq!(judge(&intent(evacuate("g", "b", &[]), Accepted, 7), &before), "Failed");
}

#[test]
fn only_power_and_service_calls_hold_up_the_host_and_only_while_they_are_open() {
    let off = Step::Power { link: "l1".into(), command: PowerCommand::ForceOff };
    let settled = |intents: Vec<Intent>| settle_all(&Env { intents, ..env() }, &with(vec![guest("g")], vec![]));
    assert!(settled(vec![intent(off.clone(), Unknown, 3)]).blocking().is_some());
    assert!(settled(vec![intent(off, Unknown, 30)]).blocking().is_none());
    let moving = settled(vec![intent(live_migrate("g"), Unknown, 3)]);
    assert!(moving.blocking().is_none());
    assert_eq!(moving.moving().count(), 1);
}

// ---- the guests of an evacuation ------------------------------------------------------------

#[test]
fn guests_are_sent_group_by_group_running_ones_first_and_those_of_priority_zero_never() {
    let with_priority = |id: &str, p: &str| Guest { metadata: [("recovery_priority".to_string(), p.to_string())].into(), ..guest(id) };
    let guests = vec![
        guest("default"),
        with_priority("never", "0"),
        with_priority("first", "10"),
        with_priority("junk", "eleven"),
        stopped("stopped"),
        with_priority("late", "1"),
    ];
    let mut play = fenced_with(guests, vec![]);
    let mut order: Vec<Vec<String>> = Vec::new();
    for _ in 0..3 {
        let mut group = Vec::new();
        while let Next::Step(Step::Evacuate { server, .. }) = play.pass() {
            group.push(server);
        }
        play.arrive(&group);
        order.push(group);
    }
    assert_eq!(order, [vec!["first"], vec!["default", "junk", "stopped"], vec!["late"]]);
    assert_eq!((record_of(&play, "never").outcome, record_of(&play, "never").reason.as_str()), (GuestOutcome::Skipped, reasons::PRIORITY_ZERO));
}

#[test]
fn a_guest_that_cannot_or_must_not_be_rebuilt_is_named_with_its_reason() {
    let state = |s: &str| Guest { vm_state: s.into(), ..guest("g") };
    let task = |t: &str| Guest { task_state: Some(t.into()), ..guest("g") };
    let cases: Vec<(Guest, Vec<Move>, GuestDisks, GuestOutcome, &str)> = vec![
        (state("paused"), vec![], GuestDisks::Shared, GuestOutcome::Skipped, reasons::STATE_UNSUITABLE),
        (state("resized"), vec![], GuestDisks::Shared, GuestOutcome::Skipped, reasons::STATE_UNSUITABLE),
        (guest("g"), vec![], GuestDisks::Local, GuestOutcome::Skipped, reasons::LOCAL_DISK),
        (
            Guest { boot_from_volume: true, local_extra_disks: true, ..guest("g") },
            vec![],
            GuestDisks::Local,
            GuestOutcome::Skipped,
            reasons::LOCAL_DISK,
        ),
        (guest("g"), vec![record(1, "live-migration", "running", "g")], GuestDisks::Shared, GuestOutcome::NeedsHuman, reasons::MOVE_IN_FLIGHT),
        (guest("g"), vec![record(1, "evacuation", "accepted", "g")], GuestDisks::Shared, GuestOutcome::NeedsHuman, reasons::MOVE_IN_FLIGHT),
        (guest("g"), vec![record(1, "migration", "finished", "g")], GuestDisks::Shared, GuestOutcome::NeedsHuman, reasons::MOVE_IN_FLIGHT),
        (task("migrating"), vec![], GuestDisks::Shared, GuestOutcome::NeedsHuman, reasons::MOVE_IN_FLIGHT),
        (
            Guest { vm_state: "error".into(), power_state: 4, ..guest("g") },
            vec![],
            GuestDisks::Shared,
            GuestOutcome::NeedsHuman,
            reasons::NEEDS_HUMAN,
        ),
    ];
    for (guest, moves, disks, outcome, reason) in cases {
        let mut play = fenced_with(vec![guest.clone()], moves);
        play.facts.disks = Fact::Seen(disks, at(0));
        let next = play.pass();
        assert!(!matches!(next, Next::Step(_)), "{guest:?}");
        let found = record_of(&play, "g");
        assert_eq!((found.outcome, found.reason.as_str()), (outcome, reason), "{guest:?}");
        assert!(!found.message.is_empty());
    }
    let safe = [Guest { boot_from_volume: true, ..guest("g") }, Guest { vm_state: "error".into(), ..guest("g") }];
    for guest in safe {
        let mut play = fenced_with(vec![guest], vec![record(1, "evacuation", "error", "g")]);
        play.object.spec.local_disks = LocalDisks::Rebuild;
        assert_eq!(sends(play.pass()).0, "g");
    }
}

#[test]
fn a_guest_that_may_have_been_started_where_its_evacuation_failed_goes_there_again() {
    let broken = Guest { vm_state: "error".into(), ..guest("g") };
    for (status, destination) in [("failed", "c"), ("error", "b")] {
        let failed = Move { destination: Some("c".into()), ..record(1, "evacuation", status, "g") };
        let mut play = fenced_with(vec![broken.clone()], vec![failed]);
        assert_eq!(sends(play.pass()).1, destination, "{status}");
    }
    let circle = Move { destination: Some("a".into()), ..record(1, "evacuation", "failed", "g") };
    assert_eq!(sends(fenced_with(vec![broken], vec![circle]).pass()).1, "b", "never to its source");
}

#[test]
fn a_record_whose_destination_fell_silent_needs_a_person() {
    let mut facts = with(vec![guest("g")], vec![record(1, "evacuation", "pre-migrating", "g")]);
    let sent = intent(evacuate("g", "b", &[]), Accepted, 60);
    assert_eq!(judge(&sent, &facts), reasons::WAITING_FOR_MOVES);
    facts.others_up = Fact::Unknown("500".into());
    assert_eq!(judge(&sent, &facts), reasons::WAITING_FOR_MOVES);
    facts.others_up = Fact::Seen(vec!["c".into()], at(0));
    assert_eq!(judge(&sent, &facts), "NeedsHuman");
}

#[test]
fn while_nobody_can_tell_where_disks_are_a_guest_waits() {
    let mut play = fenced_with(vec![guest("g")], vec![]);
    play.facts.disks = Fact::Unknown("500".into());
    assert_eq!(waits(play.pass()).0, reasons::NOVA_UNREADABLE);
    play.facts.disks = Fact::Seen(GuestDisks::Shared, at(0));
    assert_eq!(sends(play.pass()).0, "g");
}

#[test]
fn a_guest_in_error_that_was_shut_down_is_left_stopped_where_nova_can() {
    let broken = Guest { vm_state: "error".into(), power_state: 4, ..guest("g") };
    let mut play = fenced_with(vec![broken], vec![]);
    waits(play.pass());
    play.facts.microversion = Fact::Seen((2, 95), at(0));
    assert_eq!(sends(play.pass()), ("g".into(), "b".into(), true));
}

#[test]
fn an_open_record_that_nova_settles_frees_the_guest() {
    let mut play = fenced_with(vec![guest("g")], vec![record(1, "live-migration", "running", "g")]);
    assert_eq!(waits(play.pass()).0, reasons::NEEDS_HUMAN);
    play.facts.moves = Fact::Seen(vec![record(1, "live-migration", "error", "g")], at(0));
    assert_eq!(sends(play.pass()).0, "g");
}

#[test]
fn who_finds_no_place_while_a_guest_of_its_own_holds_one_for_a_person_asks_that_person() {
    let when_full = |moves| {
        let play = fenced_with(vec![guest("g"), guest("h")], moves);
        let decision = planner::evacuation::decide(&play.object, &play.facts, &play.env);
        assert!(matches!(decision.next, planner::Next::Step(_)) && decision.limits.len() == 2, "{:?}", decision.next);
        decision.when_full
    };
    assert_eq!(when_full(vec![]), None, "it waits for others");
    let (reason, message) = when_full(vec![record(1, "live-migration", "running", "g")]).expect("it asks");
    assert_eq!(reason, reasons::NEEDS_HUMAN);
    assert!(message.starts_with("name-g (g): Nova's record 1") && message.contains("maxEvacuations"), "{message}");
}

/// Sends `g`, lets `seconds` pass, and gives what Nova shows then; everything stays proven.
fn sent(play: &mut Play<EvacuationKind>, state: OperationState, evidence: &str, seconds: i64) {
    sends(play.pass());
    play.answered(state, evidence);
    for _ in 0..seconds {
        play.pass_time(1);
        if let Next::Step(step) = play.pass() {
            panic!("{step:?} too early");
        }
    }
}

#[test]
fn a_failed_request_is_repeated_elsewhere_and_as_often_as_the_policy_says() {
    let mut play = fenced_with(vec![guest("g")], vec![]);
    play.facts.destinations = Fact::Seen(vec![room("b"), room("c"), room("d"), room("e")], at(0));
    let mut tried = Vec::new();
    for n in 1..=3 {
        let (_, destination, _) = sends(play.pass());
        tried.push(destination);
        play.answered(Accepted, "accepted");
        play.pass_time(2);
        play.facts.moves = Fact::Seen((1..=n).map(|id| record(id, "evacuation", "failed", "g")).collect(), play.env.now);
        if n < 3 {
            assert_eq!(waits(play.pass()).0, reasons::RETRYING);
            play.pass_time(3);
            assert_eq!(waits(play.pass()).0, reasons::RETRYING, "Nova may not show yet what became of the guest");
            play.pass_time(1);
        }
    }
    assert_eq!(tried, ["b", "c", "d"]);
    assert_eq!(play.pass(), Next::Finished);
    let found = record_of(&play, "g");
    assert_eq!((found.outcome, found.attempts), (GuestOutcome::Failed, 3));
    assert_eq!(found.failed_destinations, ["b", "c", "d"]);
}

#[test]
fn a_request_without_a_trace_is_repeated_to_the_same_destination_after_a_minute() {
    let mut play = fenced_with(vec![guest("g")], vec![]);
    sent(&mut play, Unknown, "timed out", 79);
    assert_eq!(record_of(&play, "g").destination, "b");
    play.facts.destinations = Fact::Seen(vec![room("c")], at(0));
    play.pass_time(1);
    assert_eq!(waits(play.pass()).0, reasons::RETRYING);
    play.pass_time(4);
    assert_eq!(sends(play.pass()), ("g".into(), "b".into(), false));
    assert_eq!(play.env.intents.iter().filter(|i| i.evidence == LOST).count(), 1);
}

#[test]
fn a_request_that_never_left_counts_as_no_try_and_marks_no_host() {
    let mut play = fenced_with(vec![guest("g")], vec![]);
    for _ in 0..5 {
        assert_eq!(sends(play.pass()).1, "b");
        play.answered(Refused, "not sent: the proof of off is too old; it is read again");
        play.pass_time(4);
    }
    assert_eq!(sends(play.pass()).1, "b");
    assert_eq!(record_of(&play, "g").attempts, 1);
    assert!(record_of(&play, "g").failed_destinations.is_empty());
}

#[test]
fn a_request_whose_record_never_ends_is_never_repeated() {
    let mut play = fenced_with(vec![guest("g")], vec![]);
    sends(play.pass());
    play.answered(Accepted, "accepted");
    play.facts.moves = Fact::Seen(vec![record(1, "evacuation", "pre-migrating", "g")], at(0));
    for _ in 0..100 {
        play.pass_time(60);
        assert!(!matches!(play.pass(), Next::Step(_)));
    }
    assert_eq!(record_of(&play, "g").record, Some(1));
}

#[test]
fn a_guest_whose_request_failed_but_who_is_on_another_host_is_not_sent_again() {
    let mut play = fenced_with(vec![guest("g")], vec![]);
    sends(play.pass());
    play.answered(Accepted, "accepted");
    play.pass_time(5);
    let now = play.env.now;
    play.facts.guests = Fact::Seen(vec![], now);
    play.facts.moves = Fact::Seen(vec![record(1, "evacuation", "failed", "g")], now);
    for task in [Some("rebuilding"), None] {
        play.facts.elsewhere = [elsewhere("g", task)].into();
        restamp(&mut play.facts, now);
        let next = play.pass();
        assert!(!matches!(next, Next::Step(_)), "the proof speaks of another host than the guest's: {next:?}");
    }
    assert_eq!(record_of(&play, "g").outcome, GuestOutcome::Moved);
}

#[test]
fn a_call_of_another_object_that_was_inherited_and_failed_leaves_the_guest_to_be_sent() {
    let mut play = fenced_with(vec![guest("g")], vec![record(1, "live-migration", "running", "g")]);
    let theirs = Intent { owner_uid: "uid-drain".into(), name: "op-theirs".into(), ..intent(live_migrate("g"), Accepted, 60) };
    play.env.intents.push(theirs);
    waits(play.pass());
    play.facts.moves = Fact::Seen(vec![record(1, "live-migration", "error", "g")], at(0));
    assert_eq!(sends(play.pass()).0, "g");
}

#[test]
fn live_migrations_that_failed_before_the_host_died_are_no_tries_of_the_rebuilding() {
    let mut play = fenced_with(vec![guest("g")], vec![]);
    for attempt in 1..=5 {
        play.env.intents.push(Intent { name: format!("op-lm-{attempt}"), attempt, ..intent(live_migrate("g"), Failed, 600 - attempt) });
    }
    play.object.status.guests =
        vec![GuestMove { id: "g".into(), vm_state: "active".into(), priority: 5, attempts: 5, outcome: GuestOutcome::Moving, ..Default::default() }];
    assert_eq!(sends(play.pass()).0, "g");
    assert_eq!(record_of(&play, "g").attempts, 1);
}

#[test]
fn a_destination_whose_load_cannot_be_told_takes_nobody_else() {
    let hungry = |id: &str| Guest { needs: [("MEMORY_MB".to_string(), 3000)].into(), ..guest(id) };
    let mut play = fenced_with(vec![hungry("g0"), hungry("g1")], vec![]);
    play.facts.destinations = Fact::Seen(vec![room("b")], at(0));
    assert_eq!(sends(play.pass()).0, "g0");
    play.answered(Accepted, "accepted");
    assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_MOVES, "no room beside g0");
    // g0 has left the list, and cannot be read where it is.
    play.facts.guests = Fact::Seen(vec![hungry("g1")], at(0));
    play.facts.elsewhere = [("g0".to_string(), Fact::Unknown("500".into()))].into();
    assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_MOVES);
    assert_eq!(record_of(&play, "g1").reason, reasons::NO_DESTINATION);
}

#[test]
fn a_guest_that_cannot_be_read_waits_with_that_reason() {
    let mut play = fenced_with(vec![], vec![]);
    play.object.status.guests = vec![GuestMove { id: "g".into(), name: "web".into(), priority: 5, ..Default::default() }];
    play.facts.elsewhere = [("g".to_string(), Fact::Unknown("500".into()))].into();
    let (reason, message) = waits(play.pass());
    assert_eq!(reason, reasons::NOVA_UNREADABLE);
    assert!(message.contains("web") && message.contains("500"), "{message}");
}

#[test]
fn a_guest_whose_open_move_led_to_a_host_that_is_proven_off_is_rebuilt_elsewhere() {
    for (kind, status, goes) in [
        ("live-migration", "running", true),
        ("live-migration", "queued", true),
        ("evacuation", "pre-migrating", true),
        // Its request may wait in a queue, and be taken up when that host comes back.
        ("evacuation", "accepted", false),
        // Its disk may be at either end.
        ("migration", "migrating", false),
        ("migration", "finished", false),
    ] {
        let moving = Guest { task_state: (kind == "live-migration").then(|| "migrating".into()), ..guest("g") };
        let mut play = fenced_with(vec![moving], vec![record(1, kind, status, "g")]);
        assert_eq!(waits(play.pass()).0, reasons::NEEDS_HUMAN, "{kind} {status}: b is not proven off");
        play.facts.others_off = vec!["b".into()];
        if let Fact::Seen(rooms, _) = &mut play.facts.destinations {
            rooms.retain(|d| d.host != "b");
        }
        match play.pass() {
            Next::Step(Step::Evacuate { destination, records_before, .. }) => {
                assert!(goes && destination == "c" && records_before == [1], "{kind} {status}")
            }
            other => assert!(!goes, "{kind} {status}: {other:?}"),
        }
    }
    // Off is another host than the record's destination.
    let mut play = fenced_with(vec![guest("g")], vec![record(1, "live-migration", "running", "g")]);
    play.facts.others_off = vec!["c".into()];
    assert_eq!(waits(play.pass()).0, reasons::NEEDS_HUMAN);
}

#[test]
fn our_own_evacuation_to_a_host_that_died_and_is_proven_off_is_tried_elsewhere() {
    let mut play = fenced_with(vec![guest("g")], vec![]);
    assert_eq!(sends(play.pass()).1, "b");
    play.answered(Accepted, "accepted");
    play.pass_time(5);
    play.facts.moves = Fact::Seen(vec![record(1, "evacuation", "pre-migrating", "g")], play.env.now);
    play.facts.others_up = Fact::Seen(vec!["c".into()], play.env.now);
    assert_eq!(waits(play.pass()).0, reasons::NEEDS_HUMAN);
    play.facts.others_off = vec!["b".into()];
    assert_eq!(waits(play.pass()).0, reasons::RETRYING);
    assert_eq!(record_of(&play, "g").failed_destinations, ["b"]);
    play.pass_time(4);
    assert_eq!(sends(play.pass()).1, "c");
    play.answered(Accepted, "accepted");
    play.pass_time(3);
    play.facts.moves = Fact::Seen(vec![record(1, "evacuation", "pre-migrating", "g"), record(2, "evacuation", "pre-migrating", "g")], play.env.now);
    play.pass();
    assert_eq!(record_of(&play, "g").record, Some(2), "the dead record is not adopted");
}
