//! The one authenticated session.

use super::CallObserver;
use super::config::{Auth, CloudConfig, ConfigError, Timeouts};
use super::http::Service;
use super::keystone::{Keystone, SessionAuth, http_url, v3_root};
use openstack::InterfaceType;
use openstack::session::Session;
use reqwest::Client;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A cloud, over HTTP. Clones share the session, its token and what was learnt of the cloud.
#[derive(Clone)]
pub struct OpenStack {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) keystone: Arc<Keystone>,
    /// With the number of the token its endpoints were looked up under.
    session: Mutex<(u64, Session)>,
    /// For changing calls: gives up connecting early, so that they leave soon or not at all.
    pub(super) changes: Client,
    pub(super) timeouts: Timeouts,
    pub(super) observer: Option<Arc<dyn CallObserver>>,
    pub(super) region: Option<String>,
    pub(super) public_auth_url: Option<String>,
    pub(super) versions: tokio::sync::Mutex<Option<(tokio::time::Instant, (u32, u32))>>,
}

impl std::fmt::Debug for OpenStack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenStack({})", self.inner.keystone.root)
    }
}

impl OpenStack {
    /// Prepares the session. Nothing is sent: a Keystone that is down is told by each call (`NotSent`).
    ///
    /// # Errors
    /// A wrong URL, interface or CA file, by its name.
    pub async fn connect(config: CloudConfig) -> Result<OpenStack, ConfigError> {
        OpenStack::connect_with(config, None).await
    }

    /// As `connect`, with an observer of all calls.
    ///
    /// # Errors
    /// As `connect`.
    pub async fn connect_with(config: CloudConfig, observer: Option<Arc<dyn CallObserver>>) -> Result<OpenStack, ConfigError> {
        let invalid = |name: &str, detail: String| ConfigError::Invalid { name: name.to_owned(), file: None, detail };
        let limits = config.timeouts;
        let client = client_of(&config, limits.connect)?;
        let changes = client_of(&config, limits.connect.min(limits.change_start / 2))?;
        let keystone = Keystone::new(&config.auth, client.clone(), config.timeouts.call, observer.clone()).map_err(|e| invalid("auth.url", e))?;
        let keystone = Arc::new(keystone);
        let interface = InterfaceType::from_str(&config.interface)
            .map_err(|_| invalid("interface", format!("\"{}\" is not one of public, internal, admin", config.interface)))?;
        let mut session = Session::new_with_client(client, SessionAuth(keystone.clone()))
            .await
            .map_err(|e| invalid("auth", e.to_string()))?
            .with_endpoint_interface(interface);
        if let Some(region) = &config.region {
            session.set_region(region.clone());
        }
        for (service, name, url) in
            [(Service::Compute, "compute_endpoint", &config.compute_endpoint), (Service::Placement, "placement_endpoint", &config.placement_endpoint)]
        {
            if let Some(url) = url {
                session.set_endpoint_override(service, http_url(url).map_err(|e| invalid(name, e))?);
            }
        }
        Ok(OpenStack {
            inner: Arc::new(Inner {
                keystone,
                session: Mutex::new((0, session)),
                changes,
                timeouts: limits,
                observer,
                region: config.region,
                public_auth_url: config.public_auth_url,
                versions: tokio::sync::Mutex::new(None),
            }),
        })
    }

    /// Logs in with other credentials from now on, at the same Keystone.
    ///
    /// # Errors
    /// The URL is another one: tokens, endpoints and whose tokens are valid hang on it, so that needs a new session.
    pub fn set_login(&self, auth: &Auth) -> Result<(), ConfigError> {
        let invalid = |detail: String| ConfigError::Invalid { name: "auth.url".to_owned(), file: None, detail };
        if v3_root(&auth.url).map_err(invalid)? != self.inner.keystone.root {
            return Err(invalid("another Keystone needs a restart".to_owned()));
        }
        self.inner.keystone.replace(auth.credentials.clone());
        Ok(())
    }

    /// The session, with the endpoints of this token's catalogue. The session keeps endpoints for ever,
    /// so a new token makes it look them up anew: a service may have moved.
    pub(super) fn session(&self, token: u64) -> Session {
        let mut held = self.inner.session.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != token {
            held.0 = token;
            held.1.set_auth_type(SessionAuth(self.inner.keystone.clone()));
        }
        held.1.clone()
    }
}

fn client_of(config: &CloudConfig, connect: Duration) -> Result<Client, ConfigError> {
    let mut builder = Client::builder()
        .user_agent(concat!("cloud-manager/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect)
        // A redirect would carry our token to another host, and repeat a changing call.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        // The system's store only; osauth's feature would add a built-in one.
        .tls_built_in_webpki_certs(false);
    if let Some(file) = &config.ca_file {
        for certificate in authorities(file)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|e| ConfigError::Invalid { name: "TLS".to_owned(), file: config.ca_file.clone(), detail: e.to_string() })
}

fn authorities(file: &Path) -> Result<Vec<reqwest::Certificate>, ConfigError> {
    let wrong = |detail: String| ConfigError::File { file: file.to_owned(), detail };
    let pem = std::fs::read(file).map_err(|e| wrong(format!("the CA file cannot be read: {e}")))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong("the CA file has no certificate in PEM form".to_owned())),
        Err(e) => Err(wrong(format!("the CA file is not PEM: {e}"))),
    }
}
