//! Prometheus metrics. No label ever holds a guest's or an object's name.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Labels of reconciles.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// Kind of the object.
    pub kind: String,
    /// `settled`, `waiting`, `stepped`, `refused`, `conflict`, `error`, `panic`.
    pub result: String,
}

/// Labels of waits.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct WaitLabels {
    /// Kind of the object.
    pub kind: String,
    /// Stable reason.
    pub reason: String,
}

/// Labels of outside calls.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CallLabels {
    /// `nova`, `placement`, `keystone`, `ipmi`, `redfish`.
    pub service: String,
    /// Kind of call.
    pub call: String,
    /// `ok`, `absent`, `not_sent`, `refused`, `unknown`.
    pub result: String,
}

/// Labels of what was told.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ToldLabels {
    /// Kind of the object it was about.
    pub kind: String,
    /// `Warning` or `Normal`.
    pub r#type: String,
    /// Stable reason.
    pub reason: String,
}

/// Labels of writes that were turned down.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RefusalLabels {
    /// Kind of the object that was to be written.
    pub kind: String,
    /// Error code, such as `contradicts-spec`.
    pub code: String,
}

/// Labels of hosts.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StateLabels {
    /// `status.availability.state`.
    pub state: String,
}

/// Labels of evacuations that wait.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabels {
    /// Stable reason.
    pub reason: String,
}

/// Labels of deliveries.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DeliveryLabels {
    /// `delivered`, `failed`, `refused`, `given_up`, `dropped`.
    pub result: String,
}

/// Labels of the parts of a recovery.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PartLabels {
    /// `decide`, `fence`, `relocate`, `total`, `return`.
    pub part: String,
}

/// Labels of recorded passes over all hosts.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RecordLabels {
    /// `written`, `dropped` (the disk is too slow), `failed`.
    pub result: String,
}

/// All metrics of a process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    /// Keys waiting in the work queue.
    pub queue_depth: Gauge,
    /// Reconciles by kind and result.
    pub reconciles: Family<ReconcileLabels, Counter>,
    /// How long reconciles took, in seconds.
    pub reconcile_seconds: Histogram,
    /// Waits and refusals by kind and reason.
    pub waits: Family<WaitLabels, Counter>,
    /// Outside calls by service, call and result.
    pub calls: Family<CallLabels, Counter>,
    /// How long outside calls took, in seconds.
    pub call_seconds: Histogram,
    /// 1 while this process leads.
    pub leading: Gauge,
    /// Lease token this process holds or held last.
    pub lease_token: Gauge,
    /// HTTP requests by status class.
    pub requests: Family<RequestLabels, Counter>,
    /// Open watches.
    pub watches: Gauge,
    /// What was told, by kind, type and reason: each time once.
    pub told: Family<ToldLabels, Counter>,
    /// Writes that were turned down because of other objects.
    pub refused_writes: Family<RefusalLabels, Counter>,
    /// Hosts by where they stand; only of a leader.
    pub hosts: Family<StateLabels, Gauge>,
    /// Evacuations that wait for a person, by reason; only of a leader.
    pub evacuations_stalled: Family<ReasonLabels, Gauge>,
    /// Letters that wait to be delivered; only of a leader.
    pub outbox: Gauge,
    /// Deliveries to the webhook by result.
    pub deliveries: Family<DeliveryLabels, Counter>,
    /// How long the parts of recoveries took, in seconds.
    pub recovery_seconds: Family<PartLabels, Histogram, fn() -> Histogram>,
    /// Passes over all hosts that were to be recorded, by result.
    pub recorded: Family<RecordLabels, Counter>,
}

/// Labels of HTTP requests.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// HTTP method.
    pub method: String,
    /// HTTP status code.
    pub status: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let metrics = Metrics {
            registry: Arc::new(Mutex::new(Registry::with_prefix("cloud_manager"))),
            queue_depth: Gauge::default(),
            reconciles: Family::default(),
            reconcile_seconds: seconds(),
            waits: Family::default(),
            calls: Family::default(),
            call_seconds: seconds(),
            leading: Gauge::default(),
            lease_token: Gauge::default(),
            requests: Family::default(),
            watches: Gauge::default(),
            told: Family::default(),
            refused_writes: Family::default(),
            hosts: Family::default(),
            evacuations_stalled: Family::default(),
            outbox: Gauge::default(),
            deliveries: Family::default(),
            recovery_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(1.0, 2.0, 14))),
            recorded: Family::default(),
        };
        {
            let mut r = metrics.registry.lock().unwrap_or_else(PoisonError::into_inner);
            r.register("queue_depth", "Keys waiting in the work queue", metrics.queue_depth.clone());
            r.register("reconciles", "Reconciles by kind and result", metrics.reconciles.clone());
            r.register("reconcile_seconds", "Duration of reconciles", metrics.reconcile_seconds.clone());
            r.register("waits", "Waits and refusals by kind and reason", metrics.waits.clone());
            r.register("outside_calls", "Calls to clouds and power devices by kind and result", metrics.calls.clone());
            r.register("outside_call_seconds", "Duration of outside calls", metrics.call_seconds.clone());
            r.register("leading", "1 while this process leads", metrics.leading.clone());
            r.register("lease_token", "Lease token of this process", metrics.lease_token.clone());
            r.register("http_requests", "HTTP requests by method and status", metrics.requests.clone());
            r.register("watches", "Open watches", metrics.watches.clone());
            r.register("told", "Events told by kind, type and reason", metrics.told.clone());
            r.register("refused_writes", "Writes turned down because of other objects, by kind and code", metrics.refused_writes.clone());
            r.register("hosts", "Hosts by availability state", metrics.hosts.clone());
            r.register("evacuations_stalled", "Evacuations that wait for a person, by reason", metrics.evacuations_stalled.clone());
            r.register("outbox", "Letters that wait to be delivered", metrics.outbox.clone());
            r.register("webhook_deliveries", "Deliveries to the webhook by result", metrics.deliveries.clone());
            r.register("recovery_seconds", "Duration of the parts of recoveries", metrics.recovery_seconds.clone());
            r.register("decisions_recorded", "Passes over all hosts that were to be recorded, by result", metrics.recorded.clone());
        }
        metrics
    }
}

impl Metrics {
    /// The text that a scrape gets (`application/openmetrics-text; version=1.0.0`).
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }

    /// Counts what was told.
    pub fn told(&self, kind: &str, r#type: &str, reason: &str) {
        self.told.get_or_create(&ToldLabels { kind: kind.into(), r#type: r#type.into(), reason: reason.into() }).inc();
    }

    /// Counts deliveries with this result.
    pub fn delivery(&self, result: &str, count: u64) {
        self.deliveries.get_or_create(&DeliveryLabels { result: result.into() }).inc_by(count);
    }

    /// Notes how long a part of a recovery took.
    pub fn recovery(&self, part: &str, seconds: f64) {
        self.recovery_seconds.get_or_create(&PartLabels { part: part.into() }).observe(seconds);
    }

    /// Forgets what only a leader knows.
    pub fn end_of_term(&self) {
        self.hosts.clear();
        self.evacuations_stalled.clear();
        self.outbox.set(0);
    }

    /// Counts an outside call.
    pub fn call(&self, service: &str, call: &str, result: &str, seconds: f64) {
        let labels = CallLabels { service: service.into(), call: call.into(), result: result.into() };
        self.calls.get_or_create(&labels).inc();
        self.call_seconds.observe(seconds);
    }
}
