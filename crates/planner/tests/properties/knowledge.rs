//! S1: less knowledge, never more force.
//!
//! A decision takes one step of many that are due, and which one comes first may depend on what could be read: if one
//! guest cannot be read, another goes first. So what is compared is not one step but the *reach* of the facts: all
//! disruptive steps that come one after the other while nothing in the world changes and no call is answered. The reach
//! with one fact replaced by unknown must be within the reach with all facts.
//!
//! Where the rules themselves give a reading a second meaning the comparison stops:
//! - A chassis link that reads on and is hidden, while another verified link is read off: S4 lets that link prove it alone.
//! - A link of a host that a person attested dead: where it cannot be read, that person is believed (I4).
//! - A chassis link that reads off and is hidden, of a host that has outlets: a link that cannot be read counts as one that reads
//!   on where a fence comes to its second device, so its reach is within both together (S4).
//! - Which of several verified links a command takes: they are one name here.
//! - When a command is sent again, or goes to the next device: who knows less may find that its time is over earlier. So where
//!   a device still has its time, a link or an attestation that is hidden may lead to nothing but what comes with all facts as
//!   soon as that time is over.
//!
//! Beats are dropped from the oldest on, as a restart or a write of ours does it: a hole in the middle does not occur.

use crate::{
    arbitrary::{Case, Subject, case, cases},
    common::*,
    force::disruptive,
};
use planner::{
    Fact, Next, Step,
    facts::{HostFacts, LinkClass},
};
use proptest::prelude::*;
use schemas::{
    Object,
    v1::{OperationState, PowerState},
};
use std::collections::BTreeSet;

fn name(step: &Step, facts: &HostFacts) -> String {
    match step {
        Step::Power { link, command } if facts.links.iter().any(|l| l.name == *link && l.verified) => format!("Power/{command:?}"),
        other => other.name(),
    }
}

/// What is sent now and, everything being read again as it is, within so many seconds.
fn reach_of<K: Decides>(object: &Object<K>, case: &Case, seconds: i64) -> BTreeSet<String> {
    let mut play = Play::new(object.clone(), case.facts.clone(), case.env.clone());
    let mut reach = BTreeSet::new();
    let (mut left, mut passes) = (seconds, 0);
    while passes < 40 {
        passes += 1;
        let next = play.pass();
        if let Some(step) = disruptive(&next) {
            reach.insert(name(step, &case.facts));
        }
        match next {
            Next::Step(Step::Power { .. }) if seconds > 0 => play.answered(OperationState::Observed, ""),
            // A wait of no length is a pass that only wrote something down.
            Next::Step(_) | Next::Wait { recheck: 0, .. } => {}
            Next::Wait { recheck, .. } if left > 0 => {
                play.pass_time(recheck.min(left));
                (left, passes) = (left - recheck.min(left), 0);
            }
            _ => break,
        }
    }
    reach
}

fn reach(case: &Case) -> BTreeSet<String> {
    reach_within(case, 0)
}

fn reach_within(case: &Case, seconds: i64) -> BTreeSet<String> {
    match &case.subject {
        Subject::Host(o) => reach_of(o, case, seconds),
        Subject::Operation(o) => reach_of(o, case, seconds),
        Subject::Evacuation(o) => reach_of(o, case, seconds),
    }
}

fn hide<T>(fact: &mut Fact<T>) {
    *fact = Fact::Unknown("hidden".into());
}

/// The facts with one of them hidden, each with what was hidden.
fn reductions(facts: &HostFacts, links: bool) -> Vec<(String, HostFacts)> {
    let mut all: Vec<(String, HostFacts)> = Vec::new();
    let mut less = |what: String, change: &dyn Fn(&mut HostFacts)| {
        let mut reduced = facts.clone();
        change(&mut reduced);
        if reduced != *facts {
            all.push((what, reduced));
        }
    };
    less("service".into(), &|f| hide(&mut f.service));
    less("others_up".into(), &|f| hide(&mut f.others_up));
    less("others_off".into(), &|f| f.others_off.clear());
    less("guests".into(), &|f| hide(&mut f.guests));
    less("moves".into(), &|f| hide(&mut f.moves));
    less("provider".into(), &|f| hide(&mut f.provider));
    less("destinations".into(), &|f| hide(&mut f.destinations));
    less("server groups".into(), &|f| hide(&mut f.groups));
    less("other evacuations".into(), &|f| hide(&mut f.others));
    less("guest policies".into(), &|f| hide(&mut f.guest_policies));
    less("disks".into(), &|f| hide(&mut f.disks));
    less("microversion".into(), &|f| hide(&mut f.microversion));
    less("attestation".into(), &|f| hide(&mut f.attestation));
    less("channels".into(), &|f| hide(&mut f.channels));
    less("fencing".into(), &|f| hide(&mut f.fencing));
    less("policy".into(), &|f| hide(&mut f.holding));
    for id in facts.elsewhere.keys() {
        less(format!("elsewhere {id}"), &|f| {
            f.elsewhere.values_mut().zip(facts.elsewhere.keys()).filter(|(_, k)| *k == id).for_each(|(v, _)| hide(v))
        });
    }
    for n in 0..facts.links.len() {
        let hidden_on = facts.links[n].state.seen() == Some(&PowerState::On);
        let another_off = facts.links.iter().any(|l| l.name != facts.links[n].name && l.verified && l.state.seen() == Some(&PowerState::Off));
        if links && !(hidden_on && another_off) {
            less(format!("state of {}", facts.links[n].name), &|f| hide(&mut f.links[n].state));
        }
        less(format!("identity of {}", facts.links[n].name), &|f| hide(&mut f.links[n].identity));
    }
    for n in 0..facts.provider.seen().map_or(0, |p| p.foreign_consumers.len()) {
        less(format!("consumer {n}"), &|f| {
            if let Fact::Seen(provider, _) = &mut f.provider {
                hide(&mut provider.foreign_consumers[n].1);
            }
        });
    }
    for n in 1..=facts.beats.len() {
        less(format!("{n} oldest beats"), &|f| drop(f.beats.drain(..n)));
    }
    all
}

/// Longest time that what was sent has to show, as the orders here have it.
const SOFT_OFF_SECONDS: i64 = 120;

/// Seconds that are left of the time that a device has which was told to power off.
fn left_to_show(case: &Case) -> i64 {
    let sent = case.env.intents.iter().filter(|i| i.owner_uid == UID && matches!(i.action, Step::Power { .. }));
    sent.map(|i| SOFT_OFF_SECONDS - at(0).seconds_since(i.issued_at)).max().unwrap_or(0).max(0)
}

/// The reach if the chassis link that was hidden reads on instead of off, where the host has outlets.
fn reach_of_worst(case: &Case, less: &HostFacts) -> BTreeSet<String> {
    let outlets = case.facts.links.iter().any(|l| l.class == LinkClass::Supply);
    let off = |n: usize| case.facts.links[n].state.seen() == Some(&PowerState::Off) && case.facts.links[n].class == LinkClass::Chassis;
    let hidden = (0..less.links.len()).find(|n| less.links[*n].state != case.facts.links[*n].state && off(*n));
    let Some(n) = hidden.filter(|_| outlets) else { return BTreeSet::new() };
    let mut worst = case.facts.clone();
    worst.links[n].state = Fact::Seen(PowerState::On, at(0));
    reach_within(&Case { facts: worst, ..case.clone() }, left_to_show(case))
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn less_knowledge_never_means_more_force(case in case()) {
        let (full, later) = (reach(&case), reach_within(&case, left_to_show(&case)));
        let attested = case.env.evidence.attested.is_some() && case.facts.attestation.seen().is_some();
        for (what, facts) in reductions(&case.facts, !attested) {
            let timed = what == "attestation" || what.starts_with("state of");
            let full = if timed { &later } else { &full }.union(&reach_of_worst(&case, &facts)).cloned().collect();
            let less = reach(&Case { facts, ..case.clone() });
            prop_assert!(less.is_subset(&full), "without {what}: {less:?}, with it: {full:?}");
        }
    }

    #[test]
    fn knowing_nothing_means_no_force_at_all(case in case()) {
        let blind = HostFacts { links: case.facts.links.iter().cloned().map(blind).collect(), ..HostFacts::blind("a", "hidden") };
        prop_assert_eq!(reach(&Case { facts: blind, ..case.clone() }), BTreeSet::new());
    }
}

/// The comparison is worth something only if there is force to compare.
#[test]
fn the_arbitrary_cases_reach_every_kind_of_step() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let wanted = [
        "Evacuate",
        "LiveMigrate",
        "StopGuest",
        "ColdMigrate",
        "NovaService/enabled=false",
        "NovaService/enabled=false,forcedDown=true",
        "NovaService/forcedDown=true",
        "Power/ForceOff",
        "Power/ForceOff/l1",
        "Power/SoftOff",
    ];
    let mut missing: BTreeSet<&str> = wanted.into();
    for _ in 0..40_000 {
        let case = case().new_tree(&mut runner).unwrap().current();
        for name in reach(&case) {
            missing.remove(name.split("/g").next().unwrap_or_default());
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("never reached: {missing:?}");
}
