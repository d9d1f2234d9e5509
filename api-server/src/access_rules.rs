//! Access rules of application credentials: which requests such a token is good for, as keystonemiddleware has it.

use crate::version::SERVICE_TYPE;
use axum::http::Method;
use cloud::AccessRule;

/// Whether one of the rules is about this request to this service. The path is compared as it was sent, without its query.
pub(crate) fn permit(rules: &[AccessRule], method: &Method, path: &str) -> bool {
    rules.iter().any(|rule| rule.service == SERVICE_TYPE && rule.method == method.as_str() && fits(&parts(&rule.path), path.as_bytes()))
}

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// `*` or `{name}`: one or more of anything but a slash.
    Segment,
    /// `**`: anything, also nothing.
    Rest,
}

fn parts(pattern: &str) -> Vec<Part> {
    let (mut parts, mut rest) = (Vec::new(), pattern.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let name = rest.iter().position(|b| *b == b'}').filter(|_| *first == b'{');
        (parts, rest) = match name {
            Some(end) => (with(parts, Part::Segment), &rest[end + 1..]),
            None if rest.starts_with(b"**") => (with(parts, Part::Rest), &rest[2..]),
            None if *first == b'*' => (with(parts, Part::Segment), after),
            None => (with(parts, Part::Byte(*first)), after),
        };
    }
    parts
}

fn with(mut parts: Vec<Part>, part: Part) -> Vec<Part> {
    parts.push(part);
    parts
}

/// Goes through the path once for each part, so that no pattern takes long.
fn fits(parts: &[Part], path: &[u8]) -> bool {
    // Whether the parts so far may end before each byte.
    let mut ends = vec![false; path.len() + 1];
    ends[0] = true;
    for part in parts {
        let mut next = vec![false; path.len() + 1];
        for at in 0..=path.len() {
            next[at] = match part {
                Part::Byte(byte) => at > 0 && ends[at - 1] && path[at - 1] == *byte,
                Part::Segment => at > 0 && path[at - 1] != b'/' && (ends[at - 1] || next[at - 1]),
                Part::Rest => ends[at] || at > 0 && next[at - 1],
            };
        }
        ends = next;
    }
    ends[path.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(service: &str, method: &str, path: &str) -> AccessRule {
        AccessRule { service: service.into(), method: method.into(), path: path.into() }
    }

    #[test]
    fn a_pattern_stands_for_the_paths_that_keystone_says_it_does() {
        for (pattern, path, want) in [
            ("/v1/hosts", "/v1/hosts", true),
            ("/v1/hosts", "/v1/hosts/c1", false),
            ("/v1/hosts/*", "/v1/hosts/c1", true),
            ("/v1/hosts/*", "/v1/hosts/", false),
            ("/v1/hosts/*", "/v1/hosts/c1/events", false),
            ("/v1/hosts/{name}/events", "/v1/hosts/c1/events", true),
            ("/v1/**", "/v1/hosts/c1/events", true),
            ("/v1/**/events", "/v1/hosts/c1/events", true),
            ("**", "", true),
            ("/v1/{hosts", "/v1/{hosts", true),
            ("/v1/h*s", "/v1/hosts", true),
            ("", "/v1", false),
        ] {
            assert_eq!(fits(&parts(pattern), path.as_bytes()), want, "{pattern} {path}");
        }
    }

    #[test]
    fn service_method_and_path_must_all_fit() {
        let rules = [rule("cloud-manager", "GET", "/v1/hosts"), rule("compute", "POST", "**")];
        assert!(permit(&rules, &Method::GET, "/v1/hosts"));
        assert!(!permit(&rules, &Method::POST, "/v1/hosts") && !permit(&rules, &Method::HEAD, "/v1/hosts") && !permit(&rules, &Method::GET, "/v1"));
        assert!(!permit(&[], &Method::GET, "/v1/hosts"));
    }

    proptest::proptest! {
        /// A pattern without signs of its own is itself alone, and no pattern fails.
        #[test]
        fn any_pattern_can_be_compared_with_any_path(pattern in "[a-z/*{}]{0,40}", path in "[a-z/]{0,40}") {
            let fit = fits(&parts(&pattern), path.as_bytes());
            if !pattern.contains(['*', '{']) {
                proptest::prop_assert_eq!(fit, pattern == path);
            }
            proptest::prop_assert!(fits(&parts("**"), path.as_bytes()));
        }
    }
}
