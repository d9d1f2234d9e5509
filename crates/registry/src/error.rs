//! Why a write was turned down.

use schemas::{FieldError, apply::Conflict};
use store::StoreError;

/// Result of a registry call.
pub type RegistryResult<T> = Result<T, RegistryError>;

/// A write that was turned down; nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// Fields are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))]
    Invalid(Vec<FieldError>),
    /// The update came without the resource version it was read at.
    #[error("metadata.resourceVersion: must be given; read the object, change it, and send it back.")]
    VersionRequired,
    /// Controllers alone write this kind.
    #[error("{0} objects are written by controllers only.")]
    ReadOnly(String),
    /// A precondition of the request does not hold.
    #[error("precondition failed: {0}.")]
    Precondition(String),
    /// Fields that others own would change.
    #[error("{}", conflict(.what, .conflicts))]
    FieldConflict {
        /// `Kind/name`.
        what: String,
        /// The fields, each with its owner.
        conflicts: Vec<Conflict>,
    },
    /// Other objects stand against it.
    #[error("{message}")]
    Refused {
        /// Suffix of the error code: `port-taken`, `operation-in-progress`, `contradicts-spec`, `referenced`, `evacuation-denied`, `wrong-epoch`, …
        code: &'static str,
        /// A sentence with the way out.
        message: String,
        /// The field at fault, if there is one.
        field: Option<String>,
        /// Uid of the object that stands against it, if there is one.
        other: Option<String>,
    },
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FieldError> for RegistryError {
    fn from(error: FieldError) -> Self {
        RegistryError::Invalid(vec![error])
    }
}

fn conflict(what: &str, conflicts: &[Conflict]) -> String {
    let first = conflicts.first().map(ToString::to_string).unwrap_or_default();
    let more = match conflicts.len() {
        0 | 1 => String::new(),
        n => format!(", and {} more", n - 1),
    };
    format!("{what}: {first}{more}; take it over (force=true), leave the field out, or send the value that stands there to share it.")
}
