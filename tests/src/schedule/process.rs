//! One controller process: it dies, it sleeps, and each of its calls is numbered.

use super::{
    chance,
    laws::Laws,
    plan::{Class, Fault, Moment, Plan, What},
    trace::Trace,
};
use engine::{Clock, Gate, TokioClock};
use schemas::Time;
use simulator::World;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a machine that a controller runs on suffers; it outlives its processes.
#[derive(Debug)]
pub struct Slot {
    pub asleep_until: Instant,
    pub db_down_until: Instant,
    pub lease_cut_until: Instant,
    /// Of the wall clock, in microseconds.
    pub skew: i64,
}

/// What all processes, the weather and the operator share.
pub struct Stage {
    pub plan: Plan,
    pub clock: TokioClock,
    pub began: Instant,
    pub world: Arc<Mutex<World>>,
    pub laws: Arc<Mutex<Laws>>,
    pub trace: Mutex<Trace>,
    pub slots: [Mutex<Slot>; 2],
    counts: Mutex<BTreeMap<Class, u64>>,
    calls: AtomicU64,
    /// Faults strike only in the middle: not while the scene is set, and not after the horizon.
    pub open: AtomicBool,
    pub nova_500_until: Mutex<Instant>,
    /// The operator gave something up that says why it stands still.
    pub gave_up: AtomicBool,
    /// The run ends: a law was broken, or all is done.
    pub over: CancellationToken,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    pub fn new(plan: Plan, clock: TokioClock, world: World) -> Stage {
        let began = Instant::now();
        let slot = |n: u64| {
            Mutex::new(Slot {
                asleep_until: began,
                db_down_until: began,
                lease_cut_until: began,
                skew: (chance::mix(plan.seed, 77, n) % 400_000) as i64,
            })
        };
        let mut laws = Laws::new(plan.has_twins(), plan.has_lies());
        laws.remember(&plan);
        Stage {
            slots: [slot(0), slot(1)],
            clock,
            began,
            world: Arc::new(Mutex::new(world)),
            laws: Arc::new(Mutex::new(laws)),
            trace: Mutex::default(),
            counts: Mutex::default(),
            calls: AtomicU64::new(0),
            open: AtomicBool::new(false),
            nova_500_until: Mutex::new(began),
            gave_up: AtomicBool::new(false),
            over: CancellationToken::new(),
            plan,
        }
    }

    pub fn millis(&self) -> i64 {
        self.clock.now().0.div_euclid(1_000)
    }

    /// Milliseconds since the beginning.
    pub fn elapsed(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    pub fn say(&self, who: &str, what: &str) {
        lock(&self.trace).add(self.elapsed(), who, what);
    }

    /// The cloud at this instant.
    pub fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = lock(&self.world);
        world.advance(self.millis());
        act(&mut world)
    }

    /// Looks at the cloud by the laws; whoever broke one ends the run.
    pub fn judge(&self, look: impl FnOnce(&mut Laws, &World)) {
        let broken = self.with(|world| {
            let mut laws = lock(&self.laws);
            look(&mut laws, world);
            laws.broken().is_some()
        });
        if broken {
            self.over.cancel();
        }
    }

    /// Counts a call; gives what the schedule has for it.
    fn number(&self, class: Class) -> (u64, Option<What>) {
        let n = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if !self.open.load(Ordering::SeqCst) {
            return (n, None);
        }
        let nth = {
            let mut counts = lock(&self.counts);
            let nth = counts.entry(class).or_default();
            *nth += 1;
            *nth
        };
        let here = |f: &Fault| match f {
            Fault::At { class: c, nth: at, what } if *c == class && *at == nth => Some(*what),
            _ => None,
        };
        (n, self.plan.faults.iter().find_map(here))
    }
}

/// A life of a process.
pub struct Process {
    pub stage: Arc<Stage>,
    pub slot: usize,
    skew_at_birth: i64,
    pub name: String,
    /// Nothing it does has an effect any longer.
    dead: AtomicBool,
    /// It dies at its next call.
    dying: AtomicBool,
    pub died: CancellationToken,
    /// Asked to end.
    pub term: CancellationToken,
    gate: Mutex<Option<Gate>>,
}

/// A call that has been counted.
pub struct Ticket {
    pub what: Option<What>,
    /// Something held it up just before its effect.
    pub late: bool,
    rest: Duration,
}

impl Process {
    pub fn new(stage: Arc<Stage>, slot: usize, life: u64) -> Arc<Process> {
        let name = format!("{}{life}", ["A", "B"][slot]);
        let skew_at_birth = lock(&stage.slots[slot]).skew;
        Arc::new(Process {
            stage,
            slot,
            skew_at_birth,
            name,
            dead: AtomicBool::new(false),
            dying: AtomicBool::new(false),
            died: CancellationToken::new(),
            term: CancellationToken::new(),
            gate: Mutex::new(None),
        })
    }

    pub fn leads_by(&self, gate: Gate) {
        *lock(&self.gate) = Some(gate);
    }

    /// Token it believes in, and whether it believes that it may act.
    pub fn belief(&self) -> (i64, bool) {
        lock(&self.gate).as_ref().map_or((0, false), |g| (g.token(), g.remaining() > Duration::from_millis(900)))
    }

    /// SIGKILL.
    pub fn die(&self) {
        if !self.dead.swap(true, Ordering::SeqCst) {
            self.say("dies");
            self.died.cancel();
        }
    }

    pub fn say(&self, what: &str) {
        self.stage.say(&self.name, what);
    }

    /// By the even clock that it leads by.
    pub fn steady(&self) -> Time {
        Time(self.stage.clock.now().0 + self.skew_at_birth)
    }

    /// By its machine's clock.
    pub fn now(&self) -> Time {
        Time(self.stage.clock.now().0 + lock(&self.stage.slots[self.slot]).skew)
    }

    /// Waits while it has no time, and says whether it had none; for ever if it is dead.
    async fn awake(&self) -> bool {
        let mut slept = false;
        loop {
            if self.dead.load(Ordering::SeqCst) {
                return std::future::pending().await;
            }
            let until = lock(&self.stage.slots[self.slot]).asleep_until;
            if until <= Instant::now() {
                return slept;
            }
            slept = true;
            tokio::time::sleep_until(until).await;
        }
    }

    fn sleeps(&self, ms: u64) {
        self.say(&format!("gets no time for {ms} ms"));
        lock(&self.stage.slots[self.slot]).asleep_until = Instant::now() + Duration::from_millis(ms);
    }

    /// A call up to its effect. `call`: what for. `way`: how long it is on its way there, at most.
    pub async fn begin(&self, class: Class, call: &str, way: Duration) -> Ticket {
        let mut late = self.awake().await;
        if self.dying.load(Ordering::SeqCst) {
            self.die();
            return std::future::pending().await;
        }
        let (n, what) = self.stage.number(class);
        lock(&self.stage.trace).count(self.stage.elapsed(), &self.name, call);
        if let Some(what) = what {
            self.say(&format!("{class:?} call ({call}): {what:?}"));
        }
        let micros = u64::try_from(way.as_micros()).unwrap_or(0).max(1);
        let there = Duration::from_micros(chance::mix(self.stage.plan.seed, n, 3) % micros);
        let back = Duration::from_micros(chance::mix(self.stage.plan.seed, n, 4) % micros);
        // Timers tick in milliseconds.
        tokio::time::sleep(there).await;
        // Also a pause that another call of the process brought.
        late |= self.awake().await;
        match what {
            Some(What::Crash(Moment::Before)) => {
                self.die();
                return std::future::pending().await;
            }
            Some(What::Pause { ms, after: false }) => {
                self.sleeps(ms);
                self.awake().await;
                late = true;
            }
            _ => {}
        }
        Ticket { what, late, rest: back }
    }

    /// A call from its effect to its answer.
    pub async fn end(&self, ticket: &Ticket) {
        match ticket.what {
            Some(What::Crash(Moment::AfterEffect)) => {
                self.die();
                return std::future::pending().await;
            }
            Some(What::Pause { ms, after: true }) => self.sleeps(ms),
            _ => {}
        }
        tokio::time::sleep(ticket.rest).await;
        self.awake().await;
        if let Some(What::Crash(Moment::AfterAnswer)) = ticket.what {
            self.dying.store(true, Ordering::SeqCst);
        }
    }

    /// A call that waits for nothing.
    pub fn instant(&self, class: Class) {
        if self.dead.load(Ordering::SeqCst) {
            return;
        }
        if let (_, Some(what @ What::Crash(_))) = self.stage.number(class) {
            self.say(&format!("{class:?} call: {what:?}"));
            self.dying.store(true, Ordering::SeqCst);
        }
    }
}

/// The wall clock of a process.
pub struct ProcessClock(pub Arc<Process>);

impl Clock for ProcessClock {
    fn now(&self) -> Time {
        self.0.instant(Class::Clock);
        self.0.now()
    }
}
