//! Which host an evacuated guest goes to. Nova's scheduler still checks the choice.

use crate::facts::{Destination, Guest};
use std::collections::BTreeMap;

/// Chooses the destination with the most free memory that fits, in the guest's zone, not among `failed`.
/// `promised` is what requests under way will take, per host. Ties go to the lower name.
pub fn choose<'a>(
    guest: &Guest,
    zone: &str,
    destinations: &'a [Destination],
    promised: &BTreeMap<String, BTreeMap<String, i64>>,
    failed: &[String],
) -> Option<&'a Destination> {
    let left = |d: &Destination, class: &str| {
        let taken = promised.get(&d.host).and_then(|p| p.get(class)).copied().unwrap_or(0);
        d.free.get(class).copied().unwrap_or(0).saturating_sub(taken)
    };
    destinations
        .iter()
        .filter(|d| (d.zone == zone || zone.is_empty()) && !failed.contains(&d.host))
        .filter(|d| guest.needs.iter().all(|(class, need)| left(d, class) >= *need))
        .max_by(|a, b| left(a, "MEMORY_MB").cmp(&left(b, "MEMORY_MB")).then_with(|| b.host.cmp(&a.host)))
}
