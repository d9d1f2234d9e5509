//! One way of placing all guests.

use super::{Seat, Site, Wish, rooms::Needs, rooms::Rooms, seats::Seats, why};
use crate::flavor::Demands;
use std::collections::{BTreeMap, HashMap};

/// Hosts that are compared before one is taken.
const COMPARED: usize = 8;
/// Guests for which fewer hosts than this are suitable choose before all others of their priority.
const FEW: usize = 8;
/// Pairs of guests that are looked at to make room for one.
const MAX_TRIES: usize = 20_000;

/// Which host is liked best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The least loaded.
    Spread,
    /// The fullest that has room.
    Pack,
}

/// What a guest asks of a host, other than room and its groups: the same for many guests.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Shape<'a> {
    demands: Demands,
    zone: &'a str,
}

pub(super) struct Assignment<'a> {
    rooms: Rooms,
    seats: Seats,
    needs: Vec<Needs>,
    /// The shape of each guest.
    shape: Vec<usize>,
    /// Hosts that suit each shape.
    suited: Vec<Vec<bool>>,
    placed: Vec<Option<usize>>,
    /// The hosts by name.
    hosts: HashMap<&'a str, usize>,
}

/// Nobody is placed yet.
fn blank<'a>(wishes: &[Wish<'a>], site: &Site<'a>) -> Assignment<'a> {
    let rooms = Rooms::of(site, wishes.iter().map(|w| &w.guest.needs));
    let leaving = wishes.iter().map(|w| (w.guest.id.as_str(), w.home)).collect();
    let (shape, suited) = shapes(wishes, site);
    Assignment {
        needs: wishes.iter().map(|w| rooms.needs(&w.guest.needs)).collect(),
        seats: Seats::of(site, &leaving),
        rooms,
        shape,
        suited,
        placed: vec![None; wishes.len()],
        hosts: site.hosts.iter().enumerate().map(|(i, h)| (h.host.as_str(), i)).collect(),
    }
}

/// See [`super::still_stand`].
pub(super) fn check(wishes: &[Wish<'_>], hosts: &[&str], site: &Site<'_>) -> Vec<bool> {
    let mut work = blank(wishes, site);
    let mut stands = |(wish, host): (usize, &&str)| {
        let host = work.hosts.get(host).copied();
        let fit = host.filter(|h| work.rooms.fits(*h, &work.needs[wish]) && work.suits(wish, *h, wishes, site));
        fit.map(|host| work.take(wish, host, wishes, site)).is_some()
    };
    hosts.iter().enumerate().map(&mut stands).collect()
}

/// Places all guests in one order of hosts.
pub(super) fn assign<'a>(wishes: &[Wish<'a>], site: &Site<'a>, order: Order) -> Assignment<'a> {
    let mut work = blank(wishes, site);
    for wish in work.turn(wishes) {
        if let Some(host) = work.best(wish, wishes, site, order) {
            work.take(wish, host, wishes, site);
        }
    }
    for wish in work.turn(wishes) {
        if work.placed[wish].is_none() {
            work.make_room(wish, wishes, site);
        }
    }
    work
}

/// The shape of each guest, and per shape the hosts that suit it.
fn shapes<'a>(wishes: &[Wish<'a>], site: &Site<'_>) -> (Vec<usize>, Vec<Vec<bool>>) {
    let mut known: BTreeMap<Shape<'a>, usize> = BTreeMap::new();
    let mut suited: Vec<Vec<bool>> = Vec::new();
    let of = wishes.iter().map(|wish| {
        let shape = Shape { demands: Demands::of(wish.guest), zone: wish.zone };
        *known.entry(shape).or_insert_with_key(|shape| {
            let suits = |d: &crate::facts::Destination| (shape.zone.is_empty() || d.zone == shape.zone) && shape.demands.unmet(d).is_none();
            suited.push(site.hosts.iter().map(suits).collect());
            suited.len() - 1
        })
    });
    (of.collect(), suited)
}

impl Assignment<'_> {
    /// The order in which guests choose.
    fn turn(&self, wishes: &[Wish<'_>]) -> Vec<usize> {
        let choice: Vec<usize> = self.suited.iter().map(|hosts| hosts.iter().filter(|h| **h).count().min(FEW)).collect();
        let key = |i: &usize| {
            let wish = &wishes[*i];
            let few = if wish.only.is_some() { 0 } else { choice[self.shape[*i]] };
            (-wish.priority, few, !self.seats.binds(&wish.guest.id), -self.rooms.size(&self.needs[*i]), &wish.guest.name, &wish.guest.id)
        };
        let mut turn: Vec<usize> = (0..wishes.len()).collect();
        turn.sort_by_cached_key(|i| {
            let (priority, few, free, size, name, id) = key(i);
            (priority, few, free, size, name.clone(), id.clone())
        });
        turn
    }

    /// Whether a host is one for this guest, its room aside.
    fn suits(&self, wish: usize, host: usize, wishes: &[Wish<'_>], site: &Site<'_>) -> bool {
        let (w, name) = (&wishes[wish], &site.hosts[host].host);
        let asked = match w.only {
            Some(only) => only == name,
            None => !w.not.contains(name),
        };
        asked && self.suited[self.shape[wish]][host] && *name != w.home && self.seats.forbids(&w.guest.id, name).is_none()
    }

    fn best(&self, wish: usize, wishes: &[Wish<'_>], site: &Site<'_>, order: Order) -> Option<usize> {
        let id = &wishes[wish].guest.id;
        let fit = |host: &usize| self.rooms.fits(*host, &self.needs[wish]) && self.suits(wish, *host, wishes, site);
        if let Some(only) = wishes[wish].only {
            return self.hosts.get(only).copied().filter(fit);
        }
        let key = |host: &usize| {
            let load = self.rooms.load_with(*host, &self.needs[wish]);
            (self.seats.crowd(id, &site.hosts[*host].host), if order == Order::Spread { load } else { -load }, *host)
        };
        // Who has company to avoid looks at all hosts; else the first few are as good as any that follow.
        let compared = if self.seats.binds(id) { usize::MAX } else { COMPARED };
        match order {
            Order::Spread => self.rooms.emptiest_first().filter(fit).take(compared).min_by_key(key),
            Order::Pack => self.rooms.emptiest_first().rev().filter(fit).take(compared).min_by_key(key),
        }
    }

    fn take(&mut self, wish: usize, host: usize, wishes: &[Wish<'_>], site: &Site<'_>) {
        self.rooms.take(host, &self.needs[wish]);
        self.seats.take(&wishes[wish].guest.id, &site.hosts[host].host);
        self.placed[wish] = Some(host);
    }

    fn give_back(&mut self, wish: usize, wishes: &[Wish<'_>], site: &Site<'_>) -> Option<usize> {
        let host = self.placed[wish].take()?;
        self.rooms.give_back(host, &self.needs[wish]);
        self.seats.give_back(&wishes[wish].guest.id, &site.hosts[host].host);
        Some(host)
    }

    /// Places a guest where another one that is placed already can go elsewhere. Nothing moves by that: it is all a plan.
    fn make_room(&mut self, wish: usize, wishes: &[Wish<'_>], site: &Site<'_>) {
        let mut tries = 0;
        for other in 0..wishes.len() {
            let Some(host) = self.placed[other].filter(|_| wishes[other].only.is_none()) else { continue };
            if !self.suited[self.shape[wish]][host] || !self.rooms.fits_without(host, &self.needs[wish], &self.needs[other]) {
                continue;
            }
            tries += 1;
            if tries > MAX_TRIES {
                return;
            }
            self.give_back(other, wishes, site);
            if self.suits(wish, host, wishes, site) {
                self.take(wish, host, wishes, site);
                if let Some(elsewhere) = self.best(other, wishes, site, Order::Spread) {
                    self.take(other, elsewhere, wishes, site);
                    return;
                }
                self.give_back(wish, wishes, site);
            }
            self.take(other, host, wishes, site);
        }
    }

    /// Whether every guest has a place.
    pub fn is_whole(&self) -> bool {
        self.placed.iter().all(Option::is_some)
    }

    /// Whether it places more guests of the highest priority in which the two differ.
    pub fn places_more_than(&self, other: &Assignment<'_>, wishes: &[Wish<'_>]) -> bool {
        let count = |placed: &[Option<usize>]| {
            let mut by_priority: BTreeMap<i64, usize> = BTreeMap::new();
            for (wish, _) in wishes.iter().zip(placed).filter(|(_, host)| host.is_some()) {
                *by_priority.entry(-wish.priority).or_default() += 1;
            }
            by_priority
        };
        let (mine, theirs) = (count(&self.placed), count(&other.placed));
        let mut priorities: Vec<i64> = wishes.iter().map(|w| -w.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let of = |counts: &BTreeMap<i64, usize>, p: &i64| counts.get(p).copied().unwrap_or(0);
        priorities.iter().map(|p| of(&mine, p).cmp(&of(&theirs, p))).find(|c| c.is_ne()).is_some_and(|c| c.is_gt())
    }

    /// The answers.
    pub fn seats(&self, wishes: &[Wish<'_>], site: &Site<'_>) -> Vec<Seat> {
        let seat = |(i, host): (usize, &Option<usize>)| match host {
            Some(host) => Seat::On(site.hosts[*host].host.clone()),
            None => Seat::Nowhere(why::nowhere(&wishes[i], &self.needs[i], site, &self.rooms, &self.seats)),
        };
        self.placed.iter().enumerate().map(seat).collect()
    }
}
