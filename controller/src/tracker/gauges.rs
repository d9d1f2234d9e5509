//! How many hosts stand where, and how many evacuations wait for a person, as of the last look.

use engine::{
    Metrics,
    metrics::{ReasonLabels, StateLabels},
};
use planner::{
    remediation::{HostRow, HostVerdict},
    status::is_stalled,
};
use schemas::{DynObject, v1::AvailabilityState};
use std::collections::BTreeMap;

/// All of them, so that one that no host is in any longer reads 0 and does not stand still.
const STATES: [AvailabilityState; 10] = [
    AvailabilityState::Unknown,
    AvailabilityState::Up,
    AvailabilityState::Suspect,
    AvailabilityState::Off,
    AvailabilityState::Down,
    AvailabilityState::Recovering,
    AvailabilityState::Restarting,
    AvailabilityState::Recovered,
    AvailabilityState::Returning,
    AvailabilityState::Quarantined,
];

/// Where hosts stand by `verdicts`; those that were not judged in this pass stand where they stood.
pub(super) fn of_hosts(metrics: &Metrics, rows: &[HostRow], verdicts: &[HostVerdict]) {
    let judged: BTreeMap<&str, AvailabilityState> = verdicts.iter().map(|v| (v.host.as_str(), v.availability.state)).collect();
    let mut count: BTreeMap<String, i64> = STATES.iter().map(|state| (format!("{state:?}"), 0)).collect();
    for row in rows {
        let stood = row.host.status.availability.as_ref().map(|a| a.state).unwrap_or_default();
        let state = judged.get(row.host.metadata.name.as_str()).copied().unwrap_or(stood);
        *count.entry(format!("{state:?}")).or_default() += 1;
    }
    for (state, n) in count {
        metrics.hosts.get_or_create(&StateLabels { state }).set(n);
    }
}

/// Evacuations that wait for what only a person can do.
pub(super) fn of_evacuations(metrics: &Metrics, open: &[DynObject]) {
    let mut count: BTreeMap<&str, i64> = BTreeMap::new();
    for reason in open.iter().filter_map(|o| o.status["waiting"]["reason"].as_str()).filter(|r| is_stalled(r)) {
        *count.entry(reason).or_default() += 1;
    }
    metrics.evacuations_stalled.clear();
    for (reason, n) in count {
        metrics.evacuations_stalled.get_or_create(&ReasonLabels { reason: reason.into() }).set(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::reasons;
    use serde_json::json;

    #[test]
    fn an_evacuation_that_waits_for_a_person_is_counted_until_it_does_so_no_longer() {
        let metrics = Metrics::default();
        let waiting = |reason: &str| {
            let mut object = DynObject::new("Evacuation", "x", json!({}));
            object.status = json!({"waiting": {"reason": reason}});
            object
        };
        of_evacuations(&metrics, &[waiting(reasons::NEEDS_HUMAN), waiting(reasons::NEEDS_HUMAN), waiting(reasons::GROUP_PAUSE)]);
        assert!(metrics.text().contains("cloud_manager_evacuations_stalled{reason=\"NeedsHuman\"} 2"), "{}", metrics.text());
        assert!(!metrics.text().contains("GroupPause"));
        of_evacuations(&metrics, &[]);
        assert!(!metrics.text().contains("NeedsHuman"), "{}", metrics.text());
    }
}
