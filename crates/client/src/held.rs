//! Everything that may hold one host up: which objects `why HOST` and `describe host` tell of. Pure: who asks lists them.

use crate::{
    object::{condition, ended, text},
    why::why,
};
use schemas::{
    DynObject, Time,
    selector::Selector,
    v1::{StandbyPoolSpec, reasons as r},
};

/// Kinds that can hold a host up, to be listed for [`of_host`]. Of the first [`OF_ONE_HOST`] those of the host are enough.
pub const KINDS: [&str; 10] = [
    "HostOperation",
    "Evacuation",
    "FenceAttestation",
    "PowerLink",
    "PowerDevice",
    "RemediationPolicy",
    "FailureDomain",
    "StandbyPool",
    "FenceDrill",
    "ClusterPolicy",
];
/// So many of [`KINDS`] are about one host each, by `spec.hostRef.name`, and one-shot.
pub const OF_ONE_HOST: usize = 3;
/// What ended badly is told for so long of a host that is well, in seconds.
const RECENT_SECONDS: i64 = 86_400;

/// Of all these objects those that may be why nothing happens to a host, the nearest first; the Host is not among them. What has
/// not ended is always told; anything else only if it has something to say.
pub fn of_host<'a>(host: &DynObject, all: impl Iterator<Item = &'a DynObject> + Clone, now: Time) -> Vec<&'a DynObject> {
    let name = host.metadata.name.as_str();
    let of_kind = |kind: &'static str| all.clone().filter(move |o| o.kind == kind);
    let says = |o: &&DynObject| why(o, now).holds();
    let mut told: Vec<&DynObject> = Vec::new();
    for kind in KINDS.into_iter().take(OF_ONE_HOST) {
        let (over, open): (Vec<_>, Vec<_>) = of_kind(kind).filter(|o| o.spec["hostRef"]["name"] == name).partition(|o| ended(o));
        // What is under way is the answer; what came before it no longer is.
        let newest = over.into_iter().max_by_key(|o| (finished(o), o.metadata.revision())).filter(|_| open.is_empty());
        told.extend(open);
        told.extend(newest.filter(|o| counts_still(host, o, now)).filter(says));
    }
    let links: Vec<&DynObject> = of_kind("PowerLink").filter(|l| l.spec["hostRef"]["name"] == name).collect();
    told.extend(links.iter().copied().filter(says));
    let has_device = |d: &&DynObject| links.iter().any(|l| l.spec["deviceRef"]["name"] == d.metadata.name.as_str());
    told.extend(of_kind("PowerDevice").filter(has_device).filter(says));
    if is_missed(host) {
        told.extend(policies_of(host, of_kind("RemediationPolicy").collect()).into_iter().filter(says));
        told.extend(domains_of(host, &of_kind("FailureDomain").collect::<Vec<_>>()).into_iter().filter(says));
    }
    // Who is being evacuated may wait for a standby host.
    let waits = told.iter().any(|o| o.kind == "Evacuation" && !ended(o));
    told.extend(of_kind("StandbyPool").filter(|pool| concerns(pool, host, waits)).filter(says));
    let drills = of_kind("FenceDrill").filter(|drill| names(drill, "hosts", name) || listed(&drill.spec["hosts"], name));
    let (over, open): (Vec<_>, Vec<_>) = drills.partition(|o| ended(o));
    let newest = over.into_iter().max_by_key(|o| (finished(o), o.metadata.revision())).filter(|_| open.is_empty());
    told.extend(open.into_iter().chain(newest.filter(|o| counts_still(host, o, now))).filter(says));
    told.extend(of_kind("ClusterPolicy").filter(says));
    told
}

/// Nova calls it down, somebody recovers or holds it, or nobody can tell.
fn is_missed(host: &DynObject) -> bool {
    let in_doubt = condition(host, "RemediationAllowed").is_some_and(|c| c.reason == r::OBSERVER_IN_DOUBT);
    in_doubt || host.status["availability"]["state"].as_str().is_some_and(|s| s != "Up" && s != "Off")
}

fn finished(object: &DynObject) -> Time {
    object.status["finishedAt"].as_str().and_then(|t| Time::parse(t).ok()).unwrap_or_default()
}

/// Whether what has ended is still a reason: as long as the host is missed or fenced, and else for a day.
fn counts_still(host: &DynObject, ended: &DynObject, now: Time) -> bool {
    is_missed(host) || host.status["fence"].is_object() || now.seconds_since(finished(ended)) < RECENT_SECONDS
}

/// The policy that holds for a host, or all that claim to.
fn policies_of<'a>(host: &DynObject, policies: Vec<&'a DynObject>) -> Vec<&'a DynObject> {
    let named = |name: &str| policies.iter().copied().filter(|p| p.metadata.name == name).collect::<Vec<_>>();
    if let Some(name) = host.spec["remediationPolicyRef"]["name"].as_str() {
        return named(name);
    }
    let selects = |p: &&DynObject| {
        let selector = Selector::parse(text(&p.spec["selector"])).ok().filter(|s| !s.is_empty());
        selector.is_some_and(|s| s.matches(&host.metadata.labels))
    };
    let selecting: Vec<&DynObject> = policies.iter().copied().filter(selects).collect();
    if selecting.is_empty() { named("default") } else { selecting }
}

/// The failure domains a host is in, each once, the inner ones first.
fn domains_of<'a>(host: &DynObject, domains: &[&'a DynObject]) -> Vec<&'a DynObject> {
    let mut chain: Vec<&DynObject> = Vec::new();
    let further = host.spec["failureDomains"].as_array().into_iter().flatten();
    for mut next in std::iter::once(&host.spec["failureDomain"]).chain(further).map(text) {
        // They may be in each other, in a circle, while that is mended.
        while let Some(domain) =
            domains.iter().copied().find(|d| d.metadata.name == next).filter(|d| chain.iter().all(|c| c.metadata.name != d.metadata.name))
        {
            chain.push(domain);
            next = text(&domain.spec["parentRef"]["name"]);
        }
    }
    chain
}

/// Whether a pool has to do with a host: as a member, or as one that it serves and that `waits` for it.
fn concerns(pool: &DynObject, host: &DynObject, waits: bool) -> bool {
    let (name, labels) = (&host.metadata.name, &host.metadata.labels);
    let spec: Option<StandbyPoolSpec> = serde_json::from_value(pool.spec.clone()).ok();
    names(pool, "members", name) || spec.is_some_and(|spec| spec.has(name, labels) || (waits && spec.serves(name, labels)))
}

/// Whether a list of the status has an entry about the host.
fn names(object: &DynObject, list: &str, host: &str) -> bool {
    object.status[list].as_array().into_iter().flatten().any(|entry| entry["host"] == host)
}

fn listed(list: &serde_json::Value, host: &str) -> bool {
    list.as_array().into_iter().flatten().any(|name| name == host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Time = Time(1_800_000_000_000_000);

    fn object(kind: &str, name: &str, spec: Value, status: Value) -> DynObject {
        let mut object = DynObject::new(kind, name, spec);
        (object.metadata.generation, object.status) = (1, status);
        if object.status["observedGeneration"].is_null() {
            object.status["observedGeneration"] = 1.into();
        }
        object
    }

    fn host(state: &str) -> DynObject {
        object("Host", "a", json!({"failureDomain": "rack"}), json!({"availability": {"state": state}}))
    }

    fn held(kind: &str, status: &str, reason: &str) -> Value {
        json!({"conditions": [{"type": kind, "status": status, "reason": reason, "message": "so it is"}]})
    }

    fn over(reason: &str, ago: i64) -> Value {
        let mut status = held("Succeeded", if reason == "Succeeded" { "True" } else { "False" }, reason);
        status["finishedAt"] = json!(NOW.plus_seconds(-ago));
        status
    }

    fn told(host: &DynObject, all: &[DynObject]) -> Vec<String> {
        of_host(host, all.iter(), NOW).iter().map(|o| o.id()).collect()
    }

    #[test]
    fn all_kinds_that_can_hold_a_host_are_told_and_those_of_other_hosts_are_not() {
        let of = |host: &str| json!({"hostRef": {"name": host}, "deviceRef": {"name": format!("bmc-{host}")}});
        let mut all = Vec::new();
        for name in ["a", "b"] {
            all.push(object("HostOperation", &format!("op-{name}"), of(name), json!({})));
            all.push(object("Evacuation", &format!("ev-{name}"), of(name), json!({})));
            all.push(object("FenceAttestation", &format!("at-{name}"), of(name), over("EpochEnded", 60)));
            all.push(object("PowerLink", &format!("link-{name}"), of(name), held("Verified", "False", "NotVerified")));
            all.push(object("PowerDevice", &format!("bmc-{name}"), json!({}), held("Reachable", "False", "PowerUnreadable")));
            all.push(object("FenceDrill", &format!("drill-{name}"), json!({"hosts": [name]}), over("DrillFailed", 60)));
        }
        all.push(object("RemediationPolicy", "default", json!({}), held("RemediationAllowed", "False", "StormLimit")));
        all.push(object("RemediationPolicy", "other", json!({"selector": "rack=z"}), held("RemediationAllowed", "False", "Frozen")));
        all.push(object("FailureDomain", "rack", json!({"parentRef": {"name": "room"}}), json!({})));
        all.push(object("FailureDomain", "room", json!({}), held("ReferencesResolved", "False", "NotFound")));
        all.push(object("StandbyPool", "spare", json!({"members": ["s1"]}), held("Sufficient", "False", "NoStandbyFree")));
        all.push(object(
            "StandbyPool",
            "far",
            json!({"members": ["s2"], "protects": {"hosts": ["z"]}}),
            held("Sufficient", "False", "NoStandbyFree"),
        ));
        all.push(object("ClusterPolicy", "default", json!({}), held("Paused", "True", "Frozen")));
        let wanted = [
            "HostOperation/op-a",
            "Evacuation/ev-a",
            "FenceAttestation/at-a",
            "PowerLink/link-a",
            "PowerDevice/bmc-a",
            "RemediationPolicy/default",
            "FailureDomain/room",
            "StandbyPool/spare",
            "FenceDrill/drill-a",
            "ClusterPolicy/default",
        ];
        assert_eq!(told(&host("Down"), &all), wanted);
    }

    #[test]
    fn of_a_host_that_is_up_the_policy_that_begins_nothing_holds_nothing() {
        let policy = object("RemediationPolicy", "default", json!({}), held("RemediationAllowed", "False", "NeverEvacuate"));
        assert!(told(&host("Up"), std::slice::from_ref(&policy)).is_empty());
        assert_eq!(told(&host("Suspect"), &[policy]), ["RemediationPolicy/default"]);
    }

    #[test]
    fn all_policies_that_claim_a_host_are_told_and_the_one_that_it_names_alone_counts() {
        let held = || held("RemediationAllowed", "False", "StormLimit");
        let policies: Vec<DynObject> = [("one", "rack=a"), ("two", "rack"), ("default", "")]
            .map(|(name, s)| object("RemediationPolicy", name, json!({"selector": s}), held()))
            .into();
        let mut down = host("Down");
        assert_eq!(told(&down, &policies), ["RemediationPolicy/default"]);
        down.metadata.labels.insert("rack".into(), "a".into());
        assert_eq!(told(&down, &policies), ["RemediationPolicy/one", "RemediationPolicy/two"]);
        down.spec["remediationPolicyRef"] = json!({"name": "two"});
        assert_eq!(told(&down, &policies), ["RemediationPolicy/two"]);
    }

    #[test]
    fn of_what_has_ended_the_newest_is_told_if_it_ended_badly_and_of_a_host_that_is_well_for_a_day() {
        let of = || json!({"hostRef": {"name": "a"}});
        let all = [
            object("Evacuation", "old", of(), over("Failed", 90_000)),
            object("Evacuation", "new", of(), over("Failed", 80_000)),
            object("HostOperation", "well", of(), over("Succeeded", 60)),
        ];
        assert_eq!(told(&host("Up"), &all), ["Evacuation/new"]);
        assert!(told(&host("Up"), &all[..1]).is_empty(), "it was a day ago, and the host is well");
        assert_eq!(told(&host("Recovered"), &all[..1]), ["Evacuation/old"]);
        let open = [all[1].clone(), object("Evacuation", "next", of(), json!({}))];
        assert_eq!(told(&host("Up"), &open), ["Evacuation/next"]);
    }

    #[test]
    fn of_a_drill_that_is_over_each_host_that_did_not_pass_is_told_and_the_advice_names_it() {
        let host = |name: &str, outcome: &str, reason: &str| json!({"host": name, "outcome": outcome, "reason": reason, "message": "no answer"});
        let mut status = over("DrillFailed", 60);
        status["hosts"] = json!([host("a", "Passed", ""), host("b", "Failed", "PowerUnreadable"), host("c", "Refused", "GuestsRunning")]);
        let told = why(&object("FenceDrill", "drill", json!({"hosts": ["a", "b", "c"]}), status), NOW);
        assert_eq!(told.lines[1..], ["Host b is Failed (PowerUnreadable): no answer.", "Host c is Refused (GuestsRunning): no answer."]);
        assert!(told.advice.iter().any(|a| a.contains("cloud-manager power status b")), "{told:?}");
        assert!(told.advice.iter().any(|a| a.contains("cloud-manager drain c")), "{told:?}");
    }

    #[test]
    fn domains_in_a_circle_come_to_an_end() {
        let domain = |name: &str, parent: &str| {
            object("FailureDomain", name, json!({"parentRef": {"name": parent}}), held("ReferencesResolved", "False", "NotFound"))
        };
        assert_eq!(told(&host("Down"), &[domain("rack", "room"), domain("room", "rack")]), ["FailureDomain/rack", "FailureDomain/room"]);
    }
}
