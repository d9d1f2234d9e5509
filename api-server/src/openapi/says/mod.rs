//! The words of each operation. Every route of the table names one of these functions.

pub(crate) mod batches;
pub(crate) mod discovery;
pub(crate) mod hosts;
pub(crate) mod identity;
pub(crate) mod kinds;
pub(crate) mod tasks;

use schemas::kinds::KINDS;
use serde_json::{Value, json};

const DISCOVERY: &str = "Discovery";
const HEALTH: &str = "Health";
const IDENTITY: &str = "Identity";
const TASKS: &str = "Tasks";
const HOSTS: &str = "Hosts now";
const RECOVERY: &str = "Recovery";
const BATCHES: &str = "Batches";

/// The groups that operations stand in.
pub(super) fn tags() -> Vec<Value> {
    let ours = [
        (DISCOVERY, "What there is, without a token: versions, and this document; with one: kinds and their schemas."),
        (HEALTH, "For load balancers and probes."),
        (IDENTITY, "What a token is, and what it may do."),
        (TASKS, "Host actions and tasks, as the product's earlier clients know them."),
        (HOSTS, "What is seen of a host now, beside its object."),
        (RECOVERY, "What would be recovered now, and what other channels saw."),
        (BATCHES, "Many objects of any kinds at once."),
    ];
    let ours = ours.iter().map(|(name, words)| json!({"name": name, "description": words}));
    ours.chain(KINDS.iter().map(|kind| json!({"name": kind.kind, "description": of_kind(kind.kind, kind.one_shot, kind.read_only)}))).collect()
}

fn of_kind(kind: &str, one_shot: bool, read_only: bool) -> String {
    match (one_shot, read_only) {
        (true, _) => format!("Objects of kind {kind}: work that is done once. Their spec cannot change but for `cancel`."),
        (_, true) => format!("Objects of kind {kind}, written by the controller."),
        _ => format!("Objects of kind {kind}."),
    }
}
