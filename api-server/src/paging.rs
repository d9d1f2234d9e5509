//! `continue` tokens: where the next page begins, bound to the kind and the selectors.

use crate::errors::{ApiError, ApiResult, Code};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use schemas::Time;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// How long a token may be used, in seconds.
const LIFETIME: i64 = 600;
const MAC_BYTES: usize = 32;

/// What a token holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Continue {
    /// Format of this token.
    v: u8,
    /// Kind and selectors it belongs to.
    query: String,
    /// Key of the last item given.
    pub after: String,
    /// Revision of the first page.
    pub revision: i64,
    /// When the first page was given, in microseconds.
    pub issued: i64,
}

/// Makes and reads tokens. The key follows from the cluster's identity, so that every API server
/// reads every other's: a forger gains no more than choosing where a page begins.
pub(crate) struct Pager {
    key: Vec<u8>,
}

impl Pager {
    pub fn new(cluster_uuid: &str) -> Self {
        Pager { key: format!("cloud-manager continue {cluster_uuid}").into_bytes() }
    }

    fn mac(&self, text: &[u8]) -> Option<Hmac<Sha256>> {
        // A key of any length fits HMAC.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(text);
        Some(mac)
    }

    /// A token for the page after `after`.
    pub fn token(&self, query: &str, after: &str, revision: i64, issued: Time) -> String {
        let body = Continue { v: 1, query: query.into(), after: after.into(), revision, issued: issued.0 };
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let mut bytes = self.mac(&text).map(|m| m.finalize().into_bytes().to_vec()).unwrap_or_default();
        bytes.extend(text);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token. One that is too old is 410 with a fresh token that goes on from the same
    /// place, without the promise that watching from the first page's revision misses nothing.
    pub fn read(&self, token: &str, query: &str, compacted: i64, current: i64, now: Time) -> ApiResult<Continue> {
        let wrong = |why: &str| ApiError::invalid("continue", format!("{why}; leave it out to begin anew."));
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong("is not a token of this API"))?;
        let (mac, text) = bytes.split_at_checked(MAC_BYTES).ok_or_else(|| wrong("is not a token of this API"))?;
        let genuine = self.mac(text).is_some_and(|m| m.verify_slice(mac).is_ok());
        let body: Option<Continue> = genuine.then(|| serde_json::from_slice(text).ok()).flatten();
        let body = body.filter(|b| b.v == 1).ok_or_else(|| wrong("is not a token of this API"))?;
        if body.query != query {
            return Err(wrong("belongs to another kind or other selectors"));
        }
        if now.seconds_since(Time(body.issued)) > LIFETIME || body.revision < compacted {
            let fresh = self.token(query, &body.after, current, now);
            let detail = "The continue token is too old; begin anew, or go on with the fresh token in this error if gaps do not matter.";
            return Err(ApiError::new(Code::ContinueExpired, detail).with("continue", fresh));
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_700_000_000_000_000);

    #[test]
    fn a_token_reads_back_on_every_server_of_the_cluster_and_on_no_other() {
        let token = Pager::new("a").token("Host", "c7", 42, NOW);
        let read = Pager::new("a").read(&token, "Host", 0, 50, NOW).unwrap();
        assert_eq!((read.after.as_str(), read.revision), ("c7", 42));
        assert!(Pager::new("b").read(&token, "Host", 0, 50, NOW).is_err());
    }

    #[test]
    fn a_changed_token_or_query_is_refused() {
        let pager = Pager::new("a");
        let token = pager.token("Host", "c7", 42, NOW);
        assert_eq!(pager.read(&token, "Host rack=a", 0, 50, NOW).unwrap_err().code(), Code::Invalid);
        for bad in ["", "!!", "abcd", &token[1..], &format!("{token}AA")] {
            assert_eq!(pager.read(bad, "Host", 0, 50, NOW).unwrap_err().code(), Code::Invalid, "{bad}");
        }
    }

    #[test]
    fn an_old_token_is_410_with_a_fresh_one_that_goes_on_from_the_same_place() {
        let pager = Pager::new("a");
        let token = pager.token("Host", "c7", 42, NOW);
        let later = NOW.plus_seconds(601);
        for (compacted, now) in [(0, later), (43, NOW)] {
            let error = pager.read(&token, "Host", compacted, 99, now).unwrap_err();
            assert_eq!(error.code(), Code::ContinueExpired);
            let body = error.body("r", None);
            let fresh = body["errors"][0]["continue"].as_str().unwrap();
            let read = pager.read(fresh, "Host", compacted, 99, now).unwrap();
            assert_eq!((read.after.as_str(), read.revision), ("c7", 99));
        }
    }

    proptest::proptest! {
        /// Nothing but what was given out is taken, whatever is sent.
        #[test]
        fn no_other_text_is_a_token(text in "\\PC{0,200}", after in "[a-z0-9.-]{1,40}", at in 0..200usize, byte in proptest::prelude::any::<u8>()) {
            let pager = Pager::new("a");
            proptest::prop_assert!(pager.read(&text, "Host", 0, 50, NOW).is_err());
            let token = pager.token("Host", &after, 42, NOW);
            proptest::prop_assert_eq!(pager.read(&token, "Host", 0, 50, NOW).unwrap().after, after);
            let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
            let at = at % bytes.len();
            proptest::prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            proptest::prop_assert!(pager.read(&URL_SAFE_NO_PAD.encode(bytes), "Host", 0, 50, NOW).is_err());
        }
    }
}
