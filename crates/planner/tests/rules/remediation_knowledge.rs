//! S1 for all hosts at once: with less knowledge nothing more is begun. And the document of the states.

use crate::{
    common::at,
    remediation::{after, host, input},
};
use planner::{
    Fact,
    remediation::{Begin, Input, document, pass},
};
use schemas::{
    Object, ObjectMeta, Time,
    meta::Ref,
    v1::{
        Availability, AvailabilityState, DomainLimit, FailureDomain, FailureDomainSpec, FailureDomainType, FenceStatus, PowerOnReturn, PowerState,
        Restart, ReturnMode, Storm,
    },
};
use std::{collections::BTreeSet, fs, path::Path};

fn begun(input: &Input) -> BTreeSet<(String, Begin)> {
    pass(input).hosts.into_iter().filter_map(|v| Some((v.host, v.begin?))).collect()
}

fn racks() -> Vec<Object<FailureDomain>> {
    let domain = |name: &str, r#type: FailureDomainType, parent: Option<&str>| {
        let spec = FailureDomainSpec { r#type, parent_ref: parent.map(Ref::to) };
        Object { metadata: ObjectMeta::named(name), spec, status: Default::default() }
    };
    vec![
        domain("r1", FailureDomainType::Rack, Some("hall")),
        domain("r2", FailureDomainType::Rack, Some("hall")),
        domain("hall", FailureDomainType::Room, None),
    ]
}

/// A change of an input, by what it is about.
type Rule = (&'static str, fn(&mut Input));

fn since(seconds: i64) -> Option<Time> {
    Some(at(seconds))
}

/// The policies under which knowledge is taken away.
const RULES: [Rule; 11] = [
    ("the number alone", |_| {}),
    ("one begin an hour", |i| i.policies[0].policy.spec.limits.max_begins_per_hour = Some(1)),
    ("two begins an hour, one of them past", |i| {
        i.policies[0].policy.spec.limits.max_begins_per_hour = Some(2);
        i.policies[0].policy.status.begins = vec![at(900)];
    }),
    ("racks", |i| {
        let limit = |r#type, max_down_hosts| DomainLimit { r#type, max_down_hosts };
        i.policies[0].policy.spec.limits.per_failure_domain = vec![limit(FailureDomainType::Rack, 1), limit(FailureDomainType::Room, 3)];
    }),
    ("racks, and one begin an hour", |i| {
        i.policies[0].policy.spec.limits.per_failure_domain = vec![DomainLimit { r#type: FailureDomainType::Rack, max_down_hosts: 1 }];
        i.policies[0].policy.spec.limits.max_begins_per_hour = Some(1);
    }),
    ("an expired hold", |i| {
        let limits = &mut i.policies[0].policy.spec.limits;
        (limits.hold_expiry_seconds, limits.max_begins_per_hour) = (60, Some(2));
        i.policies[0].policy.status.storms = vec![Storm { since: since(100), known_since: since(100), expired_at: since(160), ..Storm::default() }];
    }),
    ("a storm that is just over, perhaps", |i| {
        i.policies[0].policy.spec.limits.cooldown_seconds = 100;
        i.policies[0].policy.status.storms = vec![Storm { since: since(900), known_since: since(900), ..Storm::default() }];
    }),
    ("two at the same time", |i| i.policies[0].policy.spec.evacuation.max_parallel_hosts = Some(2)),
    ("one at the same time, one an hour", |i| {
        i.policies[0].policy.spec.evacuation.max_parallel_hosts = Some(1);
        i.policies[0].policy.spec.limits.max_begins_per_hour = Some(1);
    }),
    ("one at the same time, one of them restarted in vain", |i| {
        i.policies[0].policy.spec.evacuation.max_parallel_hosts = Some(1);
        if let Some(availability) = i.hosts[1].host.status.availability.as_mut().filter(|a| a.state == AvailabilityState::Down) {
            availability.operation = Some("auto-restart-h1-1".into());
        }
    }),
    ("restarts first", |i| {
        i.policies[0].policy.spec.restart = Restart::Allow;
        i.policies[0].policy.spec.limits.max_begins_per_hour = Some(1);
    }),
];

#[test]
fn less_knowledge_begins_nothing_more() {
    // Every combination of four hosts that are up or down, each fact of each host hidden in turn, under every rule.
    for (rule, change) in RULES {
        for bits in 0u32..16 {
            for max in 0..4 {
                for looked in 0..3 {
                    let mut known = input((0..4).map(|n| host(&format!("h{n}"), bits & (1 << n) != 0)).collect(), max);
                    known.domains = racks();
                    for (n, row) in known.hosts.iter_mut().enumerate() {
                        row.host.spec.failure_domain = Some(format!("r{}", 1 + n / 2));
                    }
                    after(looked, &mut known);
                    change(&mut known);
                    let with_all = begun(&known);
                    for hidden in 0..8 {
                        let mut less = known.clone();
                        let row = &mut less.hosts[hidden % 4];
                        if hidden < 4 {
                            row.up = Fact::Unknown("hidden".into())
                        } else {
                            row.guests = Fact::Unknown("hidden".into())
                        }
                        let with_less = begun(&less);
                        assert!(
                            with_less.is_subset(&with_all),
                            "{rule}: hosts {bits:04b}, limit {max}, {looked} looks, hidden {hidden}: {with_less:?} {with_all:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_look_that_says_nothing_leads_nowhere_from_any_state() {
    use AvailabilityState::*;
    for state in [Unknown, Up, Off, Suspect, Down, Restarting, Recovering, Recovered, Returning, Quarantined] {
        for fenced in [false, true] {
            let mut blind = input(vec![host("a", false), host("b", true)], 2);
            let row = &mut blind.hosts[0];
            row.up = Fact::Unknown("its cell did not answer".into());
            let fence = FenceStatus { epoch: 2, by: "Evacuation/auto-a-1".into(), disabled_by_us: true };
            row.host.status.fence = fenced.then_some(fence);
            let names = (Some("auto-a-1".to_string()), Some("auto-restart-a-1".to_string()));
            let old = Availability {
                state,
                confirmations: 1,
                since: since(10),
                downs: 1,
                evacuation: names.0,
                operation: names.1,
                returns: vec![at(500)],
                evidence: Vec::new(),
            };
            row.host.status.availability = Some(old.clone());
            let verdict = pass(&blind).hosts.swap_remove(0);
            assert_eq!((verdict.begin, &verdict.availability), (None, &old), "{state:?}, fenced: {fenced}");
        }
    }
}

#[test]
fn with_less_knowledge_no_host_is_brought_back() {
    let mut known = input(vec![host("a", false), host("b", true)], 1);
    after(2, &mut known);
    let begin = pass(&known).hosts.swap_remove(0);
    known.hosts[0].host.status.availability = Some(begin.begun(Begin::Evacuate, at(1_000)).availability);
    known.hosts[0].ended = Some("Succeeded".into());
    known.hosts[0].last_evacuation = Some("auto-a-1".into());
    let status = &mut known.hosts[0].host.status;
    status.fence = Some(FenceStatus { epoch: 2, by: "Evacuation/auto-a-1".into(), disabled_by_us: true });
    status.power.state = PowerState::On;
    let rules = &mut known.policies[0].policy.spec.return_to_service;
    (rules.mode, rules.power_on) = (ReturnMode::Automatic, PowerOnReturn::Never);
    after(1, &mut known);
    assert_eq!(begun(&known), BTreeSet::from([("a".to_string(), Begin::Enable)]));
    let hide: [fn(&mut Input); 5] = [
        |i| i.hosts[0].ended = None,
        |i| i.hosts[0].last_evacuation = None,
        |i| i.hosts[0].host.status.power.state = PowerState::Unknown,
        |i| i.hosts[0].host.status.fence = None,
        |i| i.observer.conductor_up = false,
    ];
    for (n, hide) in hide.into_iter().enumerate() {
        let mut less = known.clone();
        hide(&mut less);
        assert!(begun(&less).is_empty(), "{n}");
    }
}

#[test]
fn what_a_pass_goes_by_can_be_written_down_and_read_again() {
    let mut all = input(vec![host("a", false), host("b", true)], 1);
    all.domains = racks();
    after(2, &mut all);
    let text = serde_json::to_string(&all).expect("JSON");
    let again: Input = serde_json::from_str(&text).expect("an input");
    assert_eq!(begun(&again), begun(&all));
    assert_eq!(serde_json::to_string(&again).expect("JSON"), text);
}

#[test]
fn the_document_of_the_states_is_what_hosts_walk_by() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/REMEDIATION.md");
    let text = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &text).expect("a file to write");
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "{} is out of date; run: UPDATE_DOCS=1 cargo test -p planner --test rules remediation", path.display());
}
