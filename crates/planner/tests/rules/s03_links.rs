//! S3: links are verified before they are used, and how a cycle verifies one.

use crate::common::*;
use planner::{
    Also, Fact, Next, Step,
    contract::PowerCommand::{self, ForceOff, On},
    facts::HostFacts,
    power_link::{PowerLinkFacts, identity_matches},
};
use schemas::{
    Conditions, Object, ObjectMeta,
    meta::Ref,
    v1::{self, HostOperationType, InitialiseMethod, LinkIdentity, OperationState, PowerState, VerifiedBy, power_link::Verification, reasons},
};

fn initialise(method: InitialiseMethod) -> Object<v1::HostOperation> {
    let mut op = operation(HostOperationType::Initialise);
    op.spec.method = method;
    op
}

fn cycle(facts: HostFacts) -> Play<v1::HostOperation> {
    Play::new(initialise(InitialiseMethod::Cycle), facts, env())
}

fn unknown_wiring() -> HostFacts {
    HostFacts { links: vec![unverified(link("l1", PowerState::On))], ..empty() }
}

fn command(step: &Step) -> Option<PowerCommand> {
    match step {
        Step::Power { link, command } if link == "l1" => Some(*command),
        _ => None,
    }
}

fn outcome(play: &Play<v1::HostOperation>) -> (bool, String, String) {
    let done = play.object.status.conditions.find("Succeeded").unwrap();
    (play.object.status.conditions.is_true("Succeeded"), done.reason.clone(), done.message.clone())
}

/// A cycle whose power-off was sent.
fn off_sent() -> Play<v1::HostOperation> {
    let mut play = cycle(unknown_wiring());
    assert_eq!(waits(play.pass()).0, reasons::PROVING_EMPTY);
    play.pass_time(30);
    assert_eq!(command(&steps(play.pass())), Some(ForceOff));
    play.answered(OperationState::Observed, "");
    play.pass_time(2);
    play
}

fn falls_silent(play: &mut Play<v1::HostOperation>) {
    play.facts.links[0].state = Fact::Seen(PowerState::Off, play.env.now);
    if let Fact::Seen(service, _) = &mut play.facts.service {
        service.up = false;
    }
}

fn comes_back(play: &mut Play<v1::HostOperation>) {
    play.facts.links[0].state = Fact::Seen(PowerState::On, play.env.now);
    if let Fact::Seen(service, _) = &mut play.facts.service {
        service.up = true;
    }
}

#[test]
fn a_cycle_verifies_a_link_after_exactly_this_service_fell_silent_and_came_back() {
    let mut play = off_sent();
    assert_eq!(waits(play.pass()).0, reasons::WAITING_FOR_POWER);
    falls_silent(&mut play);
    assert_eq!(command(&steps(play.pass())), Some(On));
    play.answered(OperationState::Observed, "");
    comes_back(&mut play);
    let decision = planner::host_operation::decide(&play.object, &play.facts, &play.env);
    assert_eq!(decision.next, Next::Finished);
    let [Also::Patch { kind: "PowerLink", name, patch }] = decision.also.as_slice() else { panic!("{:?}", decision.also) };
    assert_eq!((name.as_str(), &patch["verification"]["by"]), ("l1", &serde_json::json!("Cycle")));
}

#[test]
fn a_cycle_through_a_link_of_another_host_gives_that_one_its_power_back_and_fails() {
    let mut play = off_sent();
    play.facts.links[0].state = Fact::Seen(PowerState::Off, play.env.now);
    play.facts.others_up = Fact::Seen(vec!["c".into()], play.env.now);
    assert_eq!(command(&steps(play.pass())), Some(On));
    play.answered(OperationState::Unknown, "");
    // The command was lost: it is sent again until the link reads on.
    play.pass_time(25);
    assert_eq!(command(&steps(play.pass())), Some(On));
    play.answered(OperationState::Observed, "");
    play.facts.links[0].state = Fact::Seen(PowerState::On, play.env.now);
    play.facts.others_up = Fact::Seen(vec!["b".into(), "c".into()], play.env.now);
    assert_eq!(play.pass(), Next::Finished);
    let (ok, reason, message) = outcome(&play);
    assert_eq!((ok, reason.as_str()), (false, reasons::REFUSED));
    assert!(message.contains("(b)"), "{message}");
}

#[test]
fn a_cycle_does_not_begin_where_nothing_could_be_seen_to_fall_silent() {
    let row = |change: fn(&mut planner::facts::ServiceFacts)| {
        let mut facts = unknown_wiring();
        if let Fact::Seen(service, _) = &mut facts.service {
            change(service);
        }
        facts
    };
    let with = |change: fn(&mut HostFacts)| {
        let mut facts = unknown_wiring();
        change(&mut facts);
        facts
    };
    let cases = [
        (row(|s| s.up = false), reasons::SERVICE_DOWN),
        (row(|s| (s.enabled, s.disabled_reason, s.up) = (true, None, false)), reasons::SERVICE_DOWN),
        (with(|f| f.links[0].state = Fact::Seen(PowerState::Off, at(0))), reasons::REFUSED),
        (with(|f| f.guests = Fact::Seen(vec![guest("g0")], at(0))), reasons::GUESTS_RUNNING),
        (with(|f| (f.service, f.guests) = (Fact::Seen(service(), at(0)), Fact::Seen(vec![guest("g0")], at(0)))), reasons::GUESTS_RUNNING),
        (with(|f| f.links.clear()), reasons::NOT_FOUND),
        (with(|f| f.links.push(link("l2", PowerState::On))), reasons::NOT_FOUND),
    ];
    for (facts, wanted) in cases {
        let mut play = cycle(facts);
        assert_eq!(play.pass(), Next::Finished, "{wanted}");
        assert_eq!(outcome(&play).1, wanted);
    }
    let waiting = [
        (with(|f| f.links[0].state = Fact::Unknown("dark".into())), reasons::POWER_UNREADABLE),
        (with(|f| f.others_up = Fact::Unknown("dark".into())), reasons::NOVA_UNREADABLE),
        (with(|f| (f.service, f.guests) = (Fact::Seen(service(), at(0)), Fact::Unknown("dark".into()))), reasons::NOVA_UNREADABLE),
        (with(|f| f.provider = Fact::Unknown("dark".into())), reasons::PROVING_EMPTY),
    ];
    for (facts, wanted) in waiting {
        assert_eq!(waits(cycle(facts).pass()).0, wanted);
    }
}

#[test]
fn a_cycle_that_fails_after_it_disabled_the_host_enables_it_again() {
    let mut play = cycle(HostFacts { service: Fact::Seen(service(), at(0)), ..unknown_wiring() });
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(false), .. }));
    play.service_written(disabled());
    play.facts.guests = Fact::Seen(vec![guest("late")], play.env.now);
    assert!(matches!(steps(play.pass()), Step::NovaService { enabled: Some(true), .. }));
    play.service_written(service());
    assert_eq!(play.pass(), Next::Finished);
    assert_eq!(outcome(&play).1, reasons::GUESTS_RUNNING);
}

#[test]
fn a_power_off_of_a_cycle_that_never_left_is_decided_anew_with_the_gate_before_it() {
    let mut play = cycle(unknown_wiring());
    play.pass();
    play.pass_time(30);
    steps(play.pass());
    play.answered(OperationState::Refused, "not sent: no lease");
    play.facts.provider = Fact::Unknown("dark".into());
    assert_eq!(waits(play.pass()).0, reasons::PROVING_EMPTY);
    play.facts.provider = empty().provider;
    waits(play.pass());
    play.pass_time(29);
    assert_eq!(waits(play.pass()).0, reasons::PROVING_EMPTY, "the memory of the first pass was lost with the unreadable one");
    play.pass_time(1);
    assert_eq!(command(&steps(play.pass())), Some(ForceOff));
}

#[test]
fn a_cycle_that_is_cancelled_while_the_power_is_off_gives_it_back_first() {
    let mut play = off_sent();
    play.object.spec.cancel = v1::Cancel::Requested;
    play.facts.links[0].state = Fact::Seen(PowerState::Off, play.env.now);
    assert_eq!(command(&steps(play.pass())), Some(On));
    assert_eq!(waits(play.pass()).0, reasons::SETTLING);
    play.answered(OperationState::Observed, "");
    play.facts.links[0].state = Fact::Seen(PowerState::On, play.env.now);
    assert_eq!(play.pass(), Next::Finished);
    assert_eq!(outcome(&play).1, reasons::CANCELLED);
}

#[test]
fn a_link_without_its_device_cannot_be_verified_by_anybody() {
    let mut facts = unknown_wiring();
    facts.links[0].binding.device_uid.clear();
    facts.links[0].state = Fact::Unknown("there is no PowerDevice x".into());
    for method in [InitialiseMethod::Attestation, InitialiseMethod::Identity, InitialiseMethod::Cycle] {
        let (reason, message) = waits(Play::new(initialise(method), facts.clone(), env()).pass());
        assert_eq!(reason, reasons::NOT_FOUND);
        assert!(message.contains("no PowerDevice x"), "{message}");
    }
}

#[test]
fn an_identity_matches_only_if_something_was_compared_and_nothing_differs() {
    let identity =
        |uuid: Option<&str>, serial: Option<&str>| LinkIdentity { system_uuid: uuid.map(String::from), serial_number: serial.map(String::from) };
    let cases = [
        (identity(Some("AB"), None), Some("ab"), None, true),
        (identity(Some("ab"), Some("7")), Some("ab"), Some("7"), true),
        (identity(Some("ab"), Some("7")), Some("ab"), Some("8"), false),
        (identity(Some("ab"), Some("7")), Some("ab"), None, false),
        (identity(Some("ab"), None), None, Some("7"), false),
        (identity(None, None), Some("ab"), Some("7"), false),
        (identity(Some(""), None), Some(""), None, false),
        (identity(Some("ab"), None), Some(" "), None, false),
    ];
    for (want, uuid, serial, holds) in cases {
        assert_eq!(identity_matches(&want, uuid, serial).is_ok(), holds, "{want:?} {uuid:?} {serial:?}");
    }
}

#[test]
fn a_verification_holds_only_for_the_device_endpoint_port_and_service_it_was_made_for() {
    let binding = link("l1", PowerState::On).binding;
    let changes: [fn(&mut v1::Binding); 4] =
        [|b| b.device_uid = "other".into(), |b| b.endpoint = "other".into(), |b| b.port = 2, |b| b.service_id = "other".into()];
    let spec = v1::PowerLinkSpec { host_ref: Ref::to("a"), device_ref: Ref::to("d"), port: 1, role: Default::default(), identity: None };
    let verification = Verification { by: VerifiedBy::Attestation, who: "someone".into(), at: at(-100), binding: binding.clone() };
    let status = v1::PowerLinkStatus { verification: Some(verification), ..Default::default() };
    let object: Object<v1::PowerLink> = Object { metadata: ObjectMeta::named("l1"), spec, status };
    let verified = |binding: Result<v1::Binding, String>| {
        let facts = PowerLinkFacts { binding, state: Fact::Seen(PowerState::On, at(0)), identity: Fact::not_asked() };
        planner::power_link::decide(&object, &facts, at(0)).status.verification.is_some()
    };
    assert!(verified(Ok(binding.clone())));
    assert!(verified(Err("Nova cannot be read".into())), "kept, though not used");
    for change in changes {
        let mut other = binding.clone();
        change(&mut other);
        assert!(!verified(Ok(other.clone())), "{other:?}");
    }
}

#[test]
fn just_before_sending_a_link_is_still_the_one_that_was_verified() {
    use planner::power_link::still_holds;
    let bound = link("l1", PowerState::On).binding;
    let verified = Verification { by: VerifiedBy::Cycle, who: "op".into(), at: at(0), binding: bound.clone() };
    let holds = |binding: &v1::Binding| still_holds(Some(&verified), binding);
    assert!(holds(&bound) && holds(&v1::Binding { service_id: String::new(), ..bound.clone() }), "the service is not read again");
    assert!(!still_holds(None, &bound));
    for changed in [
        v1::Binding { device_uid: "other".into(), ..bound.clone() },
        v1::Binding { endpoint: "other".into(), ..bound.clone() },
        v1::Binding { port: 2, ..bound },
    ] {
        assert!(!holds(&changed), "{changed:?}");
    }
}
