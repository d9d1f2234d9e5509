//! THE table of controllers.

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
use engine::{Driver, Run, Shared, queue::priority};
use std::sync::Arc;

/// One kind's controller.
pub(crate) struct Controller {
    /// The reconciler, driven.
    pub driver: Arc<dyn Run>,
    /// Priority of a changed object.
    pub priority: i64,
}

/// Kind, reconciler, priority. Resync times are in each kind's decision.
pub(crate) fn table(shared: &Shared, world: &Arc<World>, light_ms: i64) -> Vec<Controller> {
    let s = || shared.clone();
    let w = || world.clone();
    vec![
        Controller { driver: Arc::new(Driver::new(s(), EvacuationReconciler(w()))), priority: priority::EVACUATION },
        Controller { driver: Arc::new(Driver::new(s(), HostOperationReconciler(w()))), priority: priority::USER },
        Controller { driver: Arc::new(Driver::new(s(), FenceAttestationReconciler { world: w(), light_ms })), priority: priority::USER },
        Controller { driver: Arc::new(Driver::new(s(), HostReconciler { world: w(), light_ms })), priority: priority::CHANGED },
        Controller { driver: Arc::new(Driver::new(s(), StandbyPoolReconciler(w()))), priority: priority::EVACUATION },
        Controller { driver: Arc::new(Driver::new(s(), FenceDrillReconciler(w()))), priority: priority::CHANGED },
        Controller { driver: Arc::new(Driver::new(s(), PowerLinkReconciler(w()))), priority: priority::CHANGED },
        Controller { driver: Arc::new(Driver::new(s(), PowerDeviceReconciler(w()))), priority: priority::RESYNC },
        Controller { driver: Arc::new(Driver::new(s(), ClusterPolicyReconciler(w()))), priority: priority::USER },
    ]
}
