//! Why nothing is happening, in plain words, and what to do about it. Pure.

mod advice;

use crate::object::{condition, ended, text};
use advice::{advice, host_of};
use schemas::{DynObject, Time, kinds, v1::reasons as r};
use serde_json::Value;

/// What an object says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// Sentences, the most important first.
    pub lines: Vec<String>,
    /// What to do, most of it as commands.
    pub advice: Vec<String>,
    reasons: Vec<String>,
}

/// Conditions that are worth telling when they do not hold.
const WANTED: [&str; 11] = [
    "Ready",
    "ReferencesResolved",
    "Verified",
    "Reachable",
    "CredentialsValid",
    "EvidenceSufficient",
    "Available",
    "MembersResolved",
    "Sufficient",
    "Applied",
    "InSync",
];
/// Guests named per reason.
const NAMED: usize = 5;

/// Tells why an object stands where it stands.
pub fn why(object: &DynObject, now: Time) -> Why {
    let mut why = Why::default();
    let host = host_of(object);
    let kind = kinds::find(&object.kind);
    if object.metadata.deletion_timestamp.is_some() {
        why.lines.push(format!("It is being deleted; first {} cleans up.", object.metadata.finalizers.join(", ")));
    }
    if kind.is_some_and(|k| k.one_shot) && ended(object) {
        told_end(&mut why, object);
    } else if kind.is_none_or(|k| !k.read_only) {
        told_state(&mut why, object, now);
    }
    told_guests(&mut why, object);
    told_drilled(&mut why, object);
    // A fenced host is down because we hold it down: its guests are taken care of.
    let fenced = why.reasons.iter().any(|reason| reason == r::FENCED);
    // And one that is in reserve is missed by nobody; of one that is being recovered, or evacuated, somebody takes care.
    let in_hand = matches!(text(&object.status["availability"]["state"]), "Restarting" | "Recovering" | "Returning")
        || text(&object.status["claim"]["owner"]).starts_with("Evacuation/");
    let spare = object.status["standby"]["inService"] == false;
    // While those who look are in doubt themselves, the silence of a host speaks of nothing.
    let in_doubt = why.reasons.iter().any(|reason| reason == r::OBSERVER_IN_DOUBT);
    let quiet = fenced || in_hand || spare || in_doubt;
    for reason in why.reasons.clone().into_iter().filter(|reason| !(quiet && reason == r::SERVICE_DOWN)) {
        match advice(&reason, object, named_with(object, &reason).unwrap_or(host)) {
            Some(advice) if !why.advice.contains(&advice) => why.advice.push(advice),
            _ => {}
        }
    }
    if why.lines.is_empty() {
        why.lines.push(all_well(object));
    }
    why
}

fn all_well(object: &DynObject) -> String {
    let progress = text(&object.status["progress"]);
    match condition(object, "Ready") {
        _ if !progress.is_empty() => format!("Nothing holds it up. It is at: {progress}"),
        Some(c) if c.status == "True" => format!("Nothing is waiting: Ready is True ({}).", c.reason),
        _ => "Nothing is waiting.".into(),
    }
}

fn told_end(why: &mut Why, object: &DynObject) {
    let Some(c) = condition(object, "Succeeded") else { return };
    let how = if c.status == "True" { "It is over and has succeeded" } else { "It is over and has not succeeded" };
    why.lines.push(sentence(how, c.reason, c.message));
    if c.status != "True" {
        why.reasons.push(c.reason.into());
    }
}

fn told_state(why: &mut Why, object: &DynObject, now: Time) {
    let seen = object.status["observedGeneration"].as_i64();
    let look = "If this lasts, see whether a controller leads: cloud-manager get leases";
    match seen {
        None | Some(0) if object.status["conditions"].as_array().is_none_or(Vec::is_empty) => {
            why.lines.push("No controller has looked at it yet.".into());
            why.advice.push(look.into());
        }
        Some(seen) if seen < object.metadata.generation => {
            why.lines.push(format!(
                "The controller has not seen the latest change yet: the spec is generation {}, seen is {seen}.",
                object.metadata.generation
            ));
            why.advice.push(look.into());
        }
        _ => {}
    }
    if object.spec["cancel"] == "Requested" {
        why.lines.push("It is being cancelled: nothing new is begun, what is under way is settled.".into());
    }
    let waiting = &object.status["waiting"];
    if let Some(reason) = waiting["reason"].as_str().filter(|reason| !reason.is_empty()) {
        let since = waiting["since"].as_str().and_then(|s| Time::parse(s).ok());
        let since = since.map(|t| format!("It has waited for {}", kinds::age(now.seconds_since(t)))).unwrap_or_else(|| "It waits".into());
        why.say(&since, reason, text(&waiting["message"]));
    }
    for (kind, what) in [("Paused", "It is paused"), ("Stalled", "It cannot go on by itself")] {
        if let Some(c) = condition(object, kind).filter(|c| c.status == "True") {
            why.say(what, c.reason, c.message);
        }
    }
    for kind in WANTED {
        if let Some(c) = condition(object, kind).filter(|c| c.status != "True") {
            why.say(&format!("{kind} is {}", c.status), c.reason, c.message);
        }
    }
    told_availability(why, object);
    told_members(why, object);
    let retry = &object.status["retry"];
    if let Some(failures) = retry["failures"].as_i64().filter(|n| *n > 0) {
        let next = retry["nextAt"].as_str().and_then(|s| Time::parse(s).ok()).map(|t| t.seconds_since(now)).filter(|s| *s > 0);
        let next = next.map(|s| format!(" The next try is in {}.", kinds::age(s))).unwrap_or_default();
        let times = if failures == 1 { "It failed with".into() } else { format!("It failed {failures} times in a row, last with") };
        why.lines.push(format!("{times}: {}{next}", stop(text(&retry["lastError"]))));
    }
    told_fencing(why, object);
    if let Some(pool) = object.status["standby"]["pool"].as_str() {
        let serves = match object.status["standby"]["evacuation"].as_str() {
            Some(evacuation) => format!("serves Evacuation/{evacuation}"),
            None if object.status["standby"]["inService"] == true => "is not in reserve now".into(),
            None => "is in reserve".into(),
        };
        why.lines.push(format!("It is a member of StandbyPool/{pool}, and {serves}."));
    }
    if let Some(by) = object.status["fence"]["by"].as_str() {
        let line =
            format!("The host was fenced by {by} and is held down: power On and schedulable Enabled are not enforced until an operator releases it.");
        why.lines.push(line);
        why.reasons.push(r::FENCED.into());
    }
    if let Some(owner) = object.status["claim"]["owner"].as_str().filter(|o| !o.is_empty() && *o != object.id()) {
        let purpose = text(&object.status["claim"]["purpose"]);
        let purpose = if purpose.is_empty() { String::new() } else { format!(" ({purpose})") };
        why.lines.push(format!("{owner} has the host{purpose}; nothing else disrupts it meanwhile."));
        why.reasons.push(r::CLAIMED.into());
    }
}

/// What was done to switch a host off, as long as it is not known to be off.
fn told_fencing(why: &mut Why, object: &DynObject) {
    let held = [r::NEEDS_HUMAN, r::WAITING_FOR_POWER, r::POWER_UNREADABLE].contains(&text(&object.status["waiting"]["reason"]));
    let tried = object.status["fencing"]["tried"].as_array().filter(|_| held);
    let words = |t: &Value| match (text(&t["act"]), text(&t["link"])) {
        ("SoftOff", link) => format!("it was asked to shut down through {link}"),
        ("ForceOff", link) => format!("it was powered off through {link}"),
        (_, link) => format!("{link} could not be read"),
    };
    let tried: Vec<String> = tried.into_iter().flatten().map(words).collect();
    if !tried.is_empty() {
        why.lines.push(format!("To switch the host off, in this order: {}.", tried.join("; ")));
    }
    if object.status["fencing"]["failedAt"].is_string() && held {
        why.reasons.push(r::FENCE_FAILED.into());
    }
}

/// Members of a StandbyPool that are neither idle nor leased.
fn told_members(why: &mut Why, object: &DynObject) {
    for member in object.status["members"].as_array().into_iter().flatten() {
        let (state, reason, message) = (text(&member["state"]), text(&member["reason"]), text(&member["message"]));
        if !matches!(state, "" | "Idle" | "Leased") {
            why.lines.push(sentence(&format!("Member {} is {state}", text(&member["host"])), reason, message));
            why.reasons.push(reason.into());
        }
    }
}

/// Hosts of a FenceDrill that did not pass, also once it is over.
fn told_drilled(why: &mut Why, object: &DynObject) {
    for host in object.status["hosts"].as_array().into_iter().flatten() {
        let (outcome, reason, message) = (text(&host["outcome"]), text(&host["reason"]), text(&host["message"]));
        if matches!(outcome, "Failed" | "Refused") {
            why.lines.push(sentence(&format!("Host {} is {outcome}", text(&host["host"])), reason, message));
            why.reasons.push(reason.into());
        }
    }
}

/// The first host of a pool or a drill that has this reason.
fn named_with<'a>(object: &'a DynObject, reason: &str) -> Option<&'a str> {
    let all = ["members", "hosts"].into_iter().filter_map(|list| object.status[list].as_array()).flatten();
    all.filter(|entry| entry["reason"] == reason).find_map(|entry| entry["host"].as_str())
}

/// What is done about a host that is down, or why nothing is.
fn told_availability(why: &mut Why, object: &DynObject) {
    let Some(allowed) = condition(object, "RemediationAllowed") else { return };
    match text(&object.status["availability"]["state"]) {
        "Suspect" => why.lines.push("Nova calls it down; it is looked at again before it counts as down.".into()),
        "Down" if allowed.status == "True" => why.lines.push("It is down, and is about to be restarted or evacuated without a person.".into()),
        "Down" if allowed.reason == r::CLAIMED => why.say("It is down", allowed.reason, allowed.message),
        "Down" => why.say("It is down, and nothing is begun without a person", allowed.reason, allowed.message),
        "Restarting" => why.say("It is down, and is being switched off and on without a person", allowed.reason, allowed.message),
        "Returning" => why.say("It was evacuated without a person, and is being brought back without one", allowed.reason, allowed.message),
        "Quarantined" => why.say("It was evacuated without a person, and is not brought back without one", allowed.reason, allowed.message),
        "Recovering" => why.say("It is down, and is being evacuated without a person", allowed.reason, allowed.message),
        "Recovered" => why.say("It was down, and was evacuated without a person", allowed.reason, allowed.message),
        _ if object.kind == "Host" && allowed.reason == r::OBSERVER_IN_DOUBT => {
            why.say("Whether it is silent is not counted now", allowed.reason, allowed.message);
        }
        _ if object.kind == "RemediationPolicy" && allowed.status != "True" => {
            why.say("Nothing is begun without a person", allowed.reason, allowed.message);
        }
        _ => {}
    }
}

/// Guests that hold something up: of a host, an operation, or an evacuation.
fn told_guests(why: &mut Why, object: &DynObject) {
    for list in [&object.status["guests"]["blocked"], &object.status["left"]] {
        let lines = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        why.lines.extend(lines.map(|line| format!("Guest {line}")));
    }
    let mut groups: Vec<((&str, &str), Vec<&Value>)> = Vec::new();
    for guest in object.status["guests"].as_array().into_iter().flatten() {
        let key = (text(&guest["outcome"]), text(&guest["reason"]));
        if key.0 == "Moved" || key.1.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, guests)) => guests.push(guest),
            None => groups.push((key, vec![guest])),
        }
    }
    for ((outcome, reason), guests) in groups {
        let mut names: Vec<&str> = guests.iter().take(NAMED).map(|g| text(&g["name"])).collect();
        let more = format!("{} more", guests.len().saturating_sub(NAMED));
        if guests.len() > NAMED {
            names.push(&more);
        }
        let word = if guests.len() == 1 { "guest is" } else { "guests are" };
        let mut messages: Vec<(&str, &str)> = guests.iter().map(|g| (text(&g["name"]), text(&g["message"]))).collect();
        messages.sort_by_key(|(_, message)| *message);
        messages.dedup_by_key(|(_, message)| *message);
        let message = match messages.as_slice() {
            [(_, message)] => message.to_string(),
            several => {
                several.iter().take(NAMED).map(|(name, message)| format!("{name}: {}", message.trim_end_matches('.'))).collect::<Vec<_>>().join("; ")
            }
        };
        why.lines.push(sentence(&format!("{} {word} {outcome}: {}", guests.len(), names.join(", ")), reason, &message));
        why.reasons.push(reason.into());
    }
}

impl Why {
    /// Whether anything holds the object up, or is not as it should be.
    pub fn holds(&self) -> bool {
        !self.reasons.is_empty()
    }

    /// Adds a sentence unless its reason was told already with the same message.
    fn say(&mut self, what: &str, reason: &str, message: &str) {
        let repeated =
            self.reasons.iter().any(|r| r == reason) && (message.is_empty() || self.lines.iter().any(|l| l.contains(message.trim_end_matches('.'))));
        if !repeated {
            self.lines.push(sentence(what, reason, message));
        }
        if !self.reasons.iter().any(|r| r == reason) {
            self.reasons.push(reason.into());
        }
    }
}

fn sentence(what: &str, reason: &str, message: &str) -> String {
    let message = if message.is_empty() { String::new() } else { format!(": {}", stop(message)) };
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    format!("{what}{reason}{message}")
}

/// With a full stop at its end.
fn stop(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.into() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Time = Time(1_800_000_000_000_000);

    fn host(status: Value) -> DynObject {
        let mut host = DynObject::new("Host", "c1", json!({"power": "Off"}));
        host.metadata.generation = 2;
        host.status = status;
        host
    }

    #[test]
    fn a_waiting_host_says_why_for_how_long_and_what_to_do() {
        let waits = json!({"observedGeneration": 2,
            "waiting": {"reason": "NoVerifiedPowerLink", "message": "Host c1 has no verified power link", "since": NOW.plus_seconds(-300)},
            "conditions": [{"type": "Ready", "status": "False", "reason": "NoVerifiedPowerLink", "message": "Host c1 has no verified power link."}]});
        let why = why(&host(waits), NOW);
        assert_eq!(why.lines, ["It has waited for 5m (NoVerifiedPowerLink): Host c1 has no verified power link."]);
        assert_eq!(why.advice.len(), 1);
        assert!(why.advice[0].contains("cloud-manager initialise c1"), "{why:?}");
    }

    #[test]
    fn a_spec_that_no_controller_saw_is_told_first() {
        let unseen = why(&host(json!({})), NOW);
        assert_eq!(unseen.lines, ["No controller has looked at it yet."]);
        let old = why(&host(json!({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "AsDesired"}]})), NOW);
        assert!(old.lines[0].contains("generation 2, seen is 1"), "{old:?}");
        assert!(old.advice[0].contains("get leases"));
    }

    #[test]
    fn a_fenced_and_claimed_host_names_who_and_the_way_out() {
        let status = json!({"observedGeneration": 2, "fence": {"epoch": 3, "by": "ev-c1-00aa"}, "claim": {"owner": "Evacuation/ev-c1-00aa", "purpose": "rebuild"}});
        let why = why(&host(status), NOW);
        assert!(why.lines.iter().any(|l| l.contains("fenced by ev-c1-00aa")), "{why:?}");
        assert!(why.advice.iter().any(|a| a.contains("cloud-manager power on c1")), "{why:?}");
        assert!(why.advice.iter().any(|a| a == "See what has the host: cloud-manager describe evacuation ev-c1-00aa"), "{why:?}");
    }

    #[test]
    fn a_fenced_host_that_is_down_is_not_advised_to_be_evacuated_again() {
        let down = json!({"type": "Reachable", "status": "False", "reason": "ServiceDown"});
        let dead = why(&host(json!({"observedGeneration": 2, "conditions": [down]})), NOW);
        assert!(dead.advice.iter().any(|a| a.contains("cloud-manager evacuate c1")), "{dead:?}");
        let fenced = why(&host(json!({"observedGeneration": 2, "conditions": [down], "fence": {"epoch": 3, "by": "Evacuation/ev"}})), NOW);
        assert!(!fenced.advice.iter().any(|a| a.contains("cloud-manager evacuate")), "{fenced:?}");
    }

    #[test]
    fn a_host_that_is_being_recovered_is_not_advised_to_be_evacuated_by_hand() {
        let down = json!({"type": "Reachable", "status": "False", "reason": "ServiceDown"});
        for (state, advised) in [("Recovering", false), ("Restarting", false), ("Returning", false), ("Down", true)] {
            let why = why(&host(json!({"observedGeneration": 2, "conditions": [down], "availability": {"state": state}})), NOW);
            assert_eq!(why.advice.iter().any(|a| a.contains("cloud-manager evacuate c1")), advised, "{state}: {why:?}");
        }
        for (owner, advised) in [("Evacuation/ev", false), ("HostOperation/drain-c1", true)] {
            let why = why(&host(json!({"observedGeneration": 2, "conditions": [down], "claim": {"owner": owner}})), NOW);
            assert_eq!(why.advice.iter().any(|a| a.contains("cloud-manager evacuate c1")), advised, "{owner}: {why:?}");
        }
    }

    #[test]
    fn a_host_that_seems_down_to_observers_in_doubt_is_not_advised_to_be_evacuated() {
        let down = json!({"type": "Reachable", "status": "False", "reason": "ServiceDown"});
        let doubt = json!({"type": "RemediationAllowed", "status": "Unknown", "reason": "ObserverInDoubt", "message": "see the policy"});
        let why = why(&host(json!({"observedGeneration": 2, "availability": {"state": "Up"}, "conditions": [down, doubt]})), NOW);
        assert!(why.lines.iter().any(|l| l == "Whether it is silent is not counted now (ObserverInDoubt): see the policy."), "{why:?}");
        assert!(why.advice.iter().any(|a| a.contains("conductors")), "{why:?}");
        assert!(!why.advice.iter().any(|a| a.contains("cloud-manager evacuate")), "{why:?}");
    }

    #[test]
    fn guests_of_an_evacuation_are_grouped_by_reason() {
        let guest = |name: &str, outcome: &str, reason: &str| json!({"name": name, "outcome": outcome, "reason": reason, "message": "Its disk is on the host."});
        let mut guests: Vec<Value> = (0..7).map(|i| guest(&format!("g{i}"), "Skipped", "LocalDisk")).collect();
        guests.push(guest("h", "NeedsHuman", "MoveInFlight"));
        guests.push(guest("ok", "Moved", ""));
        let mut evacuation = DynObject::new("Evacuation", "e", json!({"hostRef": {"name": "c1"}}));
        evacuation.metadata.generation = 1;
        evacuation.status = json!({"observedGeneration": 1, "guests": guests,
            "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "7 guests stay"}]});
        let why = why(&evacuation, NOW);
        assert_eq!(why.lines[0], "It is over and has not succeeded (Failed): 7 guests stay.");
        assert_eq!(why.lines[1], "7 guests are Skipped: g0, g1, g2, g3, g4, 2 more (LocalDisk): Its disk is on the host.");
        assert!(why.lines[2].starts_with("1 guest is NeedsHuman: h (MoveInFlight)"));
        assert!(why.advice.iter().any(|a| a.contains("--local-disks Rebuild")), "{why:?}");
        // What is said of one is not said of another.
        evacuation.status["guests"][6]["message"] = json!("It has two disks");
        let told = super::why(&evacuation, NOW);
        let both = "7 guests are Skipped: g0, g1, g2, g3, g4, 2 more (LocalDisk): g6: It has two disks; g0: Its disk is on the host.";
        assert_eq!(told.lines[1], both);
    }

    #[test]
    fn a_fence_that_no_device_shows_tells_what_was_tried_and_what_to_do() {
        let mut evacuation = DynObject::new("Evacuation", "e", json!({"hostRef": {"name": "c1"}}));
        evacuation.metadata.generation = 1;
        let tried = json!([{"link": "l1", "act": "SoftOff"}, {"link": "l1", "act": "ForceOff"}, {"link": "l1", "act": "Unreadable"}, {"link": "p1", "act": "ForceOff"}]);
        let waiting = json!({"reason": "NeedsHuman", "message": "c1 cannot be switched off."});
        evacuation.status = json!({"observedGeneration": 1, "waiting": waiting, "fencing": {"epoch": 1, "tried": tried, "failedAt": NOW}});
        let told = why(&evacuation, NOW);
        let order = "To switch the host off, in this order: it was asked to shut down through l1; it was powered off through l1; l1 could not be read; it was powered off through p1.";
        assert!(told.lines.iter().any(|l| l == order), "{told:?}");
        assert!(told.advice.iter().any(|a| a.contains("cloud-manager power status c1")), "{told:?}");
        evacuation.status["waiting"]["reason"] = json!("WaitingForMoves");
        assert!(!why(&evacuation, NOW).lines.iter().any(|l| l.contains("in this order")), "it is off since");
    }

    #[test]
    fn when_all_is_well_it_says_so() {
        let well = host(json!({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True", "reason": "AsDesired"}]}));
        assert_eq!(why(&well, NOW).lines, ["Nothing is waiting: Ready is True (AsDesired)."]);
        assert!(why(&well, NOW).advice.is_empty());
    }

    #[test]
    fn a_directory_that_is_not_what_is_there_says_where() {
        let drifted = json!([{"type": "Applied", "status": "True", "reason": "Applied"},
            {"type": "InSync", "status": "False", "reason": "Drifted", "message": "hosts.yaml, line 1: host/c1"}]);
        let mut set = DynObject::new("ApplySet", "site", json!({"manager": "gitops"}));
        set.status = json!({"observedGeneration": 1, "conditions": drifted});
        assert_eq!(why(&set, NOW).lines, ["InSync is False (Drifted): hosts.yaml, line 1: host/c1."]);
    }

    #[test]
    fn a_host_whose_power_cannot_be_read_is_told_how_to_attest_and_in_which_epoch_it_is() {
        let dark = json!({"observedGeneration": 2, "epoch": 7, "waiting": {"reason": "PowerUnreadable", "message": "No answer."}});
        let why = why(&host(dark), NOW);
        assert!(why.advice[0].contains("cloud-manager attest c1 (it is in power epoch 7)"), "{why:?}");
    }

    #[test]
    fn retries_tell_the_last_error_and_the_next_try() {
        let status = json!({"observedGeneration": 2, "retry": {"failures": 3, "lastError": "Nova answered 500", "nextAt": NOW.plus_seconds(40)}});
        assert_eq!(why(&host(status), NOW).lines, ["It failed 3 times in a row, last with: Nova answered 500. The next try is in 40s."]);
    }

    #[test]
    fn every_reason_that_holds_an_operator_up_has_advice() {
        for reason in [
            r::FROZEN,
            r::PAUSING,
            r::DRAIN_LIMIT,
            r::EVACUATION_LIMIT,
            r::NOVA_UNREADABLE,
            r::VANISHED,
            r::IN_DOUBT,
            r::NO_VERIFIED_LINK,
            r::POWER_UNREADABLE,
            r::FENCED,
            r::FOREIGN,
            r::GUEST_CANNOT_MOVE,
            r::MOVE_IN_FLIGHT,
            r::FENCE_FORBIDDEN,
            r::FENCE_FAILED,
            r::EVACUATION_DENIED,
            r::STORM_LIMIT,
            r::NEVER_EVACUATE,
            r::DOMAIN_LIMIT,
            r::COOLDOWN,
            r::RATE_LIMIT,
            r::HOLD_EXPIRED,
            r::QUARANTINED,
            r::OBSERVER_IN_DOUBT,
            r::MASS_SILENCE,
            r::POLICY_CONFLICT,
            r::LOCAL_DISK,
            r::CANNOT_EVACUATE,
            r::SERVER_GROUP,
            r::OWNER_MANAGED,
            r::NO_DESTINATION,
            r::NO_STANDBY,
            r::TOO_FEW_STANDBYS,
            r::STANDBY_CONFLICT,
            r::PROTECTS_ITSELF,
            r::DECLARED_OTHERWISE,
            r::DISABLED_BY_OTHERS,
            r::WAKE_FAILED,
            r::DRILL_FAILED,
            r::STANDBY_LEASED,
            r::NO_STANDBY_MEMBER,
            r::RESTORED,
            r::EPOCH_ENDED,
            r::EXPIRED,
            r::WITHDRAWN,
            r::ALIVE_ELSEWHERE,
            r::EVIDENCE_MISSING,
            r::PARALLEL_LIMIT,
            r::EVACUATION_FORBIDDEN,
            r::HOST_EXCLUDED,
            r::POLICY_CHANGED,
            r::POLICY_UNKNOWN,
            r::APPROVAL_REQUIRED,
        ] {
            assert!(advice(reason, &host(json!({})), "c1").is_some(), "{reason}");
        }
    }
}
