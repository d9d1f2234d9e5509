//! A policy that is edited in the middle of a recovery applies from the next safe point, and evidence is demanded per action.

use crate::{
    common::{rebuild::*, *},
    remediation::{after, begin, host as row, input, state, verdict},
};
use planner::{
    Env, Fact, Next, Step,
    contract::PowerCommand,
    facts::{Guest, HostFacts},
    remediation::{Begin, Holding},
};
use schemas::{
    ConditionStatus, Conditions,
    v1::{
        AutomaticEvacuation, AvailabilityState, Cause, EvacuationKind, EvacuationMode, EvacuationRule, GuestDisks, GuestOutcome, HostOperation,
        HostOperationType, Level, LocalDisks, Observation, OperationState, PowerState, RemediationRule, Restart, RunningGuests, Says, Watching,
        reasons,
    },
};

type Edit = fn(&mut Holding);

/// Edits after which no evacuation is wanted without a person, each with what is said of it.
const FORBIDS: [(&str, Edit); 6] = [
    ("limits.maxDownHosts: 0", |h| h.spec.limits.max_down_hosts = 0),
    ("detection.mode: Off", |h| h.spec.detection.mode = Watching::Off),
    ("evacuation.mode: Forbidden", |h| h.spec.evacuation.mode = AutomaticEvacuation::Forbidden),
    ("excludes it", |h| h.spec.evacuation.excluded_hosts = vec!["a".into()]),
    ("spec.evacuation is Denied", |h| h.of_host.evacuation = EvacuationRule::Denied),
    ("spec.remediation is Excluded", |h| h.of_host.remediation = RemediationRule::Excluded),
];

fn automatic(mut play: Play<EvacuationKind>, edit: impl FnOnce(&mut Holding)) -> Play<EvacuationKind> {
    play.object.spec.cause = Cause::Automatic;
    play.facts.holding = holding(edit);
    play
}

/// A dead host that nothing was done to yet.
fn untouched(edit: impl FnOnce(&mut Holding)) -> Play<EvacuationKind> {
    automatic(Play::new(evacuation(EvacuationMode::Auto), with(vec![guest("g")], vec![]), env()), edit)
}

fn says(channel: &str) -> Observation {
    Observation {
        host: "a".into(),
        channel: channel.into(),
        says: Says::Silent,
        observed_at: at(-5),
        received_at: at(-5),
        ttl_seconds: 60,
        by: "probe".into(),
        detail: String::new(),
    }
}

#[test]
fn before_the_host_was_fenced_a_policy_that_forbids_it_ends_the_evacuation_untouched() {
    assert!(matches!(steps(untouched(|_| {}).pass()), Step::Power { command: PowerCommand::ForceOff, .. }));
    for (why, edit) in FORBIDS {
        let mut play = untouched(edit);
        assert_eq!(play.pass(), Next::Finished, "{why}");
        let ended = play.object.status.conditions.find("Succeeded").expect("it has ended");
        assert_eq!((ended.status, ended.reason.as_str()), (ConditionStatus::False, reasons::POLICY_CHANGED), "{why}");
        assert!(ended.message.contains(why) && ended.message.contains("it was not fenced, and nothing was moved"), "{}", ended.message);
        assert!(play.env.intents.is_empty() && play.object.status.fences == 0, "{why}");
    }
}

#[test]
fn after_it_was_fenced_no_new_request_is_sent_while_it_is_forbidden_and_it_goes_on_when_allowed_again() {
    for (why, edit) in FORBIDS {
        let mut play = automatic(fenced_with(vec![guest("g1"), guest("g2")], vec![]), |_| {});
        let first = sends(play.pass()).0;
        play.answered(OperationState::Accepted, "");
        play.facts.holding = holding(edit);
        let (reason, message) = waits(play.pass());
        assert_eq!(reason, reasons::POLICY_CHANGED, "{why}");
        assert!(message.contains(why) && message.contains("goes on when that is allowed again"), "{message}");
        let next = play.settle(std::slice::from_ref(&first));
        assert_eq!(waits(next).0, reasons::POLICY_CHANGED, "{why}");
        assert_eq!(record_of(&play, &first).outcome, GuestOutcome::Moved, "{why}: what was under way is settled");
        play.facts.holding = holding(|_| {});
        assert_ne!(sends(play.pass()).0, first, "{why}");
    }
}

#[test]
fn an_evacuation_with_nothing_left_to_do_ends_also_while_it_is_forbidden() {
    let mut play = automatic(fenced_with(vec![guest("g")], vec![]), |_| {});
    sends(play.pass());
    play.facts.holding = holding(FORBIDS[0].1);
    assert_eq!(play.settle(&["g".to_string()]), Next::Finished);
    assert!(play.object.status.conditions.is_true("Succeeded"));
}

#[test]
fn a_policy_that_cannot_be_told_means_no_new_force_and_a_person_is_not_asked_for_one() {
    let unknown = || Fact::Unknown("RemediationPolicies blue and green all select it".into());
    for mut play in [untouched(|_| {}), automatic(fenced_with(vec![guest("g")], vec![]), |_| {})] {
        play.facts.holding = unknown();
        let (reason, message) = waits(play.pass());
        assert_eq!(reason, reasons::POLICY_UNKNOWN);
        assert!(message.contains("blue and green"), "{message}");
        play.object.spec.cause = Cause::Manual;
        steps(play.pass());
    }
}

#[test]
fn retries_pauses_and_parallelism_are_those_of_the_policy_from_the_next_request_on() {
    let guests = || vec![guest("g1"), guest("g2")];
    let mut play = automatic(fenced_with(guests(), vec![]), |h| h.spec.evacuation.max_per_host = Some(1));
    sends(play.pass());
    play.answered(OperationState::Accepted, "");
    assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_MOVES, "one at a time, whatever the ClusterPolicy says");
    play.facts.holding = holding(|h| h.spec.evacuation.max_per_host = Some(2));
    sends(play.pass());

    let first = Guest { metadata: [("recovery_priority".to_string(), "9".to_string())].into(), ..guest("g1") };
    let pause = |seconds| move |h: &mut Holding| h.spec.evacuation.group_pause_seconds = Some(seconds);
    let mut play = automatic(fenced_with(vec![first, guest("g2")], vec![]), pause(600));
    sends(play.pass());
    assert_eq!(waits(play.settle(&["g1".to_string()])).0, reasons::GROUP_PAUSE);
    play.facts.holding = holding(pause(0));
    assert_eq!(sends(play.pass()).0, "g2");

    for (retries, again) in [(Some(0), false), (Some(1), true), (None, true)] {
        let mut play = automatic(fenced_with(vec![guest("g")], vec![]), |h| h.spec.evacuation.retries = retries);
        sends(play.pass());
        play.answered(OperationState::Refused, "409");
        play.pass_time(5);
        assert_eq!(matches!(play.pass(), Next::Step(Step::Evacuate { .. })), again, "{retries:?}");
        assert_eq!(record_of(&play, "g").outcome == GuestOutcome::Failed, !again, "{retries:?}");
    }
}

#[test]
fn an_evacuation_of_its_own_pace_goes_by_it_and_not_by_the_cluster_policy() {
    let mut play = fenced_with(vec![guest("g1"), guest("g2")], vec![]);
    play.object.spec.pace = Some(schemas::v1::Pace { max_per_host: Some(1), ..Default::default() });
    sends(play.pass());
    play.answered(OperationState::Accepted, "");
    assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_MOVES);
}

#[test]
fn evidence_that_is_demanded_before_a_host_is_fenced_is_waited_for_and_named() {
    let edit = |h: &mut Holding| {
        h.spec.evidence.levels.fence = Some(Level::StorageSilent);
        h.spec.evidence.storage_channels = vec!["san".into()];
    };
    for heard in [vec![], vec![says("switch")]] {
        let mut play = untouched(edit);
        play.facts.channels = Fact::Seen(heard, at(0));
        let (reason, message) = waits(play.pass());
        assert_eq!(reason, reasons::EVIDENCE_MISSING);
        assert!(message.contains("spec.evidence.levels.fence (L2 StorageSilent)"), "{message}");
    }
    let mut play = untouched(edit);
    play.facts.channels = Fact::Seen(vec![says("san")], at(0));
    assert!(matches!(steps(play.pass()), Step::Power { .. }));
}

#[test]
fn a_host_that_is_never_to_be_switched_off_is_evacuated_only_if_it_reads_off() {
    let edit = |h: &mut Holding| h.spec.evidence.levels.fence = Some(Level::PowerOff);
    let mut on = untouched(edit);
    let (reason, message) = waits(on.pass());
    assert_eq!(reason, reasons::FENCE_FORBIDDEN);
    assert!(message.contains("evidence.levels.fence: PowerOff"), "{message}");
    let mut off = untouched(edit);
    (off.facts.links, off.env.evidence) = (vec![link("l1", PowerState::Off)], proven());
    assert!(matches!(steps(off.pass()), Step::NovaService { forced_down: Some(true), .. }));
    let sufficient = off.object.status.conditions.find("EvidenceSufficient").expect("it was judged");
    assert_eq!((sufficient.reason.as_str(), sufficient.message.as_str()), ("PowerOffObserved", "L3 PowerOff in power epoch 1"));
}

#[test]
fn where_a_persons_word_is_demanded_guests_wait_for_it_though_the_host_is_proven_off() {
    let mut play = automatic(fenced_with(vec![guest("g")], vec![]), |h| h.spec.evidence.levels.evacuate = Some(Level::Attested));
    let (reason, message) = waits(play.pass());
    assert_eq!(reason, reasons::EVIDENCE_MISSING);
    assert!(message.contains("`cloud-manager attest a` (its power epoch is 1)"), "{message}");
    assert_eq!(play.object.status.conditions.find("EvidenceSufficient").map(|c| c.status), Some(ConditionStatus::False));
    play.facts.attestation = Fact::Seen(attestation(2), at(0));
    assert_eq!(waits(play.pass()).0, reasons::EVIDENCE_MISSING, "one of another epoch");
    play.facts.attestation = Fact::Seen(attestation(1), at(0));
    play.env.evidence.attested = Some(attested(1, -10, 0));
    assert_eq!(sends(play.pass()).0, "g");
    assert_eq!(play.object.status.conditions.find("EvidenceSufficient").map(|c| c.reason.clone()), Some("Attested".into()));
    let used = play.env.evidence.attested.as_ref().and_then(|a| a.used_by.clone());
    assert_eq!(used.map(|(_, uid)| uid).as_deref(), Some(UID));
}

#[test]
fn guests_whose_disk_may_be_lost_wait_for_a_persons_word_and_hold_nobody_up_unless_it_is_in_doubt() {
    let local = Guest { metadata: [("recovery_priority".to_string(), "9".to_string())].into(), ..guest("local") };
    let volume = Guest { boot_from_volume: true, ..guest("volume") };
    let play = || {
        let mut play = automatic(fenced_with(vec![local.clone(), volume.clone()], vec![]), |h| {
            h.spec.evacuation.local_disks = LocalDisks::Rebuild;
            h.spec.evidence.levels.evacuate_local_disks = Some(Level::Attested);
        });
        play.facts.disks = Fact::Seen(GuestDisks::Local, at(0));
        play
    };
    let mut nobody = play();
    assert_eq!(sends(nobody.pass()).0, "volume");
    let waiting = record_of(&nobody, "local");
    assert_eq!((waiting.outcome, waiting.reason.as_str()), (GuestOutcome::Pending, reasons::EVIDENCE_MISSING));
    assert!(waiting.message.contains("levels.evacuateLocalDisks (L5 Attested)"), "{}", waiting.message);
    let mut doubt = play();
    doubt.facts.attestation = Fact::Unknown("locked".into());
    assert_eq!(waits(doubt.pass()).0, reasons::NOVA_UNREADABLE, "with less knowledge nobody goes first instead");
    let mut unread = play();
    unread.facts.disks = Fact::Unknown("500".into());
    assert_eq!(waits(unread.pass()).0, reasons::NOVA_UNREADABLE);
    let mut said = play();
    said.facts.attestation = Fact::Seen(attestation(1), at(0));
    said.env.evidence.attested = Some(attested(1, -10, 0));
    assert_eq!(sends(said.pass()).0, "local");
    assert!(said.env.evidence.attested.as_ref().is_some_and(|a| a.used_by.is_some()), "it goes by that word");
}

// ---- restarts ------------------------------------------------------------------------------

fn cycle(edit: impl FnOnce(&mut Holding)) -> Play<HostOperation> {
    let mut object = operation(HostOperationType::PowerCycle);
    (object.spec.cause, object.spec.running_guests) = (Cause::Automatic, RunningGuests::Kill);
    let facts = HostFacts { holding: holding(edit), ..with(vec![guest("g")], vec![]) };
    Play::new(object, facts, Env { owner: "HostOperation/auto".into(), ..env() })
}

#[test]
fn a_restart_that_is_not_allowed_any_longer_ends_before_power_goes_off_and_goes_on_afterwards() {
    let forbids: [(&str, Edit); 4] = [
        ("restart: Forbid", |h| h.spec.restart = Restart::Forbid),
        ("limits.maxDownHosts: 0", |h| h.spec.limits.max_down_hosts = 0),
        ("excludes it", |h| h.spec.evacuation.excluded_hosts = vec!["a".into()]),
        ("spec.remediation is Excluded", |h| h.of_host.remediation = RemediationRule::Excluded),
    ];
    for (why, edit) in forbids {
        let mut play = cycle(edit);
        assert_eq!(play.pass(), Next::Finished, "{why}");
        let ended = play.object.status.conditions.find("Succeeded").expect("it has ended");
        assert_eq!(ended.reason, reasons::POLICY_CHANGED, "{why}");
        assert!(ended.message.contains(why) && ended.message.contains("it was not switched off"), "{}", ended.message);

        let mut begun = cycle(|_| {});
        assert!(matches!(steps(begun.pass()), Step::Power { command: PowerCommand::ForceOff, .. }));
        begun.answered(OperationState::Observed, "");
        begun.facts.holding = holding(edit);
        begun.pass_time(1);
        begun.facts.links[0].state = Fact::Seen(PowerState::Off, begun.env.now);
        assert_eq!(waits(begun.pass()).0, reasons::PROVING_OFF, "{why}");
        begun.pass_time(5);
        assert!(matches!(steps(begun.pass()), Step::Power { command: PowerCommand::On, .. }), "{why}: it is not left off");
    }
    for edit in [(|h| h.of_host.evacuation = EvacuationRule::Denied) as Edit, |h| h.spec.evacuation.mode = AutomaticEvacuation::Forbidden] {
        steps(cycle(edit).pass());
    }
    let mut unknown = cycle(|_| {});
    unknown.facts.holding = Fact::Unknown("the store".into());
    assert_eq!(waits(unknown.pass()).0, reasons::POLICY_UNKNOWN);
    let mut unheard = cycle(|h| h.spec.evidence.levels.restart = Some(Level::SecondChannelSilent));
    assert_eq!(waits(unheard.pass()).0, reasons::EVIDENCE_MISSING);
    unheard.facts.channels = Fact::Unknown("the store".into());
    assert_eq!(waits(unheard.pass()).0, reasons::EVIDENCE_MISSING);
    unheard.facts.channels = Fact::Seen(vec![says("switch")], at(0));
    steps(unheard.pass());
}

// ---- the watch -----------------------------------------------------------------------------

#[test]
fn what_ended_because_the_policy_changed_is_judged_anew() {
    for restart in [false, true] {
        let mut input = input(vec![row("a", false), row("b", true)], 1);
        input.policies[0].policy.spec.restart = if restart { Restart::Allow } else { Restart::Forbid };
        after(2, &mut input);
        begin(&mut input);
        let ended = Some(reasons::POLICY_CHANGED.to_string());
        if restart {
            input.hosts[0].operation_ended = ended;
        } else {
            input.hosts[0].ended = ended;
        }
        input.policies[0].policy.spec.limits.max_down_hosts = 0;
        assert_eq!(state(&after(1, &mut input).0[0]), AvailabilityState::Unknown, "restart: {restart}");
        let held = after(2, &mut input).0.swap_remove(0);
        assert_eq!((state(&held), held.begin, held.allowed.reason), (AvailabilityState::Down, None, "NeverEvacuate"));
        input.policies[0].policy.spec.limits.max_down_hosts = 1;
        assert_eq!(verdict(&input).begin, Some(if restart { Begin::Restart } else { Begin::Evacuate }));
        assert_eq!(verdict(&input).availability.downs, 2, "what is begun next has a name of its own");
    }
}

#[test]
fn an_excluded_host_is_neither_restarted_nor_evacuated_and_a_denied_one_is_only_restarted() {
    let down = || {
        let mut input = input(vec![row("a", false), row("b", true)], 1);
        input.policies[0].policy.spec.restart = Restart::Allow;
        after(1, &mut input);
        input
    };
    let mut by_policy = down();
    by_policy.policies[0].policy.spec.evacuation.excluded_hosts = vec!["a".into()];
    assert_eq!((verdict(&by_policy).begin, verdict(&by_policy).allowed.reason), (None, "EvacuationForbidden"));
    let mut by_host = down();
    by_host.hosts[0].host.spec.remediation = RemediationRule::Excluded;
    assert_eq!((verdict(&by_host).begin, verdict(&by_host).allowed.reason), (None, "HostExcluded"));
    assert!(verdict(&by_host).allowed.message.contains("`include a`"), "{:?}", verdict(&by_host).allowed);
    let mut denied = down();
    denied.hosts[0].host.spec.evacuation = EvacuationRule::Denied;
    assert_eq!(verdict(&denied).begin, Some(Begin::Restart));
    denied.policies[0].policy.spec.restart = Restart::Forbid;
    assert_eq!((verdict(&denied).begin, verdict(&denied).allowed.reason), (None, "EvacuationDenied"));
}
