//! What happens to the cloud and to the controllers' machines at its time, and how everything heals.

use super::{
    plan::{Blow, Fault, HORIZON, HOSTS, Weather},
    process::{Stage, lock},
};
use simulator::{Call, HostFault, Lie};
use std::{sync::Arc, sync::atomic::Ordering, time::Duration};
use tokio::time::Instant;

/// Lets everything happen, and heals it all at the horizon.
/// Their times are counted from `begin`.
pub async fn pass(stage: Arc<Stage>, begin: Instant, mut strike: impl FnMut(usize, bool)) {
    let mut due: Vec<(u64, Fault)> = Vec::new();
    for fault in &stage.plan.faults {
        match fault {
            Fault::Blow { at, .. } | Fault::Weather { at, .. } => due.push((*at, *fault)),
            Fault::At { .. } | Fault::Deed { .. } => {}
        }
    }
    due.sort_by_key(|(at, _)| *at);
    for (at, fault) in due {
        tokio::time::sleep_until(begin + Duration::from_secs(at)).await;
        stage.say("", &fault.to_string());
        match fault {
            Fault::Blow { blow, .. } => blow_at(&stage, blow, &mut strike),
            Fault::Weather { weather, .. } => weather_at(&stage, weather),
            Fault::At { .. } | Fault::Deed { .. } => {}
        }
        stage.judge(|laws, world| laws.look(world));
    }
    tokio::time::sleep_until(begin + Duration::from_secs(HORIZON.unsigned_abs())).await;
    heal(&stage).await;
}

fn blow_at(stage: &Stage, blow: Blow, strike: &mut impl FnMut(usize, bool)) {
    let until = |seconds: u64| Instant::now() + Duration::from_secs(seconds);
    match blow {
        Blow::Pause { slot, seconds } => lock(&stage.slots[slot]).asleep_until = until(seconds),
        Blow::Kill { slot } => strike(slot, true),
        Blow::Term { slot } => strike(slot, false),
        Blow::DbDown { slot, seconds } => {
            for slot in slot.map_or(vec![0, 1], |s| vec![s]) {
                lock(&stage.slots[slot]).db_down_until = until(seconds);
            }
        }
        Blow::LeaseCut { slot, seconds } => lock(&stage.slots[slot]).lease_cut_until = until(seconds),
        Blow::Jump { slot, seconds } => lock(&stage.slots[slot]).skew += seconds * 1_000_000,
    }
}

/// Ends a fault of the cloud after its time.
fn later(stage: &Arc<Stage>, seconds: u64, heal: impl FnOnce(&mut simulator::World) + Send + 'static) {
    let stage = stage.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        stage.with(heal);
    });
}

fn weather_at(stage: &Arc<Stage>, weather: Weather) {
    match weather {
        Weather::Host(host, fault) => {
            // There is no such host only if the schedule is wrong.
            stage.with(|w| w.fault(host, fault)).expect("a host of the schedule");
        }
        Weather::Bmc { host, seconds } => {
            stage.with(|w| w.set_bmc_reachable(host, false));
            later(stage, seconds, move |w| w.set_bmc_reachable(host, true));
        }
        Weather::Lie { host, lie, seconds } => {
            stage.with(|w| w.set_bmc_lie(host, lie));
            later(stage, seconds, move |w| w.set_bmc_lie(host, Lie::None));
        }
        Weather::LateBmc { host, ms, seconds } => {
            stage.with(|w| w.set_bmc_late(host, ms));
            later(stage, seconds, move |w| w.set_bmc_late(host, 0));
        }
        Weather::Control { seconds } => {
            stage.with(|w| w.set_control_plane(false));
            later(stage, seconds, |w| w.set_control_plane(true));
        }
        Weather::Cell { seconds } => {
            stage.with(|w| w.set_cell("cell1", false));
            later(stage, seconds, |w| w.set_cell("cell1", true));
        }
        Weather::Nova500 { seconds } => *lock(&stage.nova_500_until) = Instant::now() + Duration::from_secs(seconds),
        Weather::PowerOn(host) => {
            // A BMC that cannot be reached leaves the button: it is the machine that is switched on.
            let _ = stage.with(|w| w.call(Call::Power { host: host.into(), command: power::Command::On })).result;
        }
    }
}

/// Faults stop. Whoever keeps the machines starts what died, but for hosts that are off: that may be as it should.
pub async fn heal(stage: &Arc<Stage>) {
    stage.open.store(false, Ordering::SeqCst);
    stage.say("", "faults stop");
    let now = Instant::now();
    for slot in &stage.slots {
        let mut slot = lock(slot);
        (slot.asleep_until, slot.db_down_until, slot.lease_cut_until) = (now, now, now);
    }
    *lock(&stage.nova_500_until) = now;
    let parts: Vec<&str> = stage.plan.parts.iter().map(|p| p.host).collect();
    let dead: Vec<&str> = stage.with(|w| {
        w.set_control_plane(true);
        w.set_cell("cell1", true);
        stage.plan.second.addresses().iter().for_each(|address| heal_bmc(w, address));
        if stage.plan.watch.is_some() {
            // Whoever is dead is for the watch.
            HOSTS.into_iter().for_each(|host| heal_bmc(w, host));
            return Vec::new();
        }
        HOSTS.into_iter().filter(|host| heal_host(w, host, !parts.contains(host))).collect()
    });
    if dead.is_empty() {
        return;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for host in dead {
        // A dead machine is taken off power, and put back.
        let _ = stage.with(|w| w.call(Call::Power { host: host.into(), command: power::Command::On })).result;
    }
}

fn heal_bmc(w: &mut simulator::World, host: &str) {
    w.set_bmc_reachable(host, true);
    w.set_bmc_lie(host, Lie::None);
    w.set_bmc_late(host, 0);
}

/// Whether it has to be switched on again.
fn heal_host(w: &mut simulator::World, host: &str, cycle: bool) -> bool {
    heal_bmc(w, host);
    if !w.power_is_on(host) {
        return false;
    }
    // There is no such host only if the schedule is wrong.
    w.fault(host, HostFault::None).expect("a host of the schedule");
    let crashed = w.state().hosts.iter().any(|h| h.name == host && h.crashed);
    if crashed && cycle {
        let _ = w.call(Call::Power { host: host.into(), command: power::Command::ForceOff }).result;
        return true;
    }
    false
}
