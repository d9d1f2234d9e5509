//! Why no host takes a guest.

use super::{Site, Wish, rooms::Needs, rooms::Rooms, seats::Seats};
use crate::flavor::Demands;
use std::collections::BTreeMap;

/// Counts the hosts by what speaks against each.
pub(super) fn nowhere(wish: &Wish<'_>, needs: &Needs, site: &Site<'_>, rooms: &Rooms, seats: &Seats) -> String {
    let demands = Demands::of(wish.guest);
    let mut against: BTreeMap<String, usize> = BTreeMap::new();
    for (index, host) in site.hosts.iter().enumerate() {
        if host.host == wish.home || !(wish.zone.is_empty() || host.zone == wish.zone) {
            continue;
        }
        let reason = if wish.not.contains(&host.host) {
            "that failed for it already".to_string()
        } else if let Some(unmet) = demands.unmet(host) {
            unmet
        } else if let Some(group) = seats.forbids(&wish.guest.id, &host.host) {
            format!("not allowed by its server group {group}")
        } else if let Some((class, needed)) = rooms.short_of(index, needs) {
            format!("with less than {needed} {class} left")
        } else {
            "not the one that it has to go to".to_string()
        };
        *against.entry(reason).or_default() += 1;
    }
    let zone = if wish.zone.is_empty() { String::new() } else { format!(" in zone {}", wish.zone) };
    if against.is_empty() {
        return format!("no enabled host that is up{zone}; enable one, or add one");
    }
    let counted: Vec<String> = against.into_iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    format!("no enabled host that is up{zone} takes it: {}; add capacity or enable a host", counted.join(", "))
}
