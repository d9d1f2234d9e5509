//! Records of what changed nothing: denied and failed requests, and reads. They wait in a queue with an end; what finds no
//! place is counted, and the count is recorded as soon as there is a place again.

use super::{
    acting::Acting,
    record::{Outcome, Target, entry},
};
use crate::errors::Code;
use axum::http::Method;
use engine::Clock;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use store::{AuditEntry, Guard, Op, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Records that may wait.
const LONGEST: usize = 512;
/// Records in one transaction.
const AT_ONCE: usize = 64;
/// Pause between transactions: whoever is denied a thousand times a second must not keep the database busy.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes records of what changed nothing.
pub(crate) struct Auditor {
    queue: mpsc::Sender<AuditEntry>,
    /// Records that found no place, or could not be written, and were not recorded as such yet.
    lost: Arc<AtomicU64>,
    /// Denied and failed requests are recorded.
    enabled: bool,
    /// All reads are recorded.
    reads: bool,
}

impl Auditor {
    /// With the task that writes.
    pub fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>, enabled: bool, reads: bool, stop: CancellationToken) -> Auditor {
        let (queue, waiting) = mpsc::channel(LONGEST);
        let lost = Arc::new(AtomicU64::new(0));
        tokio::spawn(write(store, clock, waiting, lost.clone(), stop));
        Auditor { queue, lost, enabled, reads: enabled && reads }
    }

    /// A request was answered. `rule` is the rule it asked for; a read is not recorded but for what is delicate, and what was
    /// changed was recorded with the change.
    pub fn answered(&self, acting: &Acting, rule: &str, status: u16, code: Option<Code>) {
        if !self.enabled {
            return;
        }
        let reads = acting.method.is_safe() || is_question(rule);
        let word = match status {
            401 | 403 => "failure",
            _ if code == Some(Code::OutcomeUnknown) && !reads => "unknown",
            400.. if !reads => "failure",
            ..400 if reads && (self.reads || is_delicate(rule)) => "success",
            _ => return,
        };
        let action = action(acting, reads);
        let outcome = Outcome { word, status: Some(status), ..Outcome::default() };
        self.put(entry(Some(acting), &action, &Target::by_path(&acting.path), outcome));
    }

    /// A request was not answered to its end: nobody can tell whether it changed something. What it did change was recorded with it.
    pub fn broken_off(&self, acting: &Acting, rule: &str) {
        self.answered(acting, rule, 504, Some(Code::OutcomeUnknown));
    }

    fn put(&self, entry: AuditEntry) {
        if self.queue.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Requests that change nothing although they are sent with POST.
fn is_question(rule: &str) -> bool {
    matches!(rule, "cloud-manager:decisions:get" | "cloud-manager:access-reviews:create")
}

/// Reads that are always recorded.
fn is_delicate(rule: &str) -> bool {
    ["credentials", "auditrecords", "fenceattestations"].iter().any(|kind| rule.strip_prefix("cloud-manager:").is_some_and(|r| r.starts_with(kind)))
}

/// CADF's word for what was asked.
fn action(acting: &Acting, reads: bool) -> String {
    let parts: Vec<&str> = acting.path.split('/').skip(2).collect();
    match acting.method {
        _ if reads && parts.len() < 2 => "read/list".into(),
        _ if reads => "read".into(),
        Method::POST if parts.get(2) == Some(&"actions") => format!("update/{}", super::acting::line(parts.get(3).unwrap_or(&""))),
        Method::POST => "create".into(),
        Method::DELETE => "delete".into(),
        _ => "update".into(),
    }
}

/// Writes what waits, until the server has stopped and nothing waits any more.
async fn write(store: Arc<dyn Store>, clock: Arc<dyn Clock>, mut waiting: mpsc::Receiver<AuditEntry>, lost: Arc<AtomicU64>, stop: CancellationToken) {
    loop {
        let first = tokio::select! {
            first = waiting.recv() => first,
            () = stop.cancelled() => waiting.try_recv().ok(),
        };
        let Some(first) = first else { return };
        let mut batch = vec![first];
        while batch.len() < AT_ONCE
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        let (count, gone) = (batch.len() as u64, lost.swap(0, Ordering::SeqCst));
        if gone > 0 {
            batch.push(overflow(gone));
        }
        if let Err(error) = store.commit(Guard::Open, clock.now(), batch.into_iter().map(Op::Audit).collect()).await {
            tracing::warn!(%error, records = count, "audit records of requests that changed nothing could not be written");
            lost.fetch_add(count + gone, Ordering::SeqCst);
        }
        if !stop.is_cancelled() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Tells how many records are missing.
fn overflow(count: u64) -> AuditEntry {
    let target = Target { kind: "AuditRecord".into(), name: "lost".into(), ..Target::default() };
    entry(None, "update/overflow", &target, Outcome { word: "failure", more: vec![("lost", json!({"records": count}))], ..Outcome::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::SystemClock;
    use store::{AuditLog, AuditQuery, KeyRing, SqlStore, StoreConfig};

    #[tokio::test]
    async fn what_finds_no_place_is_counted_and_the_count_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { deadline: Duration::from_secs(60), ..StoreConfig::sqlite(dir.path().join("db")) };
        store::migrate(&config, None).await.unwrap();
        let log = SqlStore::open(&config, KeyRing::parse(&format!("k:{}", "00".repeat(32))).unwrap()).await.unwrap();
        let (queue, waiting) = mpsc::channel(2);
        let auditor = Auditor { queue, lost: Arc::default(), enabled: true, reads: false };
        let denied = |n: u32| {
            entry(
                None,
                "read",
                &Target { kind: "Host".into(), name: format!("c{n}"), ..Target::default() },
                Outcome { word: "failure", ..Outcome::default() },
            )
        };
        (0..5).for_each(|n| auditor.put(denied(n)));
        assert_eq!(auditor.lost.load(Ordering::SeqCst), 3);
        let stop = CancellationToken::new();
        stop.cancel();
        write(Arc::new(log.clone()), Arc::new(SystemClock), waiting, auditor.lost.clone(), stop).await;
        let rows = log.audit_records(AuditQuery { limit: 10, ..AuditQuery::default() }).await.unwrap();
        let told: Vec<(&str, &str)> = rows.iter().map(|r| (r.action.as_str(), r.target.as_str())).collect();
        assert_eq!(told, [("read", "Host/c0"), ("read", "Host/c1"), ("update/overflow", "AuditRecord/lost")]);
        assert!(rows[2].body.contains("\"records\":3"), "{}", rows[2].body);
        assert_eq!(auditor.lost.load(Ordering::SeqCst), 0);
    }
}
