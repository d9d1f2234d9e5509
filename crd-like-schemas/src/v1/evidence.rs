//! What speaks for and against a host beside Nova and its power links.

use crate::{FieldError, Time, field::check_range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest time that an observation may count, in seconds.
pub const LONGEST_TTL_SECONDS: i64 = 3_600;

/// In place of a host's name: what is kept under it is evidence about no host. The leader keeps its latest look there.
pub const NO_HOST: &str = "";

/// What a channel says of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Says {
    /// It gave a sign of life.
    Alive,
    /// It was listened to, and gave none.
    Silent,
}

impl Says {
    /// `Alive` or `Silent`.
    pub fn word(self) -> &'static str {
        match self {
            Says::Alive => "Alive",
            Says::Silent => "Silent",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Says> {
        [Says::Alive, Says::Silent].into_iter().find(|s| s.word() == word)
    }
}

/// The last that one channel said of one host. Evidence, never an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// The host.
    pub host: String,
    /// Who watches it: a name such as `storage-heartbeat`.
    pub channel: String,
    /// What it says.
    pub says: Says,
    /// When it was seen, by the channel's clock.
    pub observed_at: Time,
    /// When it came in, by the clock of the API server.
    pub received_at: Time,
    /// For how long it may count, in seconds.
    pub ttl_seconds: i64,
    /// The user who sent it.
    pub by: String,
    /// More, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The evidence without which nothing is begun without a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Demand {
    /// Nova calls the service down (L0).
    #[default]
    ServiceSilent,
    /// That, and at least one other channel calls the host silent (L1).
    SecondChannelSilent,
}

/// Whether a person's statement stands in for power that nobody can read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttestationRule {
    /// It does.
    #[default]
    Accepted,
    /// It does not: evacuations without a person wait for the power link.
    Refused,
}

/// What evidence counts, and how much of it is asked for. Each kind of it can hold a recovery up; none lowers what S2 to S5
/// ask for before a guest is started elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EvidenceRule {
    /// What a channel said counts for so long at most, in seconds; its own time to live may be shorter.
    pub max_age_seconds: i64,
    /// The evidence without which nothing is begun.
    pub demand: Demand,
    /// Whether a FenceAttestation is accepted.
    pub attestation: AttestationRule,
}

impl Default for EvidenceRule {
    fn default() -> Self {
        EvidenceRule { max_age_seconds: 60, demand: Demand::ServiceSilent, attestation: AttestationRule::Accepted }
    }
}

impl EvidenceRule {
    /// What is wrong with it; `field` is where it stands.
    pub fn check(&self, field: &str, errors: &mut Vec<FieldError>) {
        check_range(errors, &format!("{field}.maxAgeSeconds"), self.max_age_seconds, 1, LONGEST_TTL_SECONDS);
    }
}
