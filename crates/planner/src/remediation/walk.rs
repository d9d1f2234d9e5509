//! How a host walks from state to state, one look at a time.

use schemas::{
    Time,
    v1::{Availability, AvailabilityState, Detection},
};

/// What speaks for a move in this pass.
pub(super) struct Look {
    /// What Nova says; `None`: nobody can tell.
    pub up: Option<bool>,
    /// Off as declared or commanded.
    pub off: bool,
    /// Its automatic evacuation has ended.
    pub ended: bool,
    /// It ended because the host came back before anything was done.
    pub returned: bool,
    /// The host is held down by the latch of S10.
    pub fenced: bool,
}

/// The next state. What cannot be read moves nothing (S1).
pub(super) fn walk(old: &Availability, look: &Look, detection: &Detection, now: Time) -> Availability {
    use AvailabilityState::*;
    let to = |state: AvailabilityState| Availability { state, confirmations: 0, since: Some(now), ..old.clone() };
    let counted = |state: AvailabilityState, needed: i64, next: AvailabilityState| {
        let confirmations = if old.state == state { old.confirmations + 1 } else { 1 };
        if confirmations >= needed {
            return to(next);
        }
        Availability { confirmations, ..if old.state == state { old.clone() } else { to(state) } }
    };
    let down = || {
        let next = counted(Suspect, detection.down_confirmations, Down);
        let first = next.state == Down;
        Availability { downs: old.downs + i64::from(first), evacuation: old.evacuation.clone().filter(|_| !first), ..next }
    };
    // What was begun goes on, whatever it looks like meanwhile.
    if old.state == Recovering {
        return match (look.ended, look.returned) {
            (false, _) => old.clone(),
            (true, false) => to(Recovered),
            (true, true) => to(Unknown),
        };
    }
    if look.off {
        return if old.state == Off { old.clone() } else { to(Off) };
    }
    match (old.state, look.up) {
        (_, None) => old.clone(),
        (Up, Some(true)) => old.clone(),
        (Unknown | Off | Suspect, Some(true)) => to(Up),
        (Unknown | Off | Up | Suspect, Some(false)) => down(),
        // While it is fenced nothing of what it says brings it back.
        (Down | Recovered, Some(true)) if look.fenced => old.clone(),
        (Down | Recovered, Some(true)) => counted(old.state, detection.up_confirmations, Up),
        (Down | Recovered, Some(false)) => Availability { confirmations: 0, ..old.clone() },
        (Recovering, _) => old.clone(),
    }
}
