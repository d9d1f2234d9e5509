//! Memory of service rows, for S2. In memory only: after a restart it is learned anew.

use planner::facts::Beat;
use schemas::Time;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

/// Reads kept per service.
const KEEP: usize = 120;
/// Reads closer together than this are one, in milliseconds.
const SPACING_MILLIS: i64 = 900;

/// Reads of each service row since our last write of it.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    rows: Mutex<HashMap<String, VecDeque<Beat>>>,
    /// Hosts of computes that are Ironic's, as far as it is known.
    strangers: Mutex<HashSet<String>>,
}

impl Beats {
    /// Computes on these hosts are Ironic's: no hosts of ours, and their reports speak for none of them (S16). A host that was known
    /// as such stays one. What was remembered while they counted is forgotten.
    pub(crate) fn leave_out(&self, hosts: impl Iterator<Item = String>) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = strangers.len();
        strangers.extend(hosts);
        if strangers.len() > before {
            self.clear();
        }
    }

    /// Takes one list of services in.
    pub(crate) fn absorb(&self, services: &[cloud::Service], at: Time) {
        let strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let computes = || services.iter().filter(|s| s.binary == "nova-compute" && !strangers.contains(&s.host));
        let up = computes().filter(|s| s.up == Some(true)).count();
        let conductor_up = services.iter().any(|s| s.binary == "nova-conductor" && s.up == Some(true));
        let mut all = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for service in computes() {
            let (Some(is_up), Some(updated_at)) = (service.up, service.updated_at.clone()) else { continue };
            let others_up = up > usize::from(is_up);
            let beat = Beat { at, updated_at, up: is_up, forced_down: service.forced_down, others_up, conductor_up };
            let row = all.entry(service.id.clone()).or_default();
            let same = |last: &Beat| last.up == beat.up && last.updated_at == beat.updated_at && last.others_up == beat.others_up;
            if row.len() > 1 && row.back().is_some_and(|last| at.millis_since(last.at) < SPACING_MILLIS && same(last)) {
                continue;
            }
            row.push_back(beat);
            while row.len() > KEEP {
                row.pop_front();
            }
        }
    }

    /// Forgets a row that we are about to write, or have written: what moves then is of our making.
    pub(crate) fn own_write(&self, service_id: &str) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).remove(service_id);
    }

    /// Forgets all rows.
    pub(crate) fn clear(&self) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Reads of one row, oldest first.
    pub(crate) fn of(&self, service_id: &str) -> Vec<Beat> {
        let all = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(service_id).map(|row| row.iter().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(id: &str, up: bool) -> cloud::Service {
        let binary = "nova-compute".into();
        cloud::Service { id: id.into(), host: id.into(), binary, up: Some(up), updated_at: Some("u0".into()), ..Default::default() }
    }

    #[test]
    fn a_compute_of_ironic_speaks_for_no_other_host() {
        let beats = Beats::default();
        let services = [service("a", false), service("ironic", true)];
        beats.absorb(&services, Time(0));
        assert!(beats.of("a")[0].others_up, "nobody knows yet whose it is");
        beats.leave_out(std::iter::once("ironic".to_string()));
        assert!(beats.of("a").is_empty(), "what was remembered while it counted is forgotten");
        beats.absorb(&services, Time(0));
        beats.leave_out(std::iter::once("ironic".to_string()));
        assert!(!beats.of("a")[0].others_up && beats.of("ironic").is_empty());
    }
}
