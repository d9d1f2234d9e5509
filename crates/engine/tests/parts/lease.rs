//! Who leads, on a real clock: lower bounds are exact, upper ones are waited for.

use crate::store::{Hurt, open};
use ::store::{CONTROLLER_LEASE, Guard, Op, Store, StoreError};
use engine::{
    Elders, Leadership, LeaseTime, LeaseTiming, Metrics, Standing, SystemClock,
    lease::{Candidate, acquire},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const QUICK: LeaseTiming = LeaseTiming { lease_ms: 2_000, renew_deadline_ms: 1_000, retry_ms: 40 };
/// A lease that nobody lives to see the end of.
const LONG: LeaseTiming = LeaseTiming { lease_ms: 3_600_000, renew_deadline_ms: 3_000_000, retry_ms: 40 };

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("it should not take so long")
}

async fn lead(store: Arc<dyn Store>, holder: &str, timing: LeaseTiming, at_once: bool) -> Leadership {
    let stop = CancellationToken::new();
    acquire(store, Arc::new(SystemClock), holder, timing, at_once, &Metrics::default(), &stop).await.unwrap().unwrap()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_renewed_stays_with_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let steady = LeaseTiming { lease_ms: 4_000, ..QUICK };
    let mine = soon(lead(store.clone(), "one", steady, false)).await;
    let stop = CancellationToken::new();
    let other = tokio::spawn({
        let (store, stop) = (open(dir.path()).await, stop.clone());
        async move { acquire(store, Arc::new(SystemClock), "two", steady, false, &Metrics::default(), &stop).await }
    });
    let begun = Instant::now();
    let enough = Duration::from_millis(steady.lease_ms * 3 / 2);
    until("renewals for one and a half leases", async || begun.elapsed() > enough && store.lease(CONTROLLER_LEASE).await.unwrap().renew_seq > 10)
        .await;
    assert!(mine.gate.may_act(), "{:?} remain", mine.gate.remaining());
    let row = store.lease(CONTROLLER_LEASE).await.unwrap();
    assert_eq!((row.holder.as_str(), row.token), ("one", 1));
    stop.cancel();
    assert!(soon(other).await.unwrap().unwrap().is_none(), "who is told to stop does not lead");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_stands_still_is_taken_over_after_one_and_a_quarter_leases_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for (duration_ms, least) in [(1_000i64, 2_500u64), (4_000, 5_000)] {
        // Taken by a process that died at once. What it was configured with counts, if that is more.
        let row = store.lease(CONTROLLER_LEASE).await.unwrap();
        let row = store.lease_take(CONTROLLER_LEASE, "dead", &row, duration_ms, crate::at(0)).await.unwrap().unwrap();
        let begun = Instant::now();
        let mine = soon(lead(store.clone(), "two", QUICK, false)).await;
        assert!(begun.elapsed() >= Duration::from_millis(least), "after {:?}", begun.elapsed());
        assert_eq!(mine.gate.token(), row.token + 1);
        assert_eq!(mine.gate.elders(), Elders::Unknown, "who fell silent may come back");
        mine.release().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_was_given_up_is_taken_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let first = soon(lead(store.clone(), "one", LONG, false)).await;
    let gate = first.gate.clone();
    soon(first.release()).await;
    assert!(!gate.may_act());
    let second = soon(lead(open(dir.path()).await, "two", LONG, false)).await;
    assert_eq!((second.gate.token(), second.gate.elders()), (2, Elders::Released(1)));
    // Connections that the thread of the first had opened are of no harm to those who use the pool after it.
    for _ in 0..20 {
        store.lease(CONTROLLER_LEASE).await.unwrap();
        store.commit(Guard::Open, crate::at(0), vec![Op::RequireNotFrozen]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_says_for_whom_it_waits_and_notices_a_handover_without_waiting_for_its_next_try() {
    // A standby that looked only once in each retry would not come in time.
    let slow = LeaseTiming { lease_ms: 3_600_000, renew_deadline_ms: 3_000_000, retry_ms: 1_000_000 };
    let dir = tempfile::tempdir().unwrap();
    let first = soon(lead(open(dir.path()).await, "one", slow, false)).await;
    let (told, mut standing) = tokio::sync::watch::channel(Standing::Starting);
    let metrics = Metrics::default();
    let second = tokio::spawn({
        let (store, metrics) = (open(dir.path()).await, metrics.clone());
        async move {
            let candidate = Candidate {
                store,
                clock: Arc::new(SystemClock),
                holder: "two",
                timing: slow,
                at_once: false,
                metrics: &metrics,
                told: &told,
                time: LeaseTime::Machine,
            };
            candidate.acquire(&CancellationToken::new()).await
        }
    });
    let waits = |s: &Standing| matches!(s, Standing::Waiting { holder, token: 1, .. } if holder == "one");
    soon(standing.wait_for(waits)).await.unwrap();
    assert_eq!(metrics.leading.get(), 0);
    soon(first.release()).await;
    let second = soon(second).await.unwrap().unwrap().unwrap();
    assert_eq!(*standing.borrow(), Standing::Leading { token: 2 });
    assert_eq!((second.gate.elders(), metrics.leading.get()), (Elders::Released(1), 1));
    drop(second);
    assert_eq!(metrics.leading.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_lock_on_the_data_directory_a_stale_lease_is_taken_at_once_with_the_next_token() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let row = store.lease(CONTROLLER_LEASE).await.unwrap();
    store.lease_take(CONTROLLER_LEASE, "dead", &row, 3_600_000, crate::at(0)).await.unwrap().unwrap();
    let mine = soon(lead(store, "me", LONG, true)).await;
    assert_eq!((mine.gate.token(), mine.gate.elders()), (2, Elders::Gone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_the_lease_is_told_stops_acting_and_writes_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mine = soon(lead(store.clone(), "one", LONG, false)).await;
    assert!(mine.gate.may_act());
    let mut row = store.lease(CONTROLLER_LEASE).await.unwrap();
    // Between a look and the takeover the holder may renew: then it is tried again.
    while store.lease_take(CONTROLLER_LEASE, "two", &row, 6_000, crate::at(0)).await.unwrap().is_none() {
        row = store.lease(CONTROLLER_LEASE).await.unwrap();
    }
    let old = Guard::Lease(mine.gate.token());
    let refused = store.commit(old, crate::at(0), vec![Op::Create(crate::host("h"))]).await;
    assert_eq!(refused.unwrap_err(), StoreError::LeaseLost { mine: 1, current: 2 });
    soon(mine.lost.cancelled()).await;
    assert!(!mine.gate.may_act());
    mine.release().await;
    assert_eq!(store.lease(CONTROLLER_LEASE).await.unwrap().holder, "two", "what is not ours is not given up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_acting_ends_with_the_lease_and_goes_on_when_it_is_back_and_nobody_took_over() {
    let dir = tempfile::tempdir().unwrap();
    let hurt = Hurt::new(open(dir.path()).await);
    let mine = soon(lead(hurt.clone(), "one", QUICK, false)).await;
    hurt.lease_down.store(true, Ordering::SeqCst);
    until("the lease runs out", async || mine.gate.remaining().is_zero()).await;
    assert!(!mine.gate.may_act() && !mine.lost.is_cancelled());
    hurt.lease_down.store(false, Ordering::SeqCst);
    until("it is renewed", async || mine.gate.may_act()).await;
    assert_eq!(mine.gate.token(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_that_fails_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let hurt = Hurt::new(open(dir.path()).await);
    hurt.lease_down.store(true, Ordering::SeqCst);
    let leading = tokio::spawn(lead(hurt.clone(), "one", QUICK, false));
    until("three tries", async || hurt.refused.load(Ordering::SeqCst) >= 3).await;
    assert!(!leading.is_finished());
    hurt.lease_down.store(false, Ordering::SeqCst);
    assert_eq!(soon(leading).await.unwrap().gate.token(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_stalls_loses_the_lease_although_the_renewing_thread_lives() {
    let dir = tempfile::tempdir().unwrap();
    let (held, go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let stalled = std::thread::spawn({
        let (path, held, go) = (dir.path().to_path_buf(), held.clone(), go.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mine = lead(open(&path).await, "stalled", QUICK, false).await;
                held.store(true, Ordering::SeqCst);
                // The only thread of this runtime does nothing else from now on.
                while !go.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                let acts = mine.gate.may_act();
                mine.lost.cancelled().await;
                (acts, mine.gate.may_act())
            })
        }
    });
    until("it leads", async || held.load(Ordering::SeqCst)).await;
    let other = soon(lead(open(dir.path()).await, "other", QUICK, false)).await;
    assert_eq!(other.gate.token(), 2);
    go.store(true, Ordering::SeqCst);
    assert_eq!(tokio::task::spawn_blocking(move || stalled.join().unwrap()).await.unwrap(), (false, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leadership_that_is_dropped_renews_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let gate = soon(lead(store.clone(), "one", QUICK, false)).await.gate.clone();
    assert!(!gate.may_act());
    assert_eq!(soon(lead(store, "two", QUICK, false)).await.gate.token(), 2, "it is waited out");
}
