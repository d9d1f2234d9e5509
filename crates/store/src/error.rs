//! Why a store call failed, split by what the caller has to do.

/// Result of a store call.
pub type StoreResult<T> = Result<T, StoreError>;

/// A failed store call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Compare-and-set lost: read again and decide anew.
    #[error("{what} was changed by someone else (now at resourceVersion {current}); read it again")]
    Conflict {
        /// `Kind/name`.
        what: String,
        /// Version in the database.
        current: i64,
    },
    /// The name is taken.
    #[error("{0} exists already")]
    AlreadyExists(String),
    /// There is no such object.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Another process leads: nothing was written, stop acting.
    #[error("the lease token {mine} is no longer valid (the row holds {current}); another controller leads")]
    LeaseLost {
        /// Token the write carried.
        mine: i64,
        /// Token in the database.
        current: i64,
    },
    /// Another object disrupts the host (S11).
    #[error("host {host} is claimed by {owner}")]
    Claimed {
        /// The host.
        host: String,
        /// `Kind/name` of the claim's object.
        owner: String,
    },
    /// A budget is used up.
    #[error("{what}: the limit of {max} is reached")]
    LimitReached {
        /// Which budget.
        what: String,
        /// Its size.
        max: i64,
    },
    /// The cluster is frozen.
    #[error("the cluster is frozen (ClusterPolicy default, spec.operations)")]
    Frozen,
    /// The revision asked for was compacted away.
    #[error("revision {asked} is too old; history begins after {compacted}")]
    Compacted {
        /// Revision asked for.
        asked: i64,
        /// Oldest revision that is gone.
        compacted: i64,
    },
    /// The database cannot be used now; nothing was written.
    #[error("the database cannot be used: {0}")]
    Unavailable(String),
    /// Two transactions were in each other's way and this one gave way; nothing was written.
    #[error("the database is busy: {0}")]
    Contended(String),
    /// The database takes no writes: a standby, a failover, or somebody's setting; nothing was written.
    #[error("the database is read-only: {0}")]
    ReadOnly(String),
    /// The settings of the database make no sense.
    #[error("{0}")]
    Config(String),
    /// The deadline passed or the connection broke during a write: it may have been committed.
    #[error("it is not known whether the database took the write: {0}")]
    OutcomeUnknown(String),
    /// The schema does not fit this binary.
    #[error("{0}")]
    Schema(String),
    /// A row makes no sense.
    #[error("the database holds something that makes no sense: {0}")]
    Corrupt(String),
    /// A secret could not be sealed or opened.
    #[error("{0}")]
    Key(String),
}

impl StoreError {
    /// Whether the same call may be made again as it is.
    pub fn is_retryable(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::Contended(_) | StoreError::ReadOnly(_))
    }

    /// Whether the connection that gave this answer still works: the answer is about what is stored.
    pub(crate) fn is_about_data(&self) -> bool {
        use StoreError::*;
        !matches!(self, Unavailable(_) | ReadOnly(_) | OutcomeUnknown(_) | Schema(_) | Config(_))
    }

    /// Names the database in errors that are about it.
    pub(crate) fn at(self, place: &str) -> Self {
        use StoreError::*;
        let named = |why: String| if why.starts_with(place) { why } else { format!("{place}: {why}") };
        match self {
            Unavailable(why) => Unavailable(named(why)),
            Contended(why) => Contended(named(why)),
            ReadOnly(why) => ReadOnly(named(why)),
            OutcomeUnknown(why) => OutcomeUnknown(named(why)),
            Schema(why) => Schema(named(why)),
            other => other,
        }
    }
}
