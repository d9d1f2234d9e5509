//! Who goes where first, and what does not fit and why, before anything is sent.

use crate::stage::{Stage, given};
use schemas::{DynObject, Time};
use serde_json::{Value, json};
use simulator::{CallKind, GroupPolicy, GuestSpec, HostFault, HostSpec};
use workspace_tests::{condition, message};

fn guest_of<'a>(evacuation: &'a DynObject, id: &str) -> &'a Value {
    let guests = evacuation.status["guests"].as_array().expect("guests");
    guests.iter().find(|g| g["id"] == id).unwrap_or_else(|| panic!("no record of {id}: {guests:#?}"))
}

fn time(value: &Value) -> Time {
    Time::parse(value.as_str().expect("a time")).expect("a time")
}

/// The plans of an evacuation, the first one first.
async fn plans(s: &Stage, evacuation: &str) -> Vec<DynObject> {
    let owned = |o: &DynObject| o.metadata.owner_references.iter().any(|r| r.name == evacuation);
    let mut plans: Vec<DynObject> = s.rig.list("EvacuationPlan").await.into_iter().filter(owned).collect();
    plans.sort_by_key(|p| p.spec["number"].as_i64());
    plans
}

#[tokio::test(start_paused = true)]
async fn the_plan_names_every_guest_before_the_first_is_sent_and_stays_as_it_was() {
    let s = given(&["a", "b", "c"]).start().await;
    let guests = s.guests("web", "a", 3);
    let huge = s.add(GuestSpec::new("huge", "a").with_ram(900_000));
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.until_called(CallKind::Evacuate, 1).await;

    let [plan] = plans(&s, &ev).await.try_into().expect("one plan");
    let items = plan.spec["items"].as_array().unwrap().clone();
    assert_eq!((items.len(), &plan.status["placed"], &plan.status["staying"]), (4, &json!(3), &json!(1)));
    let of = |id: &str| items.iter().find(|i| i["id"] == id).unwrap();
    assert!(of(&huge)["why"].as_str().unwrap().contains("900000 MEMORY_MB"), "{}", of(&huge));

    s.wait("Evacuation", &ev, "three moved", |o| o.status["progress"].as_str().is_some_and(|p| p.starts_with("3 of 4 moved"))).await;
    for guest in &guests {
        s.was_rebuilt_once(guest, "a");
        assert_eq!(of(guest)["destination"], json!(s.home(guest)));
    }
    // A host that is large enough makes another plan; the first one is what it was.
    s.with(|w| w.add_host(HostSpec { room: simulator::Room { vcpus: 64, ram_mb: 1_000_000, disk_gb: 4_000 }, ..HostSpec::new("d") }));
    s.succeeds("Evacuation", &ev).await;
    assert_eq!(s.home(&huge), "d");
    let both = plans(&s, &ev).await;
    assert_eq!((both.len(), &both[0].spec), (2, &plan.spec));
    let only: Vec<&Value> = both[1].spec["items"].as_array().unwrap().iter().map(|i| &i["destination"]).collect();
    assert_eq!(only, [&json!("d")]);
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn members_of_an_anti_affinity_group_on_two_dead_hosts_do_not_meet() {
    let s = given(&["a", "b", "c", "d"]).start().await;
    let group = s.with(|w| w.add_group(GroupPolicy::AntiAffinity));
    let members = [s.add(GuestSpec::new("m1", "a").in_group(&group)), s.add(GuestSpec::new("m2", "b").in_group(&group))];
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    s.until("both are down", |w| ["a", "b"].iter().all(|h| w.is_up(h) == Some(false))).await;
    let (one, two) = (s.evacuate("a", json!({})).await, s.evacuate("b", json!({})).await);
    s.succeeds("Evacuation", &one).await;
    s.succeeds("Evacuation", &two).await;
    s.was_rebuilt_once(&members[0], "a");
    s.was_rebuilt_once(&members[1], "b");
    assert_ne!(s.home(&members[0]), s.home(&members[1]));
}

#[tokio::test(start_paused = true)]
async fn guests_of_two_dead_hosts_share_the_room_without_a_refusal() {
    let s = given(&["a", "b", "c", "d"]).start().await;
    // Room for three on each of the two that are left.
    let large = |n: usize, on: &str| s.add(GuestSpec::new(format!("{on}{n}"), on).with_ram(20_000));
    let guests: Vec<String> = (0..6).map(|n| large(n, if n % 2 == 0 { "a" } else { "b" })).collect();
    ["a", "b"].iter().for_each(|h| s.hurt(h, HostFault::Crash));
    s.until("both are down", |w| ["a", "b"].iter().all(|h| w.is_up(h) == Some(false))).await;
    let (one, two) = (s.evacuate("a", json!({})).await, s.evacuate("b", json!({})).await);
    s.succeeds("Evacuation", &one).await;
    s.succeeds("Evacuation", &two).await;
    for guest in &guests {
        assert_eq!(s.records(guest, "evacuation"), ["done"], "{}", s.story());
    }
    s.nothing_ran_twice();
}

#[tokio::test(start_paused = true)]
async fn an_affinity_group_is_named_and_nothing_is_sent_for_it_while_the_others_are_recovered() {
    let s = given(&["a", "b"]).start().await;
    let group = s.with(|w| w.add_group(GroupPolicy::Affinity));
    let tied = [s.add(GuestSpec::new("t1", "a").in_group(&group)), s.add(GuestSpec::new("t2", "a").in_group(&group))];
    let free = s.guest("free", "a");
    let tpm = s.add(GuestSpec::new("tpm", "a").with_extra_spec("hw:tpm_version", "2.0"));
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    let (reason, said) = s.fails("Evacuation", &ev).await;
    assert!(reason == "Failed" && said.contains("1 of 4 moved, 3 skipped"), "{reason}: {said}");
    s.was_rebuilt_once(&free, "a");
    for guest in &tied {
        assert_eq!((s.outcome(&ev, guest).await.1.as_str(), s.status(guest).as_str()), ("ServerGroup", "ACTIVE"));
        assert!(s.records(guest, "evacuation").is_empty());
    }
    assert_eq!(s.outcome(&ev, &tpm).await.1, "CannotEvacuate");
}

#[tokio::test(start_paused = true)]
async fn groups_of_one_priority_follow_each_other_with_the_pause_that_they_ask_for() {
    let s = given(&["a", "b", "c"]).policy(json!({"groupPauseSeconds": 30})).start().await;
    let tagged = |name: &str, tags: &[(&str, &str)]| {
        let spec = tags.iter().fold(GuestSpec::new(name, "a"), |spec, (k, v)| spec.with_metadata(k, v));
        s.add(spec)
    };
    let database = tagged("database", &[("recovery_priority", "10"), ("evacuation_time", "120")]);
    let app = tagged("app", &[("recovery_priority", "7")]);
    let batch = tagged("batch", &[]);
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    let told = s.waits("Evacuation", &ev, "GroupPause").await;
    assert!(told.contains("priority 10"), "{told}");
    let ended = s.ends_within("Evacuation", &ev, 900).await;
    assert_eq!(condition(&ended, "Succeeded"), "True");
    let gap = |from: &str, to: &str| time(&guest_of(&ended, to)["sentAt"]).seconds_since(time(&guest_of(&ended, from)["finishedAt"]));
    assert!((120..=125).contains(&gap(&database, &app)), "{}", gap(&database, &app));
    assert!((30..=35).contains(&gap(&app, &batch)), "{}", gap(&app, &batch));
}

#[tokio::test(start_paused = true)]
async fn guests_of_an_owner_are_left_to_it_and_the_policy_says_how_many() {
    let s = given(&["a", "b"]).start().await;
    let amphora = s.add(GuestSpec { project: "octavia".into(), ..GuestSpec::new("amphora", "a") });
    let web = s.guest("web", "a");
    s.rig.create("GuestPolicy", "octavia", json!({"selector": {"projects": ["octavia"]}, "owner": "Octavia"})).await;
    s.wait("GuestPolicy", "octavia", "counted", |o| o.status["matched"] == json!(1)).await;
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&web, "a");
    let (outcome, reason, said) = s.outcome(&ev, &amphora).await;
    assert_eq!((outcome.as_str(), reason.as_str()), ("Skipped", "OwnerManaged"));
    assert!(said.contains("Octavia") && s.records(&amphora, "evacuation").is_empty());
}

#[tokio::test(start_paused = true)]
async fn policies_that_do_not_agree_say_so_with_both_names() {
    let s = given(&["a", "b"]).start().await;
    s.add(GuestSpec::new("web", "a").with_metadata("tier", "gold").with_metadata("app", "shop"));
    s.rig.create("GuestPolicy", "gold", json!({"selector": {"metadata": "tier=gold"}, "priority": 9})).await;
    s.rig.create("GuestPolicy", "shop", json!({"selector": {"metadata": "app=shop"}, "priority": 2})).await;
    for (mine, other) in [("gold", "shop"), ("shop", "gold")] {
        let policy = s.wait("GuestPolicy", mine, "in conflict", |o| condition(o, "Ready") == "False").await;
        assert!(message(&policy, "Ready").contains(other), "{:#}", policy.status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_waits_for_a_host_with_the_trait_that_it_needs() {
    let s = given(&["a", "b"]).start().await;
    let gpu = s.add(GuestSpec::new("gpu", "a").with_extra_spec("trait:CUSTOM_GPU", "required"));
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    let told = s.waits("Evacuation", &ev, "NoDestination").await;
    assert!(told.contains("1 without trait CUSTOM_GPU"), "{told}");
    assert!(s.calls(CallKind::Evacuate).is_empty());
    s.with(|w| w.add_host(HostSpec { traits: vec!["CUSTOM_GPU".into()], ..HostSpec::new("c") }));
    s.succeeds("Evacuation", &ev).await;
    assert_eq!(s.home(&gpu), "c");
}
