//! Addresses: of the API, and of an object in it.

use crate::Error;

/// Path of an object; characters that a path cannot hold are escaped.
pub(crate) fn object_path(plural: &str, name: &str) -> Result<String, Error> {
    // These would be another path, even escaped.
    if matches!(name, "" | "." | "..") {
        return Err(Error::Usage(format!("'{name}' is not the name of an object.")));
    }
    let mut path = format!("/v1/{plural}/");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'~' => path.push(byte as char),
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    Ok(path)
}

/// Checks an endpoint and takes `/` and `/v1` off its end.
pub(crate) fn normalise(endpoint: &str) -> Result<String, Error> {
    let trimmed = endpoint.trim().trim_end_matches('/');
    let base = trimmed.strip_suffix("/v1").unwrap_or(trimmed).trim_end_matches('/');
    let legal = reqwest::Url::parse(base).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
    if legal { Ok(base.to_string()) } else { Err(Error::Usage(format!("'{endpoint}' is no endpoint; write http://HOST:9362 or https://HOST:9362."))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_taken_with_and_without_v1() {
        for text in ["http://h:9362", "http://h:9362/", "http://h:9362/v1", "http://h:9362/v1/"] {
            assert_eq!(normalise(text).unwrap(), "http://h:9362");
        }
        assert!(normalise("h:9362").unwrap_err().to_string().contains("http://HOST:9362"));
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(object_path("hosts", "c-1.x_y").unwrap(), "/v1/hosts/c-1.x_y");
        assert_eq!(object_path("hosts", "../a?b/c").unwrap(), "/v1/hosts/..%2Fa%3Fb%2Fc");
        assert!(object_path("hosts", "..").is_err());
    }
}
