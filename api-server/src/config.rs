//! What an operator may set.

use crate::{limits::Rate, tls::TlsFiles};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Settings of the API server; every one has a default.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Certificate and key to speak HTTPS with, and nothing else then; unset: HTTP.
    pub tls: Option<TlsFiles>,
    /// URL under which clients reach this service, without `/v1`. Unset: taken from each request.
    pub public_endpoint: Option<String>,
    /// Proxies whose `Forwarded` and `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Status of `GET /`: 300 as Keystone answers, or 200 for load balancers that take 300 for a failure.
    pub root_status: u16,
    /// Status of a successful host action; the product's documents do not say which they expect.
    pub legacy_action_status: u16,
    /// Where errors are explained; a fragment with the error's code is added. Unset: links hold a URN.
    pub help_url: Option<String>,
    /// How long a valid token is believed without asking Keystone again, in seconds.
    pub token_cache_seconds: u64,
    /// How long an invalid token is remembered, in seconds.
    pub invalid_token_cache_seconds: u64,
    /// Longest request body, in bytes.
    pub max_body_bytes: usize,
    /// Longest time for a request other than a watch.
    pub request_timeout: Duration,
    /// Longest wait for a resource version that this process has not seen yet.
    pub revision_wait: Duration,
    /// Longest time for the headers of a request to arrive; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// How long running requests may take to finish when the server stops.
    pub drain: Duration,
    /// Time between bookmarks of a watch.
    pub bookmark: Duration,
    /// How often the token of an open watch is looked at again.
    pub watch_recheck: Duration,
    /// Open watches one user may have.
    pub max_watches_per_user: usize,
    /// Open watches this process may have.
    pub max_watches: usize,
    /// Requests other than watches that one user may send; unset: as many as they like.
    pub rate: Option<Rate>,
    /// Requests that may change something and are worked on at once.
    pub max_mutating: usize,
    /// Requests that read and are worked on at once.
    pub max_reading: usize,
    /// Whether denied and failed requests, and writes that can disrupt nothing, are recorded, and the file is written. What may
    /// disrupt is always recorded.
    pub audit_enabled: bool,
    /// Whether all reads are recorded.
    pub audit_reads: bool,
    /// File that gets every record as a line of JSON; unset: none does.
    pub audit_file: Option<PathBuf>,
    /// File whose rules replace those in code; unset: none does.
    pub policy_file: Option<PathBuf>,
    /// How often that file is looked at for a change.
    pub policy_recheck: Duration,
}

impl Default for ApiConfig {
    fn default() -> Self {
        ApiConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9362)),
            tls: None,
            public_endpoint: None,
            trusted_proxies: Vec::new(),
            root_status: 300,
            legacy_action_status: 202,
            help_url: None,
            token_cache_seconds: 60,
            invalid_token_cache_seconds: 10,
            max_body_bytes: 3 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            revision_wait: Duration::from_secs(3),
            header_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            bookmark: Duration::from_secs(15),
            watch_recheck: Duration::from_secs(300),
            max_watches_per_user: 20,
            max_watches: 2_000,
            rate: None,
            max_mutating: 16,
            max_reading: 128,
            audit_enabled: true,
            audit_reads: false,
            audit_file: None,
            policy_file: None,
            policy_recheck: Duration::from_secs(2),
        }
    }
}
