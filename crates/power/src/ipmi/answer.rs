//! What `ipmitool -v` says, and what it means. The texts are those of ipmitool 1.8.18 and 1.8.19; without `-v` it does
//! not tell a wrong password from a dead BMC.

use crate::Power;

/// Why there is no session. Nothing that could act was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoSession {
    /// The device did not answer at all: another cipher suite will not help.
    Silent,
    /// The name of the device does not resolve.
    NoAddress,
    /// All of its sessions are taken.
    Busy,
    /// User name or password turned away.
    Credentials,
    /// The user may not act as ADMINISTRATOR (with this cipher suite).
    Role,
    /// The cipher suite was turned away.
    Suite,
    /// It does not say why; the cipher suite may be at fault, or the password.
    Unclear,
}

/// `None` if there was a session.
pub(super) fn no_session(stderr: &str) -> Option<NoSession> {
    let text = stderr.to_ascii_lowercase();
    let says = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    if says(&["password is longer than", "username is too long", "user name is too long"]) {
        return Some(NoSession::Credentials);
    }
    if says(&["address lookup for", "could not open socket"]) {
        return Some(NoSession::NoAddress);
    }
    if !says(&["unable to establish"]) {
        return None;
    }
    Some(
        if says(&[
            "rakp 2 hmac is invalid",
            "unauthorized name",
            "invalid name length",
            "invalid user name",
            "invalid integrity check value",
            "password",
        ]) {
            NoSession::Credentials
        } else if says(&["insufficient resources"]) {
            NoSession::Busy
        } else if says(&["unauthorized role", "invalid role", "set session privilege level"]) {
            NoSession::Role
        } else if says(&[
            "invalid authentication algorithm",
            "invalid integrity algorithm",
            "invalid confidentiality algorithm",
            "no cipher suite match",
            "no matching",
            "unsupported cipher suite",
        ]) {
            NoSession::Suite
        } else if says(&["get auth capabilities error", "get channel authentication capabilities"]) {
            NoSession::Silent
        } else {
            NoSession::Unclear
        },
    )
}

/// Only the exact words, and nothing beside them, are believed.
pub(super) fn power(code: i32, stdout: &str) -> Option<Power> {
    match (code, stdout.trim()) {
        (0, "Chassis Power is on") => Some(Power::On),
        (0, "Chassis Power is off") => Some(Power::Off),
        _ => None,
    }
}

/// What became of a command that a session was there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Taken.
    Taken,
    /// Turned down by a completion code that says it was not executed (IPMI 2.0, table 5-2).
    Refused(String),
    /// Neither.
    Unclear,
}

/// Reads the answer to `chassis power on|off|soft`.
pub(super) fn control(code: i32, stdout: &str, stderr: &str) -> Control {
    // Timeout, "response could not be provided" and "unspecified error" are not here: they leave it open.
    const NOT_EXECUTED: [&str; 12] = [
        "Node busy",
        "Invalid command",
        "Invalid command on LUN",
        "Out of space",
        "Request data truncated",
        "Request data length invalid",
        "Request data field length limit exceeded",
        "Parameter out of range",
        "Invalid data field in request",
        "BMC initialization in progress",
        "Insufficient privilege level",
        "Command not supported in present state",
    ];
    if code == 0 {
        return if stdout.trim_start().starts_with("Chassis Power Control: ") { Control::Taken } else { Control::Unclear };
    }
    stderr
        .lines()
        .filter(|line| line.starts_with("Set Chassis Power Control to "))
        .find_map(|line| line.split_once(" failed: "))
        .map(|(_, why)| why.trim())
        .filter(|why| NOT_EXECUTED.contains(why))
        .map_or(Control::Unclear, |why| Control::Refused(why.to_owned()))
}

/// The value of `Name : value` in what `mc guid` and `fru print` say.
pub(super) fn field<'a>(stdout: &'a str, name: &str) -> Option<&'a str> {
    stdout.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// Standard error without what `-v` always says.
pub(super) fn complaint(stderr: &str) -> String {
    const CHATTER: [&str; 4] =
        ["Loading IANA PEN Registry", "Running Get VSO Capabilities", "Invalid completion code received", "Discovered IPMB address"];
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !CHATTER.iter().any(|c| line.starts_with(c))).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = "Error: Unable to establish IPMI v2 / RMCP+ session\n";

    #[test]
    fn the_reason_why_there_is_no_session_is_told_apart() {
        let cases = [
            ("> RAKP 2 HMAC is invalid\n", NoSession::Credentials),
            ("RAKP 2 message indicates an error : unauthorized name\n", NoSession::Credentials),
            ("RAKP 4 message indicates an error : invalid integrity check value\n", NoSession::Credentials),
            ("RAKP 2 message indicates an error : unauthorized role or privilege level requested\n", NoSession::Role),
            ("Set Session Privilege Level to ADMINISTRATOR failed\n", NoSession::Role),
            ("Error in open session response message : invalid authentication algorithm\n\n", NoSession::Suite),
            ("Error in open session response message : no cipher suite match with proposed security algorithms\n\n", NoSession::Suite),
            ("Error in open session response message : insufficient resources for session\n\n", NoSession::Busy),
            ("Get Auth Capabilities error\nError issuing Get Channel Authentication Capabilities request\n", NoSession::Silent),
            ("Address lookup for bmc.invalid failed\nCould not open socket!\n", NoSession::NoAddress),
            ("Error: no response from RAKP 1 message\n", NoSession::Unclear),
            ("", NoSession::Unclear),
        ];
        for (text, reason) in cases {
            assert_eq!(no_session(&format!("Loading IANA PEN Registry...\n{text}{FAILED}")), Some(reason), "{text}");
        }
        assert_eq!(no_session("lanplus: password is longer than 20 bytes.\n"), Some(NoSession::Credentials));
        assert_eq!(no_session("Set Chassis Power Control to Down/Off failed: Node busy\n"), None);
    }

    #[test]
    fn only_the_exact_words_are_a_power_state() {
        assert_eq!(power(0, "Chassis Power is on\n"), Some(Power::On));
        assert_eq!(power(0, "Chassis Power is off\n"), Some(Power::Off));
        for other in
            ["", "off", "Chassis Power is off?", "chassis power is off", "Chassis Power is unknown", "Chassis Power is on\nChassis Power is off\n"]
        {
            assert_eq!(power(0, other), None, "{other}");
        }
        assert_eq!(power(1, "Chassis Power is off\n"), None);
    }

    #[test]
    fn a_completion_code_that_leaves_it_open_is_not_a_refusal() {
        let failed = |why: &str| control(1, "", &format!("Set Chassis Power Control to Down/Off failed: {why}\n"));
        assert_eq!(failed("Insufficient privilege level"), Control::Refused("Insufficient privilege level".into()));
        for open in ["Unspecified error", "Timeout", "Command response could not be provided", "Unknown (0x80)"] {
            assert_eq!(failed(open), Control::Unclear, "{open}");
        }
        assert_eq!(control(1, "", "Unable to set Chassis Power Control to Down/Off\n"), Control::Unclear);
        assert_eq!(control(0, "Chassis Power Control: Down/Off\n", ""), Control::Taken);
        assert_eq!(control(0, "", ""), Control::Unclear);
    }

    #[test]
    fn the_guid_and_the_serial_are_found_in_the_tables() {
        let guid = "System GUID   : efcdab89-6745-23a1-efcd-ab89674523a1\nGUID Encoding : IPMI\n";
        assert_eq!(field(guid, "System GUID"), Some("efcdab89-6745-23a1-efcd-ab89674523a1"));
        assert_eq!(field(" Chassis Serial        : 1\n Product Serial        : A:2\n", "Product Serial"), Some("A:2"));
        assert_eq!(field(guid, "Product Serial"), None);
    }

    #[test]
    fn what_verbose_always_says_is_no_complaint() {
        assert_eq!(
            complaint(&format!("Loading IANA PEN Registry...\n> RAKP 2 HMAC is invalid\n{FAILED}")),
            "> RAKP 2 HMAC is invalid; Error: Unable to establish IPMI v2 / RMCP+ session"
        );
    }
}
