//! The shortest schedule that still breaks the same law.

use super::{
    plan::Plan,
    recovery::PIECES,
    run::{Outcome, run},
};
use std::fmt;

/// Which faults and parts of a seed's schedule are kept, and which pieces of recovery are not: `f0,f3,p0,no-pool`. Without any
/// part, all parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    pub faults: Vec<usize>,
    pub parts: Vec<usize>,
    pub freeze: bool,
    /// Pieces of recovery that are left out.
    pub without: Vec<&'static str>,
}

impl Keep {
    /// All of a schedule.
    pub fn all(plan: &Plan) -> Keep {
        Keep { faults: (0..plan.faults.len()).collect(), parts: (0..plan.parts.len()).collect(), freeze: plan.freeze.is_some(), without: Vec::new() }
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Result<Keep, String> {
        let mut keep = Keep::default();
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            if let Some(piece) = word.strip_prefix("no-").and_then(|rest| PIECES.into_iter().find(|p| *p == rest)) {
                keep.without.push(piece);
                continue;
            }
            let wrong = || format!("{word:?}: write f or p and a number, freeze, or no- and one of {PIECES:?}");
            let number = |rest: &str| rest.parse().map_err(|_| wrong());
            match (word, word.strip_prefix('f'), word.strip_prefix('p')) {
                ("freeze", ..) => keep.freeze = true,
                (_, Some(rest), _) => keep.faults.push(number(rest)?),
                (_, _, Some(rest)) => keep.parts.push(number(rest)?),
                _ => return Err(wrong()),
            }
        }
        Ok(keep)
    }

    /// The schedule with these only.
    pub fn of(&self, plan: &Plan) -> Plan {
        let mut shorter = plan.clone();
        shorter.faults = self.faults.iter().filter_map(|n| plan.faults.get(*n).copied()).collect();
        if !self.parts.is_empty() {
            shorter.parts = self.parts.iter().filter_map(|n| plan.parts.get(*n).copied()).collect();
        }
        shorter.freeze = plan.freeze.filter(|_| self.freeze);
        shorter.watch = plan.watch.map(|watch| self.without.iter().fold(watch, |watch, piece| watch.without(piece)));
        shorter
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults.iter().map(|n| format!("f{n}"));
        let parts = self.parts.iter().map(|n| format!("p{n}"));
        let freeze = self.freeze.then(|| "freeze".to_string());
        let without = self.without.iter().map(|piece| format!("no-{piece}"));
        write!(f, "{}", faults.chain(parts).chain(freeze).chain(without).collect::<Vec<_>>().join(","))
    }
}

/// Leaves things out as long as the same law is broken. Gives what was kept and how that ends.
pub fn shrink(plan: &Plan, outcome: Outcome) -> (Keep, Outcome) {
    let mut kept = (Keep::all(plan), outcome);
    let Some(law) = kept.1.violation.as_ref().map(|v| v.law) else { return kept };
    while let Some(shorter) = shorter(plan, &kept.0, law) {
        kept = shorter;
    }
    kept
}

/// One thing less, if that still breaks the law.
fn shorter(plan: &Plan, keep: &Keep, law: &str) -> Option<(Keep, Outcome)> {
    let mut tries = Vec::new();
    for n in 0..keep.parts.len() {
        let mut parts = keep.parts.clone();
        parts.remove(n);
        tries.push(Keep { parts, ..keep.clone() });
    }
    tries.retain(|k| !k.parts.is_empty());
    for n in 0..keep.faults.len() {
        let mut faults = keep.faults.clone();
        faults.remove(n);
        tries.push(Keep { faults, ..keep.clone() });
    }
    if keep.freeze {
        tries.push(Keep { freeze: false, ..keep.clone() });
    }
    for piece in PIECES.into_iter().filter(|p| !keep.without.contains(p) && plan.watch.is_some_and(|w| w.without(p) != w)) {
        let mut without = keep.without.clone();
        without.push(piece);
        tries.push(Keep { without, ..keep.clone() });
    }
    tries.into_iter().find_map(|k| {
        let outcome = run(&k.of(plan), false);
        outcome.violation.as_ref().is_some_and(|v| v.law == law).then_some((k, outcome))
    })
}
