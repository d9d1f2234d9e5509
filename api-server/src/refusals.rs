//! Writes that were turned down because of other objects leave an Event on the object they concern, and move a counter:
//! somebody tried what would not have been safe. A client in a loop is told of once a minute.

use crate::{attest, call::Call, context::Context};
use engine::{Recorder, metrics::RefusalLabels};
use registry::RegistryError;
use schemas::{DynObject, KindInfo, kinds, v1::reasons};
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The same is told again after so long.
const PAUSE: Duration = Duration::from_secs(60);
/// Tellings within that time, whatever they are about: clients must not push anything else out of the outbox.
const MOST: usize = 60;

/// What was told within the last minute.
#[derive(Default)]
pub(crate) struct Told(Mutex<VecDeque<(String, Instant)>>);

impl Told {
    /// Whether it may be told now; if so, it counts as told.
    pub(crate) fn may(&self, what: String) -> bool {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while told.front().is_some_and(|(_, at)| now.duration_since(*at) >= PAUSE) {
            told.pop_front();
        }
        if told.len() >= MOST || told.iter().any(|(known, _)| *known == what) {
            return false;
        }
        told.push_back((what, now));
        true
    }
}

/// Tells that a write of `asked` was turned down, if it was because of other objects. Attestations are told of by `attest`.
async fn refused(ctx: &Context, kind: &KindInfo, asked: &DynObject, user: Option<&str>, error: &RegistryError) {
    let RegistryError::Refused { code, message, other, .. } = error else { return };
    ctx.metrics.refused_writes.get_or_create(&RefusalLabels { kind: kind.kind.into(), code: (*code).into() }).inc();
    if kind.kind == "FenceAttestation" {
        return;
    }
    let Some(object) = concerned(ctx, kind, asked, other.as_deref()).await else { return };
    if !ctx.told.may(format!("{} {code}", object.metadata.uid)) {
        return;
    }
    let note = format!("what {} asked for ({}) was turned down, {code}: {message}", user.unwrap_or("(unknown)"), asked.id());
    ctx.recorder().record(&object, true, reasons::WRITE_REFUSED, &note).await;
}

/// Tells that a write of `asked` was turned down; what was only tried out is not told.
pub(crate) async fn told(ctx: &Context, call: &Call, kind: &KindInfo, asked: &DynObject, error: &RegistryError) {
    if !call.is_dry {
        refused(ctx, kind, asked, call.user(), error).await;
    }
}

/// Tells the same of what would have been new: the statement that a host is dead as well.
pub(crate) async fn told_of_new(ctx: &Context, call: &Call, kind: &KindInfo, asked: &DynObject, error: &RegistryError) {
    if !call.is_dry {
        attest::refused(ctx, asked, call.user(), error).await;
    }
    told(ctx, call, kind, asked, error).await;
}

/// The host it is about, else the object that was to be changed, else the one that stands against it.
async fn concerned(ctx: &Context, kind: &KindInfo, asked: &DynObject, other: Option<&str>) -> Option<DynObject> {
    if let (Some(host), Some(hosts)) = (asked.spec["hostRef"]["name"].as_str(), kinds::find("Host"))
        && let Ok(host) = ctx.registry.find(hosts, host).await
    {
        return Some(host);
    }
    if let Ok(known) = ctx.registry.find(kind, &asked.metadata.name).await {
        return Some(known);
    }
    ctx.registry.store().get_by_uid(other?).await.ok()?
}

impl Context {
    /// Tells in the name of the API server.
    pub(crate) fn recorder(&self) -> Recorder {
        Recorder::new(self.registry.store().clone(), self.clock.clone(), "api-server", self.metrics.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_told_once_a_minute_and_there_is_an_end_to_it() {
        let told = Told::default();
        assert!(told.may("a".into()));
        assert!(!told.may("a".into()));
        let new = (0..200).filter(|n| told.may(format!("{n}"))).count();
        assert_eq!(new, MOST - 1);
        tokio::time::advance(PAUSE).await;
        assert!(told.may("a".into()) && !told.may("a".into()) && told.may("b".into()));
    }
}
