//! Attestations that were turned down leave an Event: someone believes that a host is dead, or says so without the right.

use crate::context::Context;
use cloud::TokenInfo;
use registry::RegistryError;
use schemas::{DynObject, kinds};

/// What such an Event is called.
const REASON: &str = "AttestationRefused";

async fn tell(ctx: &Context, kind: &str, name: &str, note: &str) {
    let Some(kind) = kinds::find(kind) else { return };
    // An Event is about an object that is there; the log has the rest.
    if let Ok(object) = ctx.registry.find(kind, name).await
        && ctx.told.may(format!("{} {note}", object.metadata.uid))
    {
        ctx.recorder().record(&object, true, REASON, note).await;
    }
}

/// The caller lacks the right: told on the cluster's policy, because what they asked for was not read.
pub(crate) async fn not_allowed(ctx: &Context, who: &TokenInfo) {
    let name = if who.user_name.is_empty() { &who.user_id } else { &who.user_name };
    tell(ctx, "ClusterPolicy", "default", &format!("{name} may not state that a host is dead")).await;
}

/// The registry turned it down: told on its host.
pub(crate) async fn refused(ctx: &Context, object: &DynObject, user: Option<&str>, error: &RegistryError) {
    if object.kind != "FenceAttestation" {
        return;
    }
    let host = object.spec["hostRef"]["name"].as_str().unwrap_or_default();
    tell(ctx, "Host", host, &format!("the statement of {} that it is dead was turned down: {error}", user.unwrap_or("(unknown)"))).await;
}
