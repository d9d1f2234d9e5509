//! How long decisions take that are made over many hosts at once.

use planner::{
    Fact,
    remediation::{HostRow, Input, Observer, PolicyRow, pass},
};
use schemas::{
    Object, ObjectMeta, Time,
    v1::{
        Availability, AvailabilityState, DomainLimit, FailureDomain, FailureDomainSpec, FailureDomainType, HostSpec, HostStatus,
        RemediationPolicySpec, RemediationPolicyStatus, StormLimits,
    },
};
use std::time::Instant;

/// Times each decision is made.
const RUNS: usize = 51;

fn host(n: usize) -> HostRow {
    let mut metadata = ObjectMeta::named(format!("compute-{n:05}"));
    metadata.labels.insert("rack".into(), format!("r{}", n % 125));
    let spec = HostSpec { failure_domain: Some(format!("rack-{}", n % 125)), ..HostSpec::default() };
    let availability = Availability { state: AvailabilityState::Up, ..Availability::default() };
    HostRow {
        host: Object { metadata, spec, status: HostStatus { availability: Some(availability), ..HostStatus::default() } },
        // One rack of forty is silent.
        up: Fact::Seen(n % 125 != 7, Time::default()),
        open_operations: Vec::new(),
        open_evacuation: None,
        last_operation: None,
        ended: None,
        last_evacuation: None,
        operation_ended: None,
        guests: Fact::not_asked(),
    }
}

fn policy(name: &str, selector: &str) -> PolicyRow {
    let of_racks = vec![DomainLimit { r#type: FailureDomainType::Rack, max_down_hosts: 40 }];
    let limits = StormLimits {
        max_down_hosts: 50,
        max_down_permille: Some(20),
        per_failure_domain: of_racks,
        max_begins_per_hour: Some(60),
        ..StormLimits::default()
    };
    let spec = RemediationPolicySpec { selector: selector.into(), limits, ..RemediationPolicySpec::default() };
    PolicyRow { policy: Object { metadata: ObjectMeta::named(name), spec, status: RemediationPolicyStatus::default() }, due: true }
}

/// 125 racks in five rooms.
fn domains() -> Vec<Object<FailureDomain>> {
    let domain = |name: String, r#type: FailureDomainType, parent: Option<String>| {
        let spec = FailureDomainSpec { r#type, parent_ref: parent.map(|name| schemas::meta::Ref { name }) };
        Object { metadata: ObjectMeta::named(name), spec, status: Default::default() }
    };
    let racks = (0..125).map(|n| domain(format!("rack-{n}"), FailureDomainType::Rack, Some(format!("room-{}", n % 5))));
    racks.chain((0..5).map(|n| domain(format!("room-{n}"), FailureDomainType::Room, None))).collect()
}

/// Milliseconds of one decision over `hosts` hosts and three policies, median.
pub fn over_hosts_ms(hosts: usize) -> f64 {
    let input = Input {
        hosts: (0..hosts).map(host).collect(),
        domains: domains(),
        policies: vec![policy("default", ""), policy("edge", "rack in (r1,r2,r3)"), policy("test", "rack=r4,!canary")],
        observer: Observer { conductor_up: true, computes_up: hosts },
        now: Time::default().plus_seconds(1_000),
        led_since: Time::default(),
        frozen: false,
        halted: None,
    };
    let mut took: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            std::hint::black_box(pass(std::hint::black_box(&input)));
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[RUNS / 2]
}
