//! S4: proof of off. S5: power epochs.

use crate::common::*;
use planner::{
    Env, Fact, Next, Step,
    contract::{PowerCommand, still_valid},
    facts::{HostFacts, LinkFacts, ServiceFacts},
    proof::{EvidenceBody, Gap, Latch, absorb, command_sent, proven_off, state_of, still_reports, take_in},
};
use schemas::{
    Time,
    v1::{ClusterPolicySpec, EvacuationMode, OperationState, PowerState::*, reasons},
};

fn read_at(mut links: Vec<LinkFacts>, when: i64) -> HostFacts {
    for link in &mut links {
        if let Fact::Seen(_, read) = &mut link.state {
            *read = at(when);
        }
    }
    HostFacts { links, ..dead() }
}

/// Evidence after passes at these times, each with the same links.
fn after(links: &[LinkFacts], times: &[i64]) -> EvidenceBody {
    times.iter().fold(env().evidence, |evidence, t| absorb(&evidence, &read_at(links.to_vec(), *t), at(*t)))
}

fn judge(links: &[LinkFacts], times: &[i64]) -> Result<(), Gap> {
    let last = *times.last().unwrap();
    proven_off(&after(links, times), &read_at(links.to_vec(), last), at(last), 5)
}

#[test]
fn off_is_proven_by_two_readings_at_least_five_seconds_apart() {
    let l = [link("l1", Off)];
    assert_eq!(judge(&l, &[0]), Err(Gap::SecondReading(5)));
    assert_eq!(judge(&l, &[0, 4]), Err(Gap::SecondReading(1)));
    assert_eq!(judge(&l, &[0, 5]), Ok(()));
    assert_eq!(judge(&l, &[0, 2, 4, 6]), Ok(()));
}

#[test]
fn what_each_wiring_needs_for_a_proof() {
    let twice = |links: &[LinkFacts]| judge(links, &[0, 6]);
    let cases: Vec<(&str, Vec<LinkFacts>, Result<(), Gap>)> = vec![
        ("no link", vec![], Err(Gap::NoVerifiedLink)),
        ("an unverified link", vec![unverified(link("l1", Off))], Err(Gap::NoVerifiedLink)),
        ("a link that reads on", vec![link("l1", On)], Err(Gap::ReadsOn("l1".into()))),
        ("one of two chassis links", vec![link("l1", Off), blind(link("l2", Off))], Ok(())),
        ("another chassis link reads on", vec![link("l1", Off), link("l2", On)], Err(Gap::ReadsOn("l2".into()))),
        ("an unverified chassis link reads on", vec![link("l1", Off), unverified(link("l2", On))], Err(Gap::ReadsOn("l2".into()))),
        ("the outlet of a chassis that is off has power", vec![link("l1", Off), supply("s1", On)], Ok(())),
        ("all supply links", vec![supply("s1", Off), supply("s2", Off)], Ok(())),
        ("all supply links, the BMC died with them", vec![blind(link("l1", On)), supply("s1", Off)], Ok(())),
        ("all supply links while the chassis reads on", vec![link("l1", On), supply("s1", Off)], Err(Gap::ReadsOn("l1".into()))),
        ("one supply link on", vec![supply("s1", Off), supply("s2", On)], Err(Gap::ReadsOn("s2".into()))),
        ("one supply link unreadable", vec![supply("s1", Off), blind(supply("s2", Off))], Err(Gap::Unreadable("s2: no answer".into()))),
        ("one supply link unverified", vec![supply("s1", Off), unverified(supply("s2", Off))], Err(Gap::Unreadable("s2 is not verified".into()))),
        (
            "an outlet is not cut while the chassis cannot be read",
            vec![blind(link("l1", On)), supply("s1", On)],
            Err(Gap::Unreadable("l1: no answer".into())),
        ),
        ("nothing is readable", vec![blind(link("l1", Off))], Err(Gap::Unreadable("l1: no answer".into()))),
    ];
    for (what, links, want) in cases {
        assert_eq!(twice(&links), want, "{what}");
    }
}

#[test]
fn of_links_that_read_on_one_is_named_through_which_commands_may_go() {
    let links = [unverified(link("l1", On)), link("l2", On), LinkFacts { default: true, ..link("l3", On) }];
    assert_eq!(judge(&links, &[0]), Err(Gap::ReadsOn("l3".into())));
}

#[test]
fn a_link_that_cannot_be_read_now_suspends_the_proof_and_voids_nothing() {
    let evidence = after(&[link("l1", Off)], &[0, 6]);
    let dark = read_at(vec![blind(link("l1", Off))], 7);
    let evidence = absorb(&evidence, &dark, at(7));
    assert_eq!(proven_off(&evidence, &dark, at(7), 5), Err(Gap::Unreadable("l1: no answer".into())));
    let again = read_at(vec![link("l1", Off)], 8);
    let evidence = absorb(&evidence, &again, at(8));
    assert_eq!((evidence.epoch, proven_off(&evidence, &again, at(8), 5)), (1, Ok(())));
}

#[test]
fn a_proof_is_good_for_its_age_and_not_a_millisecond_longer() {
    let evidence = proven();
    let facts = read_at(vec![link("l1", Off)], 0);
    let judge = |micros: i64| proven_off(&evidence, &facts, Time(at(0).0 + micros), 5).is_ok();
    assert!(judge(0) && judge(5_000_000));
    assert!(!judge(5_001_000));
    assert!(!judge(-1_000), "a reading of the future has no age");
}

#[test]
fn only_readings_after_the_last_command_count() {
    let mut evidence = proven();
    command_sent(&mut evidence, at(0));
    let same = read_at(vec![link("l1", Off)], 0);
    let evidence = absorb(&evidence, &same, at(0));
    assert!(evidence.off.is_empty(), "a reading at the command's own instant is before it");
    let later = read_at(vec![link("l1", Off)], 1);
    assert_eq!(absorb(&evidence, &later, at(1)).off, vec![off("l1", 1, 1)]);
}

#[test]
fn readings_while_a_command_may_still_take_effect_prove_nothing() {
    let power = intent(Step::Power { link: "l1".into(), command: PowerCommand::On }, OperationState::Unknown, 3);
    let facts = read_at(vec![link("l1", Off)], 0);
    let open = Env { evidence: proven(), intents: vec![power.clone()], ..env() };
    let taken = take_in(&open, &facts);
    assert!(taken.off.is_empty());
    assert_eq!(taken.last_command_at, Some(at(0)));
    let closed = Env { intents: vec![planner::Intent { state: OperationState::Observed, ..power }], ..open };
    assert_eq!(take_in(&closed, &facts).off, vec![off("l1", -6, 0)]);
}

#[test]
fn any_sign_of_life_ends_the_epoch_and_voids_the_proof() {
    let moved = |f: &mut HostFacts| f.service = Fact::Seen(ServiceFacts { updated_at: "u1".into(), ..service() }, at(1));
    let replaced = |f: &mut HostFacts| f.service = Fact::Seen(ServiceFacts { id: "svc-new".into(), ..service() }, at(1));
    let on = |f: &mut HostFacts| f.links = vec![link("l1", On)];
    let outlet = |f: &mut HostFacts| f.links = vec![supply("s1", On), supply("s2", Off)];
    let cases: [(&str, fn(&mut HostFacts), Vec<LinkFacts>); 4] = [
        ("the row moved", moved, vec![link("l1", Off)]),
        ("another service row", replaced, vec![link("l1", Off)]),
        ("a link reads on", on, vec![link("l1", Off)]),
        ("an outlet came back", outlet, vec![supply("s1", Off), supply("s2", Off)]),
    ];
    for (what, change, links) in cases {
        let before = after(&links, &[-6, 0]);
        let mut facts = read_at(links, 1);
        change(&mut facts);
        let evidence = absorb(&before, &facts, at(1));
        assert_eq!(evidence.epoch, 2, "{what}");
        assert!(evidence.off.iter().all(|r| r.first_at >= at(0)), "{what}: {:?}", evidence.off);
        assert!(proven_off(&evidence, &facts, at(1), 5).is_err(), "{what}");
        assert_eq!(absorb(&evidence, &facts, at(2)).epoch, 2, "{what}: one life is one end");
    }
}

/// A device is asked by others than the pass of its host: whether it answers at all, before somebody's evacuation, in a drill.
#[test]
fn an_answer_on_that_anybody_had_voids_readings_as_off_before_it() {
    let seen_on = |when: i64| vec![LinkFacts { last_on: Some(at(when)), ..link("l1", Off) }];
    let before = after(&[link("l1", Off)], &[0, 20]);
    assert_eq!((before.epoch, before.off.len()), (1, 1));
    let look = |evidence: &EvidenceBody, when: i64| absorb(evidence, &read_at(seen_on(30), when), at(when));

    let at_once = look(&before, 40);
    assert_eq!(proven_off(&at_once, &read_at(seen_on(30), 40), at(40), 5), Err(Gap::SecondReading(5)));
    assert_eq!((at_once.epoch, at_once.off[0].first_at), (2, at(40)), "it is life, and what is read after it counts anew");
    let second = look(&at_once, 45);
    assert_eq!((second.epoch, proven_off(&second, &read_at(seen_on(30), 45), at(45), 5)), (2, Ok(())));
    // Nor does one count that was asked for before that answer, and came after it.
    assert!(look(&env().evidence, 30).off.is_empty());
    // An answer from before the first reading says nothing.
    let old = vec![LinkFacts { last_on: Some(at(-1)), ..link("l1", Off) }];
    assert_eq!(judge(&old, &[0, 5]), Ok(()));
    // So does an outlet that had power again, or a chassis that was on while its link cannot be read now.
    let outlet = |last_on: Option<Time>| vec![supply("p1", Off), LinkFacts { last_on, ..supply("p2", Off) }];
    let cut = after(&outlet(None), &[0, 6]);
    let again = absorb(&cut, &read_at(outlet(Some(at(3))), 10), at(10));
    assert_eq!(again.epoch, 2, "this outlet had power again");
    let chassis = |last_on: Option<Time>| vec![LinkFacts { last_on, ..blind(link("l1", Off)) }, supply("p1", Off)];
    assert_eq!(absorb(&after(&chassis(None), &[0, 6]), &read_at(chassis(Some(at(8))), 10), at(10)).epoch, 2);
}

#[test]
fn a_fenced_host_that_shows_life_leaves_the_epoch_of_its_fence_even_without_readings() {
    let latch = Latch { epoch: 1, by: "Evacuation/x".into(), by_uid: "x".into(), at: at(-60), disabled_by_us: true, attested: None };
    let fenced = EvidenceBody { latch: Some(latch), ..env().evidence };
    let life = absorb(&fenced, &read_at(vec![link("l1", On)], 0), at(0));
    assert_eq!(life.epoch, 2);
    assert_eq!(absorb(&life, &read_at(vec![link("l1", On)], 1), at(1)).epoch, 2);
}

#[test]
fn a_write_of_ours_that_may_land_is_no_sign_of_life() {
    let put = intent(
        Step::NovaService { service_id: "svc-a".into(), enabled: Some(false), reason: None, forced_down: Some(true) },
        OperationState::Issued,
        1,
    );
    let open = Env { evidence: proven(), intents: vec![put], ..env() };
    let mut facts = read_at(vec![link("l1", Off)], 0);
    facts.service = Fact::Seen(ServiceFacts { updated_at: "u1".into(), ..fenced() }, at(0));
    let taken = take_in(&open, &facts);
    assert_eq!((taken.epoch, taken.off.clone(), taken.beat.clone(), taken.life_at), (1, vec![off("l1", -6, 0)], None, None));
    let settled = Env { evidence: taken, ..env() };
    let learned = take_in(&settled, &facts);
    assert_eq!((learned.epoch, learned.beat.as_deref(), still_reports(&learned, 10, at(0))), (1, Some("u1"), None));
}

#[test]
fn a_row_that_was_read_before_our_own_write_of_it_is_no_sign_of_life_afterwards() {
    let known = EvidenceBody { beat: Some("u1".into()), row_written_at: Some(at(-1)), ..proven() };
    let read = |read_at_second: i64, updated_at: &str| {
        let service = Fact::Seen(ServiceFacts { updated_at: updated_at.into(), ..fenced() }, at(read_at_second));
        absorb(&known, &HostFacts { service, ..read_at(vec![link("l1", Off)], 0) }, at(0))
    };
    let older = read(-2, "u0");
    assert_eq!((older.epoch, older.beat.as_deref(), older.life_at), (1, Some("u1"), None), "it shows the row as it was");
    assert_eq!(older.off.len(), 1, "the proof stands");
    assert_eq!(read(-1, "u2").epoch, 2, "it moved after the write: somebody reports");
}

#[test]
fn a_service_counts_as_silent_two_report_intervals_after_its_last_report() {
    let mut facts = read_at(vec![link("l1", Off)], 0);
    facts.service = Fact::Seen(ServiceFacts { updated_at: "u1".into(), ..fenced() }, at(0));
    let evidence = absorb(&proven(), &facts, at(0));
    assert_eq!(still_reports(&evidence, 10, at(0)), Some(20));
    assert_eq!(still_reports(&evidence, 10, at(19)), Some(1));
    assert_eq!(still_reports(&evidence, 10, at(20)), None);
}

#[test]
fn a_reading_that_took_long_is_counted_from_its_answer_when_it_is_the_first_and_from_its_question_when_it_is_the_last() {
    // Asked at 0, answered at 7; asked at 8, answered at 15; asked at 12, answered at 13.
    let reading = |evidence: &EvidenceBody, asked: i64, now: i64| absorb(evidence, &read_at(vec![link("l1", Off)], asked), at(now));
    let slow = reading(&env().evidence, 0, 7);
    let second = reading(&slow, 8, 15);
    assert!(!second.off[0].is_twice(), "one second apart, it may be: {:?}", second.off);
    let third = reading(&slow, 12, 13);
    assert!(third.off[0].is_twice() && !third.off[0].is_younger_than(0, at(13)), "{:?}", third.off);
}

#[test]
fn readings_that_two_leaders_made_are_two_only_five_seconds_after_the_second_one_came() {
    // Whatever the earlier leader's clock says, seconds before or after ours; one that is a little ahead wrote times of our own term.
    for skew in [-3_600, -30, -6, 0, 3, 6, 30, 3_600] {
        let mut evidence = EvidenceBody { off: vec![off("l1", skew - 1, skew)], last_command_at: Some(at(skew - 2)), ..env().evidence };
        let mut proven_at = None;
        for now in 1..=3_620 {
            let env = Env { now: at(now), led_since: at(0), evidence, ..env() };
            let facts = read_at(vec![link("l1", Off)], now);
            evidence = take_in(&env, &facts);
            if proven_off(&evidence, &facts, at(now), 5).is_ok() {
                proven_at = Some(now);
                break;
            }
        }
        let proven_at = proven_at.unwrap();
        assert!((5..=12).contains(&proven_at), "skew {skew}: proven after {proven_at} s");
    }
}

#[test]
fn a_host_that_an_earlier_leader_heard_of_is_silent_by_our_own_clock_only() {
    let heard = EvidenceBody { life_at: Some(at(-600)), ..env().evidence };
    let judge = |led_since: i64, now: i64, beats: Vec<planner::facts::Beat>| {
        let env = Env { now: at(now), led_since: at(led_since), evidence: heard.clone(), ..env() };
        still_reports(&take_in(&env, &HostFacts { beats, ..read_at(vec![link("l1", Off)], now) }), 10, at(now))
    };
    assert_eq!(judge(-700, 0, vec![]), None, "heard of in our own term");
    assert_eq!((judge(-15, 0, vec![]), judge(-20, 0, vec![])), (Some(5), None), "counted from when we came");
    let watched = |first: &str| vec![beat(-40, first, false), beat(-30, "u0", false), beat(-1, "u0", false)];
    assert_eq!((judge(-3, 0, watched("u0")), judge(-3, 0, watched("u-1"))), (None, None), "we watched it before we led: it stood still");
    assert_eq!(judge(-3, 0, vec![beat(-12, "u-1", false), beat(-11, "u0", false)]), Some(9), "it moved eleven seconds ago at the latest");
    assert_eq!(judge(-3, 0, vec![beat(-30, "u-1", false)]), Some(17), "a row that is remembered otherwise says nothing");
}

#[test]
fn a_link_that_lost_its_verification_or_is_another_takes_its_readings_along() {
    for links in [vec![unverified(link("l1", Off))], vec![link("l2", Off)]] {
        let taken = absorb(&proven(), &read_at(links, 1), at(1));
        assert!(taken.off.iter().all(|r| r.link_uid != "uid-l1"), "{:?}", taken.off);
    }
}

#[test]
fn the_state_of_a_host_is_off_only_if_something_says_off_and_nothing_says_on() {
    let cases = [
        (vec![], Unknown),
        (vec![link("l1", On)], On),
        (vec![link("l1", Off)], Off),
        (vec![link("l1", Off), link("l2", On)], On),
        (vec![blind(link("l1", Off))], Unknown),
        (vec![link("l1", Off), supply("s1", On)], Off),
        (vec![blind(link("l1", Off)), supply("s1", On)], Unknown),
        (vec![supply("s1", On), supply("s2", Off)], On),
        (vec![supply("s1", Off), blind(supply("s2", Off))], Unknown),
        (vec![supply("s1", Off), supply("s2", Off)], Off),
    ];
    for (links, want) in cases {
        assert_eq!(state_of(&links), want, "{links:?}");
    }
}

#[test]
fn just_before_it_is_sent_an_evacuation_needs_a_complete_and_young_proof() {
    let policy = ClusterPolicySpec::default();
    let step = evacuate("g", "b", &[]);
    let valid = |evidence: &EvidenceBody, now: i64| still_valid(&step, evidence, &policy, at(0), at(now)).is_ok();
    assert!(valid(&proven(), 3));
    assert!(!valid(&proven(), 4), "decided too long ago");
    assert!(!valid(&proven(), -1), "the clock was set back");
    let old = EvidenceBody { off: vec![off("l1", -9, -3)], ..proven() };
    assert!(valid(&old, 2) && !valid(&old, 3));
    let once = EvidenceBody { off: vec![off("l1", -9, -4), off("l2", 0, 0)], ..proven() };
    assert!(!valid(&once, 2), "the young reading is of a link that was read off only once");
    let other = Step::Power { link: "l1".into(), command: PowerCommand::ForceOff };
    assert!(still_valid(&other, &EvidenceBody::default(), &policy, at(0), at(3)).is_ok());
    assert!(still_valid(&other, &EvidenceBody::default(), &policy, at(0), at(4)).is_err());
}

#[test]
fn another_host_is_proven_off_by_its_own_evidence_and_links_and_by_nothing_less() {
    use planner::proof::{EvidenceBody, proven_off_elsewhere};
    use schemas::v1::PowerState;
    let off_now = || planner::facts::HostFacts { links: vec![link("l1", PowerState::Off)], ..dead() };
    let holds = |evidence: &EvidenceBody, facts: &planner::facts::HostFacts| proven_off_elsewhere(evidence, facts, &env());
    let earlier = EvidenceBody { off: vec![off("l1", -300, -290)], ..env().evidence };
    assert!(holds(&earlier, &off_now()), "a first reading of its own, and one in this pass");
    assert!(!holds(&env().evidence, &off_now()), "one reading is none");
    assert!(!holds(&EvidenceBody { off: vec![off("l1", -3, -3)], ..env().evidence }, &off_now()), "too close together");
    assert!(!holds(&earlier, &dead()), "it reads on");
    assert!(!holds(&earlier, &planner::facts::HostFacts { links: vec![blind(link("l1", PowerState::Off))], ..off_now() }));
    assert!(!holds(&earlier, &planner::facts::HostFacts { links: vec![unverified(link("l1", PowerState::Off))], ..off_now() }));
    let reports = EvidenceBody { beat: Some("u-1".into()), ..earlier.clone() };
    assert!(!holds(&reports, &off_now()), "its service moved: a sign of life");
    assert!(!holds(&EvidenceBody { life_at: Some(at(-10)), ..earlier.clone() }, &off_now()), "it reported a moment ago");
}

/// Each report ends the epoch, and with it the first reading: the second one would never come.
#[test]
fn a_host_that_reads_off_and_reports_more_often_than_every_five_seconds_is_in_doubt_from_the_first_reading_on() {
    let mut play = Play::new(evacuation(EvacuationMode::Rebuild), HostFacts { links: vec![link("l1", Off)], ..facts() }, env());
    let mut told = Vec::new();
    for look in 0..6 {
        if let Fact::Seen(service, _) = &mut play.facts.service {
            service.updated_at = format!("2026-01-01T00:00:{:02}.000000", 2 * look);
        }
        play.pass_time(2);
        match play.pass() {
            Next::Wait { reason, message, .. } => told.push((reason, message)),
            other => panic!("{other:?}"),
        }
    }
    assert!(told.iter().all(|(reason, _)| *reason == reasons::IN_DOUBT), "{told:?}");
    assert!(told[0].1.contains("check them, or stop its nova-compute"), "{told:?}");
}
