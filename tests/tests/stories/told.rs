//! What a change of an object tells a person.

use client::why::why;
use schemas::{DynObject, Time, v1::reasons as r};
use serde_json::Value;
use workspace_tests::{condition, message, reason, waits_for};

/// Waits that are work in progress: they come and go with the passes, and hold nothing up.
const IN_PROGRESS: [&str; 8] =
    [r::PROGRESSING, r::SETTLING, r::WAITING_FOR_POWER, r::PROVING_OFF, r::WAITING_FOR_MOVES, r::REPLANNING, r::PROVING_UP, r::RETRYING];
/// Conditions whose change of reason is told, by kind.
const CONDITIONS: [(&str, &[&str]); 9] = [
    ("Host", &["Fenced"]),
    ("Evacuation", &["Succeeded", "EvidenceSufficient", "Paused"]),
    ("HostOperation", &["Succeeded", "Paused"]),
    ("FenceAttestation", &["Accepted", "Succeeded"]),
    ("FenceDrill", &["Succeeded"]),
    ("PowerLink", &["Verified"]),
    ("RemediationPolicy", &["RemediationAllowed"]),
    ("StandbyPool", &["MembersResolved", "Sufficient", "Paused"]),
    ("ClusterPolicy", &["Paused"]),
];

/// A sentence of the trace.
pub struct Told {
    /// Without ids and times.
    pub text: String,
    /// Why nothing is done: the reason of a hold or a refusal.
    pub hold: Option<String>,
}

/// The host that an object is about; empty: the cloud.
pub fn subject(object: &DynObject) -> String {
    match object.kind.as_str() {
        "Host" => object.metadata.name.clone(),
        _ => object.spec["hostRef"]["name"].as_str().unwrap_or_default().into(),
    }
}

/// What is new in `next`.
pub fn changes(before: Option<&DynObject>, next: &DynObject) -> Vec<Told> {
    let mut all = Vec::new();
    let mut say = |text: String, hold: Option<&str>| all.push(Told { text: format!("{}{text}", next.id()), hold: hold.map(String::from) });
    if before.is_none() {
        born(next, &mut say);
    }
    if next.kind == "Host" {
        availability(before, next, &mut say);
    }
    let waits = waits_for(next);
    if !waits.is_empty() && before.map(waits_for) != Some(waits) && !IN_PROGRESS.contains(&waits) {
        say(format!(" waits for {waits}: {}", text(&next.status["waiting"]["message"])), Some(waits));
    }
    let wanted = CONDITIONS.iter().find(|(kind, _)| *kind == next.kind).map_or(&[][..], |(_, wanted)| wanted);
    for kind in wanted {
        let now = (condition(next, kind), reason(next, kind));
        let known = before.map_or(("", ""), |b| (condition(b, kind), reason(b, kind)));
        if now == known || now.0.is_empty() || (now.0 == "Unknown" && before.is_none_or(|b| condition(b, kind).is_empty())) {
            continue;
        }
        if IN_PROGRESS.contains(&now.1) || (*kind == "Paused" && now.0 != "True" && known.0 != "True") {
            continue;
        }
        let held = now.0 != "True" && matches!(*kind, "Succeeded" | "RemediationAllowed" | "Verified" | "MembersResolved" | "Sufficient");
        let words = format!(" {kind}={} {}: {}", now.0, now.1, message(next, kind));
        say(words.trim_end_matches(": ").into(), held.then_some(now.1));
    }
    guests(before, next, &mut say);
    members(before, next, &mut say);
    all
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn born(object: &DynObject, say: &mut impl FnMut(String, Option<&str>)) {
    match object.kind.as_str() {
        "HostOperation" if object.spec["cause"] == "Automatic" => say(format!(" is begun without a person: {}", text(&object.spec["type"])), None),
        "Evacuation" if object.spec["cause"] == "Automatic" => say(" is begun without a person".into(), None),
        "EvacuationPlan" => {
            let item = |i: &Value| match (text(&i["destination"]), text(&i["why"])) {
                ("", why) => format!("{} stays: {why}", text(&i["name"])),
                (host, "") => format!("{} to {host}", text(&i["name"])),
                (host, why) => format!("{} to {host}: {why}", text(&i["name"])),
            };
            let items: Vec<String> = object.spec["items"].as_array().into_iter().flatten().map(item).collect();
            say(format!(": {}", items.join("; ")), None);
        }
        _ => {}
    }
}

/// Where the watch over hosts has it, what speaks for its death, and why nothing is done.
fn availability(before: Option<&DynObject>, next: &DynObject, say: &mut impl FnMut(String, Option<&str>)) {
    let state = |o: &DynObject| text(&o.status["availability"]["state"]).to_string();
    let allowed = |o: &DynObject| reason(o, "RemediationAllowed").to_string();
    let now = state(next);
    let known = before.map(state).unwrap_or_default();
    let quiet = ["", "Unknown", "Up", "Off"].contains(&now.as_str());
    if now != known && quiet && !["", "Unknown"].contains(&known.as_str()) {
        say(format!(" is {now}"), None);
    } else if !quiet && (now != known || before.map(allowed) != Some(allowed(next))) {
        let why = allowed(next);
        let held = condition(next, "RemediationAllowed") != "True" && now != "Suspect";
        say(format!(" is {now}, {why}: {}", message(next, "RemediationAllowed")), held.then_some(why.as_str()));
    }
    let evidence = &next.status["availability"]["evidence"];
    if !quiet && before.is_none_or(|b| b.status["availability"]["evidence"] != *evidence) {
        let list: Vec<&str> = evidence.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !list.is_empty() {
            say(format!(" evidence of its death: {}", list.join(", ")), None);
        }
    }
}

/// Guests that are left, or that nobody may decide about, and what holds a host up.
fn guests(before: Option<&DynObject>, next: &DynObject, say: &mut impl FnMut(String, Option<&str>)) {
    let known: Vec<&Value> = before.into_iter().flat_map(|b| b.status["guests"].as_array().into_iter().flatten()).collect();
    for guest in next.status["guests"].as_array().into_iter().flatten() {
        let (outcome, why) = (text(&guest["outcome"]), text(&guest["reason"]));
        let same = known.iter().any(|k| k["id"] == guest["id"] && k["outcome"] == guest["outcome"] && k["reason"] == guest["reason"]);
        if !same && matches!(outcome, "Skipped" | "NeedsHuman" | "Failed") {
            say(format!(": {} is {outcome}, {why}: {}", text(&guest["name"]), text(&guest["message"])), Some(why));
        }
    }
    let blocked = &next.status["guests"]["blocked"];
    if before.is_none_or(|b| b.status["guests"]["blocked"] != *blocked) {
        for line in blocked.as_array().into_iter().flatten().filter_map(Value::as_str) {
            say(format!(" is held up by {line}"), None);
        }
    }
}

/// Members of a pool, and hosts of a drill.
fn members(before: Option<&DynObject>, next: &DynObject, say: &mut impl FnMut(String, Option<&str>)) {
    for (list, field) in [("members", "state"), ("hosts", "outcome")] {
        let known: Vec<&Value> = before.into_iter().flat_map(|b| b.status[list].as_array().into_iter().flatten()).collect();
        for member in next.status[list].as_array().into_iter().flatten() {
            let now = (text(&member[field]), text(&member["reason"]));
            let same = known.iter().any(|k| k["host"] == member["host"] && (text(&k[field]), text(&k["reason"])) == now);
            if same || matches!(now.0, "" | "Pending") {
                continue;
            }
            let message = if now.1.is_empty() { String::new() } else { format!(", {}: {}", now.1, text(&member["message"])) };
            let held = matches!(now.0, "Failed" | "Refused" | "InUse" | "Unfit") && !now.1.is_empty();
            say(format!(": {} is {}{message}", text(&member["host"]), now.0), held.then_some(now.1));
        }
    }
}

/// The hosts that a hold of an object is about, as they are known.
pub fn hosts<'a>(object: &DynObject, hold: &str, all: impl Iterator<Item = &'a DynObject>) -> Vec<String> {
    let listed = |list: &str| -> Vec<String> {
        let entries = || object.status[list].as_array().into_iter().flatten();
        let by_reason: Vec<String> = entries().filter(|e| e["reason"] == hold).map(|e| text(&e["host"]).into()).collect();
        // A hold of all of it is about each of them.
        if by_reason.is_empty() { entries().map(|e| text(&e["host"]).into()).collect() } else { by_reason }
    };
    match object.kind.as_str() {
        "StandbyPool" => listed("members"),
        "FenceDrill" => listed("hosts"),
        // It holds those that are down and say that it does.
        "RemediationPolicy" => {
            let down = all.filter(|o| o.kind == "Host" && o.status["availability"]["state"] == "Down");
            down.filter(|o| reason(o, "RemediationAllowed") == hold).map(|o| o.metadata.name.clone()).collect()
        }
        _ => vec![subject(object)].into_iter().filter(|name| !name.is_empty()).collect(),
    }
}

/// What `cloud-manager why` answers about this object: its advice; or why that is no answer.
pub fn answer(object: &DynObject, hold: &str, now: Time) -> Result<Vec<String>, String> {
    let why = why(object, now);
    let word = format!("({hold})");
    match why.lines.iter().find(|line| line.contains(&word)) {
        Some(line) if line.trim_end_matches(&word).trim_end().len() > word.len() => Ok(why.advice),
        _ => Err(format!("`why` says of {} nothing about {hold}: {:?}", object.id(), why.lines)),
    }
}
