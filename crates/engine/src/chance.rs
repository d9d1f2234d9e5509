//! Randomness of pauses: real, or repeatable for tests whose time is simulated.

use rand::{Rng, SeedableRng, rngs::StdRng};
use std::cell::RefCell;

thread_local! {
    static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// From now on the pauses of this thread are those of `seed`: a schedule that is run again is the same schedule.
pub fn repeat(seed: u64) {
    SEEDED.with(|rng| *rng.borrow_mut() = Some(StdRng::seed_from_u64(seed)));
}

/// A number from `low` to `high`.
pub(crate) fn between(low: f64, high: f64) -> f64 {
    SEEDED.with(|rng| match rng.borrow_mut().as_mut() {
        Some(rng) => rng.random_range(low..high),
        None => rand::random_range(low..high),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_pauses() {
        let row = |seed| {
            repeat(seed);
            (0..8).map(|_| between(0.8, 1.2)).collect::<Vec<_>>()
        };
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
        assert!(row(3).iter().all(|n| (0.8..1.2).contains(n)));
    }
}
