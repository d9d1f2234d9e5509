//! Whose token is this: what keystonemiddleware does for Python services.

use crate::{
    ApiConfig,
    errors::{ApiError, ApiResult, Code},
};
use axum::http::{HeaderMap, header};
use cloud::{CloudError, Identity, TokenInfo};
use engine::Clock;
use moka::{Expiry, future::Cache};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Tokens remembered.
const CAPACITY: u64 = 10_000;
/// Keystone's own tokens are far shorter; what is longer is not asked for.
const MAX_TOKEN: usize = 8 * 1024;
/// Longest wait for Keystone; well inside the time of a request, so that the client gets its 503.
const KEYSTONE_DEADLINE: Duration = Duration::from_secs(15);

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub info: Arc<TokenInfo>,
    /// Kept for watches, which look at it again. `SecretString` shows itself in no log.
    pub token: SecretString,
}

#[derive(Clone)]
enum Verdict {
    /// Keystone vouches for it; how long to remember that.
    Valid(Arc<TokenInfo>, Duration),
    /// Keystone does not know it; how long to remember that.
    Invalid(Duration),
}

struct Lifetime;

impl Expiry<[u8; 32], Verdict> for Lifetime {
    fn expire_after_create(&self, _: &[u8; 32], verdict: &Verdict, _: Instant) -> Option<Duration> {
        match verdict {
            Verdict::Valid(_, keep) | Verdict::Invalid(keep) => Some(*keep),
        }
    }
}

pub(crate) struct Auth {
    identity: Arc<dyn Identity>,
    clock: Arc<dyn Clock>,
    cache: Cache<[u8; 32], Verdict>,
    keep_valid: Duration,
    keep_invalid: Duration,
}

impl Auth {
    pub fn new(config: &ApiConfig, identity: Arc<dyn Identity>, clock: Arc<dyn Clock>) -> Self {
        Auth {
            identity,
            clock,
            cache: Cache::builder().max_capacity(CAPACITY).expire_after(Lifetime).build(),
            keep_valid: Duration::from_secs(config.token_cache_seconds),
            keep_invalid: Duration::from_secs(config.invalid_token_cache_seconds),
        }
    }

    /// The caller of a request with these headers; 401 if there is none, 503 if Keystone cannot tell.
    pub async fn caller(&self, headers: &HeaderMap) -> ApiResult<Caller> {
        let token = headers.get("x-auth-token").and_then(|v| v.to_str().ok()).filter(|t| !t.is_empty());
        let Some(token) = token else { return Err(self.unauthorized()) };
        match self.check(token).await? {
            Some(info) => Ok(Caller { info, token: SecretString::from(token) }),
            None => Err(self.unauthorized()),
        }
    }

    /// Whether a caller's token is still good; an error if Keystone cannot tell.
    pub async fn still_valid(&self, caller: &Caller) -> ApiResult<bool> {
        Ok(self.check(caller.token.expose_secret()).await?.is_some())
    }

    async fn check(&self, token: &str) -> ApiResult<Option<Arc<TokenInfo>>> {
        if token.len() > MAX_TOKEN {
            return Ok(None);
        }
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        // Many requests with one token at once ask Keystone once; errors are not remembered.
        let verdict = self.cache.try_get_with(key, self.ask(token)).await.map_err(|error| cannot_tell(&error))?;
        match verdict {
            // Looked at on every use: what is remembered may have run out since.
            Verdict::Valid(info, _) if info.expires_at > self.clock.now() => Ok(Some(info)),
            Verdict::Valid(..) | Verdict::Invalid(_) => Ok(None),
        }
    }

    async fn ask(&self, token: &str) -> Result<Verdict, CloudError> {
        let late = |_| CloudError::Unknown {
            what: "keystone: validation of a token".into(),
            detail: format!("no answer within {} s", KEYSTONE_DEADLINE.as_secs()),
            request_id: None,
        };
        let answer = tokio::time::timeout(KEYSTONE_DEADLINE, self.identity.validate(token)).await.map_err(late)??;
        Ok(match answer {
            Some(info) => {
                let left = u64::try_from(info.expires_at.millis_since(self.clock.now())).unwrap_or(0);
                Verdict::Valid(Arc::new(info), self.keep_valid.min(Duration::from_millis(left)))
            }
            None => Verdict::Invalid(self.keep_invalid),
        })
    }

    /// Body and header as keystonemiddleware has them: clients log in again only if they see these.
    fn unauthorized(&self) -> ApiError {
        ApiError::new(Code::Unauthorized, "The request you have made requires authentication.")
            .header(header::WWW_AUTHENTICATE, &format!("Keystone uri=\"{}\"", self.identity.public_url()))
    }
}

/// Keystone is the broken one: 503 and never 401, which would send every client to log in at it.
fn cannot_tell(error: &CloudError) -> ApiError {
    tracing::warn!(%error, "a token could not be validated");
    let answer = ApiError::new(Code::Unavailable, "Keystone could not be asked whether the token is valid; try again later.");
    match error {
        CloudError::NotSent { retry_after: Some(wait), .. } => answer.retry_after(u32::try_from(wait.as_secs()).unwrap_or(60)),
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use cloud::CloudResult;
    use schemas::Time;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Knows the token `good` until second 100, does not answer for `down`.
    #[derive(Default)]
    struct Keystone {
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Identity for Keystone {
        async fn validate(&self, token: &str) -> CloudResult<Option<TokenInfo>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            match token {
                "good" => Ok(Some(TokenInfo {
                    user_id: "u".into(),
                    user_name: "u".into(),
                    project_id: Some("p".into()),
                    system_scope: false,
                    is_admin_project: false,
                    roles: vec![],
                    expires_at: Time(100_000_000),
                })),
                "down" => Err(CloudError::Unknown { what: "keystone".into(), detail: "500".into(), request_id: None }),
                _ => Ok(None),
            }
        }

        fn public_url(&self) -> String {
            "http://keystone:5000".into()
        }
    }

    struct Hands(std::sync::atomic::AtomicI64);

    impl Clock for Hands {
        fn now(&self) -> Time {
            Time(self.0.load(Ordering::SeqCst))
        }
    }

    fn fixture(seconds: i64) -> (Auth, Arc<Keystone>, Arc<Hands>) {
        let (keystone, clock) = (Arc::new(Keystone::default()), Arc::new(Hands((seconds * 1_000_000).into())));
        (Auth::new(&ApiConfig::default(), keystone.clone(), clock.clone()), keystone, clock)
    }

    #[tokio::test]
    async fn keystone_is_asked_once_for_many_requests_with_one_token() {
        let (auth, keystone, _) = fixture(0);
        let many = futures::future::join_all((0..50).map(|_| auth.check("good"))).await;
        assert!(many.into_iter().all(|r| r.unwrap().is_some()));
        assert!(auth.check("bad").await.unwrap().is_none() && auth.check("bad").await.unwrap().is_none());
        assert_eq!(keystone.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_remembered_token_is_good_only_until_it_expires() {
        let (auth, _, clock) = fixture(0);
        assert!(auth.check("good").await.unwrap().is_some());
        clock.0.store(100_000_000, Ordering::SeqCst);
        assert!(auth.check("good").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_keystone_that_cannot_tell_is_asked_again_and_is_never_a_401() {
        let (auth, keystone, _) = fixture(0);
        for _ in 0..2 {
            assert_eq!(auth.check("down").await.unwrap_err().code(), Code::Unavailable);
        }
        assert_eq!(keystone.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_token_is_shown_in_no_debug_output() {
        let (auth, _, _) = fixture(0);
        let mut headers = HeaderMap::new();
        headers.insert("x-auth-token", "good".parse().unwrap());
        let caller = auth.caller(&headers).await.unwrap();
        assert!(!format!("{caller:?}").contains("good"));
    }
}
