//! The leader's postman: takes letters out of the outbox, in their order, and delivers each at least once.
//!
//! A letter goes from the outbox after the receiver said that it has it. Between the two this process may die, or lose the
//! lease: then the next leader delivers it again, under the same id. A letter that does not arrive holds up those behind it:
//! what is told in the wrong order is told wrongly.

use cloud::webhook::{Receipt, Receiver};
use engine::{Clock, Metrics, retry};
use serde_json::Value;
use std::{fmt, sync::Arc, time::Duration};
use store::{Fate, Letter, Outbox, StoreResult};
use tokio_util::sync::CancellationToken;

/// Pause between looks at an empty outbox.
const IDLE: Duration = Duration::from_secs(1);
/// Pause after the database could not be read or written.
const AFTER_TROUBLE: Duration = Duration::from_secs(2);
/// Letters read at once.
const BATCH: i64 = 100;
/// Letters that are kept; of more the oldest are thrown away, loudly.
const MOST: i64 = 10_000;
/// Seconds that a letter is kept: less than housekeeping leaves those that nobody delivers, so that none goes without a word.
const KEPT_SECONDS: i64 = 5 * 86_400;
/// Tries of a letter that the receiver refuses for good.
const REFUSALS: i64 = 8;

/// Where people are told what happened.
#[derive(Clone)]
pub struct Delivery {
    /// The letters of this deployment's database.
    pub outbox: Arc<dyn Outbox>,
    /// Who takes them.
    pub receiver: Arc<dyn Receiver>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}

/// What is remembered of the letter that is next.
#[derive(Default)]
struct Tries {
    /// Its id.
    id: String,
    /// Deliveries that failed, in a row.
    failures: i64,
    /// Of these, refusals for good.
    refusals: i64,
}

struct Postman {
    to: Delivery,
    cluster_uuid: String,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    tries: Tries,
}

/// Delivers until `stop`. `cluster_uuid` goes into every body, so that a receiver can tell deployments apart.
pub async fn deliver(to: Delivery, cluster_uuid: String, clock: Arc<dyn Clock>, metrics: Metrics, stop: CancellationToken) {
    let mut postman = Postman { to, cluster_uuid, clock, metrics, tries: Tries::default() };
    loop {
        // A delivery that is broken off here may have arrived; it is made again.
        let passed = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            passed = postman.pass() => passed,
        };
        let pause = passed.unwrap_or_else(|error| {
            tracing::warn!(%error, "the outbox cannot be read or written; what was delivered meanwhile is delivered again");
            AFTER_TROUBLE
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Postman {
    /// Delivers what there is, and gives the pause until the next look.
    async fn pass(&mut self) -> StoreResult<Duration> {
        let outbox = self.to.outbox.clone();
        let letters = outbox.letters(BATCH).await?;
        if letters.is_empty() {
            self.metrics.outbox.set(0);
            return Ok(IDLE);
        }
        if self.trim().await? {
            return Ok(Duration::ZERO);
        }
        let full = i64::try_from(letters.len()).unwrap_or(BATCH) >= BATCH;
        for letter in &letters {
            if let Some(pause) = self.one(letter).await? {
                return Ok(pause);
            }
            self.metrics.outbox.dec();
        }
        Ok(if full { Duration::ZERO } else { IDLE })
    }

    /// Throws away what is too much or too old; true if that was anything.
    async fn trim(&self) -> StoreResult<bool> {
        let (outbox, now) = (&self.to.outbox, self.clock.now());
        let state = outbox.outbox().await?;
        self.metrics.outbox.set(state.length);
        let before = now.plus_seconds(-KEPT_SECONDS);
        if state.length <= MOST && state.oldest.is_none_or(|oldest| oldest >= before) {
            return Ok(false);
        }
        let dropped = outbox.trim_outbox(MOST, before, now).await?;
        if dropped > 0 {
            let why = state.failure;
            tracing::error!(dropped, why, "letters to the webhook were thrown away undelivered: there were too many, or they were too old");
            self.metrics.delivery("dropped", u64::try_from(dropped).unwrap_or(0));
        }
        Ok(dropped > 0)
    }

    /// Delivers one letter. Gives a pause if it is still there.
    async fn one(&mut self, letter: &Letter) -> StoreResult<Option<Duration>> {
        if self.tries.id != letter.id {
            self.tries = Tries { id: letter.id.clone(), ..Tries::default() };
        }
        let receipt = match with_cluster(&letter.body, &self.cluster_uuid) {
            Ok(body) => self.to.receiver.deliver(&letter.id, &body, self.clock.now()).await,
            // Nothing would ever come of it.
            Err(why) => {
                self.tries.refusals = REFUSALS;
                Receipt::Refused(why)
            }
        };
        let (result, fate) = match receipt {
            Receipt::Taken => ("delivered", Fate::Delivered),
            Receipt::Refused(why) if self.tries.refusals + 1 >= REFUSALS => {
                tracing::error!(id = letter.id, why, letter = letter.body, "the webhook refuses this letter for good: it is thrown away undelivered");
                ("given_up", Fate::GivenUp(why))
            }
            Receipt::Refused(why) => {
                self.tries.refusals += 1;
                ("refused", Fate::Failed(why))
            }
            Receipt::Unknown(why) => ("failed", Fate::Failed(why)),
        };
        self.metrics.delivery(result, 1);
        let pause = if let Fate::Failed(why) = &fate {
            self.tries.failures += 1;
            let pause = retry::pause(self.tries.failures);
            tracing::warn!(
                id = letter.id,
                why,
                tries = self.tries.failures,
                pause = pause.as_secs_f32(),
                "the webhook did not take a letter; it is tried again"
            );
            Some(pause)
        } else {
            None
        };
        self.to.outbox.settle_letter(&letter.id, &fate, self.clock.now()).await?;
        Ok(pause)
    }
}

/// The body that is sent.
fn with_cluster(body: &str, cluster_uuid: &str) -> Result<String, String> {
    let mut body: Value = serde_json::from_str(body).map_err(|e| format!("the letter in the outbox is no JSON: {e}"))?;
    if !body.is_object() {
        return Err("the letter in the outbox is no JSON object".into());
    }
    body["cluster"] = cluster_uuid.into();
    Ok(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use engine::TokioClock;
    use schemas::Time;
    use simulator::ModelStore;
    use std::sync::{Mutex, PoisonError};
    use store::{Guard, Op, OutboxRule, Store, Telling};

    /// Answers as it was told; records what it got.
    struct Script {
        got: Mutex<Vec<String>>,
        answer: fn(&Value, usize) -> Receipt,
    }

    #[async_trait]
    impl Receiver for Script {
        async fn deliver(&self, id: &str, body: &str, _: Time) -> Receipt {
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!((body["id"].as_str(), body["cluster"].as_str()), (Some(id), Some("c")));
            let note = body["note"].as_str().unwrap_or_default().to_string();
            let mut got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
            let before = got.iter().filter(|g| **g == note).count();
            got.push(note);
            (self.answer)(&body, before)
        }
    }

    struct Case {
        store: Arc<ModelStore>,
        script: Arc<Script>,
        metrics: Metrics,
        stop: CancellationToken,
    }

    impl Case {
        fn new(answer: fn(&Value, usize) -> Receipt) -> Case {
            let store = Arc::new(ModelStore::new("c").with_outbox(OutboxRule::default()));
            let script = Arc::new(Script { got: Mutex::default(), answer });
            Case { store, script, metrics: Metrics::default(), stop: CancellationToken::new() }
        }

        async fn tell(&self, notes: &[&str], at: Time) {
            for note in notes {
                let telling = Telling {
                    regarding: "Host/a".into(),
                    regarding_uid: "u".into(),
                    warning: true,
                    reason: "HostDown".into(),
                    note: (*note).into(),
                    reporter: "controller".into(),
                };
                self.store.commit(Guard::Open, at, vec![Op::Tell(telling)]).await.unwrap();
            }
        }

        /// Delivers until nothing is left, in simulated time.
        async fn run(&self, clock: Arc<TokioClock>) -> Vec<String> {
            let to = Delivery { outbox: self.store.clone(), receiver: self.script.clone() };
            let postman = tokio::spawn(deliver(to, "c".into(), clock, self.metrics.clone(), self.stop.clone()));
            while self.store.outbox().await.unwrap().length > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.stop.cancel();
            postman.await.unwrap();
            self.script.got.lock().unwrap().clone()
        }
    }

    fn clock() -> Arc<TokioClock> {
        Arc::new(TokioClock::starting_at(Time(1_800_000_000_000_000)))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_good_is_given_up_after_some_tries_and_the_next_goes_on() {
        let case = Case::new(|body, _| if body["note"] == "bad" { Receipt::Refused("410 Gone".into()) } else { Receipt::Taken });
        let clock = clock();
        case.tell(&["one", "bad", "two"], clock.now()).await;
        let got = case.run(clock).await;
        let tries = usize::try_from(REFUSALS).unwrap();
        assert_eq!(got.iter().filter(|note| *note == "bad").count(), tries);
        assert_eq!((got[0].as_str(), got[got.len() - 1].as_str(), got.len()), ("one", "two", tries + 2));
        let state = case.store.outbox().await.unwrap();
        assert_eq!((state.delivered, state.given_up, state.failure.as_str()), (2, 1, "410 Gone"));
        let text = case.metrics.text();
        assert!(text.contains("webhook_deliveries_total{result=\"given_up\"} 1") && text.contains("result=\"refused\"} 7"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_for_as_long_as_it_takes_and_holds_up_what_is_behind_it() {
        let case = Case::new(|body, before| if body["note"] == "slow" && before < 40 { Receipt::Unknown("503".into()) } else { Receipt::Taken });
        let clock = clock();
        case.tell(&["slow", "next"], clock.now()).await;
        let got = case.run(clock.clone()).await;
        assert_eq!((got.iter().filter(|note| *note == "slow").count(), got.len(), got[41].as_str()), (41, 42, "next"));
        assert_eq!(case.store.outbox().await.unwrap().given_up, 0);
        assert!(clock.now().seconds_since(Time(1_800_000_000_000_000)) > 3_600, "with pauses that grow");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_or_too_old_is_thrown_away_and_counted() {
        let case = Case::new(|_, _| Receipt::Taken);
        let clock = clock();
        case.tell(&["stale"], clock.now().plus_seconds(-KEPT_SECONDS - 1)).await;
        let notes: Vec<String> = (0..MOST + 5).map(|n| format!("{n}")).collect();
        case.tell(&notes.iter().map(String::as_str).collect::<Vec<_>>(), clock.now()).await;
        let got = case.run(clock).await;
        assert_eq!((got.len(), got[0].as_str()), (usize::try_from(MOST).unwrap(), "5"));
        let state = case.store.outbox().await.unwrap();
        assert_eq!((state.dropped, state.delivered), (6, MOST));
        assert!(case.metrics.text().contains("result=\"dropped\"} 6"), "{}", case.metrics.text());
    }
}
