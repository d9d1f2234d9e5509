//! Many hosts that fall silent at once: more likely a network's doing, or the observer's, than theirs (I5, I7).
//!
//! The hold is over all watched hosts, whatever policy is theirs, and ends by itself: a rack that is truly dead is not ignored for
//! ever. From then on the ordinary limits protect.

use super::{
    budget::is_expired,
    input::{HostRow, Input, PolicyRow},
    verdict::Answer,
};
use schemas::{
    ConditionStatus,
    v1::{Availability, AvailabilityState, Storm, Watching, reasons},
};

/// Fewer hosts than this are never a mass: of a small cloud half is soon silent.
const FEWEST: i64 = 4;

/// Hosts, and of these those of which it is known.
#[derive(Clone, Copy, Debug, Default)]
struct Heads {
    all: i64,
    known: i64,
}

/// What is silent of all hosts that are watched.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mass {
    /// Hosts that are watched, and not off as declared.
    watched: i64,
    /// Silent, and nothing was done about it yet.
    silent: Heads,
    /// Of these, hosts that fell silent within the time that confirms it.
    fresh: Heads,
}

impl Mass {
    /// Counts a host. Who is not heard may have fallen silent just now (S1); of whom nobody can tell whose it is, nobody counts the looks.
    pub fn count(&mut self, row: &HostRow, policy: Option<&PolicyRow>, now: &Availability, input: &Input) {
        use AvailabilityState::{Down, Off, Suspect, Unknown, Up};
        let detection = policy.map(|p| &p.policy.spec.detection);
        if now.state == Off || detection.is_some_and(|d| d.mode == Watching::Off) {
            return;
        }
        self.watched += 1;
        // What is being recovered, or held down, is silent by our own doing.
        if !matches!(now.state, Unknown | Up | Suspect | Down) || row.host.status.fence.is_some() {
            return;
        }
        let unheard = row.up.is_unknown();
        let (silent, fresh) = match detection {
            Some(d) => {
                let window = d.interval_seconds.saturating_mul(d.down_confirmations);
                let just_now = now.since.is_some_and(|since| input.seconds_since(since) < window);
                (matches!(now.state, Suspect | Down), now.state == Suspect || (now.state == Down && just_now))
            }
            None => (row.up.seen() == Some(&false), row.up.seen() == Some(&false)),
        };
        for (heads, is) in [(&mut self.silent, silent), (&mut self.fresh, fresh)] {
            heads.all += i64::from(is || unheard);
            heads.known += i64::from(is);
        }
    }

    /// So many may be silent.
    fn limit(&self, policy: &PolicyRow) -> i64 {
        (self.watched.saturating_mul(policy.policy.spec.limits.max_silent_at_once_permille) / 1_000).max(FEWEST - 1)
    }

    fn in_words(&self, policy: &PolicyRow) -> String {
        let permille = policy.policy.spec.limits.max_silent_at_once_permille;
        format!("{} of {} watched hosts fell silent at once, limits.maxSilentAtOncePermille is {permille}", self.silent.all, self.watched)
    }

    /// What is remembered after a look. It takes hosts that fell silent at once to begin a hold, and it lasts as long as so many are
    /// silent. Its time runs from the last look in which so many had just fallen silent, by hosts that are known to be silent alone.
    fn after_look(&self, old: &Storm, limit: i64, input: &Input) -> Storm {
        let fresh = self.fresh.all > limit;
        let held = fresh || (old.since.is_some() && self.silent.all > limit);
        let known_since = match (held, fresh) {
            (false, _) => None,
            (true, true) => Some(input.now),
            (true, false) => (self.silent.known > limit).then(|| old.known_since.unwrap_or(input.now)),
        };
        Storm {
            since: held.then(|| old.since.unwrap_or(input.now)),
            known_since,
            expired_at: old.expired_at.filter(|_| known_since.is_some() && !fresh),
            ..Storm::default()
        }
    }

    /// What is remembered of it, and what people should hear of. While those who look are in doubt nothing begins, ends or expires.
    pub fn remember(&self, policy: &PolicyRow, input: &Input) -> (Option<Storm>, Vec<(&'static str, String)>) {
        let seconds = policy.policy.spec.limits.mass_silence_hold_seconds;
        let old = policy.policy.status.mass_silence.clone().unwrap_or_default();
        let mut new = match input.observer.doubt() {
            Some(_) => Storm { known_since: None, expired_at: None, ..old.clone() },
            None => self.after_look(&old, self.limit(policy), input),
        };
        let mut told = Vec::new();
        let again = old.expired_at.is_some() && new.expired_at.is_none();
        if new.since.is_some() && input.observer.doubt().is_none() && (old.since.is_none() || again) {
            told.push((reasons::MASS_SILENCE, self.in_words(policy)));
        }
        if is_expired(&new, seconds, input) && new.expired_at.is_none() {
            new.expired_at = Some(input.now);
            let note = format!("{}; that has held for {seconds} s and holds no longer: only the other limits protect", self.in_words(policy));
            told.push((reasons::HOLD_EXPIRED, note));
        }
        ((new != Storm::default()).then_some(new), told)
    }

    /// Why nothing is begun, if that is why. `storm` is what is remembered of it.
    pub fn hold(&self, policy: &PolicyRow, storm: Option<&Storm>, input: &Input) -> Option<Answer> {
        let limits = &policy.policy.spec.limits;
        storm.filter(|s| s.since.is_some() && !is_expired(s, limits.mass_silence_hold_seconds, input))?;
        let message = format!(
            "{}: the silence may be that of a network or of Nova, not the hosts'. Look at what they have in common; nothing is begun for as long as they are silent, at most limits.massSilenceHoldSeconds ({}), unless somebody evacuates hosts one by one by hand",
            self.in_words(policy),
            limits.mass_silence_hold_seconds
        );
        Some(Answer { status: ConditionStatus::Unknown, reason: reasons::MASS_SILENCE, message })
    }
}
