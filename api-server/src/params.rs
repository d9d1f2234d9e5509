//! Query parameters: each route lists the ones it knows, any other is an error.

use crate::errors::{ApiError, ApiResult, Code};
use axum::{extract::Query, http::Uri};

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Parses the query; refuses names that are not in `known`, and repeats.
    pub fn parse(uri: &Uri, known: &[&str]) -> ApiResult<Params> {
        if uri.query().unwrap_or_default().is_empty() {
            return Ok(Params::default());
        }
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(ApiError::new(Code::Malformed, "The query of the URL cannot be read."));
        };
        for (i, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let hint = if known.is_empty() { "none is taken here".into() } else { format!("known here: {}", known.join(", ")) };
                return Err(ApiError::new(Code::UnknownParameter, format!("Query parameter {name:?} is not known; {hint}.")));
            }
            if pairs[..i].iter().any(|(other, _)| other == name) {
                return Err(ApiError::invalid(name, "is given twice."));
            }
        }
        Ok(Params(pairs))
    }

    /// The value of a parameter; empty counts as not given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// Whether a parameter is given, even empty.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    pub fn flag(&self, name: &str) -> ApiResult<Option<bool>> {
        match self.get(name) {
            None if self.has(name) => Ok(Some(true)),
            None => Ok(None),
            Some("1" | "true") => Ok(Some(true)),
            Some("0" | "false") => Ok(Some(false)),
            Some(other) => Err(ApiError::invalid(name, format!("{other:?} is not a flag; use true or false."))),
        }
    }

    pub fn number(&self, name: &str) -> ApiResult<Option<i64>> {
        let wrong = |v: &str| ApiError::invalid(name, format!("{v:?} is not a whole number of 0 or more."));
        self.get(name).map(|v| v.parse::<i64>().ok().filter(|n| *n >= 0).ok_or_else(|| wrong(v))).transpose()
    }

    /// `dryRun=All`: everything is done but the write.
    pub fn dry_run(&self) -> ApiResult<bool> {
        self.all("dryRun")
    }

    /// Whether a parameter is given that knows one value only, `All`.
    pub fn all(&self, name: &str) -> ApiResult<bool> {
        match self.get(name) {
            None if !self.has(name) => Ok(false),
            Some("All") => Ok(true),
            other => Err(ApiError::invalid(name, format!("{:?} is not known; use All, or leave it out.", other.unwrap_or_default()))),
        }
    }

    /// `limit`: default 500, at most 1000.
    pub fn limit(&self) -> ApiResult<usize> {
        match self.number("limit")? {
            None => Ok(DEFAULT_LIMIT),
            Some(0) => Err(ApiError::invalid("limit", "must be at least 1.")),
            Some(n) => Ok(usize::try_from(n).unwrap_or(MAX_LIMIT).min(MAX_LIMIT)),
        }
    }

    /// All pairs but these, as a query to build links with.
    pub fn without(&self, names: &[&str]) -> Vec<(&str, &str)> {
        self.0.iter().filter(|(n, _)| !names.contains(&n.as_str())).map(|(n, v)| (n.as_str(), v.as_str())).collect()
    }
}

const DEFAULT_LIMIT: usize = 500;
const MAX_LIMIT: usize = 1_000;

/// Writes a query string.
pub(crate) fn query_string(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(&escape(name));
        text.push('=');
        text.push_str(&escape(value));
    }
    text
}

/// Percent-escapes all but RFC 3986's unreserved characters.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'~' => escaped.push(byte as char),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> ApiResult<Params> {
        Params::parse(&format!("/v1/hosts{query}").parse().unwrap(), &["limit", "watch", "labelSelector"])
    }

    #[test]
    fn what_is_not_known_or_given_twice_is_an_error() {
        assert_eq!(parse("?limits=1").unwrap_err().code(), Code::UnknownParameter);
        assert_eq!(parse("?limit=1&limit=2").unwrap_err().code(), Code::Invalid);
        assert_eq!(parse("?labelSelector=a%3Db%2Cc").unwrap().get("labelSelector"), Some("a=b,c"));
    }

    #[test]
    fn a_limit_is_between_one_and_a_thousand() {
        assert_eq!(parse("").unwrap().limit().unwrap(), 500);
        assert_eq!(parse("?limit=99999999999").unwrap().limit().unwrap(), 1_000);
        for bad in ["0", "-1", "x", "1.5"] {
            assert_eq!(parse(&format!("?limit={bad}")).unwrap().limit().unwrap_err().code(), Code::Invalid, "{bad}");
        }
    }

    #[test]
    fn a_query_is_written_so_that_it_reads_back_the_same() {
        let uri = format!("/v1/hosts{}", query_string(&[("labelSelector", "a in (b, ü&c)"), ("limit", "5")]));
        let params = Params::parse(&uri.parse().unwrap(), &["labelSelector", "limit"]).unwrap();
        assert_eq!(params.get("labelSelector"), Some("a in (b, ü&c)"));
    }

    proptest::proptest! {
        /// Any query is read or refused, and what is written from pairs reads back as these.
        #[test]
        fn any_query_is_read_or_refused(query in "\\PC{0,100}", limit in "\\PC{1,40}", labels in "\\PC{1,40}") {
            if let Ok(uri) = format!("/v1/hosts?{query}").parse() {
                let _ = Params::parse(&uri, &["limit"]);
            }
            let uri = format!("/v1/hosts{}", query_string(&[("limit", &limit), ("labelSelector", &labels)])).parse().unwrap();
            let params = Params::parse(&uri, &["limit", "labelSelector"]).unwrap();
            proptest::prop_assert_eq!((params.get("limit"), params.get("labelSelector")), (Some(limit.as_str()), Some(labels.as_str())));
        }
    }
}
