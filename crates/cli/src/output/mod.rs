//! What is printed: data to standard output, words for people to standard error.

pub mod table;

use ::client::Exit;
use schemas::DynObject;
use serde_json::Value;
use std::io::{ErrorKind, Write};

pub use table::Table;

/// Why a command ends badly: a sentence and an exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The sentence, without `error:`.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into() }
    }

    /// Something the person who typed can mend.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, message)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<::client::Error> for Failure {
    fn from(error: ::client::Error) -> Self {
        Failure::new(error.exit(), error.to_string())
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Failure::usage(error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    /// The server roles' errors: the whole chain in one line; a wrong configuration is a usage error.
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Failure>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        let exit = if error.is::<crate::config::ConfigError>() { Exit::Usage } else { Exit::Internal };
        Failure::new(exit, format!("{error:#}"))
    }
}

/// Writes a line of data. A reader that went away (`| head`) ends the program quietly.
pub fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    match written {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(Exit::Ok as i32),
        Err(e) => {
            note(&format!("error: standard output cannot be written: {e}"));
            std::process::exit(Exit::Internal as i32);
        }
    }
}

/// Writes a line for people. If that is impossible, there is nobody to tell.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// As indented JSON.
pub fn json(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// As YAML, without a line break at the end.
pub fn yaml(value: &Value) -> String {
    yaml_serde::to_string(value).map(|text| text.trim_end().to_string()).unwrap_or_else(|_| value.to_string())
}

/// An object as a JSON value, without who owns which of its fields: that is long, and the server knows it.
pub fn value(object: &DynObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or(Value::Null);
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.shift_remove("managedFields");
    }
    value
}

/// `host/c1`.
pub fn short(kind: &str, name: &str) -> String {
    format!("{}/{name}", kind.to_ascii_lowercase())
}
