//! What a schedule of recovery came to, when faults have stopped, every limit is lifted, and time has run on.

use super::{
    end,
    mirror::{Intent, Mirror},
    plan::HOSTS,
    process::{Stage, lock},
};
use planner::Step;
use schemas::{DynObject, v1::reasons};
use serde_json::Value;
use simulator::World;
use store::{ListQuery, Store};

/// What only a person, or another machine, can change.
const PERSONS: [&str; 12] = [
    reasons::NEEDS_HUMAN,
    reasons::POLICY_CHANGED,
    reasons::APPROVAL_REQUIRED,
    reasons::NO_DESTINATION,
    reasons::MOVE_IN_FLIGHT,
    reasons::GUEST_CANNOT_MOVE,
    reasons::GUESTS_RUNNING,
    reasons::IN_DOUBT,
    reasons::STATE_UNSUITABLE,
    reasons::SERVER_GROUP,
    reasons::SERVICE_DOWN,
    reasons::FENCED,
];

fn is_open(o: &DynObject) -> bool {
    matches!(o.kind.as_str(), "Evacuation" | "HostOperation" | "FenceDrill") && o.status["finishedAt"].is_null()
}

fn waits(o: &DynObject) -> &str {
    o.status["waiting"]["reason"].as_str().unwrap_or_default()
}

/// Whether it waits for a person.
fn asks(o: &DynObject) -> bool {
    // Placement shows the trait of a disabled host only after a restart of a nova-compute that did not hear of it; and whether a
    // guest arrived whose source died in the middle, the hypervisor alone can tell.
    let advice = ["restart its nova-compute", "look at the hypervisor"];
    let unheard = || waits(o) == reasons::PROVING_EMPTY && advice.iter().any(|a| crate::message(o, "Ready").contains(a));
    PERSONS.contains(&waits(o)) || unheard()
}

fn each<'a>(status: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    status[field].as_array().into_iter().flatten()
}

/// What is still going on by itself, if anything.
pub fn restless(mirror: &Mirror, world: &World) -> Option<String> {
    // Who waits for another that waits for a person waits for that person as well.
    let behind = |o: &DynObject| {
        let others = || mirror.objects.values().filter(|other| is_open(other) && asks(other) && other.id() != o.id());
        match waits(o) {
            reasons::CLAIMED => others().any(|other| other.spec["hostRef"] == o.spec["hostRef"]),
            reasons::EVACUATION_LIMIT => {
                // The calls that take all places are those of evacuations that wait for a person, and of some that wait behind these.
                let held = |i: &Intent, whom: &dyn Fn(&DynObject) -> bool| {
                    matches!(i.step, Step::Evacuate { .. }) && mirror.objects.get(&i.owner).is_some_and(|o| is_open(o) && whom(o))
                };
                let at_rest = |o: &DynObject| asks(o) || waits(o) == reasons::EVACUATION_LIMIT;
                let here = o.spec["hostRef"]["name"].as_str().unwrap_or_default();
                let full = |host: Option<&str>, most: i64| {
                    let calls = || mirror.open().map(|(_, i)| i).filter(|i| host.is_none_or(|h| i.host == h));
                    calls().filter(|i| held(i, &at_rest)).count() as i64 >= most && calls().any(|i| held(i, &asks))
                };
                full(None, mirror.limit("maxEvacuations")) || full(Some(here), mirror.limit("maxPerHost"))
            }
            // Members of a server group are moved one at a time, whoever moves them.
            reasons::WAITING_FOR_MOVES => crate::message(o, "Ready").contains("another member of its server group") && others().next().is_some(),
            _ => false,
        }
    };
    let for_person = |o: &DynObject| asks(o) || behind(o);
    if let Some(o) = mirror.objects.values().find(|o| is_open(o) && !for_person(o)) {
        return Some(format!("{} goes on: {:#}", o.id(), o.status));
    }
    let owner_waits = |owner: &str| mirror.objects.get(owner).is_some_and(|o| is_open(o) && for_person(o));
    let open: Vec<String> =
        mirror.open().filter(|(_, i)| !owner_waits(&i.owner)).map(|(n, i)| format!("{n} {} of {}", i.step.name(), i.owner)).collect();
    // Its owner may have been cancelled over it: then a person settles it.
    let orphan = |name: &str| mirror.objects.get(name).is_none_or(|o| crate::reason(o, "Succeeded") == "Cancelled");
    if !open.is_empty() && mirror.open().any(|(_, i)| !owner_waits(&i.owner) && !orphan(&i.owner)) {
        return Some(format!("not settled: {}", open.join(", ")));
    }
    // Nobody is left who could tell the observer from the dead.
    let in_doubt =
        mirror.objects.values().any(|o| o.kind == "RemediationPolicy" && crate::reason(o, "RemediationAllowed") == reasons::OBSERVER_IN_DOUBT);
    for host in HOSTS {
        let Some(o) = mirror.objects.get(&format!("Host/{host}")) else { continue };
        let state = o.status["availability"]["state"].as_str().unwrap_or_default();
        let held = crate::condition(o, "RemediationAllowed") != "True";
        let by_person = || mirror.objects.values().any(|e| is_open(e) && for_person(e) && e.spec["hostRef"]["name"] == host);
        let moves = match state {
            "Suspect" => !in_doubt,
            "Restarting" | "Recovering" | "Returning" => !by_person(),
            "Down" | "Recovered" => !held,
            _ => false,
        };
        if moves {
            return Some(format!("Host/{host} is {state}: {}", crate::message(o, "RemediationAllowed")));
        }
    }
    for pool in mirror.objects.values().filter(|o| o.kind == "StandbyPool") {
        let empty = |lease: &Value| lease["host"].as_str().is_some_and(|h| world.guests_of(h).is_empty());
        // Of a host that is dead as well nobody knows whether it is empty.
        let is_up = |l: &Value| {
            l["host"].as_str().and_then(|h| mirror.objects.get(&format!("Host/{h}"))).is_none_or(|h| h.status["availability"]["state"] == "Up")
        };
        let unfinished = |l: &&Value| l["state"] == "Waking" || (empty(l) && (l["state"] == "Returning" || (l["over"] == true && is_up(l))));
        let lease = each(&pool.status, "leased")
            .find(|l| unfinished(l) && !each(&pool.status, "members").any(|m| m["host"] == l["host"] && is_held(mirror, m)));
        if let Some(lease) = lease {
            return Some(format!("{} has the lease {lease}: {}", pool.id(), pool.status["waiting"]));
        }
        if let Some(member) = each(&pool.status, "members").find(|m| m["state"] == "Settling" && !is_held(mirror, m)) {
            return Some(format!("{}: {member}: {}", pool.id(), pool.status["waiting"]));
        }
    }
    None
}

/// Whether an operation on a member waits for a person.
fn is_held(mirror: &Mirror, member: &Value) -> bool {
    mirror.objects.values().any(|o| is_open(o) && o.spec["hostRef"]["name"] == member["host"] && asks(o))
}

/// Judges the end. `rested`: what still went on, if something did.
pub async fn judge(stage: &Stage, store: &dyn Store, rested: Result<(), String>) {
    end::history(stage, store).await;
    let operations = store.list("Operation", ListQuery::default()).await.expect("the operator's database").items;
    end::mirrored(stage, &operations);
    let gentle = stage.plan.is_gentle();
    if let Err(what) = &rested {
        lock(&stage.laws).check("P5 it comes to rest", !gentle, || what.clone());
    }
    says_why(stage);
    let objects = lock(&stage.laws).mirror.objects.clone();
    if gentle {
        for evacuation in objects.values().filter(|o| o.kind == "Evacuation" && !is_open(o)) {
            runs_where_it_was_sent(stage, evacuation);
        }
        let kept: Vec<String> = lock(&stage.laws).memory.kept_disabled.iter().cloned().collect();
        for service in stage.with(|w| w.services_shown()).into_iter().filter(|s| kept.contains(&s.host)) {
            let fine = service.enabled != Some(true);
            lock(&stage.laws).check("P13 what somebody else disabled stays disabled", fine, || service.host.clone());
        }
    }
    if let Some(host) = stage.plan.has_to_recover() {
        let state = objects.get(&format!("Host/{host}")).and_then(|o| o.status["availability"]["state"].as_str()).unwrap_or_default().to_string();
        let acted = !matches!(state.as_str(), "Down" | "Suspect" | "Unknown" | "");
        lock(&stage.laws).check("P5 who dies alone, within the limits, is recovered", acted, || {
            format!("{host} is {state}: {:#}", objects.get(&format!("Host/{host}")).map(|o| o.status.clone()).unwrap_or_default())
        });
    }
}

/// P7: whatever is not as it should be says why.
fn says_why(stage: &Stage) {
    let objects = lock(&stage.laws).mirror.objects.clone();
    for o in objects.values() {
        let text = |v: &Value| v.as_str().is_some_and(|t| !t.is_empty());
        let told = match o.kind.as_str() {
            _ if is_open(o) => text(&o.status["waiting"]["reason"]) && text(&o.status["waiting"]["message"]),
            "Evacuation" | "HostOperation" | "FenceDrill" => !crate::message(o, "Succeeded").is_empty(),
            "Host" => match o.status["availability"]["state"].as_str() {
                Some("Up" | "Off" | "Unknown") | None => true,
                _ => !crate::reason(o, "RemediationAllowed").is_empty() && !crate::message(o, "RemediationAllowed").is_empty(),
            },
            "StandbyPool" => each(&o.status, "members").all(|m| m["state"] == "Idle" || text(&m["message"])),
            _ => true,
        };
        lock(&stage.laws).check("P7 what stands still says why", told, || format!("{} {:#}", o.id(), o.status));
    }
}

/// A guest that was moved, and whose new host has not died since, runs there and nowhere else.
fn runs_where_it_was_sent(stage: &Stage, evacuation: &DynObject) {
    let Some(ended) = evacuation.status["finishedAt"].as_str().and_then(|t| schemas::Time::parse(t).ok()) else { return };
    for guest in each(&evacuation.status, "guests").filter(|g| g["outcome"] == "Moved" && g["vm_state"] != "stopped" && g["leaveStopped"] != true) {
        let (id, there) = (guest["id"].as_str().unwrap_or_default(), guest["destination"].as_str().unwrap_or_default());
        let Some(shown) = stage.with(|w| w.show(id)).filter(|s| s.host.as_deref() == Some(there)) else { continue };
        let since = guest["finishedAt"].as_str().and_then(|t| schemas::Time::parse(t).ok()).unwrap_or(ended);
        let (well, runs) = stage.with(|w| {
            let ms = w.now() - since.0 / 1_000 + 30_000;
            (lock(&stage.laws).was_well(there, ms, w), w.running_on(id))
        });
        if guest["vmState"] == "active" && well {
            let fine = shown.status == "ACTIVE" && runs == [there];
            lock(&stage.laws).check("P5 guests run where they were sent", fine, || {
                format!("{} of {}: Nova shows {} on {there}, it runs on {runs:?}", shown.name, evacuation.id(), shown.status)
            });
        }
    }
}
