//! How much one caller may ask for, and how much is done at once. Who asks for more is told when to come again.

use crate::errors::{ApiError, ApiResult, Code};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Callers remembered; beyond, those who have their whole burst again are forgotten.
const MOST_CALLERS: usize = 10_000;

/// How many times as much a service may send: it passes on what many users ask for.
const SERVICE_SHARE: f64 = 10.0;

/// How long a request waits for a place.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests of one caller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// So many a second, on and on.
    pub per_second: u32,
    /// So many at once after a pause.
    pub burst: u32,
}

/// What one request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It may change something.
    Mutate,
    /// It reads.
    Read,
    /// It stays open; watches have a limit of their own.
    Watch,
}

/// What a caller has left.
struct Bucket {
    left: f64,
    at: Instant,
}

pub(crate) struct Limits {
    rate: Option<Rate>,
    callers: Mutex<HashMap<String, Bucket>>,
    mutate: Arc<Semaphore>,
    read: Arc<Semaphore>,
}

impl Limits {
    pub fn new(rate: Option<Rate>, mutate: usize, read: usize) -> Self {
        let places = |n: usize| Arc::new(Semaphore::new(n.clamp(1, Semaphore::MAX_PERMITS)));
        Limits { rate, callers: Mutex::default(), mutate: places(mutate), read: places(read) }
    }

    /// Lets a caller's request in, or says when to come again. `service`: the token has the role of services.
    pub fn caller(&self, user: &str, service: bool, class: Class) -> ApiResult<()> {
        let Some(rate) = self.rate.filter(|_| class != Class::Watch) else { return Ok(()) };
        let share = if service { SERVICE_SHARE } else { 1.0 };
        let (per_second, burst) = (share * f64::from(rate.per_second.max(1)), share * f64::from(rate.burst.max(1)));
        let now = Instant::now();
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let refilled = |b: &Bucket| (b.left + now.duration_since(b.at).as_secs_f64() * per_second).min(burst);
        if callers.len() >= MOST_CALLERS && !callers.contains_key(user) {
            callers.retain(|_, bucket| refilled(bucket) < burst);
        }
        let bucket = callers.entry(user.to_string()).or_insert(Bucket { left: burst, at: now });
        let left = refilled(bucket);
        *bucket = Bucket { left, at: now };
        if left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let wait = ((1.0 - left) / per_second).ceil().max(1.0);
        let detail = format!(
            "You have sent more than {per_second} requests a second, {burst} at once; come again in {wait} s, and send many objects in one request, or raise api.requests_per_second."
        );
        // A whole number: keystoneauth reads a date as 0.
        Err(ApiError::new(Code::RateLimited, detail).retry_after(wait as u32))
    }

    /// A place among the requests that are worked on, waited for a little; given back when dropped.
    pub async fn place(&self, class: Class) -> ApiResult<Option<OwnedSemaphorePermit>> {
        let (places, word) = match class {
            Class::Mutate => (&self.mutate, "changes"),
            Class::Read => (&self.read, "reads"),
            Class::Watch => return Ok(None),
        };
        match tokio::time::timeout(PATIENCE, places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(Some(place)),
            _ => {
                let detail = format!("This server works on as many {word} as it can at once; nothing was done. Try again in a second.");
                Err(ApiError::new(Code::Unavailable, detail).retry_after(Duration::from_secs(1).as_secs() as u32))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_has_a_burst_then_a_rate_and_does_not_hold_up_others() {
        let limits = Limits::new(Some(Rate { per_second: 20, burst: 40 }), 16, 128);
        let ask = |user: &str| limits.caller(user, false, Class::Read).map_err(|e| e.code());
        assert_eq!((0..60).filter(|_| ask("a").is_ok()).count(), 40);
        assert_eq!((ask("a"), ask("b")), (Err(Code::RateLimited), Ok(())));
        assert_eq!(limits.caller("a", false, Class::Watch).map_err(|e| e.code()), Ok(()), "watches are counted elsewhere");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((0..60).filter(|_| ask("a").is_ok()).count(), 20);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!((0..60).filter(|_| ask("a").is_ok()).count(), 40, "a pause saves up one burst and no more");
        let service = (0..600).filter(|_| limits.caller("nova", true, Class::Read).is_ok()).count();
        assert_eq!(service, 400, "a service speaks for many");
        assert!(Limits::new(None, 1, 1).caller("a", false, Class::Mutate).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_callers_are_forgotten_once_they_have_all_they_had() {
        let limits = Limits::new(Some(Rate { per_second: 1, burst: 2 }), 1, 1);
        (0..MOST_CALLERS).for_each(|n| drop(limits.caller(&format!("u{n}"), false, Class::Read)));
        tokio::time::advance(Duration::from_secs(5)).await;
        limits.caller("one more", false, Class::Read).unwrap();
        assert_eq!(limits.callers.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_counted_by_class_waited_for_a_little_and_given_back() {
        let limits = Limits::new(None, 1, 2);
        let held = limits.place(Class::Mutate).await.unwrap();
        assert_eq!(limits.place(Class::Mutate).await.map(drop).map_err(|e| e.code()), Err(Code::Unavailable));
        let reads = [limits.place(Class::Read).await.unwrap(), limits.place(Class::Read).await.unwrap()];
        assert!(limits.place(Class::Read).await.is_err() && limits.place(Class::Watch).await.unwrap().is_none());
        let (waiting, ()) = tokio::join!(limits.place(Class::Mutate), async { drop((held, reads)) });
        assert!(waiting.unwrap().is_some() && limits.place(Class::Read).await.unwrap().is_some());
    }
}
