//! What is to be told outside: letters, written in the transaction of what they tell of, and kept until they were
//! delivered. Off the revision counter.

use crate::{StoreError, StoreResult, Telling};
use async_trait::async_trait;
use schemas::{DynObject, Time, v1};
use serde_json::json;

/// Characters kept of why a delivery failed.
const FAILURE_CHARS: usize = 500;

/// Which tellings also become letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxRule {
    /// Only warnings.
    pub warnings_only: bool,
    /// Only these reasons; empty: all.
    pub reasons: Vec<String>,
}

impl OutboxRule {
    /// Whether a telling becomes a letter.
    pub fn takes(&self, telling: &Telling) -> bool {
        (telling.warning || !self.warnings_only) && (self.reasons.is_empty() || self.reasons.contains(&telling.reason))
    }
}

/// One thing to be told outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its id: the same for every delivery of it, and of nothing else.
    pub id: String,
    /// When it was written, by the clock of who wrote it.
    pub created_at: Time,
    /// A JSON object.
    pub body: String,
}

/// What became of a try to deliver a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrived.
    Delivered,
    /// It was refused for good, and why: it is thrown away.
    GivenUp(String),
    /// It may not have arrived, and why: it stays.
    Failed(String),
}

impl Fate {
    /// Why it did not arrive, as it is kept; empty if it did.
    pub fn failure(&self) -> String {
        match self {
            Fate::Delivered => String::new(),
            Fate::GivenUp(why) | Fate::Failed(why) => why.chars().take(FAILURE_CHARS).collect(),
        }
    }
}

/// How the outbox stands. Times are of the clocks of those who wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxState {
    /// Letters in it.
    pub length: i64,
    /// When the oldest was written.
    pub oldest: Option<Time>,
    /// Letters that arrived.
    pub delivered: i64,
    /// When the last one did.
    pub delivered_at: Option<Time>,
    /// When a delivery failed last.
    pub failed_at: Option<Time>,
    /// Why.
    pub failure: String,
    /// Letters that were refused for good.
    pub given_up: i64,
    /// Letters that were thrown away unseen, because there were too many or they were too old.
    pub dropped: i64,
    /// When a letter was lost last, in either way.
    pub lost_at: Option<Time>,
}

/// The letters of a database. Only who delivers needs it; they are written by [`crate::Op::Tell`].
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// The oldest letters, in the order in which their transactions were committed.
    async fn letters(&self, limit: i64) -> StoreResult<Vec<Letter>>;

    /// Writes down what became of a letter, and removes it unless it only failed. One that is gone already is no error.
    async fn settle_letter(&self, id: &str, fate: &Fate, now: Time) -> StoreResult<()>;

    /// How the outbox stands.
    async fn outbox(&self) -> StoreResult<OutboxState>;

    /// Throws the oldest away but for the newest `keep`, and all from before `before`; gives how many.
    async fn trim_outbox(&self, keep: i64, before: Time, now: Time) -> StoreResult<i64>;
}

impl Telling {
    /// The letter that goes with `event`, which [`Telling::event`] made of this. Its id follows from how often its series
    /// was told, so a transaction that is run again writes the same one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if `event` is none.
    pub fn letter(&self, event: &DynObject, now: Time) -> StoreResult<Letter> {
        let event = event.typed::<v1::Event>().map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let first = event.spec.first_at.unwrap_or(now);
        let text = format!("{} {} {}", event.metadata.name, first.0, event.spec.count);
        let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).to_string();
        let (kind, name) = self.regarding.split_once('/').unwrap_or((&self.regarding, ""));
        let body = json!({
            "id": id,
            "time": now,
            "type": self.r#type(),
            "reason": self.reason,
            "regarding": {"kind": kind, "name": name, "uid": self.regarding_uid},
            "note": event.spec.note,
            "reporter": self.reporter,
        });
        Ok(Letter { id, created_at: now, body: body.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telling(warning: bool, reason: &str) -> Telling {
        Telling {
            regarding: "Host/a".into(),
            regarding_uid: "u".into(),
            warning,
            reason: reason.into(),
            note: "it fell silent".into(),
            reporter: "controller".into(),
        }
    }

    #[test]
    fn a_rule_takes_what_it_names_and_nothing_else() {
        let all = OutboxRule::default();
        let warnings = OutboxRule { warnings_only: true, ..OutboxRule::default() };
        let named = OutboxRule { reasons: vec!["HostDown".into()], ..OutboxRule::default() };
        for (rule, takes) in [(&all, [true, true, true]), (&warnings, [true, false, true]), (&named, [true, true, false])] {
            let tellings = [telling(true, "HostDown"), telling(false, "HostDown"), telling(true, "Fencing")];
            assert_eq!(tellings.map(|t| rule.takes(&t)), takes, "{rule:?}");
        }
    }

    #[test]
    fn each_time_a_series_is_told_is_a_letter_of_its_own_and_the_same_time_is_the_same_letter() {
        let telling = telling(true, "HostDown");
        let now = Time(1_800_000_000_000_000);
        let first = telling.event(None, now);
        let second = telling.event(Some(&first), now.plus_seconds(1));
        let later = telling.event(Some(&first), now.plus_seconds(3_600));
        let id = |event: &DynObject, at: i64| telling.letter(event, now.plus_seconds(at)).unwrap().id;
        assert_eq!(id(&first, 0), id(&first, 0));
        assert_ne!(id(&first, 0), id(&second, 1));
        assert_ne!(id(&first, 0), id(&later, 3_600), "a series that is begun anew");
        let body: serde_json::Value = serde_json::from_str(&telling.letter(&first, now).unwrap().body).unwrap();
        assert_eq!(body["regarding"], json!({"kind": "Host", "name": "a", "uid": "u"}));
        assert_eq!(
            (body["type"].as_str(), body["reason"].as_str(), body["note"].as_str()),
            (Some("Warning"), Some("HostDown"), Some("it fell silent"))
        );
        assert_eq!(body["id"], id(&first, 0));
    }
}
