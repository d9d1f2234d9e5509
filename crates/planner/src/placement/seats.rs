//! What server groups allow: who of a group is, or will be, on which host.

use super::Site;
use crate::facts::GroupRule;
use std::collections::{BTreeMap, HashMap};

/// The members of all groups, by host.
#[derive(Clone)]
pub(super) struct Seats {
    /// Groups of each guest.
    groups: HashMap<String, Vec<usize>>,
    rules: Vec<GroupRule>,
    names: Vec<String>,
    /// Members by group and host.
    there: HashMap<(usize, String), i64>,
}

impl Seats {
    /// Those of a site. A member that leaves its host does not count there; one on its way counts where it goes.
    pub fn of(site: &Site<'_>, leaving: &BTreeMap<&str, &str>) -> Seats {
        let mut seats = Seats { groups: HashMap::new(), rules: Vec::new(), names: Vec::new(), there: HashMap::new() };
        for (index, group) in site.groups.iter().enumerate() {
            seats.rules.push(group.rule);
            seats.names.push(group.name.clone());
            for (guest, host) in &group.members {
                seats.groups.entry(guest.clone()).or_default().push(index);
                let on = site.going.get(guest).or(host.as_ref().filter(|h| leaving.get(guest.as_str()) != Some(&h.as_str())));
                if let Some(on) = on {
                    *seats.there.entry((index, on.clone())).or_default() += 1;
                }
            }
        }
        seats
    }

    fn of_guest(&self, guest: &str) -> &[usize] {
        self.groups.get(guest).map_or(&[], Vec::as_slice)
    }

    fn count(&self, group: usize, host: &str) -> i64 {
        self.there.get(&(group, host.to_string())).copied().unwrap_or(0)
    }

    /// Whether any group has a word in where this guest goes.
    pub fn binds(&self, guest: &str) -> bool {
        !self.of_guest(guest).is_empty()
    }

    /// The group that forbids a host to a guest.
    pub fn forbids(&self, guest: &str, host: &str) -> Option<&str> {
        let against = |g: &&usize| match self.rules[**g] {
            GroupRule::AntiAffinity(max) => self.count(**g, host) >= max,
            GroupRule::Affinity => self.count(**g, host) == 0,
            GroupRule::SoftAntiAffinity | GroupRule::Other => false,
        };
        self.of_guest(guest).iter().find(against).map(|g| self.names[*g].as_str())
    }

    /// Members that a host already has of groups that would rather be apart.
    pub fn crowd(&self, guest: &str, host: &str) -> i64 {
        let soft = self.of_guest(guest).iter().filter(|g| self.rules[**g] == GroupRule::SoftAntiAffinity);
        soft.map(|g| self.count(*g, host)).sum()
    }

    /// A guest is placed.
    pub fn take(&mut self, guest: &str, host: &str) {
        self.change(guest, host, 1);
    }

    /// A guest is placed there no longer.
    pub fn give_back(&mut self, guest: &str, host: &str) {
        self.change(guest, host, -1);
    }

    fn change(&mut self, guest: &str, host: &str, by: i64) {
        for group in self.groups.get(guest).into_iter().flatten() {
            *self.there.entry((*group, host.to_string())).or_default() += by;
        }
    }
}
