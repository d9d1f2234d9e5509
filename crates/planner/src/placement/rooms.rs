//! What is left on each host, as flat numbers.

use super::Site;
use std::collections::{BTreeMap, BTreeSet};

/// Load is counted in parts per million.
const FULL: i64 = 1_000_000;

/// A guest's needs, by the index of their class.
pub(super) type Needs = Vec<(usize, i64)>;

/// Free room of all hosts, and their order by load.
#[derive(Clone)]
pub(super) struct Rooms {
    classes: Vec<String>,
    free: Vec<i64>,
    capacity: Vec<i64>,
    load: Vec<i64>,
    /// Hosts by load, then by place in the list.
    by_load: BTreeSet<(i64, usize)>,
}

impl Rooms {
    /// The room of a site, with the classes that somebody needs.
    pub fn of<'a>(site: &Site<'_>, needs: impl Iterator<Item = &'a BTreeMap<String, i64>>) -> Rooms {
        let classes: Vec<String> = needs.flat_map(BTreeMap::keys).cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let (mut free, mut capacity) = (Vec::with_capacity(classes.len() * site.hosts.len()), Vec::with_capacity(classes.len() * site.hosts.len()));
        for host in site.hosts {
            let taken = site.taken.get(&host.host);
            for class in &classes {
                let used = taken.and_then(|t| t.get(class)).copied().unwrap_or(0);
                free.push(host.free.get(class).copied().unwrap_or(0).saturating_sub(used));
                capacity.push(host.capacity.get(class).or_else(|| host.free.get(class)).copied().unwrap_or(0));
            }
        }
        let mut rooms = Rooms { classes, free, capacity, load: vec![0; site.hosts.len()], by_load: BTreeSet::new() };
        for host in 0..site.hosts.len() {
            rooms.load[host] = rooms.load_with(host, &[]);
            rooms.by_load.insert((rooms.load[host], host));
        }
        rooms
    }

    /// A guest's needs.
    pub fn needs(&self, needs: &BTreeMap<String, i64>) -> Needs {
        let index = |class: &String| self.classes.binary_search(class).ok();
        needs.iter().filter_map(|(class, n)| Some((index(class)?, *n))).collect()
    }

    /// Hosts, the least loaded first.
    pub fn emptiest_first(&self) -> impl DoubleEndedIterator<Item = usize> {
        self.by_load.iter().map(|(_, host)| *host)
    }

    fn left(&self, host: usize, class: usize) -> i64 {
        self.free[host * self.classes.len() + class]
    }

    /// Whether a guest fits.
    pub fn fits(&self, host: usize, needs: &Needs) -> bool {
        needs.iter().all(|(class, n)| self.left(host, *class) >= *n)
    }

    /// Whether it would fit if another one went.
    pub fn fits_without(&self, host: usize, needs: &Needs, gone: &Needs) -> bool {
        let back = |class: usize| gone.iter().find(|(c, _)| *c == class).map_or(0, |(_, n)| *n);
        needs.iter().all(|(class, n)| self.left(host, *class).saturating_add(back(*class)) >= *n)
    }

    /// The class that is short for a guest, and what is needed of it.
    pub fn short_of(&self, host: usize, needs: &Needs) -> Option<(&str, i64)> {
        needs.iter().find(|(class, n)| self.left(host, *class) < *n).map(|(class, n)| (self.classes[*class].as_str(), *n))
    }

    /// Load of the fullest class with a guest more on the host, in parts per million.
    pub fn load_with(&self, host: usize, needs: &[(usize, i64)]) -> i64 {
        let extra = |class: usize| needs.iter().find(|(c, _)| *c == class).map_or(0, |(_, n)| *n);
        let of = |class: usize| {
            let capacity = self.capacity[host * self.classes.len() + class];
            let used = capacity.saturating_sub(self.left(host, class)).saturating_add(extra(class));
            if capacity > 0 { used.saturating_mul(FULL) / capacity } else { 0 }
        };
        (0..self.classes.len()).map(of).max().unwrap_or(0)
    }

    /// The share of the largest host that a guest takes, in parts per million.
    pub fn size(&self, needs: &Needs) -> i64 {
        let largest = |class: usize| self.capacity.iter().skip(class).step_by(self.classes.len().max(1)).copied().max().unwrap_or(0).max(1);
        needs.iter().map(|(class, n)| n.saturating_mul(FULL) / largest(*class)).max().unwrap_or(0)
    }

    /// Takes a guest in.
    pub fn take(&mut self, host: usize, needs: &Needs) {
        self.change(host, needs, -1);
    }

    /// Lets a guest go.
    pub fn give_back(&mut self, host: usize, needs: &Needs) {
        self.change(host, needs, 1);
    }

    fn change(&mut self, host: usize, needs: &Needs, sign: i64) {
        self.by_load.remove(&(self.load[host], host));
        for (class, n) in needs {
            let left = &mut self.free[host * self.classes.len() + *class];
            *left = left.saturating_add(sign * *n);
        }
        self.load[host] = self.load_with(host, &[]);
        self.by_load.insert((self.load[host], host));
    }
}
