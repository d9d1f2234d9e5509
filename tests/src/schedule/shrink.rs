//! The shortest schedule that still breaks the same law.

use super::{
    plan::Plan,
    run::{Outcome, run},
};
use std::fmt;

/// Which faults and parts of a seed's schedule are kept: `f0,f3,p0`. Without any part, all parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    pub faults: Vec<usize>,
    pub parts: Vec<usize>,
    pub freeze: bool,
}

impl Keep {
    /// All of a schedule.
    pub fn all(plan: &Plan) -> Keep {
        Keep { faults: (0..plan.faults.len()).collect(), parts: (0..plan.parts.len()).collect(), freeze: plan.freeze.is_some() }
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Result<Keep, String> {
        let mut keep = Keep::default();
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let number = |rest: &str| rest.parse().map_err(|_| format!("{word:?}: write f or p and a number, or freeze"));
            match (word, word.strip_prefix('f'), word.strip_prefix('p')) {
                ("freeze", ..) => keep.freeze = true,
                (_, Some(rest), _) => keep.faults.push(number(rest)?),
                (_, _, Some(rest)) => keep.parts.push(number(rest)?),
                _ => return Err(format!("{word:?}: write f or p and a number, or freeze")),
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
        shorter
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults.iter().map(|n| format!("f{n}"));
        let parts = self.parts.iter().map(|n| format!("p{n}"));
        let freeze = self.freeze.then(|| "freeze".to_string());
        write!(f, "{}", faults.chain(parts).chain(freeze).collect::<Vec<_>>().join(","))
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
    tries.into_iter().find_map(|k| {
        let outcome = run(&k.of(plan), false);
        outcome.violation.as_ref().is_some_and(|v| v.law == law).then_some((k, outcome))
    })
}
