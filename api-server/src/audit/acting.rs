//! Who acts in the request that is being answered. It goes with the task, so that no handler can forget it.

use crate::{call::Peer, request_id::RequestId};
use axum::http::{Method, header, request::Parts};
use cloud::TokenInfo;
use schemas::DynObject;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

tokio::task_local! {
    /// The request whose handler runs.
    pub(crate) static ACTING: Arc<Acting>;
}

/// Most characters kept of what a client says of itself.
const MOST_SAID: usize = 200;

/// One request, as far as the audit is concerned.
#[derive(Debug)]
pub(crate) struct Acting {
    pub method: Method,
    /// Without the query.
    pub path: String,
    pub peer: Option<SocketAddr>,
    pub agent: String,
    pub request_id: String,
    pub global_id: Option<String>,
    /// Set once Keystone has vouched for the token.
    pub who: OnceLock<Arc<TokenInfo>>,
    body: OnceLock<String>,
    /// Objects as the handler read them, to tell what a write changes.
    seen: Mutex<HashMap<(String, String), DynObject>>,
}

impl Acting {
    pub fn of(parts: &Parts) -> Acting {
        let said = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        Acting {
            method: parts.method.clone(),
            path: parts.uri.path().to_string(),
            peer: parts.extensions.get::<Peer>().map(|p| p.0),
            agent: line(said(header::USER_AGENT)),
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
            global_id: crate::request_id::global(&parts.headers).map(str::to_string),
            who: OnceLock::new(),
            body: OnceLock::new(),
            seen: Mutex::default(),
        }
    }

    /// SHA-256 of the body, once it was read; the body itself is kept nowhere.
    pub fn body(&self) -> Option<&str> {
        self.body.get().map(String::as_str)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), DynObject>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an object as it was read.
    pub fn saw(&self, object: &DynObject) {
        self.lock().insert((object.kind.clone(), object.metadata.name.clone()), object.clone());
    }

    /// An object as it was read last.
    pub fn seen(&self, kind: &str, name: &str) -> Option<DynObject> {
        self.lock().get(&(kind.to_string(), name.to_string())).cloned()
    }
}

/// Remembers what body the request came with.
pub(crate) fn body_read(bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    // Open routes act for nobody.
    let _ = ACTING.try_with(|acting| {
        let hash: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        acting.body.set(hash)
    });
}

/// One short line: what others send goes into records and logs.
pub(super) fn line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MOST_SAID).collect()
}
