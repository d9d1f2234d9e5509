//! Schedules of two controllers: hundreds at random, and those that once broke a law.

mod found;

use std::sync::atomic::{AtomicU64, Ordering};
use workspace_tests::schedule::{Keep, Outcome, Plan, Sabotage, run, shrink};

/// A third of a schedule is memory that comes and goes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Schedules of one test run; `make soak` runs more.
const SCHEDULES: u64 = 1_000;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Runs schedules on all cores; gives those that `bad` says are, by seed, and stops at the first.
fn search(from: u64, count: u64, plan: impl Fn(u64) -> Plan + Sync, bad: impl Fn(&Outcome) -> bool + Sync) -> (Option<u64>, u64) {
    let (next, found) = (AtomicU64::new(from), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= from + count || found.load(Ordering::SeqCst) != u64::MAX {
                        return;
                    }
                    if bad(&run(&plan(seed), false)) {
                        found.fetch_min(seed, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let tried = next.into_inner().min(from + count) - from;
    (Some(found.into_inner()).filter(|s| *s != u64::MAX), tried)
}

/// What a person needs to see of a violation: the shortest schedule, how to run it again, and the end of the story.
fn story(plan: &Plan) -> String {
    let (keep, outcome) = shrink(plan, run(plan, false));
    let Some(violation) = &outcome.violation else { return format!("seed {} does not break it again: something is not repeatable", plan.seed) };
    let again = format!("target/release/soak --seed {} --keep {keep} --trace", plan.seed);
    format!("{}{}\n\n{violation}\nagain: {again}", keep.of(plan), outcome.tail)
}

#[test]
fn whatever_happens_to_two_controllers_no_law_is_broken_and_what_was_asked_for_comes_to_an_end() {
    let count = std::env::var("SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(SCHEDULES);
    let (bad, _) = search(0, count, Plan::of, |outcome| outcome.violation.is_some());
    if let Some(seed) = bad {
        panic!("{}", story(&Plan::of(seed)));
    }
}

#[test]
fn the_same_seed_is_the_same_schedule_to_the_last_call() {
    // None is on SQLite (49, 99, …): that answers from a thread of its own, whose pace is the machine's.
    for seed in [1, 3, 11, 48] {
        let plan = Plan::of(seed);
        let (one, other) = (run(&plan, false), run(&plan, false));
        assert!(one.lines > 100, "{} lines", one.lines);
        assert_eq!((one.hash, one.lines), (other.hash, other.lines), "{plan}");
        assert_ne!(one.hash, run(&Plan { seed: seed + 1_000_000, ..plan }, false).hash);
    }
}

#[test]
fn a_schedule_without_faults_does_what_was_asked_for() {
    for seed in 0..12 {
        let plan = Plan::of(seed).calm();
        let outcome = run(&plan, false);
        assert_eq!(outcome.violation, None, "{plan}{}", outcome.tail);
    }
}

#[test]
fn a_database_that_does_not_check_the_lease_token_is_found_out_within_a_thousand_schedules() {
    let broken = |seed| Plan { sabotage: Sabotage::TokenCheck, ..Plan::of(seed) };
    let (bad, tried) = search(0, 1_000, broken, |outcome| outcome.violation.as_ref().is_some_and(|v| v.law == "no write by an old token"));
    println!("found after {tried} schedules, by seed {bad:?}");
    let plan = broken(bad.expect("somebody writes with an old token"));
    // It is the sabotage that was found, and the shortest schedule has no fault that it does not need.
    assert_eq!(run(&Plan { sabotage: Sabotage::None, ..plan.clone() }, false).violation, None);
    let (keep, outcome) = shrink(&plan, run(&plan, false));
    assert_eq!(outcome.violation.map(|v| v.law), Some("no write by an old token"));
    for n in 0..keep.faults.len() {
        let mut fewer = keep.clone();
        fewer.faults.remove(n);
        let law = run(&fewer.of(&plan), false).violation.map(|v| v.law);
        assert_ne!(law, Some("no write by an old token"), "{keep} without its fault {n}");
    }
    assert_eq!(Keep::parse(&keep.to_string()), Ok(keep));
}

#[test]
fn every_law_is_looked_at() {
    let mut checks = std::collections::BTreeMap::<&str, u64>::new();
    for seed in 0..25 {
        for (law, times) in run(&Plan::of(seed), false).checks {
            *checks.entry(law).or_default() += times;
        }
    }
    let idle =
        ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "no act by an old token", "no write by an old token", "no guest runs twice"]
            .into_iter()
            .filter(|law| !checks.iter().any(|(name, times)| name.starts_with(law) && *times > 0))
            .collect::<Vec<_>>();
    assert!(idle.is_empty(), "never looked at: {idle:?}; looked at: {checks:#?}");
}
