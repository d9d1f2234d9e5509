//! Who leads (architecture 5). Renewal runs on a thread of its own; a stalled runtime loses the lease.

pub use crate::gate::{Elders, Gate, LeaseTime};
use crate::{Clock, Metrics, chance};
use std::{sync::Arc, time::Duration};
use store::{CONTROLLER_LEASE, LeaseRow, Store, StoreResult};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Longest pause between a standby's looks at the lease row, in milliseconds: a handover is noticed within it.
/// One row by its key, four times a second.
const LOOK_MS: u64 = 250;

/// Timing of the lease, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTiming {
    /// How long the lease lasts.
    pub lease_ms: u64,
    /// A holder that could not renew for so long stops acting.
    pub renew_deadline_ms: u64,
    /// Pause between tries.
    pub retry_ms: u64,
}

impl Default for LeaseTiming {
    fn default() -> Self {
        LeaseTiming { lease_ms: 6_000, renew_deadline_ms: 4_000, retry_ms: 1_000 }
    }
}

impl LeaseTiming {
    /// Refuses timings that cannot work.
    pub fn check(&self) -> Result<(), String> {
        if self.lease_ms > self.renew_deadline_ms && self.renew_deadline_ms * 10 > self.retry_ms * 12 && self.retry_ms > 0 {
            return Ok(());
        }
        Err(format!(
            "lease timing cannot work: leaseMillis ({}) must be larger than renewDeadlineMillis ({}), and that larger than 1.2 × retryMillis ({})",
            self.lease_ms, self.renew_deadline_ms, self.retry_ms
        ))
    }
}

/// What a controller process is doing about leading, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It has not looked yet.
    #[default]
    Starting,
    /// It stands by while another one leads.
    Waiting {
        /// Who leads.
        holder: String,
        /// Under which token.
        token: i64,
        /// For how long the row has not moved, by our own clock; a live leader renews it every second.
        still: Duration,
        /// After so long it is taken over.
        patience: Duration,
    },
    /// The lease row cannot be read or taken.
    Unable(String),
    /// It leads.
    Leading {
        /// Under which token.
        token: i64,
    },
}

/// A lease that is held.
pub struct Leadership {
    /// Whether this process may act.
    pub gate: Gate,
    /// Cancelled when the lease is lost.
    pub lost: CancellationToken,
    holder: String,
    store: Arc<dyn Store>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
    metrics: Metrics,
}

/// Waits until the lease is ours. With `at_once` (SQLite under an OS lock, S14) a stale row is taken without waiting.
pub async fn acquire(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    holder: &str,
    timing: LeaseTiming,
    at_once: bool,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> StoreResult<Option<Leadership>> {
    let told = watch::channel(Standing::Starting).0;
    Candidate { store, clock, holder, timing, at_once, metrics, told: &told, time: LeaseTime::Machine }.acquire(stop).await
}

/// Who wants to lead, and how.
pub struct Candidate<'a> {
    /// Where the lease row is.
    pub store: Arc<dyn Store>,
    /// Stamps the row, for people.
    pub clock: Arc<dyn Clock>,
    /// Who it will be held by.
    pub holder: &'a str,
    /// Timing.
    pub timing: LeaseTiming,
    /// Whether a stale row is taken without waiting (SQLite under an OS lock, S14).
    pub at_once: bool,
    /// Told of a lease that was taken.
    pub metrics: &'a Metrics,
    /// Told how it stands.
    pub told: &'a watch::Sender<Standing>,
    /// Which clock measures the lease.
    pub time: LeaseTime,
}

impl Candidate<'_> {
    /// Waits until the lease is ours; `None` if `stop` came first.
    pub async fn acquire(self, stop: &CancellationToken) -> StoreResult<Option<Leadership>> {
        let Candidate { store, clock, holder, timing, at_once, metrics, told, time } = self;
        let mut seen: Option<(LeaseRow, tokio::time::Instant)> = None;
        loop {
            let mut pause = timing.retry_ms.min(LOOK_MS);
            let mut unable = |what: &str, error: store::StoreError| {
                tracing::warn!(%error, "{what}; trying again");
                pause = timing.retry_ms;
                told.send_replace(Standing::Unable(format!("{what}: {error}")));
            };
            match store.lease(CONTROLLER_LEASE).await {
                Ok(row) => {
                    let unchanged = seen.as_ref().filter(|(old, _)| old.token == row.token && old.renew_seq == row.renew_seq).map(|(_, at)| *at);
                    let since = unchanged.unwrap_or_else(tokio::time::Instant::now);
                    seen = Some((row.clone(), since));
                    // The holder may have been configured with a longer lease than we are.
                    let theirs = u64::try_from(row.duration_ms).unwrap_or(0);
                    let patience = Duration::from_millis(timing.lease_ms.max(theirs).saturating_mul(5) / 4);
                    let released = row.holder.is_empty();
                    if at_once || released || since.elapsed() >= patience {
                        let gate = Gate::new(time);
                        let sent = gate.clocks();
                        let lease_ms = i64::try_from(timing.lease_ms).unwrap_or(i64::MAX);
                        match store.lease_take(CONTROLLER_LEASE, holder, &row, lease_ms, clock.now()).await {
                            Ok(Some(taken)) => {
                                let elders = match (at_once, released) {
                                    (true, _) => Elders::Gone,
                                    (false, true) => Elders::Released(row.token),
                                    (false, false) => Elders::Unknown,
                                };
                                gate.held_by(holder);
                                gate.open(sent, taken.token, timing.lease_ms, elders);
                                metrics.leading.set(1);
                                metrics.lease_token.set(taken.token);
                                told.send_replace(Standing::Leading { token: taken.token });
                                return Ok(Some(lead(time, store, holder, gate, timing, metrics.clone())));
                            }
                            Ok(None) => {}
                            // If it was taken after all, the row has moved, and is waited out like anyone else's.
                            Err(error) => unable("the lease could not be taken", error),
                        }
                    } else {
                        let waiting = Standing::Waiting { holder: row.holder, token: row.token, still: since.elapsed(), patience };
                        told.send_replace(waiting);
                    }
                }
                Err(error) => unable("the lease cannot be read", error),
            }
            // Spread, so that several standbys do not look in step.
            let pause = Duration::from_millis(pause).mul_f64(chance::between(0.8, 1.0));
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

fn lead(time: LeaseTime, store: Arc<dyn Store>, holder: &str, gate: Gate, timing: LeaseTiming, metrics: Metrics) -> Leadership {
    let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
    gate.runtime_alive();
    tokio::spawn({
        let (gate, stop) = (gate.clone(), stop.clone());
        async move {
            while !stop.is_cancelled() {
                gate.runtime_alive();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    });
    let keeper = Keeper { store: store.clone(), holder: holder.into(), gate: gate.clone(), lost: lost.clone(), stop: stop.clone(), timing };
    if time == LeaseTime::Simulated {
        tokio::spawn(keeper.keep());
        return Leadership { gate, lost, holder: holder.into(), store, stop, thread: None, metrics };
    }
    let thread = std::thread::Builder::new().name("lease".into()).spawn(move || keeper.run());
    if thread.is_err() {
        gate.close();
        lost.cancel();
    }
    Leadership { gate, lost, holder: holder.into(), store, stop, thread: thread.ok(), metrics }
}

struct Keeper {
    store: Arc<dyn Store>,
    holder: String,
    gate: Gate,
    lost: CancellationToken,
    stop: CancellationToken,
    timing: LeaseTiming,
}

impl Keeper {
    fn run(self) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            self.give_up("no thread runtime");
            return;
        };
        runtime.block_on(self.keep());
    }

    async fn keep(self) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(self.timing.retry_ms)) => {}
            }
            if self.gate.runtime_stalled(self.timing.renew_deadline_ms) {
                // Not renewed: what does not run must not lead. The gate closes by itself when the lease runs out.
                tracing::warn!("the process stalls; the lease is not renewed");
                continue;
            }
            let sent = self.gate.clocks();
            match self.store.lease_renew(CONTROLLER_LEASE, &self.holder, self.gate.token()).await {
                Ok(true) => self.gate.renewed(sent, self.timing.lease_ms),
                Ok(false) => return self.give_up("another controller took it"),
                Err(error) => tracing::warn!(%error, "the lease could not be renewed; trying again"),
            }
        }
    }

    fn give_up(&self, why: &str) {
        tracing::error!(why, "the lease is lost: this process stops acting");
        self.gate.close();
        self.lost.cancel();
    }
}

impl Drop for Leadership {
    /// Without a release the lease is waited out: nobody renews it for a leader that is gone.
    fn drop(&mut self) {
        self.metrics.leading.set(0);
        self.gate.close();
        self.stop.cancel();
    }
}

impl Leadership {
    /// Gives the lease up after the last act, so that a successor need not wait.
    pub async fn release(mut self) {
        self.gate.close();
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // The keeper looks at `stop` between calls, each of which has a deadline.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        match self.store.lease_release(CONTROLLER_LEASE, &self.holder, self.gate.token()).await {
            Ok(()) => tracing::info!("the lease is given up; a successor need not wait"),
            Err(error) => tracing::warn!(%error, "the lease could not be given up; a successor waits it out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_that_cannot_work_are_refused_and_named() {
        let check = |lease_ms, renew_deadline_ms, retry_ms| LeaseTiming { lease_ms, renew_deadline_ms, retry_ms }.check();
        assert!(LeaseTiming::default().check().is_ok());
        for (lease, renew, retry) in [(4_000, 4_000, 1_000), (6_000, 1_200, 1_000), (6_000, 4_000, 0), (1_000, 4_000, 1_000)] {
            let why = check(lease, renew, retry).unwrap_err();
            assert!(why.contains(&lease.to_string()) && why.contains("retryMillis"), "{why}");
        }
        assert!(check(6_000, 1_201, 1_000).is_ok());
    }
}
