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

/// How sure it has to be that a host is dead, weakest first. Each level asks for its own kind of evidence, and of `PowerOff` on
/// a stronger one does as well. L4 (storage access revoked) has no source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Level {
    /// L0: Nova calls the service down. It always has to.
    ServiceSilent,
    /// L1: that, and at least one other channel calls the host silent.
    SecondChannelSilent,
    /// L2: that, and at least one of `storageChannels` calls the host silent.
    StorageSilent,
    /// L3: its power reads off (S4), or a FenceAttestation that is accepted stands in for that.
    PowerOff,
    /// L5: a FenceAttestation of its present power epoch.
    Attested,
}

impl Level {
    /// `L1 SecondChannelSilent`.
    pub fn in_words(self) -> &'static str {
        match self {
            Level::ServiceSilent => "L0 ServiceSilent",
            Level::SecondChannelSilent => "L1 SecondChannelSilent",
            Level::StorageSilent => "L2 StorageSilent",
            Level::PowerOff => "L3 PowerOff",
            Level::Attested => "L5 Attested",
        }
    }
}

/// What evidence can be demanded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A restart, before power goes off.
    Restart,
    /// Switching the host off to prove it dead.
    Fence,
    /// Rebuilding a guest elsewhere.
    Evacuate,
    /// Rebuilding a guest elsewhere whose disk may die with the host (S13).
    EvacuateLocalDisks,
}

impl Action {
    /// Its field in `evidence.levels`.
    pub fn field(self) -> &'static str {
        match self {
            Action::Restart => "restart",
            Action::Fence => "fence",
            Action::Evacuate => "evacuate",
            Action::EvacuateLocalDisks => "evacuateLocalDisks",
        }
    }
}

/// The evidence that each action takes, if not the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EvidenceLevels {
    /// To switch the host off and on; absent: what `demand` says. At most `StorageSilent`: a restart switches it off itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Level>,
    /// To switch it off before its guests are rebuilt; absent: what `demand` says. `PowerOff`: it is never switched off, and an
    /// evacuation goes on only if it reads off already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<Level>,
    /// To rebuild a guest elsewhere; absent: `PowerOff`. Less is never enough (S4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evacuate: Option<Level>,
    /// The same for guests whose disk may die with the host; absent: what `evacuate` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evacuate_local_disks: Option<Level>,
}

impl EvidenceLevels {
    fn is_usual(&self) -> bool {
        *self == EvidenceLevels::default()
    }
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
    #[schemars(range(min = 1, max = LONGEST_TTL_SECONDS))]
    pub max_age_seconds: i64,
    /// The evidence without which nothing is begun, where `levels` does not say otherwise.
    pub demand: Demand,
    /// The evidence that each action takes, if not the usual.
    #[serde(skip_serializing_if = "EvidenceLevels::is_usual")]
    pub levels: EvidenceLevels,
    /// Channels that watch the host's storage: what they say counts for `StorageSilent` (L2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-list-type" = "set"))]
    #[schemars(length(max = MOST_CHANNELS), inner(length(min = 1)), extend("uniqueItems" = true))]
    pub storage_channels: Vec<String>,
    /// Whether a FenceAttestation is accepted.
    pub attestation: AttestationRule,
}

impl Default for EvidenceRule {
    fn default() -> Self {
        EvidenceRule {
            max_age_seconds: 60,
            demand: Demand::ServiceSilent,
            levels: EvidenceLevels::default(),
            storage_channels: Vec::new(),
            attestation: AttestationRule::Accepted,
        }
    }
}

/// Most channels that a policy may name.
const MOST_CHANNELS: usize = 50;

impl EvidenceRule {
    /// The evidence that an action takes.
    pub fn demanded(&self, action: Action) -> Level {
        let usual = match self.demand {
            Demand::ServiceSilent => Level::ServiceSilent,
            Demand::SecondChannelSilent => Level::SecondChannelSilent,
        };
        let levels = &self.levels;
        match action {
            Action::Restart => levels.restart.unwrap_or(usual),
            Action::Fence => levels.fence.unwrap_or(usual),
            Action::Evacuate => levels.evacuate.unwrap_or(Level::PowerOff),
            Action::EvacuateLocalDisks => levels.evacuate_local_disks.unwrap_or(self.demanded(Action::Evacuate)),
        }
    }

    /// The field that demands it, below `spec.evidence`.
    pub fn field_of(&self, action: Action) -> String {
        let levels = &self.levels;
        match action {
            Action::Restart if levels.restart.is_none() => "demand".into(),
            Action::Fence if levels.fence.is_none() => "demand".into(),
            Action::EvacuateLocalDisks if levels.evacuate_local_disks.is_none() => "levels.evacuate".into(),
            _ => format!("levels.{}", action.field()),
        }
    }

    /// That field and what it says: `spec.evidence.levels.fence (L2 StorageSilent)`.
    pub fn asks(&self, action: Action) -> String {
        format!("spec.evidence.{} ({})", self.field_of(action), self.demanded(action).in_words())
    }

    /// What is wrong with it; `field` is where it stands.
    pub fn check(&self, field: &str, errors: &mut Vec<FieldError>) {
        check_range(errors, &format!("{field}.maxAgeSeconds"), self.max_age_seconds, 1, LONGEST_TTL_SECONDS);
        self.check_channels(field, errors);
        let levels = &self.levels;
        let mut wrong = |action: Action, message: String| errors.push(FieldError::invalid(format!("{field}.levels.{}", action.field()), message));
        if levels.restart.is_some_and(|level| level >= Level::PowerOff) {
            let message =
                "a restart switches the host off itself: demand ServiceSilent, SecondChannelSilent or StorageSilent, or set spec.restart to Forbid.";
            wrong(Action::Restart, message.into());
        }
        if levels.fence == Some(Level::Attested) {
            let message = "a FenceAttestation never counts against power that reads on, so no host would ever be switched off; demand PowerOff if that is meant.";
            wrong(Action::Fence, message.into());
        }
        for (action, level) in [(Action::Evacuate, levels.evacuate), (Action::EvacuateLocalDisks, levels.evacuate_local_disks)] {
            let Some(level) = level else { continue };
            if level < Level::PowerOff {
                let message = format!(
                    "{} is less than a proof that the host is off, which is always asked for (S4); set PowerOff or Attested, or leave it out.",
                    level.in_words()
                );
                wrong(action, message);
            }
            if level == Level::Attested && self.attestation == AttestationRule::Refused {
                let message = format!("Attested can never be met while {field}.attestation is Refused; set that to Accepted, or demand PowerOff.");
                wrong(action, message);
            }
        }
        if levels.evacuate_local_disks.is_some_and(|level| level < self.demanded(Action::Evacuate)) {
            let message =
                format!("asks for less than {field}.levels.evacuate, which holds for every guest; demand at least as much, or leave it out.");
            wrong(Action::EvacuateLocalDisks, message);
        }
        for (action, level) in [(Action::Restart, levels.restart), (Action::Fence, levels.fence)] {
            if level == Some(Level::StorageSilent) && self.storage_channels.is_empty() {
                wrong(action, format!("StorageSilent needs {field}.storageChannels: name the channels of POST /v1/evidence that watch storage."));
            }
        }
    }

    fn check_channels(&self, field: &str, errors: &mut Vec<FieldError>) {
        let field = format!("{field}.storageChannels");
        if self.storage_channels.len() > MOST_CHANNELS {
            errors.push(FieldError::invalid(&field, format!("names more than {MOST_CHANNELS} channels; leave out those that watch no storage.")));
        }
        for (n, channel) in self.storage_channels.iter().enumerate() {
            if channel.is_empty() || self.storage_channels[..n].contains(channel) {
                errors.push(FieldError::invalid(format!("{field}[{n}]"), "give the name of a channel, each once."));
            }
        }
    }
}
