//! What a device said, made fit for a message.

use secrecy::{ExposeSecret, SecretString};

/// Characters of a device's own words that go into a message.
const LONGEST: usize = 300;

/// One line, without control characters, not too long, and without the password should the device echo it.
pub(crate) fn clean(raw: &str, password: &SecretString) -> String {
    let password = password.expose_secret();
    let without = if password.is_empty() { raw.to_owned() } else { raw.replace(password, "***") };
    let printable: String = without.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = printable.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A UUID in lower case; `None` for anything else and for the placeholders that many machines share, which identify none.
pub(crate) fn uuid(raw: &str) -> Option<String> {
    const AMI_DEFAULT: &str = "03000200-0400-0500-0006-000700080009";
    let uuid = raw.trim().to_ascii_lowercase();
    let shape = uuid.len() == 36 && uuid.char_indices().all(|(i, c)| if matches!(i, 8 | 13 | 18 | 23) { c == '-' } else { c.is_ascii_hexdigit() });
    let same = |digit: char| uuid.chars().all(|c| c == digit || c == '-');
    (shape && !same('0') && !same('f') && uuid != AMI_DEFAULT).then_some(uuid)
}

/// A serial number; `None` for the empty ones and the factory's placeholders.
pub(crate) fn serial(raw: &str) -> Option<String> {
    const PLACEHOLDERS: [&str; 9] =
        ["none", "null", "n/a", "unknown", "not specified", "not available", "default string", "to be filled by o.e.m.", "system serial number"];
    let serial = raw.trim();
    let meaningless = serial.chars().all(|c| !c.is_alphanumeric() || c == '0') || serial.eq_ignore_ascii_case("0123456789");
    (!meaningless && !PLACEHOLDERS.contains(&serial.to_ascii_lowercase().as_str())).then(|| serial.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_the_device_echoes_is_not_repeated() {
        let password = SecretString::from("hunter2");
        assert_eq!(clean("bad\r\n\tpassword hunter2!", &password), "bad password ***!");
    }

    #[test]
    fn a_long_answer_is_cut_at_a_character() {
        let text = clean(&"ä".repeat(1000), &SecretString::from(""));
        assert_eq!(text.chars().count(), LONGEST + 1);
    }

    #[test]
    fn placeholders_identify_no_machine() {
        for shared in
            ["00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "03000200-0400-0500-0006-000700080009", "", "böse"]
        {
            assert_eq!(uuid(shared), None, "{shared}");
        }
        assert_eq!(uuid(" 4C4C4544-0042-3510-8052-B4C04F4D5A32\n").as_deref(), Some("4c4c4544-0042-3510-8052-b4c04f4d5a32"));
        for shared in ["", "  ", "0000000", "To Be Filled By O.E.M.", "0123456789", "N/A"] {
            assert_eq!(serial(shared), None, "{shared}");
        }
        assert_eq!(serial(" 5GB5RM2 ").as_deref(), Some("5GB5RM2"));
    }
}
