//! The dice: which part, which fault. Everything follows from the seed.

use super::{
    plan::{Blow, Class, DbFault, Fault, HOSTS, Job, Moment, Part, Plan, Weather, What},
    recovery,
};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use simulator::{CallFault, HostFault, Lie};

/// One of these.
pub fn pick<T: Copy>(rng: &mut StdRng, from: &[T]) -> T {
    *from.choose(rng).expect("something to choose from")
}

/// Small numbers are likelier: most of what happens, happens early.
fn early(rng: &mut StdRng, most: u64) -> u64 {
    let x: f64 = rng.random_range(0.0..1.0);
    1 + ((most as f64).powf(x) - 1.0) as u64
}

/// What is asked for about a host.
pub fn part(rng: &mut StdRng, host: &'static str) -> Part {
    use Job::*;
    let jobs = [
        Crashed,
        Crashed,
        Crashed,
        Crashed,
        ComputeDead,
        RebuiltAlive,
        EvacuatedAlive,
        Drain,
        DeclaredOff,
        DeclaredOff,
        Shutdown,
        PowerCycle,
        Disable,
        Burnt,
    ];
    let job = pick(rng, &jobs);
    let guests = pick(rng, &[1, 2, 3, 4]);
    let stopped = if rng.random_range(0..4) == 0 { 1 } else { 0 };
    let cancel = (job != DeclaredOff && rng.random_range(0..8) == 0).then(|| rng.random_range(0..120));
    Part { host, job, start: rng.random_range(0..120), guests, stopped, cancel }
}

fn cloud_fault(rng: &mut StdRng, class: Class) -> CallFault {
    let ms = |rng: &mut StdRng, most: i64| rng.random_range(500..most);
    match class {
        Class::Act => match rng.random_range(0..9) {
            0..3 => CallFault::LostAnswer,
            3 => CallFault::LostRequest,
            // How late something may arrive depends on the call; see `nova`.
            4 => CallFault::Late { after_ms: ms(rng, 75_000) },
            5 => CallFault::Duplicate { after_ms: ms(rng, 75_000) },
            6 => CallFault::Status { status: pick(rng, &[500, 503, 429]), retry_after_s: None },
            7 => CallFault::Nonsense,
            _ => CallFault::NotSent,
        },
        _ => match rng.random_range(0..6) {
            0..2 => CallFault::Partial,
            2 => CallFault::LostAnswer,
            3 => CallFault::Status { status: pick(rng, &[500, 503, 429]), retry_after_s: None },
            4 => CallFault::Slow { ms: ms(rng, 15_000) },
            _ => CallFault::Nonsense,
        },
    }
}

/// Something that goes wrong.
pub fn fault(rng: &mut StdRng, plan: &Plan) -> Fault {
    match rng.random_range(0..10) {
        0..6 => {
            use Class::*;
            let class = pick(rng, &[Act, Act, Act, Act, Act, Commit, Commit, Commit, Lease, Read, Read, Power, Load, Clock]);
            let most = match class {
                Act => 12,
                Commit => 250,
                Lease => 400,
                Read | Power => 500,
                Load => 8_000,
                Clock => 20_000,
            };
            Fault::At { class, nth: early(rng, most), what: what(rng, class) }
        }
        6..8 => Fault::Blow { at: rng.random_range(1..260), blow: blow(rng) },
        _ => Fault::Weather { at: rng.random_range(1..260), weather: weather(rng, plan) },
    }
}

fn what(rng: &mut StdRng, class: Class) -> What {
    let moment = pick(rng, &[Moment::Before, Moment::AfterEffect, Moment::AfterAnswer]);
    let pause = What::Pause { ms: rng.random_range(2_000..60_000), after: rng.random_range(0..2) == 0 };
    match class {
        Class::Clock => What::Crash(moment),
        Class::Act | Class::Read | Class::Power => match rng.random_range(0..8) {
            0..4 => What::Crash(moment),
            4 => pause,
            _ => What::Cloud(cloud_fault(rng, class)),
        },
        Class::Commit | Class::Lease | Class::Load => match rng.random_range(0..8) {
            0..3 => What::Crash(moment),
            3..6 => pause,
            _ => What::Db(match rng.random_range(0..3) {
                0 => DbFault::Unavailable,
                1 => DbFault::LostAnswer,
                _ => DbFault::Late(rng.random_range(5_000..40_000)),
            }),
        },
    }
}

fn blow(rng: &mut StdRng) -> Blow {
    let (slot, seconds) = (rng.random_range(0..2), rng.random_range(2..90));
    match rng.random_range(0..8) {
        0..2 => Blow::Pause { slot, seconds },
        2..4 => Blow::Kill { slot },
        4 => Blow::Term { slot },
        5 => Blow::DbDown { slot: [Some(slot), Some(slot), None][rng.random_range(0..3)], seconds },
        6 => Blow::LeaseCut { slot, seconds },
        _ => Blow::Jump { slot, seconds: rng.random_range(-30..30) },
    }
}

fn weather(rng: &mut StdRng, plan: &Plan) -> Weather {
    let Some(part) = plan.parts.choose(rng).copied() else { return recovery::weather(rng) };
    let host = part.host;
    let seconds = rng.random_range(5..150);
    match rng.random_range(0..14) {
        0..2 => Weather::PowerOn(host),
        2..4 => Weather::Bmc { host, seconds },
        4 => Weather::LateBmc { host, ms: rng.random_range(500..12_000), seconds },
        5 => Weather::Control { seconds },
        6 => Weather::Cell { seconds },
        7..9 => Weather::Nova500 { seconds },
        9 => Weather::Host(pick(rng, &HOSTS), HostFault::NovaComputeDown),
        10 => Weather::Host(pick(rng, &HOSTS), HostFault::Crash),
        11 => Weather::Lie { host, lie: Lie::NoEffect, seconds },
        12 => Weather::Lie { host, lie: Lie::SaysOn, seconds },
        // A machine whose only link says off and whose nova-compute is silent, while its guests run, cannot be told from
        // a dead one. One that reports can.
        _ if matches!(part.job, Job::Crashed | Job::Drain | Job::EvacuatedAlive | Job::Disable) => Weather::Lie { host, lie: Lie::SaysOff, seconds },
        _ => Weather::Bmc { host, seconds },
    }
}
