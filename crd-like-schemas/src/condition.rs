//! Conditions: what is true about an object, in words that do not change.

use crate::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// True, False, or not known. Unknown is never False.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody could tell.
    #[default]
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(value: bool) -> Self {
        if value { ConditionStatus::True } else { ConditionStatus::False }
    }
}

impl std::fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// CamelCase adjective, such as `Ready`.
    pub r#type: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Generation of the spec it speaks of.
    pub observed_generation: i64,
    /// When `status` last changed.
    pub last_transition_time: Time,
    /// Stable CamelCase word.
    pub reason: String,
    /// A sentence for people; says what to do if something has to be done.
    pub message: String,
}

/// A list of conditions with at most one of each type.
pub trait Conditions {
    /// Sets a condition; the transition time moves only when the status changes.
    fn set(&mut self, kind: &str, status: ConditionStatus, reason: &str, message: &str, generation: i64, now: Time);
    /// Finds a condition.
    fn find(&self, kind: &str) -> Option<&Condition>;
    /// Whether a condition is there and True.
    fn is_true(&self, kind: &str) -> bool {
        self.find(kind).is_some_and(|c| c.status == ConditionStatus::True)
    }
    /// Whether a condition is there and False.
    fn is_false(&self, kind: &str) -> bool {
        self.find(kind).is_some_and(|c| c.status == ConditionStatus::False)
    }
}

impl Conditions for Vec<Condition> {
    fn set(&mut self, kind: &str, status: ConditionStatus, reason: &str, message: &str, generation: i64, now: Time) {
        let message: String = message.chars().take(1024).collect();
        match self.iter_mut().find(|c| c.r#type == kind) {
            Some(c) => {
                if c.status != status {
                    c.last_transition_time = now;
                }
                c.status = status;
                c.reason = reason.into();
                c.message = message;
                c.observed_generation = generation;
            }
            None => self.push(Condition {
                r#type: kind.into(),
                status,
                observed_generation: generation,
                last_transition_time: now,
                reason: reason.into(),
                message,
            }),
        }
    }

    fn find(&self, kind: &str) -> Option<&Condition> {
        self.iter().find(|c| c.r#type == kind)
    }
}
