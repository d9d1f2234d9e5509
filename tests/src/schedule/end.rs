//! What all of it came to, when faults have stopped and time has run on.

use super::{
    plan::{HOSTS, Job, Part},
    process::{Stage, lock},
};
use schemas::{DynObject, v1::OperationState};
use std::collections::BTreeMap;
use store::{ListQuery, Store};

/// Judges the end. `guests`: those of each part.
pub async fn judge(stage: &Stage, store: &dyn Store, guests: &[(Part, Vec<String>)], bystanders: &[(String, &'static str)]) {
    history(stage, store).await;
    let operations = store.list("Operation", ListQuery::default()).await.expect("the operator's database").items;
    mirrored(stage, &operations);
    let hosts: Vec<DynObject> = store.list("Host", ListQuery::default()).await.expect("the operator's database").items;
    let strict = stage.plan.is_strict();
    let mut laws = lock(&stage.laws);
    for host in hosts.iter().filter(|h| crate::condition(h, "Ready") == "False") {
        let told = host.status["waiting"]["reason"].as_str().is_some_and(|r| !r.is_empty());
        laws.check("P7 what stands still says why", told, || format!("{} {:#}", host.id(), host.status));
    }
    if !strict {
        return;
    }
    let open: Vec<String> = laws.mirror.open().map(|(name, i)| format!("{name} {} of {}: {}", i.step.name(), i.owner, i.evidence)).collect();
    laws.check("P5 no call stays unsettled", open.is_empty(), || open.join("; "));
    let claims: Vec<String> = laws.mirror.claims.values().map(|c| format!("{} on {}", c.owner, c.host)).collect();
    laws.check("P5 no claim stays", claims.is_empty(), || claims.join("; "));
    let latched: Vec<&String> = laws.mirror.evidence.iter().filter(|(_, e)| e.latch.is_some()).map(|(h, _)| h).collect();
    let latched = format!("{latched:?}");
    laws.check("P5 no latch stays", latched == "[]", || latched);
    drop(laws);
    for (part, guests) in guests {
        for guest in guests {
            placed(stage, part, guest);
        }
    }
    for (guest, host) in bystanders {
        let runs = stage.with(|w| w.running_on(guest));
        lock(&stage.laws).check("P5 bystanders are left alone", runs == [*host], || format!("{guest} of {host} runs on {runs:?}"));
    }
    for host in HOSTS {
        let ok = stage.with(|w| w.state()).hosts.iter().any(|h| h.name == host && h.power && h.enabled && h.up && !h.forced_down && !h.crashed);
        lock(&stage.laws).check("P5 every host is back", ok, || stage.with(|w| w.describe()));
    }
}

/// Same end as without faults: moved away or left where it was, running or stopped as it was.
fn placed(stage: &Stage, part: &Part, guest: &str) {
    let Some(row) = stage.with(|w| w.show(guest)) else { return };
    let (runs, records) = stage.with(|w| (w.running_on(guest), w.records_of(guest)));
    let home = row.host.clone().unwrap_or_default();
    let name: usize = row.name.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let stopped = name < part.stopped || part.job == Job::PowerCycle;
    let moves = match part.job {
        Job::Crashed | Job::ComputeDead | Job::RebuiltAlive | Job::Burnt => true,
        Job::EvacuatedAlive | Job::Drain | Job::DeclaredOff | Job::Shutdown => !stopped,
        Job::PowerCycle | Job::Disable => false,
    };
    let words = format!(
        "{} ({guest}) of {:?} on {}: Nova shows it {} on {home}, it runs on {runs:?}, records {records:?}",
        row.name, part.job, part.host, row.status
    );
    let mut laws = lock(&stage.laws);
    // With two hosts at work, guests of one may be moved on, or back, by the other.
    let alone = stage.plan.parts.len() == 1;
    laws.check("P5 guests are where they would be", !alone || moves == (home != part.host), || words.clone());
    let ran = if stopped { row.status == "SHUTOFF" && runs.is_empty() } else { row.status == "ACTIVE" && runs == [home] };
    laws.check("P5 guests run as they would", ran, || words.clone());
    let done = |kind: &str| records.iter().filter(|r| r.0 == kind && matches!(r.1, "done" | "completed") && r.2 == part.host).count();
    let once = done("evacuation") + done("live-migration") == usize::from(moves);
    laws.check("P5 each guest is moved once", once, || words);
}

/// Nothing acknowledged is lost, nothing is there twice: history has no hole, and gives the present state.
pub(super) async fn history(stage: &Stage, store: &dyn Store) {
    let row = store.revision().await.expect("the operator's database");
    let mut present: BTreeMap<String, DynObject> = BTreeMap::new();
    let (mut next, mut whole) = (row.compacted + 1, true);
    loop {
        let batch = store.changes(next - 1, 500).await.expect("the operator's database");
        if batch.is_empty() {
            break;
        }
        for change in batch {
            whole &= change.revision == next;
            next = change.revision + 1;
            match change.op {
                store::ChangeOp::Deleted => drop(present.remove(&change.object.id())),
                _ => drop(present.insert(change.object.id(), change.object)),
            }
        }
    }
    let mut laws = lock(&stage.laws);
    laws.check("history has no hole", whole && next == row.current + 1, || format!("it ends before {next}, the newest is {}", row.current));
    let missing: Vec<String> = laws.mirror.objects.iter().filter(|(id, o)| present.get(*id) != Some(*o)).map(|(id, _)| id.clone()).collect();
    laws.check("nothing acknowledged is lost", missing.is_empty(), || missing.join(", "));
}

/// What the laws believe of intents is what the database has.
pub(super) fn mirrored(stage: &Stage, operations: &[DynObject]) {
    let state = |o: &DynObject| serde_json::from_value::<OperationState>(o.status["state"].clone()).unwrap_or_default();
    let mut laws = lock(&stage.laws);
    let same = operations.len() == laws.mirror.intents.len()
        && operations.iter().all(|o| laws.mirror.intents.get(&o.metadata.name).is_some_and(|i| i.state == state(o)));
    laws.check("nothing acknowledged is lost", same, || "the intents in the database are not those that were written".into());
}
