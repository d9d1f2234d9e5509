//! A fact about the outside world (S1).

use schemas::Time;
use serde::{Deserialize, Serialize};

/// A value with the time it was read, *absent* (asked, and told it is not there), or *unknown*
/// (could not ask, partial, nonsense, too old) with the reason. A bare `Option` would lose the difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fact<T> {
    /// Read.
    Seen(T, Time),
    /// Asked, and it is not there.
    Absent(Time),
    /// Nobody could tell.
    Unknown(String),
}

impl<T> Fact<T> {
    /// Not asked in this pass.
    pub fn not_asked() -> Self {
        Fact::Unknown("not read in this pass".into())
    }

    /// The value, if it was read.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Fact::Seen(value, _) => Some(value),
            _ => None,
        }
    }

    /// Whether nobody could tell.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Fact::Unknown(_))
    }

    /// Why there is no value; empty if there is one.
    pub fn why(&self) -> &str {
        match self {
            Fact::Unknown(why) if why.is_empty() => "nobody could tell",
            Fact::Unknown(why) => why,
            Fact::Absent(_) => "it is not there",
            Fact::Seen(..) => "",
        }
    }
}
