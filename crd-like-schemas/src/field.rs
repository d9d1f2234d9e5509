//! What is wrong with one field, said so that it can be mended.

use serde::{Deserialize, Serialize};

/// One complaint about one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Path of the field, such as `spec.power`.
    pub field: String,
    /// Stable CamelCase word: `Required`, `Invalid`, `UnknownField`, `Immutable`, `NotFound`, …
    pub reason: String,
    /// One sentence that says what to do.
    pub message: String,
}

impl FieldError {
    /// A complaint.
    pub fn new(field: impl Into<String>, reason: &str, message: impl Into<String>) -> Self {
        FieldError { field: field.into(), reason: reason.into(), message: message.into() }
    }

    /// `reason` = `Invalid`.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(field, "Invalid", message)
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Pushes an error unless `min <= value <= max`.
pub fn check_range(errors: &mut Vec<FieldError>, field: &str, value: i64, min: i64, max: i64) {
    if value < min || value > max {
        errors.push(FieldError::invalid(field, format!("{value} is out of range; use {min} to {max}.")));
    }
}

/// What a name looks like, for schemas; [`check_name`] refuses the form of a UUID besides.
pub const NAME_PATTERN: &str = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$";

/// The same, or nothing at all.
pub const NAME_OR_NOTHING_PATTERN: &str = "^([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)?$";

/// Pushes an error unless `name` is a legal object name (api: letters, digits, `.`, `_`, `-`; not a UUID).
pub fn check_name(errors: &mut Vec<FieldError>, field: &str, name: &str) {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let legal = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if name.is_empty() {
        errors.push(FieldError::new(field, "Required", "must be given."));
    } else if !legal || name.len() > 253 || !edge(name.chars().next()) || !edge(name.chars().last()) {
        errors.push(FieldError::invalid(
            field,
            format!("{name:?} is not a name: use 1 to 253 letters, digits, '.', '_' or '-', beginning and ending with a letter or digit."),
        ));
    } else if is_uuid(name) {
        errors.push(FieldError::invalid(field, "must not have the form of a UUID, which would be taken for a uid."));
    }
}

/// Whether `text` has the form 8-4-4-4-12 hex digits.
pub fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == 5 && parts.iter().zip([8, 4, 4, 4, 12]).all(|(p, n)| p.len() == n && p.bytes().all(|b| b.is_ascii_hexdigit()))
}
