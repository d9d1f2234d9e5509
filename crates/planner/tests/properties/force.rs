//! What no decision may do, whatever is true.

use crate::{
    arbitrary::{Case, Subject, case, cases},
    common::*,
};
use planner::{
    ClaimWish, Fact, Next, Step,
    contract::PowerCommand,
    facts::{HostFacts, LinkClass},
    proof::EvidenceBody,
};
use proptest::prelude::*;
use schemas::v1::{AttestationRule, GuestDisks, HostOperationType, InitialiseMethod, LocalDisks, PowerState, RunningGuests};

/// What a decision came to, whichever kind it was for.
pub struct Outcome {
    pub next: Next,
    pub claim: ClaimWish,
    pub evidence: EvidenceBody,
    pub settled: Vec<String>,
    pub events: usize,
}

pub fn decide(case: &Case) -> Outcome {
    macro_rules! outcome {
        ($object:expr) => {{
            let d = Decides::decide($object, &case.facts, &case.env);
            Outcome {
                next: d.next,
                claim: d.claim,
                evidence: d.evidence,
                settled: d.settle.into_iter().map(|s| s.intent).collect(),
                events: d.events.len(),
            }
        }};
    }
    match &case.subject {
        Subject::Host(o) => outcome!(o),
        Subject::Operation(o) => outcome!(o),
        Subject::Evacuation(o) => outcome!(o),
    }
}

pub fn disruptive(next: &Next) -> Option<&Step> {
    match next {
        Next::Step(step) if step.is_disruptive() => Some(step),
        _ => None,
    }
}

/// S4, written a second time: readings in the evidence, each also in this pass.
pub fn proof_by_the_letter(evidence: &EvidenceBody, facts: &HostFacts) -> bool {
    let reads = |l: &planner::facts::LinkFacts, s: PowerState| matches!(&l.state, Fact::Seen(x, _) if *x == s);
    let good = |l: &planner::facts::LinkFacts| {
        let r = evidence.off.iter().find(|r| r.link_uid == l.uid);
        l.verified
            && reads(l, PowerState::Off)
            && r.is_some_and(|r| r.last_at.0 - r.first_at.0 >= 5_000_000 && (0..=5_000_999).contains(&(at(0).0 - r.last_at.0)))
    };
    let supplies: Vec<_> = facts.links.iter().filter(|l| l.class == LinkClass::Supply).collect();
    let chassis_on = facts.links.iter().any(|l| l.class == LinkClass::Chassis && reads(l, PowerState::On));
    let chassis = facts.links.iter().any(|l| l.class == LinkClass::Chassis && good(l));
    !chassis_on && (chassis || (!supplies.is_empty() && supplies.iter().all(|l| good(l))))
}

/// I4, written a second time: a person's word in place of a proof that is impossible.
pub fn attested_by_the_letter(case: &Case, evidence: &EvidenceBody) -> bool {
    let Subject::Evacuation(ev) = &case.subject else { return false };
    let refused = ev.spec.evidence.as_ref().is_some_and(|rule| rule.attestation == AttestationRule::Refused);
    let links = &case.facts.links;
    let on = links.iter().any(|l| matches!(&l.state, Fact::Seen(PowerState::On, _)));
    let impossible = links.iter().all(|l| !l.verified) || links.iter().any(|l| !l.verified || !matches!(l.state, Fact::Seen(..)));
    let Fact::Seen(found, _) = &case.facts.attestation else { return false };
    let Some(a) = &evidence.attested else { return false };
    let looked = a.last_at.0 - a.first_at.0 >= 5_000_000 && (0..=5_000_999).contains(&(at(0).0 - a.last_at.0));
    let counts = found.uid == a.uid && found.epoch == evidence.epoch && a.epoch == evidence.epoch && found.expires_at > at(0);
    let heard = case.facts.beats.last().is_some_and(|b| b.conductor_up && b.others_up);
    !refused && heard && !on && impossible && looked && counts && a.used_by.is_some() && matches!(case.facts.service, Fact::Seen(..))
}

/// S9, written a second time.
pub fn empty_by_the_letter(case: &Case) -> bool {
    let f = &case.facts;
    let running = |g: &planner::facts::Guest| {
        let parked = ["stopped", "suspended", "shelved", "shelved_offloaded", "soft-delete"].contains(&g.vm_state.as_str());
        (g.vm_state == "error" && g.power_state != 4) || (g.vm_state != "error" && (!parked || g.power_state == 1))
    };
    let last = ["done", "completed", "error", "failed", "cancelled", "confirmed", "reverted"];
    matches!(&f.service, Fact::Seen(s, _) if !s.enabled)
        && matches!(&f.guests, Fact::Seen(all, _) if all.iter().all(|g| !running(g) && g.task_state.is_none()))
        && matches!(&f.moves, Fact::Seen(all, _) if all.iter().all(|m| last.contains(&m.status.as_str())))
        && matches!(&f.provider, Fact::Seen(p, _) if p.disabled_trait && p.foreign_consumers.iter().all(|(_, lives)| matches!(lives, Fact::Seen(Some(h), _) if h != "a")))
        && !case.env.intents.iter().any(|i| i.state.is_open() && i.action.server().is_some())
}

/// Whether S9 asks for the gate before this power-off.
fn gated(subject: &Subject) -> bool {
    use HostOperationType::*;
    match subject {
        Subject::Host(_) => true,
        Subject::Operation(o) => match o.spec.r#type {
            PowerOff | SoftOff | PowerCycle => o.spec.running_guests == RunningGuests::Refuse,
            Shutdown | Initialise => true,
            _ => false,
        },
        Subject::Evacuation(_) => false,
    }
}

fn empty_since(subject: &Subject) -> Option<schemas::Time> {
    match subject {
        Subject::Host(o) => o.status.empty_since,
        Subject::Operation(o) => o.status.empty_since,
        Subject::Evacuation(_) => None,
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn a_guest_is_rebuilt_only_with_proof_and_never_on_its_source_nor_beside_another_move(case in case()) {
        let out = decide(&case);
        let Next::Step(Step::Evacuate { server, destination, leave_stopped, records_before }) = &out.next else { return Ok(()) };
        let Subject::Evacuation(ev) = &case.subject else { panic!("only evacuations evacuate") };
        let dead = proof_by_the_letter(&out.evidence, &case.facts) || attested_by_the_letter(&case, &out.evidence);
        prop_assert!(dead, "no proof of off: {:?}", out.evidence);
        let row = case.facts.service.seen().expect("its service was read");
        prop_assert!(row.forced_down && !row.enabled, "not fenced in Nova");
        prop_assert!(out.evidence.latch.as_ref().is_some_and(|l| l.epoch == out.evidence.epoch), "not latched in this epoch");
        prop_assert!(out.evidence.life_at.is_none_or(|t| at(0).0 - t.0 >= 20_000_000), "its service reported a moment ago");
        prop_assert_ne!(destination, "a");
        let guest = case.facts.guests.seen().and_then(|all| all.iter().find(|g| g.id == *server)).cloned().expect("a guest of this host");
        prop_assert_eq!(guest.host.as_deref(), Some("a"));
        prop_assert!(["active", "stopped", "error"].contains(&guest.vm_state.as_str()));
        let dead_end = |m: &planner::facts::Move| {
            let begun = m.kind == "live-migration" || (m.kind == "evacuation" && m.status == "pre-migrating");
            begun && m.source.as_deref() == Some("a") && m.destination.as_ref().is_some_and(|d| d != "a" && case.facts.others_off.contains(d))
        };
        let ended_dead = case.facts.moves.seen().into_iter().flatten().any(|m| m.server == *server && !m.is_final() && dead_end(m));
        prop_assert!(guest.task_state.as_deref() != Some("migrating") || ended_dead);
        let listed = ev.status.guests.iter().find(|m| m.id == *server).map_or_else(|| guest.metadata.get("recovery_priority").cloned(), |m| Some(m.priority.to_string()));
        prop_assert_ne!(listed.as_deref(), Some("0"), "priority 0 is never evacuated");
        let shared = matches!(case.facts.disks, Fact::Seen(GuestDisks::Shared, _)) || (guest.boot_from_volume && !guest.local_extra_disks);
        prop_assert!(shared || ev.spec.local_disks == LocalDisks::Rebuild, "its disk may be lost");
        let moves = case.facts.moves.seen().expect("records were read");
        prop_assert!(moves.iter().filter(|m| m.server == *server).all(|m| m.is_final() || dead_end(m)), "a record of it is open");
        let known: Vec<i64> = moves.iter().filter(|m| m.server == *server).map(|m| m.id).collect();
        prop_assert_eq!(records_before, &known);
        let open = case.env.intents.iter().filter(|i| i.state.is_open() && i.action.server() == Some(server) && !out.settled.contains(&i.name)).count();
        prop_assert_eq!(open, 0, "another call for it is open");
        if guest.vm_state == "error" && guest.power_state == 4 {
            prop_assert!(*leave_stopped && case.facts.microversion.seen().is_some_and(|v| *v >= (2, 95)), "it was shut down and would be started");
        }
    }

    #[test]
    fn a_lost_request_is_repeated_to_the_same_destination_and_not_before_a_minute(case in case()) {
        let out = decide(&case);
        let Next::Step(Step::Evacuate { server, destination, .. }) = &out.next else { return Ok(()) };
        let sent = |i: &&planner::Intent| i.owner_uid == UID && matches!(i.action, Step::Evacuate { .. }) && i.action.server() == Some(server) && !i.never_left();
        let Some(last) = case.env.intents.iter().rfind(sent) else { return Ok(()) };
        let lost = last.state.is_open() || last.evidence == planner::settle::LOST;
        if let Step::Evacuate { destination: before, .. } = &last.action && lost && case.facts.moves.seen().is_some_and(|all| all.iter().all(|m| m.server != *server)) {
            prop_assert_eq!(before, destination);
            prop_assert!(!last.state.is_open() || last.past_end_of_life >= 60);
        }
    }

    #[test]
    fn power_is_taken_only_through_a_verified_link_unless_a_cycle_verifies_it(case in case()) {
        let out = decide(&case);
        let Next::Step(Step::Power { link, command }) = &out.next else { return Ok(()) };
        if *command == PowerCommand::On { return Ok(()) }
        let cycle = matches!(&case.subject, Subject::Operation(o) if o.spec.r#type == HostOperationType::Initialise && o.spec.method == InitialiseMethod::Cycle);
        let facts = case.facts.links.iter().find(|l| l.name == *link).expect("a link of this host");
        prop_assert!(facts.verified || cycle);
        let soft_only = matches!(&case.subject, Subject::Operation(o) if o.spec.r#type == HostOperationType::SoftOff);
        prop_assert!(!soft_only || *command == PowerCommand::SoftOff, "a soft power-off never becomes a hard one");
    }

    #[test]
    fn a_host_is_switched_off_only_after_two_complete_passes_of_emptiness(case in case()) {
        let out = decide(&case);
        let Next::Step(Step::Power { command, .. }) = &out.next else { return Ok(()) };
        if *command == PowerCommand::On || !gated(&case.subject) { return Ok(()) }
        prop_assert!(empty_by_the_letter(&case), "it is not empty in this very pass");
        // A time outside its term is another leader's, and was written before this one came.
        let first = empty_since(&case.subject).map(|t| if t > at(0) { case.env.led_since } else { t });
        prop_assert!(first.is_some_and(|t| at(0).0 - t.0 >= 30_000_000), "first pass {first:?}");
    }

    #[test]
    fn a_service_is_forced_down_only_with_proof_and_only_together_with_its_disabling(case in case()) {
        let out = decide(&case);
        let Next::Step(Step::NovaService { enabled, forced_down: Some(true), reason, .. }) = &out.next else { return Ok(()) };
        let row = case.facts.service.seen().expect("its service was read");
        prop_assert!(*enabled == Some(false) || !row.enabled);
        prop_assert!(*enabled != Some(false) || reason.as_deref().is_some_and(|r| r.contains(US)), "S14: {reason:?}");
        prop_assert!(proof_by_the_letter(&out.evidence, &case.facts) || attested_by_the_letter(&case, &out.evidence));
        prop_assert!(matches!(case.subject, Subject::Evacuation(_)));
    }

    #[test]
    fn every_step_takes_the_claim_and_none_is_taken_from_an_equal_or_higher_rank(case in case()) {
        let out = decide(&case);
        let Next::Step(step) = &out.next else { return Ok(()) };
        let ClaimWish::Take { rank, .. } = &out.claim else { panic!("{} without a claim", step.name()) };
        if let Some((_, uid, held)) = &case.env.claim && uid != UID {
            prop_assert!(held < rank, "{} beside a claim of rank {held}", step.name());
        }
    }

    #[test]
    fn nothing_disruptive_happens_while_frozen_or_halted_or_under_a_foreign_mark(case in case()) {
        let out = decide(&case);
        let foreign = case.facts.service.seen().is_some_and(|s| s.disabled_reason.as_deref().is_some_and(|r| r.contains(THEM)));
        if case.env.frozen() || case.env.halted.is_some() || foreign {
            prop_assert_eq!(disruptive(&out.next), None);
        }
        if case.env.halted.is_some() || foreign {
            prop_assert!(!matches!(out.next, Next::Step(_)), "{:?}", out.next);
        }
    }

    #[test]
    fn nothing_new_is_done_to_a_host_while_a_power_command_or_a_write_of_its_service_may_land(case in case()) {
        let out = decide(&case);
        let pending = case.env.intents.iter().any(|i| {
            let kind = matches!(i.action, Step::Power { .. } | Step::NovaService { .. });
            kind && i.state.is_open() && i.state != schemas::v1::OperationState::Accepted && i.past_end_of_life < 0
        });
        if pending {
            prop_assert_eq!(disruptive(&out.next), None);
        }
    }
}

/// What is said of attestations is worth something only if some are gone by.
#[test]
fn the_arbitrary_cases_reach_evacuations_on_a_persons_word() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let all = (0..20_000).map(|_| case().new_tree(&mut runner).unwrap().current());
    let by_word = |case: &Case| {
        let out = decide(case);
        matches!(out.next, Next::Step(Step::Evacuate { .. })) && !proof_by_the_letter(&out.evidence, &case.facts)
    };
    let reached = all.filter(by_word).count();
    assert!(reached >= 20, "{reached}");
}
