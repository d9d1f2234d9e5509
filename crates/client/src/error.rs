//! What can go wrong, in sentences for people and exit codes for programs.

use serde_json::Value;
use std::fmt;

/// Exit codes of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// A condition is false, there is a difference, or the person said no.
    False = 1,
    /// The command, a file or a field is wrong.
    Usage = 2,
    /// The object is not there.
    NotFound = 3,
    /// Not authenticated, or not allowed.
    Auth = 4,
    /// Somebody else was faster, or another object stands in the way.
    Conflict = 5,
    /// It took too long.
    Timeout = 6,
    /// Refused because it would not be safe.
    Safety = 7,
    /// Anything else: unreachable, broken answer, bug.
    Internal = 10,
}

/// One field that an API error complains about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Path of the field; may be empty.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// An error answer of the API: `error{code,title,message}` and `errors[]` in one body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Code without the service prefix, such as `conflict`; empty if the body had none.
    pub code: String,
    /// The sentence meant for people.
    pub message: String,
    /// Stable CamelCase word; empty if the body had none.
    pub reason: String,
    /// Complaints by field.
    pub causes: Vec<Cause>,
    /// `x-openstack-request-id` of the answer; empty if it had none.
    pub request_id: String,
    /// Of a batch: what stands against each object.
    pub items: Vec<Value>,
}

impl ApiError {
    /// Reads an error body. A body that is not ours still gives a sentence with the status.
    pub fn parse(status: u16, request_id: &str, body: &str) -> ApiError {
        let json: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let detail = &json["errors"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let first = |options: [&Value; 3]| options.into_iter().map(text).find(|t| !t.is_empty());
        let message = first([&json["error"]["message"], &detail["detail"], &detail["title"]])
            .unwrap_or_else(|| format!("the server answered {status} without saying why; is this the address of a Cloud Manager API?"));
        let code = text(&detail["code"]);
        let causes = detail["causes"].as_array().into_iter().flatten();
        ApiError {
            status,
            code: code.rsplit_once('.').map_or(code.clone(), |(_, suffix)| suffix.to_string()),
            message,
            reason: text(&detail["reason"]),
            causes: causes.map(|c| Cause { field: text(&c["field"]), message: text(&c["message"]) }).collect(),
            request_id: request_id.to_string(),
            items: json["items"].as_array().cloned().unwrap_or_default(),
        }
    }

    fn exit(&self) -> Exit {
        match (self.status, self.code.as_str()) {
            (_, "policy-evidence") => Exit::Safety,
            (400 | 405 | 406 | 413 | 415, _) => Exit::Usage,
            (401 | 403, _) => Exit::Auth,
            (404, _) => Exit::NotFound,
            (409 | 410 | 412, _) => Exit::Conflict,
            (408 | 504, _) => Exit::Timeout,
            _ => Exit::Internal,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        for cause in &self.causes {
            // A single cause is often the whole message already.
            if !(self.message.contains(&cause.message) && self.message.contains(&cause.field)) {
                write!(f, "\n  {}: {}", cause.field, cause.message)?;
            }
        }
        if self.status >= 500 && !self.request_id.is_empty() {
            write!(f, " (request {})", self.request_id)?;
        }
        Ok(())
    }
}

/// Everything a call can fail with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The API answered with an error.
    Api(Box<ApiError>),
    /// No connection, or it broke.
    Unreachable {
        /// Where to.
        url: String,
        /// What the network said.
        message: String,
        /// The request would have changed something and may have arrived.
        may_have_happened: bool,
    },
    /// No answer in time.
    Timeout {
        /// What was asked.
        what: String,
        /// How long it was waited for.
        seconds: u64,
        /// The request would have changed something and may have arrived.
        may_have_happened: bool,
    },
    /// Keystone said no, or nothing to log in with was given.
    Auth(String),
    /// A file, an option or a variable is wrong.
    Usage(String),
    /// The answer is not what the API promises.
    Answer {
        /// Who answered.
        url: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// The exit code of a command that ends with this error.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Api(e) => e.exit(),
            Error::Timeout { .. } => Exit::Timeout,
            Error::Auth(_) => Exit::Auth,
            Error::Usage(_) => Exit::Usage,
            Error::Unreachable { .. } | Error::Answer { .. } => Exit::Internal,
        }
    }

    /// HTTP status of the API's answer, if it answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Api(e) => Some(e.status),
            _ => None,
        }
    }

    /// Whether the same question may get another answer a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Api(e) => matches!(e.status, 408 | 429 | 500..=599),
            Error::Unreachable { .. } | Error::Timeout { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unsure = |f: &mut fmt::Formatter<'_>, may_have: &bool| match may_have {
            true => write!(f, " The request may have arrived all the same: look at the object before you repeat it."),
            false => Ok(()),
        };
        match self {
            Error::Api(e) => e.fmt(f),
            Error::Auth(message) | Error::Usage(message) => f.write_str(message),
            Error::Answer { url, message } => write!(f, "{url} gave an answer that makes no sense here: {message}."),
            Error::Unreachable { url, message, may_have_happened } => {
                write!(f, "{url} could not be reached: {message}.")?;
                unsure(f, may_have_happened)
            }
            Error::Timeout { what, seconds, may_have_happened } => {
                write!(f, "{what} was not answered within {seconds} s.")?;
                unsure(f, may_have_happened)
            }
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_becomes_its_sentence_its_causes_and_an_exit_code() {
        let body = r#"{"error":{"code":400,"title":"Bad Request","message":"Host c1 is not valid."},
            "errors":[{"code":"cloud-manager.invalid","status":400,"detail":"Host c1 is not valid.","reason":"Invalid",
                       "causes":[{"field":"spec.power","reason":"Invalid","message":"unknown variant `Of`."}]}]}"#;
        let e = ApiError::parse(400, "req-1", body);
        assert_eq!((e.code.as_str(), e.reason.as_str()), ("invalid", "Invalid"));
        assert_eq!(e.to_string(), "Host c1 is not valid.\n  spec.power: unknown variant `Of`.");
        assert_eq!(Error::Api(Box::new(e)).exit(), Exit::Usage);
    }

    #[test]
    fn each_status_has_its_exit_code() {
        let exit = |status: u16, code: &str| {
            let body = format!(r#"{{"error":{{"message":"m"}},"errors":[{{"code":"cloud-manager.{code}"}}]}}"#);
            Error::Api(Box::new(ApiError::parse(status, "", &body))).exit()
        };
        assert_eq!(exit(404, "not-found"), Exit::NotFound);
        assert_eq!(exit(401, ""), Exit::Auth);
        assert_eq!(exit(403, "forbidden"), Exit::Auth);
        assert_eq!(exit(403, "policy-evidence"), Exit::Safety);
        assert_eq!(exit(409, "conflict"), Exit::Conflict);
        assert_eq!(exit(412, "precondition-failed"), Exit::Conflict);
        assert_eq!(exit(504, "timeout"), Exit::Timeout);
        assert_eq!(exit(500, "internal"), Exit::Internal);
    }

    #[test]
    fn an_answer_of_somebody_else_still_gives_a_sentence() {
        let e = ApiError::parse(502, "", "<html>bad gateway</html>");
        assert!(e.to_string().contains("502"), "{e}");
        assert!(!e.to_string().contains("html"), "{e}");
    }

    #[test]
    fn a_lost_answer_to_a_write_says_that_it_may_have_happened() {
        let lost = |may_have_happened| Error::Timeout { what: "PUT /v1/hosts/c1".into(), seconds: 30, may_have_happened }.to_string();
        assert!(lost(true).contains("look at the object before you repeat it"));
        assert!(!lost(false).contains("repeat"));
    }
}
