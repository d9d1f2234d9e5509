//! The work queue under many workers.

use engine::{Key, Queue};
use proptest::{collection::vec, prelude::*};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

#[derive(Clone, Debug)]
enum Event {
    Add {
        key: u8,
        delay: u64,
        priority: i64,
    },
    Advance(u64),
    Take,
    /// Ends the run of a key, with or without a wish to come back.
    Done(u8, Option<u64>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..4u8, prop_oneof![Just(0), 0..20u64], 0..100i64).prop_map(|(key, delay, priority)| Event::Add { key, delay, priority }),
        2 => (0..10u64).prop_map(Event::Advance),
        4 => Just(Event::Take),
        3 => (0..4u8, proptest::option::of(0..20u64)).prop_map(|(key, again)| Event::Done(key, again)),
    ]
}

fn key(n: u8) -> Key {
    Key::new("Host", format!("h{n}"))
}

/// When each key is due, and which run.
#[derive(Default)]
struct Model {
    due: BTreeMap<u8, u64>,
    running: BTreeMap<u8, Option<u64>>,
}

async fn play(events: &[Event]) -> Result<(), TestCaseError> {
    let (queue, mut model, mut now) = (Queue::default(), Model::default(), 0u64);
    for event in events {
        match event {
            Event::Add { key: n, delay, priority } => {
                queue.add(key(*n), Duration::from_secs(*delay), *priority);
                let at = now + delay;
                match model.running.get_mut(n) {
                    Some(again) => *again = Some(again.map_or(at, |t| t.min(at))),
                    None => drop(model.due.entry(*n).and_modify(|t| *t = (*t).min(at)).or_insert(at)),
                }
            }
            Event::Advance(seconds) => {
                tokio::time::advance(Duration::from_secs(*seconds)).await;
                now += seconds;
            }
            Event::Take => {
                // Nothing else runs, so what is due is there at once; a poll is enough.
                let taken = futures::FutureExt::now_or_never(queue.next());
                let due: Vec<u8> = model.due.iter().filter(|(_, t)| **t <= now).map(|(n, _)| *n).collect();
                prop_assert_eq!(taken.is_some(), !due.is_empty(), "due: {:?}", due);
                if let Some(taken) = taken {
                    let n = due.iter().copied().find(|n| key(*n) == taken);
                    prop_assert!(n.is_some(), "{taken:?} is not due, or runs already");
                    let n = n.unwrap();
                    model.due.remove(&n);
                    model.running.insert(n, None);
                }
            }
            Event::Done(n, again) => {
                if let Some(asked) = model.running.remove(n) {
                    queue.done(&key(*n), again.map(|s| (Duration::from_secs(s), 1)));
                    let wanted = again.map(|s| now + s);
                    if let Some(at) = [asked, wanted].into_iter().flatten().min() {
                        model.due.insert(*n, at);
                    }
                }
            }
        }
        prop_assert_eq!(queue.len(), model.due.len() + model.running.len());
        prop_assert_eq!(queue.due(), model.due.values().filter(|t| **t <= now).count());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_was_asked_for_runs_when_it_is_due_once_and_never_beside_itself(events in vec(event(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(play(&events))?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_many_workers_no_key_runs_twice_at_once_and_no_request_is_forgotten() {
    let queue = Arc::new(Queue::default());
    // Per key: what was asked for last, what the last run saw, and whether it runs.
    let books: Arc<Mutex<BTreeMap<String, (u64, u64, bool)>>> = Arc::default();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (queue, books) = (queue.clone(), books.clone());
        workers.spawn(async move {
            loop {
                let key = queue.next().await;
                let asked = {
                    let mut books = books.lock().unwrap();
                    let book = books.get_mut(&key.name).unwrap();
                    assert!(!book.2, "{} runs twice at once", key.name);
                    book.2 = true;
                    book.0
                };
                tokio::task::yield_now().await;
                {
                    let mut books = books.lock().unwrap();
                    let book = books.get_mut(&key.name).unwrap();
                    (book.1, book.2) = (asked, false);
                }
                queue.done(&key, None);
            }
        });
    }
    for n in 1..=2_000u64 {
        let name = format!("h{}", n % 7);
        books.lock().unwrap().entry(name.clone()).or_default().0 = n;
        queue.add(Key::new("Host", name), Duration::ZERO, 1);
        if n % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let settled = async {
        while !books.lock().unwrap().values().all(|(asked, seen, runs)| asked == seen && !runs) || !queue.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.expect("a request was forgotten");
    assert!(workers.try_join_next().is_none(), "no worker has failed");
    workers.abort_all();
}
