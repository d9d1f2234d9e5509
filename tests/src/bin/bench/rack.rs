//! A rack dies: how long until the last of its hosts is told to power off.

use crate::{
    Failure,
    site::{Database, Process, Role, Site},
    wired::Operator,
};
use schemas::Time;
use serde_json::{Value, json};
use simulator::{Call, CallKind, HostFault, World};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

pub const HOSTS: usize = 5_000;
pub const GUESTS: usize = 10_000;
pub const DEAD: usize = 40;
/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Fenced {
    /// From the look at Nova's services that confirms it to the last power command.
    pub last_seconds: f64,
    /// From the crash to that look: Nova's time and the policy's.
    pub confirmed_seconds: f64,
    /// From that look to the end of the last Evacuation.
    pub ended_seconds: f64,
    /// Guests of these hosts.
    pub guests: usize,
    /// Lists of services, from that look to the last power command.
    pub service_lists: usize,
    pub memory_mb: f64,
}

/// Of a cloud of 5,000 hosts 40 die in the same instant, and exactly so many may be down at once.
pub async fn dies() -> Result<Fenced, Failure> {
    let site = Site::new(HOSTS, GUESTS, Database::Sqlite).await?;
    let process = site.start(Role::Run).await?;
    process.wait_for_hosts(HOSTS).await?;
    let rack: Vec<String> = with_guests(&site).into_iter().take(DEAD).collect();
    let mut operator = Operator::at(&process).await?;
    // Nova's report interval is that of the simulated cloud.
    operator.change("clusterpolicies", "default", json!({"guestDisks": "Shared", "novaReportIntervalSeconds": 2})).await?;
    let detection = json!({"intervalSeconds": 5, "downConfirmations": 2, "quietSeconds": 0});
    // Pauses between groups of guests are an operator's wish, and no time of ours.
    let (limits, evacuation) = (json!({"maxDownHosts": DEAD}), json!({"groupPauseSeconds": 0}));
    operator.change("remediationpolicies", "default", json!({"detection": detection, "limits": limits, "evacuation": evacuation})).await?;
    operator.wire(&site, &rack).await?;
    operator.verify(&rack).await?;
    until(&process, "up", |hosts| hosts.iter().filter(|h| h["status"]["availability"]["state"] == "Up").count() == HOSTS).await?;

    let (crashed, guests) = {
        let mut world = site.world();
        for host in &rack {
            world.fault(host, HostFault::Crash).map_err(|e| e.to_string())?;
        }
        let homes = world.guest_ids().into_iter().filter_map(|g| world.home_of(&g)).collect::<Vec<_>>();
        (now_ms()?, homes.iter().filter(|home| rack.contains(home)).count())
    };
    // When services were listed: who confirms does so by the last list before the first Evacuation.
    let (begun, mut lists, mut known) = (Instant::now(), Vec::new(), 0);
    let last = loop {
        let (listed, fences) = {
            let world = site.world();
            (world.reads(CallKind::Services), first_fences(&world, crashed))
        };
        lists.extend((known..listed).map(|_| now_ms()).collect::<Result<Vec<_>, _>>()?);
        known = listed;
        if fences.len() >= DEAD {
            break fences.into_values().max().unwrap_or_default();
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("only {} of {DEAD} hosts were fenced within {} s", fences.len(), PATIENCE.as_secs()).into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let memory_mb = process.memory_mb()?;
    let first = times(&process, |e| e["metadata"]["creationTimestamp"].as_str()).await?.into_iter().min().ok_or("no Evacuation was begun")?;
    let confirmed = lists.iter().copied().filter(|at| *at <= first).max().ok_or("nobody looked before the first Evacuation")?;
    let service_lists = lists.iter().filter(|at| (confirmed + 1..=last).contains(*at)).count();
    let ended = ended(&process).await?;
    let twice = site.world().double_runs().to_vec();
    if !twice.is_empty() {
        return Err(format!("guests ran twice: {twice:?}").into());
    }
    let seconds = |from: i64, to: i64| (to - from) as f64 / 1e3;
    Ok(Fenced {
        last_seconds: seconds(confirmed, last),
        confirmed_seconds: seconds(crashed, confirmed),
        ended_seconds: seconds(confirmed, ended),
        guests,
        service_lists,
        memory_mb,
    })
}

/// When each host was first told something about its power, since the crash.
fn first_fences(world: &World, crashed: i64) -> BTreeMap<String, i64> {
    let mut fences = BTreeMap::new();
    for call in world.calls().filter(|c| c.at >= crashed) {
        if let Call::Power { host, .. } = &call.call {
            fences.entry(host.clone()).or_insert(call.at);
        }
    }
    fences
}

/// Hosts that run something, in the order of their names.
fn with_guests(site: &Site) -> Vec<String> {
    let world = site.world();
    let mut hosts: Vec<String> = world.guest_ids().iter().filter_map(|g| world.home_of(g)).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn now_ms() -> Result<i64, Failure> {
    Ok(i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?)
}

/// Times of all Evacuations, in Unix milliseconds.
async fn times(process: &Process, of: impl Fn(&Value) -> Option<&str>) -> Result<Vec<i64>, Failure> {
    let evacuations = process.list("evacuations").await?;
    Ok(evacuations.iter().filter_map(|e| Time::parse(of(e)?).ok()).map(|t| t.0 / 1_000).collect())
}

/// Waits until all Evacuations have ended; gives when the last one did.
async fn ended(process: &Process) -> Result<i64, Failure> {
    let begun = Instant::now();
    loop {
        let ended = times(process, |e| e["status"]["finishedAt"].as_str()).await?;
        if ended.len() == DEAD {
            return Ok(ended.into_iter().max().unwrap_or_default());
        }
        if begun.elapsed() > PATIENCE {
            let open = process.list("evacuations").await?.into_iter().filter(|e| e["status"]["finishedAt"].is_null());
            let open: Vec<String> = open.map(|e| format!("{}: {}", e["spec"]["hostRef"]["name"], e["status"]["waiting"])).collect();
            let ended = ended.len();
            return Err(format!("only {ended} of {DEAD} evacuations ended within {} s; {}", PATIENCE.as_secs(), open.join("; ")).into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn until(process: &Process, what: &str, is: impl Fn(&[Value]) -> bool) -> Result<(), Failure> {
    let begun = Instant::now();
    while !is(&process.list("hosts").await?) {
        if begun.elapsed() > PATIENCE {
            return Err(format!("the hosts were not all {what} within {} s", PATIENCE.as_secs()).into());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
