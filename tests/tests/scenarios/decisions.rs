//! What the watch over hosts decides can be asked for beforehand, and looked at afterwards.

use crate::{
    remediation::{evacuations, host_is, is_held, watched},
    stage::Stage,
};
use controller::Recording;
use planner::remediation::{Line, Looked, Objects, Replay, Told, Verdicts, pass, policy_from};
use schemas::{
    Kind, Object,
    v1::{FailureDomain, Host, NO_HOST, RemediationPolicy},
};
use serde_json::{Value, json};
use simulator::HostFault;

async fn all<K: Kind>(s: &Stage) -> Vec<Object<K>> {
    s.rig.list(K::KIND).await.iter().map(|o| o.typed().expect("it fits its kind")).collect()
}

/// What anybody but the leader makes of its latest look.
async fn asked(s: &Stage, limits: Option<Value>) -> Verdicts {
    let kept = s.rig.store.observations(Some(NO_HOST)).await.expect("the store");
    let looked = Looked::from_kept(&kept).expect("the leader has looked").expect("it can be read");
    let objects =
        Objects { hosts: all::<Host>(s).await, policies: all::<RemediationPolicy>(s).await, domains: all::<FailureDomain>(s).await, frozen: false };
    let mut spec = json!(objects.policies[0].spec);
    let over = limits.map(|limits| {
        spec["limits"] = limits;
        policy_from("", &json!({"metadata": {"name": "default"}, "spec": spec})).expect("a policy")
    });
    pass(&looked.input(objects, over.as_slice(), s.now()))
}

#[tokio::test(start_paused = true)]
async fn what_would_be_decided_is_what_is_decided_and_asking_writes_nothing() {
    let s = watched(json!({"maxDownHosts": 1})).await;
    s.guest("web", "a");
    s.guest("db", "b");
    host_is(&s, "a", "Up").await;
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    let held = is_held(&s, "a", "StormLimit").await;
    is_held(&s, "b", "StormLimit").await;
    // The look after the one that held them is kept as well.
    s.pass(20).await;

    let before = s.rig.store.revision().await.expect("the store").current;
    let now = asked(&s, None).await;
    let a = &now.hosts[0];
    assert_eq!((a.begin, a.allowed.reason, json!(a.availability.state)), (None, "StormLimit", held.status["availability"]["state"].clone()));
    assert_eq!((now.policies[0].unhealthy, now.policies[0].covered), (2, 5));
    let tried = asked(&s, Some(json!({"maxDownHosts": 2}))).await;
    // Guests are counted only of hosts that would be evacuated, by whoever asks.
    assert!(tried.hosts[..2].iter().all(|v| v.begin.is_some() || v.count_guests), "{:?}", tried.hosts);
    assert_eq!(s.rig.store.revision().await.expect("the store").current, before);
    assert!(evacuations(&s).await.is_empty() && s.all_calls() == 0, "{}", s.story());
    assert!(s.rig.store.observations(None).await.expect("the store").is_empty(), "a look is evidence about no host");
}

/// The whole lines of a recording.
fn lines(dir: &std::path::Path) -> Vec<Line> {
    let text = std::fs::read_to_string(dir.join("decisions.jsonl")).unwrap_or_default();
    text.split_inclusive('\n').filter(|l| l.ends_with('\n')).map(|l| serde_json::from_str(l).expect("a line")).collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_controller_recorded_is_decided_again_as_it_was() {
    let mut s = watched(json!({"maxDownHosts": 1})).await;
    let guests = s.guests("web", "a", 2);
    let dir = tempfile::tempdir().expect("a directory");
    s.rig.record(Recording { dir: dir.path().into(), most_bytes: 100_000_000 });
    s.takeover().await;
    host_is(&s, "a", "Up").await;
    s.hurt("a", HostFault::Crash);
    s.succeeds("Evacuation", "auto-a-1").await;
    host_is(&s, "a", "Recovered").await;
    guests.iter().for_each(|g| s.was_rebuilt_once(g, "a"));
    ["b", "c"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    is_held(&s, "b", "StormLimit").await;
    s.pass(30).await;

    // It is written by a thread of its own, in its own time.
    let is_there = |lines: &[Line]| lines.iter().any(|l| l.verdicts["hosts"].to_string().contains("StormLimit"));
    let mut recorded = lines(dir.path());
    while !is_there(&recorded) {
        s.pass(10).await;
        recorded = lines(dir.path());
    }
    let mut replay = Replay::default();
    let told: Vec<Told> = recorded.into_iter().flat_map(|line| replay.next(line).expect("it follows")).collect();
    assert!(told.iter().all(|t| t.recorded.is_none()), "{told:#?}");
    let says = |host: &str, words: &str| told.iter().any(|t| t.name == host && t.decided.contains(words));
    assert!(says("a", "Evacuation/auto-a-1") && says("b", "held: StormLimit"), "{told:#?}");
    let text = std::fs::read_to_string(dir.path().join("decisions.jsonl")).expect("the recording");
    assert!(!text.contains("password"), "no secret is in it");
}
