//! THE table of states: one file each says what leads out of it, given a look. The first way out whose condition holds is
//! taken; what cannot be read takes none (S1).

mod down;
mod off;
mod quarantined;
mod recovered;
mod recovering;
mod restarting;
mod returning;
mod suspect;
mod unknown;
mod up;

use super::verdict::Begin;
use schemas::{
    Time,
    v1::{Availability, AvailabilityState, Detection, reasons},
};

/// What speaks for a move in this pass.
pub(super) struct Look<'a> {
    /// Where it stood.
    pub old: &'a Availability,
    /// How many looks it takes.
    pub detection: &'a Detection,
    /// What Nova says; `None`: nobody can tell.
    pub up: Option<bool>,
    /// Off as declared or commanded.
    pub off: bool,
    /// The host is held down by the latch of S10.
    pub fenced: bool,
    /// It is held down by something else than the evacuation that was begun for it.
    pub fenced_by_other: bool,
    /// How that evacuation ended, if it has.
    pub evacuation: Option<End>,
    /// How the operation that was begun for it ended, if it has.
    pub operation: Option<End>,
    /// The time for that operation is up.
    pub late: bool,
    /// It would be brought back, had that not happened as often as the policy allows.
    pub too_often: bool,
}

/// How something that was begun ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Well.
    Well,
    /// The host came back before anything was done.
    HostReturned,
    /// Its policy did not allow it any longer before anything was done.
    Withdrawn,
    /// In any other way.
    Otherwise,
}

impl End {
    /// By the reason of its condition Succeeded.
    pub fn of(reason: &str) -> End {
        match reason {
            reasons::SUCCEEDED => End::Well,
            reasons::HOST_RETURNED | reasons::ALIVE_ELSEWHERE => End::HostReturned,
            reasons::POLICY_CHANGED => End::Withdrawn,
            _ => End::Otherwise,
        }
    }
}

impl Look<'_> {
    fn says_up(&self) -> bool {
        self.up == Some(true)
    }

    /// It is missed, and Nova calls it down.
    fn says_down(&self) -> bool {
        !self.off && self.up == Some(false)
    }

    /// With this look there were enough that found it down.
    fn is_down(&self) -> bool {
        let before = if self.old.state == AvailabilityState::Suspect { self.old.confirmations } else { 0 };
        self.says_down() && before + 1 >= self.detection.down_confirmations
    }

    /// While it is fenced nothing of what it says brings it back.
    fn speaks_for_itself(&self) -> bool {
        self.says_up() && !self.fenced
    }

    /// With this look there were enough that found it up.
    fn is_back(&self) -> bool {
        self.speaks_for_itself() && self.old.confirmations + 1 >= self.detection.up_confirmations
    }

    /// In a state that is left by looks which find it up.
    fn counts_up(&self) -> Count {
        match self.up {
            Some(true) if !self.fenced => Count::One,
            Some(false) => Count::Anew,
            _ => Count::Keep,
        }
    }
}

/// A way out of a state.
pub(super) struct Exit {
    pub to: AvailabilityState,
    pub when: fn(&Look) -> bool,
    /// The same in words.
    pub says: &'static str,
}

/// What a look counts that leads nowhere.
pub(super) enum Count {
    /// Nothing.
    Keep,
    /// One more in a row.
    One,
    /// The row begins anew.
    Anew,
}

/// A state.
pub(super) struct State {
    pub state: AvailabilityState,
    /// Ways out that looks lead, in order.
    pub exits: &'static [Exit],
    /// Ways out that something leads which is begun for it.
    pub begins: &'static [(Begin, AvailabilityState)],
    pub counts: fn(&Look) -> Count,
}

/// All of them, in order.
pub(super) const ALL: [&State; 10] = [
    &unknown::STATE,
    &up::STATE,
    &off::STATE,
    &suspect::STATE,
    &down::STATE,
    &restarting::STATE,
    &recovering::STATE,
    &recovered::STATE,
    &returning::STATE,
    &quarantined::STATE,
];

fn of(state: AvailabilityState) -> &'static State {
    use AvailabilityState::*;
    match state {
        Unknown => &unknown::STATE,
        Up => &up::STATE,
        Off => &off::STATE,
        Suspect => &suspect::STATE,
        Down => &down::STATE,
        Restarting => &restarting::STATE,
        Recovering => &recovering::STATE,
        Recovered => &recovered::STATE,
        Returning => &returning::STATE,
        Quarantined => &quarantined::STATE,
    }
}

/// Where it stands after a look.
pub(super) fn walk(look: &Look, now: Time) -> Availability {
    let old = look.old;
    let state = of(old.state);
    match state.exits.iter().find(|exit| (exit.when)(look)) {
        Some(exit) => enter(old, exit.to, now),
        None => {
            let confirmations = match (state.counts)(look) {
                Count::Keep => old.confirmations,
                Count::One => old.confirmations + 1,
                Count::Anew => 0,
            };
            Availability { confirmations, ..old.clone() }
        }
    }
}

/// Where it stands once that is begun.
pub(super) fn begun(old: &Availability, begin: Begin, now: Time) -> Availability {
    let to = of(old.state).begins.iter().find(|(what, _)| *what == begin).map_or(old.state, |(_, to)| *to);
    enter(old, to, now)
}

fn enter(old: &Availability, to: AvailabilityState, now: Time) -> Availability {
    use AvailabilityState::*;
    let mut new = Availability { state: to, confirmations: i64::from(to == Suspect), since: Some(now), ..old.clone() };
    // A restart that did not help leaves it as down as it was.
    if to == Down && old.state != Restarting {
        new.downs += 1;
        (new.evacuation, new.operation) = (None, None);
    }
    // Whoever brings it back from there has looked after it.
    if old.state == Quarantined {
        new.returns.clear();
    }
    new
}
