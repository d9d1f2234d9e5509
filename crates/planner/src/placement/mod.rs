//! Which guest of a dead host goes where: all of them at once, before the first is sent. Nova's scheduler still checks each.
//!
//! Guests are placed by priority; within one priority those that few hosts suit come first, then the large ones. Each goes to
//! the host that is least loaded with it (of all its resource classes the fullest counts). What is left over is tried again:
//! a guest that is placed already, and could go elsewhere as well, makes room; then all of it once more with hosts filled one
//! after the other. The same input gives the same plan.

mod assign;
mod rooms;
mod seats;
mod why;

use crate::facts::{Destination, GroupFacts, Guest};
use std::collections::BTreeMap;

/// A guest to place.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The guest.
    pub guest: &'a Guest,
    /// Recovery priority: higher ones choose first.
    pub priority: i64,
    /// Host it is on, where it cannot stay.
    pub home: &'a str,
    /// Zone it stays in; empty: any.
    pub zone: &'a str,
    /// Hosts that failed for it.
    pub not: &'a [String],
    /// The only host that is asked for, if there is one.
    pub only: Option<&'a str>,
}

/// Where guests can go.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// Hosts.
    pub hosts: &'a [Destination],
    /// What is promised of each host to others.
    pub taken: &'a BTreeMap<String, BTreeMap<String, i64>>,
    /// Server groups of the guests.
    pub groups: &'a [GroupFacts],
    /// Where guests are going that Nova does not show there yet, by server id.
    pub going: &'a BTreeMap<String, String>,
}

/// Where a guest goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seat {
    /// To this host.
    On(String),
    /// Nowhere, and why.
    Nowhere(String),
}

impl Seat {
    /// The host, if there is one.
    pub fn host(&self) -> Option<&str> {
        match self {
            Seat::On(host) => Some(host),
            Seat::Nowhere(_) => None,
        }
    }
}

/// Places all guests; the answers are in the order of the wishes.
pub fn plan(wishes: &[Wish<'_>], site: &Site<'_>) -> Vec<Seat> {
    let spread = assign::assign(wishes, site, assign::Order::Spread);
    if spread.is_whole() {
        return spread.seats(wishes, site);
    }
    let packed = assign::assign(wishes, site, assign::Order::Pack);
    if packed.places_more_than(&spread, wishes) { packed } else { spread }.seats(wishes, site)
}

/// Which of the hosts of an earlier plan still stand, all together: each is there, suits its guest, and has room beside what
/// is taken and what stands before it. `hosts` are in the order of the wishes.
pub fn still_stand(wishes: &[Wish<'_>], hosts: &[&str], site: &Site<'_>) -> Vec<bool> {
    assign::check(wishes, hosts, site)
}
