//! One way out: every call to Nova, Placement and Keystone goes through `send`, which decides what an
//! answer, or none, says about what happened.

use super::{OpenStack, decode, keystone, retry};
use crate::CloudError;
use openstack::session::ServiceType;
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// A larger answer is nonsense, not a list.
const MAX_BODY: usize = 256 * 1024 * 1024;

/// What can be called. No discovery by osauth: it would follow the `self` link of a version document,
/// which often names an internal host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Compute,
    Placement,
    Identity,
}

impl ServiceType for Service {
    fn catalog_type(&self) -> &'static str {
        match self {
            Service::Compute => "compute",
            Service::Placement => "placement",
            Service::Identity => "identity",
        }
    }

    fn version_discovery_supported(&self) -> bool {
        false
    }
}

impl Service {
    /// Name in messages and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Service::Compute => "nova",
            Service::Placement => "placement",
            Service::Identity => "keystone",
        }
    }
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) service: Service,
    /// For metrics; few values.
    pub(super) kind: &'static str,
    /// For messages, such as `nova: evacuate of server X to c2`.
    pub(super) what: String,
    pub(super) method: Method,
    pub(super) path: Vec<&'a str>,
    pub(super) query: Vec<(String, String)>,
    /// Microversion.
    pub(super) version: Option<(u32, u32)>,
    pub(super) headers: Vec<(&'static str, reqwest::header::HeaderValue)>,
    pub(super) body: Option<Value>,
    /// When it was asked for.
    pub(super) since: Instant,
}

impl<'a> Call<'a> {
    pub(super) fn get(service: Service, kind: &'static str, what: String, path: Vec<&'a str>) -> Call<'a> {
        Call {
            service,
            kind,
            what,
            method: Method::GET,
            path,
            query: Vec::new(),
            version: None,
            headers: Vec::new(),
            body: None,
            since: Instant::now(),
        }
    }

    /// A call that changes something.
    pub(super) fn change(method: Method, service: Service, kind: &'static str, what: String, path: Vec<&'a str>, body: Value) -> Call<'a> {
        Call { method, body: Some(body), ..Call::get(service, kind, what, path) }
    }
}

/// A successful answer.
pub(super) struct Reply {
    what: String,
    pub(super) request_id: Option<String>,
    body: Result<Vec<u8>, String>,
}

impl Reply {
    /// An error of this answer: it came, and cannot be used.
    pub(super) fn nonsense(&self, detail: impl Into<String>) -> CloudError {
        CloudError::Unknown { what: self.what.clone(), detail: detail.into(), request_id: self.request_id.clone() }
    }

    pub(super) fn json(&self) -> Result<Value, CloudError> {
        let body = self.body.as_ref().map_err(|lost| self.nonsense(lost.clone()))?;
        serde_json::from_slice(body).map_err(|e| self.nonsense(format!("the answer is not whole JSON: {e}")))
    }
}

/// A failed call, with what is needed to decide on another try.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: CloudError,
    /// May pass by itself; after that long if the remote said so.
    again: Option<Option<Duration>>,
    /// The body was a JSON object: the service itself spoke, not something in between.
    pub(super) spoken: bool,
}

impl Failure {
    pub(super) fn not_sent(what: &str, detail: impl Into<String>) -> Failure {
        let error = CloudError::NotSent { what: what.to_owned(), detail: detail.into(), retry_after: None };
        Failure { error, again: None, spoken: false }
    }

    /// An error that another try would not change, or that was tried again already.
    pub(super) fn lasting(error: CloudError) -> Failure {
        Failure { error, again: None, spoken: false }
    }

    pub(super) fn transient(mut self, after: Option<Duration>) -> Failure {
        if let CloudError::NotSent { retry_after, .. } = &mut self.error {
            *retry_after = after;
        }
        self.again = Some(after);
        self
    }

    /// The service itself said that the thing is not there.
    pub(super) fn is_absence(&self) -> bool {
        self.spoken && self.error.status() == Some(404)
    }
}

impl From<Failure> for CloudError {
    fn from(failure: Failure) -> CloudError {
        failure.error
    }
}

/// Whatever came back.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: reqwest::header::HeaderMap,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Result<Vec<u8>, String>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    fn request_id(&self) -> Option<String> {
        self.header("x-openstack-request-id").or_else(|| self.header("x-compute-request-id")).map(str::to_owned)
    }

    pub(super) fn fault_text(&self) -> String {
        let Ok(body) = &self.body else { return "(the body was lost)".to_owned() };
        decode::fault(body).unwrap_or_else(|| match decode::short(&String::from_utf8_lossy(body)) {
            text if text.is_empty() => "(empty body)".to_owned(),
            text => text,
        })
    }
}

/// No answer.
pub(super) struct Lost {
    /// The request may have reached the remote.
    pub(super) sent: bool,
    pub(super) detail: String,
}

/// Sends once and reads the answer whole. The request carries its own time limit.
pub(super) async fn exchange(request: RequestBuilder) -> Result<Answer, Lost> {
    let mut response = request.send().await.map_err(|e| Lost { sent: !(e.is_connect() || e.is_builder()), detail: chain(&e) })?;
    let headers = response.headers().clone();
    let retry_after = headers.get("retry-after").and_then(|v| v.to_str().ok()).and_then(wait_of);
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    let body = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > MAX_BODY => {
                break Err(format!("the answer is over {MAX_BODY} bytes"));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break Ok(bytes),
            Err(e) => break Err(format!("the answer broke off: {}", chain(&e))),
        }
    };
    Ok(Answer { status, headers, retry_after, body })
}

/// `Retry-After`: seconds, or an HTTP date (RFC 9110, 10.2.3).
fn wait_of(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let when = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    let left = when.as_second() - jiff::Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
}

/// An error with its causes, which is where reqwest keeps "connection refused".
fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { format!("timed out: {error}") } else { error.to_string() };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

impl OpenStack {
    /// Makes a call. GETs are repeated as `retry` says; anything else is sent at most once, but for a 401,
    /// which comes before the remote does anything: then the token is renewed once and the call repeated.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Reply, Failure> {
        let limits = self.inner.timeouts;
        if call.method != Method::GET {
            return self.attempt(&call, call.since + limits.change_start / 2, call.since + limits.call).await;
        }
        let call = &call;
        retry::reads(limits.read_total, |end| async move {
            let deadline = end.min(Instant::now() + limits.call);
            self.attempt(call, deadline, deadline).await.map_err(|failure| match failure.again {
                Some(retry_after) => backoff::Error::Transient { err: failure, retry_after },
                None => backoff::Error::Permanent(failure),
            })
        })
        .await
    }

    /// Sends before `start_by` or not at all, and is over by `deadline`.
    async fn attempt(&self, call: &Call<'_>, start_by: Instant, deadline: Instant) -> Result<Reply, Failure> {
        let late = || Failure::not_sent(&call.what, "it took too long to get a token and an endpoint; try again").transient(None);
        let mut renewed = false;
        loop {
            let token = self.inner.keystone.token(start_by, &call.what).await?;
            let request = tokio::time::timeout_at(start_by, self.request(call, token.number)).await.map_err(|_| late())??;
            if Instant::now() >= start_by {
                return Err(late());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let started = Instant::now();
            let outcome = exchange(request.timeout(left)).await;
            let turned_away = matches!(&outcome, Ok(answer) if answer.status == 401);
            let result = judge(call, outcome);
            if let Some(observer) = &self.inner.observer {
                observer.call(call.service.name(), call.kind, word(&result), keystone::millis(started));
            }
            if turned_away {
                self.inner.keystone.forget(&token);
                if !renewed {
                    renewed = true;
                    continue;
                }
            }
            return result;
        }
    }

    async fn request(&self, call: &Call<'_>, token: u64) -> Result<RequestBuilder, Failure> {
        let session = self.session(token);
        let not_sent = |detail: String| Failure::not_sent(&call.what, detail);
        let mut url = match call.service {
            Service::Identity => self.inner.keystone.root.clone(),
            service => session.get_endpoint(service, osauth::client::NO_PATH).await.map_err(|e| not_sent(e.to_string()))?,
        };
        if call.service == Service::Compute {
            url = nova_root(url);
        }
        // `.` and `..` would be swallowed by the URL and another thing be called.
        if let Some(bad) = call.path.iter().find(|s| [".", ".."].contains(s)) {
            return Err(not_sent(format!("\"{bad}\" is not an id")));
        }
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(&call.path)),
            Err(()) => return Err(not_sent("the endpoint cannot have a path".to_owned())),
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let http = if call.method == Method::GET { session.client().inner() } else { &self.inner.changes };
        let mut request = http.request(call.method.clone(), url);
        if let Some((major, minor)) = call.version {
            request = request.header("openstack-api-version", format!("{} {major}.{minor}", call.service.catalog_type()));
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value.clone());
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        session.auth_type().authenticate(http, request).await.map_err(|e| not_sent(e.to_string()))
    }
}

/// What an outcome says about what happened.
fn judge(call: &Call<'_>, outcome: Result<Answer, Lost>) -> Result<Reply, Failure> {
    let what = call.what.clone();
    let read = call.method == Method::GET;
    let answer = match outcome {
        Ok(answer) => answer,
        Err(lost) if !lost.sent => return Err(Failure::not_sent(&what, lost.detail).transient(None)),
        Err(lost) => {
            let error = CloudError::Unknown { what, detail: lost.detail, request_id: None };
            return Err(Failure { error, again: Some(None), spoken: false });
        }
    };
    let request_id = answer.request_id();
    if (200..300).contains(&answer.status) {
        return Ok(Reply { what, request_id, body: answer.body });
    }
    let fault = answer.fault_text();
    let spoken = answer.body.as_ref().is_ok_and(|b| serde_json::from_slice::<serde_json::Map<String, Value>>(b).is_ok());
    let with_id = |text: String| match &request_id {
        Some(id) => format!("{text} ({id})"),
        None => text,
    };
    let service = call.service.name();
    match answer.status {
        401 => {
            Err(Failure::not_sent(&what, with_id(format!("{service} does not accept our token: {fault}; see whether {service} and Keystone agree"))))
        }
        429 => Err(Failure::not_sent(&what, with_id(format!("{service} answered 429: {fault}"))).transient(answer.retry_after)),
        503 if read && answer.retry_after.is_some() => {
            Err(Failure::not_sent(&what, with_id(format!("{service} answered 503: {fault}"))).transient(answer.retry_after))
        }
        // 408 is a proxy that lost patience: what it had passed on is not known.
        status @ 400..=499 if status != 408 => {
            Err(Failure { error: CloudError::Refused { what, status, detail: fault, request_id }, again: None, spoken })
        }
        status @ 300..=399 => {
            let to = answer.header("location").unwrap_or("nowhere");
            let detail = format!("{service} redirects ({status}) to {to}; put the right URL into the catalogue, or override the endpoint");
            Err(Failure { error: CloudError::Unknown { what, detail, request_id }, again: None, spoken })
        }
        status => {
            let error = CloudError::Unknown { what, detail: format!("{service} answered {status}: {fault}"), request_id };
            Err(Failure { error, again: (status >= 500 || status == 408).then_some(answer.retry_after), spoken })
        }
    }
}

fn word(result: &Result<Reply, Failure>) -> &'static str {
    match result.as_ref().map_err(|f| &f.error) {
        Ok(_) => "ok",
        Err(CloudError::NotSent { .. }) => "not_sent",
        Err(CloudError::Refused { .. }) => "refused",
        Err(CloudError::Unknown { .. }) => "unknown",
    }
}

/// Nova's v2.1 root: a catalogue may name it bare, with `/v2.1` or `/v2`, and with a project id behind.
fn nova_root(mut url: Url) -> Url {
    url.set_query(None);
    let mut kept: Vec<String> = url.path_segments().into_iter().flatten().filter(|s| !s.is_empty()).map(str::to_owned).collect();
    if let Some(at) = kept.iter().position(|s| ["v2.1", "v2"].contains(&s.as_str())) {
        kept.truncate(at);
    }
    kept.push("v2.1".to_owned());
    url.set_path(&kept.join("/"));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn novas_root_is_found_whatever_the_catalogue_says() {
        for (given, root) in [
            ("http://n:8774", "http://n:8774/v2.1"),
            ("http://n:8774/v2.1/", "http://n:8774/v2.1"),
            ("http://n:8774/v2.1/d9ccc3bc4354416abcfc8f9ef5696096", "http://n:8774/v2.1"),
            ("http://n:8774/v2/d9ccc3bc4354416abcfc8f9ef5696096", "http://n:8774/v2.1"),
            ("https://cloud/compute", "https://cloud/compute/v2.1"),
            ("https://cloud/compute/v2.1", "https://cloud/compute/v2.1"),
        ] {
            assert_eq!(nova_root(Url::parse(given).unwrap()).as_str(), root);
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        assert_eq!(wait_of("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait_of("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(wait_of("Sat, 21 Oct 2079 07:28:00 GMT").unwrap() > Duration::from_secs(3600));
        assert_eq!(wait_of("soon"), None);
    }
}
