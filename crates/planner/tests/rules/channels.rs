//! What other channels say of a host: it holds a recovery up, and proves nothing.

use crate::common::*;
use planner::{
    Fact, Next,
    facts::HostFacts,
    remediation::{
        self, HostRow, Input, Observer, PolicyRow,
        channels::{Heard, alive},
    },
};
use schemas::{
    Object, ObjectMeta,
    v1::{
        AttestationRule, Availability, AvailabilityState, Cause, Demand, EvacuationMode, EvidenceRule, HostSpec, HostStatus, Level, Observation,
        PowerState, RemediationPolicySpec, RemediationPolicyStatus, Restart, Says,
    },
};

fn says(says: Says, seen: i64, received: i64, ttl_seconds: i64) -> Observation {
    Observation {
        host: "a".into(),
        channel: "storage".into(),
        says,
        observed_at: at(seen),
        received_at: at(received),
        ttl_seconds,
        by: "probe".into(),
        detail: String::new(),
    }
}

#[test]
fn a_channel_counts_while_it_is_fresh_by_its_own_times() {
    let rule = EvidenceRule::default();
    let counts = |seen, received, ttl| alive(&[says(Says::Alive, seen, received, ttl)], &rule, at(0)).is_some();
    assert!(counts(0, 0, 60) && counts(-60, -60, 600));
    assert!(!counts(-61, -61, 600), "older than the policy lets it be");
    assert!(!counts(-31, -31, 30), "older than it says it may be");
    assert!(!counts(-61, 0, 600), "it came in late");
    assert!(!counts(0, -61, 600), "its clock is ahead");
    assert!(counts(30, 90, 60), "ours is behind: in doubt it holds");
    assert_eq!(alive(&[says(Says::Silent, 0, 0, 60)], &rule, at(0)), None);
}

#[test]
fn an_evacuation_that_nobody_asked_for_ends_untouched_when_another_channel_calls_the_host_alive() {
    let decide = |cause: Cause, fenced: bool, channels: Fact<Vec<Observation>>| {
        let mut object = evacuation(EvacuationMode::Auto);
        object.spec.cause = cause;
        object.status.fences = i64::from(fenced);
        let facts = HostFacts { channels, links: vec![link("l1", PowerState::On)], guests: Fact::Seen(vec![guest("g")], at(0)), ..dead() };
        let mut play = Play::new(object, facts, env());
        let next = play.pass();
        let reason = play.object.status.conditions.iter().find(|c| c.r#type == "Succeeded").unwrap().reason.clone();
        (next, reason)
    };
    let alive = || Fact::Seen(vec![says(Says::Alive, -5, -5, 60)], at(0));
    let (next, reason) = decide(Cause::Automatic, false, alive());
    assert_eq!((next, reason.as_str()), (Next::Finished, "AliveElsewhere"));
    assert!(matches!(decide(Cause::Manual, false, alive()).0, Next::Step(_)), "a person knows better");
    assert!(matches!(decide(Cause::Automatic, true, alive()).0, Next::Step(_)), "what was begun is ended");
    let stale = Fact::Seen(vec![says(Says::Alive, -61, -61, 600)], at(0));
    assert!(matches!(decide(Cause::Automatic, false, stale).0, Next::Step(_)));
    assert_eq!(waits(decide(Cause::Automatic, false, Fact::Unknown("the store".into())).0).0, "EvidenceMissing");
}

#[test]
fn a_silence_that_is_demanded_and_goes_missing_holds_an_evacuation_that_has_not_fenced() {
    let decide = |cause: Cause, fenced: bool, said: Vec<Observation>| {
        let mut object = evacuation(EvacuationMode::Auto);
        object.spec.cause = cause;
        object.status.fences = i64::from(fenced);
        let asks = holding(|policy| policy.spec.evidence.demand = Demand::SecondChannelSilent);
        let facts = HostFacts { holding: asks, channels: Fact::Seen(said, at(0)), guests: Fact::Seen(vec![guest("g")], at(0)), ..dead() };
        Play::new(object, facts, env()).pass()
    };
    let silent = |seen| vec![says(Says::Silent, seen, seen, 600)];
    for missing in [vec![], silent(-61)] {
        let (reason, message) = waits(decide(Cause::Automatic, false, missing.clone()));
        assert!(reason == "EvidenceMissing" && message.contains("/v1/evidence"), "{reason}: {message}");
        assert!(matches!(decide(Cause::Manual, false, missing.clone()), Next::Step(_)), "a person knows better");
        assert!(matches!(decide(Cause::Automatic, true, missing), Next::Step(_)), "what was begun is ended");
    }
    assert!(matches!(decide(Cause::Automatic, false, silent(-5)), Next::Step(_)));
}

/// What the pass says of a host that is down: whether something is begun, why not, and what speaks for its death.
fn judged(demand: Demand, observations: Vec<Observation>, change: impl FnOnce(&mut HostRow)) -> (bool, &'static str, String, Vec<String>) {
    judged_under(|spec| spec.evidence.demand = demand, observations, change)
}

/// The same under a policy that says so.
fn judged_under(
    say: impl FnOnce(&mut RemediationPolicySpec),
    observations: Vec<Observation>,
    change: impl FnOnce(&mut HostRow),
) -> (bool, &'static str, String, Vec<String>) {
    let availability = Availability { state: AvailabilityState::Down, downs: 1, since: Some(at(-600)), ..Availability::default() };
    let status = HostStatus { availability: Some(availability), epoch: 2, observed_generation: 1, ..HostStatus::default() };
    let host = Object { metadata: ObjectMeta::named("a"), spec: HostSpec::default(), status };
    let heard = Heard { observations, attested: None };
    let mut row = HostRow { guests: Fact::Seen(3, at(0)), heard, ..HostRow::plain(host, Fact::Seen(false, at(0))) };
    change(&mut row);
    let mut spec = RemediationPolicySpec::default();
    spec.limits.max_down_hosts = 5;
    say(&mut spec);
    let policy = Object { metadata: ObjectMeta::named("default"), spec, status: RemediationPolicyStatus::default() };
    let input = Input {
        hosts: vec![row],
        policies: vec![PolicyRow { policy, due: true }],
        domains: Vec::new(),
        observer: Observer { conductor_up: true, computes_up: 9, unread: None },
        now: at(0),
        led_since: at(-3_600),
        frozen: false,
        halted: None,
    };
    let verdict = remediation::pass(&input).hosts.remove(0);
    (verdict.begin.is_some(), verdict.allowed.reason, verdict.allowed.message, verdict.availability.evidence)
}

#[test]
fn a_host_that_nova_calls_down_and_another_channel_alive_is_left_alone_and_it_says_who_says_so() {
    let (begin, reason, message, _) = judged(Demand::ServiceSilent, vec![says(Says::Alive, -5, -5, 60)], |_| {});
    assert!(!begin && reason == "AliveElsewhere", "{reason}");
    assert!(message.contains("channel storage called it alive less than 60 s ago (sent by probe)"), "{message}");
    let other = Observation { channel: "a-probe".into(), ..says(Says::Silent, 0, 0, 60) };
    assert_eq!(
        judged(Demand::SecondChannelSilent, vec![other, says(Says::Alive, -5, -5, 60)], |_| {}).1,
        "AliveElsewhere",
        "one that says alive is enough"
    );
    assert!(judged(Demand::ServiceSilent, vec![says(Says::Alive, -61, -61, 3_600)], |_| {}).0, "it does not hold for ever");
    assert!(judged(Demand::ServiceSilent, vec![], |_| {}).0);
}

#[test]
fn a_second_channel_that_is_demanded_is_waited_for() {
    let silent = |seen| vec![says(Says::Silent, seen, seen, 600)];
    assert!(judged(Demand::SecondChannelSilent, silent(-5), |_| {}).0);
    for missing in [vec![], silent(-61), silent(61)] {
        let (begin, reason, message, _) = judged(Demand::SecondChannelSilent, missing, |_| {});
        assert!(!begin && reason == "EvidenceMissing" && message.contains("/v1/evidence"), "{reason}: {message}");
    }
    let (begin, reason, ..) = judged(Demand::ServiceSilent, silent(-5), |row| row.up = Fact::Seen(true, at(0)));
    assert!(!begin, "silence of a channel is no death: {reason}");
}

#[test]
fn each_action_takes_the_evidence_that_is_demanded_for_it() {
    let silent = || vec![says(Says::Silent, -5, -5, 600)];
    let restart_first = |spec: &mut RemediationPolicySpec| {
        (spec.restart, spec.evidence.levels.restart) = (Restart::Allow, Some(Level::SecondChannelSilent));
    };
    let (begin, reason, message, _) = judged_under(restart_first, vec![], |_| {});
    assert!(!begin && reason == "EvidenceMissing", "{reason}");
    assert!(message.contains("in power epoch 2 there is not what spec.evidence.levels.restart (L1 SecondChannelSilent) asks for"), "{message}");
    assert!(judged_under(restart_first, silent(), |_| {}).0);
    let evacuate_only = |spec: &mut RemediationPolicySpec| spec.evidence.levels.restart = Some(Level::SecondChannelSilent);
    assert!(judged_under(evacuate_only, vec![], |_| {}).0, "what is demanded for a restart holds no evacuation up");

    let storage = |channel: &'static str| {
        move |spec: &mut RemediationPolicySpec| {
            spec.evidence.levels.fence = Some(Level::StorageSilent);
            spec.evidence.storage_channels = vec![channel.into()];
        }
    };
    let (begin, reason, message, _) = judged_under(storage("san"), silent(), |_| {});
    assert!(!begin && reason == "EvidenceMissing" && message.contains("none of storageChannels"), "{reason}: {message}");
    let (begin, _, message, tiers) = judged_under(storage("storage"), silent(), |_| {});
    assert!(begin);
    assert_eq!(tiers, ["L0 ServiceSilent", "L1 ChannelSilent storage", "L2 StorageSilent storage"]);
    assert!(message.ends_with("is met in power epoch 2: L0 ServiceSilent, L1 ChannelSilent storage, L2 StorageSilent storage"), "{message}");
}

#[test]
fn a_host_that_is_never_to_be_switched_off_is_begun_for_once_it_reads_off_or_a_person_speaks() {
    let never = |spec: &mut RemediationPolicySpec| spec.evidence.levels.fence = Some(Level::PowerOff);
    for power in [PowerState::On, PowerState::Unknown] {
        let (begin, reason, message, _) = judged_under(never, vec![], |row| row.host.status.power.state = power);
        assert!(!begin && reason == "EvidenceMissing" && message.contains("power it off yourself"), "{reason}: {message}");
    }
    assert!(judged_under(never, vec![], |row| row.host.status.power.state = PowerState::Off).0);
    let attested = |epoch: i64| move |row: &mut HostRow| row.heard.attested = Some(("fa".into(), epoch));
    assert!(judged_under(never, vec![], attested(2)).0);
    assert!(!judged_under(never, vec![], attested(1)).0, "of an epoch that is over");
    let refused = |spec: &mut RemediationPolicySpec| {
        never(spec);
        spec.evidence.attestation = AttestationRule::Refused;
    };
    assert!(!judged_under(refused, vec![], attested(2)).0);
}

#[test]
fn what_speaks_for_its_death_is_told_by_level() {
    let tiers = |change: fn(&mut HostRow)| judged(Demand::ServiceSilent, vec![says(Says::Silent, -5, -5, 60)], change).3;
    assert_eq!(tiers(|_| {}), ["L0 ServiceSilent", "L1 ChannelSilent storage"]);
    let dark = tiers(|row| (row.host.status.power.state, row.heard.attested) = (PowerState::Off, Some(("fa".into(), 2))));
    assert_eq!(dark, ["L0 ServiceSilent", "L1 ChannelSilent storage", "L3 PowerOff in epoch 2", "L5 Attested fa in epoch 2"]);
    assert_eq!(tiers(|row| row.heard.attested = Some(("fa".into(), 1))).len(), 2, "of an epoch that is over");
    assert!(tiers(|row| row.up = Fact::Seen(true, at(0))).is_empty());
    assert!(tiers(|row| row.up = Fact::Unknown("?".into())).is_empty());
}
