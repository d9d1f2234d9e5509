//! Events: one row per series, counted; each is a log line as well. Best effort.

use crate::Clock;
use schemas::{DynObject, Object, ObjectMeta, v1};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use store::Store;

/// A series that was quiet for so long is begun anew, in seconds.
const SERIES_SECONDS: i64 = 360;

/// Writes events.
#[derive(Clone)]
pub struct Recorder {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    reporter: String,
}

impl Recorder {
    /// A recorder that signs as `reporter`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, reporter: &str) -> Self {
        Recorder { store, clock, reporter: reporter.into() }
    }

    /// Tells what happened to an object.
    pub async fn record(&self, regarding: &DynObject, warning: bool, reason: &str, note: &str) {
        let now = self.clock.now();
        if warning {
            tracing::warn!(regarding = %regarding.id(), reason, note, "event");
        } else {
            tracing::info!(regarding = %regarding.id(), reason, note, "event");
        }
        let mut hash = Sha256::new();
        for part in [regarding.metadata.uid.as_str(), reason, note] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let series: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        let known = self.store.event(&format!("ev-{series}")).await.ok().flatten().and_then(|o| o.typed::<v1::Event>().ok());
        let running = known.filter(|e| e.spec.last_at.is_some_and(|at| now.seconds_since(at) < SERIES_SECONDS));
        let (count, first_at) = running.map_or((1, Some(now)), |e| (e.spec.count + 1, e.spec.first_at));
        let spec = v1::EventSpec {
            regarding: regarding.id(),
            regarding_uid: regarding.metadata.uid.clone(),
            r#type: if warning { "Warning" } else { "Normal" }.into(),
            reason: reason.into(),
            note: note.chars().take(1024).collect(),
            reporter: self.reporter.clone(),
            count,
            first_at,
            last_at: Some(now),
        };
        let metadata = ObjectMeta { creation_timestamp: first_at, ..ObjectMeta::named(format!("ev-{series}")) };
        let event = Object::<v1::Event> { metadata, spec, status: v1::EventStatus {} }.to_dyn();
        if let Err(error) = self.store.put_event(event, now).await {
            tracing::warn!(%error, "an event was lost");
        }
    }
}
