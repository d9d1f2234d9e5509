//! Marks on the Nova service: whose it is (S14), and what a change of it looks like.

use crate::{Next, Step, contract::wait, facts::ServiceFacts};
use schemas::v1::reasons;

/// How every `disabled_reason` of ours begins.
const MARK: &str = "cloud-manager/";

/// The text we write: who disabled it, and why. At most 255 characters.
pub fn reason(cluster_uuid: &str, why: &str) -> String {
    format!("{MARK}{cluster_uuid}: {why}").chars().take(255).collect()
}

/// The cluster uuid that a reason carries.
fn mark_of(service: &ServiceFacts) -> Option<&str> {
    let rest = service.disabled_reason.as_deref()?.strip_prefix(MARK)?;
    Some(rest.split_once(':').map_or(rest, |(uuid, _)| uuid))
}

/// Another deployment's cluster uuid, if its mark is on the service. Marks only ever stop us.
pub fn foreign<'a>(service: &'a ServiceFacts, cluster_uuid: &str) -> Option<&'a str> {
    mark_of(service).filter(|uuid| *uuid != cluster_uuid)
}

/// The wait under another deployment's mark.
pub fn held_by(uuid: &str) -> Next {
    let message = format!("the Nova service carries the mark of another Cloud Manager ({uuid}); stop that one, then enable the service in Nova");
    wait(reasons::FOREIGN, message, 60)
}

/// Whether the reason is ours.
pub fn is_ours(service: &ServiceFacts, cluster_uuid: &str) -> bool {
    mark_of(service) == Some(cluster_uuid)
}

/// Disable.
pub fn disable(service: &ServiceFacts, cluster_uuid: &str, why: &str) -> Step {
    Step::NovaService { service_id: service.id.clone(), enabled: Some(false), reason: Some(reason(cluster_uuid, why)), forced_down: None }
}

/// Disable and force down, in one PUT (I21).
pub fn fence(service: &ServiceFacts, cluster_uuid: &str, why: &str) -> Step {
    Step::NovaService { service_id: service.id.clone(), enabled: Some(false), reason: Some(reason(cluster_uuid, why)), forced_down: Some(true) }
}

/// Enable.
pub fn enable(service: &ServiceFacts) -> Step {
    Step::NovaService { service_id: service.id.clone(), enabled: Some(true), reason: None, forced_down: None }
}

/// Clear forced_down.
pub fn clear_forced_down(service: &ServiceFacts) -> Step {
    Step::NovaService { service_id: service.id.clone(), enabled: None, reason: None, forced_down: Some(false) }
}
