//! Why a call gave no answer, split by what may have happened.

use std::time::Duration;

/// Result of a call.
pub type CloudResult<T> = Result<T, CloudError>;

/// A call that gave no usable answer. "Not there" is not an error: reads of one thing give `Option`.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CloudError {
    /// Never left this machine, or was turned away before it could act: DNS, connect, TLS, no token, 429.
    #[error("{what}: could not be sent: {detail}")]
    NotSent {
        /// The call.
        what: String,
        /// Why.
        detail: String,
        /// The remote asked to wait this long.
        retry_after: Option<Duration>,
    },
    /// The remote understood and said no (4xx); nothing happened.
    #[error("{what}: refused with {status}: {detail}{}", request_id.as_ref().map(|r| format!(" ({r})")).unwrap_or_default())]
    Refused {
        /// The call.
        what: String,
        /// HTTP status.
        status: u16,
        /// The remote's words.
        detail: String,
        /// The remote's request id.
        request_id: Option<String>,
    },
    /// Sent, and no answer that tells what happened: time-out, connection lost, 5xx, nonsense.
    #[error("{what}: no usable answer: {detail}{}", request_id.as_ref().map(|r| format!(" ({r})")).unwrap_or_default())]
    Unknown {
        /// The call.
        what: String,
        /// Why.
        detail: String,
        /// The remote's request id.
        request_id: Option<String>,
    },
}

impl CloudError {
    /// Whether the call may have had an effect.
    pub fn may_have_acted(&self) -> bool {
        matches!(self, CloudError::Unknown { .. })
    }

    /// HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            CloudError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The remote's request id, if it gave one.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            CloudError::Refused { request_id, .. } | CloudError::Unknown { request_id, .. } => request_id.as_deref(),
            CloudError::NotSent { .. } => None,
        }
    }
}
