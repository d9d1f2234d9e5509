//! What these controllers would do next for an object as it might be declared.

use crate::{
    World,
    evacuation::EvacuationReconciler,
    fence_attestation::FenceAttestationReconciler,
    host::HostReconciler,
    host_operation::HostOperationReconciler,
    power_device::{ClusterPolicyReconciler, PowerDeviceReconciler},
    power_link::PowerLinkReconciler,
    standby::{FenceDrillReconciler, StandbyPoolReconciler},
};
use engine::{Foreseen, foresee};
use schemas::{DynObject, Time};
use std::sync::Arc;
use store::{Store, StoreError};

/// How old shared lists may be, in milliseconds.
const LIGHT_MS: i64 = 5_000;

impl World {
    /// See the module's text; `None`: no controller of its own works on the kind.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn foresee(self: &Arc<Self>, store: &dyn Store, object: DynObject, now: Time) -> Result<Option<Foreseen>, StoreError> {
        let w = || self.clone();
        let next = match object.kind.as_str() {
            "Host" => foresee(store, &HostReconciler { world: w(), light_ms: LIGHT_MS }, object, now).await,
            "HostOperation" => foresee(store, &HostOperationReconciler(w()), object, now).await,
            "Evacuation" => foresee(store, &EvacuationReconciler(w()), object, now).await,
            "FenceAttestation" => foresee(store, &FenceAttestationReconciler { world: w(), light_ms: LIGHT_MS }, object, now).await,
            "StandbyPool" => foresee(store, &StandbyPoolReconciler(w()), object, now).await,
            "FenceDrill" => foresee(store, &FenceDrillReconciler(w()), object, now).await,
            "PowerLink" => foresee(store, &PowerLinkReconciler(w()), object, now).await,
            "PowerDevice" => foresee(store, &PowerDeviceReconciler(w()), object, now).await,
            "ClusterPolicy" => foresee(store, &ClusterPolicyReconciler(w()), object, now).await,
            _ => return Ok(None),
        };
        next.map(Some)
    }
}
