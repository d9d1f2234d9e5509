//! What every handler has at hand.

use crate::{
    ApiConfig,
    audit::{Audited, Auditor},
    auth::Auth,
    handlers::watch::Watches,
    limits::Limits,
    paging::Pager,
    policy::live::Policies,
    refusals::Told,
};
use async_trait::async_trait;
use engine::{Clock, Feed, Metrics};
use registry::Registry;
use schemars::JsonSchema;
use schemas::DynObject;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Where the guests of a host are looked up.
#[async_trait]
pub trait GuestView: Send + Sync + 'static {
    /// `{"guests": [{id, name, vmState, taskState, powerState, priority, bootFromVolume}], "observedAt": …}` of the
    /// host with this name. The error says why it is not known now; it is never an empty list.
    async fn guests(&self, host: &str) -> Result<Value, String>;

    /// What would become of the host's guests if it were dead now: the spec of an EvacuationPlan.
    async fn evacuation_plan(&self, host: &str) -> Result<Value, String>;

    /// What would be done next for an object as it might be declared, all else as it stands: `{"next": "Step", "step", "disruptive"}`,
    /// `{"next": "Wait", "reason", "message"}` or `{"next": "Nothing"}`. The error says why it is not known now.
    async fn foresee(&self, object: &DynObject) -> Result<Value, String>;
}

/// How this process fares.
#[async_trait]
pub trait Health: Send + Sync + 'static {
    /// Whether it can do its work, with the reasons.
    async fn ready(&self) -> Readiness;
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// What: `database`, `migrations`, `feed`, `keystone`, …
    pub name: String,
    /// Whether it is well.
    pub ok: bool,
    /// For people.
    pub message: String,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Readiness {
    /// Whether requests can be served.
    pub ok: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// Who leads; unset: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Lease token in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<i64>,
    /// Whether the cluster is frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<bool>,
}

/// What the server stands on.
#[derive(Clone)]
pub struct Backends {
    /// The way to the store.
    pub registry: Registry,
    /// Changes, for watches.
    pub feed: Arc<Feed>,
    /// The audit, to be read.
    pub audit: Arc<dyn store::AuditLog>,
    /// Keystone.
    pub identity: Arc<dyn cloud::Identity>,
    /// Guests of a host.
    pub guests: Arc<dyn GuestView>,
    /// For `/readyz`.
    pub health: Arc<dyn Health>,
    /// Counters.
    pub metrics: Metrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

pub(crate) struct Context {
    pub config: ApiConfig,
    /// Records what is written through it.
    pub registry: Registry,
    pub feed: Arc<Feed>,
    pub auth: Auth,
    pub audit: Arc<dyn store::AuditLog>,
    pub auditor: Auditor,
    pub guests: Arc<dyn GuestView>,
    pub health: Arc<dyn Health>,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
    pub pager: Pager,
    pub watches: Watches,
    /// Who may how much.
    pub limits: Limits,
    /// Who may what.
    pub policies: Policies,
    /// What was told of writes that were turned down.
    pub told: Told,
    pub stop: CancellationToken,
}

pub(crate) type Ctx = Arc<Context>;

impl Context {
    pub fn new(config: ApiConfig, b: Backends, policies: Policies, cluster_uuid: &str, stop: CancellationToken) -> Ctx {
        let auth = Auth::new(&config, b.identity, b.clock.clone());
        let gauge = b.metrics.watches.clone();
        let watches = Watches::new(&config, move |by| {
            gauge.inc_by(by);
        });
        let Backends { registry, feed, audit, guests, health, metrics, clock, .. } = b;
        let auditor = Auditor::start(registry.store().clone(), clock.clone(), config.audit_enabled, config.audit_reads, stop.clone());
        let registry = Registry::new(Arc::new(Audited::new(registry.store().clone(), config.audit_enabled)));
        let limits = Limits::new(config.rate, config.max_mutating, config.max_reading);
        let pager = Pager::new(cluster_uuid);
        Arc::new(Context {
            config,
            registry,
            feed,
            auth,
            audit,
            auditor,
            guests,
            health,
            metrics,
            clock,
            pager,
            watches,
            limits,
            policies,
            told: Told::default(),
            stop,
        })
    }
}
