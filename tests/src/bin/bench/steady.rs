//! What a controller costs while nothing happens.

use crate::{
    Failure,
    site::{Database, Role, Site},
    wired::Operator,
};
use schemas::v1::RemediationPolicySpec;
use simulator::CallKind;
use std::time::Duration;

pub const HOSTS: usize = 1_000;
pub const GUESTS: usize = 10_000;
/// Time until all first looks are over.
const SETTLE: Duration = Duration::from_secs(45);
/// How long it is watched: whole numbers of the pauses between looks, 30 s and 60 s.
pub const WATCHED: Duration = Duration::from_secs(120);

/// Lists of Nova.
const LISTS: [CallKind; 6] =
    [CallKind::Services, CallKind::Hypervisors, CallKind::Servers, CallKind::Migrations, CallKind::Aggregates, CallKind::ServerGroups];

pub struct Steady {
    /// Lists of Nova in the time between two looks at its services, for all hosts; one of several pages is one.
    pub lists_per_tick: f64,
    /// The same as requests: each page is one.
    pub requests_per_tick: f64,
    /// Of one core.
    pub cpu_percent: f64,
    pub memory_mb: f64,
}

/// `run` over hosts that all have a BMC.
pub async fn watched() -> Result<Steady, Failure> {
    let site = Site::new(HOSTS, GUESTS, Database::Sqlite).await?;
    let process = site.start(Role::Run).await?;
    process.wait_for_hosts(HOSTS).await?;
    let hosts = site.world().host_names();
    Operator::at(&process).await?.wire(&site, &hosts).await?;
    tokio::time::sleep(SETTLE).await;
    let count = || {
        let world = site.world();
        let requests: u64 = LISTS.iter().map(|kind| world.reads(*kind)).sum();
        (requests, site.front.further_pages())
    };
    let ((requests, pages), cpu) = (count(), process.cpu_seconds()?);
    tokio::time::sleep(WATCHED).await;
    let ((requests_then, pages_then), cpu_then) = (count(), process.cpu_seconds()?);
    let seconds = WATCHED.as_secs_f64();
    let ticks = seconds / RemediationPolicySpec::default().detection.interval_seconds as f64;
    let requests = requests_then - requests;
    let lists = requests - (pages_then - pages);
    Ok(Steady {
        lists_per_tick: lists as f64 / ticks,
        requests_per_tick: requests as f64 / ticks,
        cpu_percent: (cpu_then - cpu) / seconds * 100.0,
        memory_mb: process.memory_mb()?,
    })
}
