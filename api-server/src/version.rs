//! Microversions: `OpenStack-API-Version: cloud-manager 1.0`.

use crate::errors::{ApiError, ApiResult, Code};
use axum::http::{HeaderMap, HeaderName};

/// Our type in Keystone's catalogue, and our name in the version header.
pub const SERVICE_TYPE: &str = "cloud-manager";
/// Oldest microversion spoken.
pub const MIN_VERSION: Microversion = Microversion(1, 0);
/// Newest microversion spoken.
pub const MAX_VERSION: Microversion = Microversion(1, 0);

pub(crate) const HEADER: HeaderName = HeaderName::from_static("openstack-api-version");

/// A microversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microversion(pub u32, pub u32);

impl std::fmt::Display for Microversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

fn number(text: &str) -> Option<u32> {
    let legal = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if legal { text.parse().ok() } else { None }
}

/// The version a request asks for; the oldest if it does not say. The header may name several
/// services, of which the others are not ours to judge.
pub(crate) fn negotiate(headers: &HeaderMap) -> ApiResult<Microversion> {
    let malformed = |text: &str| {
        ApiError::new(
            Code::MicroversionMalformed,
            format!("OpenStack-API-Version: {text:?} is not a version; write \"{SERVICE_TYPE} {MAX_VERSION}\" or \"{SERVICE_TYPE} latest\"."),
        )
    };
    let mut wanted = None;
    for value in headers.get_all(HEADER) {
        let text = value.to_str().map_err(|_| malformed("?"))?;
        for part in text.split(',') {
            let mut words = part.split_whitespace();
            if words.next() != Some(SERVICE_TYPE) {
                continue;
            }
            let (Some(version), None) = (words.next(), words.next()) else { return Err(malformed(part.trim())) };
            let version = match version.split_once('.') {
                _ if version == "latest" => MAX_VERSION,
                Some((major, minor)) => match (number(major), number(minor)) {
                    (Some(major), Some(minor)) => Microversion(major, minor),
                    _ => return Err(malformed(part.trim())),
                },
                None => return Err(malformed(part.trim())),
            };
            if wanted.is_some_and(|w| w != version) {
                return Err(malformed(text));
            }
            wanted = Some(version);
        }
    }
    let version = wanted.unwrap_or(MIN_VERSION);
    if version < MIN_VERSION || version > MAX_VERSION {
        let detail = format!("API version {version} is not spoken here; use {MIN_VERSION} to {MAX_VERSION}.");
        return Err(ApiError::new(Code::MicroversionUnsupported, detail)
            .with("min_version", MIN_VERSION.to_string())
            .with("max_version", MAX_VERSION.to_string()));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_absent_exact_latest_malformed_too_high_or_for_another_service() {
        let ask = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, value.parse().unwrap());
            }
            negotiate(&headers).map_err(|e| e.code())
        };
        assert_eq!(ask(&[]), Ok(MIN_VERSION));
        for good in ["cloud-manager 1.0", "cloud-manager latest", "compute 2.93", "compute 2.93, cloud-manager 1.0", ""] {
            assert_eq!(ask(&[good]), Ok(MAX_VERSION), "{good}");
        }
        for bad in [
            "cloud-manager",
            "cloud-manager 1",
            "cloud-manager 1.x",
            "cloud-manager 01.0",
            "cloud-manager 1.0 x",
            "cloud-manager 1.",
            "cloud-manager +1.0",
        ] {
            assert_eq!(ask(&[bad]), Err(Code::MicroversionMalformed), "{bad}");
        }
        assert_eq!(ask(&["cloud-manager 1.0", "cloud-manager 1.1"]), Err(Code::MicroversionMalformed));
        for unknown in ["cloud-manager 1.99", "cloud-manager 0.9", "cloud-manager 2.0"] {
            assert_eq!(ask(&[unknown]), Err(Code::MicroversionUnsupported), "{unknown}");
        }
    }
}
