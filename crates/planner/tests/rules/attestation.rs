//! I4: a person's word in place of a proof that is impossible.

use crate::common::*;
use planner::{
    Also, Env, Fact, Next, Step,
    attestation::{Attestation, Missing, stands},
    contract::{PowerCommand, still_valid},
    facts::{HostFacts, LinkFacts, ServiceFacts},
    proof::{EvidenceBody, absorb, command_sent, proven_off_elsewhere},
};
use schemas::{
    Conditions, Object, Time,
    v1::{
        self, AttestationRule, EvacuationMode, EvidenceRule,
        PowerState::{self, *},
        reasons,
    },
};

fn dark(links: Vec<LinkFacts>) -> HostFacts {
    HostFacts { links, attestation: Fact::Seen(attestation(1), at(0)), guests: Fact::Seen(vec![guest("g0")], at(0)), ..dead() }
}

fn bmc_died() -> HostFacts {
    dark(vec![blind(link("l1", Off))])
}

fn unheard(change: fn(&mut planner::facts::Beat)) -> HostFacts {
    let mut facts = bmc_died();
    facts.beats.iter_mut().for_each(change);
    facts
}

fn at_time(facts: &HostFacts, when: i64) -> HostFacts {
    let mut facts = facts.clone();
    restamp(&mut facts, at(when));
    facts
}

/// Evidence after looks at these times.
fn after(facts: &HostFacts, times: &[i64]) -> EvidenceBody {
    times.iter().fold(env().evidence, |evidence, t| absorb(&evidence, &at_time(facts, *t), at(*t)))
}

fn judge(facts: &HostFacts, times: &[i64]) -> Result<(), Missing> {
    let last = *times.last().unwrap();
    let evidence = after(facts, times);
    stands(&evidence, &at_time(facts, last), at(last), 5).map(drop)
}

fn rebuild(facts: HostFacts) -> Play<v1::EvacuationKind> {
    Play::new(evacuation(EvacuationMode::Rebuild), facts, env())
}

/// What it comes to within a minute: the first step, or why it waits.
fn comes_to(play: &mut Play<v1::EvacuationKind>) -> Result<Step, &'static str> {
    let mut why = "";
    for _ in 0..60 {
        match play.pass() {
            Next::Step(step) => return Ok(step),
            Next::Wait { reason, .. } => why = reason,
            other => panic!("{other:?}"),
        }
        play.pass_time(1);
    }
    Err(why)
}

#[test]
fn it_takes_two_looks_five_seconds_apart_and_no_old_one() {
    let facts = bmc_died();
    assert_eq!(judge(&facts, &[0]), Err(Missing::SecondLook(5)));
    assert_eq!(judge(&facts, &[0, 4]), Err(Missing::SecondLook(1)));
    assert_eq!(judge(&facts, &[0, 5]), Ok(()));
    let evidence = after(&facts, &[0, 5]);
    let later = |seconds: i64| stands(&evidence, &facts, at(seconds), 5).is_ok();
    assert!(later(10) && !later(11));
}

#[test]
fn where_it_stands_in_for_a_proof_and_where_it_does_not() {
    let fence: fn(&str) -> Result<Step, &'static str> = |link| Ok(Step::Power { link: link.into(), command: PowerCommand::ForceOff });
    let put = |play: &Play<v1::EvacuationKind>| planner::service::fence(play.facts.service.seen().unwrap(), US, "fenced by Evacuation/mine");
    let cases: Vec<(&str, HostFacts, Option<Result<Step, &'static str>>)> = vec![
        ("the BMC died", bmc_died(), None),
        ("there is no link at all", dark(vec![]), None),
        ("no link is verified", dark(vec![unverified(link("l1", Off))]), None),
        ("no link is verified, and none answers", dark(vec![unverified(blind(link("l1", Off)))]), None),
        ("the BMC died, and its outlet is cut", dark(vec![blind(link("l1", Off)), supply("s1", Off)]), None),
        ("the link reads on", dark(vec![link("l1", On)]), Some(fence("l1"))),
        ("an unverified link reads on", dark(vec![unverified(link("l1", On))]), Some(Err("NoVerifiedPowerLink"))),
        ("its outlet has power", dark(vec![blind(link("l1", Off)), supply("s1", On)]), Some(Err("PowerUnreadable"))),
        ("another chassis link reads on", dark(vec![blind(link("l1", Off)), link("l2", On)]), Some(fence("l2"))),
        (
            "the links could not be looked up",
            dark(vec![LinkFacts { uid: String::new(), ..unverified(blind(link("?", Off))) }]),
            Some(Err("NoVerifiedPowerLink")),
        ),
        ("of another epoch", HostFacts { attestation: Fact::Seen(attestation(2), at(0)), ..bmc_died() }, Some(Err("PowerUnreadable"))),
        ("of an epoch that is over", HostFacts { attestation: Fact::Seen(attestation(0), at(0)), ..bmc_died() }, Some(Err("PowerUnreadable"))),
        (
            "past its end",
            HostFacts { attestation: Fact::Seen(Attestation { expires_at: at(0), ..attestation(1) }, at(0)), ..bmc_died() },
            Some(Err("PowerUnreadable")),
        ),
        ("withdrawn, or never made", HostFacts { attestation: Fact::Absent(at(0)), ..bmc_died() }, Some(Err("PowerUnreadable"))),
        ("no conductor is up", unheard(|b| b.conductor_up = false), Some(Err("PowerUnreadable"))),
        ("no other compute is up", unheard(|b| b.others_up = false), Some(Err("PowerUnreadable"))),
        ("its row was never watched", HostFacts { beats: Vec::new(), ..bmc_died() }, Some(Err("PowerUnreadable"))),
        ("not known", HostFacts { attestation: Fact::Unknown("the store".into()), ..bmc_died() }, Some(Err("PowerUnreadable"))),
    ];
    for (what, facts, want) in cases {
        let mut play = rebuild(facts);
        let want = want.unwrap_or_else(|| Ok(put(&play)));
        assert_eq!(comes_to(&mut play), want, "{what}");
    }
}

#[test]
fn a_service_that_reports_or_did_a_moment_ago_is_stronger() {
    let mut facts = bmc_died();
    facts.service = Fact::Seen(ServiceFacts { updated_at: "u1".into(), ..dead().service.seen().unwrap().clone() }, at(0));
    let mut play = rebuild(facts);
    let (reason, _) = waits(play.pass());
    assert_eq!((reason, play.env.evidence.epoch), ("PowerUnreadable", 2), "it moved: the epoch is over");
    // A row that is seen for the first time, and that Nova calls up, may have moved just now.
    let up = HostFacts { service: Fact::Seen(service(), at(0)), ..bmc_died() };
    let mut play = rebuild(up);
    play.env.evidence.beat = None;
    for _ in 0..19 {
        waits(play.pass());
        play.pass_time(1);
    }
    assert_eq!(play.env.evidence.epoch, 1);
}

#[test]
fn any_sign_of_life_ends_the_epoch_and_with_it_the_attestation() {
    let moved = |f: &mut HostFacts| f.service = Fact::Seen(ServiceFacts { updated_at: "u1".into(), ..service() }, at(7));
    let on = |f: &mut HostFacts| f.links = vec![link("l1", On)];
    let unverified_on = |f: &mut HostFacts| f.links = vec![unverified(link("l1", On))];
    let cases: [(&str, fn(&mut HostFacts)); 3] =
        [("its row moved", moved), ("the BMC answers On", on), ("an unverified link answers On", unverified_on)];
    for (what, life) in cases {
        for before in [after(&bmc_died(), &[0, 6]), env().evidence] {
            let mut facts = bmc_died();
            life(&mut facts);
            let evidence = absorb(&before, &facts, at(7));
            assert_eq!((evidence.epoch, evidence.attested.clone()), (2, None), "{what}");
            let dark_again = at_time(&bmc_died(), 14);
            let later = absorb(&absorb(&evidence, &at_time(&bmc_died(), 8), at(8)), &dark_again, at(14));
            assert_eq!(stands(&later, &dark_again, at(14), 5), Err(Missing::None), "{what}: it is never believed again");
        }
    }
}

#[test]
fn what_cannot_be_read_suspends_it_and_a_power_command_makes_the_looks_begin_anew() {
    let before = after(&bmc_died(), &[0, 6]);
    for hide in [|f: &mut HostFacts| f.attestation = Fact::Unknown("?".into()), |f: &mut HostFacts| f.service = Fact::Unknown("?".into())] {
        let mut blind = at_time(&bmc_died(), 7);
        hide(&mut blind);
        let evidence = absorb(&before, &blind, at(7));
        assert_eq!(stands(&evidence, &blind, at(7), 5), Err(Missing::None));
        let again = at_time(&bmc_died(), 8);
        let evidence = absorb(&evidence, &again, at(8));
        assert!(stands(&evidence, &again, at(8), 5).is_ok());
    }
    let mut commanded = before;
    command_sent(&mut commanded, at(7));
    assert_eq!(commanded.attested, None);
}

#[test]
fn an_attested_host_is_fenced_in_nova_and_its_guests_are_rebuilt_on_the_word_of_that_person() {
    let mut play = rebuild(bmc_died());
    let put = comes_to(&mut play).unwrap();
    assert!(matches!(put, Step::NovaService { enabled: Some(false), forced_down: Some(true), .. }), "{put:?}");
    let latch = play.env.evidence.latch.clone().unwrap();
    assert_eq!((latch.epoch, latch.attested.as_deref()), (1, Some("FenceAttestation/fa of ann")));
    play.service_written(ServiceFacts { updated_at: "u1".into(), ..fenced() });
    play.facts.beats = vec![planner::facts::Beat { at: play.env.now, ..beat(0, "u1", false) }];
    play.pass_time(1);
    assert!(matches!(comes_to(&mut play), Ok(Step::Evacuate { .. })));
    let sufficient = play.object.status.conditions.iter().find(|c| c.r#type == "EvidenceSufficient").unwrap().clone();
    assert_eq!((sufficient.reason.as_str(), sufficient.message.as_str()), ("Attested", "L5 Attested: FenceAttestation/fa of ann, for power epoch 1"));
    let used = play.env.evidence.attested.as_ref().unwrap().used_by.clone();
    assert_eq!(used, Some(("Evacuation/mine".into(), UID.into())));
}

#[test]
fn a_decision_that_goes_by_it_rests_on_the_object_as_it_was_read() {
    let mut play = rebuild(bmc_died());
    play.env.evidence = after(&bmc_died(), &[-6, 0]);
    let decision = <v1::EvacuationKind as Decides>::decide(&play.object, &play.facts, &play.env);
    assert!(matches!(decision.next, Next::Step(_)), "{:?}", decision.next);
    assert_eq!(decision.also, [Also::Unchanged { kind: "FenceAttestation", name: "fa".into(), version: 7 }]);
    play.env.evidence = proven();
    play.facts.links = vec![link("l1", Off)];
    let proven = <v1::EvacuationKind as Decides>::decide(&play.object, &play.facts, &play.env);
    assert!(matches!(proven.next, Next::Step(_)) && proven.also.is_empty(), "with a proof nobody's word is needed");
}

#[test]
fn a_host_in_doubt_only_for_its_power_is_rebuilt_in_mode_auto_and_no_other() {
    let auto = |facts: HostFacts| comes_to(&mut Play::new(evacuation(EvacuationMode::Auto), facts, env()));
    assert!(matches!(auto(bmc_died()), Ok(Step::NovaService { .. })));
    assert!(matches!(auto(dark(vec![])), Ok(Step::NovaService { .. })));
    let alone = HostFacts { beats: bmc_died().beats.into_iter().map(|b| planner::facts::Beat { others_up: false, ..b }).collect(), ..bmc_died() };
    assert_eq!(auto(alone), Err("HostInDoubt"), "the silence may be Nova's");
    let up = HostFacts { service: Fact::Seen(service(), at(0)), ..bmc_died() };
    assert_eq!(auto(up), Err("HostInDoubt"), "Nova does not call it down");
    let none = HostFacts { attestation: Fact::Absent(at(0)), ..bmc_died() };
    let mut play = Play::new(evacuation(EvacuationMode::Auto), none, env());
    let (reason, message) = waits(play.pass());
    assert!(reason == "HostInDoubt" && message.contains("`cloud-manager attest a` (its power epoch is 1)"), "{reason}: {message}");
}

#[test]
fn a_policy_that_refuses_attestations_binds_those_that_nobody_asked_for() {
    let rule = EvidenceRule { attestation: AttestationRule::Refused, ..EvidenceRule::default() };
    let mut object = evacuation(EvacuationMode::Rebuild);
    object.spec.evidence = Some(rule);
    let mut play = Play::new(object, bmc_died(), env());
    assert_eq!(comes_to(&mut play), Err("PowerUnreadable"));
    let (_, message) = waits(play.pass());
    assert!(message.contains("evidence.attestation: Refused"), "{message}");
}

#[test]
fn just_before_it_is_sent_it_must_count_still() {
    let policy = v1::ClusterPolicySpec::default();
    let step = evacuate("g", "b", &[]);
    let valid = |evidence: &EvidenceBody, now: Time| still_valid(&step, evidence, &policy, at(0), now).is_ok();
    let with = |change: fn(&mut planner::attestation::Attested)| {
        let mut one = planner::attestation::Attested { used_by: Some(("Evacuation/mine".into(), UID.into())), ..attested(1, -10, 0) };
        change(&mut one);
        EvidenceBody { attested: Some(one), ..env().evidence }
    };
    assert!(valid(&with(|_| {}), at(3)) && !valid(&with(|_| {}), at(4)));
    assert!(!valid(&with(|a| a.expires_at = at(2)), at(2)), "it expired on the way");
    assert!(valid(&with(|a| a.expires_at = at(3)), at(2)));
    assert!(!valid(&with(|a| a.epoch = 2), at(1)), "of another epoch");
    assert!(!valid(&with(|a| a.last_at = at(-4)), at(2)), "looked at too long ago");
    assert!(!valid(&with(|a| a.first_at = at(-4)), at(1)), "looked at once");
    assert!(!valid(&with(|a| a.used_by = None), at(1)), "no decision goes by it");
}

#[test]
fn looks_that_two_leaders_took_are_two_only_five_seconds_after_the_second_one_came() {
    for skew in [-3_600, -30, -6, 0, 3, 30] {
        let mut evidence = EvidenceBody { attested: Some(attested(1, skew - 10, skew)), ..env().evidence };
        let mut stands_at = None;
        for now in 1..=40 {
            let env = planner::Env { now: at(now), led_since: at(0), evidence, ..env() };
            let facts = at_time(&bmc_died(), now);
            evidence = planner::proof::take_in(&env, &facts);
            if stands(&evidence, &facts, at(now), 5).is_ok() {
                stands_at = Some(now);
                break;
            }
        }
        assert!((5..=12).contains(&stands_at.unwrap()), "skew {skew}: {stands_at:?}");
    }
}

#[test]
fn nobodys_word_makes_another_host_one_that_is_off() {
    let evidence = after(&bmc_died(), &[-10, 0]);
    assert!(stands(&evidence, &bmc_died(), at(0), 5).is_ok());
    assert!(!proven_off_elsewhere(&evidence, &bmc_died(), &env()));
}

fn statement() -> Object<v1::FenceAttestation> {
    let spec = v1::FenceAttestationSpec {
        host_ref: schemas::meta::Ref::to("a"),
        power_epoch: 1,
        statement: "its board burnt, I hold it in my hands".into(),
        expires_at: at(3_600),
        cancel: v1::Cancel::No,
    };
    let metadata = schemas::ObjectMeta { uid: "uid-fa".into(), generation: 1, ..schemas::ObjectMeta::named("fa") };
    Object { metadata, spec, status: v1::FenceAttestationStatus { by: "ann".into(), ..Default::default() } }
}

#[test]
fn an_attestation_tells_whether_it_counts_and_why_it_ended() {
    let decide = |object: &Object<v1::FenceAttestation>, evidence: EvidenceBody, now: i64| {
        let env = planner::Env { now: at(now), evidence, ..env() };
        planner::fence_attestation::decide(object, &at_time(&bmc_died(), now), &env)
    };
    let open = decide(&statement(), env().evidence, 0);
    assert!(matches!(open.next, Next::Settled { recheck: 15 }) && open.evidence.attested.is_some());
    let reason = |d: &planner::Decision<v1::FenceAttestationStatus>| {
        let accepted = d.status.conditions.iter().find(|c| c.r#type == "Accepted").unwrap();
        (accepted.reason.clone(), d.status.finished_at.is_some())
    };
    assert_eq!(reason(&open), ("InForce".into(), false));
    let withdrawn = Object { spec: v1::FenceAttestationSpec { cancel: v1::Cancel::Requested, ..statement().spec }, ..statement() };
    let used = EvidenceBody { attestation_used: "uid-fa".into(), ..env().evidence };
    let cases = [
        (statement(), env().evidence, 3_600, "Expired"),
        (statement(), EvidenceBody { epoch: 2, ..env().evidence }, 0, "EpochEnded"),
        (withdrawn, env().evidence, 0, "Withdrawn"),
        (statement(), used, 0, "Used"),
    ];
    for (object, evidence, now, why) in cases {
        let ended = decide(&object, evidence, now);
        assert_eq!(reason(&ended), (why.into(), true));
        assert!(matches!(ended.next, Next::Finished));
        assert_eq!(ended.status.conditions.iter().find(|c| c.r#type == "Succeeded").unwrap().reason, why);
        // What somebody stated is told of each one that counted, were it over before it was looked at.
        let told: Vec<_> = ended.events.iter().map(|e| (e.reason, e.warning)).collect();
        let counted = [("InForce", true), (why, false)];
        assert_eq!(told, if why == "Used" { &counted[..] } else { &counted[1..] });
        assert_eq!(ended.status.conditions.is_true("Accepted"), why == "Used");
    }
}

#[test]
fn an_evacuation_that_ends_takes_the_attestation_it_went_by_along() {
    let mut play = rebuild(bmc_died());
    comes_to(&mut play).unwrap();
    play.service_written(ServiceFacts { updated_at: "u1".into(), ..fenced() });
    play.facts.beats = vec![planner::facts::Beat { at: play.env.now, ..beat(0, "u1", false) }];
    play.facts.guests = Fact::Seen(vec![], at(0));
    play.pass_time(1);
    let mut ended = false;
    for _ in 0..30 {
        ended = matches!(play.pass(), Next::Finished);
        if ended {
            break;
        }
        play.pass_time(1);
    }
    assert!(ended);
    assert_eq!((play.env.evidence.attested.clone(), play.env.evidence.attestation_used.as_str()), (None, "uid-fa"));
    // Nobody looked at it in the meantime.
    let used = planner::fence_attestation::decide(&statement(), &play.facts, &play.env);
    let name = format!("Evacuation/{}", play.object.metadata.name);
    assert!(matches!(used.next, Next::Finished) && used.status.used_by == Some(name), "{:?}", used.status);
    let again = absorb(&play.env.evidence, &at_time(&bmc_died(), 60), at(60));
    assert_eq!(again.attested, None, "the same statement is not believed a second time");
}

#[test]
fn where_no_proof_can_be_had_for_a_minute_a_person_is_called_once_and_aloud() {
    let guests = || Fact::Seen(vec![guest("g")], at(0));
    let dark = HostFacts { links: vec![blind(link("l1", PowerState::On))], guests: guests(), ..dead() };
    let bare = HostFacts { links: vec![unverified(link("l1", PowerState::Off))], guests: guests(), ..dead() };
    for (mode, facts, cause) in [
        (EvacuationMode::Auto, dark.clone(), reasons::IN_DOUBT),
        (EvacuationMode::Rebuild, dark, reasons::POWER_UNREADABLE),
        (EvacuationMode::Rebuild, bare, reasons::NO_VERIFIED_LINK),
    ] {
        let mut play = Play::new(evacuation(mode), facts, env());
        let told = |play: &Play<v1::EvacuationKind>| {
            planner::evacuation::decide(&play.object, &play.facts, &play.env)
                .events
                .iter()
                .filter(|e| e.reason == reasons::NEEDS_HUMAN && e.warning)
                .count()
        };
        let (first, message) = waits(play.pass());
        assert_eq!(first, cause);
        play.pass_time(59);
        assert_eq!((told(&play), waits(play.pass()).0), (0, cause), "a BMC may be restarting");
        play.pass_time(1);
        assert_eq!(told(&play), 1, "{cause}");
        let (reason, now) = waits(play.pass());
        assert_eq!((reason, now.as_str()), (reasons::NEEDS_HUMAN, message.as_str()), "the cause and the way out stand in it");
        assert!(message.contains("attest a"), "{message}");
        assert!(play.object.status.conditions.is_true("Stalled"));
        play.pass_time(10);
        assert_eq!((told(&play), waits(play.pass()).0), (0, reasons::NEEDS_HUMAN), "people hear of it once");

        // Its power can be read again: it goes on by itself, and the minute counts anew.
        play.facts.links = vec![link("l1", PowerState::On)];
        assert!(matches!(play.pass(), Next::Step(Step::Power { .. })), "{cause}");
        assert!(!play.object.status.conditions.is_true("Stalled") && play.object.status.proof_impossible_since.is_none());
    }
}

#[test]
fn a_minute_that_an_earlier_leader_counted_counts_from_when_this_one_came() {
    let facts = HostFacts { links: vec![blind(link("l1", PowerState::On))], ..dead() };
    let mut play = Play::new(evacuation(EvacuationMode::Rebuild), facts, Env { led_since: at(-30), ..env() });
    play.object.status.proof_impossible_since = Some(at(-500));
    assert_eq!(waits(play.pass()).0, reasons::POWER_UNREADABLE);
    play.pass_time(30);
    assert_eq!(waits(play.pass()).0, reasons::NEEDS_HUMAN);
}

#[test]
fn a_host_in_doubt_for_another_reason_calls_nobody() {
    let mut play = Play::new(evacuation(EvacuationMode::Auto), HostFacts { beats: vec![beat(0, "u0", false)], ..dead() }, env());
    assert_eq!(waits(play.pass()).0, reasons::IN_DOUBT);
    assert!(play.object.status.proof_impossible_since.is_none());
}
