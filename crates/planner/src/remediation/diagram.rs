//! The states as a document: made of the tables that hosts walk by.

use super::{states, verdict::Begin};
use schemas::v1::AvailabilityState;
use std::fmt::Write;

const HEAD: &str = "# The states of a host

How a host walks through `status.availability.state`, as its RemediationPolicy has it. This page is made of the tables in `crates/planner/src/remediation/states/`, which the controller runs by: `UPDATE_DOCS=1 cargo test -p planner --test rules remediation`.

Each look takes the first way out whose condition holds, top to bottom; what cannot be read takes none. A way marked `begin` is taken in the transaction that makes the HostOperation or Evacuation. Where `returnToService.approval` is Required, the one out of Recovered also waits until a person has approved it (`ApprovalRequired`).
";

fn word(begin: Begin) -> &'static str {
    match begin {
        Begin::Restart => "a HostOperation PowerCycle",
        Begin::Evacuate => "an Evacuation",
        Begin::PowerOn => "a HostOperation PowerOn",
        Begin::Enable => "a HostOperation Enable",
    }
}

/// Every way from state to state: from, to, and what leads there. `true`: something is begun for it.
fn ways() -> impl Iterator<Item = (AvailabilityState, AvailabilityState, String, bool)> {
    states::ALL.into_iter().flat_map(|state| {
        let looks = state.exits.iter().map(|exit| (state.state, exit.to, exit.says.to_string(), false));
        let begins = state.begins.iter().map(|(begin, to)| (state.state, *to, format!("begin {}", word(*begin)), true));
        looks.chain(begins)
    })
}

/// `docs/REMEDIATION.md`.
pub fn document() -> String {
    let mut text = format!("{HEAD}\n```mermaid\nstateDiagram-v2\n    [*] --> Unknown\n");
    let mut drawn: Vec<(AvailabilityState, AvailabilityState)> = Vec::new();
    for (from, to, ..) in ways() {
        if !drawn.contains(&(from, to)) {
            drawn.push((from, to));
            let begun = ways().any(|(f, t, _, begun)| (f, t) == (from, to) && begun);
            let _ = writeln!(text, "    {from:?} --> {to:?}{}", if begun { ": begin" } else { "" });
        }
    }
    text.push_str("```\n\n| From | To | When |\n|---|---|---|\n");
    for (from, to, when, _) in ways() {
        let _ = writeln!(text, "| {from:?} | {to:?} | {when} |");
    }
    text
}
