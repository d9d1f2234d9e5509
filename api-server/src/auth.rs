//! Whose token is this: what keystonemiddleware does for Python services.

use crate::{
    ApiConfig, access_rules,
    errors::{ApiError, ApiResult, Code},
};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use cloud::{CloudError, Identity, TokenInfo};
use engine::Clock;
use moka::{Expiry, future::Cache};
use schemas::Time;
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

/// The role of a service that may pass on a user's token after its end.
const SERVICE_ROLE: &str = "service";

/// Whether a token is a service's.
pub(crate) fn is_service(info: &TokenInfo) -> bool {
    info.roles.iter().any(|role| role == SERVICE_ROLE)
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub info: Arc<TokenInfo>,
    /// Kept for watches, which look at it again. `SecretString` shows itself in no log.
    token: SecretString,
    /// Token of the service that passes the request on.
    service: Option<SecretString>,
    /// Until when what was shown is good.
    pub until: Time,
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

/// What is remembered of a token is remembered for the way in which it was asked for.
fn key(token: &str, allow_expired: bool) -> [u8; 32] {
    Sha256::new_with_prefix([u8::from(allow_expired)]).chain_update(token).finalize().into()
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

    /// The caller of a request; 401 if there is none, 503 if Keystone cannot tell. A token that has ended is good where a service
    /// passes it on with a token of its own in `X-Service-Token`: what a user began may take longer than the user's token lives.
    pub async fn caller(&self, headers: &HeaderMap, method: &Method, path: &str) -> ApiResult<Caller> {
        let header = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).filter(|t| !t.is_empty());
        let Some(token) = header("x-auth-token") else { return Err(self.unauthorized()) };
        let service = match headers.contains_key("x-service-token") {
            true => Some(self.service(header("x-service-token").unwrap_or_default()).await?.ok_or_else(|| self.unauthorized())?),
            false => None,
        };
        let info = self.check(token, service.is_some()).await?.ok_or_else(|| self.unauthorized())?;
        // As keystonemiddleware: a service acts within what the user began, whatever that credential is bound to.
        let bound = info.access_rules.as_ref().filter(|_| service.is_none());
        if bound.is_some_and(|rules| !access_rules::permit(rules, method, path)) {
            return Err(self.unauthorized());
        }
        let until = service.as_ref().map_or(info.expires_at, |(_, info_of_service)| info.expires_at.max(info_of_service.expires_at));
        Ok(Caller { info, token: SecretString::from(token), service: service.map(|(token, _)| token), until })
    }

    /// A service's token, if it is good and of a service.
    async fn service(&self, token: &str) -> ApiResult<Option<(SecretString, Arc<TokenInfo>)>> {
        let info = self.check(token, false).await?.filter(|info| is_service(info));
        Ok(info.map(|info| (SecretString::from(token), info)))
    }

    /// Whether what a caller showed is still good; an error if Keystone cannot tell.
    pub async fn still_valid(&self, caller: &Caller) -> ApiResult<bool> {
        let passed_on = match &caller.service {
            Some(token) => self.service(token.expose_secret()).await?.is_some(),
            None => false,
        };
        Ok(self.check(caller.token.expose_secret(), passed_on).await?.is_some())
    }

    async fn check(&self, token: &str, allow_expired: bool) -> ApiResult<Option<Arc<TokenInfo>>> {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Ok(None);
        }
        // Many requests with one token at once ask Keystone once; errors are not remembered.
        let asked = self.cache.try_get_with(key(token, allow_expired), self.ask(token, allow_expired));
        match asked.await.map_err(|error| cannot_tell(&error))? {
            // Looked at on every use: what is remembered may have run out since.
            Verdict::Valid(info, _) if allow_expired || info.expires_at > self.clock.now() => Ok(Some(info)),
            Verdict::Valid(..) | Verdict::Invalid(_) => Ok(None),
        }
    }

    async fn ask(&self, token: &str, allow_expired: bool) -> Result<Verdict, CloudError> {
        let late = |_| CloudError::Unknown {
            what: "keystone: validation of a token".into(),
            detail: format!("no answer within {} s", KEYSTONE_DEADLINE.as_secs()),
            request_id: None,
        };
        let answer = tokio::time::timeout(KEYSTONE_DEADLINE, self.identity.validate(token, allow_expired)).await.map_err(late)??;
        Ok(match answer {
            Some(info) => {
                let left = u64::try_from(info.expires_at.millis_since(self.clock.now())).unwrap_or(0);
                let keep = if allow_expired { self.keep_valid } else { self.keep_valid.min(Duration::from_millis(left)) };
                Verdict::Valid(Arc::new(info), keep)
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
    use cloud::{AccessRule, CloudResult};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Knows the tokens `good` and `service` until second 100 (`good` also later, if asked for so), does not answer for `down`.
    #[derive(Default)]
    struct Keystone {
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Identity for Keystone {
        async fn validate(&self, token: &str, _: bool) -> CloudResult<Option<TokenInfo>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            match token {
                "good" | "service" | "bound" => Ok(Some(TokenInfo {
                    user_id: token.into(),
                    user_name: "u".into(),
                    project_id: Some("p".into()),
                    system_scope: false,
                    is_admin_project: false,
                    roles: vec![token.into()],
                    expires_at: Time(if token == "service" { 200_000_000 } else { 100_000_000 }),
                    access_rules: (token == "bound")
                        .then(|| vec![AccessRule { service: "cloud-manager".into(), method: "GET".into(), path: "/v1/hosts".into() }]),
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
        let many = futures::future::join_all((0..50).map(|_| auth.check("good", false))).await;
        assert!(many.into_iter().all(|r| r.unwrap().is_some()));
        assert!(auth.check("bad", false).await.unwrap().is_none() && auth.check("bad", false).await.unwrap().is_none());
        assert_eq!(keystone.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_remembered_token_is_good_only_until_it_expires() {
        let (auth, _, clock) = fixture(0);
        assert!(auth.check("good", false).await.unwrap().is_some());
        clock.0.store(100_000_000, Ordering::SeqCst);
        assert!(auth.check("good", false).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_keystone_that_cannot_tell_is_asked_again_and_is_never_a_401() {
        let (auth, keystone, _) = fixture(0);
        for _ in 0..2 {
            assert_eq!(auth.check("down", false).await.unwrap_err().code(), Code::Unavailable);
        }
        assert_eq!(keystone.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_token_is_shown_in_no_debug_output() {
        let (auth, _, _) = fixture(0);
        let caller = ask(&auth, Method::GET, "/v1/hosts", "service", Some("service")).await.unwrap();
        assert!(!format!("{:?} {:?}", caller.token, caller.service).contains("service"));
    }

    async fn ask(auth: &Auth, method: Method, path: &str, token: &str, service: Option<&str>) -> ApiResult<Caller> {
        let mut headers = HeaderMap::new();
        headers.insert("x-auth-token", token.parse().unwrap());
        if let Some(token) = service {
            headers.insert("x-service-token", token.parse().unwrap());
        }
        auth.caller(&headers, &method, path).await
    }

    #[tokio::test]
    async fn a_token_that_has_ended_is_good_where_a_service_passes_it_on() {
        let (auth, _, clock) = fixture(150);
        let asked = async |service| ask(&auth, Method::GET, "/v1/hosts", "good", service).await;
        assert_eq!(asked(Some("service")).await.unwrap().until, Time(200_000_000));
        for wrong in [None, Some("good"), Some("bad"), Some("")] {
            assert_eq!(asked(wrong).await.unwrap_err().code(), Code::Unauthorized, "{wrong:?}");
        }
        let caller = asked(Some("service")).await.unwrap();
        assert!(auth.still_valid(&caller).await.unwrap());
        clock.0.store(200_000_000, Ordering::SeqCst);
        assert!(!auth.still_valid(&caller).await.unwrap());
    }

    #[tokio::test]
    async fn a_bad_service_token_spoils_a_good_token() {
        let (auth, ..) = fixture(0);
        for wrong in ["bad", "good", ""] {
            assert_eq!(ask(&auth, Method::GET, "/v1/hosts", "good", Some(wrong)).await.unwrap_err().code(), Code::Unauthorized, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_bound_credential_is_good_for_its_requests_only() {
        let (auth, ..) = fixture(0);
        let may = async |method, path, service| ask(&auth, method, path, "bound", service).await.is_ok();
        assert!(may(Method::GET, "/v1/hosts", None).await);
        assert!(
            !may(Method::POST, "/v1/hosts", None).await
                && !may(Method::GET, "/v1/hosts/c1", None).await
                && !may(Method::HEAD, "/v1/hosts", None).await
        );
        assert!(may(Method::POST, "/v1/hosts", Some("service")).await);
    }

    proptest::proptest! {
        /// No two tokens share what is remembered, nor the two ways in which one is asked for.
        #[test]
        fn what_is_remembered_belongs_to_one_token(a in "\\PC{0,60}", b in "\\PC{0,60}") {
            proptest::prop_assert_eq!(key(&a, true) == key(&b, true), a == b);
            proptest::prop_assert!(key(&a, true) != key(&b, false));
        }
    }
}
