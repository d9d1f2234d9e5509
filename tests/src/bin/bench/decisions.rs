//! How long decisions take that are made over many hosts at once.

use crate::{Failure, site::memory_mb};
use planner::{
    Fact,
    facts::{Destination, GroupFacts, GroupRule, Guest},
    placement::{Site, Wish, plan},
    remediation::{HostRow, Input, Observer, PolicyRow, pass},
};
use schemas::{
    Object, ObjectMeta, Time,
    v1::{
        Availability, AvailabilityState, DomainLimit, FailureDomain, FailureDomainSpec, FailureDomainType, HostSpec, HostStatus,
        RemediationPolicySpec, RemediationPolicyStatus, StormLimits,
    },
};
use std::{collections::BTreeMap, process::Command, time::Instant};

/// Times each decision is made.
const RUNS: usize = 51;

fn host(n: usize) -> HostRow {
    let mut metadata = ObjectMeta::named(format!("compute-{n:05}"));
    metadata.labels.insert("rack".into(), format!("r{}", n % 125));
    let spec = HostSpec { failure_domain: Some(format!("rack-{}", n % 125)), ..HostSpec::default() };
    let availability = Availability { state: AvailabilityState::Up, ..Availability::default() };
    let status = HostStatus { availability: Some(availability), ..HostStatus::default() };
    // One rack of forty is silent.
    HostRow::plain(Object { metadata, spec, status }, Fact::Seen(n % 125 != 7, Time::default()))
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
        observer: Observer { conductor_up: true, computes_up: hosts, unread: None },
        now: Time::default().plus_seconds(1_000),
        led_since: Time::default(),
        frozen: false,
        halted: None,
    };
    median_ms(|| pass(std::hint::black_box(&input)))
}

fn median_ms<T>(decide: impl Fn() -> T) -> f64 {
    let mut took: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            std::hint::black_box(decide());
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[RUNS / 2]
}

/// A cloud of 5,000 hosts and 150,000 guests, of which a rack of 40 is dead.
struct Cloud {
    /// Those that live.
    hosts: Vec<Destination>,
    /// Every guest, with its host; those of the rack first.
    guests: Vec<(String, Guest)>,
    /// Server groups of the rack's guests.
    groups: Vec<GroupFacts>,
}

/// GiB of memory of each flavor.
const FLAVORS: [i64; 6] = [2, 4, 8, 16, 32, 64];

fn compute(n: usize) -> String {
    format!("compute-{n:05}")
}

fn memory_and_cpus(gib: i64, cpus: i64) -> BTreeMap<String, i64> {
    BTreeMap::from([("MEMORY_MB".to_string(), gib * 1_024), ("VCPU".to_string(), cpus)])
}

fn guest_of(n: usize, k: usize) -> Guest {
    let (id, gib) = (format!("guest-{n}-{k}"), FLAVORS[(n + k) % FLAVORS.len()]);
    let extra_specs = if k == 0 { [("trait:CUSTOM_NVME".to_string(), "required".to_string())].into() } else { BTreeMap::new() };
    Guest { name: id.clone(), id, needs: memory_and_cpus(gib, gib / 2), extra_specs, ..Guest::default() }
}

fn cloud(hosts: usize, guests: usize, dead: usize) -> Cloud {
    let per_host = guests / hosts;
    let guests: Vec<(String, Guest)> = (0..hosts).flat_map(|n| (0..per_host).map(move |k| (compute(n), guest_of(n, k)))).collect();
    let destination = |n: usize| {
        // Between 10 and 259 GiB are free beside what its guests take.
        let taken: i64 = guests[n * per_host..(n + 1) * per_host].iter().map(|(_, g)| g.needs["MEMORY_MB"] / 1_024).sum();
        let free = 10 + (n as i64 * 37) % 250;
        Destination {
            host: compute(n),
            zone: format!("az{}", n % 3),
            free: memory_and_cpus(free, 1_024),
            capacity: memory_and_cpus(taken + free, 2_048),
            traits: if n.is_multiple_of(10) { vec!["CUSTOM_NVME".into()] } else { Vec::new() },
            aggregates: Vec::new(),
        }
    };
    // Every tenth guest has its siblings on other hosts of the rack, and must be apart from them.
    let group = |n: usize, k: usize| {
        let members = (n..n + 4).map(|m| (format!("guest-{m}-{k}"), Some(compute(m)))).collect();
        GroupFacts { id: format!("group-{n}-{k}"), name: "web".into(), rule: GroupRule::AntiAffinity(1), members }
    };
    let groups = (0..dead).step_by(4).flat_map(|n| (1..per_host).step_by(10).map(move |k| (n, k))).map(|(n, k)| group(n, k)).collect();
    Cloud { hosts: (dead..hosts).map(destination).collect(), guests, groups }
}

/// A plan for all guests of a rack of 40 hosts, of 5,000 with 150,000 guests.
pub struct Planned {
    /// Milliseconds, median.
    pub ms: f64,
    pub placed: usize,
    pub guests: usize,
    /// The most that the process which made it ever had in memory, what it was made of included.
    pub peak_mb: f64,
}

/// In this process, which should have done nothing else: its peak of memory is told.
pub fn plan_for_a_rack() -> Result<Planned, Failure> {
    let (all, dead) = (150_000, 40);
    let cloud = cloud(5_000, all, dead);
    let wishes: Vec<Wish<'_>> = (cloud.guests.iter().take(all / 5_000 * dead).enumerate())
        .map(|(n, (home, guest))| Wish { guest, priority: (n % 11) as i64, home, zone: ["az0", "az1", "az2"][n % 3], not: &[], only: None })
        .collect();
    let (taken, going) = (BTreeMap::new(), BTreeMap::new());
    let site = Site { hosts: &cloud.hosts, taken: &taken, groups: &cloud.groups, going: &going };
    let placed = plan(&wishes, &site).iter().filter(|s| s.host().is_some()).count();
    let ms = median_ms(|| plan(&wishes, &site));
    Ok(Planned { ms, placed, guests: wishes.len(), peak_mb: memory_mb("self", "VmHWM")? })
}

/// The argument with which this program makes the plan and nothing else.
pub const PLAN_ONLY: &str = "--plan-only";

/// [`plan_for_a_rack`] in a process of its own.
pub fn plan_for_a_rack_apart() -> Result<Planned, Failure> {
    let done = Command::new(std::env::current_exe()?).arg(PLAN_ONLY).output()?;
    let said = String::from_utf8_lossy(&done.stdout);
    let figures: Vec<f64> = said.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let &[ms, placed, guests, peak_mb] = figures.as_slice() else { return Err(format!("the plan failed: {said}").into()) };
    Ok(Planned { ms, placed: placed as usize, guests: guests as usize, peak_mb })
}
