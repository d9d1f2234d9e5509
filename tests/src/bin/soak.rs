//! Many schedules, one after the other: `make soak`. Stops at the first violation, and shows the shortest schedule that
//! still has it.

use std::{
    collections::BTreeMap,
    io::Write,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use workspace_tests::schedule::{Keep, Outcome, Plan, Sabotage, run, shrink};

/// A third of a schedule is memory that comes and goes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
soak [--from SEED] [--n COUNT] [--threads N]   runs schedules SEED, SEED+1, …
soak --seed SEED [--keep f0,p0] [--trace]      runs one, or what is kept of it; --trace prints all of it
     --sabotage token-check                    breaks the check of the lease token on purpose
     --expect-violation                        succeeds only if a law is broken
     --all                                     goes on after a violation, and names each seed with its law";

struct Options {
    from: u64,
    n: u64,
    threads: u64,
    seed: Option<u64>,
    keep: Option<Keep>,
    trace: bool,
    calm: bool,
    all: bool,
    sabotage: Sabotage,
    expect: bool,
}

fn options() -> Result<Options, String> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let mut o = Options {
        from: 0,
        n: 20_000,
        threads: cores,
        seed: None,
        keep: None,
        trace: false,
        calm: false,
        all: false,
        sabotage: Sabotage::None,
        expect: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value\n{USAGE}"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{arg} {text}: not a number"));
        match arg.as_str() {
            "--from" => o.from = number(value()?)?,
            "--n" => o.n = number(value()?)?,
            "--threads" => o.threads = number(value()?)?.max(1),
            "--seed" => o.seed = Some(number(value()?)?),
            "--keep" => o.keep = Some(Keep::parse(&value()?)?),
            "--trace" => o.trace = true,
            "--calm" => o.calm = true,
            "--all" => o.all = true,
            "--expect-violation" => o.expect = true,
            "--sabotage" => match value()?.as_str() {
                "token-check" => o.sabotage = Sabotage::TokenCheck,
                other => return Err(format!("--sabotage {other}: there is token-check only")),
            },
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            _ => return Err(format!("{arg}: not known\n{USAGE}")),
        }
    }
    Ok(o)
}

fn plan(o: &Options, seed: u64) -> Plan {
    let mut plan = Plan::of(seed);
    if let Some(keep) = &o.keep {
        plan = keep.of(&plan);
    }
    if o.calm {
        plan = plan.calm();
    }
    plan.sabotage = o.sabotage;
    plan
}

fn show(plan: &Plan, outcome: &Outcome) {
    println!("{plan}  {} lines, {} simulated seconds, hash {:016x}", outcome.lines, outcome.seconds, outcome.hash);
    match &outcome.violation {
        Some(violation) => println!("{}\n\nVIOLATION {violation}", outcome.tail),
        None => println!("  every law held"),
    }
    if !outcome.reached.is_empty() {
        println!("  reached: {}", outcome.reached.iter().copied().collect::<Vec<_>>().join(", "));
    }
}

/// Runs one; a panic of the schedule itself is as bad as a violation.
fn attempt(plan: &Plan) -> Result<Outcome, String> {
    std::panic::catch_unwind(|| run(plan, false)).map_err(|_| format!("the schedule of seed {} panicked", plan.seed))
}

fn one(o: &Options, seed: u64) -> bool {
    let plan = plan(o, seed);
    let outcome = run(&plan, o.trace);
    show(&plan, &outcome);
    outcome.violation.is_some()
}

/// Runs many; gives the seed of the first that broke a law.
fn many(o: &Options) -> Option<u64> {
    let (next, done, broken, stop) = (AtomicU64::new(o.from), AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let found: Mutex<Option<u64>> = Mutex::new(None);
    let reached: Mutex<Reached> = Mutex::default();
    let end = o.from + o.n;
    let begun = Instant::now();
    let told = || progress(o, done.load(Ordering::SeqCst), broken.load(Ordering::SeqCst), begun);
    std::thread::scope(|scope| {
        for _ in 0..o.threads {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= end {
                        return;
                    }
                    let bad = attempt(&plan(o, seed)).map_or_else(
                        |why| {
                            eprintln!("{why}");
                            true
                        },
                        |outcome| {
                            reached.lock().unwrap_or_else(PoisonError::into_inner).count(&outcome);
                            if let Some(violation) = outcome.violation.as_ref().filter(|_| o.all) {
                                println!("seed {seed}: {}", violation.to_string().chars().take(300).collect::<String>());
                            }
                            outcome.violation.is_some()
                        },
                    );
                    if bad {
                        broken.fetch_add(1, Ordering::SeqCst);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        *found = Some(found.map_or(seed, |s| s.min(seed)));
                        stop.store(!o.all, Ordering::SeqCst);
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        scope.spawn(|| {
            let mut last = Instant::now();
            while !stop.load(Ordering::SeqCst) && done.load(Ordering::SeqCst) < o.n {
                std::thread::sleep(Duration::from_millis(50));
                if last.elapsed() >= Duration::from_secs(10) {
                    last = Instant::now();
                    told();
                }
            }
        });
    });
    told();
    reached.into_inner().unwrap_or_else(PoisonError::into_inner).show();
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What schedules reached: that no law is broken says little where nothing happens.
#[derive(Default)]
struct Reached {
    schedules: u64,
    of: BTreeMap<&'static str, u64>,
}

impl Reached {
    fn count(&mut self, outcome: &Outcome) {
        self.schedules += 1;
        outcome.reached.iter().for_each(|what| *self.of.entry(what).or_default() += 1);
    }

    fn show(&self) {
        println!("reached, of {} schedules:", self.schedules);
        for (what, times) in &self.of {
            println!("{times:>8} {:>5.1} %  {what}", *times as f64 * 100.0 / self.schedules.max(1) as f64);
        }
    }
}

fn progress(o: &Options, done: u64, broken: u64, begun: Instant) {
    let rate = done as f64 / begun.elapsed().as_secs_f64().max(0.001);
    // Seeds are begun in order: what is below is done but for those that were under way.
    let safe = done.saturating_sub(o.threads);
    let broken = if broken == 0 { String::new() } else { format!(", {broken} BROKE A LAW") };
    println!("{done} of {} schedules{broken}, {rate:.1}/s; go on later with: make soak FROM={} N={}", o.n, o.from + safe, o.n - safe);
    // A pipe that is gone is no reason to stop.
    let _ = std::io::stdout().flush();
}

fn main() -> ExitCode {
    let o = match options() {
        Ok(o) => o,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let violated = match o.seed {
        Some(seed) => one(&o, seed),
        None => match many(&o) {
            None => {
                println!("{} schedules from seed {}: no violation", o.n, o.from);
                false
            }
            Some(seed) => {
                println!("seed {seed} breaks a law, after {} schedules; looking for the shortest schedule that does", seed - o.from + 1);
                let whole = plan(&o, seed);
                if let Ok(outcome) = attempt(&whole) {
                    let (keep, outcome) = shrink(&whole, outcome);
                    show(&keep.of(&whole), &outcome);
                    let sabotage = if o.sabotage == Sabotage::TokenCheck { " --sabotage token-check" } else { "" };
                    println!("again: target/release/soak --seed {seed} --keep {keep} --trace{sabotage}");
                }
                true
            }
        },
    };
    if violated == o.expect { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
